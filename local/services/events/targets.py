"""One delivery from a rule or a schedule to its target, as the service makes it with its role.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-targets.html and
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html
"""

import json
from dataclasses import dataclass
from typing import Any, cast

from local import shapes
from local.faults import Faults
from local.ministack import internals
from local.ministack.seam import Refused
from local.services.delivery import DeliveryError
from local.services.ecs import ecs
from local.services.iam import iam
from local.services.lambda_ import functions
from local.services.stepfunctions import states

# ECS shows who started a task in at most so many characters.
MAX_STARTED_BY = 36


@dataclass(frozen=True)
class Sender:
    """Who delivers: the service, the rule or schedule, its role for this target; what is delivered.

    `about` names it the same in every run, for faults.
    """

    principal: str
    source_arn: str
    role_arn: str | None
    started_by: str
    execution_name: str
    about: str = ""


def deliver(target: dict[str, Any], payload: str, sender: Sender, faults: Faults) -> None:
    """Deliver one payload (a JSON text) to a target document of PutTargets or CreateSchedule.

    Raises:
        DeliveryError: it was not accepted.
    """
    arn: str = target["Arn"]
    kind = "aws-sdk" if ":::aws-sdk:" in arn else arn.split(":")[2]
    deliveries = {
        "states": _start_execution,
        "ecs": _run_task,
        "lambda": _invoke_function,
        "sqs": _send_message,
        "sns": _publish,
        "aws-sdk": _call_api,
    }
    if kind not in deliveries:
        raise DeliveryError("INVALID_PARAMETER", f"There is no delivery to {arn}.", retry=False)
    if faults.occurs("drop", sender.about):
        raise DeliveryError("INTERNAL_ERROR", "The delivery failed.", retry=True)
    if kind in {"states", "ecs"} and faults.occurs("refuse", sender.about):
        message = f"{sender.role_arn} is not authorized to start {arn}."
        raise DeliveryError("NO_PERMISSIONS", message, retry=False)
    try:
        deliveries[kind](target, payload, sender)
    except iam.AccessDenied as denied:
        raise DeliveryError("NO_PERMISSIONS", str(denied), retry=False) from None


def _assume(sender: Sender) -> str:
    if not sender.role_arn:
        raise DeliveryError("NO_PERMISSIONS", "The target has no role.", retry=False)
    source = sender.source_arn
    if sender.principal == "scheduler.amazonaws.com":
        # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
        source = source.replace(":schedule/", ":schedule-group/").rpartition("/")[0]
    try:
        iam.assume(
            sender.role_arn,
            sender.principal,
            source_arn=source,
            source_account=sender.source_arn.split(":")[4],
        )
    except iam.AccessDenied as denied:
        raise DeliveryError("FAILED_TO_ASSUME_ROLE", str(denied), retry=False) from None
    return sender.role_arn


def _start_execution(target: dict[str, Any], payload: str, sender: Sender) -> None:
    arn: str = target["Arn"]
    iam.for_start_execution(_assume(sender), arn)
    request = {"stateMachineArn": arn, "input": payload, "name": sender.execution_name}
    try:
        states.start_execution(request)
    except Refused as refused:
        if refused.code == "ExecutionAlreadyExists":
            # The same event a second time.
            return
        missing = refused.code == "StateMachineDoesNotExist"
        code = "NO_RESOURCE" if missing else "INVALID_PARAMETER"
        raise DeliveryError(code, refused.message, retry=False) from None


def _run_task(target: dict[str, Any], payload: str, sender: Sender) -> None:
    request = run_task_request(target, payload, sender.started_by)
    role_arn = _assume(sender)
    try:
        iam.for_run_task(role_arn, request)
        answer = ecs.run_task(request)
    except ecs.EcsError as error:
        missing = error.code in {"ClusterNotFoundException", "ClientException"}
        code = "NO_RESOURCE" if missing else "INVALID_PARAMETER"
        lasting = error.code not in {"ServerException", "ThrottlingException"}
        raise DeliveryError(
            code if lasting else "ERROR_FROM_TARGET", error.message, retry=not lasting
        ) from None
    if failures := cast("list[dict[str, str]]", answer.get("failures") or []):
        raise DeliveryError("ERROR_FROM_TARGET", failures[0].get("reason", ""), retry=True)


