"""What the settings say, as the arguments of the components: settings in, Args out.

Every key is written here once, as an attribute of the settings: what is misspelt or of another type
does not pass the type checker.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import pulumi
from pulumi_aws.scheduler import ScheduleGroup

from . import parts as c
from ._settings import (
    HealthCheckSettings,
    Settings,
    SidecarSettings,
    StepSettings,
    UploadSettings,
    VolumeSettings,
    WhenSettings,
)
from .upload_trigger import event_pattern

Jobs = Mapping[str, c.FargateJob]
Machines = Mapping[str, c.BatchStateMachine]
Buckets = Mapping[str | None, c.UploadBucket]
"""`uploadsBucket`, as None, and the others by name."""
Places = Mapping[str, c.PlacementArgs]
Paused = pulumi.Output[Sequence[str]]


def network(config: Settings) -> c.NetworkArgs:
    """An existing network's ids, or how to make a new one."""
    return {
        "region": config.region,
        "cidr": config.network.cidr,
        "zones": config.network.zones,
        "nat": config.network.nat,
        "vpc_id": config.network.vpc_id,
        "subnet_ids": config.network.subnet_ids,
        "security_group_ids": config.network.security_group_ids,
    }


def cluster(config: Settings) -> c.BatchClusterArgs:
    """Where the tasks run."""
    return {"container_insights": config.container_insights}


def upload_bucket(config: Settings, name: str | None = None) -> c.UploadBucketArgs:
    """The bucket that is watched, or the further one `name`."""
    bucket = config.uploads_bucket if name is None else config.buckets[name]
    return {
        "bucket": bucket.bucket,
        "notifications": bucket.notifications,
        "kms_key_arn": bucket.kms_key_arn,
        "retention_days": bucket.retention_days,
        "allowed_origins": list(bucket.allowed_origins),
        "protect": config.protect,
    }


def results_bucket(config: Settings) -> c.ResultsBucketArgs:
    """The bucket that is written to."""
    bucket = config.results_bucket
    return {
        "bucket": bucket.bucket,
        "retention_days": bucket.retention_days,
        "kms_key_arn": bucket.kms_key_arn,
        "protect": config.protect,
    }


def image(config: Settings) -> c.BatchImageArgs:
    """The image of the jobs that name none."""
    return {"architecture": config.architecture, "protect": config.protect}


def own_image(config: Settings, name: str) -> c.BatchImageArgs:
    """The image that is built for the job `name`, and those of the same folder and Dockerfile."""
    job = config.jobs[name]
    return {
        "context": str(job.context),
        "dockerfile": job.dockerfile,
        "architecture": config.architecture,
        "protect": config.protect,
    }


def own_image_name(context: str, dockerfile: str | None) -> str:
    """What the image of a folder and Dockerfile is called, whichever jobs there are to share it.

    By the name of one it would be replaced with that job, and its repository deleted.
    """
    folder = PurePath(context)
    file = PurePath(dockerfile or folder / "Dockerfile")
    digest = hashlib.sha256(f"{folder.as_posix()}\0{file.as_posix()}".encode()).hexdigest()
    readable = re.sub(r"[^a-z0-9]+", "-", folder.as_posix().lower())[-60:].strip("-")
    return "-".join(filter(None, (readable, "image", digest[:7])))


def task_events(config: Settings, cluster: c.BatchCluster) -> c.TaskEventLoggerArgs:
    """The log of task events."""
    return {
        "cluster_arn": cluster.cluster_arn,
        "keep_event": config.task_events.keep_event,
        "exit_codes": _exit_codes(config),
        "log_retention_days": config.log_retention_days,
    }


def _exit_codes(config: Settings) -> Mapping[str, c.ExitCodesArgs]:
    """Of the jobs that say so, the exit codes that are no failures."""
    return {
        name: {
            "success": job.exit_codes.codes("success"),
            "warning": job.exit_codes.codes("warning"),
        }
        for name, job in config.jobs.items()
        if job.exit_codes.success or job.exit_codes.warning
    }


