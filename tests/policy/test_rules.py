"""Each rule on what keeps it and on what breaks it; the pack, asked as Pulumi's engine asks it."""

import json
import subprocess
import sys
from collections.abc import Generator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from policy.rules import RULES, STACK_RULES, UNKNOWN, Resource, violations
from tests.recorder import ROOT

Inputs = dict[str, Any]
Stack = list[tuple[str, Inputs]]

BUCKET = "aws:s3/bucket:Bucket"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
ENCRYPTION = (
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
)
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
QUEUE_POLICY = "aws:sqs/queuePolicy:QueuePolicy"
TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"
KEY = "aws:kms/key:Key"
PERMISSION = "aws:lambda/permission:Permission"
TARGET = "aws:cloudwatch/eventTarget:EventTarget"
SCHEDULE = "aws:scheduler/schedule:Schedule"
QUEUE = "aws:sqs/queue:Queue"
TOPIC = "aws:sns/topic:Topic"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
FUNCTION = "aws:lambda/function:Function"
MACHINE = "aws:sfn/stateMachine:StateMachine"
TASK_DEFINITION = "aws:ecs/taskDefinition:TaskDefinition"
REPOSITORY = "aws:ecr/repository:Repository"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
GROUP_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"

ALL_BLOCKED = {
    "bucket": "b",
    "blockPublicAcls": True,
    "blockPublicPolicy": True,
    "ignorePublicAcls": True,
    "restrictPublicBuckets": True,
}
ENCRYPTED = {
    "bucket": "b",
    "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
}
VERSIONED = {"bucket": "b", "versioningConfiguration": {"status": "Enabled"}}


TASK_ARN = "arn:aws:ecs:eu-west-1:123456789012:task-definition/a"
CLUSTER_ARN = "arn:aws:ecs:eu-west-1:123456789012:cluster/c"
ACCOUNT = {"aws:SourceAccount": "123456789012"}
SOURCE = {"aws:SourceArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:m*"}
ROOT_MAY = {
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
    "Resource": "*",
}


