"""The two policy documents: each command works with its own, and nothing in them is for nothing."""

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from operate import policies, stack
from operate.aws import Aws
from tests.operate.conftest import CommandLine, Deployed
from tests.operate.served import Client, served

HERE = ("aws", "ap-northeast-1", "111122223333", "fargate-batch", "dev")
READING, ACTING = policies.reading(*HERE), policies.acting(*HERE)
User = Callable[[dict[str, Any]], Aws]


@pytest.fixture
def user(deployed: Deployed) -> Generator[User]:
    """Makes the account's clients of a user who has one policy."""
    iam = deployed.client("iam")
    iam.create_user(UserName="operator")
    key = iam.create_access_key(UserName="operator")["AccessKey"]
    aws = deployed.aws(key["AccessKeyId"], key["SecretAccessKey"])

    def with_policy(document: dict[str, Any]) -> Aws:
        text = json.dumps(document)
        iam.put_user_policy(UserName="operator", PolicyName="own", PolicyDocument=text)
        return aws

    yield with_policy
    iam.delete_user_policy(UserName="operator", PolicyName="own")
    iam.delete_access_key(UserName="operator", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="operator")


def without(document: dict[str, Any], action: str) -> dict[str, Any]:
    """The policy without one action."""
    statements = [
        {**statement, "Action": left}
        for statement in document["Statement"]
        if (left := [one for one in statement["Action"] if one != action])
    ]
    return {**document, "Statement": statements}


def actions(document: dict[str, Any]) -> set[str]:
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
    *("ecs:DescribeClusters", "ecs:DescribeTaskDefinition"),
    *("iam:GetAccountSummary", "iam:GetRole", "sns:ListSubscriptionsByTopic"),
    *("events:ListRules", "kms:DescribeKey", "s3:GetEncryptionConfiguration"),
    "sns:GetTopicAttributes",
}
# Of an image in Amazon ECR, of secrets; the laptop's cloud has no quotas, and lets anybody see the
# endpoints of a VPC.
NOT_HERE = {
    "ec2:DescribeVpcEndpoints",
    *("ecr:DescribeImages", "secretsmanager:DescribeSecret", "ssm:GetParameters"),
    "servicequotas:GetServiceQuota",
}
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


def test_nothing_is_in_a_policy_that_no_command_needs() -> None:
    assert actions(READING) == READERS.keys() | DOCTOR | NOT_HERE
    assert actions(ACTING) == actions(READING) | ACTORS.keys() | PAUSING


def test_the_doctor_looks_at_all_that_its_policy_lets_it(
    fargate_batch: CommandLine, user: User
) -> None:
    def denied(document: dict[str, Any]) -> set[str]:
        found = fargate_batch("doctor", "--json", aws=user(document)).json
        return {one["check"] for one in found if "not authorized" in one["text"]}

    assert denied(READING) == set()
    for action in DOCTOR:
        assert denied(without(READING, action)), action


def test_the_page_takes_no_more_than_the_commands(
    deployed: Deployed, fargate_batch: CommandLine, user: User
) -> None:
    identity = run_that(deployed, fargate_batch, "failed")
    pages = ("/", "/runs", f"/runs/{identity}", "/letters", "/schedules", "/cost")

    def answers(document: dict[str, Any], *, write: bool = False) -> dict[str, tuple[int, str]]:
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
        assert {status for status, _ in answers(READING).values()} == {200}
        refused = answers(without(READING, "logs:FilterLogEvents"))
        assert refused["/runs"][0] == 502
        assert "`fargate-batch policy reading`" in refused["/runs"][1]
        assert "`fargate-batch policy acting`" in answers(READING, write=True)["drop"][1]
        status, text = answers(ACTING, write=True)["drop"]
        assert (status, "dropped" in text) == (200, True)


@pytest.mark.slow
def test_each_command_works_with_its_policy_and_not_without_a_part_of_it(
    deployed: Deployed, fargate_batch: CommandLine, user: User
) -> None:
    names = {
        "FAILED": run_that(deployed, fargate_batch, "failed"),
        "STOPPED": run_that(deployed, fargate_batch, "stopped"),
    }
    for name, start in (("RUNNING", deployed.machine), ("TASK", None)):
        if start is not None:
            execution = deployed.start(environment={"SLEEP": "600"})
            names[name] = execution.rpartition(":")[2]
        else:
            names[name] = task(deployed)
        fargate_batch.run(names[name], "running")

    def answer(command: tuple[str, ...], document: dict[str, Any]) -> tuple[int, str]:
        given = fargate_batch(*(names.get(one, one) for one in command), aws=user(document))
        return given.status, given.err + given.out

    for table, document, name in ((READERS, READING, "reading"), (ACTORS, ACTING, "acting")):
        with letters(deployed):
            for action, command in table.items():
                status, text = answer(command, without(document, action))
                refused = status in {1, 4} and ("not allowed" in text or "AccessDenied" in text)
                assert refused, (action, command, status, text)
                operation = action.partition(":")[2]
                if status == 4 and operation in text and action != "iam:PassRole":
                    assert f"`fargate-batch policy {name}`" in text
    for table, document in ((READERS, READING), (ACTORS, ACTING)):
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


def test_the_documents_are_printed_for_the_stack(fargate_batch: CommandLine) -> None:
    assert fargate_batch("policy", "reading").json == READING
    assert fargate_batch("policy", "acting").json == ACTING


@pytest.mark.parametrize("document", [READING, ACTING])
def test_a_document_fits_a_managed_policy_and_grants_no_service_whole(
    document: dict[str, Any],
) -> None:
    assert len(json.dumps(document, separators=(",", ":"))) < 6144
    assert not [action for action in actions(document) if "*" in action]
