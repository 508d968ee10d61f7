"""Clusters, task definitions and images → Amazon ECS, and the registry of build contexts."""

import hashlib
import json
from pathlib import Path
from typing import Any

from local.engine.monitor import Child, Created, Properties, Registration
from local.engine.resources.context import Context, Creator, capacity_providers, given


def cluster(context: Context, registration: Registration) -> Created:
    """An ECS cluster."""
    inputs = registration.inputs
    name = context.name(registration, limit=255)
    settings: list[Any] = inputs.get("settings") or []
    if any(s["name"] == "containerInsights" and s["value"] != "disabled" for s in settings):
        context.not_honoured("Container Insights collects nothing", registration)
    made = context.ecs.create_cluster(
        clusterName=name, settings=settings, tags=context.lower_pairs(inputs)
    )["cluster"]
    arn = made.get("clusterArn", "")
    return Created(arn, {"arn": arn, "name": name})


def cluster_capacity_providers(context: Context, registration: Registration) -> Created:
    """The capacity providers of a cluster, and which of them a task gets by default."""
    inputs = registration.inputs
    defaults: Any = capacity_providers(inputs.get("defaultCapacityProviderStrategies")) or []
    context.ecs.put_cluster_capacity_providers(
        cluster=inputs["clusterName"],
        capacityProviders=inputs.get("capacityProviders") or [],
        defaultCapacityProviderStrategy=defaults,
    )
    if "FARGATE_SPOT" in (inputs.get("capacityProviders") or []):
        context.not_honoured("FARGATE_SPOT interrupts a task only with --fault spot", registration)
    return Created(inputs["clusterName"], {})


def task_definition(context: Context, registration: Registration) -> Created:
    """A revision of a task definition. What `containerDefinitions` says goes to ECS as it is."""
    inputs = registration.inputs
    runtime = inputs.get("runtimePlatform")
    storage: Properties | None = inputs.get("ephemeralStorage")
    answer = context.ecs.register_task_definition(
        family=inputs["family"],
        containerDefinitions=json.loads(inputs["containerDefinitions"]),
        **given(
            cpu=_text(inputs.get("cpu")),
            memory=_text(inputs.get("memory")),
            networkMode=inputs.get("networkMode"),
            requiresCompatibilities=inputs.get("requiresCompatibilities"),
            executionRoleArn=inputs.get("executionRoleArn"),
            taskRoleArn=inputs.get("taskRoleArn"),
            ephemeralStorage=storage and {"sizeInGiB": storage["sizeInGib"]},
            runtimePlatform=runtime,
            volumes=_volumes(context, registration),
            tags=context.lower_pairs(inputs) or None,
        ),
    )
    made = answer["taskDefinition"]
    arn, revision = made.get("taskDefinitionArn", ""), made.get("revision", 0)
    return Created(
        inputs["family"],
        {"arn": arn, "arnWithoutRevision": arn.rpartition(":")[0], "revision": revision},
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _volumes(context: Context, registration: Registration) -> list[dict[str, Any]] | None:
    volumes: list[dict[str, Any]] = registration.inputs.get("volumes") or []
    if any(set(volume) - {"name"} for volume in volumes):
        context.not_honoured("Volumes other than the task's own disk are not mounted", registration)
    return [{"name": volume["name"]} for volume in volumes] or None


def repository(context: Context, registration: Registration) -> Created:
    """A registry's repository: here only its URL."""
    name = context.name(registration, limit=256).lower()
    url = f"{context.account}.dkr.ecr.{context.region}.amazonaws.com/{name}"
    outputs = {"arn": context.arn("ecr", f"repository/{name}"), "name": name, "repositoryUrl": url}
    child = Child("aws:ecr/repository:Repository", registration.name, name, outputs)
    return Created(name, {"url": url, "repository": child})


def image(context: Context, registration: Registration) -> Created:
    """An image: not built, but its URI is known to stand for the folder it would be built from."""
    inputs = registration.inputs
    folder = (context.project.root / (inputs.get("context") or ".")).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"the image's build context {folder} is not a folder")
    uri = f"{inputs['repositoryUrl']}@sha256:{digest(folder)}"
    context.register_image(uri, folder)
    context.not_honoured("The image is not built: its folder runs in this Python", registration)
    return Created(uri, {"imageUri": uri})


def digest(folder: Path) -> str:
    """SHA-256 of the names and bytes of all files in a folder, bytecode apart."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(folder).as_posix().encode()
            total.update(len(name).to_bytes(8) + name + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


CREATORS: dict[str, Creator] = {
    "aws:ecs/cluster:Cluster": cluster,
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": cluster_capacity_providers,
    "aws:ecs/taskDefinition:TaskDefinition": task_definition,
    "awsx:ecr:Repository": repository,
    "awsx:ecr:Image": image,
}
