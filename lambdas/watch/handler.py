"""Look, every few minutes, at what nothing else tells of; publish what is new; remember it.

What to look at is in stack.json beside this file, what was told of in a table, an item a subject.
"""

import json
import os
import time
import zoneinfo
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3

from . import letters, pauses, runs
from .tell import Message, chat, mail
from .usual import USUAL_RUNS

Json = Any

# A letter is hidden from others for so long while it is read.
HIDDEN_SECONDS = 10
# Of all queues together; what is not read by then is at the next look.
READING_SECONDS = 90
# More than these may not be read while the first are hidden, and would never all be seen.
MANY_LETTERS = 1000
# Once the first are visible again, all have been seen.
BATCHES_WITHOUT_NEW = 3
# Of what happened while nobody looked.
LONGEST_LOOK_BACK = timedelta(days=2)
# A line of the log may be seen a little later than its time says.
OVERLAP = timedelta(minutes=2)
# One that looks for longer has timed out: components/watcher.py.
LOOKING = timedelta(minutes=4)
# The last of a list began first, so those that hang are at its end.
RUNNING_AT_MOST = 20_000
# Of a pipeline in one look, as many as may be asked for at once; uploads may start thousands:
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
DESCRIBED_AT_MOST = 250


def handler(event: object, context: object) -> Json:  # noqa: ARG001 - Lambda passes two
    """Look once; answers how many messages were published, None if another looks already.

    Raises whatever AWS refused, once everything else has been looked at: the alarm on the
    function's errors tells of that.
    """
    stack = json.loads(Path(__file__).with_name("stack.json").read_text())
    with TemporaryDirectory() as folder:
        for zone, content in stack["zones"].items():
            file = Path(folder) / zone
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b64decode(content))
        zoneinfo.reset_tzpath([folder])
        return {"published": Watch(stack).look(datetime.now(UTC))}


