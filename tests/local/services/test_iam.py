"""Who may do what in the laptop's cloud: each rule both ways, over HTTP and between services."""

import hashlib
import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

import local.cloud
from local.cloud import ACCOUNT, Cloud
from local.services.iam import iam
from local.services.iam.iam import AccessDenied
from tests.local.threads import taking_turns

REGION = "ap-northeast-1"
HERE = f"{REGION}:{ACCOUNT}"
CLUSTER = f"arn:aws:ecs:{HERE}:cluster/batches"
TASK = f"arn:aws:ecs:{HERE}:task/batches/0123456789abcdef0123456789abcdef"
MACHINE = f"arn:aws:states:{HERE}:stateMachine:ingest"
EXECUTION = f"arn:aws:states:{HERE}:execution:ingest:one"
RULE = f"arn:aws:events:{HERE}:rule/uploads"
TASK_RULE = f"arn:aws:events:{HERE}:rule/StepFunctionsGetEventsForECSTaskRule"
EXECUTION_RULE = f"arn:aws:events:{HERE}:rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
FUNCTION = f"arn:aws:lambda:{HERE}:function:task-events"
QUEUE = f"arn:aws:sqs:{HERE}:dead-letters"
TOPIC = f"arn:aws:sns:{HERE}:alerts"
SECRET = f"arn:aws:secretsmanager:{HERE}:secret:db-a1b2c3"
GROUP = f"arn:aws:logs:{HERE}:log-group:/batches/ingest"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/batch@sha256:{'0' * 64}"

Statement = dict[str, Any]


def allow(action: str | list[str], resource: str | list[str], **more: object) -> Statement:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A cloud with no part but the one under test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.cloud, "_PARTS", (iam,))
        with Cloud(0, REGION) as opened:
            yield opened


@pytest.fixture(scope="module")
def roles(cloud: Cloud) -> Any:  # noqa: ANN401 - a boto3 client
    return cloud.client("iam")


@pytest.fixture
def role(roles: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., str]]:  # noqa: ANN401 - a boto3 client
    """Make roles that last as long as the test: `role(statement, …, trust=…, managed=…)`."""
    client = roles
    made: list[str] = []

    def make(*statements: Statement, trust: Statement | None = None, managed: str = "") -> str:
        name = f"role-{abs(hash(request.node.nodeid)) % 10**8}-{len(made)}"
        trusted = trust or trusting("ecs-tasks.amazonaws.com")
        document = {"Version": "2012-10-17", "Statement": [trusted]}
        made.append(name)
        arn: str = client.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))[
            "Role"
        ]["Arn"]
        if statements:
            policy = {"Version": "2012-10-17", "Statement": list(statements)}
            client.put_role_policy(
                RoleName=name, PolicyName="grants", PolicyDocument=json.dumps(policy)
            )
        if managed:
            client.attach_role_policy(RoleName=name, PolicyArn=managed)
        return arn

    yield make
    for name in made:
        for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
            client.delete_role_policy(RoleName=name, PolicyName=policy)
        for policy in client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
            client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
        client.delete_role(RoleName=name)


def trusting(service: str, **condition: Mapping[str, str]) -> Statement:
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {**statement, "Condition": condition} if condition else statement


def denied(call: Callable[..., object], *arguments: object, **named: object) -> tuple[str, str]:
    """The action and resource that a call is refused for."""
    with pytest.raises(AccessDenied) as refusal:
        call(*arguments, **named)
    return refusal.value.action, refusal.value.resource


CONFUSED_DEPUTY = trusting(
    "events.amazonaws.com",
    StringEquals={"aws:SourceAccount": ACCOUNT},
    ArnEquals={"aws:SourceArn": RULE},
)


def test_a_service_assumes_a_role_that_trusts_it_for_that_resource(
    role: Callable[..., str],
) -> None:
    iam.assume(role(trust=CONFUSED_DEPUTY), "events.amazonaws.com", source_arn=RULE)


@pytest.mark.parametrize(
    ("service", "source"),
    [
        ("scheduler.amazonaws.com", {"source_arn": RULE}),
        ("events.amazonaws.com", {"source_arn": f"{RULE}-other"}),
        ("events.amazonaws.com", {"source_arn": RULE, "source_account": "444455556666"}),
        ("events.amazonaws.com", {}),
    ],
    ids=["another service", "another rule", "another account", "no rule"],
)
def test_a_role_is_not_assumed_by(
    role: Callable[..., str], service: str, source: Mapping[str, str]
) -> None:
    arn = role(trust=CONFUSED_DEPUTY)
    assert denied(iam.assume, arn, service, **source) == ("sts:AssumeRole", arn)


def test_a_role_that_does_not_exist_is_not_assumed(cloud: Cloud) -> None:
    arn = f"arn:aws:iam::{cloud.account}:role/nobody"
    assert denied(iam.assume, arn, "events.amazonaws.com") == ("sts:AssumeRole", arn)


def test_a_refusal_reads_as_the_one_of_aws(role: Callable[..., str]) -> None:
    arn = role(allow("ecs:StopTask", "*"))
    with pytest.raises(AccessDenied) as refusal:
        iam.authorise(arn, "ecs:RunTask", TASK, session="event")
    assert str(refusal.value) == (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{arn.rpartition('/')[2]}/event is not "
        f"authorized to perform: ecs:RunTask on resource: {TASK} because no identity-based "
        "policy allows the ecs:RunTask action"
    )


def test_an_explicit_deny_wins_and_is_recorded_as_what_decided(role: Callable[..., str]) -> None:
    deny = {"Sid": "Never", "Effect": "Deny", "Action": "states:Stop*", "Resource": "*"}
    arn = role(allow("states:*", "*"), deny)
    iam.forget()
    with pytest.raises(AccessDenied, match="with an explicit deny in an identity-based policy"):
        iam.authorise(arn, "states:StopExecution", EXECUTION)
    [decision] = iam.decisions()
    assert not decision.allowed
    assert repr(decision.matched_statement) == repr(iam.Statement(arn, "grants", 1, "Never"))