def task_reaper(
    config: Settings,
    cluster: c.BatchCluster,
    jobs: Jobs,
    places: Places,
    log_group_arn: pulumi.Output[str],
) -> c.TaskReaperArgs:
    """How long the tasks of each job may run, and which are started again."""
    names = directly_started(config)
    return {
        "cluster_arn": cluster.cluster_arn,
        "timeouts": {name: job.timeout for name, job in config.jobs.items()},
        "placements": {name: places[name] for name in names},
        "task_role_arns": _roles(jobs, names),
        "log_group_arn": log_group_arn,
    }


def directly_started(config: Settings) -> list[str]:
    """The jobs whose tasks rules or schedules start."""
    uploaded = {it.job for it in config.uploads.values() if it.job and it.via == "task"}
    return sorted(uploaded | {it.job for it in config.schedules.values()})


def alerts(
    config: Settings,
    cluster: c.BatchCluster,
    events: c.TaskEventLogger,
    reaper: c.TaskReaper,
    group: ScheduleGroup,
    jobs: Mapping[str, c.FargateJob],
    machines: Machines,
    uploads: Mapping[str, c.UploadTrigger],
    pipelines: Mapping[str, c.ScheduledPipeline],
    schedules: Mapping[str, c.ScheduledTask],
    backfills: c.Backfills | None,
    log_group_arn: pulumi.Output[str],
) -> c.FailureAlertsArgs:
    """Who gets messages about failures, and what is watched."""
    # An upload, a limit, a pipeline and a schedule may have one name.
    rules = {"task-events": events.rule_name, "task-reaper": reaper.rule_name}
    queues = {
        "task-events": events.dead_letter_queue_name,
        "task-reaper": reaper.dead_letter_queue_name,
    }
    if reaper.restart_rule_name is not None:
        rules["task-reaper-restarts"] = reaper.restart_rule_name
    for name, upload in uploads.items():
        rules[f"upload-{name}"] = upload.rule_name
        queues[f"upload-{name}"] = upload.dead_letter_queue_name
    for name, machine in machines.items():
        if machine.concurrency_rule_name is not None:
            rules[f"limit-{name}"] = machine.concurrency_rule_name
        if machine.concurrency_dead_letter_queue_name is not None:
            queues[f"limit-{name}"] = machine.concurrency_dead_letter_queue_name
    for name, pipeline in pipelines.items():
        if pipeline.dead_letter_queue_name is not None:
            queues[f"pipeline-{name}"] = pipeline.dead_letter_queue_name
    queues |= {f"schedule-{name}": it.dead_letter_queue_name for name, it in schedules.items()}
    return {
        "cluster_arn": cluster.cluster_arn,
        "machine_arns": {
            **{name: it.state_machine_arn for name, it in machines.items()},
            **{f"pipeline-{name}": it.state_machine_arn for name, it in pipelines.items()},
        },
        "backfills_machine_arn": backfills and backfills.state_machine_arn,
        "rule_names": rules,
        "dead_letter_queue_names": queues,
        "schedule_group_name": group.name,
        "task_event_function_name": events.function_name,
        "task_event_log_group_name": events.log_group_name,
        "exit_codes": _exit_codes(config),
        "log_groups": {name: job.log_group_name for name, job in jobs.items()},
        "restarted_jobs": directly_started(config),
        "emails": config.alerts.emails,
        "https_endpoints": config.alerts.https_endpoints,
        "chat": config.alerts.chat,
        "runbook": config.alerts.runbook,
        "log_group_arn": log_group_arn,
    }


def backfills(
    config: Settings, results: c.ResultsBucket, log_group_arn: pulumi.Output[str]
) -> c.BackfillsArgs:
    """Where the lists of objects are that jobs are run for."""
    return {
        "bucket_name": results.bucket_name,
        "bucket_arn": results.bucket_arn,
        "key_arn": config.results_bucket.kms_key_arn,
        "prefix": config.results_bucket.prefix,
        "log_group_arn": log_group_arn,
        "protect": config.protect,
    }


