"""Lambda: an event to a function's process, in order, with retries and the failure destination.

The warm process and its log lines are MiniStack's; its environment, its role's credentials, the
names of its errors and asynchronous invocation are made here as AWS does.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
"""

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from local import faults
from local.instance import Instance
from local.ministack import internals
from local.runtime import Runtime
from local.services import delivery
from local.services.delivery import Deliveries, DeliveryError, Exhausted, RetryPolicy
from local.services.iam import iam
from local.services.lambda_.output import Answers, Lines
from local.shapes import Json

# What a process needs of this machine; all else of its environment is the function's own.
_INHERITED = {"PATH", "LANG", "LC_ALL", "TZ", "SYSTEMROOT", "TMPDIR"}
_LAMBDA = ("AWS_", "LAMBDA_", "_LAMBDA_", "_AWS", "_X_AMZN", *internals.function_variables)
_MAX_SECONDS_BETWEEN = 300.0
_SECONDS_TO_END = 1.0
# Whoever reads from a process that was killed is at its end, however long a busy machine takes.
_SECONDS_TO_READ = 10.0


class NoFunction(Exception):  # noqa: N818 - says what happened
    """There is no such function."""


@dataclass(kw_only=True)
class _Invocation(delivery.Sending):
    function: dict[str, Any]
    event: Json

    @property
    def config(self) -> dict[str, Any]:
        """The function's configuration."""
        return self.function.get("config") or self.function

    @property
    def settings(self) -> dict[str, Any]:
        """What PutFunctionEventInvokeConfig was given."""
        versions = self.function.get("event_invoke_configs") or {}
        found = self.function.get("event_invoke_config") or versions.get("$LATEST")
        return cast("dict[str, Any]", found or {})


class _InvocationError(DeliveryError):
    """The function failed: `body` is what it answered."""

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__("Unhandled", str(body.get("errorMessage") or ""), retry=True)
        self.body = body


def _invoke(invocation: _Invocation) -> None:
    result = internals.run_function(invocation.function, invocation.event)
    if result.get("error"):
        raise _InvocationError(result.get("body") or {})


def _policy(invocation: _Invocation) -> RetryPolicy:
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    settings = invocation.settings
    return RetryPolicy(
        settings.get("MaximumRetryAttempts", 2),
        settings.get("MaximumEventAgeInSeconds", 21_600),
        lambda retries: min(60.0 * (retries + 1), _MAX_SECONDS_BETWEEN),
    )


_open: list[Deliveries[_Invocation]] = []


def install(cloud: Runtime) -> None:
    """Run functions as AWS does, until the cloud closes."""
    invocations = Deliveries[_Invocation](cloud, "function", _invoke, _policy, _give_up)
    _open.append(invocations)
    processes = _Processes(cloud.instance)

    def close() -> None:
        _open.clear()
        invocations.stop()
        processes.close()
        invocations.join(_SECONDS_TO_END)

    cloud.on_close(close)

    def execute(func: dict[str, Any], event: Json, request_id: str) -> dict[str, Any]:
        config: dict[str, Any] = func.get("config") or func
        try:
            # AWS does so for hours at once; each time, a role that no longer trusts it is seen.
            iam.assume(config["Role"], _PRINCIPAL)
        except iam.AccessDenied:
            return _failure("AccessDeniedException", _NOT_ASSUMED, request_id)
        if cloud.faults.occurs("function", _about(config, event)):
            return _failure("RuntimeError", "a fault on purpose", request_id)
        try:
            with processes.invoking():
                return _named_error(
                    internals.run_in_process.original(func, event, request_id), request_id
                )
        except _Closed:
            return _failure("ServiceException", "the cloud is closing", request_id)

    def log(function: dict[str, Any], *rest: Any, **options: Any) -> None:  # noqa: ANN401 - MiniStack's parameters
        if _may_log(function.get("config") or function):
            internals.write_function_log.original(function, *rest, **options)

    internals.write_function_log.replace(log)
    internals.run_in_process.replace(execute)
    internals.invoke_later.replace(_queue)
    internals.function_credentials.replace(_credentials)
    internals.function_processes.replace(processes)
    internals.function_threads.replace(processes.threads)
    internals.function_folders.replace(_Folders(cloud.instance.scratch("functions")))


def invoke_later(arn: str, event: Json) -> None:
    """Invoke a function asynchronously, after all it was asked before.

    Raises:
        NoFunction: there is none with this ARN.
    """
    function, config, _ = internals.find_function(arn)
    if not function or not config:
        raise NoFunction(f"Function not found: {arn}")
    record = internals.function_version(function, config)
    _queue(record, event)


