"""The real program in the laptop's cloud, what it must be able to do, and each of its grants.

A grant is one action of one statement: withheld, something that the program does must fail.
"""

import contextlib
import functools
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.exceptions import ClientError

from local.cloud import ACCOUNT, Cloud
from local.engine.project import load
from local.engine.resources import create_stack
from local.faults import Faults
from local.services.iam import iam
from local.services.iam.policies import Statement
from local.services.scheduler import schedules
from operate import pauses
from tests.local.probe import pause_between_looks, subscriber
from tests.local.programs import ROOT

REGION = "ap-northeast-1"
HERE = f"{REGION}:{ACCOUNT}"
WAIT_SCALE = 0.0005
SECONDS = 60.0
# How long what was refused may still come about by another try: those are milliseconds apart.
AFTER_REFUSAL_SECONDS = 0.5
SECRET = f"arn:aws:secretsmanager:{HERE}:secret:database"
LIMIT = 2
PARAMETER = f"arn:aws:ssm:{HERE}:parameter/token"

T = TypeVar("T")
Json = Any


def configuration(secret_arn: str, key_arns: Sequence[str]) -> Mapping[str, Json]:
    """One of everything that the stack's configuration knows."""
    # Not due for months, though enabled: the watcher looks at no other.
    when = {"schedule": "cron(0 0 L 2 ? *)"}
    job = {"job": "ingest"}
    return {
        "protect": False,
        "uploadsBucket": {"kmsKeyArn": key_arns[0]},
        "resultsBucket": {"kmsKeyArn": key_arns[1]},
        "buckets": {"partner": {"kmsKeyArn": key_arns[2]}},
        "jobs": {
            "ingest": {
                "retries": 0,
                "maxConcurrency": LIMIT,
                "exitCodes": {"warning": [3]},
                "secrets": {"PASSWORD": secret_arn, "TOKEN": PARAMETER},
                "volumes": {
                    "shared": {
                        "fileSystemId": "fs-12345678",
                        "accessPointId": "fsap-12345678",
                        "containerPath": "/mnt/shared",
                    }
                },
            }
        },
        "uploads": {
            "through": {**job, "prefix": ["through/", "also/"], "exclude": "*.skip"},
            "straight": {**job, "prefix": "straight/", "via": "task"},
            "partner": {**job, "bucket": "partner", "suffix": ".csv"},
            "piped": {"pipeline": "nightly", "prefix": "piped/"},
        },
        "pipelines": {"nightly": {**when, "overlap": "skip", "steps": [[job, job], job]}},
        "schedules": {"hourly": {**when, **job}},
        "backfills": True,
    }


class Missing(AssertionError):  # noqa: N818 - says what happened
    """What should have come about did not."""


