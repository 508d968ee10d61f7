"""All of MiniStack that is called, read or replaced, each with what it is pinned to.

Nothing else of it may be named: a test holds every file to this list, and each entry to the
installed MiniStack. What is replaced says why the seam does not do.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from logging import Logger
from re import Pattern
from typing import Any, Protocol

from local.ministack.pinned import Function, Members, Replaced, ReplacedValue, State, Value

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


# What the protocols above rely on
members = (
    Members("core.responses.AccountScopedDict", "get", "pop", "values", "get_scoped", "to_dict"),
    Members("core.responses.AccountRegionScopedDict", "get", "pop", "values", "all_items"),
    Members("services.eventbridge._EventView", "envelope", "event_with_detail"),
)


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
metric_alarms: Value[Store] = Value("services.cloudwatch._alarms")
put_metric_alarm: Replaced[[Record, Record, bool, bool], Response] = Replaced(
    "services.cloudwatch._put_metric_alarm",
    *("params", "cbor_data", "is_cbor", "is_json"),
    reason="It drops the queries of an alarm on several metrics.",
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

# DynamoDB: the tests of the semaphore need no server
dynamodb_operations: dict[str, Function[[Mapping[str, Any]], Response]] = {
    operation: Function(f"services.dynamodb._{name}", "data")
    for operation, name in {
        "createTable": "create_table",
        "getItem": "get_item",
        "query": "query",
        "scan": "scan",
        "transactWriteItems": "transact_write_items",
        "updateItem": "update_item",
    }.items()
}
dynamodb_reset: Function[[], None] = Function("services.dynamodb.reset")

# EC2
vpcs: Value[Store] = Value("services.ec2._vpcs")
route_tables: Value[Store] = Value("services.ec2._route_tables")
network_acls: Value[Store] = Value("services.ec2._network_acls")
subnets: Value[Store] = Value("services.ec2._subnets")
security_groups: Value[Store] = Value("services.ec2._security_groups")
ip_permissions: Replaced[[Mapping[str, Any], str], list[Record]] = Replaced(
    "services.ec2._parse_ip_permissions",
    *("params", "prefix"),
    reason="It leaves out a rule's prefix lists.",
)

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
dispatch_event: Replaced[..., None] = Replaced(
    "services.eventbridge._dispatch_event",
    *("event", "view"),
    reason="S3 puts its events on the bus without a request, in a shape of MiniStack's own.",
)
takes_schedule: Replaced[[str], bool] = Replaced(
    "services.eventbridge._validate_schedule_expression",
    "expr",
    reason="What an expression may be is checked deep inside PutRule.",
)

events_log: Function[[], list[Record]] = Function("services.eventbridge._events_log_list")

# CloudWatch Logs
filter_pattern: Replaced[[str], Callable[[str], bool]] = Replaced(
    "services.cloudwatch_logs._compile_filter_pattern",
    "raw",
    reason="A pattern is compiled deep inside FilterLogEvents, and one of JSON matches everything.",
)

# EventBridge Scheduler
schedules: Value[Store] = Value("services.scheduler._schedules")
start_schedules: Replaced[[], None] = Replaced(
    "services.scheduler.start_scheduler",
    reason="A thread of MiniStack's would fire the schedules too.",
)

# The server
application: Function[..., Any] = Function("app.app", "scope", "receive", "send")
reset: Function[[], None] = Function("app._reset_all_state")
# What an event loop leaves behind, and the next one must not find.
reset_lock: State[object] = State("app._reset_lock")
main_loop: State[object] = State("app._MAIN_LOOP")
http_connection: ReplacedValue[type[Any]] = ReplacedValue(
    "protocol.H11Protocol",
    package="hypercorn",
    reason="It upgrades to HTTP/2, and asks for a body before anybody wants it.",
)
# Read from the environment once, when a module is imported.
CONSTANTS_OF_HOST = ("_MINISTACK_HOST", "_HOST", "_DEFAULT_HOST", "DEFAULT_HOST")
CONSTANTS_OF_PORT = ("_GATEWAY_PORT", "_PORT", "_DEFAULT_PORT", "DEFAULT_PORT", "_MINISTACK_PORT")
CONSTANTS_OF_REGION = ("REGION",)
find_scripts: Replaced[..., list[str]] = Replaced(
    "app._collect_scripts",
    "dirs",
    reason="MiniStack would run what it finds in folders of this machine when it starts.",
)
authorises: ReplacedValue[bool] = ReplacedValue(
    "app.AUTH",
    reason="It is read from the environment, once, and is off there.",
)
detect_service: Replaced[..., str] = Replaced(
    "app.detect_service",
    *("method", "path", "headers", "query_params"),
    reason="A request is read once, before it is authorised, and MiniStack guesses.",
)
before_body: Replaced[..., Any] = Replaced(
    "app._handle_pre_body_request",
    *("method", "path", "headers", "query_params", "request_id"),
    reason="It answers requests to MiniStack itself, without asking who sends them.",
)
after_body: Replaced[..., Any] = Replaced(
    "app._handle_post_body_shortcuts",
    *("method", "path", "headers", "body", "query_params", "request_id"),
    reason="It answers requests to MiniStack itself, without asking who sends them.",
)
data_plane: Replaced[..., Any] = Replaced(
    "app._handle_special_data_plane_request",
    *("method", "path", "headers", "body", "query_params", "request_id", "raw_path"),
    *("raw_query_string", "client_ip"),
    reason="It answers requests of services that are not here.",
)
read_body: Replaced[..., Any] = Replaced(
    "app._read_request_body",
    *("receive", "method", "headers"),
    reason="It has the whole body in memory, and twice if that is in chunks.",
)
disconnected: Value[type[Exception]] = Value("app._RequestBodyDisconnected")
dispatch_request: Replaced[..., Any] = Replaced(
    "app._dispatch_service_request",
    *("method", "path", "headers", "body", "query_params", "request_id"),
    reason="What a request names is read once, and MiniStack is given that.",
)
pin_request: Replaced[..., None] = Replaced(
    "app.pin_signed_request",
    *("method", "raw_path", "query_params", "raw_headers", "handshake"),
    reason="A signature is of the host and path that were signed, not of those passed on.",
)
pin_client: Replaced[[str, bool], None] = Replaced(
    "app.pin_request_origin",
    *("source_ip", "secure_transport"),
    reason="Loopback counts as TLS, for policies that demand it.",
)

# IAM
sessions: Value[dict[str, Record]] = Value("services.sts._sessions")
register_session: Function[[str, Record], None] = Function(
    "services.sts.register_session", "access_key", "session"
)
new_access_key: Function[[], str] = Function("services.sts._gen_session_access_key")
new_secret: Function[[], str] = Function("services.sts._gen_secret")
new_session_token: Function[[], str] = Function("services.sts._gen_session_token")
role_id: Function[[str], str] = Function("services.sts._role_id", "role_arn")
access_keys: Value[Store] = Value("services.iam._access_keys")
roles: Value[Store] = Value("services.iam._roles")
create_service_linked_role: Function[[Record], Response] = Function(
    "services.iam._create_service_linked_role", "p"
)
aws_policies: Value[dict[str, Any]] = Value("services.iam._aws_managed_policies")
aws_policy: Function[[str, str, str], Any] = Function(
    "services.iam._make_aws_managed_record", "name", "document", "description"
)
managed_policy: Function[[str, str], Json] = Function(
    "core.iam_evaluator._resolve_managed_policy_document", "policy_arn", "account_id"
)
resource_policy: Function[[str, str], Any] = Function(
    "core.iam_evaluator._resource_policy", "service", "resource_arn"
)
parse_policy: Function[[Json], list[Any]] = Function(
    "core.iam_evaluator.parse_policy_document", "doc"
)
first_match: Function[[Any, list[Any], str], Any] = Function(
    "core.iam_evaluator._first_match", "ctx", "stmts", "effect"
)
evaluate_resource_policy: Function[[Json, Any, str], Any] = Function(
    "core.iam_evaluator.evaluate_resource_policy",
    *("doc", "ctx", "service", "named_only", "direct_only"),
)
combine_resource_policy: Function[..., Any] = Function(
    "core.iam_evaluator.combine_resource_policy",
    *("identity", "ctx", "policy", "owner_account", "required", "limits"),
)
resolve_principal: Function[[str, str], Any] = Function(
    "core.iam_evaluator.resolve_principal", "access_key_id", "account_id", "credential"
)
EvalContext: Function[..., Any] = Function(
    "core.iam_evaluator.EvalContext",
    *("principal_arn", "principal_type", "principal_account", "action", "resource_arn", "region"),
    *("source_ip", "secure_transport", "request_tags", "tag_keys", "service_context"),
    "principal_keys",
)
EvalResult: Function[..., Any] = Function(
    "core.iam_evaluator.EvalResult",
    *("decision", "principal_arn", "matched_sid", "reason", "resource_policy_arn"),
)
denial_message: Function[[str, str, str, bool], str] = Function(
    "core.iam_actions.identity_denial_message",
    *("action", "principal_arn", "resource", "explicit_deny"),
)
authentication_failures: Value[Mapping[str, Any]] = Value("core.iam_actions._AUTH_FAILURES")
iam_prefixes: Value[dict[str, str]] = Value("core.iam_actions.SERVICE_TO_IAM_NAMESPACE")
evaluate: Replaced[..., Any] = Replaced(
    "core.iam_evaluator.evaluate",
    *("ctx", "policies", "limits"),
    reason="Which statement decides is kept, and statements can be withheld to see who needs them.",
)
enforce: Replaced[..., Any] = Replaced(
    "core.iam_evaluator.enforce",
    *("access_key_id", "iam_action", "service", "region", "resource_arn", "service_context"),
    reason="A request can ask for more than one permission, and MiniStack knows of one.",
)
role_policies: Replaced[[str, str], list[list[Any]]] = Replaced(
    "core.iam_evaluator._gather_role_policies",
    *("role_name", "account_id"),
    reason="Statements reach the evaluator without the policy that they are of.",
)
condition_key: Replaced[[str, Any], Any] = Replaced(
    "core.iam_evaluator._resolve_condition_key",
    *("key", "ctx"),
    reason="aws:PrincipalArn is the session's, where AWS has the role's.",
)
wildcards: Replaced[[str, bool], Pattern[str]] = Replaced(
    "core.iam_evaluator._fnmatch_compile",
    *("pattern", "ignore_case"),
    reason="A wildcard of MiniStack's stops at a line break.",
)
request_origin: ReplacedValue[ContextVar[tuple[str, bool]]] = ReplacedValue(
    "core.iam_evaluator._request_origin",
    reason="What no request from outside led to is AWS's own, and has TLS.",
)
is_root: Replaced[[str], bool] = Replaced(
    "core.iam_evaluator.is_root_access_key",
    "access_key_id",
    reason="Whoever reaches loopback is the account itself, by whatever key nobody else has.",
)
is_root_to_sts: Replaced[[str], bool] = Replaced(
    "services.sts.is_root_access_key", "access_key_id", reason="As `is_root`, which STS imports."
)
resource_of_request: Replaced[..., str] = Replaced(
    "core.iam_actions.extract_resource_arn",
    *("service", "method", "path", "headers", "body", "query_params", "region", "account_id"),
    reason="Some requests are authorised on other resources than MiniStack says.",
)
action_of_request: Replaced[..., str] = Replaced(
    "core.iam_actions.extract_iam_action",
    *("service", "method", "path", "headers", "body", "query_params"),
    reason="An action that MiniStack cannot tell is let through by it.",
)
access_denied: Replaced[..., Any] = Replaced(
    "core.iam_actions.access_denied_response",
    *("service", "action", "principal_arn", "request_id", "error_code", "message", "headers"),
    *("resource_arn", "explicit_deny", "resource_policy_arn"),
    reason="The refusal names the permission that is missing, of several that were asked for.",
)
pin_body: Function[[Any], None] = Function("core.iam_evaluator.pin_signed_body", "body")
chunk_signatures: Replaced[[Any, str, Any, bytes], bool] = Replaced(
    "core.sigv4._chunk_signatures_match",
    *("body", "seed", "signature", "key"),
    reason="It takes the chunks from a body in memory.",
)
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
function_folders: ReplacedValue[object] = ReplacedValue(
    "core.lambda_runtime.tempfile",
    reason="A function's folder stays behind when this process is killed.",
)
end_functions: Function[[], None] = Function("core.lambda_runtime.reset")
function_logger: Value[Logger] = Value("services.lambda_svc.logger")

function_variables = ("MINISTACK_", "LOCALSTACK_")
"""How variables begin that tell a function's process what to run."""

