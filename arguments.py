"""What the settings say, as the arguments of the components: settings in, Args out."""

from collections.abc import Mapping

from pulumi_aws.scheduler import ScheduleGroup

import components as c
from settings import BucketSettings, Settings, StepSettings, WhenSettings

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
    own = job.given("cpu", "memory", "ephemeral_storage", "environment", "secrets", "image")
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


def state_machine(
    config: Settings, name: str, jobs: Jobs, places: Places
) -> c.BatchStateMachineArgs:
    """The state machine that runs the job `name`."""
    job = config.jobs[name]
    return config.given("log_retention_days") | job.given(
        "retries",
        "retry_exit_codes",
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