@dataclass
class Deployed:
    """The stack, and a queue that is subscribed to its topic."""

    cloud: Cloud
    outputs: Mapping[str, Json]
    listener: str
    programs: Mapping[str, Path]
    image: str
    session: boto3.Session = field(default_factory=boto3.Session)
    expected: set[str] = field(default_factory=set[str])
    wanted: list[iam.Decision] = field(default_factory=list[iam.Decision])
    stopped: dict[str, dict[str, Json]] = field(default_factory=dict[str, dict[str, Json]])

    def client(self, service: str) -> Json:
        return self.cloud.client(service)

    @property
    def machine(self) -> str:
        return self.outputs["jobs"]["ingest"]["stateMachineArn"]

    @property
    def function(self) -> str:
        return self._function("task-events")

    def look(self) -> int:
        """Let the watcher look once; how many messages it published."""
        function, client = self._function("watcher"), self.client("lambda")

        def looked() -> dict[str, Json] | None:
            answer = client.invoke(FunctionName=function, Payload=b"{}")
            told = json.loads(answer["Payload"].read())
            assert "FunctionError" not in answer, told
            return told if told["published"] is not None else None

        # Its schedule may let it look at the same time.
        return self.eventually(looked, "another look does not end")["published"]

    def _function(self, name: str) -> str:
        [made] = [
            one["FunctionName"]
            for one in self.client("lambda").list_functions()["Functions"]
            if one["FunctionName"].startswith(f"{name}-")
        ]
        return made

    @property
    def pipeline(self) -> str:
        return self.outputs["pipelines"]["nightly"]["stateMachineArn"]

    def run_as(self, program: str) -> None:
        """Let the job's image run another program: `batch`, `ends`, `fails`, `warns`, `waits`."""
        self.cloud.images.add(self.image, self.programs[program])

    def eventually(self, look: Callable[[], T | None], what: str) -> T:
        """What `look` finds once it finds something; not long after a refusal nobody expected."""

        def unexpected(one: iam.Decision) -> bool:
            return (
                not one.allowed
                and one.action not in self.expected
                and not any(one is wanted for wanted in self.wanted)
            )

        began = time.monotonic()
        deadline = began + SECONDS
        refused = False
        while (now := time.monotonic()) < deadline:
            if (found := look()) is not None:
                return found
            if not refused and any(map(unexpected, iam.decisions())):
                refused, deadline = True, min(deadline, now + AFTER_REFUSAL_SECONDS)
            pause_between_looks(now - began)
        raise Missing(what)

    def upload(self, folder: str, bucket: str | None = None) -> str:
        key = f"{folder}/{uuid.uuid4().hex}.csv"
        self.client("s3").put_object(
            Bucket=bucket or self.outputs["uploadBucket"],
            Key=key,
            Body=b"id,name\n1,a\n2,b\n",
        )
        return key

    def executions(self, machine: str, status: str | None = None) -> dict[str, str]:
        """The status of each execution of a state machine, by its ARN."""
        asked = {"statusFilter": status} if status else {}
        pages = (
            self.client("stepfunctions")
            .get_paginator("list_executions")
            .paginate(stateMachineArn=machine, **asked)
        )
        return {one["executionArn"]: one["status"] for page in pages for one in page["executions"]}

    def started(self, machine: str, before: Mapping[str, str]) -> str:
        """The execution that was not there before."""
        return self.eventually(
            lambda: next(iter(self.executions(machine).keys() - before.keys()), None),
            f"no execution of {machine} was started",
        )

    def ended(self, execution: str) -> dict[str, Json]:
        client = self.client("stepfunctions")

        def look() -> dict[str, Json] | None:
            found = client.describe_execution(executionArn=execution)
            return None if found["status"] == "RUNNING" else found

        return self.eventually(look, f"{execution} did not end")

    def start(self, machine: str, request: Json) -> str:
        answer = self.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps(request)
        )
        return answer["executionArn"]

    def tasks(self) -> dict[str, dict[str, Json]]:
        ecs, cluster = self.client("ecs"), self.outputs["clusterArn"]
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for page in ecs.get_paginator("list_tasks").paginate(
                cluster=cluster, desiredStatus=status
            )
            for arn in page["taskArns"]
        ]
        # Nothing becomes of a task that stopped, and there are hundreds at the end.
        found = {arn: self.stopped[arn] for arn in arns if arn in self.stopped}
        others = [arn for arn in arns if arn not in found]
        for first in range(0, len(others), 100):
            answer = ecs.describe_tasks(cluster=cluster, tasks=others[first : first + 100])
            found |= {task["taskArn"]: task for task in answer["tasks"]}
        self.stopped |= {arn: one for arn, one in found.items() if one["lastStatus"] == "STOPPED"}
        return found

    def new_task(self, before: Mapping[str, Json], status: str) -> dict[str, Json]:
        """The task that was not there before, once it has this status."""
        return self.eventually(
            lambda: next(
                (
                    task
                    for arn, task in self.tasks().items()
                    if arn not in before and task["lastStatus"] == status
                ),
                None,
            ),
            f"no task became {status}",
        )

    def message(self, queue: str, text: str) -> dict[str, Json]:
        """The message of a queue that has this text, taken out of it with all before it."""
        sqs = self.client("sqs")

        def look() -> dict[str, Json] | None:
            answer = sqs.receive_message(
                QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            for message in answer.get("Messages", []):
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                if text in message["Body"]:
                    return message
            return None

        return self.eventually(look, f"no message about {text} in {queue}")

    def fire_task(self) -> str:
        return schedules.fire(self.outputs["schedules"]["hourly"])

    def fire_pipeline(self) -> str:
        return schedules.fire(self.outputs["pipelines"]["nightly"]["scheduleArn"])

    def queue(self, name: str) -> str:
        """The dead-letter queue of a component."""
        urls: list[str] = self.client("sqs").list_queues(QueueNamePrefix=f"{name}-dead-letters")[
            "QueueUrls"
        ]
        [url] = urls
        return url

    def statement(self, owner: str, action: str) -> Statement:
        """The one statement of a role or resource, by a part of its ARN, that has an action."""
        [found] = [
            one
            for one in iam.statements()
            if owner in one.owner and action in one.actions and '"Allow"' in one.text
        ]
        return found

    @contextlib.contextmanager
    def refused(self, owner: str, action: str) -> Generator[None]:
        """Refuse a call, as if the grant for it had been forgotten."""
        self.expected.add(action)
        try:
            with iam.without(self.statement(owner, action)):
                yield
        finally:
            self.expected.discard(action)
            # They are kept, and must not hurry what comes after.
            self.wanted = [one for one in iam.decisions() if one.action == action]

    def as_role(self, role: str, service: str, client: str) -> Json:
        """A client with a session of a role, assumed as its service does."""
        [arn] = [owner for owner in {one.owner for one in iam.statements()} if role in owner]
        with self.cloud.scope():
            session = iam.start_session(
                arn, service, "session", source_arn=f"arn:aws:ecs:{HERE}:task/any"
            )
        make: Callable[..., Json] = self.session.client
        return make(
            client,
            region_name=REGION,
            endpoint_url=self.cloud.endpoint,
            aws_access_key_id=session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token,
        )

    def clear(self) -> None:
        """Leave nothing of a scenario that failed: no task, execution or message."""
        states, ecs, sqs = (self.client(name) for name in ("stepfunctions", "ecs", "sqs"))
        cluster = self.outputs["clusterArn"]
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            machines = states.list_state_machines()["stateMachines"]
            running = [
                execution
                for machine in machines
                for execution in self.executions(machine["stateMachineArn"], "RUNNING")
            ]
            for execution in running:
                states.stop_execution(executionArn=execution)
            tasks = [task for task in self.tasks().values() if task["lastStatus"] != "STOPPED"]
            for task in tasks:
                ecs.stop_task(cluster=cluster, task=task["taskArn"])
            if not running and not tasks:
                break
            time.sleep(0.1)
        self.free_slots()
        for url in sqs.list_queues()["QueueUrls"]:
            sqs.purge_queue(QueueUrl=url)
        self.forget_told()

    def table(self, name: str) -> str:
        """The table of a component."""
        tables = self.client("dynamodb").list_tables()["TableNames"]
        [table] = [one for one in tables if one.startswith(f"{name}-")]
        return table

    def forget_told(self) -> None:
        """Let the watcher know of nothing."""
        dynamodb, table = self.client("dynamodb"), self.table("watcher")
        for item in dynamodb.scan(TableName=table)["Items"]:
            dynamodb.delete_item(TableName=table, Key={"subject": item["subject"]})

    def _slots(self) -> tuple[str, list[dict[str, Json]]]:
        dynamodb = self.client("dynamodb")
        table = self.table("ingest")
        return table, dynamodb.scan(TableName=table)["Items"]

    def queued(self) -> int:
        """How many executions wait for a slot of the job's limit."""
        return len([item for item in self._slots()[1] if item["kind"] == {"S": "queue"}])

    def free_slots(self) -> None:
        """Forget who holds or waits for a slot of the job's limit."""
        table, items = self._slots()
        # The queue first: who is just being taken out of it is counted down in the item of permits.
        for item in sorted(items, key=lambda item: item["kind"] != {"S": "queue"}):
            key = {name: item[name] for name in ("kind", "arrival")}
            self.client("dynamodb").delete_item(TableName=table, Key=key)


def _program(folder: Path, name: str, text: str) -> Path:
    context = folder / name
    context.mkdir()
    (context / "__init__.py").write_text("")
    (context / "__main__.py").write_text(text)
    (context / "Dockerfile").write_text(
        "FROM python:3.13-slim\nWORKDIR /app\n"
        f'COPY . /app/{name}\nENTRYPOINT ["python", "-S", "-m", "{name}"]\n'
    )
    return context


@contextlib.contextmanager
def deployed() -> Generator[Deployed]:
    """The stack with one of everything, in a cloud of its own in which time flies."""
    project = load(ROOT, "dev")
    with (
        tempfile.TemporaryDirectory() as folder,
        Cloud(0, REGION, wait_scale=WAIT_SCALE) as cloud,
    ):
        programs = {
            "batch": ROOT / "batch",
            "ends": _program(Path(folder), "ends", ""),
            "fails": _program(Path(folder), "fails", "raise SystemExit(1)"),
            "warns": _program(Path(folder), "warns", "raise SystemExit(3)"),
            "waits": _program(Path(folder), "waits", "import time\ntime.sleep(3600)"),
        }
        secret = cloud.client("secretsmanager").create_secret(Name="database", SecretString="s")
        cloud.client("ssm").put_parameter(Name="/token", Value="t", Type="SecureString")
        config = {key: value for key, value in project.config.items() if key.startswith("aws:")}
        config |= {
            f"fargate-batch:{key}": json.dumps(value)
            for key, value in configuration(secret["ARN"], _keys(cloud)).items()
        }
        images: list[str] = []

        def register(uri: str, context: Path) -> None:
            images.append(uri)
            cloud.images.add(uri, context)

        made = create_stack(replace(project, config=config), cloud, register)
        [image] = images
        _trust_somebody(cloud)
        listener = subscriber(cloud, made.outputs["alertsTopicArn"], LISTENER)
        yield Deployed(cloud, made.outputs, listener, programs, image)


def _keys(cloud: Cloud) -> list[str]:
    made = [cloud.client("kms").create_key() for _ in range(3)]
    return [one["KeyMetadata"]["Arn"] for one in made]


LISTENER = "listener"
SOMEBODY = "somebody"


def _trust_somebody(cloud: Cloud) -> None:
    """A role that may do everything, but for what is denied to all."""
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    roles = cloud.client("iam")
    roles.create_role(
        RoleName=SOMEBODY, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )
    roles.put_role_policy(
        RoleName=SOMEBODY, PolicyName="all", PolicyDocument=json.dumps({"Statement": [everything]})
    )


# Scenarios: each raises unless all of it comes about.


def an_upload_becomes_a_result(on: Deployed) -> None:
    before = on.executions(on.machine)
    on.run_as("batch")
    key = on.upload("through")
    assert on.ended(on.started(on.machine, before))["status"] == "SUCCEEDED"
    assert len(results(on, key)) == 2


def an_upload_that_is_excluded_starts_no_task(on: Deployed) -> None:
    before, tasks = on.executions(on.machine), on.tasks()
    on.client("s3").put_object(Bucket=on.outputs["uploadBucket"], Key="also/x.skip", Body=b"x")
    ended = on.ended(on.started(on.machine, before))
    assert json.loads(ended["output"]) == {"skipped": True, "upload": "through"}
    assert on.tasks().keys() == tasks.keys()


def an_upload_to_another_bucket_becomes_a_result(on: Deployed) -> None:
    before = on.executions(on.machine)
    on.run_as("batch")
    key = on.upload("in", on.outputs["buckets"]["partner"])
    assert on.ended(on.started(on.machine, before))["status"] == "SUCCEEDED"
    assert len(results(on, key)) == 2


def results(on: Deployed, key: str) -> list[str]:
    answer = on.client("s3").list_objects_v2(
        Bucket=on.outputs["resultsBucket"], Prefix=f"ingest/{key}"
    )
    return [one["Key"] for one in answer.get("Contents", [])]


def an_object_that_is_gone_is_told_from_a_forbidden_one(on: Deployed) -> None:
    on.run_as("batch")
    gone = {"bucket": {"name": on.outputs["uploadBucket"]}, "object": {"key": "through/gone"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": gone}
    assert on.ended(on.start(on.machine, event))["error"] == "Batch.ObjectGone"


def an_upload_starts_an_execution(on: Deployed) -> None:
    before = on.executions(on.machine)
    on.run_as("ends")
    on.upload("through")
    assert on.ended(on.started(on.machine, before))["status"] == "SUCCEEDED"


def a_job_runs_by_hand(on: Deployed) -> None:
    on.run_as("ends")
    assert on.ended(on.start(on.machine, {}))["status"] == "SUCCEEDED"


def an_upload_starts_a_task(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("ends")
    on.upload("straight")
    task = on.new_task(before, "STOPPED")
    assert [one.get("exitCode") for one in task["containers"]] == [0]


def a_broken_read_goes_on_with_the_same_version(on: Deployed) -> None:
    """As `batch.store.ObjectStream` does when a connection breaks."""
    bucket, key = on.outputs["uploadBucket"], "kept/rows.csv"
    version = on.client("s3").put_object(Bucket=bucket, Key=key, Body=b"rows")["VersionId"]
    with contextlib.closing(on.as_role("ingest-task-", "ecs-tasks.amazonaws.com", "s3")) as s3:
        answer = s3.get_object(Bucket=bucket, Key=key, VersionId=version)
        assert answer["Body"].read() == b"rows"


def a_large_result_is_written_in_parts_or_not_at_all(on: Deployed) -> None:
    """As `batch.store.Upload` does when it is stopped."""
    place = {"Bucket": on.outputs["resultsBucket"], "Key": "ingest/large.parquet"}
    with contextlib.closing(on.as_role("ingest-task-", "ecs-tasks.amazonaws.com", "s3")) as s3:
        upload = s3.create_multipart_upload(**place)["UploadId"]
        s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"part")
        s3.abort_multipart_upload(**place, UploadId=upload)
    left = on.client("s3").list_multipart_uploads(Bucket=place["Bucket"]).get("Uploads", [])
    assert upload not in [one["UploadId"] for one in left]


def a_pipeline_runs_its_steps(on: Deployed) -> None:
    before = on.executions(on.pipeline)
    on.run_as("ends")
    on.fire_pipeline()
    assert on.ended(on.started(on.pipeline, before))["status"] == "SUCCEEDED"


def an_upload_starts_a_pipeline(on: Deployed) -> None:
    before, tasks = on.executions(on.pipeline), on.tasks()
    on.run_as("ends")
    key = on.upload("piped")
    assert on.ended(on.started(on.pipeline, before))["status"] == "SUCCEEDED"
    told = [_told(task) for arn, task in on.tasks().items() if arn not in tasks]
    assert [(one["OBJECT_KEY"], one["OBJECT_SIZE"]) for one in told] == [(key, "16")] * 3
    assert all(one["OBJECT_VERSION"] and one["OBJECT_ETAG"] for one in told)


def _told(task: dict[str, Json]) -> dict[str, str]:
    [override] = task["overrides"]["containerOverrides"]
    return {one["name"]: one["value"] for one in override["environment"]}


def a_pipeline_that_is_stopped_stops_its_tasks(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("waits")
    execution = on.start(on.pipeline, {})
    first = on.new_task(before, "RUNNING")["taskArn"]
    second = on.new_task({**before, first: None}, "RUNNING")["taskArn"]
    on.client("stepfunctions").stop_execution(executionArn=execution)
    for task in (first, second):
        on.eventually(
            functools.partial(_stopped, on, task), f"{task} goes on though its pipeline was stopped"
        )


def _stopped(on: Deployed, task: str) -> bool | None:
    return on.tasks()[task]["lastStatus"] == "STOPPED" or None


def a_schedule_starts_a_task(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("ends")
    on.fire_task()
    task = on.new_task(before, "STOPPED")
    assert [one.get("exitCode") for one in task["containers"]] == [0]


def a_task_that_takes_too_long_is_stopped(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("waits")
    on.fire_task()
    assert on.new_task(before, "STOPPED")["stoppedReason"] == "Timed out after 3600 seconds"
    on.run_as("ends")


def a_task_is_logged(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("ends")
    on.fire_task()
    task = on.new_task(before, "STOPPED")["taskArn"]
    group = on.outputs["taskEventLogGroup"]
    on.eventually(
        lambda: (
            on.client("logs").filter_log_events(
                logGroupName=group, filterPattern=f'"{task.rpartition("/")[2]}"'
            )["events"]
            or None
        ),
        f"{task} is not in {group}",
    )


def a_failed_execution_is_told(on: Deployed) -> None:
    on.run_as("fails")
    execution = on.start(on.machine, {})
    on.message(on.listener, execution)


def a_failed_task_is_told(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("fails")
    on.fire_task()
    on.message(on.listener, on.new_task(before, "STOPPED")["taskArn"])


def a_failed_step_is_told_by_its_pipeline_alone(on: Deployed) -> None:
    on.run_as("fails")
    alerts = f"arn:aws:states:{HERE}:stateMachine:fargate-batch-dev-alerts-alerts"
    before = on.executions(alerts)
    execution = on.start(on.pipeline, {})
    assert on.ended(execution)["error"] == "Pipeline.StepFailed"

    def quiet() -> list[dict[str, Json]] | None:
        describe = on.client("stepfunctions").describe_execution
        new = [describe(executionArn=arn) for arn in on.executions(alerts).keys() - before.keys()]
        # Two steps side by side, which say who started them, and the pipeline.
        about = [one for one in new if execution in one["input"] and one["status"] != "RUNNING"]
        return about if len(about) == 3 else None

    told = [json.loads(one["output"]) for one in on.eventually(quiet, "nothing was told")]
    assert len([one for one in told if one.get("published") is not False]) == 1
    on.message(on.listener, execution)


def an_alarm_is_told(on: Deployed) -> None:
    name = "fargate-batch-dev-alerts-not-sent"
    client = on.client("cloudwatch")
    for state in ("OK", "ALARM"):
        client.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
    on.message(on.listener, name)


def an_upload_that_starts_no_execution_is_a_dead_letter(on: Deployed) -> None:
    with on.refused("/roles-uploads-", "states:StartExecution"):
        sent = {name: on.upload(name) for name in ("through", "piped")}
        sent["partner"] = on.upload("in", on.outputs["buckets"]["partner"])
        letters = [on.message(on.queue(name), key) for name, key in sent.items()]
    for letter in letters:
        assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def an_upload_that_starts_no_task_is_a_dead_letter(on: Deployed) -> None:
    with on.refused("/roles-task-uploads-", "ecs:RunTask"):
        key = on.upload("straight")
        letter = on.message(on.queue("straight"), key)
    assert letter["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "NO_PERMISSIONS"


def a_pipeline_that_does_not_start_is_a_dead_letter(on: Deployed) -> None:
    with on.refused("/roles-pipeline-schedules-", "states:StartExecution"):
        firing = on.fire_pipeline()
        on.message(on.queue("nightly"), firing)


def a_scheduled_task_that_does_not_start_is_a_dead_letter(on: Deployed) -> None:
    with on.refused("/roles-task-schedules-", "ecs:RunTask"):
        on.fire_task()
        on.message(on.queue("hourly"), on.outputs["clusterArn"])


def a_task_event_that_does_not_reach_the_log_is_a_dead_letter(on: Deployed) -> None:
    on.run_as("ends")
    with on.refused(":function:task-events", "lambda:InvokeFunction"):
        on.ended(on.start(on.machine, {}))
        on.message(on.queue("task-events"), "ECS Task State Change")
    _drain(on, "task-events")


def a_task_event_that_cannot_be_logged_is_kept(on: Deployed) -> None:
    client, function = on.client("lambda"), on.function
    client.update_function_configuration(FunctionName=function, Handler="handler.missing")
    try:
        client.invoke(FunctionName=function, InvocationType="Event", Payload=b'{"id": "kept"}')
        on.message(on.queue("task-events"), '"kept"')
    finally:
        client.update_function_configuration(FunctionName=function, Handler="handler.handler")


def a_failure_that_starts_no_alert_is_a_dead_letter(on: Deployed) -> None:
    on.run_as("fails")
    with on.refused("/alerts-rules-", "states:StartExecution"):
        execution = on.start(on.machine, {})
        on.message(on.queue("alerts"), execution)


def an_alert_that_cannot_be_published_is_kept(on: Deployed) -> None:
    on.run_as("fails")
    with on.refused("/alerts-alerts-", "sns:Publish"):
        execution = on.start(on.machine, {})
        on.message(on.queue("alerts"), execution)
    on.run_as("ends")


def executions_beyond_the_limit_wait_for_their_turn(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("waits")
    first = [on.start(on.machine, {}) for _ in range(LIMIT)]
    for _ in first:
        task = on.new_task(before, "RUNNING")
        before = {**before, task["taskArn"]: task}
    on.run_as("ends")
    second = [on.start(on.machine, {}) for _ in range(LIMIT)]
    on.eventually(lambda: True if on.queued() == LIMIT else None, "nobody waits")
    for execution in first:
        on.client("stepfunctions").stop_execution(executionArn=execution)
    for execution in second:
        assert on.ended(execution)["status"] == "SUCCEEDED"
    on.eventually(lambda: True if on.queued() == 0 else None, "who had a turn still waits for one")


def a_start_that_is_throttled_takes_turns(on: Deployed) -> None:
    dynamodb, table = on.client("dynamodb"), on.table("cluster-launches")
    dynamodb.delete_item(TableName=table, Key={"queue": {"S": "launches"}})
    on.run_as("ends")
    with _fault(on, "throttle"):
        execution = on.start(on.machine, {})
        on.eventually(
            lambda: dynamodb.scan(TableName=table)["Items"] or None, "it does not take a turn"
        )
    assert on.ended(execution)["status"] == "SUCCEEDED"


def an_end_that_hands_on_no_slot_is_a_dead_letter(on: Deployed) -> None:
    on.run_as("ends")
    try:
        with on.refused("/ingest-", "states:StartExecution"):
            execution = on.start(on.machine, {})
            on.message(on.queue("ingest"), execution)
    finally:
        on.free_slots()


def a_slot_whose_end_was_not_told_is_found(on: Deployed) -> None:
    on.run_as("ends")
    with on.refused("/ingest-", "states:StartExecution"):
        for _ in range(LIMIT):
            execution = on.start(on.machine, {})
            on.message(on.queue("ingest"), execution)
    waiting = on.start(on.machine, {})
    on.eventually(lambda: on.queued() or None, f"{waiting} does not wait")
    # As the rule does that looks every five minutes.
    on.start(f"arn:aws:states:{HERE}:stateMachine:fargate-batch-dev-limit-ingest", {})
    assert on.ended(waiting)["status"] == "SUCCEEDED"
    on.eventually(lambda: True if on.queued() == 0 else None, "who had a turn still waits for one")


def a_task_without_a_limit_is_a_dead_letter(on: Deployed) -> None:
    on.run_as("ends")
    before = on.tasks()
    with on.refused("/task-reaper-rule-", "states:StartExecution"):
        on.fire_task()
        task = on.new_task(before, "STOPPED")["taskArn"]
        on.message(on.queue("task-reaper"), task)


@contextlib.contextmanager
def _fault(on: Deployed, name: str) -> Generator[None]:
    before, on.cloud.faults = on.cloud.faults, Faults({name: 1})
    try:
        yield
    finally:
        on.cloud.faults = before


def a_task_that_did_not_start_is_started_again(on: Deployed) -> None:
    before = on.tasks()
    with _fault(on, "no-start"):
        on.fire_task()

        def last() -> bool | None:
            new = [task for arn, task in on.tasks().items() if arn not in before]
            return any(task["startedBy"].endswith("/5") for task in new) or None

        on.eventually(last, "a task that did not start was not started again")


def a_task_that_cannot_be_started_again_is_a_dead_letter(on: Deployed) -> None:
    before = on.tasks()
    with _fault(on, "no-start"), on.refused("/task-reaper-rule-", "states:StartExecution"):
        on.fire_task()
        task = on.new_task(before, "STOPPED")["taskArn"]
        on.message(on.queue("task-reaper"), task)


def every_state_machine_can_be_deployed_again(on: Deployed) -> None:
    states = on.client("stepfunctions")
    for machine in states.list_state_machines()["stateMachines"]:
        arn = machine["stateMachineArn"]
        found = states.describe_state_machine(stateMachineArn=arn)
        names = ("definition", "roleArn", "loggingConfiguration")
        states.update_state_machine(stateMachineArn=arn, **{name: found[name] for name in names})


def nothing_is_taken_without_tls(on: Deployed) -> None:
    def without_tls(request: Json, **_: object) -> None:
        request.headers["X-Forwarded-Proto"] = "http"

    calls: list[tuple[str, str, dict[str, str]]] = [
        ("s3", "list_objects_v2", {"Bucket": on.outputs[name]})
        for name in ("uploadBucket", "resultsBucket")
    ]
    calls += [
        ("s3", "list_objects_v2", {"Bucket": name}) for name in on.outputs["buckets"].values()
    ]
    calls += [
        ("sqs", "receive_message", {"QueueUrl": url})
        for url in on.client("sqs").list_queues()["QueueUrls"]
        if not url.endswith(LISTENER)
    ]
    topic = {"TopicArn": on.outputs["alertsTopicArn"], "Message": "a test"}
    calls.append(("sns", "publish", topic))
    for service, operation, request in calls:
        client = on.as_role(f"role/{SOMEBODY}", "ecs-tasks.amazonaws.com", service)
        with contextlib.closing(client):
            getattr(client, operation)(**request)
            client.meta.events.register("before-send", without_tls)
            try:
                getattr(client, operation)(**request)
            except ClientError as error:
                assert "explicit deny in a resource-based policy" in str(error)  # noqa: PT017
            else:
                raise Missing(f"{operation} {request} was taken without TLS")


def dead_letters_are_told_once_and_their_end(on: Deployed) -> None:
    on.forget_told()
    sqs = on.client("sqs")
    queues = [url for url in sqs.list_queues()["QueueUrls"] if "dead-letters" in url]
    for url in queues:
        sqs.purge_queue(QueueUrl=url)
        sqs.send_message(QueueUrl=url, MessageBody="{}")
    written = _written(on)
    assert on.look() == len(queues)
    assert on.look() == 0
    on.eventually(lambda: True if _written(on) > written else None, "the watcher logs nothing")
    for url in queues:
        sqs.purge_queue(QueueUrl=url)
    on.look()
    assert on.look() == len(queues)


def the_watcher_looks_when_its_rule_says_so(on: Deployed) -> None:
    """As at its rate, which takes minutes, by an event that its rule matches as well."""
    dynamodb, table, events = on.client("dynamodb"), on.table("watcher"), on.client("events")
    [rule] = events.list_rules(NamePrefix="watcher-")["Rules"]
    kept = {name: rule[name] for name in ("Name", "Description", "ScheduleExpression")}
    events.put_rule(**kept, EventPattern='{"source": ["a.test"]}')
    on.forget_told()
    try:
        events.put_events(Entries=[{"Source": "a.test", "DetailType": "look", "Detail": "{}"}])

        def looked() -> bool | None:
            items = dynamodb.scan(TableName=table)["Items"]
            ended = [one for one in items if one["subject"]["S"] == "look" and "memory" in one]
            return True if ended else None

        on.eventually(looked, "it does not look")
    finally:
        events.put_rule(**kept)


def _written(on: Deployed) -> int:
    group = "/fargate-batch/dev/function/watcher"
    return len(on.client("logs").filter_log_events(logGroupName=group)["events"])


def a_run_that_did_not_happen_is_told(on: Deployed) -> None:
    """As if the schedules had been known for a year and more."""
    on.forget_told()
    on.look()
    dynamodb, table = on.client("dynamodb"), on.table("watcher")
    before = (datetime.now(UTC) - timedelta(days=370)).isoformat(timespec="seconds")
    for name in ("nightly", "hourly"):
        key = {"subject": {"S": f"schedule/{name}"}}
        kept = json.loads(dynamodb.get_item(TableName=table, Key=key)["Item"]["memory"]["S"])
        memory = {"S": json.dumps({**kept, "from": before})}
        dynamodb.put_item(TableName=table, Item={**key, "memory": memory})
    assert on.look() == 2
    on.message(on.listener, "hourly did not run")


def a_scheduled_run_is_seen_and_one_that_goes_on_is_looked_at(on: Deployed) -> None:
    on.forget_told()
    on.look()
    before, executions = on.tasks(), on.executions(on.pipeline)
    on.run_as("waits")
    on.fire_task()
    on.fire_pipeline()
    task = on.new_task(before, "RUNNING")["taskArn"]
    execution = on.started(on.pipeline, executions)

    def seen() -> bool | None:
        on.look()
        items = on.client("dynamodb").scan(TableName=on.table("watcher"))["Items"]
        kept = {item["subject"]["S"]: json.loads(item["memory"]["S"]) for item in items}
        of = ("schedule/nightly", "schedule/hourly")
        return True if all(kept[name].get("runs") for name in of) else None

    on.eventually(seen, "a run is not seen")
    on.client("stepfunctions").stop_execution(executionArn=execution)
    on.client("ecs").stop_task(cluster=on.outputs["clusterArn"], task=task)
    on.run_as("ends")


def what_is_paused_does_not_fire_until_its_time(on: Deployed) -> None:
    """As if the schedules had been enabled by hand after a person paused them."""
    ssm, scheduler = on.client("ssm"), on.client("scheduler")
    path = pauses.path_of("fargate-batch", "dev")
    arns = {
        f"{path}pipeline-nightly": on.outputs["pipelines"]["nightly"]["scheduleArn"],
        f"{path}schedule-hourly": on.outputs["schedules"]["hourly"],
    }

    def pause(until: datetime | None) -> None:
        for name, arn in arns.items():
            text = pauses.Pause(arn, SOMEBODY, "bad data", datetime.now(UTC), until).text
            ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)

    def states() -> list[str]:
        named = [arn.split("/")[1:] for arn in arns.values()]
        found = [scheduler.get_schedule(GroupName=group, Name=name) for group, name in named]
        return [one["State"] for one in found]

    try:
        pause(None)
        on.look()
        assert states() == ["DISABLED", "DISABLED"]
        pause(datetime.now(UTC))
        on.look()
        assert states() == ["ENABLED", "ENABLED"]
        assert pauses.pauses(ssm, path) == {}
    finally:
        ssm.delete_parameters(Names=[*arns])
        for arn in arns.values():
            pauses.switch(scheduler, arn, "ENABLED")


def _drain(on: Deployed, name: str) -> None:
    on.client("sqs").purge_queue(QueueUrl=on.queue(name))


def _backfill(on: Deployed, count: int, tolerated: int) -> str:
    """Start a backfill of so many objects that are not there."""
    name = uuid.uuid4().hex
    details = [
        {"bucket": {"name": on.outputs["uploadBucket"]}, "object": {"key": f"through/{n}"}}
        for n in range(count)
    ]
    on.client("s3").put_object(
        Bucket=on.outputs["resultsBucket"],
        Key=f"_backfills/{name}/objects.jsonl",
        Body="\n".join(map(json.dumps, details)).encode(),
    )
    given = {"job": "ingest", "maxConcurrency": LIMIT, "toleratedFailures": tolerated}
    return on.client("stepfunctions").start_execution(
        stateMachineArn=on.outputs["backfills"]["stateMachineArn"],
        name=name,
        input=json.dumps(given),
    )["executionArn"]


def a_backfill_runs_its_objects(on: Deployed) -> None:
    on.run_as("ends")
    ended = on.ended(_backfill(on, 3, 0))
    assert json.loads(ended.get("output", "{}")).get("Succeeded") == 3


def a_backfill_tells_of_its_failures_alone(on: Deployed) -> None:
    on.run_as("fails")
    jobs = on.executions(on.machine)
    execution = _backfill(on, 2, 2)
    assert on.ended(execution)["error"] == "Backfill.ObjectsFailed"
    told = on.message(on.listener, execution)["Body"]
    assert "2 of 2 objects failed." in told
    failed = on.executions(on.machine).keys() - jobs.keys()
    assert len(failed) == 2
    assert not any(one in told for one in failed)
    on.run_as("ends")


def a_backfill_tells_of_its_warnings_once(on: Deployed) -> None:
    on.run_as("warns")
    alerts = f"arn:aws:states:{HERE}:stateMachine:fargate-batch-dev-alerts-alerts"
    before = on.executions(alerts)
    execution = _backfill(on, 3, 0)
    assert json.loads(on.ended(execution).get("output", "{}")).get("Succeeded") == 3
    backfill = execution.rpartition(":")[2][:12]

    def quiet() -> int | None:
        describe = on.client("stepfunctions").describe_execution
        new = [describe(executionArn=arn) for arn in on.executions(alerts).keys() - before.keys()]
        about = [one for one in new if f"_backfill_{backfill}" in one["input"]]
        # Of each warning, and of the one that is told.
        ended = [one for one in about if one["status"] != "RUNNING"]
        told = [one for one in ended if json.loads(one["output"]).get("published") is not False]
        return len(told) if len(ended) == 4 else None

    assert on.eventually(quiet, "a warning was not told") == 1
    on.message(on.listener, f"Backfill {backfill}: Job ingest ended with a warning")
    on.run_as("ends")


def a_backfill_with_too_many_failures_goes_on(on: Deployed) -> None:
    on.run_as("fails")
    execution = _backfill(on, 3, 0)
    assert on.ended(execution)["error"] == "States.ExceedToleratedFailureThreshold"
    on.run_as("ends")
    on.client("stepfunctions").redrive_execution(executionArn=execution)
    assert on.ended(execution)["status"] == "SUCCEEDED"


def a_backfill_that_is_stopped_stops_its_tasks(on: Deployed) -> None:
    before = on.tasks()
    on.run_as("waits")
    execution = _backfill(on, 1, 0)
    task = on.new_task(before, "RUNNING")["taskArn"]
    on.client("stepfunctions").stop_execution(executionArn=execution)
    on.eventually(
        functools.partial(_stopped, on, task), f"{task} goes on though its backfill was stopped"
    )
    on.run_as("ends")


Scenario = Callable[[Deployed], None]
SCENARIOS: tuple[Scenario, ...] = (
    an_upload_becomes_a_result,
    an_upload_that_is_excluded_starts_no_task,
    an_upload_to_another_bucket_becomes_a_result,
    an_object_that_is_gone_is_told_from_a_forbidden_one,
    an_upload_starts_an_execution,
    a_job_runs_by_hand,
    an_upload_starts_a_task,
    a_broken_read_goes_on_with_the_same_version,
    a_large_result_is_written_in_parts_or_not_at_all,
    a_pipeline_runs_its_steps,
    an_upload_starts_a_pipeline,
    a_pipeline_that_is_stopped_stops_its_tasks,
    a_schedule_starts_a_task,
    a_task_that_takes_too_long_is_stopped,
    a_task_is_logged,
    a_failed_execution_is_told,
    a_failed_task_is_told,
    a_failed_step_is_told_by_its_pipeline_alone,
    an_alarm_is_told,
    an_upload_that_starts_no_execution_is_a_dead_letter,
    an_upload_that_starts_no_task_is_a_dead_letter,
    a_pipeline_that_does_not_start_is_a_dead_letter,
    a_scheduled_task_that_does_not_start_is_a_dead_letter,
    a_task_event_that_does_not_reach_the_log_is_a_dead_letter,
    a_task_event_that_cannot_be_logged_is_kept,
    a_failure_that_starts_no_alert_is_a_dead_letter,
    an_alert_that_cannot_be_published_is_kept,
    executions_beyond_the_limit_wait_for_their_turn,
    a_start_that_is_throttled_takes_turns,
    an_end_that_hands_on_no_slot_is_a_dead_letter,
    a_slot_whose_end_was_not_told_is_found,
    a_task_without_a_limit_is_a_dead_letter,
    a_task_that_did_not_start_is_started_again,
    a_task_that_cannot_be_started_again_is_a_dead_letter,
    every_state_machine_can_be_deployed_again,
    nothing_is_taken_without_tls,
    dead_letters_are_told_once_and_their_end,
    the_watcher_looks_when_its_rule_says_so,
    a_run_that_did_not_happen_is_told,
    a_scheduled_run_is_seen_and_one_that_goes_on_is_looked_at,
    what_is_paused_does_not_fire_until_its_time,
    a_backfill_runs_its_objects,
    a_backfill_tells_of_its_failures_alone,
    a_backfill_tells_of_its_warnings_once,
    a_backfill_with_too_many_failures_goes_on,
    a_backfill_that_is_stopped_stops_its_tasks,
)


@dataclass(frozen=True, order=True)
class Grant:
    """One action of one statement."""

    statement: Statement
    action: str

    def __str__(self) -> str:
        owner = self.statement.owner.rpartition(":")[2]
        return f"{owner}, {self.statement.policy}[{self.statement.index}]: {self.action}"


Uses = dict[Grant, list[tuple[float, int]]]


@dataclass(frozen=True)
class Proof:
    """What uses each grant of the stack, and those without which every scenario still passes."""

    used: Uses
    survivors: Sequence[Grant]

    def statements(self, grants: Iterable[Grant]) -> int:
        """How many statements these grants are of."""
        return len({grant.statement for grant in grants})


def grants() -> list[Grant]:
    """Each action that a policy of the stack names."""
    return [
        Grant(statement, action)
        for statement in iam.statements()
        if not statement.owner.endswith((f":{LISTENER}", f"/{SOMEBODY}"))
        # AWS's own, which no stack makes.
        and ":role/aws-service-role/" not in statement.owner
        for action in statement.actions
    ]


def use(on: Deployed, scenarios: Sequence[Scenario] = SCENARIOS) -> Uses:
    """Which scenarios each grant matters to, by their numbers, and the seconds that they took.

    Raises:
        AssertionError: a scenario fails with all grants.
    """
    every = grants()
    used: Uses = {grant: [] for grant in every}
    for number, scenario in enumerate(scenarios):
        iam.forget()
        began = time.monotonic()
        scenario(on)
        seconds = time.monotonic() - began
        for grant in _matched(every):
            used[grant].append((seconds, number))
    return used


def prove(on: Deployed, scenarios: Sequence[Scenario] = SCENARIOS) -> Proof:
    """Withhold each grant from the scenarios it matters to until one fails.

    Raises:
        AssertionError: a scenario fails with all grants, before or after.
    """
    used = use(on, scenarios)
    survivors: list[Grant] = []
    needs: dict[str, int] = {}
    for grant in used:
        # What needs one grant of a role likely needs the next.
        likely = needs.get(grant.statement.owner)
        order = sorted(used[grant], key=lambda one: (one[1] != likely, one[0]))
        found = next((at for _, at in order if _fails(on, scenarios[at], grant)), None)
        if found is None:
            survivors.append(grant)
        else:
            needs[grant.statement.owner] = found
    for scenario in scenarios:
        iam.forget()
        scenario(on)
    return Proof(used, survivors)


def _matched(every: Sequence[Grant]) -> set[Grant]:
    """The grants that decisions since the last were made by, or that are of what they were about.

    Where two policies must agree, as a role's and a key's, a decision names the role's.
    """
    by_statement: dict[Statement, list[Grant]] = {}
    for grant in every:
        by_statement.setdefault(grant.statement, []).append(grant)
    named = {
        grant
        for decision in iam.decisions()
        if decision.matched_statement is not None
        for grant in by_statement.get(decision.matched_statement, [])
        if fnmatch(decision.action.lower(), grant.action.lower())
    }
    about = {decision.resource for decision in iam.decisions() if ":kms:" in decision.resource}
    return named | {grant for grant in every if grant.statement.owner in about}


def _fails(on: Deployed, scenario: Scenario, grant: Grant) -> bool:
    """Whether a scenario fails for want of a grant; for anything else, it is tried again once."""
    for _ in range(2):
        iam.forget()
        failed = False
        with iam.without(grant.statement, grant.action):
            try:
                scenario(on)
            except (AssertionError, ClientError, iam.AccessDenied):
                failed = True
        told = _is_denial(grant) or any(
            not one.allowed and fnmatch(one.action.lower(), grant.action.lower())
            for one in iam.decisions()
        )
        if not failed:
            on.free_slots()
            return False
        on.clear()
        if told:
            return True
    return False


def _is_denial(grant: Grant) -> bool:
    return '"Effect": "Deny"' in grant.statement.text
