"""A RunTask request, checked as ECS checks it, to what its tasks are placed with.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""

import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from local.ministack import internals, seam
from local.services.iam import iam

_FARGATE_PROVIDERS = ("FARGATE", "FARGATE_SPOT")
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html#tag-restrictions
_TAG = re.compile(r"[\w .:/=+@-]*")
_MOST_TAGS = 50
_STARTED_BY = re.compile(r"[A-Za-z0-9\-/_]{0,128}")


class EcsError(seam.Refused):
    """A refusal of the ECS API: its error code and its message."""


@dataclass(frozen=True)
class Placement:
    """What every task of one request has in common."""

    cluster_name: str
    cluster_arn: str
    task_definition: dict[str, Any]
    overrides: dict[str, Any]
    container_overrides: dict[str, dict[str, Any]]
    launch_type: str
    capacity_provider: str | None
    platform_version: str
    subnet: str | None
    subnet_range: str | None
    count: int
    group: str
    started_by: str | None
    enable_execute_command: bool
    tags: list[dict[str, str]]

    @property
    def task_role(self) -> str | None:
        """The role of the containers' own calls."""
        return self.overrides.get("taskRoleArn") or self.task_definition.get("taskRoleArn") or None

    @property
    def execution_role(self) -> str | None:
        """The role Fargate pulls the image, reads secrets and writes the log with."""
        return (
            self.overrides.get("executionRoleArn")
            or self.task_definition.get("executionRoleArn")
            or None
        )


def place(request: Mapping[str, Any]) -> Placement:
    """Check a request and resolve what it names; raise `EcsError` with ECS's code.

    Call it in a request scope.
    """
    name, cluster = _cluster(request.get("cluster"))
    definition = _task_definition(request.get("taskDefinition"))
    overrides = cast("dict[str, Any]", request.get("overrides") or {})
    launch_type, provider = _capacity(request, cluster)
    if launch_type != "FARGATE":
        raise _invalid("No Container Instances were found in your cluster.")
    if "FARGATE" not in definition.get("compatibilities", []):
        raise _invalid("Task definition does not support launch_type FARGATE.")
    subnet, subnet_range = _network(request, definition)
    _roles(overrides, definition)
    version = request.get("platformVersion") or "LATEST"
    return Placement(
        cluster_name=name,
        cluster_arn=cluster["clusterArn"],
        task_definition=definition,
        overrides={"containerOverrides": [], "inferenceAcceleratorOverrides": [], **overrides},
        container_overrides=_container_overrides(overrides, definition),
        launch_type=launch_type,
        capacity_provider=provider,
        platform_version="1.4.0" if version == "LATEST" else version,
        subnet=subnet,
        subnet_range=subnet_range,
        count=_count(request),
        group=request.get("group") or f"family:{definition['family']}",
        started_by=_started_by(request),
        enable_execute_command=bool(request.get("enableExecuteCommand")),
        tags=_tags(request, definition),
    )


def _invalid(message: str) -> EcsError:
    return EcsError("InvalidParameterException", message)


def _cluster(reference: str | None) -> tuple[str, dict[str, Any]]:
    name = internals.cluster_name(reference or "default")
    cluster = cast("dict[str, Any] | None", internals.clusters().get(name))
    if name is None or cluster is None or cluster.get("status") == "INACTIVE":
        raise EcsError("ClusterNotFoundException", "Cluster not found.")
    return name, cluster


def _task_definition(reference: str | None) -> dict[str, Any]:
    if not reference:
        raise EcsError("ClientException", "TaskDefinition cannot be empty.")
    definitions = internals.task_definitions()
    if ":" not in reference.rsplit("/", 1)[-1]:
        # A family means its latest ACTIVE revision, whatever was registered after it.
        family = reference.rsplit("/", 1)[-1]
        active = [
            found
            for found in cast("list[dict[str, Any]]", definitions.values())
            if found["family"] == family and found["status"] == "ACTIVE"
        ]
        if active:
            return max(active, key=lambda found: cast("int", found["revision"]))
    key = internals.task_definition_key(reference)
    definition = cast("dict[str, Any] | None", definitions.get(key))
    if definition is None:
        raise EcsError("ClientException", "TaskDefinition not found.")
    if definition["status"] != "ACTIVE":
        raise EcsError("ClientException", "TaskDefinition is inactive")
    return definition


def _capacity(request: Mapping[str, Any], cluster: Mapping[str, Any]) -> tuple[str, str | None]:
    launch_type = cast("str | None", request.get("launchType"))
    strategy = cast("list[dict[str, Any]]", request.get("capacityProviderStrategy") or [])
    if launch_type and strategy:
        raise _invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. "
            "Remove one and try again."
        )
    if launch_type:
        return launch_type, None
    strategy = strategy or cluster.get("defaultCapacityProviderStrategy") or []
    if not strategy:
        return "EC2", None
    if len(strategy) > 20:
        raise _invalid("The capacity provider strategy cannot contain more than 20 providers.")
    known = cast("Sequence[str]", cluster.get("capacityProviders") or [])
    for item in strategy:
        if item["capacityProvider"] not in known:
            raise _invalid(
                f"The specified capacity provider {item['capacityProvider']} was not found. "
                "Specify a valid name or ARN and try again."
            )
    # The base is placed first, then by weight, one task at a time.
    chosen = max(strategy, key=lambda item: (item.get("base", 0), item.get("weight", 0)))
    provider = cast("str", chosen["capacityProvider"])
    return ("FARGATE" if provider in _FARGATE_PROVIDERS else "EC2"), provider


