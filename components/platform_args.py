"""What a platform is made of, in the shapes of a package's schema.

The keys are those of a stack's file, and `settings` says what goes together; a test holds both to
each other. A step is a list, of what runs side by side in it: a schema has no unions.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict


class PlatformNetworkArgs(TypedDict):
    """A new VPC, or the ids of an existing one."""

    cidr: NotRequired[str]
    """The IPv4 range of the new VPC, a /16 to /24. Default: 10.0.0.0/16."""
    zones: NotRequired[Sequence[str]]
    """The ids of the availability zones of the new VPC, 1 to 3, such as apne1-az1. Default: two
    that have Fargate."""
    nat: NotRequired[bool]
    """Whether tasks run in private subnets behind one NAT gateway, at about 45 USD a month and
    0.045 USD a GB, instead of in public subnets with a public address each. Default: False."""
    vpc_id: NotRequired[str]
    """The id of an existing VPC. Needs `subnet_ids`. Default: none, a new one."""
    subnet_ids: NotRequired[Sequence[str]]
    """The ids of the existing VPC's subnets for the tasks, 1 to 16. Default: none, new ones."""
    security_group_ids: NotRequired[Sequence[str]]
    """The ids of the existing VPC's security groups for the tasks, 1 to 5. Default: one that lets
    nothing in but from itself and everything out."""
    assign_public_ip: NotRequired[bool]
    """Whether tasks get a public IPv4 address, as in public subnets they must. Default: the
    opposite of `nat`."""


class PlatformUploadsBucketArgs(TypedDict):
    """The bucket that is watched: a new one, or an existing one."""

    bucket: NotRequired[str]
    """The name of an existing bucket. Default: none, a new one."""
    notifications: NotRequired[str]
    """`replace` the notification configuration of an existing bucket, or `keep` it: its owner turns
    EventBridge on. Default: replace."""
    kms_key_arn: NotRequired[str]
    """The ARN of the KMS key that the bucket is, or a new one becomes, encrypted with. Default:
    S3's own."""
    retention_days: NotRequired[int]
    """After how many days uploads expire. Default: never."""
    allowed_origins: NotRequired[Sequence[str]]
    """The origins of the web pages that may upload, such as `https://app.example.com`. Default:
    none."""


class PlatformResultsBucketArgs(TypedDict):
    """The bucket that is written to: a new one, or an existing one."""

    bucket: NotRequired[str]
    """The name of an existing bucket. Default: none, a new one."""
    retention_days: NotRequired[int]
    """After how many days results expire. Default: never."""
    kms_key_arn: NotRequired[str]
    """The ARN of the KMS key that the bucket is, or a new one becomes, encrypted with. Default:
    S3's own."""
    prefix: NotRequired[str]
    """A folder in it, with `/` at its end; each job writes to its own below. Default: none."""


class PlatformStatementArgs(TypedDict):
    """One statement of a policy: it allows."""

    actions: Sequence[str]
    """The actions, each `service:Name` without `*`."""
    resources: Sequence[str]
    """The ARNs they are allowed on, with `*` in their last part only."""
    conditions: NotRequired[Mapping[str, Any]]
    """The conditions, as AWS writes them: operator to key to value or values. Default: none."""


class PlatformJobNetworkArgs(TypedDict):
    """Where the tasks of one job run, if elsewhere than those of the others."""

    subnet_ids: NotRequired[Sequence[str]]
    """The ids of its subnets, 1 to 16. Needs `assign_public_ip`. Default: those of the platform."""
    security_group_ids: NotRequired[Sequence[str]]
    """The ids of its security groups, 1 to 5. Default: those of the platform."""
    assign_public_ip: NotRequired[bool]
    """Whether its tasks get a public IPv4 address. Default: as of the platform."""


class PlatformLimitArgs(TypedDict):
    """What a container may have at once."""

    nofile: NotRequired[int]
    """How many files may be open, 1024 to 1048576. Default: Fargate's 65,535."""


class PlatformLogArgs(TypedDict):
    """How a container's output gets to its log."""

    mode: NotRequired[str]
    """`blocking`: the program waits while its log cannot be written; `non-blocking`: lines are
    dropped when the buffer is full. Default: blocking."""
    buffer_size: NotRequired[str]
    """The buffer of `non-blocking`, in k or m bytes. Default: Docker's 10m."""
    multiline_pattern: NotRequired[str]
    """A regular expression by which a line begins a message; the lines that follow belong to it.
    Default: each line is one."""