def watcher(
    config: Settings,
    cluster: c.BatchCluster,
    events: c.TaskEventLogger,
    pipelines: Mapping[str, c.ScheduledPipeline],
    schedules: Mapping[str, c.ScheduledTask],
    told: c.FailureAlertsArgs,
    alerts: c.FailureAlerts,
    group: ScheduleGroup,
    roles: c.TriggerRoles,
) -> c.WatcherArgs:
    """What is looked at every five minutes."""
    fires = {
        name: _fires(
            it, it.schedule, pipelines[name].schedule_arn, pipelines[name].state_machine_arn
        )
        for name, it in config.pipelines.items()
        if it.enabled and it.schedule
    }
    fires |= {
        name: _fires(it, it.schedule, schedules[name].schedule_arn)
        for name, it in config.schedules.items()
        if it.enabled
    }
    return {
        "topic_arn": alerts.topic_arn,
        "chat_topic_arn": alerts.chat_topic_arn,
        "key_arn": alerts.key_arn,
        "cluster_arn": cluster.cluster_arn,
        "task_event_log_group_name": events.log_group_name,
        "dead_letter_queue_names": {
            **told["dead_letter_queue_names"],
            "alerts": alerts.dead_letter_queue_name,
        },
        "machine_arns": told["machine_arns"],
        "timeouts": {name: job.timeout for name, job in config.jobs.items()},
        "schedules": fires,
        "schedule_group_name": group.name,
        "schedule_role_arns": [
            arn
            for arn in (roles.pipeline_schedule_role_arn, roles.task_schedule_role_arn)
            if arn is not None
        ],
        "runbook": config.alerts.runbook,
        "log_retention_days": config.log_retention_days,
    }


def _fires(
    when: WhenSettings,
    expression: str,
    schedule_arn: pulumi.Output[str],
    state_machine_arn: pulumi.Output[str] | None = None,
) -> c.WatchedScheduleArgs:
    return {
        "arn": schedule_arn,
        "state_machine_arn": state_machine_arn,
        "expression": expression,
        "timezone": when.timezone,
        "grace_seconds": when.grace,
        "flexible_minutes": when.flexible_minutes,
        "start": when.start,
        "end": when.end,
    }


def stack_index(
    config: Settings,
    outputs: Mapping[str, object],
    watched: c.FailureAlertsArgs,
    alerts: c.FailureAlerts,
    events: c.TaskEventLogger,
    buckets: Buckets,
) -> c.StackIndexArgs:
    """What an operator's tools find of the stack."""
    return {
        "outputs": {**outputs, "taskEventFunction": events.function_name},
        "dead_letter_queue_names": {
            **watched["dead_letter_queue_names"],
            "alerts": alerts.dead_letter_queue_name,
        },
        "protect": config.protect,
        "disabled_schedules": [
            *(f"pipeline-{name}" for name, it in config.pipelines.items() if not it.enabled),
            *(f"schedule-{name}" for name, it in config.schedules.items() if not it.enabled),
        ],
        "filters": {
            name: _filter_of(it, buckets)
            for name, it in config.uploads.items()
            if it.via == "stateMachine"
        },
        "max_concurrency": {
            name: job.max_concurrency
            for name, job in config.jobs.items()
            if job.max_concurrency is not None
        },
    }


def _filter_of(upload: UploadSettings, buckets: Buckets) -> dict[str, object]:
    """What an upload takes, as the pattern of its rule has it, and what it starts."""
    bucket = buckets[upload.bucket].bucket_name
    detail = event_pattern(bucket, _conditions(upload))["detail"]
    # What the pattern leaves out itself is not said again.
    exclude = () if upload.pattern_excludes else upload.exclude
    return {
        "starts": f"pipeline-{upload.pipeline}" if upload.pipeline else f"job-{upload.job}",
        "bucket": bucket,
        **detail.get("object", {}),
        **({"exclude": list(exclude)} if exclude else {}),
    }


