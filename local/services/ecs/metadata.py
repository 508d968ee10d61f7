"""What a container may ask about its task: the task metadata endpoint, version 4, as on Fargate.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html
There a container is known by its address; here by its URI, which nobody else is told. Nothing
measures containers here, so there are no statistics, no `EphemeralStorageMetrics`, `ClockDrift`.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

PREFIX = "/_fargate-batch/v4/"
_LABEL = "com.amazonaws.ecs."


@dataclass(frozen=True)
class Known:
    """A task at this moment.

    `detail` is that of its event, whose times are ISO 8601; `subnet` is its subnet's CIDR block;
    `began` says when the containers that have been started were, by name.
    """

    detail: Mapping[str, Any]
    definition: Mapping[str, Any]
    subnet: str | None
    tags: Sequence[Mapping[str, str]]
    began: Mapping[str, str]

    @property
    def containers(self) -> Sequence[Mapping[str, Any]]:
        """The definitions of its containers."""
        return cast("Sequence[Mapping[str, Any]]", self.definition["containerDefinitions"])


class Endpoint:
    """The URIs of all containers of one cloud, each until its task ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._open: dict[str, tuple[str, str, Callable[[], Known]]] = {}

    def open(self, task: str, container: str, look: Callable[[], Known]) -> str:
        """A URI for a container of the task with this ARN, which `look` describes."""
        identity = secrets.token_urlsafe(24)
        with self._lock:
            self._open[identity] = (task, container, look)
        return f"{self._url}{PREFIX}{identity}"

    def close(self, task: str) -> None:
        """Let nobody ask about this task any more."""
        with self._lock:
            for identity in [known for known, (arn, *_) in self._open.items() if arn == task]:
                del self._open[identity]

    def answer(self, method: str, path: str) -> tuple[int, Any]:
        """The status and the JSON body of a request below `PREFIX`."""
        identity, _, asked = path.removeprefix(PREFIX).partition("/")
        with self._lock:
            found = self._open.get(identity)
        if found is None:
            return 404, "V4 metadata handler: unable to get the container from the request"
        if method != "GET":
            return 405, "V4 metadata handler: ask with GET"
        _, container, look = found
        known = look()
        if asked == "":
            (own,) = (one for one in known.containers if one["name"] == container)
            return 200, _container(known, own)
        if asked in {"task", "taskWithTags"}:
            return 200, _task(known, tagged=asked != "task")
        return 404, "V4 metadata handler: there is no such path, nor are there statistics here"


def _task(known: Known, *, tagged: bool) -> dict[str, Any]:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate-response.html
    detail, definition = known.detail, known.definition
    vcpu = int(detail["cpu"]) / 1024
    tags = {tag["key"]: tag["value"] for tag in known.tags} if tagged else {}
    return _without_none(
        {
            "Cluster": detail["clusterArn"],
            "TaskARN": detail["taskArn"],
            "Family": definition["family"],
            "Revision": str(definition["revision"]),
            "DesiredStatus": detail["desiredStatus"],
            "KnownStatus": detail["lastStatus"],
            "Limits": {
                "CPU": int(vcpu) if vcpu.is_integer() else vcpu,
                "Memory": int(detail["memory"]),
            },
            "PullStartedAt": detail.get("pullStartedAt"),
            "PullStoppedAt": detail.get("pullStoppedAt"),
            "AvailabilityZone": detail["availabilityZone"],
            "LaunchType": detail["launchType"],
            "Containers": [_container(known, one) for one in known.containers],
            "TaskTags": tags or None,
        }
    )


def _container(known: Known, definition: Mapping[str, Any]) -> dict[str, Any]:
    name, detail = definition["name"], known.detail
    whole = known.definition
    (record,) = (found for found in detail["containers"] if found["name"] == name)
    began = known.began.get(name)
    running = "PULLED" if began is None else "RUNNING"
    limits = {"CPU": definition.get("cpu", 0), "Memory": definition.get("memory")}
    return _without_none(
        {
            "DockerId": record["runtimeId"],
            "Name": name,
            "DockerName": name,
            "Image": definition["image"],
            "Labels": {
                f"{_LABEL}cluster": detail["clusterArn"],
                f"{_LABEL}container-name": name,
                f"{_LABEL}task-arn": detail["taskArn"],
                f"{_LABEL}task-definition-family": whole["family"],
                f"{_LABEL}task-definition-version": str(whole["revision"]),
            },
            "DesiredStatus": detail["desiredStatus"],
            "KnownStatus": "STOPPED" if record["lastStatus"] == "STOPPED" else running,
            "ExitCode": record.get("exitCode"),
            "Limits": _without_none(limits),
            "CreatedAt": began,
            "StartedAt": began,
            "Type": "NORMAL",
            "Health": {"status": record["healthStatus"]} if definition.get("healthCheck") else None,
            **_log(definition, detail["taskArn"]),
            "ContainerARN": record["containerArn"],
            "Networks": [
                {
                    "NetworkMode": "awsvpc",
                    "IPv4Addresses": [one["privateIpv4Address"]],
                    "AttachmentIndex": 0,
                    "IPv4SubnetCIDRBlock": known.subnet,
                }
                for one in record["networkInterfaces"]
            ],
        }
    )


def _log(definition: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The driver and its options, in which the stream's own name is."""
    configuration = cast("Mapping[str, Any]", definition.get("logConfiguration") or {})
    if not configuration:
        return {}
    options = dict(cast("Mapping[str, str]", configuration.get("options") or {}))
    prefix = options.pop("awslogs-stream-prefix", None)
    if prefix is not None:
        options["awslogs-stream"] = f"{prefix}/{definition['name']}/{task.rpartition('/')[2]}"
    return {"LogDriver": configuration["logDriver"], "LogOptions": options}


def _without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
