"""A job with secrets: its container gets their values; nobody else does, whatever fails."""

import base64
import dataclasses
import hashlib
import json
import secrets
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from local.cloud import ACCOUNT, Cloud
from local.engine.monitor import evaluate
from local.engine.project import Project, load
from local.engine.resources import CloudProvider
from local.engine.resources.context import Context
from local.engine.state import Created, Properties, Registration
from local.services.iam import iam
from tests.local.probe import REGION, ended, eventually, subscriber
from tests.local.programs import ROOT

pytestmark = pytest.mark.slow

IMAGE = "registry.example.com/holder:1"

# Tells that it has the values, not what they are; fails when it is asked to.
PROGRAM = """
import hashlib, json, os, sys
held = {name: value for name, value in os.environb.items() if name.startswith(b"SECRET_")}
told = {name.decode(): hashlib.sha256(value).hexdigest() for name, value in held.items()}
print(json.dumps(told))
sys.exit("fail" in [*sys.argv[1:], os.environ.get("OBJECT_KEY")])
"""


@dataclasses.dataclass(frozen=True)
class Values:
    """What must stay secret, made anew for each run."""

    plain: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))
    member: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))
    parameter: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))
    locked: str = dataclasses.field(default_factory=lambda: secrets.token_hex(16))

    def in_any_form(self) -> list[str]:
        texts = list(dataclasses.asdict(self).values())
        return texts + [base64.b64encode(text.encode()).decode()[:30] for text in texts]


class Recorder(CloudProvider):
    """Makes the resources of a stack, and keeps all that Pulumi would hear of them."""

    def __init__(self, cloud: Cloud, project: Project) -> None:
        super().__init__(
            Context(cloud, project.root, project.region, project.default_tags, cloud.images.add)
        )
        self.heard: list[str] = []

    def create(self, registration: Registration) -> Created:
        self.heard.append(repr(registration))
        created = super().create(registration)
        self.heard.append(repr(created))
        return created

    def invoke(self, token: str, arguments: Properties) -> Properties:
        self.heard.append(repr((token, arguments)))
        return super().invoke(token, arguments)


