"""ECS tasks as processes: RunTask, through every caller, to STOPPED with its log and its events.

A task waits in PROVISIONING until one of `Cloud.max_tasks` workers takes it; the worker lives the
task's life, and every change of it goes to the default bus, in order. The states are those of
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
"""

import asyncio
import copy
import functools
import json
import logging
import queue
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from local import faults
from local.ministack import identity, internals, seam
from local.runtime import Runtime
from local.services.ecs import containers, dependencies, metadata
from local.services.ecs.containers import Launch, Place, StartError
from local.services.ecs.placement import EcsError, Placement, address, check_started_by, place
from local.services.ecs.processes import CannotStart, Process

__all__ = ["EcsError", "find_tasks", "install", "run_task", "stop_task", "wait_until_stopped"]

_STOP_SECONDS, _MOST_STOP_SECONDS = 30, 120
_CLOSE_GRACE_SECONDS = 0.8
_CANCELLED_CHECK_SECONDS = 0.5
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
_STOPPED_VISIBLE_SECONDS = 3600
_LATER = (
    "connectivity",
    "connectivityAt",
    "executionStoppedAt",
    "pullStartedAt",
    "pullStoppedAt",
    "startedAt",
    "stopCode",
    "stoppedAt",
    "stoppedReason",
    "stoppingAt",
)
_log = logging.getLogger(__name__)


class _Task:
    """One task: its record in MiniStack, and what its worker needs to run it."""

    def __init__(self, placement: Placement, home: Place, record: dict[str, Any]) -> None:
        self.placement = placement
        self.place = home
        self.record = record
        self.accepted: dict[str, Any] = {}
        self.arn: str = record["taskArn"]
        self.changed = threading.Condition()
        self.stopped = threading.Event()
        self.taken = False
        self.stop_code: str | None = None
        self.stop_reason = ""
        self.processes: dict[str, Process] = {}
        self.began: dict[str, str] = {}
        self.exited: set[str] = set()
        self.about = faults.of_task(record["taskDefinitionArn"], placement.overrides)

    @property
    def definitions(self) -> list[dict[str, Any]]:
        return self.placement.task_definition["containerDefinitions"]

    def container(self, name: str) -> dict[str, Any]:
        return next(found for found in self.record["containers"] if found["name"] == name)

    def ended(self) -> bool:
        """Whether an essential container, or every container, has exited, or a stop was asked."""
        return self.ending() or self.exited == {found["name"] for found in self.definitions}

    def ending(self) -> bool:
        """Whether an essential container has exited, or a stop was asked."""
        essential = {found["name"] for found in self.definitions if found.get("essential", True)}
        return self.stop_code is not None or bool(essential & self.exited)

    def left_out(self, name: str, reason: str) -> None:
        """A container that is not essential, and not on this machine, is as if it had ended."""
        self.container(name).update(
            lastStatus="STOPPED", exitCode=0, reason=reason, healthStatus="HEALTHY"
        )
        self.exited.add(name)


