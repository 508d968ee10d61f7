"""The stack: what the settings name becomes components, what others read becomes outputs."""

import pulumi
from pulumi_aws.scheduler import ScheduleGroup

import arguments as args
import components as c
import outputs as out
import settings
from components.iam_path import place_roles

config = settings.load_or_end()
place_roles(config.role_path, config.permissions_boundary)

network = c.Network("network", args.network(config))
cluster = c.BatchCluster("cluster", args.cluster(config))
uploads = c.UploadBucket("uploads", args.upload_bucket(config))
results = c.ResultsBucket("results", args.results_bucket(config))
events = c.TaskEventLogger("task-events", args.task_events(config, cluster))
reaper = c.TaskReaper("task-reaper", args.task_reaper(config, cluster))
group = ScheduleGroup("schedules")
image = c.BatchImage("batch", args.image(config)) if config.builds_image else None

execution = None
if args.some_share_execution_role(config):
    execution = c.ExecutionRole("execution", args.execution_role(config, image))

jobs, places, machines = {}, {}, {}
for name in config.jobs:
    places[name] = args.placement(config, name, cluster, network)
    jobs[name] = c.FargateJob(name, args.job(config, name, uploads, results, image, execution))
    machines[name] = c.BatchStateMachine(name, args.state_machine(config, name, jobs, places))

roles = c.TriggerRoles("roles", args.trigger_roles(config, cluster, group, jobs))
pipelines = {
    name: c.ScheduledPipeline(name, args.pipeline(config, name, group, machines, roles))
    for name in config.pipelines
}
triggers = {
    name: c.UploadTrigger(
        name, args.upload(config, name, uploads, jobs, machines, places, pipelines, roles)
    )
    for name in config.uploads
}
schedules = {
    name: c.ScheduledTask(name, args.scheduled_task(config, name, group, jobs, places, roles))
    for name in config.schedules
}
watched = args.alerts(
    config, cluster, events, reaper, group, machines, triggers, pipelines, schedules
)
alerts = c.FailureAlerts("alerts", watched)
c.Watcher("watcher", args.watcher(config, cluster, events, pipelines, watched, alerts))

outputs = {
    "uploadBucket": uploads.bucket_name,
    "resultsBucket": results.bucket_name,
    "clusterArn": cluster.cluster_arn,
    **out.network(network),
    "jobs": {name: out.job(jobs[name], machine) for name, machine in machines.items()},
    "pipelines": {name: out.pipeline(pipeline) for name, pipeline in pipelines.items()},
    "schedules": {name: schedule.schedule_arn for name, schedule in schedules.items()},
    "uploads": {name: out.upload(trigger) for name, trigger in triggers.items()},
    "taskEventLogGroup": events.log_group_name,
    "alertsTopicArn": alerts.topic_arn,
}
c.StackIndex("index", args.stack_index(config, outputs, watched, alerts))
for name, value in outputs.items():
    pulumi.export(name, value)
