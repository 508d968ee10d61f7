"""A job: the task definition of its container, the two roles and the log group."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import _volumes, defaults
from ._documents import as_output, joined, json_text
from ._here import Component, here
from ._iam import Statement, allow, arn, at_once, own_or_shared, service_role, through_s3
from ._logs import log_group
from ._sidecars import SidecarArgs, dependencies, pairs, secret_pairs, sidecar
from ._task import TaskArgs, family
from ._volumes import VolumeArgs
from .batch_image import BatchImage


class StatementArgs(TypedDict):
    """One statement of a policy: it allows."""

    actions: Sequence[str]
    """The actions, each `service:Name`."""
    resources: Sequence[pulumi.Input[str]]
    """The ARNs they are allowed on."""
    conditions: NotRequired[Mapping[str, Any]]
    """The condition block, as AWS writes it. Default: none."""


class FargateJobArgs(TypedDict):
    """The container of a job and what it may touch."""

    image: NotRequired[pulumi.Input[str] | None]
    """The image's URI. Default: built from `batch/`, for this job alone."""
    repository_arn: NotRequired[pulumi.Input[str] | None]
    """The ECR repository of `image`, which the job may then pull from. Not for public images.
    Default: none."""
    cpu: NotRequired[int]
    """CPU units, 1024 a vCPU. Default: 512."""
    memory: NotRequired[int]
    """Memory in MiB; Fargate allows certain pairs with `cpu` only. Default: 1024."""
    ephemeral_storage: NotRequired[int | None]
    """Disk in GiB, 21 to 200. Default: Fargate's 20, which are free."""
    architecture: NotRequired[str]
    """X86_64 or ARM64, as the image is built; ARM64 costs a fifth less. Default: X86_64."""
    environment: NotRequired[Mapping[str, str]]
    """Environment variables of the container. Default: none."""
    secrets: NotRequired[Mapping[str, str]]
    """Environment variables by ARN of a Secrets Manager secret or SSM parameter: ECS reads them as
    the task starts, and their values are never seen by Pulumi. Default: none."""
    secrets_key: NotRequired[pulumi.Input[str] | None]
    """The ARN of the KMS key they are encrypted with. Default: AWS's own keys."""
    repository_credentials: NotRequired[pulumi.Input[str] | None]
    """The ARN of the Secrets Manager secret with the user name and password of the image's
    registry. Default: none."""
    policies: NotRequired[Sequence[StatementArgs]]
    """What the container's own AWS calls may do besides reading sources and writing results.
    Default: nothing."""
    managed_policy_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """Managed policies for the same, by ARN. Default: none."""
    entry_point: NotRequired[Sequence[str] | None]
    """The program and its first arguments. Default: the image's."""
    user: NotRequired[str | None]
    """Who the program runs as, `user` or `user:group`. Default: the image's."""
    readonly_root_filesystem: NotRequired[bool]
    """Whether the container can write to /tmp alone. A user that is not root can if the image
    declares /tmp as a volume:
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/bind-mounts.html. Default: False."""
    init_process: NotRequired[bool]
    """Whether a small init runs as process 1, which reaps children and passes signals on. Default:
    False."""
    open_files: NotRequired[int | None]
    """How many files may be open at once. Default: Fargate's 65,535."""
    stop_timeout: NotRequired[int]
    """How many seconds the program has after SIGTERM, 2 to 120. Default: 30."""
    log_mode: NotRequired[str]
    """`blocking`: the program waits while its log cannot be written; `non-blocking`: lines are
    dropped when the buffer is full. Default: blocking."""
    log_buffer_size: NotRequired[str | None]
    """The buffer of `non-blocking`, in k or m. Default: Docker's 10m."""
    log_multiline_pattern: NotRequired[str | None]
    """A regular expression by which a line begins a message; the lines that follow belong to it.
    Default: each line is one."""
    tags: NotRequired[Mapping[str, str]]
    """The tags of its tasks, however they are started. Default: none."""
    sidecars: NotRequired[Mapping[str, SidecarArgs]]
    """Further containers of the task, by name. They are stopped when the job's own container ends,
    which alone decides how the task did. Default: none."""
    depends_on: NotRequired[Mapping[str, str]]
    """Sidecars that the job's container starts after, each with START, COMPLETE, SUCCESS or
    HEALTHY. Default: none."""
    volumes: NotRequired[Mapping[str, VolumeArgs]]
    """File systems that the job's container mounts, by a name for each. Default: none."""
    source_bucket_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """Buckets whose objects the job may list and read. Default: none."""
    source_key_arns: NotRequired[Sequence[pulumi.Input[str]]]
    """The KMS keys that those are encrypted with. Default: S3's own."""
    results_bucket_name: NotRequired[pulumi.Input[str]]
    """The bucket the job writes to, which RESULTS_BUCKET names. Needs `results_bucket_arn`.
    Default: none."""
    results_bucket_arn: NotRequired[pulumi.Input[str]]
    """The ARN of that bucket. Default: none."""
    results_key_arn: NotRequired[pulumi.Input[str] | None]
    """The KMS key that it is encrypted with. Default: S3's own."""
    results_prefix: NotRequired[str]
    """The prefix the job may read and write there, in RESULTS_PREFIX. Default: NAME/."""
    execution_role_arn: NotRequired[pulumi.Input[str] | None]
    """The role ECS pulls the image and writes the log with: `ExecutionRole`. Not for a job with
    secrets. Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days the log is kept. Default: 30."""
    protect: NotRequired[bool]
    """Whether the log, and the repository of an image of its own, stay when the job is removed.
    Default: True."""