@pytest.mark.parametrize(
    ("condition", "context", "allowed"),
    [
        ({"ArnLike": {"ecs:cluster": f"{CLUSTER}*"}}, {"ecs:cluster": f"{CLUSTER}-2"}, True),
        ({"ArnEquals": {"ecs:cluster": CLUSTER}}, {"ecs:cluster": f"{CLUSTER}-2"}, False),
        ({"ArnEquals": {"ecs:cluster": CLUSTER}}, {}, False),
        ({"StringEquals": {"aws:RequestedRegion": REGION}}, {}, True),
        ({"StringEquals": {"aws:RequestedRegion": "us-east-1"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, {}, True),
        ({"ForAllValues:StringLike": {"aws:TagKeys": ["a*"]}}, {"aws:TagKeys": ["a", "ab"]}, True),
        ({"ForAllValues:StringLike": {"aws:TagKeys": ["a*"]}}, {"aws:TagKeys": ["a", "b"]}, False),
    ],
)
def test_a_condition_is_evaluated(
    role: Callable[..., str],
    condition: Mapping[str, object],
    context: Mapping[str, str | list[str]],
    *,
    allowed: bool,
) -> None:
    arn = role(allow("ecs:StopTask", "*", Condition=condition))
    if allowed:
        iam.authorise(arn, "ecs:StopTask", TASK, context)
    else:
        assert denied(iam.authorise, arn, "ecs:StopTask", TASK, context) == ("ecs:StopTask", TASK)


def test_the_principal_of_a_condition_is_the_role_not_its_session(role: Callable[..., str]) -> None:
    arn = role(allow("ecs:StopTask", "*", Condition={"ArnLike": {"aws:PrincipalArn": "*:role/*"}}))
    iam.authorise(arn, "ecs:StopTask", TASK)


def test_a_role_may_be_passed_to_the_service_it_is_meant_for_only(role: Callable[..., str]) -> None:
    passed = f"arn:aws:iam::{ACCOUNT}:role/job"
    condition = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    arn = role(allow("iam:PassRole", passed, Condition=condition))
    iam.pass_role(arn, passed, "ecs-tasks.amazonaws.com")
    refused = ("iam:PassRole", passed)
    assert denied(iam.pass_role, arn, passed, "lambda.amazonaws.com") == refused
    other = f"{passed}-2"
    assert denied(iam.pass_role, arn, other, "ecs-tasks.amazonaws.com") == ("iam:PassRole", other)


@pytest.fixture(scope="module")
def definition(cloud: Cloud, roles: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a boto3 client
    """A task definition's second revision, with both roles."""
    trusted = {"Version": "2012-10-17", "Statement": [trusting("ecs-tasks.amazonaws.com")]}
    for name in ("job", "starts-job"):
        roles.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted))
    client = cloud.client("ecs")
    made: Mapping[str, Any] = {}
    for _ in range(2):
        made = client.register_task_definition(
            family="ingest",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            taskRoleArn=f"arn:aws:iam::{ACCOUNT}:role/job",
            executionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/starts-job",
            containerDefinitions=[
                {
                    "name": "ingest",
                    "image": IMAGE,
                    "secrets": [
                        {"name": "PASSWORD", "valueFrom": f"{SECRET}:password::"},
                        {"name": "TOKEN", "valueFrom": "token"},
                    ],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": "/batches/ingest",
                            "awslogs-region": REGION,
                            "awslogs-stream-prefix": "ingest",
                        },
                    },
                }
            ],
        )["taskDefinition"]
    return made