def placement(
    config: Settings, name: str, cluster: c.BatchCluster, net: c.Network
) -> c.PlacementArgs:
    """Where the tasks of the job `name` run: what it says goes before what the stack says."""
    own, public_ip = config.jobs[name].network, config.network.public_ip
    return {
        "cluster_arn": cluster.cluster_arn,
        "subnet_ids": own.subnet_ids or net.subnet_ids,
        "security_group_ids": own.security_group_ids or net.security_group_ids,
        "assign_public_ip": public_ip if own.assign_public_ip is None else own.assign_public_ip,
        "platform_version": config.platform_version,
        "spot": config.jobs[name].spot,
    }


def job(
    config: Settings,
    name: str,
    buckets: Buckets,
    results: c.ResultsBucket,
    built: c.BatchImage | None,
    execution: c.ExecutionRole | None,
) -> c.FargateJobArgs:
    """The container of the job `name`; its own image goes before the stack's, that before ours."""
    job, sources = config.jobs[name], config.sources_of(name)
    named = job.image or (None if job.context is not None else config.image)
    image: pulumi.Input[str] | None = named
    repository: pulumi.Input[str] | None = None
    if isinstance(image, str):
        repository = repository_arn(image)
    elif built is not None:
        image, repository = built.image_uri, built.repository_arn
    return {
        "image": image,
        "repository_arn": repository,
        "cpu": job.cpu,
        "memory": job.memory,
        "ephemeral_storage": job.ephemeral_storage,
        "architecture": config.architecture,
        "environment": job.variables,
        "secrets": job.secrets,
        "secrets_key": job.secrets_key,
        "policies": [
            {
                "actions": statement.actions,
                "resources": statement.resources,
                "conditions": statement.conditions,
            }
            for statement in job.policies
        ],
        "managed_policy_arns": job.managed_policies,
        "entry_point": job.entry_point,
        "user": job.user,
        "readonly_root_filesystem": job.readonly_root_filesystem,
        "init_process": job.init_process,
        "open_files": job.ulimits.nofile,
        "stop_timeout": job.stop_timeout,
        "log_mode": job.logs.mode,
        "log_buffer_size": job.logs.buffer_size,
        "log_multiline_pattern": job.logs.multiline_pattern,
        "repository_credentials": job.repository_credentials,
        "tags": job.tags,
        "sidecars": {name: _sidecar(one) for name, one in job.sidecars.items()},
        "depends_on": job.depends_on,
        "volumes": {name: _volume(one) for name, one in job.volumes.items()},
        "source_bucket_arns": [buckets[one].bucket_arn for one in sources],
        "source_key_arns": _keys(config, sources),
        "results_bucket_name": results.bucket_name,
        "results_bucket_arn": results.bucket_arn,
        "results_key_arn": config.results_bucket.kms_key_arn,
        "results_prefix": f"{config.results_bucket.prefix}{name}/",
        "execution_role_arn": execution.role_arn
        if execution and shares_execution_role(config, name)
        else None,
        "log_retention_days": config.log_retention_days,
        "protect": config.protect,
    }


def _keys(config: Settings, buckets: Iterable[str | None]) -> list[str]:
    of = [config.uploads_bucket if name is None else config.buckets[name] for name in buckets]
    return sorted({bucket.kms_key_arn for bucket in of if bucket.kms_key_arn})


def _sidecar(sidecar: SidecarSettings) -> c.SidecarArgs:
    check = sidecar.health_check
    return {
        "image": sidecar.image,
        "repository_arn": repository_arn(sidecar.image),
        "essential": sidecar.essential,
        "cpu": sidecar.cpu,
        "memory": sidecar.memory,
        "environment": sidecar.environment,
        "secrets": sidecar.secrets,
        "entry_point": sidecar.entry_point,
        "commands": sidecar.commands,
        "depends_on": sidecar.depends_on,
        "health_check": None if check is None else _health_check(check),
    }


