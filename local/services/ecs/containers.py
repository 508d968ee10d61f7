"""What Fargate gives a container before it starts: image, secrets, credentials, environment, log.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from local.ministack import internals
from local.services.ecs.build import Image, ImageError
from local.services.ecs.docker import EngineImage, InEngine
from local.services.ecs.images import Images, UnknownImage
from local.services.ecs.processes import Container, Endings, Line, OnThisMachine
from local.services.iam import iam

_ECS_TASKS = "ecs-tasks.amazonaws.com"
# Fargate renews a task's credentials; these live as long as a role session may.
# https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use.html
_SESSION_SECONDS = 12 * 3600
_SEARCH_PATH = "/usr/local/bin:/usr/bin:/bin"


class StartError(Exception):
    """A container cannot start; the message is the task's stopped reason as ECS words it."""


class NotHere(StartError):  # noqa: N818 - says what happened
    """Nothing on this machine stands for the container's image."""


@dataclass(frozen=True)
class Place:
    """Where a task runs: what its containers need to know of the cloud."""

    account: str
    region: str
    endpoint: str
    task_id: str

    def scope(
        self, region: str | None = None, account: str | None = None
    ) -> AbstractContextManager[None]:
        """The task's account and region, unless others are given, for calls of MiniStack's."""
        return internals.request_scope(account or self.account, region or self.region)


@dataclass(frozen=True)
class Launch:
    """A container ready to start, and where its lines go."""

    container: Container
    write: Callable[[list[Line]], None]


def authorise(task_definition: Mapping[str, Any], execution_role: str | None, place: Place) -> None:
    """Check the execution role's rights; raise `StartError` as Fargate words a lack of them."""
    try:
        if execution_role:
            iam.assume(
                execution_role,
                _ECS_TASKS,
                source_arn=f"arn:aws:ecs:{place.region}:{place.account}:*",
            )
        iam.for_task_start(execution_role, task_definition, task_id=place.task_id)
    except iam.AccessDenied as denied:
        raise StartError(_denied(denied)) from None


def _denied(denied: iam.AccessDenied) -> str:
    if denied.action.startswith("logs:"):
        return (
            "ResourceInitializationError: failed to validate logger args: create stream has been "
            "retried 1 times: failed to create Cloudwatch log stream: AccessDeniedException: "
            f"{denied} : exit status 1"
        )
    if denied.action.startswith("ecr:"):
        return (
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
            f"AccessDeniedException: {denied}"
        )
    return (
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
        f"retrieval failed: AccessDeniedException: {denied}"
    )


def volumes(
    task_definition: Mapping[str, Any], task_role: str | None, folder: Path, place: Place
) -> dict[str, Path]:
    """The folder, below `folder`, of each file system of a task, by the volume's name.

    Each access point has a folder of its own. Raises `StartError` where the task's role may not
    mount one.
    """
    try:
        iam.for_mounts(task_role, task_definition, task_id=place.task_id)
    except iam.AccessDenied as denied:
        raise StartError(
            "ResourceInitializationError: failed to invoke EFS utils commands to set up EFS "
            "volumes: stderr: b'mount.nfs4: access denied by server while mounting "
            f"127.0.0.1:/' : {denied}"
        ) from None
    found: dict[str, Path] = {}
    for volume in cast("Sequence[Mapping[str, Any]]", task_definition.get("volumes") or []):
        efs = cast("Mapping[str, Any] | None", volume.get("efsVolumeConfiguration"))
        if efs is not None:
            point = (efs.get("authorizationConfig") or {}).get("accessPointId")
            path = folder / efs["fileSystemId"] / (point or "root")
            path.mkdir(parents=True, exist_ok=True)
            # A container may run as any user; nobody else comes as far as this folder.
            path.chmod(0o777)
            found[volume["name"]] = path
    return found


@dataclass(frozen=True)
class Surroundings:
    """What the containers of one task have in common."""

    credentials: Mapping[str, str]
    volumes: Mapping[str, Path]
    memory: str | None
    scratch: Path
    place: Place
    endings: Endings
    metadata: Callable[[str], str]
    """The URI of what a container, by its name, may ask about its task."""


def prepare(
    definition: Mapping[str, Any],
    override: Mapping[str, Any],
    images: Images,
    around: Surroundings,
) -> Launch:
    """Resolve everything one container definition names; raise `StartError` for what is not there.

    `override` is the task's override of this container. Call it in the task's scope.
    """
    place = around.place
    hidden = _secrets(cast("Sequence[Mapping[str, str]]", definition.get("secrets") or []), place)
    try:
        image = images.find(definition["image"])
        if isinstance(image, EngineImage):
            images.fetch(image)
    except ImageError as error:
        raise (NotHere if isinstance(error, UnknownImage) else StartError)(
            "CannotPullContainerError: pull image manifest has been retried 1 time(s): "
            f"failed to resolve ref {definition['image']}: {error}"
        ) from None
    own = {
        **_named_values(definition.get("environment")),
        **hidden,
        **_named_values(override.get("environment")),
    }
    environment = {
        "AWS_REGION": place.region,
        "AWS_DEFAULT_REGION": place.region,
        "AWS_ENDPOINT_URL": place.endpoint,
        # There is no instance metadata service on Fargate, and asking for it would leave loopback.
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE",
        "ECS_CONTAINER_METADATA_URI_V4": around.metadata(definition["name"]),
        # Credentials of one's own come before the task role's in every SDK.
        **({} if "AWS_ACCESS_KEY_ID" in own else around.credentials),
        **own,
    }
    command: list[str] = override.get("command") or definition.get("command") or []
    mounts = {
        point["containerPath"]: around.volumes[point["sourceVolume"]]
        for point in cast("Sequence[Mapping[str, str]]", definition.get("mountPoints") or [])
        if point["sourceVolume"] in around.volumes
    }
    if isinstance(image, EngineImage):
        name = f"fargate-batch-{place.task_id[:12]}-{definition['name']}"
        container = InEngine(
            image, name, definition, command, environment, mounts, around.memory, around.endings
        )
        return Launch(container, _log(definition, place))
    default = {"LANG": "C.UTF-8", "TZ": "UTC", "PYTHONUNBUFFERED": "1", **image.environment}
    environment = default | environment
    search = (str(image.programs), environment.get("PATH", "").strip(":"), _SEARCH_PATH)
    environment["PATH"] = own.get("PATH") or ":".join(filter(None, search))
    whole = _command(definition.get("entryPoint"), command, image)
    container = OnThisMachine(image, whole, environment, around.scratch, mounts)
    return Launch(container, _log(definition, place))