PASS = allow(
    "iam:PassRole",
    [f"arn:aws:iam::{ACCOUNT}:role/job", f"arn:aws:iam::{ACCOUNT}:role/starts-job"],
    Condition={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
)
RUN = allow(
    "ecs:RunTask",
    f"arn:aws:ecs:{HERE}:task-definition/ingest:2",
    Condition={"ArnEquals": {"ecs:cluster": CLUSTER}},
)
TAG = allow(
    "ecs:TagResource",
    f"arn:aws:ecs:{HERE}:task/batches/*",
    Condition={"StringEquals": {"ecs:CreateAction": "RunTask"}},
)
LISTEN = allow(["events:PutTargets", "events:PutRule", "events:DescribeRule"], TASK_RULE)
RUN_TASK = [RUN, PASS, TAG, LISTEN]


@pytest.fixture(scope="module")
def run_task(definition: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cluster": CLUSTER,
        "taskDefinition": definition["taskDefinitionArn"],
        "launchType": "FARGATE",
        "tags": [{"key": "job", "value": "ingest"}],
    }


def test_a_task_runs_with_exactly_these_grants(
    role: Callable[..., str], run_task: dict[str, Any]
) -> None:
    arn = role(*RUN_TASK)
    iam.forget()
    iam.for_run_task(arn, run_task, sync=True)
    assert [(d.action, d.resource) for d in iam.decisions()] == [
        ("ecs:RunTask", f"arn:aws:ecs:{HERE}:task-definition/ingest:2"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/job"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/starts-job"),
        ("ecs:TagResource", f"arn:aws:ecs:{HERE}:task/batches/*"),
        ("events:PutTargets", TASK_RULE),
        ("events:PutRule", TASK_RULE),
        ("events:DescribeRule", TASK_RULE),
    ]
    assert {d.matched_statement for d in iam.decisions()} == {
        iam.Statement(arn, "grants", index) for index in range(4)
    }


@pytest.mark.parametrize(
    ("missing", "action"),
    [(0, "ecs:RunTask"), (1, "iam:PassRole"), (2, "ecs:TagResource"), (3, "events:PutTargets")],
)
def test_no_task_runs_when_one_grant_is_missing(
    role: Callable[..., str], run_task: dict[str, Any], missing: int, action: str
) -> None:
    arn = role(*(one for index, one in enumerate(RUN_TASK) if index != missing))
    assert denied(iam.for_run_task, arn, run_task, sync=True)[0] == action


@pytest.mark.parametrize(
    ("change", "action"),
    [
        ({"taskDefinition": f"arn:aws:ecs:{HERE}:task-definition/ingest:1"}, "ecs:RunTask"),
        ({"cluster": f"{CLUSTER}-2"}, "ecs:RunTask"),
        ({"cluster": "batches-2"}, "ecs:RunTask"),
        ({"overrides": {"taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/admin"}}, "iam:PassRole"),
    ],
    ids=["another revision", "another cluster", "another cluster by name", "another role"],
)
def test_a_grant_for_one_task_runs_no(
    role: Callable[..., str], run_task: dict[str, Any], change: Mapping[str, Any], action: str
) -> None:
    assert denied(iam.for_run_task, role(*RUN_TASK), {**run_task, **change})[0] == action


def test_a_family_without_a_revision_is_authorised_as_its_latest(
    role: Callable[..., str], run_task: dict[str, Any]
) -> None:
    arn = role(RUN, PASS, TAG)
    named = {**run_task, "cluster": "batches", "taskDefinition": "ingest"}
    iam.for_run_task(arn, named)
    bare = role({**RUN, "Resource": f"arn:aws:ecs:{HERE}:task-definition/ingest"}, PASS, TAG)
    assert denied(iam.for_run_task, bare, named) == (
        "ecs:RunTask",
        f"arn:aws:ecs:{HERE}:task-definition/ingest:2",
    )


def test_a_task_without_tags_needs_no_grant_for_them(
    role: Callable[..., str], run_task: dict[str, Any]
) -> None:
    arn = role(RUN, PASS)
    iam.for_run_task(arn, {**run_task, "tags": []})
    spread = {**run_task, "tags": [], "propagateTags": "TASK_DEFINITION"}
    assert denied(iam.for_run_task, arn, spread)[0] == "ecs:TagResource"


INTEGRATIONS: list[tuple[Callable[..., None], str, str]] = [
    (iam.for_stop_task, TASK, "ecs:StopTask"),
    (iam.for_describe_tasks, TASK, "ecs:DescribeTasks"),
    (iam.for_start_execution, MACHINE, "states:StartExecution"),
    (iam.for_describe_execution, EXECUTION, "states:DescribeExecution"),
    (iam.for_stop_execution, EXECUTION, "states:StopExecution"),
    (iam.for_send_message, QUEUE, "sqs:SendMessage"),
    (iam.for_publish, TOPIC, "sns:Publish"),
    (iam.for_invoke_function, FUNCTION, "lambda:InvokeFunction"),
]


@pytest.mark.parametrize(
    ("check", "target", "action"), INTEGRATIONS, ids=[row[0].__name__ for row in INTEGRATIONS]
)
def test_an_integration_needs_its_grant_on_its_resource(
    role: Callable[..., str], check: Callable[..., None], target: str, action: str
) -> None:
    check(role(allow(action, target)), target)
    assert denied(check, role(allow(action, f"{target}-2")), target) == (action, target)
    service = action.partition(":")[0]
    assert denied(check, role(allow(f"{service}:Tag*", target)), target) == (action, target)


def test_waiting_for_a_child_execution_needs_step_functions_own_rule(
    role: Callable[..., str],
) -> None:
    start = allow("states:StartExecution", MACHINE)
    rule = ["events:PutTargets", "events:PutRule", "events:DescribeRule"]
    iam.for_start_execution(role(start, allow(rule, EXECUTION_RULE)), MACHINE, child_sync=True)
    for action in rule:
        arn = role(start, allow([one for one in rule if one != action], EXECUTION_RULE))
        refused = denied(iam.for_start_execution, arn, MACHINE, child_sync=True)
        assert refused == (action, EXECUTION_RULE)


STARTS = [
    allow("ecr:GetAuthorizationToken", "*"),
    allow("ecr:BatchCheckLayerAvailability", f"arn:aws:ecr:{HERE}:repository/batch"),
    allow("ecr:GetDownloadUrlForLayer", f"arn:aws:ecr:{HERE}:repository/batch"),
    allow("ecr:BatchGetImage", f"arn:aws:ecr:{HERE}:repository/batch"),
    allow("secretsmanager:GetSecretValue", SECRET),
    allow("ssm:GetParameters", f"arn:aws:ssm:{HERE}:parameter/token"),
    allow("logs:CreateLogStream", f"{GROUP}:*"),
    allow("logs:PutLogEvents", f"{GROUP}:log-stream:ingest/*"),
]


def test_a_task_starts_with_exactly_the_grants_its_image_secrets_and_log_need(
    role: Callable[..., str], definition: Mapping[str, Any]
) -> None:
    iam.for_task_start(role(*STARTS), definition, task_id="0123")
    for missing in range(len(STARTS)):
        arn = role(*(one for index, one in enumerate(STARTS) if index != missing))
        action = denied(iam.for_task_start, arn, definition, task_id="0123")[0]
        assert action == STARTS[missing]["Action"]


def test_the_bare_arn_of_a_log_group_allows_no_stream_in_it(
    role: Callable[..., str], definition: Mapping[str, Any]
) -> None:
    bare = allow(["logs:CreateLogStream", "logs:PutLogEvents"], GROUP)
    refused = denied(iam.for_task_start, role(*STARTS[:6], bare), definition, task_id="0123")
    assert refused == ("logs:CreateLogStream", f"{GROUP}:log-stream:ingest/ingest/0123")


def test_a_secret_under_a_key_of_ones_own_needs_that_key_too(
    cloud: Cloud, role: Callable[..., str], definition: Mapping[str, Any]
) -> None:
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = cloud.client("secretsmanager").create_secret(
        Name="under-key", SecretString="s", KmsKeyId=key
    )["ARN"]
    task = {
        "taskDefinitionArn": definition["taskDefinitionArn"],
        "containerDefinitions": [
            {"name": "a", "image": "x", "secrets": [{"name": "A", "valueFrom": secret}]}
        ],
    }
    read = allow("secretsmanager:GetSecretValue", secret)
    iam.for_task_start(role(read, allow("kms:Decrypt", key)), task)
    assert denied(iam.for_task_start, role(read), task) == ("kms:Decrypt", key)


def test_aws_own_execution_policy_starts_a_task_without_secrets(
    role: Callable[..., str], definition: Mapping[str, Any]
) -> None:
    managed = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
    container = {**definition["containerDefinitions"][0], "secrets": []}
    arn = role(managed=managed)
    iam.for_task_start(arn, {**definition, "containerDefinitions": [container]})
    assert iam.decisions()[-1].matched_statement == iam.Statement(arn, managed, 0)
    assert denied(iam.for_task_start, arn, definition)[0] == "secretsmanager:GetSecretValue"


def test_a_task_without_an_execution_role_starts_only_if_it_needs_none(
    definition: Mapping[str, Any],
) -> None:
    plain = {"name": "a", "image": "public.ecr.aws/docker/library/python:3.13"}
    iam.for_task_start(None, {**definition, "containerDefinitions": [plain]})
    assert denied(iam.for_task_start, None, definition) == ("ecr:GetAuthorizationToken", "*")


def queue_policy(source: str) -> Statement:
    return {
        "Sid": "Rule",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    }


def test_a_rule_sends_to_the_queue_whose_policy_names_it(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
    service = "events.amazonaws.com"
    refused = ("sqs:SendMessage", QUEUE)
    assert denied(iam.for_service_send_message, service, QUEUE, RULE) == refused
    policy = {"Version": "2012-10-17", "Statement": [queue_policy(RULE)]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    iam.forget()
    iam.for_service_send_message(service, QUEUE, RULE)
    matched = iam.Statement(QUEUE, "resource policy", 0)
    assert iam.decisions() == [
        iam.Decision(service, "sqs:SendMessage", QUEUE, allowed=True, matched_statement=matched)
    ]
    assert denied(iam.for_service_send_message, service, QUEUE, f"{RULE}-2") == refused
    scheduler = "scheduler.amazonaws.com"
    assert denied(iam.for_service_send_message, scheduler, QUEUE, RULE) == refused
    sqs.delete_queue(QueueUrl=url)


def test_a_rule_publishes_to_the_topic_whose_policy_names_it(cloud: Cloud) -> None:
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="alerts")["TopicArn"]
    statement = {**queue_policy(RULE), "Action": "sns:Publish", "Resource": topic}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    service = "events.amazonaws.com"
    assert denied(iam.for_service_publish, service, topic, RULE) == ("sns:Publish", topic)
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )
    iam.for_service_publish(service, topic, RULE)
    assert denied(iam.for_service_publish, service, topic, f"{RULE}-2") == ("sns:Publish", topic)
    sns.delete_topic(TopicArn=topic)


def test_a_rule_invokes_the_function_it_has_a_permission_for(
    cloud: Cloud, role: Callable[..., str]
) -> None:
    client = cloud.client("lambda")
    function = client.create_function(
        FunctionName="task-events",
        Runtime="python3.13",
        Role=role(trust=trusting("lambda.amazonaws.com")),
        Handler="index.handler",
        Code={"ZipFile": EMPTY_ZIP},
    )["FunctionArn"]
    service = "events.amazonaws.com"
    refused = ("lambda:InvokeFunction", function)
    assert denied(iam.for_service_invoke_function, service, function, RULE) == refused
    client.add_permission(
        FunctionName="task-events",
        StatementId="Rule",
        Action="lambda:InvokeFunction",
        Principal=service,
        SourceArn=RULE,
    )
    iam.for_service_invoke_function(service, function, RULE)
    assert denied(iam.for_service_invoke_function, service, function, f"{RULE}-2") == refused
    client.delete_function(FunctionName="task-events")


SDK = boto3.Session()
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)


