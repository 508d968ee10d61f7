"""What a rule's or a schedule's target would have been given, and its start as they would have.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html and
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import botocore.session
from botocore.exceptions import ClientError

from .aws import Aws, code_of
from .errors import FAILED, OperateError

Target = Mapping[str, Any]

# ECS keeps so much of who started a task, and a rule or schedule gives no more:
MAX_STARTED_BY = 36


@dataclass(frozen=True)
class Start:
    """A start as it would be made: its target, its input and what keeps it from happening twice."""

    target: Target
    payload: str
    name: str
    """Of the execution, or the client token of the task: made of what is started once."""
    started_by: str
    """`events-rule/NAME` or `chronos-schedule/NAME`: alerts and time limits look for it."""

    def __str__(self) -> str:
        service = self.target["Arn"].split(":")[2]
        last = re.split(r"[:/]", self.target["Arn"])[-1]
        if service == "states":
            return f"start an execution of {last} named {self.name}"
        if service == "ecs":
            family = self.target["EcsParameters"]["TaskDefinitionArn"].rpartition("/")[2]
            return f"run a task of {family} in {last}"
        return f"invoke {last}"


@dataclass(frozen=True)
class Made:
    """What came of a start: the ARN of the execution or task, and whether it was there already."""

    arn: str
    new: bool


def make(aws: Aws, start: Start) -> Made:
    """Start it, unless it was started already as long as AWS remembers.

    Raises:
        OperateError: the target is none of this tool's, or refused.
    """
    service = start.target["Arn"].split(":")[2]
    if service == "states":
        return _start_execution(aws, start)
    if service == "ecs":
        return _run_task(aws, start)
    if service == "lambda":
        aws.client("lambda").invoke(
            FunctionName=start.target["Arn"],
            InvocationType="Event",
            Payload=start.payload.encode(),
        )
        return Made(start.target["Arn"], new=True)
    raise OperateError(f"no way to start {start.target['Arn']}", FAILED)


def _start_execution(aws: Aws, start: Start) -> Made:
    machine: str = start.target["Arn"]
    try:
        answer = aws.client("stepfunctions").start_execution(
            stateMachineArn=machine, name=start.name, input=start.payload
        )
    except ClientError as error:
        if code_of(error) != "ExecutionAlreadyExists":
            raise
        arn = machine.replace(":stateMachine:", ":execution:", 1)
        return Made(f"{arn}:{start.name}", new=False)
    return Made(answer["executionArn"], new=True)


def _run_task(aws: Aws, start: Start) -> Made:
    request = run_task_request(start)
    answer = aws.client("ecs").run_task(**request)
    if answer["failures"]:
        failure = answer["failures"][0]
        raise OperateError(f"ECS started nothing: {failure.get('reason')}", FAILED)
    return Made(answer["tasks"][0]["taskArn"], new=True)


def run_task_request(start: Start) -> dict[str, Any]:
    """RunTask's parameters of an ECS target, whose payload is the overrides."""
    given: Mapping[str, Any] = start.target["EcsParameters"]
    names = {"TaskDefinitionArn": "taskDefinition", "TaskCount": "count"}
    request = {
        names.get(name, name[0].lower() + name[1:]): _lower(value)
        for name, value in given.items()
        if value not in (None, [], {})
    }
    overrides = json.loads(start.payload)
    # A whole event as the input overrides nothing: it has no member of the overrides.
    model: Any = botocore.session.get_session().get_service_model("ecs")
    known = model.shape_for("TaskOverride").members
    chosen = {name: value for name, value in overrides.items() if name in known}
    return {
        **request,
        "cluster": start.target["Arn"],
        "startedBy": start.started_by[:MAX_STARTED_BY],
        "clientToken": start.name[:64],
        **({"overrides": chosen} if chosen else {}),
    }


def _lower(value: object) -> object:
    """The members of a target's parameters, as RunTask spells them."""
    if isinstance(value, Mapping):
        return {name[0].lower() + name[1:]: _lower(item) for name, item in value.items()}
    return [_lower(item) for item in value] if isinstance(value, list) else value


def input_of_rule(target: Target, event: Mapping[str, Any]) -> str:
    """What a rule's target is given of an event.

    Raises:
        OperateError: the target's transformer asks for what only EventBridge knows.
    """
    if transformer := target.get("InputTransformer"):
        return _transformed(transformer, event)
    if "Input" in target:
        return target["Input"]
    if path := target.get("InputPath"):
        return json.dumps(_at(event, path), ensure_ascii=False)
    return json.dumps(event, ensure_ascii=False)


_VARIABLE = re.compile(r"<([^<>]+)>")
_QUOTED_OR_VARIABLE = re.compile(r'("(?:\\.|[^"\\])*")|<([^<>]+)>')


def _transformed(transformer: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """The template with its variables: as JSON values, or as text inside quotation marks.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """
    template: str = transformer["InputTemplate"]
    paths: Mapping[str, str] = transformer.get("InputPathsMap") or {}
    unknown = set(_VARIABLE.findall(template)) - paths.keys()
    if unknown:
        raise OperateError(
            f"the rule's input transformer has <{min(unknown)}>, which nothing but EventBridge"
            " knows: start it by hand",
            FAILED,
        )
    values = {name: _at(event, path) for name, path in paths.items()}

    def put_in(match: re.Match[str]) -> str:
        if match[1] is None:
            return json.dumps(values[match[2]], ensure_ascii=False)
        return _VARIABLE.sub(lambda one: _spliced(values[one[1]]), match[1])

    return _QUOTED_OR_VARIABLE.sub(put_in, template)


def _spliced(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if json.dumps(text, ensure_ascii=False) != f'"{text}"':
        raise OperateError("a quote in the event would break the input: start it by hand", FAILED)
    return text


def _at(event: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 -- JSON
    found: Any = event
    for name in path.removeprefix("$").removeprefix(".").split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return "" if found is None else found


def input_of_schedule(
    target: Target, schedule_arn: str, scheduled: datetime, execution_id: str, attempt: int = 1
) -> str:
    """A schedule's input, with the time that it was due put in, not the present."""
    text: str = target.get("Input") or "{}"
    for name, value in {
        "schedule-arn": schedule_arn,
        "scheduled-time": scheduled.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "execution-id": execution_id,
        "attempt-number": str(attempt),
    }.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def of_schedule(aws: Aws, schedule_arn: str) -> Mapping[str, Any]:
    """A schedule as Scheduler has it.

    Raises:
        OperateError: it is gone.
    """
    _, group, name = schedule_arn.split("/")
    try:
        return aws.client("scheduler").get_schedule(GroupName=group, Name=name)
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        raise OperateError(f"the schedule {name} is gone", FAILED) from None


def of_rule(aws: Aws, rule: str, target_arn: str) -> Target:
    """A rule's target of this ARN.

    Raises:
        OperateError: the rule is gone, or has no such target any more.
    """
    try:
        found = aws.client("events").list_targets_by_rule(Rule=rule)["Targets"]
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        found = []
    for target in found:
        if target["Arn"] == target_arn:
            return target
    raise OperateError(f"the rule {rule} starts {target_arn} no more", FAILED)