class FargateJob(Component):
    """What one container runs as on Fargate. Costs nothing until a task of it runs.

    0.5 vCPU and 1 GB for a minute cost about 0.0004 USD in us-east-1, a log 0.50 USD a GB.
    """

    task_definition_arn: pulumi.Output[str]
    """The task definition's ARN with its revision."""
    log_group_name: pulumi.Output[str]
    """The log group of the container's output."""
    task_role_arn: pulumi.Output[str]
    """The role of the container's own AWS calls, for grants of one's own."""
    execution_role_arn: pulumi.Output[str]
    """The role ECS starts the container with, for grants to read its image and secrets."""
    task: pulumi.Output[TaskArgs]
    """What a state machine, a rule or a schedule takes to run this job."""

    def __init__(
        self, name: str, args: FargateJobArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:FargateJob", name, opts, looks_back=True)
        child = pulumi.ResourceOptions(parent=self)

        image, repository_arn = args.get("image"), args.get("repository_arn")
        architecture = args.get("architecture", defaults.ARCHITECTURE)
        protect = args.get("protect", defaults.PROTECT)
        if image is None:
            built = BatchImage(name, {"architecture": architecture, "protect": protect}, child)
            image, repository_arn = built.image_uri, built.repository_arn

        logs = log_group(
            name,
            f"/{pulumi.get_project()}/{pulumi.get_stack()}/{name}",
            retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            protect=protect,
            opts=child,
        )
        sidecars = args.get("sidecars", {})
        execution_role = f"{name}-execution"
        execution_role_arn = own_or_shared(
            self,
            execution_role,
            lambda: task_role(
                execution_role,
                execution_statements(
                    logs.arn,
                    [repository_arn, *(one.get("repository_arn") for one in sidecars.values())],
                    [
                        secret
                        for container in (args, *sidecars.values())
                        for secret in container.get("secrets", {}).values()
                    ],
                    args.get("repository_credentials"),
                    args.get("secrets_key"),
                ),
                child,
                under_way=True,
            ),
            args.get("execution_role_arn"),
        )
        task_role_arn = task_role(
            f"{name}-task",
            _task_statements(name, args),
            child,
            managed_policy_arns=args.get("managed_policy_arns", []),
            under_way=True,
        )

        environment: dict[str, pulumi.Input[str]] = {"JOB": name}
        results_bucket_name = args.get("results_bucket_name")
        if results_bucket_name is not None:
            environment["RESULTS_BUCKET"] = results_bucket_name
            environment["RESULTS_PREFIX"] = _results_prefix(name, args)
        environment |= args.get("environment", {})
        stop_timeout = args.get("stop_timeout", defaults.STOP_TIMEOUT)
        # A stream is PREFIX/CONTAINER/TASK_ID: each container has its own.
        log_options = {
            "awslogs-group": logs.name,
            "awslogs-region": here().region,
            "awslogs-stream-prefix": name,
            **_log_options(args),
        }
        container = {
            "name": name,
            "image": image,
            "essential": True,
            "environment": pairs(environment),
            "secrets": secret_pairs(args.get("secrets", {})),
            "stopTimeout": stop_timeout,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {**log_options, **_multiline(args)},
            },
            **dependencies(args.get("depends_on", {})),
            **_container_options(args),
        }
        others = [
            sidecar(
                other,
                sidecars[other],
                stop_timeout=stop_timeout,
                log_configuration={"logDriver": "awslogs", "options": log_options},
            )
            for other in sorted(sidecars)
        ]
        volumes = [
            _volumes.definition(volume, it)
            for volume, it in sorted(args.get("volumes", {}).items())
        ]
        if args.get("readonly_root_filesystem", defaults.READONLY_ROOT_FILESYSTEM):
            volumes.append({"name": _WRITABLE})
        storage = args.get("ephemeral_storage")
        task_definition = aws.ecs.TaskDefinition(
            name,
            family=family(name),
            # Its tasks have them, too: for the bill.
            tags={"batch-job": name, **args.get("tags", {})},
            cpu=str(args.get("cpu", defaults.CPU)),
            memory=str(args.get("memory", defaults.MEMORY)),
            network_mode="awsvpc",
            requires_compatibilities=["FARGATE"],
            runtime_platform={
                "cpu_architecture": architecture,
                "operating_system_family": "LINUX",
            },
            ephemeral_storage={"size_in_gib": storage} if storage else None,
            execution_role_arn=execution_role_arn,
            task_role_arn=task_role_arn,
            volumes=volumes or None,
            container_definitions=json_text([container, *others], escaped=False),
            # An execution that is under way when the stack is updated still starts the revision
            # it was defined with; it must not have been deregistered.
            skip_destroy=True,
            opts=child,
        )
        self.task_definition_arn = task_definition.arn
        self.log_group_name = logs.name
        self.task_role_arn = task_role_arn
        self.execution_role_arn = execution_role_arn
        self.task = as_output(
            TaskArgs(
                name=name,
                task_definition_arn=self.task_definition_arn,
                execution_role_arn=execution_role_arn,
                task_role_arn=task_role_arn,
                log_group_name=self.log_group_name,
            )
        )
        self.register_outputs(
            {
                "task_definition_arn": self.task_definition_arn,
                "log_group_name": self.log_group_name,
                "task_role_arn": self.task_role_arn,
                "execution_role_arn": self.execution_role_arn,
                "task": self.task,
            }
        )