class PlatformHealthCheckArgs(TypedDict):
    """When a container is healthy."""

    command: Sequence[str]
    """The program and its arguments that end with 0 if it is; they are of the container's image."""
    interval: NotRequired[int]
    """How many seconds are between two of them, 5 to 300. Default: 30."""
    timeout: NotRequired[int]
    """After how many seconds one has failed, 2 to 60. Default: 5."""
    retries: NotRequired[int]
    """How many have to fail in a row, 1 to 10. Default: 3."""
    start_period: NotRequired[int]
    """For how many seconds after the start a failure does not count, 0 to 300. Default: 0."""


class PlatformSidecarArgs(TypedDict):
    """A container that runs beside the job's own, with the same roles, disk and network."""

    image: str
    """The image's URI with its tag or digest."""
    essential: NotRequired[bool]
    """Whether the task is stopped when this container ends. Default: False."""
    cpu: NotRequired[int]
    """CPU units of the job's that it has for itself. Default: none."""
    memory: NotRequired[int]
    """MiB of the job's memory, above which the container is killed. Default: none, it may have
    all."""
    environment: NotRequired[Mapping[str, str]]
    """Environment variables of this container. Default: none."""
    secrets: NotRequired[Mapping[str, str]]
    """Environment variables by ARN of a Secrets Manager secret or SSM parameter. Default: none."""
    entry_point: NotRequired[Sequence[str]]
    """The program and its first arguments. Default: the image's."""
    commands: NotRequired[Sequence[str]]
    """Its arguments. Default: the image's."""
    depends_on: NotRequired[Mapping[str, str]]
    """Other sidecars this one starts after, each with START, COMPLETE, SUCCESS or HEALTHY. Default:
    none."""
    health_check: NotRequired[PlatformHealthCheckArgs]
    """When it is HEALTHY. Default: none."""


class PlatformVolumeArgs(TypedDict):
    """An Amazon EFS file system that exists, in the job's container."""

    file_system_id: str
    """The file system's id, of this account and Region."""
    access_point_id: NotRequired[str]
    """The access point that it is entered by; it says which folder and user is used. Default:
    none."""
    container_path: str
    """Where the container has it."""
    read_only: NotRequired[bool]
    """Whether the container cannot write to it. Default: False."""
    iam_authorization: NotRequired[bool]
    """Whether the task's role is what lets it in, which is then granted that. Default: True."""
    transit_encryption: NotRequired[bool]
    """Whether what is on the way is encrypted, as an access point and IAM demand. Default: True."""


class PlatformIngestArgs(TypedDict):
    """What a job's files are, where that is not to be guessed from each of them."""

    schema: NotRequired[Mapping[str, str]]
    """The columns and their types: VARCHAR, BOOLEAN, BIGINT, DOUBLE, DECIMAL(p,s), DATE, TIMESTAMP,
    TIMESTAMPTZ or TIME. Default: guessed from each file."""
    null_values: NotRequired[Sequence[str]]
    """What stands for no value, beside nothing. Default: none."""
    date_format: NotRequired[str]
    """How dates are written: %Y, %m, %d, %H, %M, %S and what is between them. Default: guessed."""
    decimal: NotRequired[str]
    """The decimal mark, `.` or `,`. Default: `.`"""
    encoding: NotRequired[str]
    """Such as cp932 or iso-2022-jp. Default: guessed."""
    delimiter: NotRequired[str]
    """One character. Default: guessed."""
    header: NotRequired[bool]
    """Whether the first row names the columns. Default: guessed."""
    schema_drift: NotRequired[str]
    """`refuse` a file whose columns are not those of `schema`, or `allow` it: what is missing is
    null, what is additional text. Default: refuse."""
    rejected_share: NotRequired[float]
    """The share of rejected rows, 0 to 1, above which a file is refused; one row alone never is
    reason enough. Default: a tenth."""


class PlatformExitCodesArgs(TypedDict):
    """What exit codes mean: each a number of 1 to 255, or a range such as 10-19."""

    success: NotRequired[Sequence[str]]
    """Those of a run that went well, as 0 always is. Default: none."""
    warning: NotRequired[Sequence[str]]
    """Those of a run that went well, but of which somebody is told. Default: none."""
    retry: NotRequired[Sequence[str]]
    """Those after which a task is retried, beside 75. Default: none."""


