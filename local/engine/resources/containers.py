"""Clusters, task definitions and images → Amazon ECS, and the registry of build contexts."""

import hashlib
import json
from pathlib import Path
from typing import Any

from local.engine.resources.context import (
    Context,
    capacity_providers,
    document,
    given,
    lower_pairs,
    pairs,
)
from local.engine.resources.handler import Handler, Name, put, retag
from local.engine.state import Created, Make, Properties, Registration, State


def cluster(context: Context, registration: Registration) -> Created:
    """An ECS cluster."""
    inputs = registration.inputs
    name: str = inputs["name"]
    settings = _settings(context, registration)
    made = context.ecs.create_cluster(
        clusterName=name, settings=settings, tags=lower_pairs(inputs["tags"])
    )["cluster"]
    arn = made.get("clusterArn", "")
    return Created(arn, {"arn": arn, "name": name})


def _settings(context: Context, registration: Registration) -> list[Any]:
    settings: list[Any] = registration.inputs.get("settings") or []
    if any(s["name"] == "containerInsights" and s["value"] != "disabled" for s in settings):
        context.not_honoured("Container Insights collects nothing", registration)
    return settings


def _update_cluster(context: Context, registration: Registration, before: State) -> None:
    settings = _settings(context, registration)
    context.ecs.update_cluster(
        cluster=before.id, settings=settings or [{"name": "containerInsights", "value": "disabled"}]
    )
    retag(registration, before, context.ecs, lower_pairs, resourceArn=before.id)


def _cluster_exists(context: Context, state: State) -> None:
    found = context.ecs.describe_clusters(clusters=[state.id])["clusters"]
    if not any(one.get("status") == "ACTIVE" for one in found):
        raise LookupError(state.id)


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
    for container in json.loads(inputs["containerDefinitions"]):
        lacking = context.image_limits(
            container["image"], essential=container.get("essential", True)
        )
        in_engine = context.in_engine(container["image"])
        for limit in (*lacking, *_container_limits(container, in_engine=in_engine)):
            context.not_honoured(limit, registration)
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
            tags=lower_pairs(inputs["tags"]) or None,
        ),
    )
    made = answer["taskDefinition"]
    arn, revision = made.get("taskDefinitionArn", ""), made.get("revision", 0)
    return Created(
        inputs["family"],
        {"arn": arn, "arnWithoutRevision": arn.rpartition(":")[0], "revision": revision},
    )


# A revision never changes: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/update-task-definition-console-v2.html
_EVERYTHING_BUT_TAGS = frozenset(
    {
        "containerDefinitions",
        "cpu",
        "enableFaultInjection",
        "ephemeralStorage",
        "executionRoleArn",
        "family",
        "memory",
        "networkMode",
        "requiresCompatibilities",
        "runtimePlatform",
        "taskRoleArn",
        "volumes",
    }
)


def _tag_task_definition(context: Context, registration: Registration, before: State) -> None:
    retag(registration, before, context.ecs, lower_pairs, resourceArn=before.outputs["arn"])


def _deregister(context: Context, state: State) -> None:
    if not state.inputs.get("skipDestroy"):
        context.ecs.deregister_task_definition(taskDefinition=state.outputs["arn"])


def _task_definition_exists(context: Context, state: State) -> None:
    arn = state.outputs["arn"]
    found = context.ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"]
    if found.get("status") != "ACTIVE":
        raise LookupError(arn)


def _container_limits(container: Properties, *, in_engine: bool) -> list[str]:
    """What a container does not have here of what it asks for."""
    limits = {
        "repositoryCredentials": "No registry is asked for an image",
        "user": "Containers run as the user of this command",
        "readonlyRootFilesystem": "A container may write to its copy of the image's files",
        "ulimits": "Limits on open files are this machine's",
        "linuxParameters": "No init process runs in a container",
        "cpu": "No sidecar is held to its share of cpu and memory",
        "memory": "No sidecar is held to its share of cpu and memory",
    }
    if in_engine:
        login = "Images are pulled with the container engine's own login"
        limits = {"repositoryCredentials": login, "cpu": "No container is held to its share of cpu"}
    found = list(dict.fromkeys(line for key, line in limits.items() if container.get(key)))
    options: Properties = (container.get("logConfiguration") or {}).get("options") or {}
    if "awslogs-multiline-pattern" in options:
        found.append("Each line of a log is an event, whatever its pattern says")
    if options.get("mode") == "non-blocking":
        found.append("No line of a log is dropped")
    return found


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _volumes(context: Context, registration: Registration) -> list[dict[str, Any]] | None:
    volumes: list[dict[str, Any]] = registration.inputs.get("volumes") or []
    if any(set(volume) - {"name", "efsVolumeConfiguration"} for volume in volumes):
        context.not_honoured("Volumes other than of Amazon EFS are not mounted", registration)
    if any(volume.get("efsVolumeConfiguration") for volume in volumes):
        limit = "File systems are folders of this machine until the cloud stops"
        containers: list[Properties] = json.loads(registration.inputs["containerDefinitions"])
        mounting = [one["image"] for one in containers if one.get("mountPoints")]
        if not all(map(context.in_engine, mounting)):
            limit += ", writable, and at their path in commands and variables alone"
        context.not_honoured(limit, registration)
    return [
        given(name=volume["name"], efsVolumeConfiguration=volume.get("efsVolumeConfiguration"))
        for volume in volumes
    ] or None


