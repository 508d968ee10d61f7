"""The two policy documents: each command works with its own, and nothing in them is for nothing."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError

from operate import doctor, policies, stack
from operate.aws import Aws
from tests.operate.conftest import CommandLine, Deployed, changed, with_tasks
from tests.operate.served import Client, served

HERE = "ap-northeast-1:111122223333"
Document = dict[str, Any]
User = Callable[[Document], Aws]


@pytest.fixture(scope="module")
def reading(deployed: Deployed) -> Document:
    return policies.reading(deployed.stack())


@pytest.fixture(scope="module")
def acting(deployed: Deployed) -> Document:
    return policies.acting(deployed.stack())


@pytest.fixture
def user(deployed: Deployed) -> Generator[User]:
    """Makes the account's clients of a user who has one policy."""
    iam = deployed.client("iam")
    iam.create_user(UserName="operator")
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    aws = deployed.aws(key["AccessKeyId"], key["SecretAccessKey"])

    def with_policy(document: Document) -> Aws:
        text = json.dumps(document)
        iam.put_user_policy(UserName="operator", PolicyName="own", PolicyDocument=text)
        return aws

    yield with_policy
    iam.delete_user_policy(UserName="operator", PolicyName="own")
    iam.delete_access_key(UserName="operator", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="operator")


def without(document: Document, action: str) -> Document:
    """The policy without one action."""
    statements = [
        {**statement, "Action": left}
        for statement in document["Statement"]
        if (left := [one for one in statement["Action"] if one != action])
    ]
    return {**document, "Statement": statements}


def actions(document: Document) -> set[str]:
    return {action for statement in document["Statement"] for action in statement["Action"]}


def letter(deployed: Deployed, trigger: str, **attributes: str) -> None:
    queue = deployed.stack().triggers[trigger].queue
    url = deployed.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    deployed.client("sqs").send_message(
        QueueUrl=url,
        MessageBody=json.dumps({"id": trigger, "detail": {}}),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )


@contextmanager
def letters(deployed: Deployed) -> Generator[None]:
    """A letter of a rule that starts a machine, and one of a rule that invokes a function."""
    function = deployed.client("lambda").list_functions()["Functions"]
    arns = [one["FunctionArn"] for one in function if one["FunctionName"].startswith("task-events")]
    rules = deployed.client("events").list_rules()["Rules"]
    [rule] = [one["Arn"] for one in rules if one["Name"].startswith("task-events")]
    upload = deployed.outputs["uploads"]["target"]["ruleArn"]
    letter(deployed, "upload-target", RULE_ARN=upload, TARGET_ARN=deployed.machine)
    letter(deployed, "task-events", RULE_ARN=rule, TARGET_ARN=arns[0])
    yield
    for url in deployed.client("sqs").list_queues()["QueueUrls"]:
        deployed.client("sqs").purge_queue(QueueUrl=url)


def run_that(deployed: Deployed, fargate_batch: CommandLine, ends: str) -> str:
    """The id of a run that failed, or was stopped while its task ran."""
    environment = {"CODE": "3"} if ends == "failed" else {"SLEEP": "600"}
    execution = deployed.start(environment=environment)
    identity = execution.rpartition(":")[2]
    if ends == "stopped":
        fargate_batch.run(identity, "running")
        assert fargate_batch("stop", identity, "--reason", "a test").status == 0
    fargate_batch.run(identity, ends)
    return identity