def _volume(volume: VolumeSettings) -> c.VolumeArgs:
    return {
        "file_system_id": volume.file_system_id,
        "access_point_id": volume.access_point_id,
        "container_path": volume.container_path,
        "read_only": volume.read_only,
        "iam_authorization": volume.iam_authorization,
        "transit_encryption": volume.transit_encryption,
    }


def _health_check(check: HealthCheckSettings) -> c.HealthCheckArgs:
    return {
        "command": check.command,
        "interval": check.interval,
        "timeout": check.timeout,
        "retries": check.retries,
        "start_period": check.start_period,
    }


def shares_execution_role(config: Settings, name: str) -> bool:
    """Whether ECS starts the job `name` with nothing but what it starts all others with."""
    job = config.jobs[name]
    own_image = job.image is not None and job.image != config.image
    own = (
        job.secrets
        or job.context is not None
        or job.repository_credentials
        or (own_image and repository_arn(str(job.image)))
    )
    of_sidecars = any(one.secrets or repository_arn(one.image) for one in job.sidecars.values())
    return not (own or of_sidecars)


def some_share_execution_role(config: Settings) -> bool:
    """Whether any job is started with what others are started with."""
    return any(shares_execution_role(config, name) for name in config.jobs)


def execution_role(config: Settings, built: c.BatchImage | None) -> c.ExecutionRoleArgs:
    """What the jobs that name no image of their own are pulled from."""
    if config.image is not None:
        return {"repository_arn": repository_arn(config.image)}
    return {"repository_arn": built.repository_arn if built is not None else None}


def trigger_roles(
    config: Settings, cluster: c.BatchCluster, group: ScheduleGroup, jobs: Jobs
) -> c.TriggerRolesArgs:
    """What there is to start, and the roles of the tasks that are."""
    uploads = config.uploads.values()
    uploaded = {it.job for it in uploads if it.job and it.via == "task"}
    scheduled = {schedule.job for schedule in config.schedules.values()}
    return {
        "uploads": any(it.job and it.via == "stateMachine" for it in uploads),
        "uploaded_pipelines": any(it.pipeline for it in uploads),
        "pipelines": bool(config.pipelines),
        "scheduled_pipelines": any(it.schedule for it in config.pipelines.values()),
        "schedule_group_arn": group.arn,
        "cluster_arn": cluster.cluster_arn,
        "uploaded_task_role_arns": _roles(jobs, uploaded),
        "scheduled_task_role_arns": _roles(jobs, scheduled),
    }


def _roles(jobs: Jobs, names: Iterable[str]) -> list[pulumi.Input[str]]:
    return [
        jobs[name].task[role]
        for name in sorted(names)
        for role in ("execution_role_arn", "task_role_arn")
    ]


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
    config: Settings,
    name: str,
    cluster: c.BatchCluster,
    jobs: Jobs,
    places: Places,
    log_group_arn: pulumi.Output[str],
) -> c.BatchStateMachineArgs:
    """The state machine that runs the job `name`."""
    job = config.jobs[name]
    return {
        "task": jobs[name].task,
        "placement": places[name],
        "exclusions": config.exclusions(job=name),
        "timeout_seconds": job.timeout,
        "retries": job.retries,
        "retry_exit_codes": job.retried_exit_codes,
        "success_exit_codes": job.exit_codes.codes("success"),
        "warning_exit_codes": job.exit_codes.codes("warning"),
        "max_concurrency": job.max_concurrency,
        "launch_table_name": cluster.launch_table_name,
        "launches_per_second": config.launches_per_second,
        "stop_timeout": job.stop_timeout,
        "log_group_arn": log_group_arn,
        "protect": config.protect,
    }


