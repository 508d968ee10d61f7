"""What would fail, or cost, before it does: each thing that is looked at, with its way out."""

import contextlib
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import job_secrets, letters, prices
from .aws import code_of
from .failures import explained
from .pauses import path_of, pauses
from .stack import Stack

OK, WARNING, FAILING, UNKNOWN = "ok", "warning", "failing", "unknown"
_LEAST_ADDRESSES = 16
# https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
_VCPU_QUOTAS = {"on demand": "L-3032A538", "on Spot": "L-36FBB829"}
# https://docs.aws.amazon.com/general/latest/gr/ev.html
_RULES_QUOTA = "L-244521F2"
_DEAR_INSIGHTS = 10.0
"""USD a month from which on Container Insights are worth a word."""
_AT_ONCE = 8


@dataclass(frozen=True)
class Finding:
    """What was found of one thing."""

    check: str
    status: str
    """ok, warning, failing, or unknown: it could not be asked."""
    text: str
    way_out: str = ""


def look(stack: Stack) -> list[Finding]:
    """Look at everything, at once; in the order of the checks."""
    with contextlib.suppress(ClientError, BotoCoreError):
        # Several checks look at these; one that cannot says so itself.
        _tasks(stack)
        _subnets_of(stack)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda check: list(_guarded(stack, *check)), _CHECKS.items())
        return [finding for findings in found for finding in findings]


def _guarded(
    stack: Stack, name: str, check: Callable[[Stack], Iterator[Finding]]
) -> Iterator[Finding]:
    """A check that cannot be made is no reason to make none."""
    try:
        yield from check(stack)
    except (ClientError, BotoCoreError) as error:
        yield _unknown(name, error)


def _unknown(name: str, error: ClientError | BotoCoreError) -> Finding:
    return Finding(name, UNKNOWN, f"could not be checked: {explained(error)}")


@dataclass(frozen=True)
class _Tasks:
    """What the tasks of a job are made of."""

    cpu: int
    """In CPU units."""
    image: str
    role: str
    """The ARN of the role that starts them."""
    secrets: frozenset[str]


