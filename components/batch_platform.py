"""A whole platform: what its arguments name becomes components, what others read outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
from pulumi_aws.scheduler import ScheduleGroup

from . import arguments as args
from . import outputs as out
from . import parts as c
from ._here import Component
from ._keys import NOT_PLAIN, as_configured, outputs_in
from ._machine import execution_log
from ._settings import Settings, SettingsError, advice, validated
from .iam_path import bounded, place_roles
from .pauses import paused_schedules
from .platform_args import BatchPlatformArgs, JobOutputs, PipelineOutputs, UploadOutputs


class BatchPlatform(Component):
    """Jobs, what starts them, and all that they need: one in a stack.

    Takes what a stack's file says and makes what the program of the repository makes. Its names are
    PROJECT-STACK-…: a second one in a stack would have the same. Costs little until a task runs:
    some alarms, a key and a dashboard, about 10 USD a month.
    """

    upload_bucket: pulumi.Output[str]
    """The name of the bucket whose uploads start batches."""
    buckets: pulumi.Output[Mapping[str, str]]
    """The names of the further buckets for uploads, by the names they have here."""
    results_bucket: pulumi.Output[str]
    """The name of the bucket batches write to."""
    cluster_arn: pulumi.Output[str]
    """The ARN of the ECS cluster."""
    vpc_id: pulumi.Output[str]
    """The VPC's id."""
    subnet_ids: pulumi.Output[Sequence[str]]
    """The ids of the subnets of the tasks."""
    security_group_id: pulumi.Output[str]
    """The id of the security group of the tasks."""
    jobs: pulumi.Output[Mapping[str, JobOutputs]]
    """What runs each job, by its name."""
    pipelines: pulumi.Output[Mapping[str, PipelineOutputs]]
    """What runs each pipeline, by its name."""
    schedules: pulumi.Output[Mapping[str, str]]
    """The ARN of each schedule, by its name."""
    uploads: pulumi.Output[Mapping[str, UploadOutputs]]
    """What each upload is delivered by, by its name."""
    backfills: pulumi.Output[Mapping[str, str]]
    """What runs backfills: `stateMachineArn`, and `resultsPrefix`, the folder of all results. Empty
    without `backfills`."""
    task_event_log_group: pulumi.Output[str]
    """The log group of all task state changes."""
    alerts_topic_arn: pulumi.Output[str]
    """The ARN of the SNS topic of failure messages."""

    def __init__(
        self, name: str, args: BatchPlatformArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        given = as_configured(args, BatchPlatformArgs)
        if found := [f"{pulumi.get_project()}:{path}: {NOT_PLAIN}" for path in outputs_in(given)]:
            raise SettingsError("\n".join(found))
        config = validated(given)
        opts = bounded(opts, config.permissions_boundary)
        super().__init__("fargate-batch:index:BatchPlatform", name, opts)
        for line in advice(config):
            pulumi.log.warn(line, self)
        with place_roles(config.role_path):
            self._outputs = _make(
                config,
                pulumi.ResourceOptions(
                    parent=self,
                    # Before there was a platform, the program made all this by itself.
                    aliases=[pulumi.Alias(parent=pulumi.ROOT_STACK_RESOURCE)],
                ),
            )
        values = {key: pulumi.Output.from_input(value) for key, value in self._outputs.items()}
        self.upload_bucket = values["uploadBucket"]
        self.buckets = values["buckets"]
        self.results_bucket = values["resultsBucket"]
        self.cluster_arn = values["clusterArn"]
        self.vpc_id = values["vpcId"]
        self.subnet_ids = values["subnetIds"]
        self.security_group_id = values["securityGroupId"]
        self.jobs = values["jobs"]
        self.pipelines = values["pipelines"]
        self.schedules = values["schedules"]
        self.uploads = values["uploads"]
        self.backfills = values["backfills"]
        self.task_event_log_group = values["taskEventLogGroup"]
        self.alerts_topic_arn = values["alertsTopicArn"]
        self.register_outputs(
            {
                "upload_bucket": self.upload_bucket,
                "buckets": self.buckets,
                "results_bucket": self.results_bucket,
                "cluster_arn": self.cluster_arn,
                "vpc_id": self.vpc_id,
                "subnet_ids": self.subnet_ids,
                "security_group_id": self.security_group_id,
                "jobs": self.jobs,
                "pipelines": self.pipelines,
                "schedules": self.schedules,
                "uploads": self.uploads,
                "backfills": self.backfills,
                "task_event_log_group": self.task_event_log_group,
                "alerts_topic_arn": self.alerts_topic_arn,
            }
        )

    @property
    def outputs(self) -> Mapping[str, Any]:
        """All outputs, by the names that a stack exports them under: `uploadBucket`, ….

        What an update makes is unknown in a preview, each part by itself: so they are mappings of
        outputs.
        """
        return self._outputs


def _make(config: Settings, child: pulumi.ResourceOptions) -> Mapping[str, Any]:
    network = c.Network("network", args.network(config), child)
    cluster = c.BatchCluster("cluster", args.cluster(config), child)
    uploads = c.UploadBucket("uploads", args.upload_bucket(config), child)
    others = {
        name: c.UploadBucket(f"uploads-{name}", args.upload_bucket(config, name), child)
        for name in config.buckets
    }
    buckets = {None: uploads, **others}
    results = c.ResultsBucket("results", args.results_bucket(config), child)
    events = c.TaskEventLogger("task-events", args.task_events(config, cluster), child)
    group = ScheduleGroup("schedules", opts=child)
    image = c.BatchImage("batch", args.image(config), child) if config.builds_image else None

    built: dict[str, c.BatchImage] = {}
    own: dict[str, c.BatchImage] = {}
    for name, job in config.jobs.items():
        if job.context is not None:
            of = args.own_image_name(job.context, job.dockerfile)
            if of not in built:
                built[of] = c.BatchImage(of, args.own_image(config, name), child)
            own[name] = built[of]
    log_group_arn = execution_log(
        "executions",
        "executions",
        retention_days=config.log_retention_days,
        protect=config.protect,
        opts=child,
    )
    execution = None
    if args.some_share_execution_role(config):
        execution = c.ExecutionRole("execution", args.execution_role(config, image), child)

    jobs, places, machines = {}, {}, {}
    for name in config.jobs:
        places[name] = args.placement(config, name, cluster, network)
        job = args.job(config, name, buckets, results, own.get(name, image), execution)
        jobs[name] = c.FargateJob(name, job, child)
        machine = args.state_machine(config, name, cluster, jobs, places, log_group_arn)
        machines[name] = c.BatchStateMachine(name, machine, child)

    stopped = args.task_reaper(config, cluster, jobs, places, log_group_arn)
    reaper = c.TaskReaper("task-reaper", stopped, child)
    roles = c.TriggerRoles("roles", args.trigger_roles(config, cluster, group, jobs), child)
    paused = paused_schedules(child.parent)
    pipelines = {
        name: c.ScheduledPipeline(
            name,
            args.pipeline(config, name, group, machines, roles, paused, log_group_arn),
            child,
        )
        for name in config.pipelines
    }
    triggers = {
        name: c.UploadTrigger(
            name,
            args.upload(config, name, buckets, jobs, machines, places, pipelines, roles),
            child,
        )
        for name in config.uploads
    }
    schedules = {
        name: c.ScheduledTask(
            name, args.scheduled_task(config, name, group, jobs, places, roles, paused), child
        )
        for name in config.schedules
    }
    backfills = None
    if config.backfills:
        filled = args.backfills(config, results, log_group_arn)
        backfills = c.Backfills("backfills", filled, child)
    watched = args.alerts(
        config,
        cluster,
        events,
        reaper,
        group,
        jobs,
        machines,
        triggers,
        pipelines,
        schedules,
        backfills,
        log_group_arn,
    )
    alerts = c.FailureAlerts("alerts", watched, child)
    watcher = args.watcher(
        config, cluster, events, pipelines, schedules, watched, alerts, group, roles
    )
    c.Watcher("watcher", watcher, child)

    outputs = {
        "uploadBucket": uploads.bucket_name,
        "buckets": {name: bucket.bucket_name for name, bucket in others.items()},
        "resultsBucket": results.bucket_name,
        "clusterArn": cluster.cluster_arn,
        **out.network(network),
        "jobs": {name: out.job(jobs[name], machine) for name, machine in machines.items()},
        "pipelines": {name: out.pipeline(pipeline) for name, pipeline in pipelines.items()},
        "schedules": {name: schedule.schedule_arn for name, schedule in schedules.items()},
        "uploads": {name: out.upload(trigger) for name, trigger in triggers.items()},
        "backfills": out.backfills(backfills, config.results_bucket.prefix),
        "taskEventLogGroup": events.log_group_name,
        "alertsTopicArn": alerts.topic_arn,
    }
    indexed = args.stack_index(config, outputs, watched, alerts, events, buckets)
    c.StackIndex("index", indexed, child)
    return outputs
