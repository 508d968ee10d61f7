"""A stack by its project and name, as the index it left in SSM parameters tells it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .aws import Aws
from .errors import OperateError, no_such

Index = Mapping[str, Any]


@dataclass(frozen=True)
class Job:
    """One job: its state machine and where its tasks log."""

    name: str
    machine_arn: str
    task_definition_arn: str
    log_group: str


@dataclass(frozen=True)
class Trigger:
    """What starts something: kind is upload, pipeline or schedule; or a part of the stack's own."""

    kind: str
    name: str
    rule: str | None = None
    """The rule's name, of an upload."""
    schedule_arn: str | None = None
    queue: str | None = None
    """The name of its dead-letter queue."""

    @property
    def label(self) -> str:
        """`upload-NAME`, by which commands name it."""
        return f"{self.kind}-{self.name}" if self.kind else self.name


class Stack:
    """A deployed stack.

    `index` has the stack's outputs by their names, `deadLetters` (trigger → queue name), `protect`,
    `disabled`, `filters` and `maxConcurrency`.
    """

    def __init__(self, aws: Aws, project: str, name: str, index: Index) -> None:
        self.aws = aws
        self.project = project
        self.name = name
        self.index = index

    @property
    def prefix(self) -> str:
        """What the names of its state machines and task definitions begin with.

        Where PROJECT-STACK- could be read as another stack's, it is not quite that.
        """
        for name, one in self.jobs.items():
            return one.machine_arn.rpartition(":")[2].removesuffix(f"job-{name}")
        return f"{self.project}-{self.name}-"

    @property
    def jobs(self) -> dict[str, Job]:
        """The jobs by name."""
        return {
            name: Job(name, one["stateMachineArn"], one["taskDefinitionArn"], one["logGroup"])
            for name, one in self._mapping("jobs").items()
        }

    @property
    def pipelines(self) -> dict[str, str]:
        """The pipelines' state machines by name."""
        return {name: one["stateMachineArn"] for name, one in self._mapping("pipelines").items()}

    @property
    def schedules(self) -> dict[str, Trigger]:
        """What Scheduler starts, by name; of a pipeline and a task of one name, the pipeline."""
        tasks = {
            name: Trigger("schedule", name, schedule_arn=arn, queue=self._queue("schedule", name))
            for name, arn in self._mapping("schedules").items()
        }
        pipelines = {
            name: Trigger(
                "pipeline",
                name,
                schedule_arn=one["scheduleArn"],
                queue=self._queue("pipeline", name),
            )
            for name, one in self._mapping("pipelines").items()
        }
        return tasks | pipelines

    @property
    def uploads(self) -> dict[str, Trigger]:
        """The uploads by name."""
        return {
            name: Trigger(
                "upload",
                name,
                rule=one["ruleArn"].rpartition("/")[2],
                queue=self._queue("upload", name),
            )
            for name, one in self._mapping("uploads").items()
        }

    @property
    def triggers(self) -> dict[str, Trigger]:
        """Everything that has a dead-letter queue, by label."""
        found = [*self.uploads.values(), *self.schedules.values()]
        known = {one.label: one for one in found}
        own = {
            label: Trigger("", label, queue=queue)
            for label, queue in self._mapping("deadLetters").items()
            if label not in known
        }
        return known | own

    @property
    def disabled(self) -> frozenset[str]:
        """The labels of the schedules that never fire, as the stack's configuration has it."""
        return frozenset(self.index.get("disabled") or ())

    @property
    def filters(self) -> dict[str, Index]:
        """What the uploads take that start a state machine, by the upload's name.

        Each has what it `starts` (`job-NAME`, `pipeline-NAME`), its `bucket`, the alternatives of
        `key` and `size` in its rule's pattern, if there are any, and `exclude`, if keys start
        nothing all the same.
        """
        return self._mapping("filters")

    @property
    def max_concurrency(self) -> dict[str, int]:
        """How many executions of a job run their task at once, of the jobs that say so."""
        return self._mapping("maxConcurrency")

    @property
    def backfills(self) -> str | None:
        """The state machine that runs backfills; None if the stack has none."""
        return self._mapping("backfills").get("stateMachineArn")

    @property
    def results_prefix(self) -> str:
        """The folder of the results bucket that has one for each job; of a stack with backfills."""
        return self._mapping("backfills").get("resultsPrefix") or ""

    @property
    def lists_of_backfills(self) -> str:
        """The folder of the results bucket in which backfills are told their objects."""
        return f"{self.results_prefix}_backfills/"

    @property
    def results_bucket(self) -> str:
        """The name of the bucket that jobs write to."""
        return self._output("resultsBucket")

    @property
    def cluster(self) -> str:
        """The ARN of its ECS cluster."""
        return self._output("clusterArn")

    @property
    def buckets(self) -> list[str]:
        """The names of its buckets."""
        return [
            self._output("uploadBucket"),
            *self._mapping("buckets").values(),
            self._output("resultsBucket"),
        ]

    @property
    def event_log(self) -> str:
        """The log group of what happened to tasks and executions."""
        return self._output("taskEventLogGroup")

    def job(self, name: str) -> Job:
        """The job of this name.

        Raises:
            OperateError: there is none; names the nearest.
        """
        jobs = self.jobs
        if name not in jobs:
            raise no_such("job", name, jobs)
        return jobs[name]

    def machine(self, name: str) -> tuple[str, str]:
        """(`job` or `pipeline`, the state machine's ARN) of a name; `pipeline-NAME` where both are.

        Raises:
            OperateError: there is neither, or both.
        """
        named = {f"job-{one.name}": one.machine_arn for one in self.jobs.values()}
        named |= {f"pipeline-{one}": arn for one, arn in self.pipelines.items()}
        found = [label for label in (f"job-{name}", f"pipeline-{name}", name) if label in named]
        if not found:
            raise no_such("job or pipeline", name, [*self.jobs, *self.pipelines])
        if len(found) > 1:
            raise OperateError(f"{name} is a job and a pipeline: say job-{name} or pipeline-{name}")
        return found[0].partition("-")[0], named[found[0]]

    def named(self, machine: str) -> tuple[str, str] | None:
        """(`job` or `pipeline`, its name) of a state machine's name; None if it is neither."""
        kind, _, name = machine.removeprefix(self.prefix).partition("-")
        return (kind, name) if machine.startswith(self.prefix) and name else None

    def _queue(self, kind: str, name: str) -> str | None:
        return self._mapping("deadLetters").get(f"{kind}-{name}")

    def _mapping(self, key: str) -> dict[str, Any]:
        return self.index.get(key) or {}

    def _output(self, key: str) -> str:
        value = self.index.get(key)
        if not isinstance(value, str):
            raise OperateError(f"the index of stack {self.name} has no {key}: deploy it again")
        return value