def upload(
    config: Settings,
    name: str,
    buckets: Buckets,
    jobs: Jobs,
    machines: Machines,
    places: Places,
    pipelines: Mapping[str, c.ScheduledPipeline],
    roles: c.TriggerRoles,
) -> c.UploadTriggerArgs:
    """What the upload `name` starts, and by which objects."""
    upload = config.uploads[name]
    args: c.UploadTriggerArgs = {
        "bucket_name": buckets[upload.bucket].bucket_name,
        "filter": _conditions(upload),
        "protect": config.protect,
    }
    if upload.job is not None and upload.via == "task":
        return {
            **args,
            "task": jobs[upload.job].task,
            "placement": places[upload.job],
            "role_arn": roles.task_upload_role_arn,
            "tags": upload.tags,
        }
    started = pipelines[upload.pipeline] if upload.pipeline else machines[upload.job or ""]
    return {
        **args,
        "state_machine_arn": started.state_machine_arn,
        "role_arn": roles.upload_role_arn,
    }


def _conditions(upload: UploadSettings) -> c.UploadFilterArgs:
    return {
        "prefix": upload.prefix,
        "suffix": upload.suffix,
        "key": upload.key,
        "wildcard": upload.wildcard,
        "exclude": upload.exclude,
        "min_size": upload.min_size,
        "max_size": upload.max_size,
    }


def pipeline(
    config: Settings,
    name: str,
    group: ScheduleGroup,
    machines: Machines,
    roles: c.TriggerRoles,
    paused: Paused,
    log_group_arn: pulumi.Output[str],
) -> c.ScheduledPipelineArgs:
    """The pipeline `name` and when it starts."""
    pipeline, role_arn = config.pipelines[name], roles.pipeline_schedule_role_arn
    return {
        "schedule": _schedule(
            pipeline,
            pipeline.schedule,
            group,
            role_arn,
            _contains(paused, f"pipeline-{name}"),
        )
        if pipeline.schedule
        else None,
        "steps": [[_step(step, machines) for step in members] for members in pipeline.steps],
        "overlap": pipeline.overlap,
        "tags": pipeline.tags,
        "exclusions": config.exclusions(pipeline=name),
        "timezone": pipeline.timezone,
        "role_arn": roles.pipeline_role_arn,
        "log_group_arn": log_group_arn,
        "protect": config.protect,
    }


def _step(step: StepSettings, machines: Machines) -> c.StepArgs:
    return {
        "job": step.job,
        "state_machine_arn": machines[step.job].state_machine_arn,
        "commands": step.commands,
        "environment": step.environment,
        "on_failure": step.on_failure,
        "on_warning": step.on_warning,
    }


def scheduled_task(
    config: Settings,
    name: str,
    group: ScheduleGroup,
    jobs: Jobs,
    places: Places,
    roles: c.TriggerRoles,
    paused: Paused,
) -> c.ScheduledTaskArgs:
    """The schedule `name` and the task it starts."""
    schedule = config.schedules[name]
    return {
        "schedule": _schedule(
            schedule,
            schedule.schedule,
            group,
            roles.task_schedule_role_arn,
            _contains(paused, f"schedule-{name}"),
        ),
        "task": jobs[schedule.job].task,
        "placement": places[schedule.job],
        "count": schedule.count,
        "commands": schedule.commands,
        "environment": schedule.environment,
        "tags": schedule.tags,
        "protect": config.protect,
    }


def _contains(paused: Paused, label: str) -> pulumi.Output[bool]:
    return paused.apply(lambda labels: label in labels)


def _schedule(
    when: WhenSettings,
    expression: str,
    group: ScheduleGroup,
    role_arn: pulumi.Output[str] | None,
    paused: pulumi.Output[bool],
) -> c.ScheduleArgs:
    return {
        "expression": expression,
        "group_name": group.name,
        "group_arn": group.arn,
        "role_arn": role_arn,
        "timezone": when.timezone,
        "enabled": when.enabled,
        "paused": paused,
        "flexible_minutes": when.flexible_minutes,
        "start": when.start,
        "end": when.end,
    }
