"""Signed requests that reach the cloud, to what they ask of a role, to MiniStack's answer.

MiniStack names the resource of most requests; those it names otherwise than AWS are named here.
"""

import contextlib
import json
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

from botocore.model import OperationNotFoundError

from local.ministack import front, internals
from local.ministack.models import model
from local.services.iam import keys
from local.services.iam.objects import key_permissions
from local.services.iam.permissions import (
    Permission,
    cluster_arn,
    encrypting,
    on_task,
    run_task,
)
from local.services.iam.policies import Context, Decision, keep, matches
from local.services.stepfunctions.tokens import machine_of


@dataclass(frozen=True, slots=True)
class _Asked:
    """The rest of what one request asks: its condition keys, and further permissions.

    `unknown` says that its resource is none that can be told.
    """

    context: Context = field(default_factory=dict[str, str | list[str]])
    further: tuple[Permission, ...] = ()
    unknown: bool = False


_asked: ContextVar[_Asked] = ContextVar("asked")
_refused: ContextVar[tuple[str, str] | None] = ContextVar("refused", default=None)


def _logs(action: str, body: Mapping[str, Any], prefix: str) -> list[Permission]:
    # The service names group and stream in one ARN, the stream empty for a call on the group, as
    # its AccessDeniedException shows: a policy on the bare group ARN allows none of them.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
    if action in {"TagResource", "UntagResource", "ListTagsForResource"}:
        return []
    group = cast("str", body.get("logGroupName") or body.get("logGroupIdentifier") or "")
    name = group.split(":log-group:", 1)[-1].removesuffix(":*")
    stream = cast("str", body.get("logStreamName") or "")
    return [Permission(f"logs:{action}", f"{prefix}:log-group:{name}:log-stream:{stream}")]


def _ecs(action: str, body: Mapping[str, Any], prefix: str) -> list[Permission]:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
    cluster = cluster_arn(cast("str | None", body.get("cluster")), prefix)
    tasks = cluster.replace(":cluster/", ":task/", 1)
    named = (
        [cast("str", body["task"])]
        if body.get("task")
        else cast("list[str]", body.get("tasks") or [])
    )
    match action:
        case "RunTask":
            return run_task(body, cluster)
        case "StopTask" | "DescribeTasks":
            arns = [task if task.startswith("arn:") else f"{tasks}/{task}" for task in named]
            return [on_task(f"ecs:{action}", arn) for arn in arns]
        case "ListTasks":
            instances = cluster.replace(":cluster/", ":container-instance/", 1)
            return [Permission("ecs:ListTasks", f"{instances}/*", {"ecs:cluster": cluster})]
        case "TagResource" | "UntagResource" | "ListTagsForResource":
            return [Permission(f"ecs:{action}", cast("str", body.get("resourceArn") or "*"))]
        case "DescribeTaskDefinition" | "ListTaskDefinitions" | "ListClusters":
            return [Permission(f"ecs:{action}", "*")]
        case _:
            return []


def _events(action: str, body: Mapping[str, Any], prefix: str) -> list[Permission]:
    # A rule of the default bus has no bus in its ARN:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
    name = cast("str | None", body.get("Rule") or (body.get("Name") if "Rule" in action else None))
    bus = cast("str", body.get("EventBusName") or "default").rsplit("/", 1)[-1]
    if not name:
        return []
    rule = name if bus == "default" else f"{bus}/{name}"
    return [Permission(f"events:{action}", f"{prefix}:rule/{rule}")]


def _missing_object(resource: str) -> list[Permission]:
    # Who may not list the bucket is not told that an object is missing:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    name, _, key = resource.removeprefix("arn:aws:s3:::").partition("/")
    account = internals.account()
    bucket = internals.buckets().get_scoped(account, None, name)
    if bucket is None or key in bucket["objects"]:
        return []
    return [Permission("s3:ListBucket", f"arn:aws:s3:::{name}")]


def _states(action: str, body: Mapping[str, Any], _prefix: str) -> list[Permission]:
    # What calls a state back is authorised on the state machine whose token it has:
    # https://docs.aws.amazon.com/step-functions/latest/dg/concept-create-iam-advanced.html
    if body.get("mapRunArn"):
        return [Permission(f"states:{action}", cast("str", body["mapRunArn"]))]
    if not action.startswith("SendTask"):
        return []
    machine = machine_of(cast("str", body.get("taskToken") or ""))
    return [Permission(f"states:{action}", machine or "*")]