def run_task_request(target: dict[str, Any], payload: str, started_by: str) -> dict[str, Any]:
    """The RunTask request of an ECS target: its parameters, and the payload as the overrides.

    A payload that has no member of the overrides, such as a whole event, overrides nothing.
    """
    parameters: dict[str, Any] = dict(target["EcsParameters"])
    named = {
        "TaskDefinitionArn": "TaskDefinition",
        "TaskCount": "Count",
        "EnableECSManagedTags": "EnableECSManagedTags",
    }
    request: dict[str, Any] = shapes.to_api(
        "ecs",
        "RunTask",
        {named.get(name, name): value for name, value in parameters.items() if value is not None},
    )
    request |= {"cluster": target["Arn"], "startedBy": started_by[:MAX_STARTED_BY]}
    request["tags"] = [
        {name.lower(): value for name, value in tag.items()} for tag in request.get("tags") or []
    ]
    overrides: object = json.loads(payload)
    if not isinstance(overrides, dict):
        raise DeliveryError("INVALID_JSON", "The overrides must be a JSON object.", retry=False)
    known = shapes.service_model("ecs").shape_for("TaskOverride").members  # pyright: ignore[reportAttributeAccessIssue] - a structure
    chosen = {
        name: value for name, value in cast("dict[str, Any]", overrides).items() if name in known
    }
    if chosen:
        request["overrides"] = chosen
    return request


def _invoke_function(target: dict[str, Any], payload: str, sender: Sender) -> None:
    arn: str = target["Arn"]
    if sender.role_arn:
        iam.for_invoke_function(_assume(sender), arn)
    else:
        iam.for_service_invoke_function(sender.principal, arn, sender.source_arn)
    try:
        functions.invoke_later(arn, json.loads(payload))
    except functions.NoFunction as missing:
        raise DeliveryError("NO_RESOURCE", str(missing), retry=False) from None


def _send_message(target: dict[str, Any], payload: str, sender: Sender) -> None:
    arn: str = target["Arn"]
    _require_queue(arn)
    if sender.role_arn:
        iam.for_send_message(_assume(sender), arn)
    else:
        iam.for_service_send_message(sender.principal, arn, sender.source_arn)
    parameters = target.get("SqsParameters") or {}
    internals.send_to_queue(internals.parse_arn(arn), payload, parameters)


def _require_queue(arn: str) -> None:
    if internals.queue_by_arn(arn) is None:
        raise DeliveryError("NO_RESOURCE", f"The queue {arn} does not exist.", retry=False)


def _publish(target: dict[str, Any], payload: str, sender: Sender) -> None:
    arn: str = target["Arn"]
    if arn not in internals.topics():
        raise DeliveryError("NO_RESOURCE", f"The topic {arn} does not exist.", retry=False)
    if sender.role_arn:
        iam.for_publish(_assume(sender), arn)
    else:
        iam.for_service_publish(sender.principal, arn, sender.source_arn)
    internals.send_to_topic(arn, payload)


def _call_api(target: dict[str, Any], payload: str, sender: Sender) -> None:
    """A schedule's universal target: any API call, its request as the input."""
    service, operation = target["Arn"].split(":")[-2:]
    role_arn = _assume(sender)
    arguments = json.loads(payload)
    name = operation[0].upper() + operation[1:]
    request = shapes.to_api(shapes.model_of(service), name, arguments)
    iam.for_api_call(role_arn, service, operation, request)
    if service == "ecs":
        arguments = request
    try:
        internals.call_service(f"arn:aws:states:::aws-sdk:{service}:{operation}", arguments)
    except internals.call_error() as error:
        raise DeliveryError("ERROR_FROM_TARGET", str(error), retry=False) from None