@dataclasses.dataclass
class Deployed:
    cloud: Cloud
    outputs: dict[str, Any]
    heard: str
    values: Values

    def run(self, job: str, *commands: str) -> dict[str, Any]:
        """One execution of a job, once it has ended."""
        states = self.cloud.client("stepfunctions")
        execution = states.start_execution(
            stateMachineArn=self.outputs["jobs"][job]["stateMachineArn"],
            input=json.dumps({"commands": list(commands)}),
        )["executionArn"]
        return self.ended(execution)

    def ended(self, execution: str) -> dict[str, Any]:
        return ended(self.cloud, execution)

    def told(self, ended: dict[str, Any]) -> dict[str, str]:
        output = json.loads(ended["output"])
        [event] = self.cloud.client("logs").get_log_events(
            logGroupName=output["logGroup"], logStreamName=output["logStream"]
        )["events"]
        return json.loads(event["message"])

    def tasks(self) -> list[dict[str, Any]]:
        ecs, cluster = self.cloud.client("ecs"), self.outputs["clusterArn"]
        return [
            task
            for status in ("RUNNING", "STOPPED")
            for page in ecs.get_paginator("list_tasks").paginate(
                cluster=cluster, desiredStatus=status
            )
            if page["taskArns"]
            for task in ecs.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]
        ]

    def execution_role(self, job: str) -> str:
        arn = self.outputs["jobs"][job]["taskDefinitionArn"]
        found = self.cloud.client("ecs").describe_task_definition(taskDefinition=arn)
        return found["taskDefinition"]["executionRoleArn"]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployed]:
    context = tmp_path_factory.mktemp("holder")
    program = context / "holder.py"
    program.write_text(PROGRAM)
    (context / "Dockerfile").write_text(f'ENTRYPOINT ["python", "-S", "-E", "{program}"]\n')
    values = Values()
    with Cloud(0, REGION, wait_scale=0.01) as cloud:
        cloud.images.add(IMAGE, context)
        manager, ssm = cloud.client("secretsmanager"), cloud.client("ssm")
        key = cloud.client("kms").create_key(Description="secrets")["KeyMetadata"]["Arn"]
        plain = manager.create_secret(Name="plain", SecretString=values.plain)["ARN"]
        document = json.dumps({"password": values.member, "other": values.locked})
        whole = manager.create_secret(Name="whole", SecretString=document)["ARN"]
        locked = manager.create_secret(Name="locked", SecretString=values.locked, KmsKeyId=key)[
            "ARN"
        ]
        ssm.put_parameter(Name="/team/token", Value=values.parameter, Type="SecureString")
        held = {
            "SECRET_PLAIN": plain,
            "SECRET_MEMBER": f"{whole}:password::",
            "SECRET_PARAMETER": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/team/token",
        }
        missing = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:missing-AbCdEf"
        jobs = {
            "holder": {"secrets": held},
            "member-missing": {"secrets": {"SECRET_A": plain, "SECRET_B": f"{whole}:none::"}},
            "missing": {"secrets": {"SECRET_A": plain, "SECRET_B": missing}},
            "locked": {"secrets": {"SECRET_A": plain, "SECRET_LOCKED": locked}},
            "keyed": {"secrets": {"SECRET_LOCKED": locked}, "secretsKey": key},
        }
        config = {
            "image": IMAGE,
            "jobs": json.dumps(jobs),
            "uploads": json.dumps(
                {
                    "machine": {"job": "holder", "wildcard": "*"},
                    "direct": {"job": "holder", "wildcard": "*", "via": "task"},
                }
            ),
            "pipelines": "{}",
            "schedules": "{}",
        }
        project = load(ROOT, "dev")
        config = {f"{project.name}:{name}": value for name, value in config.items()}
        project = dataclasses.replace(project, config=project.config | config)
        recorder = Recorder(cloud, project)
        evaluation = evaluate(project, recorder)
        heard = "\n".join([*recorder.heard, repr(evaluation), repr(project)])
        yield Deployed(cloud, evaluation.outputs, heard, values)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_container_gets_a_secret_a_member_of_one_and_a_parameter(deployed: Deployed) -> None:
    ended = deployed.run("holder")
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert deployed.told(ended) == {
        "SECRET_PLAIN": digest(deployed.values.plain),
        "SECRET_MEMBER": digest(deployed.values.member),
        "SECRET_PARAMETER": digest(deployed.values.parameter),
    }


def test_a_secret_under_a_key_of_ones_own_takes_that_key_in_the_settings(
    deployed: Deployed,
) -> None:
    assert deployed.told(deployed.run("keyed")) == {"SECRET_LOCKED": digest(deployed.values.locked)}


def refused(ended: dict[str, Any], *says: str) -> None:
    """Never started, for a reason that one can read and that has the words `says`."""
    assert (ended["status"], ended["error"]) == ("FAILED", "Batch.NeverStarted")
    cause = ended["cause"]
    reason = "its task never started."
    assert [text for text in (reason, "TaskFailedToStart", *says) if text not in cause] == []


def test_a_secret_whose_key_the_job_may_not_use_stops_the_task_before_it_runs(
    deployed: Deployed,
) -> None:
    refused(deployed.run("locked"), "ResourceInitializationError", "kms:Decrypt")


def test_a_secret_the_role_may_not_read_stops_the_task_before_it_runs(deployed: Deployed) -> None:
    role = deployed.execution_role("holder")
    [reading] = [one for one in iam.statements([role]) if "GetSecretValue" in one.text]
    with iam.without(reading):
        ended = deployed.run("holder")
    refused(ended, "ResourceInitializationError", "secretsmanager:GetSecretValue")


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ("missing", "Secrets Manager can't find the specified secret"),
        ("member-missing", "did not contain json key none"),
    ],
)
def test_a_secret_that_is_not_there_stops_the_task_before_it_runs(
    deployed: Deployed, job: str, says: str
) -> None:
    refused(deployed.run(job), "ResourceInitializationError", says)


