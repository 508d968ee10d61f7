"""What could not be delivered waits in its queue; sent again as the guide says, it runs."""

import dataclasses
import json
from collections.abc import Generator
from typing import Any

import pytest

from local.cloud import Cloud
from local.engine.project import load
from local.engine.resources import create_stack
from local.services.iam import iam
from local.services.scheduler import schedules
from tests.local.probe import REGION, ended, eventually
from tests.local.programs import ROOT

IMAGE = "registry.example.com/tell:1"
PROGRAM = "import os, sys; print(sys.argv[1:], os.environ.get('OBJECT_KEY'))"
KEY = 'target/a "b"\n<key>.csv'


@dataclasses.dataclass
class Deployed:
    cloud: Cloud
    outputs: dict[str, Any]

    @property
    def job(self) -> dict[str, str]:
        return self.outputs["jobs"]["ingest"]

    def letter(self, queue: str) -> dict[str, Any]:
        """The one dead letter of a queue, once it is there."""
        read = self.cloud.client("sqs").receive_message
        [message] = eventually(
            lambda: read(QueueUrl=queue, MessageAttributeNames=["All"]).get("Messages")
        )
        return message

    def run(self, overrides: dict[str, Any]) -> list[str]:
        """Starts the job's task as the guide does; its log once it has stopped."""
        ecs = self.cloud.client("ecs")
        task = ecs.run_task(
            cluster=self.outputs["clusterArn"],
            taskDefinition=self.job["taskDefinitionArn"],
            capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
            propagateTags="TASK_DEFINITION",
            overrides=overrides,
            networkConfiguration={
                "awsvpcConfiguration": {
                    "subnets": self.outputs["subnetIds"],
                    "securityGroups": [self.outputs["securityGroupId"]],
                    "assignPublicIp": "ENABLED",
                }
            },
        )["tasks"][0]["taskArn"]

        def stopped() -> bool | None:
            found = ecs.describe_tasks(cluster=self.outputs["clusterArn"], tasks=[task])["tasks"]
            return found[0]["lastStatus"] == "STOPPED" or None

        eventually(stopped)
        return self.log(f"ingest/ingest/{task.rpartition('/')[2]}")

    def log(self, stream: str) -> list[str]:
        found = self.cloud.client("logs").get_log_events(
            logGroupName=self.job["logGroup"], logStreamName=stream
        )
        return [event["message"] for event in found["events"]]

    def logged(self) -> bool | None:
        """Whether the log of task events has the end of every task."""
        found = self.cloud.client("logs").filter_log_events(
            logGroupName=self.outputs["taskEventLogGroup"]
        )
        log = "".join(
            e["message"] for e in found["events"] if '"lastStatus":"STOPPED"' in e["message"]
        )
        tasks = self.cloud.client("ecs").list_tasks(
            cluster=self.outputs["clusterArn"], desiredStatus="STOPPED"
        )["taskArns"]
        return all(task in log for task in tasks) or None

    def put(self, key: str) -> None:
        self.cloud.client("s3").put_object(Bucket=self.outputs["uploadBucket"], Key=key, Body=b"x")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployed]:
    context = tmp_path_factory.mktemp("tell")
    entry_point = json.dumps(["python", "-S", "-E", "-c", PROGRAM])
    (context / "Dockerfile").write_text(f"ENTRYPOINT {entry_point}\n")
    project = load(ROOT, "dev")
    hello = {"job": "ingest", "schedule": "rate(1 day)", "enabled": False, "commands": ["a b"]}
    config = {"image": IMAGE, "schedules": json.dumps({"hello": hello})}
    config = {f"{project.name}:{name}": value for name, value in config.items()}
    with Cloud(0, REGION, wait_scale=0.01) as cloud:
        cloud.images.add(IMAGE, context)
        changed = dataclasses.replace(project, config=project.config | config)
        deployed = Deployed(cloud, create_stack(changed, cloud, cloud.images.add).outputs)
        yield deployed
        # A function that is at work when its cloud closes leaves its pipes open.
        eventually(deployed.logged)


def grant(deployed: Deployed, rule_arn: str, action: str) -> iam.Statement:
    """The statement that lets a rule do this."""
    rule = rule_arn.rpartition("/")[2]
    [target] = deployed.cloud.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    return only(target["RoleArn"], action)


def only(role: str, action: str) -> iam.Statement:
    [found] = [statement for statement in iam.statements([role]) if action in statement.text]
    return found


def attributes(letter: dict[str, Any]) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}


def test_an_event_for_a_state_machine_is_sent_again_as_its_input(deployed: Deployed) -> None:
    upload = deployed.outputs["uploads"]["target"]
    with iam.without(grant(deployed, upload["ruleArn"], "states:StartExecution")):
        deployed.put(KEY)
        letter = deployed.letter(upload["deadLetterQueueUrl"])
    why = attributes(letter)
    assert (why["ERROR_CODE"], why["RULE_ARN"]) == ("NO_PERMISSIONS", upload["ruleArn"])
    assert "states:StartExecution" in why["ERROR_MESSAGE"]
    states = deployed.cloud.client("stepfunctions")
    execution = states.start_execution(
        stateMachineArn=deployed.job["stateMachineArn"], input=letter["Body"]
    )["executionArn"]
    output = json.loads(ended(deployed.cloud, execution)["output"])
    assert deployed.log(output["logStream"]) == [f"{[KEY]} {KEY.splitlines()[0]}", "<key>.csv"]


def test_an_event_for_a_task_is_sent_again_as_its_bucket_and_key(deployed: Deployed) -> None:
    upload = deployed.outputs["uploads"]["complete"]
    with iam.without(grant(deployed, upload["ruleArn"], "iam:PassRole")):
        deployed.put("test/aaa/complete.txt")
        letter = deployed.letter(upload["deadLetterQueueUrl"])
    why = attributes(letter)
    assert (why["ERROR_CODE"], why["RULE_ARN"]) == ("NO_PERMISSIONS", upload["ruleArn"])
    detail = json.loads(letter["Body"])["detail"]
    environment = [
        {"name": "BUCKET", "value": detail["bucket"]["name"]},
        {"name": "OBJECT_KEY", "value": detail["object"]["key"]},
    ]
    override = {"name": "ingest", "environment": environment}
    assert deployed.run({"containerOverrides": [override]}) == ["[] test/aaa/complete.txt"]


def test_what_a_schedule_could_not_start_is_sent_again_as_its_overrides(deployed: Deployed) -> None:
    arn = deployed.outputs["schedules"]["hello"]
    _, group, name = arn.split("/")
    target = deployed.cloud.client("scheduler").get_schedule(GroupName=group, Name=name)["Target"]
    queue = target["DeadLetterConfig"]["Arn"].rpartition(":")[2]
    url = deployed.cloud.client("sqs").get_queue_url(QueueName=queue)["QueueUrl"]
    with iam.without(only(target["RoleArn"], "iam:PassRole")):
        schedules.fire(arn)
        letter = deployed.letter(url)
    why = attributes(letter)
    assert "iam:PassRole" in why["ERROR_MESSAGE"]
    assert why["SCHEDULE_ARN"] == arn
    assert deployed.run(json.loads(target["Input"])) == ["['a b'] None"]