def _queue(record: dict[str, Any], event: Json) -> None:
    """Queue an event for a function; MiniStack calls it for InvocationType Event, S3 and SNS."""
    for invocations in _open:
        invocation = _Invocation(function=record, event=event)
        invocations.send(invocation, invocation.config["FunctionArn"])


def _give_up(invocation: _Invocation, error: DeliveryError, exhausted: Exhausted | None) -> None:
    """Send a failed event to the destination on failure (a record) and the dead-letter queue.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    config = invocation.config
    body: dict[str, Any] = (
        error.body
        if isinstance(error, _InvocationError)
        else {"errorMessage": error.message, "errorType": error.code}
    )
    request_id = str(body.get("requestId", ""))
    on_failure = (invocation.settings.get("DestinationConfig") or {}).get("OnFailure") or {}
    destination = on_failure.get("Destination")
    queue = (config.get("DeadLetterConfig") or {}).get("TargetArn")
    if destination and ":sqs:" in destination:
        record = {
            "version": "1.0",
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "requestContext": {
                "requestId": request_id,
                "functionArn": f"{config['FunctionArn']}:$LATEST",
                "condition": "EventAgeExceeded" if exhausted == "age" else "RetriesExhausted",
                "approximateInvokeCount": invocation.retries + 1,
            },
            "requestPayload": invocation.event,
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            },
            "responsePayload": body,
        }
        _send(config, destination, json.dumps(record, ensure_ascii=False), {})
    if queue and ":sqs:" in queue:
        attributes = {
            "RequestID": request_id or "-",
            "ErrorCode": "200",
            "ErrorMessage": str(body.get("errorMessage") or "-")[:1024],
        }
        _send(config, queue, json.dumps(invocation.event, ensure_ascii=False), attributes)


def _send(config: dict[str, Any], queue_arn: str, body: str, attributes: dict[str, str]) -> None:
    delivery.send_dead_letter(
        queue_arn, body, attributes, lambda: iam.for_send_message(config["Role"], queue_arn)
    )


def _may_log(config: dict[str, Any]) -> bool:
    """Whether the function's role lets its output be kept; without it AWS drops the lines."""
    group = (config.get("LoggingConfig") or {}).get("LogGroup")
    stream = f"{time.strftime('%Y/%m/%d', time.gmtime())}/[$LATEST]{uuid.uuid4().hex}"
    arn, name = config["FunctionArn"], config["FunctionName"]
    try:
        iam.for_function_log(config["Role"], arn, group or f"/aws/lambda/{name}", stream)
    except iam.AccessDenied:
        return False
    return True


_PRINCIPAL = "lambda.amazonaws.com"
# https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
_NOT_ASSUMED = "The role defined for the function cannot be assumed by Lambda."


def _about(config: dict[str, Any], event: Json) -> str:
    about = faults.of_event(event) if isinstance(event, dict) else json.dumps(event)
    return f"{config['FunctionName']} {about}"


def _failure(error_type: str, message: str, request_id: str) -> dict[str, Any]:
    """What an invocation answers that failed."""
    body = {
        "errorMessage": message,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": [],
    }
    return {"body": body, "error": True, "log": ""}


def _named_error(result: dict[str, Any], request_id: str) -> dict[str, Any]:
    """A failed invocation's answer with the exception's class as its type, and its stack trace.

    https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    body: object = result.get("body")
    if not result.get("error") or not isinstance(body, dict):
        return result
    answer = cast("dict[str, Any]", body)
    _, found, trace = str(result.get("log") or "").rpartition("Traceback (most recent call last):")
    if answer.get("errorType") != "Runtime.HandlerError" or not found:
        return result
    lines = trace.strip("\n").splitlines()
    message = str(answer.get("errorMessage", ""))
    first = message.split("\n", 1)[0]
    named = [line for line in lines if re.match(rf"[\w.]+(: {re.escape(first)})?$", line)]
    if not named:
        return result
    stack = [line for line in lines[: lines.index(named[-1])] if line.startswith("  ")]
    error_type = named[-1].split(":", 1)[0].rpartition(".")[2]
    shaped = {
        "errorMessage": message,
        "errorType": error_type,
        "requestId": request_id,
        "stackTrace": [f"{line}\n" for line in stack],
    }
    return {**result, "body": shaped}


def _credentials(config: dict[str, Any]) -> dict[str, str]:
    """The environment variables of a session of the function's role."""
    session = iam.start_session(config["Role"], _PRINCIPAL, config["FunctionName"])
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


