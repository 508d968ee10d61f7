"""What every resource of a stack must be, as functions from resources to what is wrong with them.

`policy/__main__.py` has Pulumi enforce them before each update; tests hold this program to them.
A value that is not known before the update is taken to be right: it is looked at again then.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

# What Pulumi writes for a text that it does not know during a preview.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

Properties = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource of a stack: Pulumi's type token, its inputs in camelCase, what it depends on."""

    type: str
    name: str
    urn: str
    inputs: Properties
    depends_on: frozenset[str] = field(default=frozenset())
    """The URNs of resources whose outputs are among the inputs."""


@dataclass(frozen=True)
class Violation:
    """A resource and what is wrong with it: what was found, and the way out."""

    rule: str
    urn: str
    message: str


@dataclass(frozen=True)
class Rule:
    """A rule that a resource keeps or breaks by itself; one message for each thing wrong."""

    name: str
    description: str
    check: Callable[[Resource], Iterator[str]]


@dataclass(frozen=True)
class StackRule:
    """A rule on a resource that others of its stack may keep for it."""

    name: str
    description: str
    check: Callable[[Resource, Sequence[Resource]], Iterator[str]]


def violations(resources: Sequence[Resource]) -> list[Violation]:
    """Everything that is wrong with a stack, rule by rule."""
    found = [
        Violation(rule.name, resource.urn, message)
        for rule in RULES
        for resource in resources
        for message in rule.check(resource)
    ]
    return found + [
        Violation(rule.name, resource.urn, message)
        for rule in STACK_RULES
        for resource in resources
        for message in rule.check(resource, resources)
    ]


BUCKETS = ("aws:s3/bucket:Bucket", "aws:s3/bucketV2:BucketV2")
_QUEUE = "aws:sqs/queue:Queue"
_TOPIC = "aws:sns/topic:Topic"
_LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
_FUNCTION = "aws:lambda/function:Function"
_STATE_MACHINE = "aws:sfn/stateMachine:StateMachine"
_TASK_DEFINITION = "aws:ecs/taskDefinition:TaskDefinition"
_REPOSITORIES = ("aws:ecr/repository:Repository", "awsx:ecr:Repository")

# Inputs that hold a policy of permissions, by type.
_POLICIES = {
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/policy:Policy": "policy",
    "aws:iam/userPolicy:UserPolicy": "policy",
    "aws:iam/groupPolicy:GroupPolicy": "policy",
}
_ATTACHMENTS = (
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
    "aws:iam/userPolicyAttachment:UserPolicyAttachment",
    "aws:iam/groupPolicyAttachment:GroupPolicyAttachment",
    "aws:iam/policyAttachment:PolicyAttachment",
)

_ECR = (
    "https://docs.aws.amazon.com/service-authorization/latest/reference/"
    "list_amazonelasticcontainerregistry.html"
)
_STATES_LOGS = "https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html"
_CLOUDWATCH = (
    "https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html"
)
WITHOUT_RESOURCE = {
    "cloudwatch:DescribeAlarms": _CLOUDWATCH,
    "ecr:GetAuthorizationToken": _ECR,
    "logs:CreateLogDelivery": _STATES_LOGS,
    "logs:DeleteLogDelivery": _STATES_LOGS,
    "logs:DescribeLogGroups": _STATES_LOGS,
    "logs:DescribeResourcePolicies": _STATES_LOGS,
    "logs:GetLogDelivery": _STATES_LOGS,
    "logs:ListLogDeliveries": _STATES_LOGS,
    "logs:PutResourcePolicy": _STATES_LOGS,
    "logs:UpdateLogDelivery": _STATES_LOGS,
}
"""Actions that AWS grants on `*` alone, with the page that says so."""


def _queue_is_encrypted(resource: Resource) -> Iterator[str]:
    inputs = resource.inputs
    if resource.type == _QUEUE and not (
        inputs.get("kmsMasterKeyId") or inputs.get("sqsManagedSseEnabled")
    ):
        yield "the queue is not encrypted: set sqsManagedSseEnabled or kmsMasterKeyId"


def _topic_is_encrypted(resource: Resource) -> Iterator[str]:
    if resource.type == _TOPIC and not resource.inputs.get("kmsMasterKeyId"):
        yield "the topic is not encrypted: set kmsMasterKeyId"


def _log_group_expires(resource: Resource) -> Iterator[str]:
    # 0 keeps the events for ever.
    if resource.type == _LOG_GROUP and not resource.inputs.get("retentionInDays"):
        yield "the log group keeps its events for ever: set retentionInDays"


def _function_times_out(resource: Resource) -> Iterator[str]:
    if resource.type == _FUNCTION and not resource.inputs.get("timeout"):
        yield "the function has the time-out of 3 seconds that nobody chose: set timeout"