def _dynamodb(action: str, body: Mapping[str, Any], prefix: str) -> list[Permission]:
    # A transaction is authorised as the single calls it is made of:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    actions = {"ConditionCheck": "ConditionCheckItem"}
    permissions: list[Permission] = []
    if action == "TransactWriteItems":
        for item in cast("list[dict[str, Any]]", body.get("TransactItems") or []):
            for kind, call in item.items():
                table = f"{prefix}:table/{call['TableName']}"
                permissions.append(
                    Permission(f"dynamodb:{actions.get(kind, f'{kind}Item')}", table)
                )
    return permissions


def _ssm(action: str, body: Mapping[str, Any], prefix: str) -> list[Permission]:
    # Each parameter is authorised, without the version or label behind its name, and a path as a
    # parameter of its name would be:
    # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParametersByPath.html
    if action == "GetParametersByPath":
        path = cast("str", body.get("Path") or "/").strip("/")
        return [Permission("ssm:GetParametersByPath", f"{prefix}:parameter/{path}")]
    if "Parameter" not in action:
        return []
    named = cast(
        "list[str]", body.get("Names") or [body[name] for name in ("Name",) if body.get(name)]
    )
    return [
        Permission(
            f"ssm:{action}",
            ":".join(name.split(":")[:6])
            if name.startswith("arn:")
            else f"{prefix}:parameter/{name.partition(':')[0].lstrip('/')}",
        )
        for name in named
    ]


def _kms(action: str, body: Mapping[str, Any], _prefix: str) -> list[Permission]:
    # An alias is authorised as the key that it is of:
    # https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html
    key = internals.kms_key(cast("str", body.get("KeyId") or ""))
    return [Permission(f"kms:{action}", cast("str", key["Arn"]))] if key else []


def _iam(action: str, query: Mapping[str, Any], prefix: str) -> list[Permission]:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
    given = {name: cast("str", values[0]) for name, values in query.items()}
    if group := given.get("GroupName"):
        # Whose user is named is not asked.
        return [Permission(f"iam:{action}", f"{prefix}:group/{group}")]
    name = given.get("RoleName")
    if not name:
        return []
    found = cast("Mapping[str, Any] | None", internals.roles().get(name))
    arn = cast("str", found["Arn"]) if found else f"{prefix}:role{given.get('Path', '/')}{name}"
    if profile := given.get("InstanceProfileName"):
        passing = Permission("iam:PassRole", arn, {"iam:PassedToService": "ec2.amazonaws.com"})
        return [Permission(f"iam:{action}", f"{prefix}:instance-profile/{profile}"), passing]
    return [Permission(f"iam:{action}", arn)]


def _scheduler(
    path: str, query: Mapping[str, Any], body: Mapping[str, Any], prefix: str
) -> list[Permission]:
    """A call on a schedule, which is of a group, and of the role that it passes on.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/security_iam_service-with-iam.html
    """
    kind, _, name = path.strip("/").partition("/")
    if kind != "schedules" or not name:
        return []
    asked = query.get("groupName") or ["default"]
    group = body.get("GroupName") or (asked if isinstance(asked, str) else asked[0])
    schedule = Permission("scheduler:*", f"{prefix}:schedule/{group}/{unquote(name)}")
    return [schedule]


_NAMED_HERE = {
    "ecs": _ecs,
    "events": _events,
    "kms": _kms,
    "logs": _logs,
    "ssm": _ssm,
    "states": _states,
}
_PASSED_TO = {"ecs": "ecs-tasks"} | {
    service: service for service in ("events", "lambda", "logs", "scheduler", "states")
}


def _passed(service: str, body: Mapping[str, Any]) -> tuple[Permission, ...]:
    """The roles that a request hands over, which takes a permission on each.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
    """
    if service not in _PASSED_TO:
        return ()
    to = {"iam:PassedToService": f"{_PASSED_TO[service]}.amazonaws.com"}
    roles = [
        cast("str", holder[name])
        for holder in (body, body.get("Target"), *(body.get("Targets") or []))
        if isinstance(holder, dict)
        for name in ("taskRoleArn", "executionRoleArn", "roleArn", "RoleArn", "Role")
        if holder.get(name)
    ]
    return tuple(Permission("iam:PassRole", role, to) for role in dict.fromkeys(roles))


# What the SDK calls a service, where IAM calls it otherwise.
_PREFIXES = {"sfn": "states", "eventbridge": "events", "cloudwatchlogs": "logs"}
# Operations that IAM has no action of the same name for:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_ACTIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjects": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
}