class _Closed(Exception):  # noqa: N818 - what happened
    """Nothing is invoked any more."""


class _Process(subprocess.Popen[str]):
    """A function's process. What it started ends with it, as an execution environment does.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
    """

    instance: Instance | None = None

    def poll(self) -> int | None:
        ran = self.returncode is None
        code = super().poll()
        if ran and code is not None:
            self._end_group()
        return code

    def wait(self, timeout: float | None = None) -> int:
        ran = self.returncode is None
        code = super().wait(timeout)
        if ran:
            self._end_group()
        return code

    def _end_group(self) -> None:
        self._signal_group(signal.SIGKILL)
        if self.instance is not None:
            self.instance.ended(self.pid)

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            self._signal_group(sig)

    def close_pipes(self) -> None:
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


class _Folders:
    """The `tempfile` module as MiniStack's runtime sees it: in a folder of the cloud."""

    def __init__(self, where: Path) -> None:
        self._where = where

    def mkdtemp(self, prefix: str) -> str:
        return tempfile.mkdtemp(prefix=prefix, dir=self._where)


class _Threads:
    """The `threading` module as MiniStack's runtime sees it: who reads the pipes is known."""

    def __init__(self) -> None:
        self._started: list[threading.Thread] = []
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Json:
        return getattr(threading, name)

    def Thread(self, **options: Json) -> threading.Thread:  # noqa: N802 - the module's name
        thread = threading.Thread(**options)
        with self._lock:
            # One that is not started yet is not alive either, but has no identity.
            self._started = [old for old in self._started if old.ident is None or old.is_alive()]
            self._started.append(thread)
        return thread

    def join(self, deadline: float) -> bool:
        """Whether all of them ended before the deadline."""
        with self._lock:
            started = [thread for thread in self._started if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in started)


class _Processes:
    """The `subprocess` module as MiniStack's runtime sees it.

    Processes get none of this machine's environment, and what they leave open is closed.
    """

    def __init__(self, instance: Instance) -> None:
        self.threads = _Threads()
        self._instance = instance
        self._started: list[_Process] = []
        self._invoking = 0
        self._closed = False
        self._changed = threading.Condition()

    def __getattr__(self, name: str) -> Json:
        return getattr(subprocess, name)

    def Popen(self, command: list[str], **options: Json) -> "subprocess.Popen[str]":  # noqa: N802 - the module's name
        """Start a process; MiniStack hands the function's own variables over its input."""
        self._close_ended()
        environment: dict[str, str] | None = options.pop("env", None)
        kept = {
            name: value
            for name, value in (environment or {}).items()
            if name in _INHERITED or name.startswith(_LAMBDA)
        }
        with self._changed:
            if self._closed:
                raise _Closed
            process = _Process(command, env=kept, start_new_session=True, **options)
            if process.stdout is not None and process.stderr is not None:
                # MiniStack gives up on what a function wrote 50 ms after its answer.
                written = Lines(process.stderr)
                process.stderr = cast("IO[str]", written)
                process.stdout = cast("IO[str]", Answers(process.stdout, written))
            process.instance = self._instance
            self._instance.began(process.pid)
            self._started.append(process)
        return process

    @contextlib.contextmanager
    def invoking(self) -> Generator[None]:
        """While a process may be started or spoken to.

        Raises:
            _Closed: nothing is invoked any more.
        """
        with self._changed:
            if self._closed:
                raise _Closed
            self._invoking += 1
        try:
            yield
        finally:
            with self._changed:
                self._invoking -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """End every process, wait for whoever reads from one, and close what is open to it."""
        logger = internals.function_logger()
        # To MiniStack a worker that ends while it starts or answers is an error, whoever ended it.
        logger.addFilter(_no_error)
        try:
            with self._changed:
                self._closed = True
                for process in self._started:
                    process.kill()
                for process in self._started:
                    process.wait()
                self._changed.wait_for(lambda: not self._invoking, _SECONDS_TO_END)
            # A pipe that a thread still reads cannot be closed without waiting for that thread.
            if self.threads.join(time.monotonic() + _SECONDS_TO_READ):
                self._close_ended()
            internals.end_functions()
        finally:
            logger.removeFilter(_no_error)

    def _close_ended(self) -> None:
        with self._changed:
            ended = [process for process in self._started if process.poll() is not None]
            self._started = [process for process in self._started if process not in ended]
        for process in ended:
            process.close_pipes()


def _no_error(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR
