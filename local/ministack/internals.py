"""All of MiniStack that is called, read or replaced, each with what it is pinned to.

Nothing else of it may be named: a test holds every file to this list, and each entry to the
installed MiniStack. What is replaced says why the seam does not do.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from logging import Logger
from typing import Any, Protocol

from local.ministack.pinned import Function, Replaced, ReplacedValue, Value

Json = Any
Record = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]
"""A status, headers and a body."""


class Store(Protocol):
    """A table of records, by the account and mostly the Region of the request."""

    def __contains__(self, key: object) -> bool: ...
    def __getitem__(self, key: Any) -> Any: ...  # noqa: ANN401
    def __setitem__(self, key: Any, value: Any) -> None: ...  # noqa: ANN401
    def get(self, key: Any, default: Any = None) -> Any:  # noqa: ANN401
        """The record, or `default`."""
        ...

    def pop(self, key: Any, *default: Any) -> Any:  # noqa: ANN401
        """The record, taken out."""
        ...

    def values(self) -> list[Any]:
        """The records of the request's account and Region."""
        ...

    def get_scoped(self, account_id: str, region: str | None, key: Any) -> Any:  # noqa: ANN401
        """A record of another account or Region."""
        ...

    def to_dict(self) -> dict[Any, Any]:
        """All records of all accounts."""
        ...

    def all_items(self) -> list[tuple[Any, Any]]:
        """All records of all accounts and Regions."""
        ...


class EventView(Protocol):
    """An event as its rules see it."""

    def envelope(self) -> Record:
        """Without what a rule's target is not given."""
        ...

    def event_with_detail(self) -> Record:
        """The whole event, its detail parsed."""
        ...


class CallError(Exception):
    """What `call_service` raises."""

    error: str
    cause: str | None


# Requests and their scope
request_scope: Function[[str, str], AbstractContextManager[None]] = Function(
    "core.responses.request_scope", "account_id", "region"
)
account: Function[[], str] = Function("core.responses.get_account_id")
region: Function[[], str] = Function("core.responses.get_region")
set_account: Function[[str], None] = Function(
    "core.responses.set_request_account_id", "access_key_id"
)
set_region: Function[[str], None] = Function("core.responses.set_request_region", "region")
client_ip: Function[[], str] = Function("core.responses.get_request_client_ip")
resource_lock: Function[[str, str], AbstractContextManager[object]] = Function(
    "core.concurrency.resource_lock", "scope", "key"
)
service_handlers: Value[dict[str, Callable[..., Any]]] = Value("app.SERVICE_HANDLERS")

# CloudWatch
send_alarm: Replaced[[Record, str, str, str], None] = Replaced(
    "services.cloudwatch._dispatch_alarm_actions",
    *("alarm", "old_state", "new_state", "reason"),
    reason="An alarm changes by its own clock, and no request is made of what it then publishes.",
)

# CloudWatch Logs
create_log_group: Function[[Mapping[str, Any]], Response] = Function(
    "services.cloudwatch_logs._create_log_group", "data"
)
create_log_stream: Function[[Mapping[str, Any]], Response] = Function(
    "services.cloudwatch_logs._create_log_stream", "data"
)
put_log_events: Function[[Mapping[str, Any]], Response] = Function(
    "services.cloudwatch_logs._put_log_events", "data"
)

# EC2
vpcs: Value[Store] = Value("services.ec2._vpcs")
route_tables: Value[Store] = Value("services.ec2._route_tables")
network_acls: Value[Store] = Value("services.ec2._network_acls")
subnets: Value[Store] = Value("services.ec2._subnets")
security_groups: Value[Store] = Value("services.ec2._security_groups")

# ECS
clusters: Value[Store] = Value("services.ecs._clusters")
cluster_name: Function[[str], str | None] = Function("services.ecs._resolve_cluster_name", "ref")
count_tasks: Function[[str], None] = Function("services.ecs._recount_cluster", "cluster_name")
task_definitions: Value[Store] = Value("services.ecs._task_defs")
task_definition_key: Function[[str], str] = Function("services.ecs._resolve_td_key", "ref")
tasks: Value[Store] = Value("services.ecs._tasks")
find_task: Function[[str, str], Record | None] = Function(
    "services.ecs._resolve_task", "ref", "cluster_name"
)
ecs_tags: Value[Store] = Value("services.ecs._tags")
without_none: Function[[Record], Record] = Function("services.ecs._sanitize", "obj")

# EventBridge
put_events: Function[..., Response] = Function(
    "services.eventbridge._put_events", "data", "allow_aws_source"
)
event_view: Function[[Record], EventView] = Function(
    "services.eventbridge._pattern_event_view", "event"
)
send_to_queue: Function[[Any, str, Record], None] = Function(
    "services.eventbridge._dispatch_to_sqs", "spec", "payload", "sqs_parameters"
)
send_to_topic: Function[[str, str], None] = Function(
    "services.eventbridge._dispatch_to_sns", "arn", "payload"
)
parse_arn: Function[[str], object] = Function("core.arn.parse_arn", "value")
matches_pattern: Function[[str, Record], bool] = Function(
    "services.eventbridge._matches_pattern", "pattern_str", "event"
)
pattern_error: Function[[str], str | None] = Function(
    "services.eventbridge._event_pattern_error", "pattern_str"
)
send_to_target: Replaced[[Record, Record, Record, EventView | None], None] = Replaced(
    "services.eventbridge._invoke_target",
    *("target", "event", "rule", "view"),
    reason="An event reaches its targets without a request, whoever puts it on the bus.",
)
dispatch_event: Replaced[[Record, EventView | None], None] = Replaced(
    "services.eventbridge._dispatch_event",
    *("event", "view"),
    reason="S3 puts its events on the bus without a request, in a shape of MiniStack's own.",
)
takes_schedule: Replaced[[str], bool] = Replaced(
    "services.eventbridge._validate_schedule_expression",
    "expr",
    reason="What an expression may be is checked deep inside PutRule.",
)