READERS = {
    "ssm:GetParametersByPath": ("runs",),
    "logs:FilterLogEvents": ("runs",),
    "ecs:ListTasks": ("runs",),
    "ecs:DescribeTasks": ("runs",),
    "logs:GetLogEvents": ("show", "FAILED"),
    "states:DescribeExecution": ("show", "FAILED"),
    "states:GetExecutionHistory": ("show", "FAILED"),
    "sqs:GetQueueUrl": ("letters", "list"),
    "sqs:GetQueueAttributes": ("letters", "list"),
    "sqs:ReceiveMessage": ("letters", "list"),
    "events:ListTargetsByRule": ("letters", "send", "--all", "--dry-run"),
    "scheduler:GetSchedule": ("fire", "nightly", "--dry-run"),
    "states:DescribeStateMachine": ("start", "nightly", "--from-step", "2", "--dry-run"),
    # The last: without it the letters stay hidden.
    "sqs:ChangeMessageVisibility": ("letters", "list"),
}
"""What reads needs each of them."""
DOCTOR = {
    *("ec2:DescribeRouteTables", "ec2:DescribeSubnets"),
    *("ecs:DescribeClusters", "ecs:DescribeTaskDefinition", "events:ListRules"),
    *("iam:GetAccountSummary", "iam:GetRole", "iam:SimulatePrincipalPolicy"),
    *("kms:DescribeKey", "kms:GetKeyPolicy", "s3:GetEncryptionConfiguration"),
    *("secretsmanager:DescribeSecret", "ssm:DescribeParameters"),
    *("servicequotas:GetAWSDefaultServiceQuota", "servicequotas:GetServiceQuota"),
    "cloudwatch:ListMetrics",
    *("sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic"),
}
# The laptop's cloud lets anybody see the endpoints of a VPC, and that there is no such image.
NOT_HERE = {"ec2:DescribeVpcEndpoints", "ecr:DescribeImages"}
ACTORS = {
    "states:StartExecution": ("start", "ingest", "--no-wait"),
    "ecs:RunTask": ("fire", "hello"),
    "ecs:TagResource": ("fire", "hello"),
    "iam:PassRole": ("fire", "hello"),
    "states:StopExecution": ("stop", "RUNNING", "--reason", "x"),
    "ecs:StopTask": ("stop", "TASK", "--reason", "x"),
    "states:RedriveExecution": ("retry", "STOPPED"),
    "lambda:InvokeFunction": ("letters", "send", "--all", "--trigger", "task-events"),
    "sqs:DeleteMessage": ("letters", "drop", "--all"),
}
# The dev stack's schedules are disabled: see test_pauses.py.
PAUSING = {"ssm:PutParameter", "ssm:DeleteParameter", "scheduler:UpdateSchedule"}


def test_nothing_is_in_a_policy_that_no_command_needs(reading: Document, acting: Document) -> None:
    assert actions(reading) == READERS.keys() | DOCTOR | NOT_HERE
    assert actions(acting) == actions(reading) | ACTORS.keys() | PAUSING


@pytest.mark.slow
def test_the_doctor_looks_at_all_that_its_policy_lets_it(
    deployed: Deployed, reading: Document, user: User
) -> None:
    key = deployed.client("kms").create_key()["KeyMetadata"]["Arn"]
    secret = deployed.client("secretsmanager").create_secret(
        Name="seen", SecretString="x", KmsKeyId=key
    )["ARN"]
    parameter = f"arn:aws:ssm:{HERE}:parameter/gone"
    image = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/x:1"
    role = deployed.outputs["jobs"]["ingest"]["executionRoleArn"]
    jobs = with_tasks(deployed, role, image, {"A": secret, "B": parameter})

    def denied(document: Document) -> set[str]:
        found = doctor.look(changed(deployed, user(document), jobs=jobs))
        return {one.check for one in found if "not authorized" in one.text}

    assert denied(reading) == set()
    for action in DOCTOR:
        assert denied(without(reading, action)), action


@pytest.mark.slow
def test_the_page_takes_no_more_than_the_commands(
    deployed: Deployed,
    fargate_batch: CommandLine,
    user: User,
    reading: Document,
    acting: Document,
) -> None:
    identity = run_that(deployed, fargate_batch, "failed")
    pages = ("/", "/runs", f"/runs/{identity}", "/letters", "/schedules", "/cost")

    def answers(document: Document, *, write: bool = False) -> dict[str, tuple[int, str]]:
        theirs = stack.find(user(document), "fargate-batch", "dev")
        with served(theirs, write=write) as server:
            client = Client(server).enter()
            found = {path: client.get(path) for path in pages}
            if write:
                [one] = fargate_batch(
                    "letters", "list", "--json", "--trigger", "upload-target"
                ).json
                form = [("id", one["id"]), ("action", "drop"), ("sure", "yes")]
                found["drop"] = client.post("/letters", form)
            return {path: (answer.status, answer.text) for path, answer in found.items()}

    with letters(deployed):
        assert {status for status, _ in answers(reading).values()} == {200}
        refused = answers(without(reading, "logs:FilterLogEvents"))
        assert refused["/runs"][0] == 502
        assert "`fargate-batch policy reading`" in refused["/runs"][1]
        assert "`fargate-batch policy acting`" in answers(reading, write=True)["drop"][1]
        status, text = answers(acting, write=True)["drop"]
        assert (status, "dropped" in text) == (200, True)


@pytest.mark.slow
def test_each_command_works_with_its_policy_and_not_without_a_part_of_it(
    deployed: Deployed,
    fargate_batch: CommandLine,
    user: User,
    reading: Document,
    acting: Document,
) -> None:
    names = {
        "FAILED": run_that(deployed, fargate_batch, "failed"),
        "STOPPED": run_that(deployed, fargate_batch, "stopped"),
    }

    def running(kind: str) -> str:
        """The id of a run that was just begun: a time limit passes quickly here."""
        if kind == "TASK":
            identity = task(deployed)
        else:
            identity = deployed.start(environment={"SLEEP": "600"}).rpartition(":")[2]
        fargate_batch.run(identity, "running")
        return identity

    def answer(command: tuple[str, ...], document: Document) -> tuple[int, str]:
        # What runs is described by `runs`, too.
        kinds = ("TASK",) if command == ("runs",) else command
        names.update({kind: running(kind) for kind in ("RUNNING", "TASK") if kind in kinds})
        given = fargate_batch(*(names.get(one, one) for one in command), aws=user(document))
        return given.status, given.err + given.out

    for table, document, name in ((READERS, reading, "reading"), (ACTORS, acting, "acting")):
        with letters(deployed):
            for action, command in table.items():
                status, text = answer(command, without(document, action))
                refused = status in {1, 4} and ("not allowed" in text or "AccessDenied" in text)
                assert refused, (action, command, status, text)
                operation = action.partition(":")[2]
                if status == 4 and operation in text and action != "iam:PassRole":
                    assert f"`fargate-batch policy {name}`" in text
    for table, document in ((READERS, reading), (ACTORS, acting)):
        with letters(deployed):
            for command in dict.fromkeys(table.values()):
                status, text = answer(command, document)
                assert status == 0, (command, text)
    ecs, cluster = deployed.client("ecs"), deployed.outputs["clusterArn"]
    for arn in ecs.list_tasks(cluster=cluster)["taskArns"]:
        ecs.stop_task(cluster=cluster, task=arn)


def task(deployed: Deployed) -> str:
    """The id of a task that runs, started directly."""
    ecs = deployed.client("ecs")
    return ecs.run_task(
        cluster=deployed.outputs["clusterArn"],
        taskDefinition=deployed.outputs["jobs"]["ingest"]["taskDefinitionArn"],
        launchType="FARGATE",
        startedBy="events-rule/by-a-test",
        overrides={
            "containerOverrides": [
                {"name": "ingest", "environment": [{"name": "SLEEP", "value": "600"}]}
            ]
        },
        networkConfiguration={
            "awsvpcConfiguration": {
                "subnets": deployed.outputs["subnetIds"],
                "assignPublicIp": "ENABLED",
            }
        },
    )["tasks"][0]["taskArn"].rpartition("/")[2]


def test_the_documents_are_printed_for_the_stack(
    fargate_batch: CommandLine, reading: Document, acting: Document
) -> None:
    assert fargate_batch("policy", "reading").json == reading
    answer = fargate_batch("policy", "acting")
    assert (answer.json, answer.err) == (acting, "")