def repository(context: Context, registration: Registration) -> Created:
    """A repository of the registry; its id is its name."""
    inputs = registration.inputs
    made = context.ecr.create_repository(
        repositoryName=inputs["name"],
        imageTagMutability=inputs.get("imageTagMutability") or "MUTABLE",
        tags=pairs(inputs["tags"]),
    )["repository"]
    name: str = made["repositoryName"]
    return Created(
        name,
        {
            "arn": made["repositoryArn"],
            "name": name,
            "registryId": context.account,
            "repositoryUrl": made["repositoryUri"],
        },
    )


def _update_repository(context: Context, registration: Registration, before: State) -> None:
    context.ecr.put_image_tag_mutability(
        repositoryName=before.id,
        imageTagMutability=registration.inputs.get("imageTagMutability") or "MUTABLE",
    )
    retag(registration, before, context.ecr, pairs, resourceArn=before.outputs["arn"])


def lifecycle_policy(context: Context, registration: Registration) -> Created:
    """Which images of a repository go, and when."""
    inputs = registration.inputs
    context.ecr.put_lifecycle_policy(
        repositoryName=inputs["repository"], lifecyclePolicyText=document(inputs["policy"])
    )
    context.not_honoured("Lifecycle rules expire nothing", registration)
    return Created(inputs["repository"], {"registryId": context.account})


def image(context: Context, registration: Registration) -> Created:
    """An image: not built, but its URI is known to stand for the folder it would be built from.

    It is pushed: with each of its tags, and by its digest alone for an export that says so.
    """
    inputs = registration.inputs
    location: str = (inputs.get("context") or {}).get("location") or "."
    folder = (context.root / location).resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"the image's build context {folder} is not a folder")
    file = _dockerfile(context, inputs)
    found = f"sha256:{digest(folder, *file)}"
    exports = [e.get("image") or e.get("registry") or {} for e in inputs.get("exports") or []]
    untagged = [name for e in exports if e.get("pushByDigest") for name in e.get("names") or []]
    tagged: list[str] = inputs.get("tags") or []
    in_engine = False
    for name in tagged + untagged:
        url, _, tag = name.rpartition(":") if name in tagged else (name, "", "")
        registry, _, repository_name = url.partition("/")
        if registry.startswith(f"{context.account}.dkr.ecr."):
            context.ecr.put_image(
                repositoryName=repository_name,
                imageManifest=json.dumps({"schemaVersion": 2, "config": {"digest": found}}),
                imageDigest=found,
                **given(imageTag=tag or None),
            )
        reference = f"{url}@{found}"
        context.register_image(reference, folder, *map(str, file))
        in_engine = in_engine or context.in_engine(reference)
    if not in_engine:
        context.not_honoured("The image is not built: its folder runs in this Python", registration)
    references = [f"{name}@{found}" for name in tagged]
    return Created(found, {"digest": found, "ref": references[0] if references else ""})


def _with_context_hash(context: Context, inputs: Properties) -> Properties:
    """The inputs with the hash of the build's folder, by which a change of it shows."""
    location: str = (inputs.get("context") or {}).get("location") or "."
    folder = (context.root / location).resolve()
    file = _dockerfile(context, inputs)
    return inputs | {"contextHash": digest(folder, *file)} if folder.is_dir() else inputs


def _dockerfile(context: Context, inputs: Properties) -> list[Path]:
    """The Dockerfile that is named, if any is."""
    location: str | None = (inputs.get("dockerfile") or {}).get("location")
    return [] if location is None else [(context.root / location).resolve()]