class PlatformJobArgs(TypedDict):
    """One container and how it is run."""

    image: NotRequired[str]
    """The image's URI with its tag or digest. Default: the platform's."""
    context: NotRequired[str]
    """The folder that its own image is built from, by its path from where Pulumi runs, which takes
    Docker. Jobs of one folder and Dockerfile share the image. Default: none."""
    dockerfile: NotRequired[str]
    """The Dockerfile of that image, likewise. Default: that of `context`."""
    cpu: NotRequired[int]
    """CPU units, 1024 a vCPU. Default: 512."""
    memory: NotRequired[int]
    """Memory in MiB; Fargate allows certain pairs with `cpu` only. Default: 1024."""
    ephemeral_storage: NotRequired[int]
    """Disk in GiB, 21 to 200. Default: Fargate's 20, which are free."""
    timeout: NotRequired[str]
    """After what time a task is stopped: a number and s, m, h or d, up to 14d. Default: 1h."""
    environment: NotRequired[Mapping[str, str]]
    """Environment variables of the container: name to text. Default: none."""
    secrets: NotRequired[Mapping[str, str]]
    """Environment variables by ARN of a Secrets Manager secret or SSM parameter: ECS reads them as
    the task starts, and their values are never seen by Pulumi. Default: none."""
    secrets_key: NotRequired[str]
    """The ARN of the KMS key they are encrypted with. Default: AWS's own keys."""
    policies: NotRequired[Sequence[PlatformStatementArgs]]
    """What the container's own AWS calls may do besides reading uploads and writing results.
    Default: nothing."""
    managed_policies: NotRequired[Sequence[str]]
    """ARNs of managed policies for the same, at most 10. Default: none."""
    network: NotRequired[PlatformJobNetworkArgs]
    """Where its tasks run. Default: where those of the platform do."""
    entry_point: NotRequired[Sequence[str]]
    """The program and its first arguments. Default: the image's."""
    user: NotRequired[str]
    """Who the program runs as, `user` or `user:group`. Default: the image's."""
    readonly_root_filesystem: NotRequired[bool]
    """Whether the container can write to /tmp alone. Default: False."""
    init_process: NotRequired[bool]
    """Whether a small init runs as process 1, which reaps children and passes signals on. Default:
    False."""
    ulimits: NotRequired[PlatformLimitArgs]
    """What it may have at once. Default: Fargate's limits."""
    stop_timeout: NotRequired[int]
    """How many seconds the program has after SIGTERM, 2 to 120. Default: 30."""
    logs: NotRequired[PlatformLogArgs]
    """How its output gets to its log. Default: without loss."""
    repository_credentials: NotRequired[str]
    """The ARN of the Secrets Manager secret with the user name and password of the image's
    registry. Default: none."""
    tags: NotRequired[Mapping[str, str]]
    """The tags of its tasks, however they are started. Default: none."""
    sidecars: NotRequired[Mapping[str, PlatformSidecarArgs]]
    """Further containers of the task, by name. They are stopped when the job's own container ends,
    which alone decides how the task did. Default: none."""
    depends_on: NotRequired[Mapping[str, str]]
    """Sidecars that the job's container starts after, each with START, COMPLETE, SUCCESS or
    HEALTHY. Default: none."""
    volumes: NotRequired[Mapping[str, PlatformVolumeArgs]]
    """File systems that its container mounts, by a name for each. Default: none."""
    retries: NotRequired[int]
    """How often a task is retried, 0 to 20. Default: 5."""
    exit_codes: NotRequired[PlatformExitCodesArgs]
    """What its exit codes mean, where that is not what the contract says. Default: the contract."""
    retry_exit_codes: NotRequired[Sequence[int]]
    """The exit codes after which it is: the old name of `exit_codes.retry`. Default: 75."""
    max_concurrency: NotRequired[int]
    """How many of its executions may run their task at once, 1 to 1000; the others wait up to a
    week, first come, first served. Default: as many as there are."""
    spot: NotRequired[bool]
    """Whether tasks run on Fargate Spot, on demand after two interruptions. Default: False."""
    ingest: NotRequired[PlatformIngestArgs]
    """What its files are. Default: guessed from each of them."""
    reads_ingest: NotRequired[bool]
    """Whether the job's own image reads `ingest`, which it gets as the variable INGEST. Default:
    no."""


