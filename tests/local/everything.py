"""A program that declares a resource of every type the local cloud makes."""

PROGRAM = """
import json
import pulumi
import pulumi_aws as aws
import pulumi_awsx as awsx


def policy(*statements):
    return pulumi.Output.json_dumps({"Version": "2012-10-17", "Statement": list(statements)})


vpc = awsx.ec2.Vpc(
    "net",
    cidr_block="10.1.0.0/16",
    number_of_availability_zones=2,
    nat_gateways={"strategy": "Single"},
    subnet_specs=[{"type": "Public", "cidr_mask": 24}, {"type": "Private"}],
    subnet_strategy="Auto",
    enable_dns_hostnames=True,
    vpc_endpoint_specs=[{"service_name": "com.amazonaws.ap-northeast-1.s3"}],
)
group = aws.ec2.SecurityGroup("tasks", vpc_id=vpc.vpc_id, description="The tasks")
aws.vpc.SecurityGroupIngressRule(
    "in", security_group_id=group.id, ip_protocol="-1", referenced_security_group_id=group.id
)
aws.vpc.SecurityGroupEgressRule(
    "out", security_group_id=group.id, ip_protocol="tcp", from_port=443, to_port=443,
    cidr_ipv4="0.0.0.0/0",
)
aws.vpc.SecurityGroupEgressRule(
    "to-s3", security_group_id=group.id, ip_protocol="tcp", from_port=443, to_port=443,
    prefix_list_id="pl-61a54008", description="S3",
)
inline = aws.ec2.SecurityGroup(
    "inline", vpc_id=vpc.vpc_id,
    ingress=[{"protocol": "tcp", "from_port": 80, "to_port": 80, "cidr_blocks": ["10.0.0.0/8"]}],
)

cluster = aws.ecs.Cluster("cluster", settings=[{"name": "containerInsights", "value": "enabled"}])
aws.ecs.ClusterCapacityProviders(
    "cluster",
    cluster_name=cluster.name,
    capacity_providers=["FARGATE", "FARGATE_SPOT"],
    default_capacity_provider_strategies=[{"capacity_provider": "FARGATE_SPOT", "weight": 1}],
)
role = aws.iam.Role(
    "role",
    assume_role_policy={
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {
                    "Service": [
                        f"{name}.amazonaws.com"
                        for name in ("ecs-tasks", "states", "events", "scheduler", "lambda")
                    ]
                },
            }
        ],
    },
)
allowed = aws.iam.RolePolicy(
    "role", role=role.name, policy=policy({"Effect": "Allow", "Action": "*", "Resource": "*"})
)
MANAGED = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
aws.iam.RolePolicyAttachment("role", role=role.name, policy_arn=MANAGED)
key = aws.kms.Key("key", description="k", enable_key_rotation=True)
aws.kms.Alias("key", name="alias/sample", target_key_id=key.key_id)

logs = aws.cloudwatch.LogGroup("logs", retention_in_days=7)
repository = awsx.ecr.Repository("repo", force_delete=True)
image = awsx.ecr.Image("image", repository_url=repository.url, context="image")
task = aws.ecs.TaskDefinition(
    "task",
    family="fam",
    cpu="512",
    memory="1024",
    network_mode="awsvpc",
    requires_compatibilities=["FARGATE"],
    execution_role_arn=role.arn,
    task_role_arn=role.arn,
    ephemeral_storage={"size_in_gib": 30},
    runtime_platform={"cpu_architecture": "ARM64", "operating_system_family": "LINUX"},
    container_definitions=pulumi.Output.json_dumps(
        [{"name": "fam", "image": image.image_uri, "essential": True, "command": ["a b", "c"]}]
    ),
)

bucket = aws.s3.Bucket("Files")
aws.s3.BucketVersioning(
    "files", bucket=bucket.id, versioning_configuration={"status": "Enabled"}
)
aws.s3.BucketServerSideEncryptionConfiguration(
    "files",
    bucket=bucket.id,
    rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
)
aws.s3.BucketPublicAccessBlock(
    "files", bucket=bucket.id, block_public_acls=True, block_public_policy=True,
    ignore_public_acls=True, restrict_public_buckets=True,
)
aws.s3.BucketOwnershipControls(
    "files", bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}
)
aws.s3.BucketPolicy(
    "files",
    bucket=bucket.id,
    policy=policy(
        {"Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket", "Resource": bucket.arn}
    ),
)
aws.s3.BucketLifecycleConfiguration(
    "files",
    bucket=bucket.id,
    rules=[
        {
            "id": "unfinished",
            "status": "Enabled",
            "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        },
        {
            "id": "old",
            "status": "Enabled",
            "filter": {"and_": {"prefix": "a/", "tags": {"kind": "raw"}}},
            "expiration": {"days": 3},
            "noncurrent_version_expiration": {"noncurrent_days": 30},
        },
    ],
)
aws.s3.BucketCorsConfiguration(
    "files",
    bucket=bucket.id,
    cors_rules=[
        {
            "allowed_origins": ["https://app.example"],
            "allowed_methods": ["PUT"],
            "expose_headers": ["ETag"],
            "max_age_seconds": 60,
        }
    ],
)
aws.s3.BucketNotification("files", bucket=bucket.id, eventbridge=True)
table = aws.dynamodb.Table(
    "table",
    attributes=[{"name": "id", "type": "S"}, {"name": "at", "type": "N"}],
    hash_key="id",
    range_key="at",
    billing_mode="PAY_PER_REQUEST",
    ttl={"attribute_name": "until", "enabled": True},
)

queue = aws.sqs.Queue("dead", message_retention_seconds=1209600, sqs_managed_sse_enabled=True)
fifo = aws.sqs.Queue("fifo", fifo_queue=True)
parameter = aws.ssm.Parameter(
    "note", name="/everything/note", type="String", tier="Intelligent-Tiering", value=queue.name,
)
aws.sqs.QueuePolicy("dead", queue_url=queue.url, policy=policy(
    {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
     "Action": "sqs:SendMessage", "Resource": queue.arn}
))
topic = aws.sns.Topic("alerts", display_name="Alerts")
aws.sns.TopicPolicy("alerts", arn=topic.arn, policy=policy(
    {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
     "Action": "sns:Publish", "Resource": topic.arn}
))
aws.sns.TopicSubscription("mail", topic=topic.arn, protocol="email", endpoint="a@example.com")

children = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
    "StartAt": "B",
    "States": {"B": {"Type": "Succeed"}},
}
machine = aws.sfn.StateMachine(
    "machine",
    role_arn=role.arn,
    definition=json.dumps(
        {"StartAt": "A", "States": {"A": {"Type": "Map", "ItemProcessor": children, "End": True}}}
    ),
    logging_configuration={
        "level": "ERROR",
        "include_execution_data": True,
        "log_destination": pulumi.Output.concat(logs.arn, ":*"),
    },
    tracing_configuration={"enabled": True},
    opts=pulumi.ResourceOptions(depends_on=[allowed]),
)
bus = "arn:aws:events:ap-northeast-1:111122223333:event-bus/default"
aws.cloudwatch.EventArchive("archive", event_source_arn=bus, retention_days=7)
rule = aws.cloudwatch.EventRule("rule", event_pattern=json.dumps({"source": ["aws.s3"]}))
aws.cloudwatch.EventTarget(
    "machine",
    rule=rule.name,
    arn=machine.arn,
    role_arn=role.arn,
    dead_letter_config={"arn": queue.arn},
    retry_policy={"maximum_event_age_in_seconds": 3600, "maximum_retry_attempts": 5},
)
network = {
    "subnets": vpc.public_subnet_ids, "security_groups": [group.id], "assign_public_ip": True,
}
aws.cloudwatch.EventTarget(
    "task",
    target_id="task",
    rule=rule.name,
    arn=cluster.arn,
    role_arn=role.arn,
    ecs_target={
        "task_definition_arn": task.arn,
        "task_count": 1,
        "launch_type": "FARGATE",
        "platform_version": "1.4.0",
        "propagate_tags": "TASK_DEFINITION",
        "network_configuration": network,
    },
    input_transformer={
        "input_paths": {"key": "$.detail.object.key"},
        "input_template": '{"key": <key>}',
    },
)
schedules = aws.scheduler.ScheduleGroup("group")
schedule = aws.scheduler.Schedule(
    "schedule",
    group_name=schedules.name,
    schedule_expression="cron(0 10 * * ? *)",
    schedule_expression_timezone="Asia/Tokyo",
    flexible_time_window={"mode": "FLEXIBLE", "maximum_window_in_minutes": 15},
    state="DISABLED",
    target={
        "arn": cluster.arn,
        "role_arn": role.arn,
        "retry_policy": {"maximum_retry_attempts": 3},
        "dead_letter_config": {"arn": queue.arn},
        "ecs_parameters": {
            "task_definition_arn": task.arn,
            "task_count": 2,
            "capacity_provider_strategies": [{"capacity_provider": "FARGATE", "weight": 1}],
            "network_configuration": network,
            "tags": {"by": "schedule"},
        },
    },
)

function = aws.lambda_.Function(
    "function",
    code=pulumi.AssetArchive(
        {
            "lib": pulumi.FileArchive("function"),
            "config.json": pulumi.StringAsset('{"a": 1}'),
        }
    ),
    handler="lib.handler.handle",
    runtime="python3.13",
    role=role.arn,
    architectures=["arm64"],
    memory_size=256,
    timeout=9,
    environment={"variables": {"Some_Name": "value"}},
    logging_config={"log_format": "JSON", "log_group": logs.name},
    reserved_concurrent_executions=2,
)
aws.lambda_.Permission(
    "events", action="lambda:InvokeFunction", function=function.name,
    principal="events.amazonaws.com", source_arn=rule.arn,
)
aws.lambda_.FunctionEventInvokeConfig(
    "events", function_name=function.name, maximum_retry_attempts=1,
    maximum_event_age_in_seconds=600, destination_config={"on_failure": {"destination": queue.arn}},
)

query = aws.cloudwatch.QueryDefinition("failed", name="failed", query_string="fields @message")
alarm = aws.cloudwatch.MetricAlarm(
    "alarm",
    comparison_operator="GreaterThanThreshold",
    evaluation_periods=2,
    threshold=0.5,
    alarm_actions=[topic.arn],
    metric_queries=[
        {"id": "rate", "expression": "m / 2", "return_data": True},
        {
            "id": "m",
            "metric": {
                "metric_name": "ExecutionsFailed", "namespace": "AWS/States", "period": 60,
                "stat": "Sum", "dimensions": {"StateMachineArn": machine.arn},
            },
        },
    ],
)
simple = aws.cloudwatch.MetricAlarm(
    "simple", comparison_operator="GreaterThanThreshold", evaluation_periods=1, threshold=0,
    metric_name="ApproximateNumberOfMessagesVisible", namespace="AWS/SQS", period=60,
    statistic="Maximum", dimensions={"QueueName": queue.name}, treat_missing_data="notBreaching",
)
board = aws.cloudwatch.Dashboard("board", dashboard_name="board", dashboard_body='{"widgets": []}')

for name, value in {
    "vpc": vpc.vpc_id, "public": vpc.public_subnet_ids, "private": vpc.private_subnet_ids,
    "group": group.id, "inline": inline.id, "cluster": cluster.arn, "clusterName": cluster.name,
    "role": role.arn, "roleName": role.name, "key": key.arn, "logs": logs.name,
    "logsArn": logs.arn, "repository": repository.repository.apply(lambda made: made.arn),
    "image": image.image_uri, "task": task.arn, "family": task.arn_without_revision,
    "revision": task.revision, "bucket": bucket.id, "bucketArn": bucket.arn, "table": table.name,
    "queue": queue.url, "queueArn": queue.arn, "fifo": fifo.url, "topic": topic.arn,
    "machine": machine.arn, "rule": rule.name, "ruleArn": rule.arn, "schedule": schedule.arn,
    "scheduleGroup": schedules.name, "function": function.name, "functionArn": function.arn,
    "alarm": alarm.name, "simple": simple.name, "board": board.dashboard_arn, "query": query.id,
}.items():
    pulumi.export(name, value)
"""
