"""What a task state calls: containers, nested executions, functions and AWS's own APIs.

Each integration takes a `Call` and returns the state's result, in AWS's shape.
https://docs.aws.amazon.com/step-functions/latest/dg/integrate-services.html
"""

import contextlib
import dataclasses
import functools
import json
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol

from local import shapes
from local.clock import Aborted, Cancellation
from local.ministack import internals
from local.ministack.seam import Refused
from local.services.ecs import ecs
from local.services.iam import iam
from local.services.stepfunctions.asl import CALLBACK, Call, Json, StateError
from local.services.stepfunctions.history import text_of


class Child(Protocol):
    """A nested execution."""

    record: dict[str, Any]
    ended: Cancellation

    def abort(self, error: str | None, cause: str | None) -> None:
        """End it with the status ABORTED."""
        ...


Start = Callable[[dict[str, Any]], "Child"]


class Integrations:
    """All that a task state can call; `start` is StartExecution of this cloud."""

    def __init__(self, start: Start) -> None:
        self._start = start

    def __call__(self, call: Call) -> Json:
        """Make the call and wait for what it says to wait for.

        Raises:
            StateError: the call was refused, or what it started failed.
            Aborted: the call was cancelled.
        """
        resource = call.resource
        if call.token is not None and resource.endswith(CALLBACK):
            return self._until_called_back(call, call.token)
        _assume(call)
        if resource in {"arn:aws:states:::ecs:runTask", "arn:aws:states:::ecs:runTask.sync"}:
            return _run_task(call, sync=resource.endswith(".sync"))
        if resource.startswith("arn:aws:states:::states:startExecution"):
            return self._start_execution(call, resource.rpartition("startExecution")[2])
        if ":::aws-sdk:" in resource:
            return _sdk(call)
        call.started()
        if ":::lambda:invoke" in resource:
            name = (
                call.arguments.get("FunctionName", "") if isinstance(call.arguments, dict) else ""
            )
            _allowed("Lambda", lambda: iam.for_invoke_function(call.role_arn, _function_arn(name)))
        elif ":function:" in resource:
            _allowed("Lambda", lambda: iam.for_invoke_function(call.role_arn, resource))
        elif ":::sns:publish" in resource:
            topic: str = call.arguments.get("TopicArn", "")
            _allowed("SNS", lambda: iam.for_publish(call.role_arn, topic), _SNS_DENIED)
        elif ":::sqs:sendMessage" in resource:
            queue = _queue_arn(call.arguments.get("QueueUrl", ""))
            _allowed("SQS", lambda: iam.for_send_message(call.role_arn, queue))
        elif ":::dynamodb:" in resource:
            _allowed_item(call)
        return _blocking(call)

    def _until_called_back(self, call: Call, token: str) -> Json:
        """Make the call and wait for SendTaskSuccess or SendTaskFailure.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token
        """
        called_back = threading.Event()
        # As MiniStack's SendTaskSuccess and SendTaskFailure have it.
        record: dict[str, Any] = {"event": called_back, "result": None, "error": None}
        waiting = internals.task_tokens()
        waiting[token] = record
        try:
            resource = call.resource.removesuffix(CALLBACK)
            call.submitted(self(dataclasses.replace(call, resource=resource)))
            call.cancelled.call(called_back.set)
            called_back.wait()
            call.cancelled.check()
        finally:
            waiting.pop(token, None)
        if error := record["error"]:
            raise StateError(error["Error"], error["Cause"])
        return json.loads(record["result"])

    def _start_execution(self, call: Call, pattern: str) -> Json:
        machine = call.arguments.get("StateMachineArn", "")
        _allowed(
            "StepFunctions",
            lambda: iam.for_start_execution(call.role_arn, machine, child_sync=pattern != ""),
        )
        request: dict[str, Any] = {"stateMachineArn": machine}
        data = call.arguments.get("Input", {})
        request["input"] = data if isinstance(data, str) else text_of(data)
        if "Name" in call.arguments:
            request["name"] = call.arguments["Name"]
        call.started()
        try:
            child = self._start(request)
        except Refused as refused:
            name = refused.code.removesuffix("Exception") + "Exception"
            raise StateError(f"StepFunctions.{name}", refused.message) from None
        start_date = shapes.to_states(
            "stepfunctions", "StartExecutionOutput", {"startDate": child.record["startDate"]}
        )["StartDate"]
        answer = {"ExecutionArn": child.record["executionArn"], "StartDate": start_date}
        if not pattern:
            return answer
        call.submitted(answer)
        either = threading.Event()
        call.cancelled.call(either.set)
        child.ended.call(either.set)
        either.wait()
        child_arn: str = child.record["executionArn"]
        if call.cancelled:
            with contextlib.suppress(iam.AccessDenied):
                iam.for_stop_execution(call.role_arn, child_arn)
                child.abort(None, None)
            raise Aborted
        _allowed("StepFunctions", lambda: iam.for_describe_execution(call.role_arn, child_arn))
        described = _described(child.record)
        if child.record["status"] != "SUCCEEDED":
            raise StateError("States.TaskFailed", text_of(described))
        if pattern == ".sync:2":
            described["Output"] = json.loads(described["Output"])
        return described