class _Supervisor:
    """All tasks of one cloud: a queue, its workers, and the thread that publishes changes."""

    def __init__(self, cloud: Runtime) -> None:
        self._cloud = cloud
        self._scratch = cloud.instance.scratch("tasks")
        self._volumes = cloud.instance.scratch("volumes")
        self._lock = threading.Lock()
        self._tasks: dict[str, _Task] = {}
        self._tokens: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self._visible: deque[tuple[float, _Task]] = deque()
        self._waiting: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        self._changes: queue.SimpleQueue[tuple[Place, dict[str, Any]] | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._closing = False
        self._publisher = threading.Thread(target=self._publish, name="ecs-events", daemon=True)
        self._publisher.start()

    # RunTask, StopTask and waiting

    def run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        placement = place(request)
        about = faults.of_task(placement.task_definition["taskDefinitionArn"], placement.overrides)
        if self._cloud.faults.occurs("throttle", about):
            raise EcsError("ThrottlingException", "Rate exceeded")
        token = cast("str | None", request.get("clientToken"))
        if token is None:
            tasks = self._register(placement)
        else:
            tasks = self._register_once(token, request, placement)
        return {"tasks": [task.accepted for task in tasks], "failures": []}

    def _register_once(
        self, token: str, request: Mapping[str, Any], placement: Placement
    ) -> list[_Task]:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/ECS_Idempotency.html
        if len(token) > 64:
            raise EcsError(
                "InvalidParameterException", "clientToken must be at most 64 characters long."
            )
        asked = json.dumps(request, sort_keys=True)
        key = (placement.cluster_arn, token)
        with self._lock:
            known = self._tokens.get(key)
            if known is None:
                tasks = self._register(placement, locked=True)
                self._tokens[key] = (asked, [task.arn for task in tasks])
                return tasks
        if known[0] != asked:
            raise EcsError(
                "ConflictException",
                "The RunTask request could not be processed due to conflicts. The provided "
                "clientToken is already in use with a different request.",
            )
        return [task for arn in known[1] if (task := self._tasks.get(arn)) is not None]

    def _register(self, placement: Placement, *, locked: bool = False) -> list[_Task]:
        account = internals.account()
        region = internals.region()
        tasks: list[_Task] = []
        for _ in range(placement.count):
            task_id = uuid.uuid4().hex
            home = Place(account, region, self._cloud.endpoint, task_id)
            tasks.append(_Task(placement, home, _record(placement, home)))
        if locked:
            self._admit(tasks)
        else:
            with self._lock:
                self._admit(tasks)
        return tasks

    def _admit(self, tasks: list[_Task]) -> None:
        if self._closing:
            raise EcsError("ServerException", "The cloud is closing.")
        self._forget_old()
        for task in tasks:
            self._tasks[task.arn] = task
            internals.tasks()[task.arn] = task.record
            if task.placement.tags:
                internals.ecs_tags()[task.arn] = list(task.placement.tags)
            task.accepted = _document(task) | {"tags": task.placement.tags}
            self._announce(task)
            self._waiting.put(task)
        for _ in range(min(len(tasks), self._cloud.max_tasks - len(self._workers))):
            worker = threading.Thread(target=self._work, name="ecs-task", daemon=True)
            self._workers.append(worker)
            worker.start()

    def _forget_old(self) -> None:
        before = time.monotonic() - _STOPPED_VISIBLE_SECONDS
        while self._visible and self._visible[0][0] < before:
            _, task = self._visible.popleft()
            self._tasks.pop(task.arn, None)
            with task.place.scope():
                internals.tasks().pop(task.arn, None)
                internals.ecs_tags().pop(task.arn, None)

    def find(self, task_arn: str) -> _Task:
        task = self._tasks.get(task_arn)
        if task is None:
            raise EcsError("InvalidParameterException", "The referenced task was not found.")
        return task

    def tasks(self) -> list[_Task]:
        return list(self._tasks.values())

    def stop(self, task: _Task, reason: str, code: str) -> None:
        with task.changed:
            if task.stop_code is not None or task.record["desiredStatus"] == "STOPPED":
                return
            task.stop_code, task.stop_reason = code, reason
            waiting, task.taken = not task.taken, True
            self._change(task, desiredStatus="STOPPED", stopCode=code, stoppedReason=reason)
            task.changed.notify_all()
        if waiting:
            self._finish(task, code, reason)

    # One task's life

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            with task.changed:
                if task.taken:
                    continue
                task.taken = True
            with task.place.scope():
                self._live(task)

    def _live(self, task: _Task) -> None:
        self._change(task, lastStatus="PENDING", connectivity="CONNECTED", connectivityAt=_now())
        try:
            self._start(task)
        except StartError as error:
            self._end_processes(task)
            self._finish(task, "TaskFailedToStart", str(error))
            return
        except Exception:  # noqa: BLE001 - reported, and the task is stopped
            # A defect here must not leave a task running for ever.
            _log.exception("task %s could not be started", task.arn)
            self._end_processes(task)
            self._finish(task, "TaskFailedToStart", "InternalError: see the log of the local cloud")
            return
        with task.changed:
            if task.stop_code is None:
                for name in set(task.processes) - task.exited:
                    task.container(name)["lastStatus"] = "RUNNING"
                self._change(task, lastStatus="RUNNING", startedAt=_now())
            task.changed.wait_for(task.ended)
            code = task.stop_code or "EssentialContainerExited"
            reason = task.stop_reason or "Essential container in task exited"
        self._end_processes(task)
        self._finish(task, code, reason)

    def _start(self, task: _Task) -> None:
        placement = task.placement
        if self._cloud.faults.occurs("no-start", task.about):
            raise StartError("Timeout waiting for network interface provisioning to complete.")
        task.record["pullStartedAt"] = _now()
        containers.authorise(placement.task_definition, placement.execution_role, task.place)
        credentials = (
            containers.role_credentials(placement.task_role, task.place)
            if placement.task_role
            else {}
        )
        around = containers.Surroundings(
            credentials,
            containers.volumes(
                placement.task_definition, placement.task_role, self._volumes, task.place
            ),
            task.record["memory"],
            self._scratch,
            task.place,
            self._cloud.instance,
            lambda name: self._cloud.metadata.open(task.arn, name, lambda: _known(task)),
        )
        launches: dict[str, Launch] = {}
        for definition in task.definitions:
            name = definition["name"]
            override = placement.container_overrides.get(name, {})
            try:
                launches[name] = containers.prepare(
                    definition, override, self._cloud.images, around
                )
            except containers.NotHere as error:
                if definition.get("essential", True):
                    task.container(name)["reason"] = str(error)
                    raise
                task.left_out(name, str(error))
            except StartError as error:
                if str(error).startswith("CannotPullContainerError"):
                    task.container(name)["reason"] = str(error)
                raise
        task.record["pullStoppedAt"] = _now()
        for definition in dependencies.in_order(task.definitions):
            if (launch := launches.get(definition["name"])) is None:
                continue
            with task.changed:
                if not self._wait_for_others(task, definition):
                    return
            self._launch(task, definition["name"], launch)
            self._watch_health(task, definition)
        self._inject_faults(task)

    def _wait_for_others(self, task: _Task, definition: dict[str, Any]) -> bool:
        """Whether the container may start, once it may; False where the task ends before."""
        for other, condition in dependencies.of(definition):
            container = task.container(other)
            met = functools.partial(dependencies.met, container, condition)
            failed = functools.partial(dependencies.failed, container)
            while not (task.ending() or met() or failed()):
                task.changed.wait()
            if task.ending():
                return False
            if not met():
                container["reason"] = (
                    f"dependency of {definition['name']}: {other} did not become {condition}"
                )
                raise StartError("Task failed to start")
        return True

    def _watch_health(self, task: _Task, definition: dict[str, Any]) -> None:
        name = definition["name"]
        process = task.processes.get(name)
        if process is None or not definition.get("healthCheck"):
            return

        def tell(status: str) -> None:
            with task.changed:
                task.container(name)["healthStatus"] = status
                task.changed.notify_all()

        threading.Thread(
            target=dependencies.watch,
            args=(process, definition["healthCheck"], tell),
            name="container-health",
            daemon=True,
        ).start()

    def _launch(self, task: _Task, name: str, launch: Launch) -> None:
        def exited(process: Process) -> None:
            with task.changed:
                container = task.container(name)
                container["lastStatus"] = "STOPPED"
                container["exitCode"] = process.exit_code
                container["reason"] = launch.container.reason or container["reason"]
                task.exited.add(name)
                task.changed.notify_all()

        with self._lock, task.changed:
            if self._closing or task.stop_code is not None:
                return
            task.began[name] = _iso(_now())
        try:
            process = Process(launch.container, self._cloud.instance, launch.write, exited)
        except CannotStart as error:
            reason = (
                "CannotStartContainerError: ResourceInitializationError: failed to create new "
                "container runtime task: failed to create shim task: OCI runtime create "
                f"failed: runc create failed: unable to start container process: {error}"
            )
            task.container(name)["reason"] = reason
            raise StartError("Task failed to start") from None
        # A StopTask that came meanwhile finds it here; a close that did has not seen it.
        with self._lock, task.changed:
            task.processes[name] = process
            closing = self._closing
        if closing:
            process.kill()

    def _inject_faults(self, task: _Task) -> None:
        """Kill or interrupt a task that has just started, where a fault occurs."""
        if self._cloud.faults.occurs("kill", task.about):
            for process in task.processes.values():
                process.kill()
        on_spot = task.placement.capacity_provider == "FARGATE_SPOT"
        if on_spot and self._cloud.faults.occurs("spot", task.about):
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
            self.stop(task, "Your Spot Task was interrupted.", "SpotInterruption")

    def _end_processes(self, task: _Task) -> None:
        """Stop what still runs: SIGTERM, then SIGKILL after the container's `stopTimeout`.

        https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
        """
        begun = time.monotonic()
        for process in task.processes.values():
            process.terminate()
        for definition in task.definitions:
            process = task.processes.get(definition["name"])
            if process is None:
                continue
            allowed = min(definition.get("stopTimeout") or _STOP_SECONDS, _MOST_STOP_SECONDS)
            if not process.join(max(0.0, begun + allowed - time.monotonic())):
                process.kill()
                process.join(_MOST_STOP_SECONDS)

    def _finish(self, task: _Task, code: str, reason: str) -> None:
        self._cloud.metadata.close(task.arn)
        now = _now()
        with task.changed:
            for container in task.record["containers"]:
                container["lastStatus"] = "STOPPED"
            ran = {"executionStoppedAt": now} if task.processes else {}
            self._change(
                task,
                lastStatus="DEPROVISIONING",
                desiredStatus="STOPPED",
                stopCode=code,
                stoppedReason=reason,
                **ran,
            )
            for attachment in task.record["attachments"]:
                attachment["status"] = "DELETED"
            self._change(task, lastStatus="STOPPED", stoppedAt=_now())
        with self._lock:
            self._visible.append((time.monotonic(), task))
        task.stopped.set()

    # Changes and their events

    def _change(self, task: _Task, **fields: str | float) -> None:
        """Apply one change, counted by `version`, and publish it.

        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_task_events.html
        """
        if fields.get("desiredStatus") == "STOPPED":
            fields.setdefault("stoppingAt", task.record["stoppingAt"] or _now())
        with internals.resource_lock("ecs-task", task.arn):
            task.record.update(fields)
            task.record["version"] += 1
            if fields.get("lastStatus") == "PENDING":
                for attachment in task.record["attachments"]:
                    attachment["status"] = "ATTACHED"
        with task.place.scope():
            internals.count_tasks(task.placement.cluster_name)
        self._announce(task)

    def _announce(self, task: _Task) -> None:
        self._changes.put((task.place, _event(task)))

    def _publish(self) -> None:
        while (change := self._changes.get()) is not None:
            home, detail = change
            entry = {
                "Source": "aws.ecs",
                "DetailType": "ECS Task State Change",
                "Resources": [detail["taskArn"]],
                "Detail": json.dumps(detail, ensure_ascii=False),
            }
            if self._closing:
                continue
            try:
                with home.scope():
                    internals.put_events({"Entries": [entry]}, allow_aws_source=True)
            except Exception:  # noqa: BLE001 - reported
                # One bad target must not end the stream of all others.
                _log.exception("a state change of %s was not published", detail["taskArn"])

    def close(self) -> None:
        """SIGTERM to every process, SIGKILL to what is left after a short grace."""
        with self._lock:
            self._closing = True
            tasks = list(self._tasks.values())
        for _ in self._workers:
            self._waiting.put(None)
        running = [process for task in tasks for process in task.processes.values()]
        for task in tasks:
            with task.changed:
                task.taken = True
                task.stop_code = task.stop_code or "ServiceSchedulerInitiated"
                task.changed.notify_all()
        deadline = time.monotonic() + _CLOSE_GRACE_SECONDS
        for process in running:
            process.terminate()
        for process in running:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in running:
            process.kill()
        for process in running:
            process.join(_CLOSE_GRACE_SECONDS)
        self._changes.put(None)
        for thread in (*self._workers, self._publisher):
            thread.join(max(0.05, deadline + 0.5 - time.monotonic()))
        for task in tasks:
            task.stopped.set()
        shutil.rmtree(self._scratch, ignore_errors=True)


def _now() -> float:
    """Epoch seconds to the millisecond, as ECS gives them."""
    return round(time.time(), 3)


def _record(placement: Placement, home: Place) -> dict[str, Any]:
    """A task as RunTask answers it; None is what it does not have yet and the API leaves out.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    """
    prefix = f"arn:aws:ecs:{home.region}:{home.account}"
    path = f"{placement.cluster_name}/{home.task_id}"
    definition = placement.task_definition
    interface = str(uuid.uuid4())
    details: list[dict[str, str]] = []
    network: list[dict[str, str]] = []
    if placement.subnet:
        details.append({"name": "subnetId", "value": placement.subnet})
    if placement.subnet_range:
        number = int(home.task_id, 16)
        private = address(placement.subnet_range, number)
        details += [
            {"name": "networkInterfaceId", "value": f"eni-{home.task_id[:17]}"},
            {"name": "privateIPv4Address", "value": private},
        ]
        network = [{"attachmentId": interface, "privateIpv4Address": private}]
    architecture = (definition.get("runtimePlatform") or {}).get("cpuArchitecture") or "X86_64"
    return {
        "attachments": [
            {
                "id": interface,
                "type": "ElasticNetworkInterface",
                "status": "PRECREATED",
                "details": details,
            }
        ],
        "attributes": [{"name": "ecs.cpu-architecture", "value": architecture.lower()}],
        "availabilityZone": f"{home.region}a",
        "clusterArn": placement.cluster_arn,
        "containers": [
            {
                "containerArn": f"{prefix}:container/{path}/{uuid.uuid4()}",
                "taskArn": f"{prefix}:task/{path}",
                "name": container["name"],
                "image": container["image"],
                "runtimeId": f"{home.task_id}-{number:010d}",
                "lastStatus": "PENDING",
                "exitCode": None,
                "reason": None,
                "networkBindings": [],
                "networkInterfaces": network,
                "healthStatus": "UNKNOWN",
                "cpu": str(container.get("cpu", 0)),
                **({"memory": str(container["memory"])} if container.get("memory") else {}),
            }
            for number, container in enumerate(definition["containerDefinitions"], 1)
        ],
        "cpu": placement.overrides.get("cpu") or definition.get("cpu"),
        "createdAt": _now(),
        "desiredStatus": "RUNNING",
        "enableExecuteCommand": placement.enable_execute_command,
        "ephemeralStorage": placement.overrides.get("ephemeralStorage")
        or definition.get("ephemeralStorage")
        or {"sizeInGiB": 20},
        "group": placement.group,
        "healthStatus": "UNKNOWN",
        "lastStatus": "PROVISIONING",
        "launchType": placement.launch_type,
        "capacityProviderName": placement.capacity_provider,
        "memory": placement.overrides.get("memory") or definition.get("memory"),
        "overrides": copy.deepcopy(placement.overrides),
        "platformFamily": "Linux",
        "platformVersion": placement.platform_version,
        "startedBy": placement.started_by,
        "taskArn": f"{prefix}:task/{path}",
        "taskDefinitionArn": definition["taskDefinitionArn"],
        "version": 1,
        **dict.fromkeys(_LATER),
    }


def _document(task: _Task) -> dict[str, Any]:
    with internals.resource_lock("ecs-task", task.arn):
        return internals.without_none(task.record)


def _event(task: _Task) -> dict[str, Any]:
    """The event's detail: the task with ISO times and an attachment type of its own."""
    detail = _document(task)
    for name, value in detail.items():
        if name.endswith("At"):
            detail[name] = _iso(value)
    for attachment in detail["attachments"]:
        attachment["type"] = "eni"
    return detail | {"updatedAt": _iso(_now())}


def _known(task: _Task) -> metadata.Known:
    placed = task.placement
    definition, subnet, tags = placed.task_definition, placed.subnet_range, placed.tags
    return metadata.Known(_event(task), definition, subnet, tags, dict(task.began))


def _iso(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_installed: list[_Supervisor] = []


def _supervisor() -> _Supervisor:
    if not _installed:
        raise EcsError("ServerException", "The cloud is closed.")
    return _installed[-1]


def install(cloud: Runtime) -> None:
    """Put tasks as processes in place of MiniStack's, until the cloud closes."""
    supervisor = _Supervisor(cloud)
    _installed.append(supervisor)
    cloud.on_close(lambda: _installed.remove(supervisor))
    cloud.on_close(supervisor.close)
    operations: dict[str, seam.Operation] = {
        "CreateCluster": _handle_create_cluster,
        "RunTask": _handle_run_task,
        "StopTask": _handle_stop_task,
    }
    cloud.on_close(seam.serve("ecs", operations))


async def _handle_create_cluster(request: seam.Request) -> internals.Response:
    identity.role_of_ecs()
    return await request.pass_on()


async def _handle_run_task(request: seam.Request) -> dict[str, Any]:
    check_started_by(request.members)
    return await asyncio.to_thread(run_task, request.members)


async def _handle_stop_task(request: seam.Request) -> dict[str, Any]:
    cluster, task = request.members.get("cluster"), request.members.get("task")
    reason = request.members.get("reason") or "Task stopped by user"
    return {"task": await asyncio.to_thread(stop_task, cluster or "default", task or "", reason)}


def run_task(request: Mapping[str, Any]) -> dict[str, Any]:
    """RunTask: a request and an answer (`tasks`, `failures`) in the API's camelCase.

    The tasks are PROVISIONING. Raises `EcsError`. Call it in a request scope.
    """
    return _supervisor().run(request)


def stop_task(
    cluster: str, task_arn: str, reason: str, *, code: str = "UserInitiated"
) -> dict[str, Any]:
    """StopTask: SIGTERM, then SIGKILL after `stopTimeout`; returns the task at once.

    `code` is the task's `stopCode`. A task that has stopped stays as it is. Raises `EcsError` for
    a cluster or task that is not there. Call it in a request scope.
    """
    name = internals.cluster_name(cluster)
    if name is None or name not in internals.clusters():
        raise EcsError("ClusterNotFoundException", "Cluster not found.")
    record = internals.find_task(task_arn, name) if task_arn else None
    if record is None:
        raise EcsError("InvalidParameterException", "The referenced task was not found.")
    supervisor = _supervisor()
    task = supervisor.find(record["taskArn"])
    supervisor.stop(task, reason, code)
    return _document(task)


def wait_until_stopped(task_arn: str, cancelled: threading.Event | None = None) -> dict[str, Any]:
    """The task document (camelCase, times as epoch seconds) once it is STOPPED.

    Returns the task as it is then, not STOPPED, when `cancelled` is set (seen within half a
    second) or the cloud closes. Raises `EcsError` for a task that is not there.
    """
    task = _supervisor().find(task_arn)
    if cancelled is None:
        task.stopped.wait()
    else:
        while not cancelled.is_set() and not task.stopped.wait(_CANCELLED_CHECK_SECONDS):
            pass
    return _document(task)


def find_tasks(*, started_by: str) -> list[dict[str, Any]]:
    """The documents of all visible tasks with this `startedBy`, oldest first."""
    return [
        _document(task) for task in _supervisor().tasks() if task.placement.started_by == started_by
    ]