# S3
buckets: Value[Store] = Value("services.s3._buckets")
encryption_of_write: Function[
    [Mapping[str, str], str], tuple[Mapping[str, str] | None, Response | None]
] = Function("services.s3._resolve_sse_write_headers", "headers", "bucket_name")
send_object_event: Replaced[..., None] = Replaced(
    "services.s3._fire_s3_event",
    *("bucket_name", "key", "event_name", "size", "etag", "deletion_type", "restore_event_data"),
    *("version_id", "sequencer", "object_extra", "record_extra"),
    reason="An object's version is known here, and lost on the way to the bus.",
)

cors_preflight: Function[[str, str, Mapping[str, str]], Response] = Function(
    "services.s3.cors_preflight", "bucket_name", "key", "headers"
)
cors_headers: Function[[str, str, Mapping[str, str]], Mapping[str, str]] = Function(
    "services.s3.cors_response_headers", "bucket_name", "method", "headers"
)
s3_error: Function[[str, str, int], Response] = Function(
    "services.s3._error", "code", "message", "status", "resource", "extra", "headers"
)
parse_xml: Function[[bytes], Any] = Function(
    "services.s3.fromstring", "text", "forbid_dtd", "forbid_entities", "forbid_external"
)
verify_presigned: Replaced[..., Any] = Replaced(
    "services.s3._verify_presigned_sigv4",
    *("method", "path", "headers", "query_params"),
    reason="A signature is of the host and path that were signed, not of those passed on.",
)
parse_form: Replaced[[str, bytes], list[Any]] = Replaced(
    "services.s3._parse_multipart_form",
    *("content_type", "body"),
    reason="It takes a form apart in memory.",
)
check_signed_form: Function[[Mapping[str, str], str, str | None, int, bool], Response | None] = (
    Function(
        "services.s3._enforce_signed_post_policy",
        "fields",
        "bucket_name",
        "region",
        "size",
        "sigv4",
    )
)
bucket_owner: Function[[str], str | None] = Function("services.s3._bucket_owner_account", "name")
bucket_region: Function[[str], str | None] = Function("services.s3.bucket_region", "name")
check_form: Replaced[[str, int], Any] = Replaced(
    "services.s3._enforce_post_policy_size",
    *("policy_b64", "size"),
    reason="MiniStack takes forms without verifying their signature.",
)