def _described(record: dict[str, Any]) -> dict[str, Any]:
    """DescribeExecution of a nested execution as the parent's result or cause has it."""
    names = ("executionArn", "error", "cause", "input", "name", "output", "startDate")
    names += ("stateMachineArn", "status", "stopDate")
    document = {name: record[name] for name in names if record.get(name) is not None}
    described: dict[str, Any] = shapes.to_states(
        "stepfunctions", "DescribeExecutionOutput", document
    )
    for payload in ("Input", "Output"):
        if payload in described:
            described[f"{payload}Details"] = {"Included": True}
    described["RedriveCount"] = 0
    return dict(sorted(described.items()))


def _assume(call: Call) -> None:
    # A child of a map run has the label of its state behind the name of the machine.
    arn = call.execution_arn.replace(":execution:", ":stateMachine:", 1)
    machine = arn.rpartition(":")[0].partition("/")[0]
    try:
        iam.assume(call.role_arn, "states.amazonaws.com", source_arn=machine)
    except iam.AccessDenied:
        message = (
            "Neither the global service principal states.amazonaws.com, nor the regional one is "
            "authorized to assume the provided role."
        )
        raise StateError("States.Permissions", message) from None


# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html#API_Publish_Errors
_SNS_DENIED = "AuthorizationErrorException"


def _allowed(prefix: str, check: Callable[[], None], error: str = "AccessDeniedException") -> None:
    try:
        check()
    except iam.AccessDenied as denied:
        raise StateError(f"{prefix}.{error}", str(denied)) from None


def _run_task(call: Call, *, sync: bool) -> Json:
    if not isinstance(call.arguments, dict):
        raise StateError("States.Runtime", "The arguments of runTask must be an object.")
    request: dict[str, Any] = shapes.to_api("ecs", "RunTask", call.arguments)
    call.started()
    try:
        _allowed("ECS", lambda: iam.for_run_task(call.role_arn, request, sync=sync))
        answer = ecs.run_task(request)
    except ecs.EcsError as error:
        known = error.code in shapes.error_names("ecs", "RunTask")
        name = error.code if known else "AmazonECSException"
        raise StateError(
            f"ECS.{name}",
            f"{error.message} (Service: AmazonECS; Status Code: 400; Error Code: {error.code}; "
            "Proxy: null)",
        ) from None
    submitted = shapes.to_states("ecs", "RunTaskResponse", answer)
    if answer.get("failures"):
        raise StateError("AmazonECS.Unknown", text_of(submitted))
    if not sync:
        return submitted
    arns: list[str] = [task["taskArn"] for task in answer["tasks"]]
    cluster: str = answer["tasks"][0]["clusterArn"]
    try:
        call.submitted(submitted)
        tasks = [ecs.wait_until_stopped(arn, call.cancelled.event) for arn in arns]
    except Aborted:
        _stop_tasks(call.role_arn, cluster, arns)
        raise
    if call.cancelled:
        _stop_tasks(call.role_arn, cluster, arns)
        raise Aborted
    for arn in arns:
        # AWS looks for itself when an event does not come, and without the right to look an
        # execution can wait for ever; here it fails, so that the missing right is seen.
        # https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync
        _allowed("ECS", functools.partial(iam.for_describe_tasks, call.role_arn, arn))
    results = [shapes.to_states("ecs", "Task", task) for task in tasks]
    for task, result in zip(tasks, results, strict=True):
        if _failed(task):
            raise StateError("States.TaskFailed", text_of(result))
    return results[0]


def _stop_tasks(role_arn: str, cluster: str, arns: list[str]) -> None:
    # Without the right to stop it, an aborted execution leaves its task running:
    # https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync
    for arn in arns:
        with contextlib.suppress(iam.AccessDenied, ecs.EcsError):
            iam.for_stop_task(role_arn, arn)
            ecs.stop_task(cluster, arn, "Task stopped by user")


def _failed(task: dict[str, Any]) -> bool:
    """Whether a stopped task is a failure: it never ran, was stopped, or a container said so.

    Any container does, essential or not, as seen of tasks whose log router was killed at the end:
    https://github.com/wellcomecollection/catalogue-pipeline/pull/3377
    """
    if task.get("stopCode") not in {None, "EssentialContainerExited"}:
        return True
    return any(container.get("exitCode") != 0 for container in task["containers"])


def _blocking(call: Call) -> Json:
    """Make a call that cannot be cancelled, and leave it alone when it is no longer wanted."""
    done: list[Callable[[], Json]] = []
    either = threading.Event()
    engine_error = internals.call_error()

    def make() -> None:
        # What AWS's services call of each other has TLS, as policies of topics and queues demand.
        internals.pin_origin("", True)  # noqa: FBT003 - its signature
        try:
            result = internals.call_service(call.resource, call.arguments)
            done.append(lambda: result)
        except engine_error as error:
            done.append(_raiser(StateError(error.error, error.cause or "")))
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            done.append(_raiser(error))
        finally:
            either.set()

    call.cancelled.call(either.set)
    context = copy_context()
    threading.Thread(target=lambda: context.run(make), name="task", daemon=True).start()
    either.wait()
    if not done:
        raise Aborted
    return done[0]()


def _raiser(error: Exception) -> Callable[[], Json]:
    def again() -> Json:
        raise error

    return again


def _sdk(call: Call) -> Json:
    """`aws-sdk:*`: MiniStack knows ECS's members in camelCase only, and answers in them.

    The SDK names every error with the ending Exception.
    https://docs.aws.amazon.com/step-functions/latest/dg/supported-services-awssdk.html
    """
    service, operation = call.resource.split(":")[-2:]
    operation = operation[0].upper() + operation[1:]
    arguments, output = call.arguments, None
    if service == "ecs":
        output = shapes.service_model("ecs").operation_model(operation).output_shape
        arguments = shapes.to_api("ecs", operation, arguments)
    _allowed_in_sdk(call, service, operation)
    call.started()
    try:
        result = _blocking(dataclasses.replace(call, arguments=arguments))
    except StateError as error:
        name = error.error
        if not name.startswith("States."):
            name = name.removesuffix("Exception") + "Exception"
        raise StateError(name, error.cause) from None
    return shapes.to_states("ecs", output.name, result, "iso") if output else result


def _allowed_in_sdk(call: Call, service: str, operation: str) -> None:
    model = shapes.model_of(service)
    request = shapes.to_api(model, operation, call.arguments)
    try:
        iam.for_api_call(call.role_arn, service, operation, request)
    except iam.AccessDenied as denied:
        # An error that the API's model lacks has the name of the SDK's general one.
        prefix = service[0].upper() + service[1:]
        known = "AccessDeniedException" in shapes.error_names(model, operation)
        name = "AccessDeniedException" if known else f"{prefix}Exception"
        raise StateError(f"{prefix}.{name}", str(denied)) from None


def _allowed_item(call: Call) -> None:
    operation = call.resource.rpartition(":")[2]
    _allowed(
        "DynamoDB",
        lambda: iam.for_api_call(call.role_arn, "dynamodb", operation, call.arguments),
    )


def _queue_arn(url: str) -> str:
    queue: dict[str, Any] = internals.queues().get(url) or {}
    return (queue.get("attributes") or {}).get("QueueArn", url)


def _function_arn(name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:lambda:{internals.region()}:{internals.account()}:function:{name}"