def find(aws: Aws, project: str, name: str) -> Stack:
    """Read the index of a stack.

    Raises:
        OperateError: there is none.
    """
    path = f"/{project}/{name}/index"
    index = _read(aws, path)
    if not index:
        raise OperateError(
            f"no stack {name} of {project} in {aws.region}: nothing is at {path}/ in Parameter"
            " Store. Check --stack, --project and --region, or deploy it once more"
        )
    return Stack(aws, project, name, index)


def only_one(aws: Aws) -> Stack:
    """The stack of an account that has one.

    Raises:
        OperateError: there is none, or more.
    """
    found: set[tuple[str, str]] = set()
    for page in aws.client("ssm").get_paginator("describe_parameters").paginate():
        for parameter in page["Parameters"]:
            match parameter["Name"].split("/"):
                case ["", project, name, "index", *_]:
                    found.add((project, name))
                case _:
                    pass
    if len(found) != 1:
        raise OperateError(f"{len(found)} stacks are here: name one with --project and --stack")
    [(project, name)] = found
    return find(aws, project, name)


def _read(aws: Aws, path: str) -> dict[str, Any]:
    """The parts below `path`, put together."""
    index: dict[str, Any] = {}
    pages = aws.client("ssm").get_paginator("get_parameters_by_path")
    for page in pages.paginate(Path=path, Recursive=True):
        for parameter in page["Parameters"]:
            for key, value in json.loads(parameter["Value"]).items():
                if isinstance(value, dict):
                    index.setdefault(key, {}).update(value)
                else:
                    index[key] = value
    return index