multipart_uploads: Value[Store] = Value("services.s3._multipart_uploads")
completed_uploads: Value[Store] = Value("services.s3._completed_multipart_uploads")
check_part_key: Function[[Mapping[str, str], Record], Response | None] = Function(
    "services.s3._check_sse_c_part", "headers", "upload"
)
check_write: Function[[Mapping[str, str], Record | None], Response | None] = Function(
    "services.s3._check_put_preconditions", "headers", "existing_obj"
)
joined_checksum: Function[[str | None, list[str | None]], str | None] = Function(
    "services.s3._composite_checksum", "algorithm", "part_checksums"
)
encryption_headers: Function[[Record], Mapping[str, str]] = Function(
    "services.s3._stored_sse_headers", "obj"
)
replicate: Function[[str, str, Record, object], None] = Function(
    "services.s3._maybe_replicate", "bucket_name", "key", "obj", "data", "tags"
)
record_version: Function[[str, str, Record | None, Record, object], str | None] = Function(
    "services.s3._record_object_version", "bucket_name", "key", "prior_obj", "obj", "data"
)
send_event: Function[..., None] = Function(
    "services.s3._fire_s3_event_async",
    *("bucket_name", "key", "event_name", "size", "etag", "deletion_type", "version_id"),
    *("object_extra", "record_extra"),
)
timestamp: Function[[], str] = Function("services.s3.now_iso")
complete_upload: Replaced[..., Response] = Replaced(
    "services.s3._complete_multipart_upload",
    *("bucket_name", "key", "body", "query_params", "headers"),
    reason="It puts the parts together in memory.",
)
md5: Replaced[[Any], str] = Replaced(
    "services.s3.md5_hash", "data", reason="An object is read from its file, a part at a time."
)
object_checksum: Replaced[[str, Any], str | None] = Replaced(
    "services.s3._compute_s3_checksum", "algorithm", "body", reason="As `md5`."
)
check_md5: Replaced[[Mapping[str, str], Any], Response | None] = Replaced(
    "services.s3._validate_content_md5", "headers", "body", reason="As `md5`."
)
object_data: Replaced[[str, str, str | None], Any] = Replaced(
    "services.s3._get_object_data",
    *("bucket_name", "key", "version_id"),
    reason="Who reads an object's bytes, such as a function's code, is given them from its file.",
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
deliver_message: Replaced[..., None] = Replaced(
    "services.sns._fanout",
    *("topic_arn", "msg_id", "message", "subject", "message_structure", "message_attributes"),
    *("message_group_id", "message_dedup_id"),
    reason="What would be mailed is told; several requests and alarms publish.",
)
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
delete_state_machine: Function[[dict[str, Any]], object] = Function(
    "services.stepfunctions._delete_state_machine", "data"
)
executions: Value[Store] = Value("services.stepfunctions._executions")
map_runs: Value[Store] = Value("services.stepfunctions._map_runs")
task_tokens: Value[Store] = Value("services.stepfunctions._task_tokens")
call_service: Function[[str, Json], Json] = Function(
    "services.stepfunctions._invoke_resource", "resource", "input_data"
)
call_error: Value[type[CallError]] = Value("services.stepfunctions._ExecutionError")
