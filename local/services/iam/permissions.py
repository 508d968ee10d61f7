"""What each integration asks of a role: a request in, the permissions that it takes out.

The AWS page that says so stands above each row.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from local.ministack import internals
from local.services.iam.policies import Context, in_scope

TASKS_SERVICE = "ecs-tasks.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Permission:
    """An action on a resource that must be allowed for an integration to work."""

    action: str
    resource: str
    context: Context = field(default_factory=dict[str, str | list[str]])


def _prefix(arn: str, service: str) -> str:
    partition, _, region, account = arn.split(":", 5)[1:5]
    return f"arn:{partition}:{service}:{region}:{account}"


def managed_rule(arn: str, name: str) -> list[Permission]:
    """Step Functions keeps a rule of its own in the account to hear of what `.sync` waits for."""
    rule = f"{_prefix(arn, 'events')}:rule/{name}"
    return [
        Permission(f"events:{verb}", rule) for verb in ("PutTargets", "PutRule", "DescribeRule")
    ]


def _task_definition(request: Mapping[str, Any], scope: str) -> Mapping[str, Any]:
    named = cast("str", request.get("taskDefinition") or "")

    def find() -> Mapping[str, Any] | None:
        key = internals.task_definition_key(named)
        return cast("Mapping[str, Any] | None", internals.task_definitions().get(key))

    found = cast("Mapping[str, Any] | None", in_scope(scope, find))
    if found:
        return found
    arn = named if named.startswith("arn:") else f"{_prefix(scope, 'ecs')}:task-definition/{named}"
    return {"taskDefinitionArn": arn}


def cluster_arn(cluster: str | None, prefix: str) -> str:
    """The ARN of a cluster given by ARN, by name, or left out."""
    named = cluster or "default"
    return named if named.startswith("arn:") else f"{prefix}:cluster/{named}"


def run_task(request: Mapping[str, Any], scope: str) -> list[Permission]:
    """RunTask; `request` in ECS's camelCase, `scope` any ARN of the account and Region.

    The task definition is authorised with its revision, the latest one where none is named.
    """
    definition = _task_definition(request, scope)
    arn = cast("str", definition["taskDefinitionArn"])
    cluster = cluster_arn(request.get("cluster"), _prefix(arn, "ecs"))
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    asked = [Permission("ecs:RunTask", arn, {"ecs:cluster": cluster})]
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/CWE_IAM_role.html
    overrides = cast("Mapping[str, Any]", request.get("overrides") or {})
    asked += [
        Permission("iam:PassRole", passed, {"iam:PassedToService": TASKS_SERVICE})
        for key in ("taskRoleArn", "executionRoleArn")
        if (passed := cast("str | None", overrides.get(key) or definition.get(key)))
    ]
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
    if (
        request.get("tags")
        or request.get("enableECSManagedTags")
        or request.get("propagateTags", "NONE") != "NONE"
    ):
        tasks = cluster.replace(":cluster/", ":task/", 1) + "/*"
        asked.append(Permission("ecs:TagResource", tasks, {"ecs:CreateAction": "RunTask"}))
    return asked


def run_task_sync(request: Mapping[str, Any], scope: str) -> list[Permission]:
    """RunTask by a state that waits for the task's end."""
    # https://docs.aws.amazon.com/step-functions/latest/dg/ecs-iam.html
    return [*run_task(request, scope), *managed_rule(scope, "StepFunctionsGetEventsForECSTaskRule")]


def on_task(action: str, task_arn: str) -> Permission:
    """An action on one task of a cluster."""
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    cluster = task_arn.replace(":task/", ":cluster/", 1).rsplit("/", 1)[0]
    return Permission(action, task_arn, {"ecs:cluster": cluster})


def start_execution(machine_arn: str) -> list[Permission]:
    """StartExecution."""
    # https://docs.aws.amazon.com/step-functions/latest/dg/stepfunctions-iam.html
    return [Permission("states:StartExecution", machine_arn)]


def start_execution_sync(machine_arn: str) -> list[Permission]:
    """StartExecution by a state that waits for the execution's end."""
    # https://docs.aws.amazon.com/step-functions/latest/dg/stepfunctions-iam.html
    return [
        *start_execution(machine_arn),
        *managed_rule(machine_arn, "StepFunctionsGetEventsForStepFunctionsExecutionRule"),
    ]


_ECR_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<name>[^:@]+)"
)


def _image(image: str, partition: str) -> list[Permission]:
    found = _ECR_IMAGE.match(image)
    if not found:
        return []
    registry = f"arn:{partition}:ecr:{found['region']}:{found['account']}"
    repository = f"{registry}:repository/{found['name']}"
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/ECR_on_ECS.html
    return [
        Permission("ecr:GetAuthorizationToken", "*"),
        Permission("ecr:BatchCheckLayerAvailability", repository),
        Permission("ecr:GetDownloadUrlForLayer", repository),
        Permission("ecr:BatchGetImage", repository),
    ]


def encryption(arn: str) -> list[str]:
    """The key of one's own that a queue or topic is encrypted with, as a list of none or one."""

    def find() -> list[str]:
        record = internals.queue_by_arn(arn) if ":sqs:" in arn else internals.topics().get(arn)
        named = cast(
            "str", (record or {"attributes": {}})["attributes"].get("KmsMasterKeyId") or ""
        )
        if not named or "alias/aws/" in named:
            return []
        key = cast("dict[str, str] | None", internals.kms_key(named))
        return [key["Arn"] if key else f"{_prefix(arn, 'kms')}:{named}"]

    return cast("list[str]", in_scope(arn, find))


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
# https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
ENCRYPTING = ("kms:GenerateDataKey", "kms:Decrypt")


