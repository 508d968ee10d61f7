"""What every resource of a stack must be, as functions from resources to what is wrong with them.

`policy/__main__.py` has Pulumi enforce them before each update; tests hold this program to them.
A value that is not known before the update is taken to be right: it is looked at again then.
"""

import json
import re
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
_KEY = "aws:kms/key:Key"
# awsx:ecr:Repository registers no inputs: the repository inside it does.
_REPOSITORY = "aws:ecr/repository:Repository"

# Inputs that hold a policy of permissions, by type.
_POLICIES = {
    "aws:iam/rolePolicy:RolePolicy": "policy",
    "aws:iam/policy:Policy": "policy",
    "aws:iam/userPolicy:UserPolicy": "policy",
    "aws:iam/groupPolicy:GroupPolicy": "policy",
}
# Inputs that hold a policy of who may use the resource itself.
_OWN_POLICIES = {
    "aws:iam/role:Role": "assumeRolePolicy",
    "aws:kms/key:Key": "policy",
    "aws:s3/bucketPolicy:BucketPolicy": "policy",
    "aws:sns/topicPolicy:TopicPolicy": "policy",
    "aws:sqs/queue:Queue": "policy",
    "aws:sqs/queuePolicy:QueuePolicy": "policy",
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
WITHOUT_RESOURCE = {
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
    # 0 keeps the events forever.
    if resource.type == _LOG_GROUP and not resource.inputs.get("retentionInDays"):
        yield "the log group keeps its events forever: set retentionInDays"


def _function_times_out(resource: Resource) -> Iterator[str]:
    if resource.type == _FUNCTION and not resource.inputs.get("timeout"):
        yield "the function has the time-out of 3 seconds that nobody chose: set timeout"


def _function_logs(function: Resource, stack: Sequence[Resource]) -> Iterator[str]:
    if function.type != _FUNCTION:
        return
    config = function.inputs.get("loggingConfig") or {}
    group = config if config == UNKNOWN else config.get("logGroup")
    groups = {other.inputs.get("name") for other in stack if other.type == _LOG_GROUP}
    if not group or group not in groups | {UNKNOWN}:
        yield (
            f"Lambda would make the function's log group ({group}), which keeps its events for "
            "ever: name a LogGroup of the stack in loggingConfig"
        )


def _key_is_rotated(resource: Resource) -> Iterator[str]:
    if resource.type == _KEY and not resource.inputs.get("enableKeyRotation"):
        yield "the key is never rotated: set enableKeyRotation"


def _delivery_is_kept(resource: Resource) -> Iterator[str]:
    match resource.type:
        case "aws:cloudwatch/eventTarget:EventTarget":
            delivery = resource.inputs
        case "aws:scheduler/schedule:Schedule":
            delivery = resource.inputs.get("target") or {}
        case _:
            return
    if delivery == UNKNOWN:
        return
    config = delivery.get("deadLetterConfig")
    # What is dropped within five minutes comes again: nobody wants the one before.
    if 0 < _known_mapping(delivery.get("retryPolicy")).get("maximumEventAgeInSeconds", 0) < 300:
        return
    if config != UNKNOWN and not _known_mapping(config).get("arn"):
        yield "what cannot be delivered is lost: name a queue in deadLetterConfig"


def _task_times_out(resource: Resource) -> Iterator[str]:
    if resource.type != _STATE_MACHINE:
        return
    definition = _json(resource.inputs.get("definition"))
    if not isinstance(definition, dict):
        return
    for name, state in _states(cast("dict[str, Any]", definition)):
        called = str(state.get("Resource", ""))
        if {"TimeoutSeconds", "TimeoutSecondsPath"} & state.keys():
            continue
        if ":ecs:runTask.sync" in called:
            yield (
                f"its state {name} waits for a task without a limit, and a task that hangs is paid "
                "for until somebody sees it: set TimeoutSeconds"
            )
        if called.endswith(".waitForTaskToken"):
            yield (
                f"its state {name} waits for a token without a limit, which holds up the state "
                "machine's deletion for up to a year: set TimeoutSeconds"
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
    if resource.type == _REPOSITORY and not _is(
        resource.inputs.get("imageTagMutability"), "IMMUTABLE"
    ):
        yield "a tag of the repository may be moved to another image: set imageTagMutability"


def _grants_are_narrow(resource: Resource) -> Iterator[str]:
    for statement in (*_grants(resource), *_let_in(resource)):
        if resource.type == _KEY:
            # In a key's policy * is the key, and its account must keep every right to it.
            # https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
            if _wild(statement) and not _is_account(statement.get("Principal")):
                yield "more than the account may do anything with the key: name the actions"
            continue
        actions, resources = _list(statement.get("Action")), _list(statement.get("Resource"))
        if resource.type == _QUEUE:
            # In a queue's own policy * is the queue; it is whom it lets in that counts.
            resources = []
            if statement.get("Principal") in ("*", {"AWS": "*"}) and not _names_roles(statement):
                yield "anybody may use the queue: test aws:PrincipalArn, or name the principal"
        for action in actions:
            if "*" in str(action):
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
        services = _list(_test(statement, "StringEquals", "iam:PassedToService"))
        if len(services) != 1:
            yield (
                "iam:PassRole without the condition iam:PassedToService hands the role to any "
                "service: name the one service in StringEquals"
            )
        for arn in _list(statement.get("Resource")):
            # Those of one stack have a path of their own, at least two parts long.
            if "*" in re.sub(r":role(/[^/*]+){2,}/\*$", "", str(arn)):
                yield (
                    "iam:PassRole on more than one role hands over any of them: name the role, or "
                    "the path of the stack's own"
                )
                break


def _runs_are_bound(resource: Resource) -> Iterator[str]:
    for statement in _grants(resource):
        if "ecs:RunTask" not in _list(statement.get("Action")):
            continue
        tasks = _list(statement.get("Resource"))
        if not all(re.fullmatch(_REVIEWED, str(arn)) for arn in tasks):
            yield f"ecs:RunTask on {tasks} runs what was not reviewed: name one family (FAMILY:*)"
        clusters = _list(_test(statement, "ArnEquals", "ecs:cluster"))
        if len(clusters) != 1 or not re.fullmatch(r"arn:.+:cluster/[\w-]+", str(clusters[0])):
            yield "ecs:RunTask in any cluster: name the one cluster, ArnEquals ecs:cluster"


# One family, or every job's of a stack, whose names begin as no other stack's do.
_REVIEWED = r"arn:.+:task-definition/([\w-]+:(\d+|\*)|[\w-]+-job-\*:\*)"


def _services_are_bound(resource: Resource) -> Iterator[str]:
    """A service acts for whoever asks it to, unless it is held to an account and a source.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
    """
    if resource.type == "aws:lambda/permission:Permission":
        if ".amazonaws.com" in str(resource.inputs.get("principal")) and not resource.inputs.get(
            "sourceArn"
        ):
            yield "the service may call the function for anybody: set sourceArn"
        return
    for statement in _let_in(resource):
        services = _list(_known_mapping(statement.get("Principal")).get("Service"))
        # Lambda assumes a role with neither key in the request.
        if not set(services) - {"lambda.amazonaws.com"}:
            continue
        accounts = _list(_test(statement, "StringEquals", "aws:SourceAccount"))
        sources = [
            arn
            for operator in ("ArnEquals", "ArnLike")
            for arn in _list(_test(statement, operator, "aws:SourceArn"))
        ]
        if resource.type == "aws:iam/role:Role":
            if not accounts or not sources:
                yield f"{services} may assume the role for anybody: test the SourceAccount and Arn"
                continue
            for arn in sources:
                if not re.match(rf"arn:[\w-]+:\w+:[\w-]+:({'|'.join(accounts)}):.", str(arn)):
                    yield f"{arn} is not one account's source in one Region: name both"
        elif not (accounts or sources):
            yield f"{services} may use it for anybody: test aws:SourceArn or aws:SourceAccount"


def _names_roles(statement: Properties) -> bool:
    roles = [
        arn
        for operator in ("ArnEquals", "ArnLike")
        for arn in _list(_test(statement, operator, "aws:PrincipalArn"))
    ]
    role = r"arn:[\w-]+:iam::\d{12}:role/."
    return bool(roles) and all(arn == UNKNOWN or re.match(role, str(arn)) for arn in roles)


def _wild(statement: Properties) -> bool:
    return "NotAction" in statement or any("*" in str(a) for a in _list(statement.get("Action")))


def _is_account(principal: object) -> bool:
    accounts = _list(_known_mapping(principal).get("AWS"))
    return len(accounts) == 1 and bool(re.fullmatch(r"arn:[\w-]+:iam::\d{12}:root", accounts[0]))


def _test(statement: Properties, operator: str, key: str) -> Any:  # noqa: ANN401 JSON
    """What a condition compares the key with, or None."""
    return _known_mapping(_known_mapping(statement.get("Condition")).get(operator)).get(key)


def _known_mapping(value: object) -> Properties:
    return cast("Properties", value) if isinstance(value, Mapping) else {}


def _let_in(resource: Resource) -> Iterator[Properties]:
    """The statements by which a resource's own policy allows something."""
    if (key := _OWN_POLICIES.get(resource.type)) is not None:
        yield from _allowing(resource.inputs.get(key))


def _grants(resource: Resource) -> Iterator[Properties]:
    """The statements by which a policy of permissions allows something."""
    key = _POLICIES.get(resource.type)
    documents = [] if key is None else [resource.inputs.get(key)]
    if resource.type == "aws:iam/role:Role":
        documents = [
            inline.get("policy") for inline in _list(resource.inputs.get("inlinePolicies"))
        ]
    for document in documents:
        yield from _allowing(document)


def _allowing(document: object) -> Iterator[Properties]:
    for statement in _list(_known_mapping(_json(document)).get("Statement")):
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
        rule == UNKNOWN or rule.get("applyServerSideEncryptionByDefault")
        for side in _of(bucket, encryption, stack)
        for rule in _list(side.inputs.get("rules"))
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
        _denies_without_tls(side.inputs.get("policy"), "s3:*")
        for side in _of(bucket, "BucketPolicy", stack)
    ):
        yield (
            "the bucket can be read without TLS: give it a BucketPolicy that denies s3:* where "
            "aws:SecureTransport is false"
        )


def _queue_is_tls_only(queue: Resource, stack: Sequence[Resource]) -> Iterator[str]:
    if queue.type == _QUEUE and not any(
        _denies_without_tls(side.inputs.get("policy"), "sqs:*")
        for side in (queue, *_of(queue, "QueuePolicy", stack))
    ):
        yield (
            "the queue can be read without TLS: give it a policy that denies sqs:* where "
            "aws:SecureTransport is false"
        )


def _denies_without_tls(policy: object, action: str) -> bool:
    document = _json(policy)
    return document == UNKNOWN or any(
        statement.get("Effect") == "Deny"
        and action in _list(statement.get("Action"))
        and statement.get("Principal") in ("*", {"AWS": "*"})
        # One more test would let through what does not pass it.
        and str(statement.get("Condition")).lower() == "{'bool': {'aws:securetransport': 'false'}}"
        for statement in _list(_known_mapping(document).get("Statement"))
    )


def _of(owner: Resource, kind: str, stack: Sequence[Resource]) -> Iterator[Resource]:
    """The resources of this kind that belong to a bucket or queue: they name or depend on it."""
    theirs, its = ("queueUrl", "url") if owner.type == _QUEUE else ("bucket", "bucket")
    for side in stack:
        type_ = side.type.rpartition(":")[2].removesuffix("V2")
        name = side.inputs.get(theirs)
        if type_ == kind and (
            owner.urn in side.depends_on
            or (name not in {None, UNKNOWN} and name == owner.inputs.get(its))
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
    Rule("tasks-time-out", "State machines wait no longer than said.", _task_times_out),
    Rule("no-public-ingress", "No security group lets the internet in.", _ingress_is_not_public),
    Rule("images-pinned", "Containers run an image by digest or tag.", _image_is_pinned),
    Rule("tags-immutable", "Image repositories have immutable tags.", _tags_are_immutable),
    Rule("grants-narrow", "Permissions name their actions and resources.", _grants_are_narrow),
    Rule(
        "passed-roles-bound",
        "A role of the stack goes to one service.",
        _passed_roles_are_bound,
    ),
    Rule("runs-bound", "Who runs a task runs one family in one cluster.", _runs_are_bound),
    Rule("services-bound", "Services act for one account and source.", _services_are_bound),
    Rule("keys-rotated", "Keys are rotated.", _key_is_rotated),
    Rule("deliveries-kept", "What cannot be delivered is kept.", _delivery_is_kept),
)
"""The rules on single resources."""

STACK_RULES = (
    StackRule("buckets-blocked", "Buckets cannot become public.", _bucket_is_blocked),
    StackRule("buckets-encrypted", "Buckets say how they are encrypted.", _bucket_is_encrypted),
    StackRule("buckets-versioned", "Buckets keep what is overwritten.", _bucket_is_versioned),
    StackRule("buckets-tls-only", "Buckets refuse what is not sent over TLS.", _bucket_is_tls_only),
    StackRule("queues-tls-only", "Queues refuse what is not sent over TLS.", _queue_is_tls_only),
    StackRule("functions-log", "Functions write to a log group of the stack.", _function_logs),
)
"""The rules that take more than one resource to keep."""