class PlatformUploadArgs(TypedDict):
    """What an object starts, and which objects do: one of prefix, suffix, key, wildcard or more."""

    job: NotRequired[str]
    """The name of the job that is started. Default: none, `pipeline` is."""
    pipeline: NotRequired[str]
    """The name of the pipeline that is started; its steps are told of the upload. Default: none,
    `job` is."""
    bucket: NotRequired[str]
    """The name that its bucket has in `buckets`. Default: none, that of `uploads_bucket`."""
    tags: NotRequired[Mapping[str, str]]
    """With `via` task: that task's tags, beside those of its job. Default: none."""
    via: NotRequired[str]
    """`stateMachine`, or `task`: straight from the rule, without retries of the container. Default:
    stateMachine."""
    prefix: NotRequired[Sequence[str]]
    """What the key begins with, one of these. Default: anything."""
    suffix: NotRequired[Sequence[str]]
    """What the key ends with, one of these. Default: anything."""
    key: NotRequired[Sequence[str]]
    """The whole key, one of these. Default: any."""
    wildcard: NotRequired[Sequence[str]]
    """The whole key, with `*` for any characters, one of these. Default: any."""
    exclude: NotRequired[Sequence[str]]
    """Keys that start nothing all the same, with `*` for any characters. Default: none."""
    min_size: NotRequired[int]
    """The least size in bytes; above 1 it needs `max_size`. Default: one byte where folder markers
    would match, else nothing."""
    max_size: NotRequired[int]
    """The greatest size in bytes, at most 5000000000. Default: any."""


class PlatformStepArgs(TypedDict):
    """One job of a pipeline."""

    job: str
    """The job's name."""
    commands: NotRequired[Sequence[str]]
    """Its arguments. Default: the image's."""
    environment: NotRequired[Mapping[str, str]]
    """Environment variables on top of the job's. Default: none."""
    on_failure: NotRequired[str]
    """`stop`, or `continue` with the next step; or of what runs side by side, `finish`: as `stop`,
    once the others have ended. Default: stop."""
    on_warning: NotRequired[str]
    """`stop` or `continue`, when the job ends with a warning. Default: continue."""


class PlatformPipelineArgs(TypedDict):
    """Jobs in series, on a schedule or started by uploads."""

    schedule: NotRequired[str]
    """`cron(…)`, `rate(…)` or `at(…)` of EventBridge Scheduler. Default: none, uploads start it."""
    timezone: NotRequired[str]
    """The IANA time zone of the schedule. Default: UTC."""
    enabled: NotRequired[bool]
    """Whether it fires. Default: True."""
    flexible_minutes: NotRequired[int]
    """Within how many minutes of its time it starts, 1 to 1440. Default: at its time."""
    start: NotRequired[str]
    """Not before this time, such as 2030-01-31T00:00:00Z. Default: at once."""
    end: NotRequired[str]
    """Not after this time. Default: forever."""
    grace: NotRequired[str]
    """How long after it was due a run is waited for, before a message says that it did not happen:
    a number and s, m, h or d. Default: 15m."""
    steps: Sequence[Sequence[PlatformStepArgs]]
    """The steps in order, each the list of what runs side by side in it."""
    overlap: NotRequired[str]
    """`skip`: not while an earlier run goes on; or `allow`. To be said where uploads start it.
    Default: skip."""
    tags: NotRequired[Mapping[str, str]]
    """Tags of the steps' tasks, beside their jobs': name to text. Default: none."""


class PlatformScheduleArgs(TypedDict):
    """A job's task, on a schedule."""

    job: str
    """The name of the job whose task is started."""
    schedule: str
    """`cron(…)`, `rate(…)` or `at(…)` of EventBridge Scheduler."""
    timezone: NotRequired[str]
    """The IANA time zone of the schedule. Default: UTC."""
    enabled: NotRequired[bool]
    """Whether it fires. Default: True."""
    flexible_minutes: NotRequired[int]
    """Within how many minutes of its time it starts, 1 to 1440. Default: at its time."""
    start: NotRequired[str]
    """Not before this time, such as 2030-01-31T00:00:00Z. Default: at once."""
    end: NotRequired[str]
    """Not after this time. Default: forever."""
    grace: NotRequired[str]
    """How long after it was due a run is waited for, before a message says that it did not happen:
    a number and s, m, h or d. Default: 15m."""
    count: NotRequired[int]
    """How many tasks are started each time, 1 to 10. Default: 1."""
    commands: NotRequired[Sequence[str]]
    """The container's arguments; Scheduler replaces `<aws.scheduler.…>` in them. Default: the
    image's."""
    environment: NotRequired[Mapping[str, str]]
    """Environment variables on top of the job's. Default: none."""
    tags: NotRequired[Mapping[str, str]]
    """The tasks' tags, beside those of their job. Default: none."""