@pytest.fixture
def as_role(cloud: Cloud, role: Callable[..., str]) -> Callable[..., Any]:
    """A client that signs with the session of a role that has these statements."""

    def client(service: str, *statements: Statement) -> Any:  # noqa: ANN401 - a boto3 client
        session = iam.start_session(
            role(*statements), "ecs-tasks.amazonaws.com", "task", source_arn=TASK
        )
        return client_with(
            cloud,
            service,
            session.access_key_id,
            session.secret_access_key,
            session.session_token,
        )

    return client


def client_with(cloud: Cloud, service: str, key: str, secret: str, token: str | None = None) -> Any:  # noqa: ANN401 - a boto3 client
    make: Callable[..., Any] = SDK.client
    return make(
        service,
        endpoint_url=cloud.endpoint,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(
            retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}
        ),
    )


def refusal(call: Callable[..., object], **request: object) -> tuple[str, str]:
    """The code and message of the error a call ends with."""
    with pytest.raises(ClientError) as error:
        call(**request)
    found = error.value.response.get("Error", {})
    return found.get("Code", ""), found.get("Message", "")


@pytest.fixture(scope="module")
def bucket(cloud: Cloud) -> str:
    """A bucket with one object, `in/a`, whose policy denies whatever comes without TLS."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="uploads", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="uploads", Key="in/a", Body=b"rows")
    tls_only = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::uploads", "arn:aws:s3:::uploads/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = {"Version": "2012-10-17", "Statement": [tls_only]}
    s3.put_bucket_policy(Bucket="uploads", Policy=json.dumps(policy))
    return "uploads"


def test_a_task_reads_and_writes_the_objects_its_role_names_and_no_others(
    as_role: Callable[..., Any], bucket: str
) -> None:
    s3 = as_role(
        "s3",
        allow("s3:GetObject", f"arn:aws:s3:::{bucket}/in/*"),
        allow("s3:PutObject", f"arn:aws:s3:::{bucket}/out/*"),
    )
    assert s3.get_object(Bucket=bucket, Key="in/a")["Body"].read() == b"rows"
    assert s3.head_object(Bucket=bucket, Key="in/a")["ContentLength"] == 4
    s3.put_object(Bucket=bucket, Key="out/a", Body=b"")
    code, message = refusal(s3.put_object, Bucket=bucket, Key="in/a", Body=b"")
    assert code == "AccessDenied"
    assert message.startswith(f"User: arn:aws:sts::{ACCOUNT}:assumed-role/role-")
    assert message.endswith(
        '/task is not authorized to perform: s3:PutObject on resource: "arn:aws:s3:::uploads/in/a" '
        "because no identity-based policy allows the s3:PutObject action"
    )
    assert refusal(s3.get_object, Bucket=bucket, Key="out/a")[0] == "AccessDenied"
    assert refusal(s3.list_objects_v2, Bucket=bucket)[0] == "AccessDenied"
    assert refusal(s3.delete_object, Bucket=bucket, Key="out/a")[0] == "AccessDenied"
    assert refusal(s3.create_multipart_upload, Bucket=bucket, Key="in/b")[0] == "AccessDenied"


@pytest.mark.parametrize("wrong", [None, "seed", "first", "last", "data"])
def test_chunks_are_held_to_the_signatures_they_were_sent_with(
    cloud: Cloud,
    role: Callable[..., str],
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str | None,
) -> None:
    session = iam.start_session(
        role(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*")),
        *("ecs-tasks.amazonaws.com", "task"),
        source_arn=TASK,
    )
    parts = (b"r" * 300_000, b"end", b"")
    request = AWSRequest(
        "PUT",
        f"{cloud.endpoint}/{bucket}/chunks",
        headers={
            "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "x-amz-decoded-content-length": str(sum(map(len, parts))),
        },
    )
    signer = S3SigV4Auth(
        Credentials(session.access_key_id, session.secret_access_key, session.session_token),
        *("s3", REGION),
    )
    monkeypatch.setattr(signer, "payload", lambda _: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    signer.add_auth(request)
    signed, _, seed = request.headers["Authorization"].rpartition("=")
    if wrong == "seed":
        request.headers.replace_header("Authorization", f"{signed}={seed[::-1]}")
    sent, previous = b"", seed
    for name, part in zip(("first", "last", "end"), parts, strict=True):
        digests = [hashlib.sha256(one).hexdigest() for one in (b"", part)]
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256-PAYLOAD",
                request.context["timestamp"],
                signer.credential_scope(request),
                *(previous, *digests),
            ]
        )
        previous = signer.signature(text, request)
        told = previous[::-1] if name == wrong else previous
        body = part[:-1] + b"?" if wrong == "data" and name == "last" else part
        sent += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(part), told.encode(), body)
    headers = dict(request.headers.items())
    connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
    connection.request("PUT", f"/{bucket}/chunks", sent, headers)
    answer = connection.getresponse()
    code = b"" if wrong is None else b"<Code>SignatureDoesNotMatch</Code>"
    assert (answer.status, code in answer.read()) == (200 if wrong is None else 403, True)
    connection.close()


def test_a_deny_counts_where_the_resource_of_a_request_cannot_be_told(
    as_role: Callable[..., Any],
) -> None:
    deny = {"Effect": "Deny", "Action": "sns:*", "Resource": TOPIC}
    sns = as_role("sns", allow("sns:*", "*"), deny)
    wanted = {"SubscriptionArn": f"{TOPIC}:of-nobody"}
    assert refusal(sns.get_subscription_attributes, **wanted)[0] == "AuthorizationError"
    assert "explicit deny" in refusal(sns.get_subscription_attributes, **wanted)[1]
    assert sns.list_topics()["ResponseMetadata"]["HTTPStatusCode"] == 200
    free = as_role("sns", allow("sns:*", "*"))
    assert refusal(free.get_subscription_attributes, **wanted)[0] == "NotFound"


def test_a_deny_of_a_bucket_does_not_forbid_listing_the_others(
    as_role: Callable[..., Any], bucket: str
) -> None:
    deny = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::others"}
    listed = as_role("s3", allow("s3:*", "*"), deny).list_buckets()["Buckets"]
    assert bucket in [one["Name"] for one in listed]


def test_an_alias_is_authorised_as_its_key(cloud: Cloud, as_role: Callable[..., Any]) -> None:
    owner = cloud.client("kms")
    key = owner.create_key()["KeyMetadata"]
    owner.create_alias(AliasName="alias/batches", TargetKeyId=key["KeyId"])
    alias = f"arn:aws:kms:{HERE}:alias/batches"
    allowed = as_role("kms", allow("kms:Encrypt", key["Arn"]))
    denied = as_role(
        *("kms", allow("kms:*", "*"), {"Effect": "Deny", "Action": "kms:*", "Resource": key["Arn"]})
    )
    for name in (key["KeyId"], "alias/batches", alias):
        allowed.encrypt(KeyId=name, Plaintext=b"x")
        code, message = refusal(denied.encrypt, KeyId=name, Plaintext=b"x")
        assert (code, key["Arn"] in message) == ("AccessDeniedException", True)


def test_a_role_is_authorised_with_its_path(as_role: Callable[..., Any]) -> None:
    trust = json.dumps({"Version": "2012-10-17", "Statement": [trusting("ecs.amazonaws.com")]})
    made = {"RoleName": "deep", "Path": "/team/", "AssumeRolePolicyDocument": trust}
    arn = f"arn:aws:iam::{ACCOUNT}:role/team/*"
    theirs = as_role("iam", allow(["iam:CreateRole", "iam:GetRole"], arn))
    others = as_role("iam", allow("iam:*", f"arn:aws:iam::{ACCOUNT}:role/deep"))
    assert refusal(others.create_role, **made)[0] == "AccessDenied"
    theirs.create_role(**made)
    assert theirs.get_role(RoleName="deep")["Role"]["Path"] == "/team/"
    assert refusal(others.get_role, RoleName="deep")[0] == "AccessDenied"


def test_each_parameter_is_authorised_by_its_name_or_arn(
    cloud: Cloud, as_role: Callable[..., Any]
) -> None:
    owner = cloud.client("ssm")
    for name in ("/ours/a", "/ours/b", "/others/a"):
        owner.put_parameter(Name=name, Value="x", Type="String")
    arns = f"arn:aws:ssm:{HERE}:parameter/ours/a", f"arn:aws:ssm:{HERE}:parameter/ours/b"
    ssm = as_role("ssm", allow(["ssm:GetParameter", "ssm:GetParameters"], list(arns)))
    for one in ("/ours/a", "/ours/a:1", *arns):
        assert ssm.get_parameter(Name=one)["Parameter"]["Value"] == "x"
    assert len(ssm.get_parameters(Names=["/ours/a", arns[1]])["Parameters"]) == 2
    other = f"arn:aws:ssm:{HERE}:parameter/others/a"
    for names in (["/ours/a", "/others/a"], [arns[0], other]):
        code, message = refusal(ssm.get_parameters, Names=names)
        assert (code, f"on resource: {other} " in message) == ("AccessDeniedException", True)


def test_a_missing_object_is_404_only_to_who_may_list_the_bucket(
    as_role: Callable[..., Any], bucket: str
) -> None:
    read = allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*")
    listing = allow("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    blind, seeing = as_role("s3", read), as_role("s3", read, listing)
    assert refusal(blind.get_object, Bucket=bucket, Key="gone")[0] == "AccessDenied"
    assert refusal(blind.head_object, Bucket=bucket, Key="gone")[0] == "403"
    assert refusal(seeing.get_object, Bucket=bucket, Key="gone")[0] == "NoSuchKey"
    assert refusal(seeing.head_object, Bucket=bucket, Key="gone")[0] == "404"


def test_a_bucket_policy_denies_what_the_role_allows(
    cloud: Cloud, as_role: Callable[..., Any]
) -> None:
    admin = cloud.client("s3")
    admin.create_bucket(Bucket="sealed", CreateBucketConfiguration={"LocationConstraint": REGION})
    sealed = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::sealed/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [sealed]}
    admin.put_bucket_policy(Bucket="sealed", Policy=json.dumps(policy))
    s3 = as_role("s3", allow("s3:*", "*"))
    iam.forget()
    code, message = refusal(s3.put_object, Bucket="sealed", Key="a", Body=b"")
    assert code == "AccessDenied"
    assert message.endswith("with an explicit deny in a resource-based policy")
    assert [d.matched_statement for d in iam.decisions()] == [
        iam.Statement("arn:aws:s3:::sealed", "resource policy", 0)
    ]


def test_a_task_writes_only_to_the_log_streams_its_role_names(
    cloud: Cloud, as_role: Callable[..., Any]
) -> None:
    cloud.client("logs").create_log_group(logGroupName="/batches/logged")
    group = f"arn:aws:logs:{HERE}:log-group:/batches/logged"
    logs = as_role("logs", allow(["logs:CreateLogStream", "logs:PutLogEvents"], f"{group}:*"))
    stream = {"logGroupName": "/batches/logged", "logStreamName": "a"}
    logs.create_log_stream(**stream)
    logs.put_log_events(**stream, logEvents=[{"timestamp": 1, "message": "x"}])
    code, message = refusal(logs.get_log_events, **stream)
    assert code == "AccessDeniedException"
    assert f"logs:GetLogEvents on resource: {group}:log-stream:a because" in message
    bare = as_role("logs", allow("logs:*", group))
    assert refusal(bare.create_log_stream, **stream)[0] == "AccessDeniedException"


def test_a_request_that_runs_a_task_must_be_allowed_to_pass_its_roles(
    cloud: Cloud, as_role: Callable[..., Any], run_task: dict[str, Any]
) -> None:
    cloud.client("ecs").create_cluster(clusterName="batches")
    code, message = refusal(as_role("ecs", RUN, TAG).run_task, **run_task)
    assert code == "AccessDeniedException"
    assert f"iam:PassRole on resource: arn:aws:iam::{ACCOUNT}:role/job because" in message
    wrong = {**RUN, "Resource": f"arn:aws:ecs:{HERE}:task-definition/ingest:1"}
    code, message = refusal(as_role("ecs", wrong, PASS, TAG).run_task, **run_task)
    assert f"ecs:RunTask on resource: {run_task['taskDefinition']} because" in message


def test_a_schedule_is_of_its_group_and_a_change_of_it_passes_its_role(
    cloud: Cloud, as_role: Callable[..., Any], role: Callable[..., str]
) -> None:
    scheduler = cloud.client("scheduler")
    scheduler.create_schedule_group(Name="ours")
    for name, group in (("nightly", "ours"), ("another", "default")):
        scheduler.create_schedule(
            Name=name,
            GroupName=group,
            ScheduleExpression="rate(1 day)",
            FlexibleTimeWindow={"Mode": "OFF"},
            State="DISABLED",
            Target={
                "Arn": "arn:aws:sqs:us-east-1:1:x",
                "RoleArn": role(trust=trusting("scheduler.amazonaws.com")),
            },
        )
    found = scheduler.get_schedule(Name="nightly", GroupName="ours")
    whole = {name: found[name] for name in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
    update = {"Name": "nightly", "GroupName": "ours", **whole}
    grant = allow(
        ["scheduler:GetSchedule", "scheduler:UpdateSchedule"],
        f"arn:aws:scheduler:{HERE}:schedule/ours/*",
    )
    passing = allow("iam:PassRole", found["Target"]["RoleArn"])
    theirs = as_role("scheduler", grant, passing)
    theirs.get_schedule(Name="nightly", GroupName="ours")
    theirs.update_schedule(**update)
    code, message = refusal(theirs.get_schedule, Name="another")
    assert code == "AccessDeniedException"
    assert f"scheduler:{HERE}:schedule/default/another because" in message
    code, message = refusal(as_role("scheduler", grant).update_schedule, **update)
    assert f"iam:PassRole on resource: {found['Target']['RoleArn']} because" in message


def test_tasks_are_listed_and_stopped_in_the_cluster_a_condition_names(
    cloud: Cloud, as_role: Callable[..., Any]
) -> None:
    cloud.client("ecs").create_cluster(clusterName="batches")
    condition = {"ArnEquals": {"ecs:cluster": CLUSTER}}
    ecs = as_role(
        "ecs",
        allow("ecs:ListTasks", "*", Condition=condition),
        allow("ecs:DescribeTasks", f"arn:aws:ecs:{HERE}:task/batches/*"),
    )
    assert ecs.list_tasks(cluster="batches")["taskArns"] == []
    assert refusal(ecs.list_tasks, cluster="others")[0] == "AccessDeniedException"
    assert ecs.describe_tasks(cluster="batches", tasks=[TASK])["tasks"] == []
    elsewhere = TASK.replace("/batches/", "/others/")
    code, message = refusal(ecs.describe_tasks, cluster="batches", tasks=[TASK, elsewhere])
    assert code == "AccessDeniedException"
    assert f"ecs:DescribeTasks on resource: {elsewhere} because" in message
    assert refusal(ecs.stop_task, cluster="batches", task=TASK)[0] == "AccessDeniedException"


REFUSALS: list[tuple[str, str, dict[str, Any], str]] = [
    ("sqs", "send_message", {"QueueUrl": "/dead-letters", "MessageBody": "x"}, "AccessDenied"),
    ("sns", "publish", {"TopicArn": TOPIC, "Message": "x"}, "AuthorizationError"),
    ("stepfunctions", "start_execution", {"stateMachineArn": MACHINE}, "AccessDeniedException"),
    ("secretsmanager", "get_secret_value", {"SecretId": "db"}, "AccessDeniedException"),
    ("ssm", "get_parameters", {"Names": ["token"]}, "AccessDeniedException"),
    ("events", "put_events", {"Entries": [{"Detail": "{}"}]}, "AccessDeniedException"),
    ("events", "disable_rule", {"Name": "uploads"}, "AccessDeniedException"),
    ("lambda", "invoke", {"FunctionName": "task-events"}, "AccessDeniedException"),
    ("iam", "get_role", {"RoleName": "job"}, "AccessDenied"),
]


@pytest.mark.parametrize("row", REFUSALS, ids=[f"{row[0]}-{row[1]}" for row in REFUSALS])
def test_a_role_without_grants_is_refused_in_the_words_of_each_service(
    cloud: Cloud, as_role: Callable[..., Any], row: tuple[str, str, dict[str, Any], str]
) -> None:
    service, operation, request, code = row
    if "QueueUrl" in request:
        request = {**request, "QueueUrl": f"{cloud.endpoint}/{ACCOUNT}/dead-letters"}
    client = as_role(service)
    iam.forget()
    found, message = refusal(getattr(client, operation), **request)
    assert found == code
    assert "because no identity-based policy allows the" in message
    assert [decision.allowed for decision in iam.decisions()] == [False]


def test_the_account_itself_may_do_everything_and_is_not_recorded(cloud: Cloud) -> None:
    iam.forget()
    cloud.client("sts").get_caller_identity()
    client_with(cloud, "s3", "test", "test").list_buckets()
    cloud.client("s3").list_buckets()
    assert iam.decisions() == []


def test_the_number_of_another_account_is_no_key(cloud: Cloud) -> None:
    own = client_with(cloud, "sts", ACCOUNT, "any").get_caller_identity()
    assert own["Account"] == ACCOUNT
    sts, s3 = (client_with(cloud, service, "999988887777", "any") for service in ("sts", "s3"))
    assert refusal(sts.get_caller_identity) == (
        "InvalidClientTokenId",
        f"This cloud has no account 999988887777: it has {ACCOUNT} alone.",
    )
    assert refusal(s3.list_buckets)[0] == "InvalidAccessKeyId"


def test_a_session_key_with_a_wrong_secret_or_without_its_token_is_refused(
    cloud: Cloud, role: Callable[..., str]
) -> None:
    session = iam.start_session(role(allow("s3:*", "*")), "ecs-tasks.amazonaws.com", "task")
    right = client_with(
        cloud, "s3", session.access_key_id, session.secret_access_key, session.session_token
    )
    right.list_buckets()
    wrong = client_with(cloud, "s3", session.access_key_id, "guessed", session.session_token)
    assert refusal(wrong.list_buckets)[0] == "SignatureDoesNotMatch"
    bare = client_with(cloud, "s3", session.access_key_id, session.secret_access_key)
    assert refusal(bare.list_buckets)[0] == "InvalidAccessKeyId"


def test_every_statement_is_listed_by_its_owner_policy_and_place(role: Callable[..., str]) -> None:
    managed = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
    arn = role(allow("s3:GetObject", "*", Sid="Read"), allow("s3:PutObject", "*"), managed=managed)
    found = [
        iam.Statement(arn, "trust policy", 0),
        iam.Statement(arn, "grants", 0, "Read"),
        iam.Statement(arn, "grants", 1),
        iam.Statement(arn, managed, 0),
    ]
    assert iam.statements([arn]) == found
    assert set(found) <= set(iam.statements())
    assert json.loads(iam.statements([arn])[1].text)["Action"] == "s3:GetObject"


def test_a_withheld_statement_counts_for_nothing_until_it_is_given_back(
    role: Callable[..., str], as_role: Callable[..., Any], bucket: str
) -> None:
    s3 = as_role("s3", allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    iam.forget()
    s3.get_object(Bucket=bucket, Key="in/a")
    needed = iam.decisions()[-1].matched_statement
    assert needed is not None
    with iam.without(needed):
        assert refusal(s3.get_object, Bucket=bucket, Key="in/a")[0] == "AccessDenied"
    s3.get_object(Bucket=bucket, Key="in/a")
    arn = role()
    [trust] = iam.statements([arn])
    with iam.without(trust):
        assert denied(iam.assume, arn, "ecs-tasks.amazonaws.com")[0] == "sts:AssumeRole"
    iam.assume(arn, "ecs-tasks.amazonaws.com")


def test_a_withheld_queue_policy_statement_stops_the_rule(cloud: Cloud) -> None:
    sqs = cloud.client("sqs")
    url = sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
    policy = {"Version": "2012-10-17", "Statement": [queue_policy(RULE)]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    [statement] = iam.statements([QUEUE])
    assert (statement.policy, statement.sid) == ("resource policy", "Rule")
    service = "events.amazonaws.com"
    with iam.without(statement):
        assert denied(iam.for_service_send_message, service, QUEUE, RULE)[0] == "sqs:SendMessage"
    iam.for_service_send_message(service, QUEUE, RULE)
    sqs.delete_queue(QueueUrl=url)


def test_a_topic_under_a_key_of_ones_own_needs_that_key_too(
    cloud: Cloud, role: Callable[..., str]
) -> None:
    sns, kms = cloud.client("sns"), cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    topic = sns.create_topic(Name="sealed", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    service = "events.amazonaws.com"
    publish = {**queue_policy(RULE), "Action": "sns:Publish", "Resource": topic}
    policy = {"Version": "2012-10-17", "Statement": [publish]}
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy)
    )
    assert denied(iam.for_service_publish, service, topic, RULE) == ("kms:GenerateDataKey", key)
    account = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    encrypting = {
        "Sid": "Encrypt",
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": "*",
        "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    document = {"Version": "2012-10-17", "Statement": [account, encrypting]}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
    iam.forget()
    iam.for_service_publish(service, topic, RULE)
    assert [(d.action, d.matched_statement) for d in iam.decisions()] == [
        ("sns:Publish", iam.Statement(topic, "resource policy", 0)),
        ("kms:GenerateDataKey", iam.Statement(key, "resource policy", 1)),
        ("kms:Decrypt", iam.Statement(key, "resource policy", 1)),
    ]
    assert iam.Statement(key, "resource policy", 1) in iam.statements()
    grants = [allow("sns:Publish", topic), allow(["kms:GenerateDataKey", "kms:Decrypt"], key)]
    iam.for_publish(role(*grants), topic)
    assert denied(iam.for_publish, role(grants[0]), topic) == ("kms:GenerateDataKey", key)
    document = {"Version": "2012-10-17", "Statement": [encrypting]}
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(document))
    assert denied(iam.for_publish, role(*grants), topic) == ("kms:GenerateDataKey", key)
    sns.delete_topic(TopicArn=topic)


def test_a_state_machine_that_logs_needs_every_log_delivery_action(
    role: Callable[..., str],
) -> None:
    actions = [
        "logs:CreateLogDelivery",
        "logs:GetLogDelivery",
        "logs:UpdateLogDelivery",
        "logs:DeleteLogDelivery",
        "logs:ListLogDeliveries",
        "logs:PutResourcePolicy",
        "logs:DescribeResourcePolicies",
        "logs:DescribeLogGroups",
    ]
    iam.for_log_delivery(role(allow(actions, "*")))
    for action in actions:
        arn = role(allow([one for one in actions if one != action], "*"))
        assert denied(iam.for_log_delivery, arn) == (action, "*")


def test_a_function_writes_only_to_the_log_group_its_role_names(role: Callable[..., str]) -> None:
    written = (FUNCTION, "/aws/lambda/task-events", "2026/01/01/[$LATEST]0123")
    group = f"arn:aws:logs:{HERE}:log-group:{written[1]}"
    create, put = (
        allow("logs:CreateLogStream", f"{group}:*"),
        allow("logs:PutLogEvents", f"{group}:*"),
    )
    iam.for_function_log(role(create, put), *written)
    stream = f"{group}:log-stream:{written[2]}"
    assert denied(iam.for_function_log, role(create), *written) == ("logs:PutLogEvents", stream)
    assert denied(iam.for_function_log, role(put), *written) == ("logs:CreateLogStream", stream)


def test_a_policy_that_demands_tls_refuses_what_a_proxy_took_without(
    as_role: Callable[..., Any], bucket: str
) -> None:
    s3 = as_role("s3", allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    s3.get_object(Bucket=bucket, Key="in/a")

    def without_tls(request: Any, **_: object) -> None:  # noqa: ANN401 - a botocore request
        request.headers["X-Forwarded-Proto"] = "http"

    s3.meta.events.register("before-send.s3.GetObject", without_tls)
    code, message = refusal(s3.get_object, Bucket=bucket, Key="in/a")
    assert code == "AccessDenied"
    assert message.endswith("with an explicit deny in a resource-based policy")


def test_a_queue_policy_denies_a_role_what_its_own_policy_allows(
    cloud: Cloud, role: Callable[..., str]
) -> None:
    sqs = cloud.client("sqs")
    arn = role(allow("sqs:SendMessage", QUEUE))
    url = sqs.create_queue(QueueName="dead-letters")["QueueUrl"]
    iam.for_send_message(arn, QUEUE)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": QUEUE}
    tls = {**deny, "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    document = {"Version": "2012-10-17", "Statement": [tls]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(document)})
    iam.for_send_message(arn, QUEUE)
    context = {"aws:SecureTransport": "false"}
    assert denied(iam.authorise, arn, "sqs:SendMessage", QUEUE, context)[0] == "sqs:SendMessage"
    document = {"Version": "2012-10-17", "Statement": [deny]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(document)})
    with pytest.raises(AccessDenied, match="with an explicit deny in a resource-based policy"):
        iam.for_send_message(arn, QUEUE)
    sqs.delete_queue(QueueUrl=url)


API_CALLS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("sfn", "listExecutions", {"stateMachineArn": MACHINE}, "states:ListExecutions", MACHINE),
    ("ecs", "stopTask", {"cluster": CLUSTER, "task": TASK}, "ecs:StopTask", TASK),
    ("s3", "getObject", {"Bucket": "b", "Key": "k"}, "s3:GetObject", "arn:aws:s3:::b/k"),
    ("s3", "listObjectsV2", {"Bucket": "b"}, "s3:ListBucket", "arn:aws:s3:::b"),
    ("sns", "publish", {"TopicArn": TOPIC, "Message": "x"}, "sns:Publish", TOPIC),
    ("lambda", "invoke", {"FunctionName": "task-events"}, "lambda:InvokeFunction", FUNCTION),
    ("eventbridge", "disableRule", {"Name": "uploads"}, "events:DisableRule", RULE),
]


@pytest.mark.parametrize("row", API_CALLS, ids=[row[3] for row in API_CALLS])
def test_a_call_through_the_sdk_needs_its_grant_on_what_it_names(
    role: Callable[..., str], row: tuple[str, str, dict[str, Any], str, str]
) -> None:
    service, operation, request, action, resource = row
    iam.for_api_call(role(allow(action, resource)), service, operation, request)
    other = role(allow(action, f"{resource}-2"))
    assert denied(iam.for_api_call, other, service, operation, request) == (action, resource)


@pytest.mark.parametrize("key", ["test", "AKIAOFSOMEBODYELSES0", "any", "a-b.c"])
def test_a_person_needs_no_certain_credentials(cloud: Cloud, key: str) -> None:
    person = client_with(cloud, "sts", key, "anything")
    assert person.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize(
    ("key", "token"),
    [
        ("ASIAOFASSOSESSION000", "t"),
        ("ASIAOFASSOSESSION000", None),
        ("asiaofassosession000", None),
        ("test", "t"),
    ],
)
def test_a_key_that_looks_temporary_is_a_sessions_or_refused(
    cloud: Cloud, key: str, token: str | None
) -> None:
    person = client_with(cloud, "sts", key, "anything", token)
    assert refusal(person.get_caller_identity)[0] == "InvalidClientTokenId"
    files = client_with(cloud, "s3", key, "anything", token)
    assert refusal(files.list_buckets)[0] == "InvalidAccessKeyId"


@pytest.mark.slow
def test_sessions_are_started_from_many_threads_at_once(role: Callable[..., str]) -> None:
    arn = role(allow("s3:GetObject", "*"))
    with taking_turns(), ThreadPoolExecutor(8) as pool:
        started = [
            pool.submit(iam.start_session, arn, "ecs-tasks.amazonaws.com", f"task-{number}")
            for number in range(3000)
        ]
    keys = {one.result().access_key_id for one in started}
    assert len(keys) == 3000


@pytest.mark.parametrize("key", ["in/new\nline.csv", "in/x\r\ny", "in/ends with one\n"])
def test_a_wildcard_in_a_policy_stands_for_line_breaks_too(
    role: Callable[..., str], key: str
) -> None:
    arn = role(allow("s3:GetObject", "arn:aws:s3:::uploads/in/*"))
    iam.authorise(arn, "s3:GetObject", f"arn:aws:s3:::uploads/{key}")
    other = role(allow("s3:GetObject", "arn:aws:s3:::uploads/in/ends with one"))
    with pytest.raises(AccessDenied):
        iam.authorise(other, "s3:GetObject", f"arn:aws:s3:::uploads/{key}")