def of_api(
    service: str, operation: str, request: Mapping[str, Any], prefix: tuple[str, str]
) -> list[Permission]:
    """What a call of the SDK asks for: `service` as the SDK names it, `operation` in PascalCase.

    `request` has the members by the API's own names; `prefix` is the Region and the account.
    """
    service = _PREFIXES.get(service, service)
    region, account = prefix
    # MiniStack knows the calls of a transaction that arrives as a request.
    named = {**_NAMED_HERE, "dynamodb": _dynamodb}.get(service)
    if named and (
        permissions := named(operation, request, f"arn:aws:{service}:{region}:{account}")
    ):
        return [*permissions, *_passed(service, request)]
    action = _ACTIONS.get(f"{service}:{operation}", f"{service}:{operation}")
    if service == "s3":
        path = "/".join(cast("str", request[name]) for name in ("Bucket", "Key") if name in request)
        return [Permission(action, f"arn:aws:s3:::{path}" if path else "*")]
    path = f"/functions/{request['FunctionName']}" if "FunctionName" in request else "/"
    resource = internals.resource_of_request.original(
        service,
        "POST",
        path,
        {"x-amz-target": f"{service}.{operation}"},
        json.dumps(request, default=str).encode(),
        {name: [value] for name, value in request.items()},
        region,
        account,
    )
    return [Permission(action, resource), *_passed(service, request)]


# What a write of an object takes besides, by the headers that say more of it:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
_WITH_HEADER = {
    "x-amz-tagging": "s3:PutObjectTagging",
    "x-amz-acl": "s3:PutObjectAcl",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "s3:PutObjectRetention",
    "x-amz-object-lock-legal-hold": "s3:PutObjectLegalHold",
}


def _of_headers(method: str, resource: str, given: Mapping[str, object]) -> list[Permission]:
    if method not in {"PUT", "POST"}:
        return []
    actions = {action for name, action in _WITH_HEADER.items() if name in given}
    actions |= {"s3:PutObjectAcl" for name in given if name.startswith("x-amz-grant-")}
    return [Permission(action, resource) for action in sorted(actions)]


def _resource_arn(
    service: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    region: str,
    account_id: str,
) -> str:
    _asked.set(_Asked())
    bucket, _, key = path.lstrip("/").partition("/")
    if service == "s3" and key:
        # A presigned URL has headers in its query.
        hoisted = {name.lower(): values[0] for name, values in query_params.items()}
        given = {**{one: hoisted[one] for one in hoisted if one.startswith("x-amz-")}, **headers}
        # MiniStack's own reading takes several slashes for one, and drops the last.
        resource = f"arn:aws:s3:::{bucket}/{key}"
        keys_ = key_permissions(method, (bucket, key), given, query_params, region)
        _asked.set(_Asked(further=(*keys_, *_of_headers(method, resource, given))))
        return resource
    named = internals.resource_of_request.original(
        service, method, path, headers, body, query_params, region, account_id
    )
    if service == "iam" and named == "*":
        # https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
        named = query_params.get("PolicySourceArn", ["*"])[0]
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    prefix, document = f"arn:aws:{service}:{region}:{account_id}", dict[str, Any]()
    if service == "iam":
        permissions = _iam(action, query_params, f"arn:aws:iam::{account_id}")
    else:
        with contextlib.suppress(ValueError):
            parsed: object = json.loads(body or b"{}")
            document = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else document
        permissions = (
            _scheduler(path, query_params, document, prefix)
            if service == "scheduler"
            else _NAMED_HERE[service](action, document, prefix)
            if service in _NAMED_HERE
            else []
        )
    first = permissions[0] if permissions else Permission(action, named)
    further = (*permissions[1:], *_passed(service, document))
    _asked.set(_Asked(first.context, further, unknown=first.resource == "*" and not permissions))
    return first.resource