def grant(action: object, resource: object = "arn:aws:s3:::b", **more: object) -> Inputs:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource, **more}
    return {"policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}


def bucket_policy(effect: str = "Deny", action: str = "s3:*", secure: str = "false") -> Inputs:
    statement = {
        "Effect": effect,
        "Principal": "*",
        "Action": action,
        "Resource": "arn:aws:s3:::b/*",
        "Condition": {"Bool": {"aws:SecureTransport": secure}},
    }
    return {"bucket": "b", "policy": json.dumps({"Statement": [statement]})}


def queue_policy(**other: object) -> Inputs:
    policy = json.loads(bucket_policy(action="sqs:*")["policy"])
    policy["Statement"][0].update(other)
    return {"queueUrl": "q", "policy": json.dumps(policy)}


def queue(**encryption: object) -> Stack:
    return [(QUEUE, {"url": "q", **encryption}), (QUEUE_POLICY, queue_policy())]


def function(group: str = "/f", **inputs: object) -> Stack:
    logged = {"loggingConfig": {"logGroup": group}, **inputs}
    return [(FUNCTION, logged), (LOG_GROUP, {"name": "/f", "retentionInDays": 1})]


def key(*statements: Inputs, rotated: bool = True) -> Stack:
    policy = json.dumps({"Statement": statements})
    return [(KEY, {"enableKeyRotation": rotated, "policy": policy})]


def run(tasks: str = f"{TASK_ARN}:7", cluster: object = CLUSTER_ARN) -> Stack:
    condition = {"ArnEquals": {"ecs:cluster": cluster}}
    return [(ROLE_POLICY, grant("ecs:RunTask", tasks, Condition=condition))]


def trusted(service: str, **condition: object) -> Stack:
    statement: Inputs = {"Effect": "Allow", "Action": "sts:AssumeRole", "Condition": condition}
    statement["Principal"] = {"Service": f"{service}.amazonaws.com"}
    return [(ROLE, {"assumeRolePolicy": json.dumps({"Statement": [statement]})})]


def publishing(**condition: object) -> Stack:
    principal = {"Service": "cloudwatch.amazonaws.com"}
    topic = "arn:aws:sns:eu-west-1:123456789012:t"
    policy = grant("sns:Publish", topic, Principal=principal, Condition=condition)
    return [(TOPIC_POLICY, policy)]


TOKEN = "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken"


def machine(**state: object) -> Inputs:
    state = {"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "End": True} | state
    inner = {"StartAt": "Run", "States": {"Run": state}}
    outer = {"Type": "Parallel", "Branches": [inner], "End": True}
    return {"definition": json.dumps({"StartAt": "Both", "States": {"Both": outer}})}


def image(uri: str) -> Inputs:
    return {"containerDefinitions": json.dumps([{"name": "a", "image": uri}])}


BOUND = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
WHOLE_BUCKET: Stack = [
    (BUCKET, {"bucket": "b"}),
    (BLOCK, ALL_BLOCKED),
    (ENCRYPTION, ENCRYPTED),
    (VERSIONING, VERSIONED),
    (BUCKET_POLICY, bucket_policy()),
]


def bucket_but(type_: str, inputs: Inputs | None) -> Stack:
    """The bucket that keeps every rule, with one of its parts another one, or missing."""
    others = [part for part in WHOLE_BUCKET if part[0] != type_]
    return others if inputs is None else [*others, (type_, inputs)]


KEPT: dict[str, list[Stack]] = {
    "queues-encrypted": [
        queue(sqsManagedSseEnabled=True),
        queue(kmsMasterKeyId=UNKNOWN),
    ],
    "topics-encrypted": [[(TOPIC, {"kmsMasterKeyId": "alias/mine"})]],
    "log-groups-expire": [[(LOG_GROUP, {"retentionInDays": 1})]],
    "functions-time-out": [function(timeout=10)],
    "tasks-time-out": [
        [(MACHINE, machine(TimeoutSeconds=60))],
        [(MACHINE, machine(Resource="arn:aws:states:::ecs:runTask"))],
        [(MACHINE, machine(Resource=TOKEN, TimeoutSeconds=60))],
        [(MACHINE, {"definition": UNKNOWN})],
    ],
    "no-public-ingress": [
        [(INGRESS, {"cidrIpv4": "10.0.0.0/8"})],
        [(INGRESS, {"referencedSecurityGroupId": "sg-1"})],
        [(GROUP, {"ingress": [{"cidrBlocks": ["10.0.0.0/8"]}]})],
        [(GROUP, {"egress": [{"cidrBlocks": ["0.0.0.0/0"]}]})],
        [(GROUP_RULE, {"type": "egress", "cidrBlocks": ["0.0.0.0/0"]})],
    ],
    "images-pinned": [
        [(TASK_DEFINITION, image("registry.example.com:5000/batch:1.0"))],
        [(TASK_DEFINITION, image(f"batch@sha256:{'ab' * 32}"))],
        [(TASK_DEFINITION, {"containerDefinitions": UNKNOWN})],
    ],
    "tags-immutable": [
        [(REPOSITORY, {"imageTagMutability": "IMMUTABLE"})],
        # What the engine knows of it: the repository inside it is looked at.
        [("awsx:ecr:Repository", {})],
    ],
    "grants-narrow": [
        [(ROLE_POLICY, grant("s3:GetObject"))],
        [(ROLE_POLICY, grant(["ecr:GetAuthorizationToken"], "*"))],
        [(ROLE_POLICY, {"policy": UNKNOWN})],
        [(ATTACHMENT, {"policyArn": "arn:aws:iam::123456789012:policy/mine"})],
        key(ROOT_MAY),
    ],
    "passed-roles-bound": [[(ROLE_POLICY, grant("iam:PassRole", Condition=BOUND))]],
    "runs-bound": [run(), run(f"{TASK_ARN}:*")],
    "services-bound": [
        trusted("states", StringEquals=ACCOUNT, ArnLike=SOURCE),
        trusted("lambda"),
        trusted("states", StringEquals={"aws:SourceAccount": ["123456789012"]}, ArnLike=SOURCE),
        publishing(StringEquals=ACCOUNT),
        publishing(ArnLike=SOURCE),
        [(PERMISSION, {"principal": "events.amazonaws.com", "sourceArn": UNKNOWN})],
    ],
    "keys-rotated": [key()],
    "deliveries-kept": [
        [(TARGET, {"deadLetterConfig": {"arn": UNKNOWN}})],
        [(TARGET, {"retryPolicy": {"maximumEventAgeInSeconds": 240}})],
        [(SCHEDULE, {"target": {"deadLetterConfig": {"arn": "arn:aws:sqs:::q"}}})],
    ],
    "buckets-blocked": [WHOLE_BUCKET],
    "buckets-encrypted": [WHOLE_BUCKET],
    "buckets-versioned": [WHOLE_BUCKET],
    "buckets-tls-only": [
        WHOLE_BUCKET,
        bucket_but(BUCKET_POLICY, {"bucket": "b", "policy": UNKNOWN}),
    ],
    "queues-tls-only": [queue(sqsManagedSseEnabled=True)],
    "functions-log": [function(timeout=10), function(UNKNOWN, timeout=10)],
}

BROKEN: dict[str, list[Stack]] = {
    "queues-encrypted": [queue(), queue(sqsManagedSseEnabled=False)],
    "topics-encrypted": [[(TOPIC, {"displayName": "a"})]],
    "log-groups-expire": [[(LOG_GROUP, {})], [(LOG_GROUP, {"retentionInDays": 0})]],
    "functions-time-out": [function(handler="a.b")],
    "tasks-time-out": [[(MACHINE, machine())], [(MACHINE, machine(Resource=TOKEN))]],
    "no-public-ingress": [
        [(INGRESS, {"cidrIpv4": "0.0.0.0/0"})],
        [(INGRESS, {"cidrIpv6": "::/0"})],
        [(GROUP, {"ingress": [{"cidrBlocks": ["10.0.0.0/8", "0.0.0.0/0"]}]})],
        [(GROUP_RULE, {"type": "ingress", "ipv6CidrBlocks": ["::/0"]})],
    ],
    "images-pinned": [
        [(TASK_DEFINITION, image("registry.example.com:5000/batch"))],
        [(TASK_DEFINITION, image("batch:latest"))],
    ],
    "tags-immutable": [
        [(REPOSITORY, {})],
        [(REPOSITORY, {"imageTagMutability": "MUTABLE"})],
    ],
    "grants-narrow": [
        [(ROLE_POLICY, grant("s3:*"))],
        [(ROLE_POLICY, grant("*"))],
        [(ROLE_POLICY, grant("s3:Get*"))],
        [(TOPIC_POLICY, grant("sns:Publish", "*"))],
        key({**ROOT_MAY, "Principal": "*"}),
        [(ROLE_POLICY, grant(["ecr:GetAuthorizationToken", "s3:GetObject"], "*"))],
        [(ROLE, {"inlinePolicies": [{"name": "a", **grant("s3:GetObject", ["*"])}]})],
        [(ATTACHMENT, {"policyArn": "arn:aws:iam::aws:policy/AmazonECS_FullAccess"})],
    ],
    "passed-roles-bound": [
        [(ROLE_POLICY, grant(["ecs:TagResource", "iam:PassRole"]))],
        [(ROLE_POLICY, grant("iam:PassRole", Condition={"StringEquals": {"a:b": "c"}}))],
        [(ROLE_POLICY, grant("iam:PassRole", Condition={"StringLike": BOUND["StringEquals"]}))],
        [(ROLE_POLICY, grant("iam:PassRole", "arn:aws:iam::1:role/*", Condition=BOUND))],
    ],
    "runs-bound": [
        run(TASK_ARN),
        run(f"{TASK_ARN}*:*"),
        run(cluster=[]),
        run(cluster=f"{CLUSTER_ARN}*"),
    ],
    "services-bound": [
        trusted("states"),
        trusted("states", StringEquals=ACCOUNT),
        trusted("states", ArnLike=SOURCE),
        trusted("states", StringEquals={"aws:SourceAccount": "999999999999"}, ArnLike=SOURCE),
        publishing(),
        [(PERMISSION, {"principal": "events.amazonaws.com"})],
    ],
    "keys-rotated": [key(rotated=False)],
    "deliveries-kept": [
        [(TARGET, {"rule": "r"})],
        [(TARGET, {"retryPolicy": {"maximumEventAgeInSeconds": 300}})],
        [(SCHEDULE, {"target": {"arn": "arn:aws:states:::m"}})],
    ],
    "buckets-blocked": [
        bucket_but(BLOCK, None),
        bucket_but(BLOCK, {**ALL_BLOCKED, "blockPublicPolicy": False}),
        bucket_but(BLOCK, {**ALL_BLOCKED, "bucket": "another"}),
    ],
    "buckets-encrypted": [
        bucket_but(ENCRYPTION, None),
        bucket_but(ENCRYPTION, {**ENCRYPTED, "rules": [{"bucketKeyEnabled": True}]}),
    ],
    "buckets-versioned": [
        bucket_but(VERSIONING, None),
        bucket_but(VERSIONING, {**VERSIONED, "versioningConfiguration": {"status": "Suspended"}}),
    ],
    "buckets-tls-only": [
        bucket_but(BUCKET_POLICY, None),
        bucket_but(BUCKET_POLICY, bucket_policy(action="s3:GetObject")),
        bucket_but(BUCKET_POLICY, bucket_policy(secure="true")),
    ],
    "queues-tls-only": [
        queue(sqsManagedSseEnabled=True)[:1],
        [
            *queue(sqsManagedSseEnabled=True)[:1],
            (
                QUEUE_POLICY,
                queue_policy(
                    Condition={
                        "Bool": {"aws:SecureTransport": "false"},
                        "StringEquals": {"aws:PrincipalAccount": "123456789012"},
                    }
                ),
            ),
        ],
    ],
    "functions-log": [
        function("/another", timeout=10),
        [(FUNCTION, {"timeout": 10}), (LOG_GROUP, {"retentionInDays": 1})],
    ],
}


def resources(stack: Stack) -> list[Resource]:
    return [
        Resource(type_, f"r{number}", urn(type_, number), inputs)
        for number, (type_, inputs) in enumerate(stack)
    ]


def urn(type_: str, number: int) -> str:
    return f"urn:pulumi:dev::team::{type_}::r{number}"


def test_every_rule_has_an_example_that_keeps_it_and_one_that_breaks_it() -> None:
    names = [rule.name for rule in (*RULES, *STACK_RULES)]
    assert list(KEPT) == names
    assert list(BROKEN) == names


@pytest.mark.parametrize("stack", [stack for stacks in KEPT.values() for stack in stacks])
def test_what_keeps_the_rules_is_left_alone(stack: Stack) -> None:
    assert violations(resources(stack)) == []


@pytest.mark.parametrize(
    ("rule", "stack"), [(rule, stack) for rule, stacks in BROKEN.items() for stack in stacks]
)
def test_what_breaks_a_rule_is_named_once_and_nothing_else_is(rule: str, stack: Stack) -> None:
    [found] = violations(resources(stack))
    assert (found.rule, found.urn) == (rule, urn(stack[0][0], 0))
    assert len(found.message) > 30


def test_a_policy_that_allows_what_it_should_deny_breaks_two_rules() -> None:
    stack = bucket_but(BUCKET_POLICY, bucket_policy(effect="Allow"))
    found = violations(resources(stack))
    assert [violation.rule for violation in found] == ["grants-narrow", "buckets-tls-only"]


def test_the_parts_of_a_bucket_without_a_name_yet_are_known_by_what_they_depend_on() -> None:
    bucket, *parts = resources(WHOLE_BUCKET)
    unnamed = [
        Resource(part.type, part.name, part.urn, {**part.inputs, "bucket": UNKNOWN})
        for part in parts
    ]
    assert len(violations([bucket, *unnamed])) == 4
    dependent = [
        Resource(part.type, part.name, part.urn, part.inputs, frozenset({bucket.urn}))
        for part in unnamed
    ]
    assert violations([bucket, *dependent]) == []


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Generator[analyzer_pb2_grpc.AnalyzerStub]:
    """The pack's process as the Pulumi CLI starts it, and its end of the engine's connection."""
    errors = tmp_path_factory.mktemp("pack") / "stderr"
    command = [sys.executable, "-u", "-m", "pulumi.policy", "127.0.0.1:0", str(ROOT / "policy")]
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(command, cwd=ROOT / "policy", stdout=subprocess.PIPE, stderr=stderr) as it,
    ):
        assert it.stdout is not None
        port = it.stdout.readline().decode().strip()
        assert port, errors.read_text()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
        it.terminate()


def struct(inputs: Inputs) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    made.update(inputs)
    return made


def test_the_pack_has_every_rule_and_each_is_mandatory(
    engine: analyzer_pb2_grpc.AnalyzerStub,
) -> None:
    info = engine.GetAnalyzerInfo(empty_pb2.Empty())
    assert info.name == "fargate-batch"
    assert {policy.name: policy.enforcementLevel for policy in info.policies} == {
        rule.name: analyzer_pb2.MANDATORY for rule in (*RULES, *STACK_RULES)
    }


def diagnosed(response: analyzer_pb2.AnalyzeResponse) -> list[tuple[str, int, str]]:
    return [(d.policyName, d.enforcementLevel, d.urn) for d in response.diagnostics]


@pytest.mark.parametrize(("rule", "stack"), [(rule.name, BROKEN[rule.name][0]) for rule in RULES])
def test_the_pack_refuses_a_resource_before_it_is_made(
    engine: analyzer_pb2_grpc.AnalyzerStub, rule: str, stack: Stack
) -> None:
    type_, inputs = stack[0]
    request = analyzer_pb2.AnalyzeRequest(
        type=type_, name="r0", urn=urn(type_, 0), properties=struct(inputs)
    )
    found = diagnosed(engine.Analyze(request))
    assert [(name, level) for name, level, _ in found] == [(rule, analyzer_pb2.MANDATORY)]
    [kept, *_] = KEPT[rule]
    request = analyzer_pb2.AnalyzeRequest(
        type=kept[0][0], name="r0", urn=urn(kept[0][0], 0), properties=struct(kept[0][1])
    )
    assert diagnosed(engine.Analyze(request)) == []


@pytest.mark.parametrize("unknown", [False, True])
def test_the_pack_refuses_a_stack_in_which_a_resource_lacks_a_part(
    engine: analyzer_pb2_grpc.AnalyzerStub, *, unknown: bool
) -> None:
    def request(stack: Stack) -> analyzer_pb2.AnalyzeStackRequest:
        owner = urn(stack[0][0], 0)
        return analyzer_pb2.AnalyzeStackRequest(
            resources=[
                analyzer_pb2.AnalyzerResource(
                    type=type_,
                    name=f"r{number}",
                    urn=urn(type_, number),
                    properties=struct(inputs | ({"bucket": UNKNOWN} if unknown else {})),
                    dependencies=[owner] if number else [],
                )
                for number, (type_, inputs) in enumerate(stack)
            ]
        )

    assert diagnosed(engine.AnalyzeStack(request(WHOLE_BUCKET))) == []
    for rule in STACK_RULES:
        found = diagnosed(engine.AnalyzeStack(request(BROKEN[rule.name][0])))
        owner = urn(BROKEN[rule.name][0][0][0], 0)
        assert found == [(rule.name, analyzer_pb2.MANDATORY, owner)]