class PlatformAlertsArgs(TypedDict):
    """Who gets messages about failures."""

    emails: NotRequired[Sequence[str]]
    """E-mail addresses that get them. Default: none."""
    https_endpoints: NotRequired[Sequence[str]]
    """URLs that get them; each must confirm, which a Slack webhook cannot. Default: none."""
    chat: NotRequired[bool]
    """Whether there is a topic for Amazon Q Developer in chat applications too. Default: False."""
    runbook: NotRequired[str]
    """Where the alarms' links lead: a path or URL. Default: docs/operations.md."""


class PlatformTaskEventsArgs(TypedDict):
    """What the log of task events keeps."""

    keep_event: NotRequired[bool]
    """Whether a line has the whole event beside what is picked from it. Default: True."""


class BatchPlatformArgs(TypedDict):
    """What a stack's file says: jobs, and what starts them."""

    region: NotRequired[str]
    """The Region. Default: the one of the AWS provider."""
    network: NotRequired[PlatformNetworkArgs]
    """Where the tasks run. Default: a new VPC."""
    uploads_bucket: NotRequired[PlatformUploadsBucketArgs]
    """The bucket that is watched. Default: a new one."""
    buckets: NotRequired[Mapping[str, PlatformUploadsBucketArgs]]
    """Further buckets that are watched, by name. Default: none."""
    results_bucket: NotRequired[PlatformResultsBucketArgs]
    """The bucket that is written to. Default: a new one."""
    image: NotRequired[str]
    """The image of the jobs that name none. Default: built from `batch/`, which takes Docker."""
    architecture: NotRequired[str]
    """X86_64 or ARM64, as the images are built. Default: X86_64."""
    platform_version: NotRequired[str]
    """The Fargate platform version, 1.4.0 or LATEST. Default: 1.4.0."""
    container_insights: NotRequired[str]
    """`enabled`, `enhanced` or `disabled`. Default: enabled."""
    launches_per_second: NotRequired[int]
    """How many Fargate tasks the account may launch a second, which is the pace at which throttled
    starts are repeated. Default: 20."""
    log_retention_days: NotRequired[int]
    """For how many days logs are kept. Default: 30."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete buckets and images. Default: True."""
    role_path: NotRequired[str]
    """The IAM path below which the roles are, in PROJECT/STACK/. Default: the account's root."""
    permissions_boundary: NotRequired[str]
    """The ARN of the managed policy that bounds all roles. Default: none."""
    jobs: Mapping[str, PlatformJobArgs]
    """The jobs by name: 1 to 40 of a-z, 0-9 and -, which begin with a letter."""
    uploads: NotRequired[Mapping[str, PlatformUploadArgs]]
    """What is started by uploads, by name. Default: nothing."""
    pipelines: NotRequired[Mapping[str, PlatformPipelineArgs]]
    """What runs several jobs on a schedule, by name. Default: nothing."""
    schedules: NotRequired[Mapping[str, PlatformScheduleArgs]]
    """What runs a task on a schedule, by name. Default: nothing."""
    alerts: NotRequired[PlatformAlertsArgs]
    """Who gets messages about failures. Default: nobody."""
    backfills: NotRequired[bool]
    """Whether jobs can be run for many objects at once, by a state machine of its own. Default:
    False."""
    task_events: NotRequired[PlatformTaskEventsArgs]
    """What the log of task events keeps. Default: all."""


class JobOutputs(TypedDict):
    """What runs a job, where it logs, and its roles: for grants of one's own."""

    taskDefinitionArn: str
    """The task definition's ARN with its revision."""
    stateMachineArn: str
    """The ARN of the state machine that runs it."""
    logGroup: str
    """The log group of the container's output."""
    taskRoleArn: str
    """The ARN of the role of the container's own AWS calls."""
    executionRoleArn: str
    """The ARN of the role ECS starts the container with."""


class UploadOutputs(TypedDict):
    """The rule of an upload, and where what it could not deliver waits."""

    ruleArn: str
    """The rule's ARN."""
    deadLetterQueueUrl: str
    """The URL of the queue of what was not delivered."""


class PipelineOutputs(TypedDict):
    """What runs a pipeline, and what starts it."""

    stateMachineArn: str
    """The ARN of the state machine that runs it."""
    scheduleArn: str
    """The ARN of the schedule that starts it."""