@functools.lru_cache(maxsize=1)
def _tasks(stack: Stack) -> list[_Tasks]:
    """The tasks of all jobs: a call for each."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda job: _tasks_of(stack, job), stack.jobs))


def _tasks_of(stack: Stack, job: str) -> _Tasks:
    definition = stack.aws.client("ecs").describe_task_definition(
        taskDefinition=stack.job(job).task_definition_arn
    )["taskDefinition"]
    containers: list[dict[str, Any]] = definition["containerDefinitions"]
    named = {one["valueFrom"] for container in containers for one in container.get("secrets", [])}
    named |= {
        container["repositoryCredentials"]["credentialsParameter"]
        for container in containers
        if container.get("repositoryCredentials")
    }
    return _Tasks(
        cpu=int(definition["cpu"]),
        image=next(one["image"] for one in containers if one["name"] == job),
        role=definition.get("executionRoleArn", ""),
        secrets=frozenset(map(job_secrets.own_arn, named)),
    )


def _service_role(stack: Stack) -> Iterator[Finding]:
    name = "service-linked role"
    try:
        stack.aws.client("iam").get_role(RoleName="AWSServiceRoleForECS")
    except ClientError as error:
        if code_of(error) != "NoSuchEntity":
            raise
        way = "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com"
        yield Finding(name, FAILING, "ECS has none, so the first task would fail to start", way)
        return
    yield Finding(name, OK, "ECS has it")


def _quotas(stack: Stack) -> Iterator[Finding]:
    largest = max((one.cpu for one in _tasks(stack)), default=0) / 1024
    for which, code in _VCPU_QUOTAS.items():
        name = f"vCPU {which}"
        quota = _quota(stack, "fargate", code)
        text = f"{quota:g} at once; the largest task needs {largest:g}"
        way = "raise it in Service Quotas, AWS Fargate" if quota < largest else ""
        yield Finding(name, FAILING if quota < largest else OK, text, way)


def _quota(stack: Stack, service: str, code: str) -> float:
    """The account's own; AWS's default of a service that tells no account's own.

    https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
    """
    quotas = stack.aws.client("service-quotas")
    which = {"ServiceCode": service, "QuotaCode": code}
    try:
        found = quotas.get_service_quota(**which)
    except ClientError as error:
        if code_of(error) != "NoSuchResourceException":
            raise
        found = quotas.get_aws_default_service_quota(**which)
    return found["Quota"]["Value"]


def _roles(stack: Stack) -> Iterator[Finding]:
    summary = stack.aws.client("iam").get_account_summary()["SummaryMap"]
    used, quota = summary["Roles"], summary["RolesQuota"]
    few = quota - used < 50
    way = "raise the quota of roles in Service Quotas, IAM" if few else ""
    yield Finding("roles", WARNING if few else OK, f"{used} of {quota}", way)


def _rules(stack: Stack) -> Iterator[Finding]:
    pages = stack.aws.client("events").get_paginator("list_rules").paginate()
    count = sum(len(page["Rules"]) for page in pages)
    quota = _quota(stack, "events", _RULES_QUOTA)
    few = count > quota - 50
    # EventBridge does not say that it was raised: https://github.com/aws/aws-cli/issues/6629
    way = "raise the quota of rules in Service Quotas, EventBridge, unless it is" if few else ""
    text = f"{count} of {quota:g} on the default event bus"
    yield Finding("rules", WARNING if few else OK, text, way)


def _keys(stack: Stack) -> Iterator[Finding]:
    """Whether the keys can be used that messages, buckets and secrets are encrypted with."""
    for arn, what in sorted(_keys_in_use(stack)):
        key = stack.aws.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
        text = f"{arn}, the key of {what}, is {key['KeyState']}"
        if key["KeyState"] == "Enabled":
            yield Finding("key", OK, text)
        else:
            yield Finding("key", FAILING, text, "enable it, or cancel its deletion, in KMS")


def _keys_in_use(stack: Stack) -> set[tuple[str, str]]:
    topic: str = stack.index["alertsTopicArn"]
    attributes = stack.aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    found = {(attributes.get("KmsMasterKeyId"), "the alerts")}
    s3 = stack.aws.client("s3")
    for name in stack.buckets:
        encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
        for rule in encryption["Rules"]:
            default = rule.get("ApplyServerSideEncryptionByDefault", {})
            found.add((default.get("KMSMasterKeyID"), f"the bucket {name}"))
    # AWS's own keys are always there.
    return {(arn, what) for arn, what in found if arn and not arn.startswith("alias/aws/")}


@dataclass(frozen=True)
class _Network:
    """Where the tasks of a job run."""

    subnets: frozenset[str]
    public: bool
    """Whether they have public addresses."""


@functools.lru_cache(maxsize=1)
def _networks(stack: Stack) -> list[_Network]:
    """Those of all jobs, which only their state machines name: a call for each."""

    def of(job: str) -> _Network:
        states = stack.aws.client("stepfunctions")
        machine = states.describe_state_machine(stateMachineArn=stack.job(job).machine_arn)
        text: str = machine["definition"]
        subnets = frozenset(re.findall(r'"(subnet-[0-9a-f]+)"', text))
        return _Network(subnets, '"AssignPublicIp": "ENABLED"' in text)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(of, stack.jobs))


@functools.lru_cache(maxsize=1)
def _subnets_of(stack: Stack) -> list[dict[str, Any]]:
    """The subnets of the stack, and of jobs with others."""
    ids = {*stack.index["subnetIds"], *itertools.chain(*(it.subnets for it in _networks(stack)))}
    return stack.aws.client("ec2").describe_subnets(SubnetIds=sorted(ids))["Subnets"]


def _subnets(stack: Stack) -> Iterator[Finding]:
    subnets = _subnets_of(stack)
    for subnet in subnets:
        free = subnet["AvailableIpAddressCount"]
        text = f"{subnet['SubnetId']} in {subnet['AvailabilityZone']}: {free} addresses free"
        few = free < _LEAST_ADDRESSES
        way = "use larger subnets: each task needs an address" if few else ""
        yield Finding("addresses", WARNING if few else OK, text, way)
    ids = stack.index["subnetIds"]
    zones = {one["AvailabilityZone"] for one in subnets if one["SubnetId"] in ids}
    if len(zones) < 2:
        text = f"all tasks run in one zone, {', '.join(zones)}"
        yield Finding("zones", WARNING, text, "add a subnet in another zone")
    else:
        yield Finding("zones", OK, ", ".join(sorted(zones)))


def _routes(stack: Stack) -> Iterator[Finding]:
    """Whether what a task needs before it runs can be reached from each subnet."""
    subnets, reached = _subnets_of(stack), _reached(stack)
    private = {id_ for one in _networks(stack) if not one.public for id_ in one.subnets}
    for vpc in sorted({one["VpcId"] for one in subnets}):
        ids = [one["SubnetId"] for one in subnets if one["VpcId"] == vpc]
        yield from _routes_of(stack, vpc, ids, private, reached)


def _routes_of(
    stack: Stack, vpc: str, subnets: Iterable[str], private: set[str], reached: set[str]
) -> Iterator[Finding]:
    ec2 = stack.aws.client("ec2")
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    endpoints = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    there = {
        one["ServiceName"].partition(f".{stack.aws.region}.")[2]
        for one in endpoints["VpcEndpoints"]
    }
    missing = ", ".join(sorted(reached - there))
    for subnet in subnets:
        out = _way_out(_table_of(tables, subnet))
        # https://docs.aws.amazon.com/vpc/latest/userguide/VPC_Internet_Gateway.html
        closed = out is not None and out.startswith("igw-") and subnet in private
        if out is not None and not closed:
            yield Finding("route", OK, f"{subnet} reaches the internet through {out}")
        elif not missing:
            yield Finding("route", OK, f"{subnet} has endpoints for all that a task needs")
        else:
            address = "`assignPublicIp: true`, or " if closed else ""
            way = f"{address}add a NAT gateway, or endpoints for {missing}"
            yield Finding("route", FAILING, f"{subnet} cannot reach {missing}", way)


def _reached(stack: Stack) -> set[str]:
    """What tasks need before they run, as the names of endpoints; or a registry that has none.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html
    """
    found = {"logs"}
    for one in _tasks(stack):
        registry = one.image.partition("/")[0]
        found |= {"ecr.api", "ecr.dkr", "s3"} if _ECR.fullmatch(one.image) else {registry}
        found |= {"secretsmanager" if ":secretsmanager:" in arn else "ssm" for arn in one.secrets}
    return found


_WAYS_OUT = (
    *("GatewayId", "NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId"),
    *("NetworkInterfaceId", "LocalGatewayId", "CoreNetworkArn"),
)


def _way_out(table: Mapping[str, Any]) -> str | None:
    """Where a route table sends what is for the internet, if that is there."""
    for route in table.get("Routes", []):
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" and route.get("State") != "blackhole":
            for name in _WAYS_OUT:
                if route.get(name):
                    return route[name]
    return None


def _table_of(tables: list[dict[str, Any]], subnet: str) -> dict[str, Any]:
    """The route table of a subnet: its own, else the VPC's main one."""
    main: dict[str, Any] = {}
    for table in tables:
        for association in table.get("Associations", []):
            if association.get("SubnetId") == subnet:
                return table
            if association.get("Main"):
                main = table
    return main


