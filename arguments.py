"""What the settings say, as the arguments of the components: settings in, Args out."""

import re
from collections.abc import Mapping
from typing import TypeVar

from pulumi_aws.scheduler import ScheduleGroup

import components as c
from settings import BucketSettings, Settings, StepSettings, WhenSettings

Component = TypeVar("Component")
Jobs = Mapping[str, c.FargateJob]
Machines = Mapping[str, c.BatchStateMachine]
Places = Mapping[str, c.PlacementArgs]


def network(config: Settings) -> c.NetworkArgs:
    """An existing network's ids, or how to make a new one."""
    return config.network.given("cidr", "nat", "vpc_id", "subnet_ids", region=config.region)


def upload_bucket(config: Settings) -> c.UploadBucketArgs:
    """The bucket that is watched."""
    return _bucket(config, config.uploads_bucket)


def results_bucket(config: Settings) -> c.ResultsBucketArgs:
    """The bucket that is written to."""
    return _bucket(config, config.results_bucket)


def _bucket(config: Settings, bucket: BucketSettings) -> c.ResultsBucketArgs:
    return bucket.given("bucket", "retention_days", protect=config.protect)


def task_events(config: Settings, cluster: c.BatchCluster) -> c.TaskEventLoggerArgs:
    """The log of task events."""
    return config.given(
        "log_retention_days",
        cluster_arn=cluster.cluster_arn,
        keep_event=config.task_events.keep_event,
    )


def task_reaper(config: Settings, cluster: c.BatchCluster) -> c.TaskReaperArgs:
    """How long the tasks of each job may run."""
    return config.given(
        "log_retention_days",
        cluster_arn=cluster.cluster_arn,
        timeouts={name: job.timeout for name, job in config.jobs.items()},
    )


def alerts(
    config: Settings,
    cluster: c.BatchCluster,
    events: c.TaskEventLogger,
    reaper: c.TaskReaper,
    group: ScheduleGroup,
    machines: Machines,
    uploads: Mapping[str, c.UploadTrigger],
    pipelines: Mapping[str, c.ScheduledPipeline],
    schedules: Mapping[str, c.ScheduledTask],
) -> c.FailureAlertsArgs:
    """Who is told of failures, and of whose."""
    limits = {name: one.concurrency for name, one in machines.items() if one.concurrency}
    rules = {"task-events": events, "task-reaper": reaper}
    rules = rules | _named("upload", uploads) | _named("limit", limits)
    queues = rules | _named("pipeline", pipelines) | _named("schedule", schedules)
    with_machines = {**machines, **_named("pipeline", pipelines)}
    return config.alerts.given(
        "emails",
        "https_endpoints",
        "runbook",
        log_retention_days=config.log_retention_days,
        cluster_arn=cluster.cluster_arn,
        machine_arns={name: one.state_machine_arn for name, one in with_machines.items()},
        rule_names={name: one.rule_name for name, one in rules.items()},
        dead_letter_queue_names={name: one.dead_letter_queue_name for name, one in queues.items()},
        schedule_group_name=group.name,
        task_event_function_name=events.function_name,
        task_event_log_group_name=events.log_group_name,
    )


def stack_index(
    config: Settings,
    outputs: Mapping[str, object],
    told: c.FailureAlertsArgs,
    alerts: c.FailureAlerts,
) -> c.StackIndexArgs:
    """What an operator's tools find of the stack."""
    return {
        "outputs": dict(outputs),
        "dead_letter_queue_names": {
            **told["dead_letter_queue_names"],
            "alerts": alerts.dead_letter_queue_name,
        },
        "protect": config.protect,
    }


def _named(kind: str, components: Mapping[str, Component]) -> dict[str, Component]:
    """An upload, a pipeline and a schedule may have one name."""
    return {f"{kind}-{name}": component for name, component in components.items()}


def placement(
    config: Settings, name: str, cluster: c.BatchCluster, net: c.Network
) -> c.PlacementArgs:
    """Where the tasks of the job `name` run."""
    return config.jobs[name].given(
        "spot",
        cluster_arn=cluster.cluster_arn,
        subnet_ids=net.subnet_ids,
        security_group_ids=[net.security_group_id],
        assign_public_ip=config.network.public_ip,
        platform_version=config.platform_version,
    )