# EventBridge Scheduler
schedules: Value[Store] = Value("services.scheduler._schedules")
start_schedules: Replaced[[], None] = Replaced(
    "services.scheduler.start_scheduler",
    reason="A thread of MiniStack's would fire the schedules too.",
)

# IAM
pin_origin: Function[[str, bool], None] = Function(
    "core.iam_evaluator.pin_request_origin", "source_ip", "secure_transport"
)

# KMS
kms_keys: Value[Store] = Value("services.kms._keys")
create_kms_key: Function[[Mapping[str, Any]], Response] = Function(
    "services.kms._create_key", "data"
)
kms_key: Function[[str], Record | None] = Function("services.kms._resolve_key", "key_id_or_arn")

# Lambda
functions: Value[Store] = Value("services.lambda_svc._functions")
find_function: Function[[str], tuple[Record | None, Record | None, str]] = Function(
    "services.lambda_svc._get_func_record_for_ref", "function_ref"
)
function_version: Function[[Record, Record], Record] = Function(
    "services.lambda_svc._execution_record_for_config", "func", "config"
)
run_function: Function[[Record, Json], Record] = Function(
    "services.lambda_svc._execute_function_with_config_scope", "func", "event"
)
run_in_process: Replaced[[Record, Json, str], Record] = Replaced(
    "services.lambda_svc._execute_function_warm",
    *("func", "event", "request_id"),
    reason="What a function may do, and fails at, is decided after its request has been read.",
)
write_function_log: Replaced[..., None] = Replaced(
    "services.lambda_svc._emit_lambda_logs",
    *("func", "request_id", "log_text", "error", "duration_ms", "log_source"),
    reason="A function's log is written without a request, so its role is not asked.",
)
invoke_later: Replaced[[Record, Json], None] = Replaced(
    "services.lambda_svc.invoke_async_with_retry",
    *("func", "event"),
    reason="S3 and SNS invoke functions without a request.",
)
function_credentials: Replaced[[Record], dict[str, str]] = Replaced(
    "core.lambda_runtime.execution_credentials",
    "config",
    reason="MiniStack gives every function this machine's credentials.",
)
function_processes: ReplacedValue[object] = ReplacedValue(
    "core.lambda_runtime.subprocess",
    reason="MiniStack gives a process this machine's environment, and leaves its children running.",
)
function_threads: ReplacedValue[object] = ReplacedValue(
    "core.lambda_runtime.threading",
    reason="Pipes can only be closed once the threads that read them have ended.",
)
end_functions: Function[[], None] = Function("core.lambda_runtime.reset")
function_logger: Value[Logger] = Value("services.lambda_svc.logger")

# S3
buckets: Value[Store] = Value("services.s3._buckets")
send_object_event: Replaced[..., None] = Replaced(
    "services.s3._fire_s3_event",
    *("bucket_name", "key", "event_name", "size", "etag", "deletion_type", "restore_event_data"),
    *("version_id", "sequencer", "object_extra", "record_extra"),
    reason="An object's version is known here, and lost on the way to the bus.",
)

# Secrets Manager and Parameter Store
secrets: Value[Store] = Value("services.secretsmanager._secrets")
create_secret: Function[..., tuple[str, str]] = Function(
    "services.secretsmanager._store_new_secret",
    *("name", "secret_string", "secret_binary", "description"),
    *("tags", "kms_key_id", "rotation_lambda_arn", "rotation_rules"),
)
find_secret: Function[[str], tuple[str | None, Record | None]] = Function(
    "services.secretsmanager._resolve", "secret_id", "use_arn_scope"
)
secret_value: Function[[str, str, str | None], str | None] = Function(
    "services.secretsmanager.resolve_secret_string", "secret_id", "version_stage", "version_id"
)
parameters: Value[Store] = Value("services.ssm._parameters")
put_parameter: Function[[Mapping[str, Any]], Response] = Function(
    "services.ssm._put_parameter", "data"
)
parameter_value: Function[..., str | None] = Function(
    "services.ssm.resolve_parameter_value", "name_or_arn", "version", "decrypt"
)

# SNS and SQS
topics: Value[Store] = Value("services.sns._topics")
queues: Value[Store] = Value("services.sqs._queues")
queue_by_arn: Function[[str], Record | None] = Function("services.sqs._queue_by_arn", "arn")
send_message: Function[[Record, str], Record] = Function(
    "services.sqs._act_send_message", "data", "qurl"
)

# Step Functions
state_machines: Value[Store] = Value("services.stepfunctions._state_machines")
state_machine_arn: Function[[str], str | None] = Function(
    "services.stepfunctions._resolve_state_machine_arn", "arn"
)
executions: Value[Store] = Value("services.stepfunctions._executions")
task_tokens: Value[Store] = Value("services.stepfunctions._task_tokens")
call_service: Function[[str, Json], Json] = Function(
    "services.stepfunctions._invoke_resource", "resource", "input_data"
)
call_error: Value[type[CallError]] = Value("services.stepfunctions._ExecutionError")