def _enforce(
    access_key_id: str,
    iam_action: str,
    service: str,
    region: str,
    resource_arn: str = "*",
    service_context: dict[str, Any] | None = None,
) -> Any:  # noqa: ANN401 - MiniStack's EvalResult or AuthError
    asked = _asked.get(_Asked())
    _asked.set(_Asked())
    _refused.set(None)
    if iam_action.endswith(f":{front.UNDETERMINED}"):
        return _nobody_but_the_account(access_key_id, iam_action, service, region)
    # A batch is authorised as the single calls it is made of:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-using-identity-based-policies.html
    if iam_action.startswith("sqs:"):
        iam_action = iam_action.removesuffix("Batch")
    first = Permission(iam_action, resource_arn, {**(service_context or {}), **asked.context})
    missing = _missing_object(resource_arn) if iam_action == "s3:GetObject" else []
    of_any = asked.unknown and _names_a_resource(service, iam_action)
    sends = iam_action in {"sns:Publish", "sqs:SendMessage"} and resource_arn != "*"
    sent = encrypting(resource_arn) if sends else []
    for need in (first, *missing, *asked.further, *sent):
        # By its own service a key's policy is found, which must allow it as well.
        its = "kms" if need.action.startswith("kms:") else service
        with matches(of_any=of_any and need is first) as found:
            denied = internals.enforce.original(
                access_key_id, need.action, its, region, need.resource, dict(need.context)
            )
        if found:
            outcome = denied.decision if denied else "Allow"
            one = next((match for match in found if match.outcome == outcome), found[0])
            keep(Decision(one.principal, need.action, need.resource, denied is None, one.statement))
        if denied:
            _refused.set((need.action, need.resource))
            return denied
    return None


def _names_a_resource(service: str, action: str) -> bool:
    """Whether a request may be for a resource of its own: one without any parameter is not."""
    if service == "s3":
        return False
    try:
        shape = model(service).operation_model(action.partition(":")[2]).input_shape
    except (KeyError, OperationNotFoundError):
        return True
    return shape is not None and bool(cast("Any", shape).required_members)


def _nobody_but_the_account(access_key_id: str, iam_action: str, service: str, region: str) -> Any:  # noqa: ANN401 - as above
    # A policy may allow every action there is, by a wildcard: this is none.
    denied = internals.enforce.original(access_key_id, iam_action, service, region)
    if denied is not None or keys.is_developers(access_key_id):
        return denied
    account = internals.account()
    principal = internals.resolve_principal(access_key_id, account).arn
    keep(Decision(principal, iam_action, "*", allowed=False, matched_statement=None))
    return internals.EvalResult("ImplicitDeny", principal_arn=principal)


def _denial(  # the keyword-only parameters are MiniStack's
    service: str,
    action: str,
    principal_arn: str,
    request_id: str,
    **rest: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - a status, headers and a body
    refused = _refused.get()
    if refused and not rest.get("error_code"):
        action, resource = refused
        explicit = bool(rest.get("explicit_deny"))
        rest["resource_arn"] = resource
        if not rest.get("message") and not (explicit and rest.get("resource_policy_arn")):
            shown = f'"{resource}"' if service == "s3" else resource
            rest["message"] = internals.denial_message(action, principal_arn, shown, explicit)
    return internals.access_denied.original(service, action, principal_arn, request_id, **rest)


def _signed(
    method: str,
    raw_path: str,
    query_params: dict[str, Any],
    raw_headers: list[tuple[bytes, bytes]],
    handshake: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    # A proxy that was spoken to without TLS says so, and so can a test of a policy that demands it.
    if (b"x-forwarded-proto", b"http") in [(name.lower(), value) for name, value in raw_headers]:
        source_ip = internals.client_ip()
        internals.pin_client.original(source_ip, False)  # noqa: FBT003 - as above
    # The path and the host that were signed, where the bucket is a part of the host.
    raw_path, raw_headers = front.as_signed()
    internals.pin_request.original(method, raw_path, query_params, raw_headers, handshake)


def _origin(source_ip: str, secure_transport: bool) -> None:  # noqa: FBT001 - MiniStack's signature
    # Loopback leaves the machine as little as TLS would, so a policy that demands TLS takes it.
    loopback = source_ip in {"127.0.0.1", "::1"}
    internals.pin_client.original(source_ip, loopback or secure_transport)


def _is_developers(access_key_id: str) -> bool:
    return keys.is_developers(access_key_id)


def install() -> None:
    """Authorise every request that arrives, until the cloud closes.

    Keys of sessions and of users made here are held to their policies; `keys` says whose any other
    one is.
    """
    # STS imports the other when it is itself imported.
    internals.is_root_to_sts.replace(_is_developers)
    internals.is_root.replace(_is_developers)
    internals.enforce.replace(_enforce)
    internals.resource_of_request.replace(_resource_arn)
    internals.access_denied.replace(_denial)
    internals.pin_client.replace(_origin)
    internals.pin_request.replace(_signed)
    internals.authorises.replace(new=True)
