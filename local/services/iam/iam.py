"""Who may do what in the laptop's cloud: a caller and its call to nothing, or to AccessDenied.

MiniStack authorises the requests that arrive over HTTP; the functions here do the same, with the
same evaluator, for the calls AWS makes between its services. Every decision is kept.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

from local.ministack import internals
from local.runtime import Credentials, Runtime
from local.services.iam import keys, permissions, policies, requests
from local.services.iam.keys import problem as key_problem
from local.services.iam.permissions import Permission
from local.services.iam.policies import (
    Context,
    Decision,
    Statement,
    account_of,
    decisions,
    forget,
    identity_statements,
    in_scope,
    keep,
    matches,
    parsed,
    resource_statements,
    statements,
    trust_statements,
    without,
)

__all__ = [
    "AccessDenied",
    "Decision",
    "Permission",
    "Statement",
    "assume",
    "authorise",
    "authorise_service",
    "decisions",
    "for_api_call",
    "for_describe_execution",
    "for_describe_tasks",
    "for_function_log",
    "for_invoke_function",
    "for_log_delivery",
    "for_mounts",
    "for_publish",
    "for_redrive_execution",
    "for_run_task",
    "for_send_message",
    "for_service_invoke_function",
    "for_service_publish",
    "for_service_send_message",
    "for_start_execution",
    "for_stop_execution",
    "for_stop_task",
    "for_task_start",
    "forget",
    "install",
    "key_problem",
    "pass_role",
    "start_session",
    "statements",
    "without",
]


_region: list[str] = []
_registering = threading.Lock()


class AccessDenied(Exception):  # noqa: N818 - the name AWS gives it
    """A refusal, worded as AWS words it.

    `principal` is the session's ARN or the service, `resource` the ARN the call named.
    """

    def __init__(self, principal: str, action: str, resource: str, reason: str) -> None:
        super().__init__(
            f"User: {principal} is not authorized to perform: {action} "
            f"on resource: {resource} {reason}"
        )
        self.principal = principal
        self.action = action
        self.resource = resource


class _Request(Protocol):
    """What the evaluator is asked: MiniStack's EvalContext."""

    action: str
    resource_arn: str


def _request(
    principal: str, action: str, resource: str, context: Context, *, account: str
) -> _Request:
    region = resource.split(":", 5)[3] if resource.startswith("arn:") else ""
    return cast(
        "_Request",
        internals.EvalContext(
            principal_arn=principal,
            principal_type="AssumedRole" if principal.startswith("arn:") else "Service",
            principal_account=account,
            action=action,
            resource_arn=resource,
            region=region or internals.region(),
            source_ip="",
            secure_transport=context.get("aws:SecureTransport", "true") == "true",
            service_context={key.lower(): value for key, value in context.items()},
        ),
    )


def _session_arn(role_arn: str, session: str) -> str:
    return (
        f"arn:aws:sts::{account_of(role_arn)}:assumed-role/{role_arn.rsplit('/', 1)[-1]}/{session}"
    )


def _reason(*, explicit: bool, kind: str, action: str) -> str:
    if explicit:
        return f"with an explicit deny in {'an' if kind[0] in 'aeiou' else 'a'} {kind} policy"
    return f"because no {kind} policy allows the {action} action"


def _decide_by_resource_policy(
    principal: str, request: _Request, policy: object, service: str, kind: str
) -> None:
    with matches() as found:
        result = in_scope(
            request.resource_arn,
            lambda: internals.evaluate_resource_policy(policy, request, service),
        )
    allowed = result.decision == "Allow"
    keep(Decision(principal, request.action, request.resource_arn, allowed, found[-1].statement))
    if not allowed:
        reason = _reason(explicit=result.decision == "Deny", kind=kind, action=request.action)
        raise AccessDenied(principal, request.action, request.resource_arn, reason)