def job(
    config: Settings,
    name: str,
    uploads: c.UploadBucket,
    results: c.ResultsBucket,
    image: c.BatchImage | None,
) -> c.FargateJobArgs:
    """The container of the job `name`; its own image goes before the stack's, that before ours."""
    job = config.jobs[name]
    container = config.given("architecture", "log_retention_days", "image")
    if image is not None and job.image is None:
        container |= {"image": image.image_uri, "repository_arn": image.repository_arn}
    own = job.given(
        "cpu", "memory", "ephemeral_storage", "environment", "secrets", "secrets_key", "image"
    )
    named = (container | own).get("image")
    if isinstance(named, str) and (repository := repository_arn(named)) is not None:
        container |= {"repository_arn": repository}
    return (
        container
        | own
        | {
            "source_bucket_arns": [uploads.bucket_arn],
            "results_bucket_name": results.bucket_name,
            "results_bucket_arn": results.bucket_arn,
            "results_prefix": f"{config.results_bucket.prefix}{name}/",
        }
    )


def repository_arn(image: str) -> str | None:
    """The ARN of the Amazon ECR repository of an image's URI; None of an image from elsewhere.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
    """
    match = re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com[a-z.]*/([^:@]+)", image)
    if match is None:
        return None
    account, region, repository = match.groups()
    partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rsplit("-", 2)[0], "aws")
    return f"arn:{partition}:ecr:{region}:{account}:repository/{repository}"


def state_machine(
    config: Settings, name: str, jobs: Jobs, places: Places
) -> c.BatchStateMachineArgs:
    """The state machine that runs the job `name`."""
    job = config.jobs[name]
    return config.given("log_retention_days") | job.given(
        "retries",
        "retry_exit_codes",
        "max_concurrency",
        timeout_seconds=job.timeout,
        task=jobs[name].task,
        placement=places[name],
    )


def upload(
    config: Settings,
    name: str,
    uploads: c.UploadBucket,
    jobs: Jobs,
    machines: Machines,
    places: Places,
) -> c.UploadTriggerArgs:
    """What the upload `name` starts, and by which objects."""
    upload = config.uploads[name]
    fields = ("prefix", "suffix", "key", "wildcard", "min_size", "max_size")
    args: c.UploadTriggerArgs = {
        "bucket_name": uploads.bucket_name,
        "filter": upload.given(*fields),
    }
    if upload.via == "task":
        return {**args, "task": jobs[upload.job].task, "placement": places[upload.job]}
    return {**args, "state_machine_arn": machines[upload.job].state_machine_arn}


def pipeline(
    config: Settings, name: str, group: ScheduleGroup, machines: Machines
) -> c.ScheduledPipelineArgs:
    """The pipeline `name` and when it starts."""
    pipeline = config.pipelines[name]
    return config.given(
        "log_retention_days",
        overlap=pipeline.overlap,
        schedule=_schedule(pipeline, group),
        steps=[[_step(step, machines) for step in members] for members in pipeline.steps],
    )


def scheduled_task(
    config: Settings, name: str, group: ScheduleGroup, jobs: Jobs, places: Places
) -> c.ScheduledTaskArgs:
    """The schedule `name` and the task it starts."""
    schedule = config.schedules[name]
    return schedule.given(
        "count",
        "commands",
        "environment",
        schedule=_schedule(schedule, group),
        task=jobs[schedule.job].task,
        placement=places[schedule.job],
    )


def _step(step: StepSettings, machines: Machines) -> c.StepArgs:
    return step.given(
        "job",
        "commands",
        "environment",
        "on_failure",
        state_machine_arn=machines[step.job].state_machine_arn,
    )


def _schedule(when: WhenSettings, group: ScheduleGroup) -> c.ScheduleArgs:
    return when.given(
        "timezone",
        "enabled",
        "flexible_minutes",
        "start",
        "end",
        expression=when.schedule,
        group_name=group.name,
        group_arn=group.arn,
    )