_WRITABLE = "tmp"


def _log_options(args: FargateJobArgs) -> dict[str, str]:
    """https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html."""
    # Said even where it is the driver's default, which an account's settings can change.
    options = {"mode": args.get("log_mode", defaults.LOG_MODE)}
    if (size := args.get("log_buffer_size")) is not None:
        options["max-buffer-size"] = size
    return options


def _multiline(args: FargateJobArgs) -> dict[str, str]:
    pattern = args.get("log_multiline_pattern")
    return {} if pattern is None else {"awslogs-multiline-pattern": pattern}


def _container_options(args: FargateJobArgs) -> dict[str, Any]:
    """What the container definition has only where it is asked for."""
    options: dict[str, Any] = {}
    if (entry_point := args.get("entry_point")) is not None:
        options["entryPoint"] = list(entry_point)
    if (user := args.get("user")) is not None:
        options["user"] = user
    mounts = [
        _volumes.mount_point(volume, it) for volume, it in sorted(args.get("volumes", {}).items())
    ]
    if args.get("readonly_root_filesystem", defaults.READONLY_ROOT_FILESYSTEM):
        options["readonlyRootFilesystem"] = True
        mounts.append({"sourceVolume": _WRITABLE, "containerPath": "/tmp"})  # noqa: S108 - the container's
    if mounts:
        options["mountPoints"] = mounts
    if args.get("init_process", defaults.INIT_PROCESS):
        options["linuxParameters"] = {"initProcessEnabled": True}
    if (files := args.get("open_files")) is not None:
        options["ulimits"] = [{"name": "nofile", "softLimit": files, "hardLimit": files}]
    if (credentials := args.get("repository_credentials")) is not None:
        options["repositoryCredentials"] = {"credentialsParameter": credentials}
    return options


