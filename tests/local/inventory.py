"""What a cloud holds, service by service."""

from typing import Any

from local.cloud import Cloud


def inventory(cloud: Cloud) -> dict[str, list[Any]]:
    """What each service still has, AWS's own default resources apart."""
    api: Any = cloud.client
    return {
        "buckets": api("s3").list_buckets()["Buckets"],
        "tables": api("dynamodb").list_tables()["TableNames"],
        "roles": [
            role
            for role in api("iam").list_roles()["Roles"]
            if not role["Path"].startswith("/aws-service-role/")
        ],
        "aliases": api("kms").list_aliases()["Aliases"],
        "queues": api("sqs").list_queues().get("QueueUrls", []),
        "topics": api("sns").list_topics()["Topics"],
        "subscriptions": api("sns").list_subscriptions()["Subscriptions"],
        "log groups": api("logs").describe_log_groups()["logGroups"],
        "queries": api("logs").describe_query_definitions()["queryDefinitions"],
        "alarms": api("cloudwatch").describe_alarms()["MetricAlarms"],
        "dashboards": api("cloudwatch").list_dashboards()["DashboardEntries"],
        "functions": api("lambda").list_functions()["Functions"],
        "rules": api("events").list_rules()["Rules"],
        "schedules": api("scheduler").list_schedules()["Schedules"],
        "groups": [
            group
            for group in api("scheduler").list_schedule_groups()["ScheduleGroups"]
            if group["Name"] != "default"
        ],
        "machines": api("stepfunctions").list_state_machines()["stateMachines"],
        "clusters": api("ecs").list_clusters()["clusterArns"],
        "task definitions": api("ecs").list_task_definitions()["taskDefinitionArns"],
        "repositories": api("ecr").describe_repositories()["repositories"],
        "parameters": api("ssm").describe_parameters()["Parameters"],
        "vpcs": [v for v in api("ec2").describe_vpcs()["Vpcs"] if not v["IsDefault"]],
        "endpoints": api("ec2").describe_vpc_endpoints()["VpcEndpoints"],
    }