def _network(
    request: Mapping[str, Any], definition: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    network = cast("Mapping[str, Any]", request.get("networkConfiguration") or {})
    configuration = cast("Mapping[str, Any] | None", network.get("awsvpcConfiguration"))
    if definition.get("networkMode") != "awsvpc":
        if configuration:
            raise _invalid(
                "Network Configuration is not valid for the given networkMode of this task "
                "definition."
            )
        return None, None
    if configuration is None:
        raise _invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified."
        )
    subnets = cast("list[str]", configuration.get("subnets") or [])
    if not subnets:
        raise _invalid("subnets can not be empty.")
    if len(subnets) > 16:
        raise _invalid("subnets can have at most 16 items.")
    groups = cast("list[str]", configuration.get("securityGroups") or [])
    if len(groups) > 5:
        raise _invalid("securityGroups can have at most 5 items.")
    if configuration.get("assignPublicIp", "DISABLED") not in {"ENABLED", "DISABLED"}:
        raise _invalid("assignPublicIp must be ENABLED or DISABLED.")
    known = internals.subnets()
    for subnet in subnets:
        if subnet not in known:
            raise _invalid(
                f"Error retrieving subnet information for [{subnet}]: The subnet ID '{subnet}' "
                "does not exist (ErrorCode: InvalidSubnetID.NotFound)"
            )
    for group in groups:
        if group not in internals.security_groups():
            raise _invalid(
                f"Error retrieving security group information for [{group}]: The security group "
                f"'{group}' does not exist (ErrorCode: InvalidGroup.NotFound)"
            )
    return subnets[0], cast("str | None", known[subnets[0]].get("CidrBlock"))


def _roles(overrides: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    role = overrides.get("taskRoleArn") or definition.get("taskRoleArn")
    if not role:
        return
    source = ":".join([*definition["taskDefinitionArn"].split(":")[:5], "*"])
    try:
        iam.assume(role, "ecs-tasks.amazonaws.com", source_arn=source)
    except iam.AccessDenied:
        raise EcsError(
            "ClientException",
            f"ECS was unable to assume the role '{role}' that was provided for this task. Please "
            "verify that the role being passed has the proper trust relationship and permissions "
            "and that your IAM user has permissions to pass this role.",
        ) from None


def _container_overrides(
    overrides: Mapping[str, Any], definition: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    # "A total of 8192 characters are allowed for overrides. This limit includes the JSON
    # formatting characters of the override structure."
    text = json.dumps(overrides, ensure_ascii=False, separators=(",", ":"))
    if len(text) > 8192:
        raise _invalid("Container Overrides length must be at most 8192")
    names = {container["name"] for container in definition["containerDefinitions"]}
    found: dict[str, dict[str, Any]] = {}
    for override in cast("list[dict[str, Any]]", overrides.get("containerOverrides") or []):
        name = override.get("name")
        if not name:
            raise _invalid("Container Override must contain a name.")
        if name not in names:
            raise _invalid(
                f"Override for container named {name} is not a container in the TaskDefinition."
            )
        found[name] = override
    return found


def _count(request: Mapping[str, Any]) -> int:
    count = request.get("count")
    if count is None:
        return 1
    if not isinstance(count, int) or not 1 <= count <= 10:
        raise _invalid("Tasks count must be between 1 and 10.")
    return count


def _started_by(request: Mapping[str, Any]) -> str | None:
    started_by = cast("str | None", request.get("startedBy"))
    if started_by and len(started_by) > 128:
        raise _invalid("startedBy must be at most 128 characters long.")
    return started_by or None


def check_started_by(request: Mapping[str, Any]) -> None:
    """Refuse a `startedBy` of other than `[A-Za-z0-9-/_]`, which only AWS services may use."""
    started_by = request.get("startedBy") or ""
    if not _STARTED_BY.fullmatch(started_by):
        raise _invalid(
            "startedBy can have up to 128 letters (uppercase and lowercase), numbers, hyphens, "
            "forward slashes, and underscores."
        )


def _tags(
    request: Mapping[str, Any],
    definition: Mapping[str, Any],
) -> list[dict[str, str]]:
    own = cast("list[dict[str, str]]", request.get("tags") or [])
    if len(own) > _MOST_TAGS:
        raise _invalid("tags can have at most 50 items.")
    for tag in own:
        key, value = tag.get("key", ""), tag.get("value", "")
        if key.lower().startswith("aws:"):
            raise _invalid(f"The tag {key!r} begins with aws:, which is reserved.")
        if not (0 < len(key) <= 128 and len(value) <= 256 and _TAG.fullmatch(key + value)):
            raise _invalid(f"The tag {key!r} is too long, empty, or has other characters.")
    merged: dict[str, str] = {}
    if request.get("propagateTags") == "TASK_DEFINITION":
        inherited = internals.ecs_tags().get(definition["taskDefinitionArn"]) or []
        merged = {tag["key"]: tag.get("value", "") for tag in inherited}
    merged |= {tag["key"]: tag.get("value", "") for tag in own}
    if len(merged) > _MOST_TAGS:
        raise _invalid("A task can have at most 50 tags, those of its task definition among them.")
    return [{"key": key, "value": value} for key, value in merged.items()]


def address(cidr: str, number: int) -> str:
    """The address of the `number`-th interface of a subnet, past the four AWS keeps.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
    """
    network = ipaddress.ip_network(cidr, strict=False)
    return str(network[4 + number % max(1, network.num_addresses - 5)])