def _task_times_out(resource: Resource) -> Iterator[str]:
    if resource.type != _STATE_MACHINE:
        return
    definition = _json(resource.inputs.get("definition"))
    if not isinstance(definition, dict):
        return
    for name, state in _states(cast("dict[str, Any]", definition)):
        waits = ":ecs:runTask.sync" in str(state.get("Resource", ""))
        if waits and not {"TimeoutSeconds", "TimeoutSecondsPath"} & state.keys():
            yield (
                f"its state {name} waits for a task without a limit, and a task that hangs is paid "
                "for until somebody sees it: set TimeoutSeconds"
            )


def _states(definition: Properties) -> Iterator[tuple[str, Properties]]:
    """The states of a definition, those of branches and iterations with them."""
    states: dict[str, Properties] = definition.get("States", {})
    for name, state in states.items():
        yield name, state
        inner = [state.get("ItemProcessor"), state.get("Iterator"), *state.get("Branches", [])]
        for machine in inner:
            if machine:
                yield from _states(machine)


def _ingress_is_not_public(resource: Resource) -> Iterator[str]:
    inputs = resource.inputs
    match resource.type:
        case "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
            ranges = [inputs.get("cidrIpv4"), inputs.get("cidrIpv6")]
        case "aws:ec2/securityGroupRule:SecurityGroupRule" if inputs.get("type") == "ingress":
            ranges = [*_list(inputs.get("cidrBlocks")), *_list(inputs.get("ipv6CidrBlocks"))]
        case (
            "aws:ec2/securityGroup:SecurityGroup"
            | "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
        ):
            ranges = [
                address
                for rule in _list(inputs.get("ingress"))
                if isinstance(rule, Mapping)
                for key in ("cidrBlocks", "ipv6CidrBlocks")
                for address in _list(cast("Properties", rule).get(key))
            ]
        case _:
            return
    for address in ranges:
        if isinstance(address, str) and address.endswith("/0"):
            yield f"anyone on the internet may connect ({address}): name a range or security group"


def _image_is_pinned(resource: Resource) -> Iterator[str]:
    if resource.type != _TASK_DEFINITION:
        return
    for container in _list(_json(resource.inputs.get("containerDefinitions"))):
        image = container.get("image", "") if isinstance(container, dict) else UNKNOWN
        if image == UNKNOWN or "@sha256:" in image:
            continue
        tag = image.rpartition("/")[2].partition(":")[2]
        if tag in {"", "latest"}:
            yield (
                f"the image {image} may be another one tomorrow: give its digest (@sha256:…) or a "
                "tag of a repository whose tags are immutable"
            )


def _tags_are_immutable(resource: Resource) -> Iterator[str]:
    if resource.type in _REPOSITORIES and not _is(
        resource.inputs.get("imageTagMutability"), "IMMUTABLE"
    ):
        yield "a tag of the repository may be moved to another image: set imageTagMutability"


def _grants_are_narrow(resource: Resource) -> Iterator[str]:
    for statement in _grants(resource):
        actions, resources = _list(statement.get("Action")), _list(statement.get("Resource"))
        for action in actions:
            if action == "*" or str(action).endswith(":*"):
                yield f"{action} grants what nobody asked for: name the actions"
        anything = "*" in resources or "NotResource" in statement or "NotAction" in statement
        if anything and (others := sorted(set(map(str, actions)) - WITHOUT_RESOURCE.keys())):
            yield (
                f"{', '.join(others) or 'a NotAction'} on any resource: name it, or, if AWS grants "
                "the action on * alone, list it with AWS's page in policy/rules.py"
            )
    if resource.type in _ATTACHMENTS:
        attached = str(resource.inputs.get("policyArn", ""))
        if attached.endswith(("/AdministratorAccess", "/PowerUserAccess", "FullAccess")):
            yield f"{attached} grants what nobody asked for: write a policy of what is used"


def _passed_roles_are_bound(resource: Resource) -> Iterator[str]:
    for statement in _grants(resource):
        if "iam:PassRole" not in _list(statement.get("Action")):
            continue
        tests = cast("dict[str, Properties]", statement.get("Condition") or {})
        if not any("iam:PassedToService" in test for test in tests.values()):
            yield (
                "iam:PassRole without the condition iam:PassedToService hands the role to any "
                "service: name the service"
            )


def _grants(resource: Resource) -> Iterator[Properties]:
    """The statements by which a policy of permissions allows something."""
    key = _POLICIES.get(resource.type)
    documents = [] if key is None else [resource.inputs.get(key)]
    if resource.type == "aws:iam/role:Role":
        documents = [
            inline.get("policy") for inline in _list(resource.inputs.get("inlinePolicies"))
        ]
    for document in map(_json, documents):
        if isinstance(document, Mapping):
            for statement in _list(cast("Properties", document).get("Statement")):
                if isinstance(statement, Mapping) and statement.get("Effect") == "Allow":
                    yield cast("Properties", statement)