def assume(
    role_arn: str,
    service_principal: str,
    *,
    source_arn: str | None = None,
    source_account: str | None = None,
) -> None:
    """Check that a service may assume a role for a resource of an account.

    `source_account` is the role's own account unless given; AWS always sends it:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html

    Raises:
        AccessDenied: the role is missing, or its trust policy does not allow it.
    """
    context = {"aws:SourceAccount": source_account or account_of(role_arn)}
    if source_arn:
        context["aws:SourceArn"] = source_arn
    request = _request(
        service_principal, "sts:AssumeRole", role_arn, context, account=account_of(role_arn)
    )
    policy = {"Statement": [raw for _, raw in trust_statements(role_arn)]}
    _decide_by_resource_policy(service_principal, request, policy, service_principal, "role trust")


def start_session(
    role_arn: str,
    service_principal: str,
    session: str,
    *,
    source_arn: str | None = None,
    seconds: int = 21_600,
) -> Credentials:
    """Assume a role for a service and return credentials that requests can be signed with.

    `session` names it: 2 to 64 characters of `[A-Za-z0-9_=,.@-]`. Fargate's credentials live six
    hours and are renewed; here they are given once, for `seconds`.

    Raises:
        AccessDenied: as `assume`.
    """
    assume(role_arn, service_principal, source_arn=source_arn)
    credentials = Credentials(
        internals.new_access_key(),
        internals.new_secret(),
        internals.new_session_token(),
    )
    record = {
        "Arn": _session_arn(role_arn, session),
        "UserId": f"{internals.role_id(role_arn)}:{session}",
        "SecretAccessKey": credentials.secret_access_key,
        "SessionToken": credentials.session_token,
        "Expiration": time.time() + seconds,
        "AccountId": account_of(role_arn),
        "PrincipalType": "AssumedRole",
        "SourceAccessKeyId": "",
        "SourcePrincipalArn": service_principal,
        "SessionTags": [],
        "SessionPolicies": None,
    }
    # It looks through all sessions for expired ones, which another thread's would disturb.
    with _registering:
        internals.register_session(credentials.access_key_id, record)
    return credentials


def authorise(
    role_arn: str,
    action: str,
    resource: str,
    context: Context | None = None,
    *,
    session: str = "service",
) -> None:
    """Check that a role's policies, and the resource's own, allow one call.

    `session` is the last part of the session's ARN, which the refusal names. `context` may say
    `{"aws:SecureTransport": "false"}`: calls of AWS itself have TLS.

    Raises:
        AccessDenied: worded as AWS does.
    """
    principal = _session_arn(role_arn, session)
    request = _request(principal, action, resource, context or {}, account=account_of(role_arn))
    identity = parsed(identity_statements(role_arn))

    def decide() -> Any:  # noqa: ANN401 - MiniStack's EvalResult
        result = internals.evaluate(request, [identity])
        policy = internals.resource_policy(action.partition(":")[0], resource)
        if policy is None:
            return result
        # A key's policy must allow even the roles of its own account:
        # https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
        required = action.startswith("kms:")
        return internals.combine_resource_policy(result, request, *policy, required=required)

    with matches() as found:
        result = in_scope(resource if resource != "*" else role_arn, decide)
    allowed = result.decision == "Allow"
    matched = next((one.statement for one in found if one.outcome == result.decision), None)
    keep(Decision(principal, action, resource, allowed, matched))
    if not allowed:
        explicit = result.decision == "Deny"
        kind = "resource-based" if explicit and result.resource_policy_arn else "identity-based"
        raise AccessDenied(
            principal, action, resource, _reason(explicit=explicit, kind=kind, action=action)
        )


def authorise_service(
    service_principal: str,
    action: str,
    resource_arn: str,
    policy: Mapping[str, Any] | str | None = None,
    source_arn: str | None = None,
) -> None:
    """Check that a resource's policy lets a service act on it for `source_arn`.

    `policy` is the document, or None for the one the resource has.

    Raises:
        AccessDenied: no statement allows it, or one denies it.
    """
    context: dict[str, str | list[str]] = {
        "aws:PrincipalIsAWSService": "true",
        "aws:PrincipalServiceName": service_principal,
    }
    if source_arn:
        context |= {"aws:SourceArn": source_arn, "aws:SourceAccount": account_of(source_arn)}
    document = policy or {"Statement": [raw for _, raw in resource_statements(resource_arn)]}
    request = _request(
        service_principal, action, resource_arn, context, account=account_of(resource_arn)
    )
    _decide_by_resource_policy(
        service_principal, request, document, service_principal, "resource-based"
    )