def _results_prefix(name: str, args: FargateJobArgs) -> str:
    return args.get("results_prefix", f"{name}/")


def task_role(
    name: str,
    statements: Sequence[Statement],
    opts: pulumi.ResourceOptions,
    *,
    managed_policy_arns: Sequence[pulumi.Input[str]] = (),
    under_way: bool = False,
) -> pulumi.Output[str]:
    """The ARN of a role for ECS tasks."""
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
    source = {"ArnLike": {"aws:SourceArn": arn("ecs", "*")}}
    return service_role(
        name,
        service="ecs-tasks.amazonaws.com",
        source=source,
        statements=statements,
        managed_policy_arns=managed_policy_arns,
        under_way=under_way,
        opts=opts,
    )


def execution_statements(
    log_group_arn: pulumi.Output[str],
    repository_arns: Sequence[pulumi.Input[str] | None],
    secrets: Iterable[str],
    repository_credentials: pulumi.Input[str] | None,
    secrets_key_arn: pulumi.Input[str] | None,
) -> list[Statement]:
    """What starting a task takes: its log, its image, its secrets.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
    """
    statements = [
        allow(
            ["logs:CreateLogStream", "logs:PutLogEvents"],
            joined(log_group_arn, ":log-stream:*"),
        )
    ]
    if repositories := [arn for arn in repository_arns if arn is not None]:
        statements += [
            # GetAuthorizationToken knows no resources:
            # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
            allow("ecr:GetAuthorizationToken", "*"),
            allow(
                [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:GetDownloadUrlForLayer",
                    "ecr:BatchGetImage",
                ],
                repositories[0] if len(repositories) == 1 else repositories,
            ),
        ]
    secret_arns = sorted({_without_json_key(arn) for arn in secrets})
    if managers := [arn for arn in secret_arns if ":secretsmanager:" in arn]:
        statements.append(allow("secretsmanager:GetSecretValue", managers))
    if parameters := [arn for arn in secret_arns if ":ssm:" in arn]:
        statements.append(allow("ssm:GetParameters", parameters))
    if repository_credentials is not None:
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/private-auth.html
        statements.append(allow("secretsmanager:GetSecretValue", repository_credentials))
    if secrets_key_arn is not None:
        statements.append(allow("kms:Decrypt", secrets_key_arn))
    return statements


def _without_json_key(secret_arn: str) -> str:
    """A secret's own ARN; ECS appends `:json-key:version-stage:version-id` to it."""
    return ":".join(secret_arn.split(":")[:7])


def _task_statements(name: str, args: FargateJobArgs) -> list[Statement]:
    # Without ListBucket S3 answers 403 for an object that is gone, as if it were forbidden:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    statements: list[Statement] = []
    sources = args.get("source_bucket_arns", [])
    if sources:
        statements += [
            allow("s3:ListBucket", sources),
            allow(
                ["s3:GetObject", "s3:GetObjectVersion"],
                [joined(bucket_arn, "/*") for bucket_arn in sources],
            ),
        ]
    results_arn = args.get("results_bucket_arn")
    if results_arn is not None:
        prefix = _results_prefix(name, args)
        statements += [
            allow("s3:ListBucket", results_arn),
            allow(
                ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
                joined(results_arn, f"/{prefix}*"),
            ),
        ]
    statements += _key_statements(args)
    statements += _volumes.statements(args.get("volumes", {}))
    return [
        *statements,
        *at_once(
            [
                allow(own["actions"], own["resources"], own.get("conditions") or None)
                for own in args.get("policies", [])
            ]
        ),
    ]


def _key_statements(args: FargateJobArgs) -> list[Statement]:
    """What S3 asks KMS for on behalf of the container, and only that.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
    """
    statements: list[Statement] = []
    if sources := args.get("source_key_arns", []):
        statements.append(allow("kms:Decrypt", sources, through_s3()))
    if (results := args.get("results_key_arn")) is not None:
        # A large result is written in parts, which S3 decrypts to put them together.
        statements.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], results, through_s3()))
    return statements