def everything(deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Every place that a person or a program may read but the secrets themselves."""
    cloud = deployed.cloud
    yield "Pulumi", deployed.heard
    ecs = cloud.client("ecs")
    for page in ecs.get_paginator("list_task_definitions").paginate():
        for arn in page["taskDefinitionArns"]:
            yield arn, repr(ecs.describe_task_definition(taskDefinition=arn))
    for task in deployed.tasks():
        yield task["taskArn"], repr(task)
    states = cloud.client("stepfunctions")
    for machine in states.list_state_machines()["stateMachines"]:
        arn = machine["stateMachineArn"]
        yield arn, repr(states.describe_state_machine(stateMachineArn=arn))
        for run in states.list_executions(stateMachineArn=arn)["executions"]:
            execution = run["executionArn"]
            yield execution, repr(states.describe_execution(executionArn=execution))
            history = states.get_execution_history(
                executionArn=execution, includeExecutionData=True, maxResults=1000
            )
            yield f"history of {execution}", repr(history)
    logs = cloud.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            name = group["logGroupName"]
            for events in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
                yield f"log {name}", repr(events["events"])
    sqs = cloud.client("sqs")
    for queue in sqs.list_queues()["QueueUrls"]:
        while messages := sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            VisibilityTimeout=60,
        ).get("Messages"):
            yield f"queue {queue}", repr(messages)


def test_the_values_are_nowhere_else_whatever_fails(deployed: Deployed) -> None:
    cloud = deployed.cloud
    told = subscriber(cloud, deployed.outputs["alertsTopicArn"], "told")
    failed = deployed.run("holder", "fail")
    assert (failed["status"], failed["error"]) == ("FAILED", "Batch.Failed")
    for job in ("locked", "missing", "member-missing"):
        refused(deployed.run(job))
    cloud.client("s3").put_object(Bucket=deployed.outputs["uploadBucket"], Key="fail", Body=b"x")
    # An event that cannot be delivered, and so ends in the dead-letter queue.
    rule = deployed.outputs["uploads"]["direct"]["ruleArn"].rpartition("/")[2]
    [target] = cloud.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    [passing] = [one for one in iam.statements([target["RoleArn"]]) if "PassRole" in one.text]
    with iam.without(passing):
        cloud.client("s3").put_object(
            Bucket=deployed.outputs["uploadBucket"], Key="undelivered", Body=b"x"
        )
        queue = deployed.outputs["uploads"]["direct"]["deadLetterQueueUrl"]
        eventually(lambda: count(cloud, queue) or None)

    def all_is_logged() -> bool | None:
        """Whether the log of task events has the end of every task."""
        pages = (
            cloud.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName=deployed.outputs["taskEventLogGroup"])
        )
        lines = [event["message"] for page in pages for event in page["events"]]
        stopped = [line for line in lines if '"lastStatus":"STOPPED"' in line]
        log = "".join(stopped)
        return all(task["taskArn"] in log for task in deployed.tasks()) or None

    eventually(lambda: count(cloud, told) or None)
    eventually(all_is_logged)
    places = dict[str, str]()
    for place, text in everything(deployed):
        places[place] = places.get(place, "") + text
    kinds = {place.split(":")[2] if place.startswith("arn:") else place for place in places}
    assert {"Pulumi", "ecs", "states", f"queue {told}", f"queue {queue}"} <= kinds
    leaks = [
        (place, form)
        for place, text in places.items()
        for form in deployed.values.in_any_form()
        if form in text
    ]
    assert leaks == []


def count(cloud: Cloud, queue: str) -> int:
    name = "ApproximateNumberOfMessages"
    attributes = cloud.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=[name])
    return int(attributes["Attributes"][name])