class Watch:
    """One look at a stack. `stack` is what the program writes: see components/watcher.py."""

    def __init__(self, stack: Mapping[str, Json]) -> None:
        self._stack = stack
        self._clients: dict[str, Json] = {}
        self._memory: dict[str, dict[str, Json]] = {}
        self._published = 0
        self._failures: list[Exception] = []
        self._paused: set[str] = set()
        self._started: dict[str, list[datetime]] = {}

    def look(self, now: datetime) -> int | None:
        """Look at everything; the number of messages that were published.

        None if another looks already, as after an event that came twice: both would tell the same.
        """
        if not self._begin(now):
            print(json.dumps({"skipped": "another looks already"}))  # noqa: T201
            return None
        self._memory = {item["subject"]: item for item in self._remembered()}
        stack = self._stack
        of = {"queue": "queues", "long": "machines", "task": "tasks", "schedule": "schedules"}
        there = {f"{kind}/{name}" for kind, key in of.items() for name in stack[key]}
        for subject in self._memory.keys() - there - {"look"}:
            # What is there again one day is new.
            self._try(self._keep, subject, {})
        self._queues()
        for name in stack["machines"]:
            self._try(self._executions, name, now)
        # Pauses first: what is paused is not missed.
        paused = self._try(self._pauses, now)
        of_tasks = [name for name, one in stack["schedules"].items() if "machine" not in one]
        found = not of_tasks or self._try(self._find_started_tasks, of_tasks, now)
        late: dict[str, str] = {}
        for name in stack["schedules"]:
            known = paused and (found or name not in of_tasks)
            if not known or not self._try(self._schedule, name, now):
                late[name] = self._looked_at(name) or _text(now)
        self._try(self._tasks, now)
        # Even if it is the same, so that another may look.
        self._memory.pop("look", None)
        self._keep("look", {"at": _text(now), **({"late": late} if late else {})})
        if self._failures:
            raise ExceptionGroup("not everything could be looked at", self._failures)
        return self._published

    def _begin(self, now: datetime) -> bool:
        """Whether nobody else looks: the item of the last look says so until it is put anew."""
        dynamodb = self._client("dynamodb")
        try:
            dynamodb.update_item(
                TableName=self._stack["table"],
                Key={"subject": {"S": "look"}},
                UpdateExpression="SET lookingUntil = :until",
                ConditionExpression="attribute_not_exists(lookingUntil) OR lookingUntil <= :now",
                ExpressionAttributeValues={
                    ":until": {"N": str(int((now + LOOKING).timestamp()))},
                    ":now": {"N": str(int(now.timestamp()))},
                },
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _try(self, look: Callable[..., object], *of: object) -> bool:
        """Whether it went well: one look that fails must not hide the others."""
        try:
            look(*of)
        except Exception as error:  # noqa: BLE001
            self._failures.append(error)
            return False
        return True

    def _looked_at(self, schedule: str) -> str | None:
        """When a schedule was looked at last."""
        look = self._of("look")
        return look.get("late", {}).get(schedule, look.get("at"))

    def _since(self, schedule: str, now: datetime) -> tuple[datetime, bool]:
        """From when on a schedule's runs are looked for, and whether there may be some before."""
        last, earliest = self._looked_at(schedule), now - LONGEST_LOOK_BACK
        if last is None:
            return now, True
        since = datetime.fromisoformat(last) - OVERLAP
        return max(since, earliest), since < earliest

    def _client(self, service: str) -> Json:
        if service not in self._clients:
            make: Json = boto3.client
            self._clients[service] = make(service, region_name=os.environ["AWS_REGION"])
        return self._clients[service]

    def _remembered(self) -> Iterator[dict[str, Json]]:
        pages = self._client("dynamodb").get_paginator("scan")
        for page in pages.paginate(TableName=self._stack["table"], ConsistentRead=True):
            for item in page["Items"]:
                try:
                    memory = dict(json.loads(item["memory"]["S"]))
                except (KeyError, TypeError, ValueError):
                    # As if it were lost, which at worst tells something again.
                    memory = {}
                yield {"subject": item["subject"]["S"], **memory}

    def _of(self, subject: str) -> dict[str, Json]:
        kept = self._memory.get(subject, {})
        return {key: value for key, value in kept.items() if key != "subject"}

    def _keep(self, subject: str, memory: Mapping[str, Json]) -> None:
        if memory == self._of(subject):
            return
        table, key = self._stack["table"], {"subject": {"S": subject}}
        if memory:
            text = json.dumps(memory, separators=(",", ":"))
            self._client("dynamodb").put_item(TableName=table, Item={**key, "memory": {"S": text}})
        else:
            self._client("dynamodb").delete_item(TableName=table, Key=key)
        self._memory[subject] = {"subject": subject, **memory}

    def _settle(self, subject: str, messages: list[Message], memory: Mapping[str, Json]) -> None:
        """Publish, then remember: what could not be remembered is told again, not lost."""
        for message in messages:
            self._publish(message)
        self._keep(subject, memory)

    def _publish(self, message: Message) -> None:
        about = {"project": self._stack["project"], "stack": self._stack["stack"]}
        subject, text = mail(message, **about, runbook=self._stack["runbook"])
        sns = self._client("sns")
        sns.publish(TopicArn=self._stack["topic"], Subject=subject, Message=text)
        self._published += 1
        print(json.dumps({"published": subject, "subject": message.subject}))  # noqa: T201
        if "chat" in self._stack:
            # It was told: what the chat does not take is no reason to tell it again.
            text = chat(message, **about)
            self._try(lambda: sns.publish(TopicArn=self._stack["chat"], Message=text))

    def _queues(self) -> None:
        """Dead letters, of the queues with the fewest first: a flood must not hide the others."""
        waiting: dict[str, int] = {}

        def count(name: str) -> None:
            waiting[name] = self._waiting(self._url(name))

        for name in self._stack["queues"]:
            self._try(count, name)
        end = time.monotonic() + READING_SECONDS
        fewest_first = sorted(waiting, key=lambda name: waiting[name])
        for before, name in enumerate(fewest_first):
            share = (end - time.monotonic()) / (len(waiting) - before)
            self._try(self._letters, name, waiting[name], share)

    def _url(self, name: str) -> str:
        return self._stack["queueUrl"] + self._stack["queues"][name]

    def _letters(self, name: str, waiting: int, seconds: float) -> None:
        subject = f"queue/{name}"
        missing = set[str](self._of(subject).get("told", []))
        seen: dict[str, letters.Letter] = {}
        deadline = time.monotonic() + seconds
        hidden = HIDDEN_SECONDS + (int(seconds) if waiting > MANY_LETTERS else 0)
        nothing_new = 0
        # The count is approximate: one that it leaves out must not pass for one that is gone.
        while waiting and (len(seen) < waiting or missing):
            batch = self._receive(self._url(name), hidden)
            new = {letter.id: letter for letter in batch if letter.id not in seen}
            nothing_new = 0 if new else nothing_new + 1
            seen |= new
            missing -= {letters.short(id_) for id_ in new}
            if not batch or nothing_new == BATCHES_WITHOUT_NEW:
                missing.clear()
                break
            if time.monotonic() >= deadline:
                break
        for told, memory in letters.look(
            name,
            list(seen.values()),
            self._of(subject),
            waiting=waiting,
            whole=len(seen) >= waiting and not missing,
        ):
            self._settle(subject, told, memory)

    def _waiting(self, url: str) -> int:
        names = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        answer = self._client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def _receive(self, url: str, hidden: int) -> list[letters.Letter]:
        answer = self._client("sqs").receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=hidden,
            # So that all servers are asked, not some:
            # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        )
        return [
            letters.letter_of(
                message["MessageId"],
                message["Body"],
                {
                    name: value.get("StringValue", "")
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                int(message.get("Attributes", {}).get("SentTimestamp", "0")) / 1000,
            )
            for message in answer.get("Messages", [])
        ]

    def _executions(self, name: str, now: datetime) -> None:
        """Executions of one state machine that go on."""
        machine = self._stack["machines"][name]
        subject = f"long/{name}"
        running = [
            # One that was redriven began a second time.
            runs.Running(one["executionArn"], one.get("redriveDate", one["startDate"]))
            for one in self._listed(machine["arn"], "RUNNING", RUNNING_AT_MOST)
        ]
        if not running and not self._of(subject):
            return
        usual = [
            one["stopDate"] - one["startDate"]
            for one in self._listed(machine["arn"], "SUCCEEDED", USUAL_RUNS)
            if "redriveDate" not in one
        ]
        timeout = timedelta(seconds=machine["timeout"]) if "timeout" in machine else None
        self._settle(
            subject,
            *runs.too_long(
                subject, name, running, self._of(subject), now, timeout=timeout, usual=usual
            ),
        )

    def _listed(self, machine_arn: str, status: str, at_most: int) -> list[dict[str, Json]]:
        pages = self._client("stepfunctions").get_paginator("list_executions")
        found = pages.paginate(
            stateMachineArn=machine_arn,
            statusFilter=status,
            PaginationConfig={"MaxItems": at_most, "PageSize": min(at_most, 1000)},
        )
        return [one for page in found for one in page["executions"]]

    def _pauses(self, now: datetime) -> None:
        """Lift the pauses whose time has come; keep what is paused from firing."""
        if "pauses" not in self._stack:
            return
        known = [runs.schedule_of(name, one) for name, one in self._stack["schedules"].items()]
        fire = {f"{one.kind}-{one.name}": one.name for one in known}
        found = pauses.pauses(self._client("ssm"), self._stack["pauses"])
        self._paused = {
            fire[key] for key, one in found.items() if key in fire and not one.over(now)
        }
        for label, pause in found.items():
            self._try(self._pause, label, fire.get(label), pause.over(now))

    def _pause(self, label: str, name: str | None, over: bool) -> None:  # noqa: FBT001
        # What its configuration has disabled since stays so. The one that is there now may have
        # been made after the pause.
        if name is not None:
            arn = self._stack["schedules"][name]["arn"]
            pauses.switch(self._client("scheduler"), arn, "ENABLED" if over else "DISABLED")
        if over:
            self._client("ssm").delete_parameter(Name=f"{self._stack['pauses']}{label}")
            print(json.dumps({"resumed": label}))  # noqa: T201

    def _schedule(self, name: str, now: datetime) -> None:
        one, subject = self._stack["schedules"][name], f"schedule/{name}"
        if name in self._paused:
            # Nothing is due; once it is resumed, what is due from then on.
            self._keep(subject, {})
            return
        since, blind = self._since(name, now)
        unseen = since if blind else None
        if "machine" in one:
            found, first = self._started_executions(one["machine"], since)
            unseen = first or unseen
        else:
            found = [runs.Run(at) for at in self._started.get(name, [])]
        schedule, memory = runs.schedule_of(name, one), self._of(subject)
        self._settle(subject, *runs.missed(schedule, found, memory, now, unseen=unseen))

    def _started_executions(
        self, machine_arn: str, since: datetime
    ) -> tuple[list[runs.Run], datetime | None]:
        """Executions of a pipeline that its schedule started: those know when they were due.

        If there are too many, the last ones, and when the first of those began that were asked for.
        """
        client = self._client("stepfunctions")
        found: list[runs.Run] = []
        asked = 0
        pages = client.get_paginator("list_executions").paginate(stateMachineArn=machine_arn)
        for page in pages:
            for one in page["executions"]:
                if one["startDate"] < since:
                    return found, None
                if asked == DESCRIBED_AT_MOST:
                    return found, one["startDate"]
                asked += 1
                execution = client.describe_execution(executionArn=one["executionArn"])
                run = runs.run_of(execution)
                if run is not None:
                    found.append(run)
        return found, None

    def _find_started_tasks(self, schedules: Sequence[str], now: datetime) -> None:
        """When tasks were started, by schedule, as the log of task events has it."""
        since = min(self._since(name, now)[0] for name in schedules)
        pages = self._client("logs").get_paginator("filter_log_events")
        found: dict[str, dict[str, datetime]] = {}
        for page in pages.paginate(
            logGroupName=self._stack["taskEvents"],
            startTime=int(since.timestamp() * 1000),
            endTime=int(now.timestamp() * 1000),
            filterPattern='"chronos-schedule/"',
        ):
            for event in page["events"]:
                task = runs.scheduled_task(event["message"])
                if task is not None:
                    name, task_id, at = task
                    first = found.setdefault(name, {}).get(task_id, at)
                    found[name][task_id] = min(first, at)
        self._started = {name: sorted(tasks.values()) for name, tasks in found.items()}

    def _tasks(self, now: datetime) -> None:
        """Tasks that no state machine stops, by job: the reaper may have missed one."""
        ecs, cluster = self._client("ecs"), self._stack["cluster"]
        for job, timeout in self._stack["tasks"].items():
            subject = f"task/{job}"
            arns = [
                arn
                for page in ecs.get_paginator("list_tasks").paginate(
                    cluster=cluster, family=timeout["family"], desiredStatus="RUNNING"
                )
                for arn in page["taskArns"]
            ]
            running = [
                runs.Running(task["taskArn"], task["startedAt"])
                for first in range(0, len(arns), 100)
                for task in ecs.describe_tasks(cluster=cluster, tasks=arns[first : first + 100])[
                    "tasks"
                ]
                if task.get("startedAt") and not task.get("group", "").startswith("execution:")
            ]
            limit = timedelta(seconds=timeout["seconds"]) + runs.TO_STOP
            told = runs.too_long(subject, job, running, self._of(subject), now, timeout=limit)
            self._settle(subject, *told)


def _text(time: datetime) -> str:
    return time.isoformat(timespec="seconds")