def encrypting(arn: str) -> list[Permission]:
    """What the encryption of a queue or topic takes of who sends to it."""
    return [Permission(action, key) for key in encryption(arn) for action in ENCRYPTING]


def send(action: str, arn: str) -> list[Permission]:
    """Sending to a queue or publishing to a topic, and what its encryption takes."""
    return [Permission(action, arn), *encrypting(arn)]


def log_delivery() -> list[Permission]:
    """What a state machine's role needs when it logs its executions."""
    # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
    names = (
        *("CreateLogDelivery", "GetLogDelivery", "UpdateLogDelivery", "DeleteLogDelivery"),
        *("ListLogDeliveries", "PutResourcePolicy", "DescribeResourcePolicies"),
        "DescribeLogGroups",
    )
    return [Permission(f"logs:{name}", "*") for name in names]


def write_log(function_arn: str, log_group: str, stream: str) -> list[Permission]:
    """What a function's role needs for its output to be kept."""
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-permissions.html
    resource = f"{_prefix(function_arn, 'logs')}:log-group:{log_group}:log-stream:{stream}"
    return [Permission("logs:CreateLogStream", resource), Permission("logs:PutLogEvents", resource)]


def _key_of_secret(arn: str) -> str | None:
    _, secret = internals.find_secret(arn)
    return cast("str | None", (secret or {}).get("KmsKeyId"))


def _key_of_parameter(arn: str) -> str | None:
    store = internals.parameters()
    name = arn.split(":parameter/", 1)[1]
    found = store.get(f"/{name}") or store.get(name) or {}
    return cast("str | None", found.get("KeyId"))


def _decrypt(key: str | None, prefix: str) -> list[Permission]:
    # A key of AWS's own (`alias/aws/…`) lets every principal of the account that may read the
    # secret: https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key
    if not key or "alias/aws/" in key:
        return []
    arn = key if key.startswith("arn:") else f"{prefix}:{'' if '/' in key else 'key/'}{key}"
    return [Permission("kms:Decrypt", arn)]


def _secret(value_from: str, prefix: str) -> list[Permission]:
    keys = prefix.replace(":ecs:", ":kms:")
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_execution_IAM_role.html
    if ":secretsmanager:" in value_from:
        # The ARN of the secret ends before `:json-key:version-stage:version-id`.
        secret = ":".join(value_from.split(":")[:7])
        key = in_scope(secret, lambda: _key_of_secret(secret))
        return [Permission("secretsmanager:GetSecretValue", secret), *_decrypt(key, keys)]
    parameter = (
        value_from
        if value_from.startswith("arn:")
        else f"{prefix.replace(':ecs:', ':ssm:')}:parameter/{value_from.removeprefix('/')}"
    )
    key = in_scope(parameter, lambda: _key_of_parameter(parameter))
    return [Permission("ssm:GetParameters", parameter), *_decrypt(key, keys)]


def _log_stream(container: Mapping[str, Any], prefix: str, task_id: str) -> list[Permission]:
    configuration = cast("Mapping[str, Any]", container.get("logConfiguration") or {})
    if configuration.get("logDriver") != "awslogs":
        return []
    options = cast("Mapping[str, str]", configuration["options"])
    partition, _, region, account = prefix.split(":")[1:5]
    region = options.get("awslogs-region", region)
    group = f"arn:{partition}:logs:{region}:{account}:log-group:{options['awslogs-group']}"
    name = f"{options.get('awslogs-stream-prefix', 'ecs')}/{container['name']}/{task_id}"
    stream = f"{group}:log-stream:{name}"
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
    asked = [Permission("logs:CreateLogStream", stream), Permission("logs:PutLogEvents", stream)]
    if options.get("awslogs-create-group") == "true":
        return [Permission("logs:CreateLogGroup", f"{group}:log-stream:"), *asked]
    return asked


def mounts(task_definition: Mapping[str, Any]) -> list[Permission]:
    """What mounting a task's file systems takes of its role, where IAM is asked."""
    prefix = _prefix(cast("str", task_definition["taskDefinitionArn"]), "elasticfilesystem")
    asked: list[Permission] = []
    for volume in cast("Sequence[Mapping[str, Any]]", task_definition.get("volumes") or []):
        efs = cast("Mapping[str, Any]", volume.get("efsVolumeConfiguration") or {})
        authorization = cast("Mapping[str, str]", efs.get("authorizationConfig") or {})
        if authorization.get("iam") != "ENABLED":
            continue
        # https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
        point = authorization.get("accessPointId")
        through = {"elasticfilesystem:AccessPointArn": f"{prefix}:access-point/{point}"}
        asked.append(
            Permission(
                "elasticfilesystem:ClientMount",
                f"{prefix}:file-system/{efs['fileSystemId']}",
                through if point else {},
            )
        )
    return asked


def task_start(task_definition: Mapping[str, Any], task_id: str) -> list[Permission]:
    """What Fargate does with the execution role before a task's containers run."""
    prefix = _prefix(cast("str", task_definition["taskDefinitionArn"]), "ecs")
    asked: list[Permission] = []
    for container in cast("Sequence[Mapping[str, Any]]", task_definition["containerDefinitions"]):
        asked += _image(cast("str", container.get("image") or ""), prefix.split(":")[1])
        for secret in cast("Sequence[Mapping[str, str]]", container.get("secrets") or []):
            asked += _secret(secret["valueFrom"], prefix)
        asked += _log_stream(container, prefix, task_id)
    return asked