def _named_values(pairs: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {pair["name"]: pair.get("value", "") for pair in pairs or []}


def _command(entry_point: list[str] | None, command: list[str], image: Image) -> list[str]:
    # An entry point of the task definition drops the image's command with its entry point.
    # https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact
    default = image.command if not entry_point else ()
    whole = [*(entry_point or image.entry_point), *(command or default)]
    if not whole:
        raise StartError("CannotStartContainerError: no command specified")
    return whole


def role_credentials(role_arn: str, place: Place) -> dict[str, str]:
    """Temporary credentials of the task role, known to STS, as environment variables.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    """
    source = f"arn:aws:ecs:{place.region}:{place.account}:*"
    try:
        session = iam.start_session(
            role_arn, _ECS_TASKS, place.task_id, source_arn=source, seconds=_SESSION_SECONDS
        )
    except iam.AccessDenied as denied:
        raise StartError(_denied(denied)) from None
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


def _secrets(wanted: Sequence[Mapping[str, str]], place: Place) -> dict[str, str]:
    found: dict[str, str] = {}
    for secret in wanted:
        value_from = secret["valueFrom"]
        # Of a parameter, a bare name may be given.
        region, account = value_from.split(":")[3:5] if ":" in value_from else (None, None)
        with place.scope(region, account):
            found[secret["name"]] = _secret(value_from)
    return found


def _secret(value_from: str) -> str:
    """One value of Secrets Manager or Parameter Store.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Secret.html and, for
    `ARN:json-key:version-stage:version-id`,
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
    """
    if ":secretsmanager:" not in value_from:
        value = internals.parameter_value(value_from, decrypt=True)
        if value is None:
            name = value_from.partition(":parameter")[2] or value_from
            raise _unavailable(
                f"unable to retrieve secrets from ssm: service call has been retried 1 time(s): "
                f"invalid parameters: {name}"
            )
        return str(value)
    parts = value_from.split(":")
    arn = ":".join(parts[:7])
    json_key, stage, version = (*parts[7:], "", "", "")[:3]
    found = internals.secret_value(arn, stage or "AWSCURRENT", version or None)
    if found is None:
        raise _unavailable(
            f"unable to retrieve secret from asm: service call has been retried 1 time(s): failed "
            f"to fetch secret {arn} from secrets manager: ResourceNotFoundException: Secrets "
            "Manager can't find the specified secret."
        )
    if not json_key:
        return str(found)
    try:
        value = json.loads(found)[json_key]
    except (ValueError, KeyError, TypeError):
        raise _unavailable(
            f"unable to retrieve secret from asm: service call has been retried 1 time(s): "
            f"retrieved secret from Secrets Manager did not contain json key {json_key}"
        ) from None
    return value if isinstance(value, str) else json.dumps(value)


def _unavailable(detail: str) -> StartError:
    return StartError(
        "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
        f"retrieval failed: {detail}"
    )


def _log(definition: Mapping[str, Any], place: Place) -> Callable[[list[Line]], None]:
    """The container's log stream, made as the awslogs driver makes it before the container runs.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
    """
    configuration = cast("Mapping[str, Any]", definition.get("logConfiguration") or {})
    if configuration.get("logDriver") != "awslogs":
        return _nowhere
    options = cast("Mapping[str, str]", configuration.get("options") or {})
    group, region = options.get("awslogs-group", ""), options.get("awslogs-region", place.region)
    stream = f"{options.get('awslogs-stream-prefix', '')}/{definition['name']}/{place.task_id}"
    names = {"logGroupName": group, "logStreamName": stream}
    with place.scope(region):
        if options.get("awslogs-create-group") == "true":
            internals.create_log_group({"logGroupName": group})
        status, _, body = internals.create_log_stream(names)
    if status >= 400:
        error = json.loads(body)
        if "AlreadyExists" not in error.get("__type", ""):
            raise StartError(
                "ResourceInitializationError: failed to validate logger args: create stream has "
                "been retried 1 times: failed to create Cloudwatch log stream: "
                "ResourceNotFoundException: The specified log group does not exist. : exit status 1"
            )

    def write(lines: list[Line]) -> None:
        if lines:
            with place.scope(region):
                internals.put_log_events({**names, "logEvents": [line._asdict() for line in lines]})

    return write


def _nowhere(_lines: list[Line]) -> None:
    """A container without a log configuration has no log."""