def pass_role(
    caller_role_arn: str, role_arn: str, service: str, *, session: str = "service"
) -> None:
    """Check that a role may hand another to a service (`ecs-tasks.amazonaws.com`).

    Raises:
        AccessDenied: iam:PassRole is not allowed on that role for that service.
    """
    authorise(
        caller_role_arn, "iam:PassRole", role_arn, {"iam:PassedToService": service}, session=session
    )


def _require(role_arn: str, asked: Sequence[Permission], session: str) -> None:
    for need in asked:
        authorise(role_arn, need.action, need.resource, need.context, session=session)


def _require_of_service(service: str, asked: Sequence[Permission], source_arn: str) -> None:
    for need in asked:
        authorise_service(service, need.action, need.resource, None, source_arn)


def for_run_task(
    role_arn: str, request: Mapping[str, Any], *, sync: bool = False, session: str = "service"
) -> None:
    """Check what RunTask needs of a rule's, schedule's or state machine's role.

    `request` is ECS's RunTask request in its own camelCase; `sync` adds what `.sync` needs to
    hear of the task's end.

    Raises:
        AccessDenied: at the first call that is not allowed.
    """
    definition = cast("str", request["taskDefinition"])
    scope = (
        definition
        if definition.startswith("arn:")
        else f"arn:aws:ecs:{_region[-1]}:{account_of(role_arn)}:"
    )
    of = permissions.run_task_sync if sync else permissions.run_task
    _require(role_arn, of(request, scope), session)


def for_stop_task(role_arn: str, task_arn: str, *, session: str = "service") -> None:
    """Check ecs:StopTask on a task, or raise AccessDenied."""
    _require(role_arn, [permissions.on_task("ecs:StopTask", task_arn)], session)


def for_describe_tasks(role_arn: str, task_arn: str, *, session: str = "service") -> None:
    """Check ecs:DescribeTasks on a task, or raise AccessDenied."""
    _require(role_arn, [permissions.on_task("ecs:DescribeTasks", task_arn)], session)


def for_start_execution(
    role_arn: str, machine_arn: str, *, child_sync: bool = False, session: str = "service"
) -> None:
    """Check states:StartExecution on a machine; `child_sync` adds what `.sync:2` needs for it.

    Raises:
        AccessDenied: at the first call that is not allowed.
    """
    of = permissions.start_execution_sync if child_sync else permissions.start_execution
    _require(role_arn, of(machine_arn), session)


# https://docs.aws.amazon.com/step-functions/latest/dg/stepfunctions-iam.html
def for_describe_execution(role_arn: str, execution_arn: str, *, session: str = "service") -> None:
    """Check states:DescribeExecution on an execution, or raise AccessDenied."""
    _require(role_arn, [Permission("states:DescribeExecution", execution_arn)], session)


def for_stop_execution(role_arn: str, execution_arn: str, *, session: str = "service") -> None:
    """Check states:StopExecution on an execution, or raise AccessDenied."""
    _require(role_arn, [Permission("states:StopExecution", execution_arn)], session)


# https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
def for_redrive_execution(role_arn: str, execution_arn: str, *, session: str = "service") -> None:
    """Check states:RedriveExecution on an execution, or raise AccessDenied."""
    _require(role_arn, [Permission("states:RedriveExecution", execution_arn)], session)


# https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
def for_send_message(role_arn: str, queue_arn: str, *, session: str = "service") -> None:
    """Check that a role may send to a queue: a schedule's dead letters, a function's failures."""
    _require(role_arn, permissions.send("sqs:SendMessage", queue_arn), session)


# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
def for_publish(role_arn: str, topic_arn: str, *, session: str = "service") -> None:
    """Check that a role may publish to a topic, or raise AccessDenied."""
    _require(role_arn, permissions.send("sns:Publish", topic_arn), session)


# https://docs.aws.amazon.com/step-functions/latest/dg/lambda-iam.html
def for_invoke_function(role_arn: str, function_arn: str, *, session: str = "service") -> None:
    """Check that a role may invoke a function, or raise AccessDenied."""
    _require(role_arn, [Permission("lambda:InvokeFunction", function_arn)], session)


# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html
def for_service_send_message(service_principal: str, queue_arn: str, source_arn: str) -> None:
    """Check that a queue's policy, and its key's, let a service send to it for a rule or topic."""
    _require_of_service(
        service_principal, permissions.send("sqs:SendMessage", queue_arn), source_arn
    )


def for_service_publish(service_principal: str, topic_arn: str, source_arn: str) -> None:
    """Check that a topic's policy, and its key's, let a service publish for a rule or alarm."""
    _require_of_service(service_principal, permissions.send("sns:Publish", topic_arn), source_arn)


def for_service_invoke_function(service_principal: str, function_arn: str, source_arn: str) -> None:
    """Check that a function's policy lets a service invoke it for a rule, schedule or topic."""
    authorise_service(service_principal, "lambda:InvokeFunction", function_arn, None, source_arn)


def for_api_call(
    role_arn: str,
    service: str,
    operation: str,
    request: Mapping[str, Any],
    *,
    session: str = "service",
) -> None:
    """Check a call that a state machine or schedule makes through the SDK (`aws-sdk:sfn:…`).

    `service` and `operation` (in camelCase or PascalCase) are as in the ARN of the integration,
    `request` has the members by the API's own names.

    Raises:
        AccessDenied: at the first call that is not allowed.
    """
    name = operation[:1].upper() + operation[1:]
    place = _region[-1], account_of(role_arn)
    _require(role_arn, requests.of_api(service, name, request, place), session)


def for_log_delivery(role_arn: str, *, session: str = "service") -> None:
    """Check what a state machine's role needs when it logs its executions."""
    _require(role_arn, permissions.log_delivery(), session)


def for_function_log(
    role_arn: str, function_arn: str, log_group: str, stream: str, *, session: str = "service"
) -> None:
    """Check that a function's role may create and write its log stream."""
    _require(role_arn, permissions.write_log(function_arn, log_group, stream), session)


def for_task_start(
    execution_role_arn: str | None, task_definition: Mapping[str, Any], *, task_id: str = "task"
) -> None:
    """Check what Fargate does with the execution role before a task's containers run.

    `task_definition` is as DescribeTaskDefinition returns it. A task that needs nothing (a public
    image, no awslogs, no secrets) may lack the role.

    Raises:
        AccessDenied: at the first call that is not allowed.
    """
    asked = permissions.task_start(task_definition, task_id)
    if not asked:
        return
    if not execution_role_arn:
        raise AccessDenied(
            "ecs-tasks.amazonaws.com",
            asked[0].action,
            asked[0].resource,
            "because the task definition has no execution role",
        )
    _require(execution_role_arn, asked, task_id)


def for_mounts(
    task_role_arn: str | None, task_definition: Mapping[str, Any], *, task_id: str = "task"
) -> None:
    """Check that the role of a task may mount the file systems that ask IAM.

    Raises:
        AccessDenied: at the first that it may not.
    """
    asked = permissions.mounts(task_definition)
    if asked and not task_role_arn:
        raise AccessDenied(
            "anonymous", asked[0].action, asked[0].resource, "because the task has no role"
        )
    _require(task_role_arn or "", asked, task_id)


def install(cloud: Runtime) -> None:
    """Authorise every request to the cloud, and keep the decisions, until it closes."""
    forget()
    _region.append(cloud.region)
    cloud.on_close(_region.pop)
    policies.install()
    keys.install(cloud.account)
    requests.install()
    cloud.on_close(forget)