def digest(folder: Path, *others: Path) -> str:
    """SHA-256 of the names and bytes of all files in a folder, bytecode apart, and of others."""
    total = hashlib.sha256()
    for path in others:
        total.update(hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(folder).as_posix().encode()
            total.update(len(name).to_bytes(8) + name + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def awsx_repository(name: str, inputs: Properties, make: Make) -> Properties:
    """`awsx:ecr:Repository`: a repository and, if told to, its lifecycle policy."""
    own = {key: inputs.get(key) for key in ("forceDelete", "imageTagMutability", "name", "tags")}
    made = make(
        "aws:ecr/repository:Repository", name, given(**own), ("arn", "name", "repositoryUrl")
    )
    outputs: Properties = {"repository": made, "url": made["repositoryUrl"]}
    policy: Properties = inputs.get("lifecyclePolicy") or {}
    if not policy.get("skip"):
        rules = policy.get("rules") or [{"tagStatus": "untagged", "maximumNumberOfImages": 1}]
        outputs["lifecyclePolicy"] = make(
            "aws:ecr/lifecyclePolicy:LifecyclePolicy",
            name,
            {"repository": made["name"], "policy": json.dumps({"rules": _expiring(rules)})},
        )
    return outputs


def _expiring(rules: list[Properties]) -> list[Properties]:
    return [
        {
            "rulePriority": number,
            "selection": given(
                tagStatus=rule["tagStatus"],
                tagPrefixList=rule.get("tagPrefixList"),
                countType="sinceImagePushed"
                if rule.get("maximumAgeLimit")
                else "imageCountMoreThan",
                countUnit="days" if rule.get("maximumAgeLimit") else None,
                countNumber=rule.get("maximumAgeLimit") or rule["maximumNumberOfImages"],
            ),
            "action": {"type": "expire"},
        }
        for number, rule in enumerate(rules, 1)
    ]


def awsx_image(name: str, inputs: Properties, make: Make) -> Properties:
    """`awsx:ecr:Image`: an image whose tag, unless given, is made of the paths it is built from.

    https://github.com/pulumi/pulumi-awsx/blob/master/awsx/ecr/image.ts
    """
    paths = [str(inputs.get(key) or "") for key in ("context", "dockerfile", "target")]
    tag = inputs.get("imageTag") or hashlib.sha256("\0".join(paths).encode()).hexdigest()[:32]
    reference = make.join(inputs["repositoryUrl"], f":{tag}")
    built = make(
        "docker-build:index:Image",
        name,
        given(
            context={"location": inputs.get("context") or "."},
            buildArgs=inputs.get("args"),
            platforms=[inputs["platform"]] if inputs.get("platform") else None,
            push=True,
            tags=[reference],
        ),
        ("digest",),
    )
    return {"imageUri": make.join(inputs["repositoryUrl"], "@", built["digest"])}


HANDLERS: dict[str, Handler] = {
    "aws:ecs/cluster:Cluster": Handler(
        cluster,
        lambda c, s: c.ecs.delete_cluster(cluster=s.id),
        _update_cluster,
        frozenset({"name", "namePrefix"}),
        _cluster_exists,
        name=Name(255),
        tagged=True,
    ),
    "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders": Handler(
        cluster_capacity_providers,
        lambda c, s: c.ecs.put_cluster_capacity_providers(
            cluster=s.id, capacityProviders=[], defaultCapacityProviderStrategy=[]
        ),
        put(cluster_capacity_providers),
        frozenset({"clusterName"}),
    ),
    "aws:ecs/taskDefinition:TaskDefinition": Handler(
        task_definition,
        _deregister,
        _tag_task_definition,
        _EVERYTHING_BUT_TAGS,
        _task_definition_exists,
        tagged=True,
    ),
    "aws:ecr/repository:Repository": Handler(
        repository,
        lambda c, s: c.ecr.delete_repository(
            repositoryName=s.id, force=bool(s.inputs.get("forceDelete"))
        ),
        _update_repository,
        frozenset({"name"}),
        lambda c, s: c.ecr.describe_repositories(repositoryNames=[s.id]),
        name=Name(256, lower=True),
        tagged=True,
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": Handler(
        lifecycle_policy,
        lambda c, s: c.ecr.delete_lifecycle_policy(repositoryName=s.id),
        put(lifecycle_policy),
        frozenset({"repository"}),
        lambda c, s: c.ecr.get_lifecycle_policy(repositoryName=s.id),
    ),
    # Deleting one leaves what was pushed: the repository's lifecycle policy is for that.
    "docker-build:index:Image": Handler(
        image, lambda _c, _s: None, put(image), check=_with_context_hash
    ),
}