_ECR = re.compile(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com[a-z.]*/([^:@]+)([:@].+)?")


def _images(stack: Stack) -> Iterator[Finding]:
    for image in sorted({one.image for one in _tasks(stack)}):
        found = _ECR.fullmatch(image)
        if found is None:
            yield Finding("image", UNKNOWN, f"{image} is not in Amazon ECR, so it was not checked")
            continue
        account, _, repository, version = found.groups()
        version = version or ":latest"
        key = "imageDigest" if version.startswith("@") else "imageTag"
        try:
            stack.aws.client("ecr").describe_images(
                registryId=account, repositoryName=repository, imageIds=[{key: version[1:]}]
            )
        except ClientError as error:
            if code_of(error) not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
                raise
            way = "push it, or correct `image`, and deploy"
            yield Finding("image", FAILING, f"{image} does not exist", way)
        else:
            yield Finding("image", OK, f"{image} exists")


def _secrets(stack: Stack) -> Iterator[Finding]:
    roles: dict[str, set[str]] = defaultdict(set)
    for one in _tasks(stack):
        for arn in one.secrets:
            roles[arn].add(one.role)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for findings in pool.map(lambda one: list(_secret(stack, *one)), sorted(roles.items())):
            yield from findings


def _secret(stack: Stack, arn: str, roles: Iterable[str]) -> Iterator[Finding]:
    try:
        found = list(job_secrets.problems(stack.aws, arn, sorted(roles)))
    except (ClientError, BotoCoreError) as error:
        yield _unknown("secret", error)
        return
    for text, way in found:
        yield Finding("secret", FAILING, text, way)
    if not found:
        yield Finding("secret", OK, f"{arn} can be read")


def _alerts(stack: Stack) -> Iterator[Finding]:
    topic: str = stack.index["alertsTopicArn"]
    pages = stack.aws.client("sns").get_paginator("list_subscriptions_by_topic")
    found = [one for page in pages.paginate(TopicArn=topic) for one in page["Subscriptions"]]
    for one in found:
        if one["SubscriptionArn"] == "PendingConfirmation":
            text = f"{one['Endpoint']} has not confirmed, so it receives nothing"
            yield Finding("alerts", WARNING, text, "open the link in the mail that AWS sent to it")
    confirmed = [one for one in found if one["SubscriptionArn"] != "PendingConfirmation"]
    if confirmed:
        yield Finding("alerts", OK, f"{len(confirmed)} receive messages")
    else:
        status = FAILING if stack.index.get("protect") else WARNING
        yield Finding("alerts", status, "nobody is told of failures", _ALERTS)


_ALERTS = "set `alerts.emails`, and confirm by the link in the mail"


def _letters(stack: Stack) -> Iterator[Finding]:
    waiting = letters.waiting(stack)
    for label, count in waiting.items():
        way = f"letters list --trigger {label}"
        yield Finding("dead letters", FAILING, f"{count} of {label}", way)
    if not waiting:
        yield Finding("dead letters", OK, "none")


def _insights(stack: Stack) -> Iterator[Finding]:
    """What Container Insights cost: CloudWatch bills each metric by the hour that it is sent."""
    cluster = stack.aws.client("ecs").describe_clusters(
        clusters=[stack.cluster], include=["SETTINGS"]
    )["clusters"][0]
    values = {one["name"]: one["value"] for one in cluster.get("settings", [])}
    value = values.get("containerInsights", "disabled")
    text = f"Container Insights is {value}"
    if value == "disabled":
        yield Finding("insights", OK, text)
        return
    pages = (
        stack.aws.client("cloudwatch")
        .get_paginator("list_metrics")
        .paginate(
            Namespace="ECS/ContainerInsights",
            Dimensions=[{"Name": "ClusterName", "Value": cluster["clusterName"]}],
            RecentlyActive="PT3H",
        )
    )
    count = sum(len(page["Metrics"]) for page in pages)
    dollars = count * prices.A_METRIC_OF_INSIGHTS[value]
    text += f": {count} metrics in the last three hours, at that rate {dollars:.2f} USD a month"
    dear = dollars > _DEAR_INSIGHTS
    way = "`containerInsights: disabled` costs nothing" if dear else ""
    if dear and value == "enhanced":
        way += ", `enabled` has no metrics of single tasks and containers"
    yield Finding("insights", WARNING if dear else OK, text, way)


def _paused(stack: Stack) -> Iterator[Finding]:
    """Pauses, which outlive their schedule and their stack: nothing of it made them."""
    path = path_of(stack.project, stack.name)
    for label, pause in pauses(stack.aws.client("ssm"), path).items():
        trigger = stack.triggers.get(label)
        if trigger is None or trigger.schedule_arn is None:
            text = f"{label} is paused, and the stack has no such schedule"
            way = f"aws ssm delete-parameter --name {path}{label}"
            yield Finding("pauses", WARNING, text, way)
        elif trigger.schedule_arn != pause.schedule_arn:
            text = f"{label} was paused by {pause.by} before its schedule was made anew"
            yield Finding("pauses", WARNING, text, f"schedules resume {trigger.name}")
        else:
            text = f"{label} was paused by {pause.by}: {pause.reason}"
            yield Finding("pauses", OK, text)


_CHECKS: dict[str, Callable[[Stack], Iterator[Finding]]] = {
    "service-linked role": _service_role,
    "vCPU": _quotas,
    "roles": _roles,
    "rules": _rules,
    "keys": _keys,
    "addresses": _subnets,
    "route": _routes,
    "image": _images,
    "secret": _secrets,
    "alerts": _alerts,
    "insights": _insights,
    "dead letters": _letters,
    "pauses": _paused,
}