def _bucket_is_blocked(bucket: Resource, stack: Sequence[Resource]) -> Iterator[str]:
    settings = (
        *("blockPublicAcls", "blockPublicPolicy"),
        *("ignorePublicAcls", "restrictPublicBuckets"),
    )
    block = "BucketPublicAccessBlock"
    if bucket.type in BUCKETS and not any(
        all(side.inputs.get(setting) for setting in settings) for side in _of(bucket, block, stack)
    ):
        yield f"the bucket may become public: give it a {block} with all four of {settings}"


def _bucket_is_encrypted(bucket: Resource, stack: Sequence[Resource]) -> Iterator[str]:
    encryption = "BucketServerSideEncryptionConfiguration"
    if bucket.type in BUCKETS and not any(
        side.inputs.get("rules") for side in _of(bucket, encryption, stack)
    ):
        yield f"how the bucket is encrypted is not said: give it a {encryption}"


def _bucket_is_versioned(bucket: Resource, stack: Sequence[Resource]) -> Iterator[str]:
    def is_on(side: Resource) -> bool:
        configuration = side.inputs.get("versioningConfiguration")
        return configuration == UNKNOWN or (
            isinstance(configuration, Mapping)
            and _is(cast("Properties", configuration).get("status"), "Enabled")
        )

    versioning = "BucketVersioning"
    if bucket.type in BUCKETS and not any(map(is_on, _of(bucket, versioning, stack))):
        yield f"an overwritten object is lost: give the bucket a {versioning}, Enabled"


def _bucket_is_tls_only(bucket: Resource, stack: Sequence[Resource]) -> Iterator[str]:
    if bucket.type in BUCKETS and not any(
        _denies_without_tls(side.inputs.get("policy"))
        for side in _of(bucket, "BucketPolicy", stack)
    ):
        yield (
            "the bucket can be read without TLS: give it a BucketPolicy that denies s3:* where "
            "aws:SecureTransport is false"
        )


def _denies_without_tls(policy: object) -> bool:
    document = _json(policy)
    if document == UNKNOWN:
        return True
    statements = _list(cast("Properties", document).get("Statement") if document else None)
    return any(
        statement.get("Effect") == "Deny"
        and "s3:*" in _list(statement.get("Action"))
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and str(statement.get("Condition", {}).get("Bool", {}).get("aws:SecureTransport")).lower()
        == "false"
        for statement in statements
    )


def _of(bucket: Resource, kind: str, stack: Sequence[Resource]) -> Iterator[Resource]:
    """The resources of this kind that belong to the bucket: they name it, or depend on it."""
    for side in stack:
        type_ = side.type.rpartition(":")[2].removesuffix("V2")
        name = side.inputs.get("bucket")
        if type_ == kind and (
            bucket.urn in side.depends_on
            or (name not in {None, UNKNOWN} and name == bucket.inputs.get("bucket"))
        ):
            yield side


def _json(value: object) -> Any:  # noqa: ANN401 JSON
    """The value of a JSON text; what is not known as it is, and a value as itself."""
    if isinstance(value, str) and value != UNKNOWN:
        return json.loads(value)
    return value


def _list(value: object) -> list[Any]:
    """As AWS reads it: one thing is a list of it."""
    if value is None or value == UNKNOWN:
        return []
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else [value]


def _is(value: object, wanted: str) -> bool:
    return value in {wanted, UNKNOWN}


RULES = (
    Rule("queues-encrypted", "Queues are encrypted at rest.", _queue_is_encrypted),
    Rule("topics-encrypted", "Topics are encrypted at rest.", _topic_is_encrypted),
    Rule("log-groups-expire", "Log groups have a retention.", _log_group_expires),
    Rule("functions-time-out", "Functions have a time-out of their own.", _function_times_out),
    Rule("tasks-time-out", "State machines wait for a task no longer than said.", _task_times_out),
    Rule("no-public-ingress", "No security group lets the internet in.", _ingress_is_not_public),
    Rule("images-pinned", "Containers run an image by digest or tag.", _image_is_pinned),
    Rule("tags-immutable", "Image repositories have immutable tags.", _tags_are_immutable),
    Rule("grants-narrow", "Permissions name their actions and resources.", _grants_are_narrow),
    Rule("passed-roles-bound", "A role is passed to one service.", _passed_roles_are_bound),
)
"""The rules on single resources."""

STACK_RULES = (
    StackRule("buckets-blocked", "Buckets cannot become public.", _bucket_is_blocked),
    StackRule("buckets-encrypted", "Buckets say how they are encrypted.", _bucket_is_encrypted),
    StackRule("buckets-versioned", "Buckets keep what is overwritten.", _bucket_is_versioned),
    StackRule("buckets-tls-only", "Buckets refuse what is not sent over TLS.", _bucket_is_tls_only),
)
"""The rules that take more than one resource to keep."""