def test_a_document_fits_a_managed_policy_and_grants_no_service_whole(
    reading: Document, acting: Document
) -> None:
    for document in (reading, acting):
        assert len(json.dumps(document, separators=(",", ":"))) <= policies.MOST_CHARACTERS
        assert not [action for action in actions(document) if "*" in action]


def test_of_more_queues_than_there_is_room_for_the_middle_of_their_names_is_named(
    deployed: Deployed,
) -> None:
    letters = {f"upload-n{n}": f"n{n}-dead-letters-0000000" for n in range(99)}
    document = policies.acting(changed(deployed, deadLetters=letters))
    assert len(json.dumps(document, separators=(",", ":"))) <= policies.MOST_CHARACTERS
    [queues] = [one["Resource"] for one in document["Statement"] if one["Sid"] == "Letters"]
    assert queues == f"arn:aws:sqs:{HERE}:*-dead-letters-*"


def test_a_stack_without_schedules_has_no_statement_of_them(deployed: Deployed) -> None:
    document = policies.acting(changed(deployed, schedules={}, pipelines={}))
    assert "Schedules" not in {one["Sid"] for one in document["Statement"]}


ANOTHER = {
    "stepfunctions.start_execution": {
        "stateMachineArn": f"arn:aws:states:{HERE}:stateMachine:fargate-batch-prod-job-ingest"
    },
    "stepfunctions.stop_execution": {
        "executionArn": f"arn:aws:states:{HERE}:execution:fargate-batch-prod-job-ingest:x"
    },
    "stepfunctions.redrive_execution": {
        "executionArn": f"arn:aws:states:{HERE}:execution:fargate-batch-prod-job-ingest:x"
    },
    "ecs.run_task": {
        "cluster": "cluster-another",
        "taskDefinition": "fargate-batch-dev-job-ingest",
    },
    "ecs.stop_task": {
        "cluster": "cluster-another",
        "task": f"arn:aws:ecs:{HERE}:task/cluster-another/x",
    },
    "lambda.invoke": {"FunctionName": "task-events-another"},
    "sqs.receive_message": {"QueueUrl": "target-dead-letters-another"},
    "sqs.delete_message": {"QueueUrl": "target-dead-letters-another", "ReceiptHandle": "x"},
    "scheduler.get_schedule": {"GroupName": "schedules-another", "Name": "hello"},
    "scheduler.update_schedule": {
        "GroupName": "schedules-another",
        "Name": "hello",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {"Arn": "arn:aws:sqs:::x", "RoleArn": "arn:aws:iam::111122223333:role/x/y/z"},
    },
    "ssm.put_parameter": {
        "Name": "/fargate-batch/prod/paused/schedule-hello",
        "Value": "x",
        "Type": "String",
    },
    "ssm.delete_parameter": {"Name": "/fargate-batch/prod/paused/schedule-hello"},
    "ssm.get_parameters_by_path": {"Path": "/fargate-batch/prod/index"},
    "logs.filter_log_events": {"logGroupName": "/fargate-batch/prod/ingest"},
    "s3.get_bucket_encryption": {"Bucket": "uploads-another"},
    "sns.get_topic_attributes": {"TopicArn": f"arn:aws:sns:{HERE}:alerts-another"},
    "iam.simulate_principal_policy": {
        "PolicySourceArn": "arn:aws:iam::111122223333:role/fargate-batch/prod/execution",
        "ActionNames": ["x:y"],
    },
}


@pytest.mark.parametrize("call", ANOTHER)
def test_who_may_act_on_one_stack_may_do_nothing_to_another(
    deployed: Deployed, user: User, acting: Document, call: str
) -> None:
    service, _, operation = call.partition(".")
    given = dict(ANOTHER[call])
    if "QueueUrl" in given:
        given["QueueUrl"] = f"{deployed.cloud.endpoint}/111122223333/{given['QueueUrl']}"
    client = user(acting).client(service)
    with pytest.raises(ClientError) as refused:
        getattr(client, operation)(**given)
    assert "not authorized" in str(refused.value)
