"""What would fail, or cost, before it does: each thing that is looked at, with its way out."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import letters
from .aws import code_of
from .stack import Stack

OK, WARNING, FAILING, UNKNOWN = "ok", "warning", "failing", "unknown"
_LEAST_ADDRESSES = 16
# https://docs.aws.amazon.com/general/latest/gr/ecs-service.html
_VCPU_QUOTAS = {"on demand": "L-3032A538", "on Spot": "L-36FBB829"}
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
_RULES_BY_DEFAULT = 300
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
        yield Finding(name, UNKNOWN, str(error))


def _service_role(stack: Stack) -> Iterator[Finding]:
    name = "service-linked role"
    try:
        stack.aws.client("iam").get_role(RoleName="AWSServiceRoleForECS")
    except ClientError as error:
        if code_of(error) != "NoSuchEntity":
            raise
        way = "aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com"
        yield Finding(name, FAILING, "ECS has none: the first task would not start", way)
        return
    yield Finding(name, OK, "ECS has it")


def _quotas(stack: Stack) -> Iterator[Finding]:
    largest = max((_task_definition(stack, job)[1] for job in stack.jobs), default=0) / 1024
    for which, code in _VCPU_QUOTAS.items():
        quota = stack.aws.client("service-quotas").get_service_quota(
            ServiceCode="fargate", QuotaCode=code
        )["Quota"]["Value"]
        name = f"vCPU {which}"
        text = f"{quota:g} at once; the largest task takes {largest:g}"
        way = "raise it in Service Quotas, AWS Fargate"
        if quota < largest:
            yield Finding(name, FAILING, text, way)
        else:
            yield Finding(name, OK, text)


def _roles(stack: Stack) -> Iterator[Finding]:
    summary = stack.aws.client("iam").get_account_summary()["SummaryMap"]
    used, quota = summary["Roles"], summary["RolesQuota"]
    few = quota - used < 50
    way = "raise the quota of roles in Service Quotas, IAM" if few else ""
    yield Finding("roles", WARNING if few else OK, f"{used} of {quota}", way)


def _rules(stack: Stack) -> Iterator[Finding]:
    pages = stack.aws.client("events").get_paginator("list_rules").paginate()
    count = sum(len(page["Rules"]) for page in pages)
    few = count > _RULES_BY_DEFAULT - 50
    text = f"{count} on the default bus, which takes {_RULES_BY_DEFAULT} unless it was raised"
    way = "raise the quota of rules in Service Quotas, EventBridge" if few else ""
    yield Finding("rules", WARNING if few else OK, text, way)


def _keys(stack: Stack) -> Iterator[Finding]:
    """Whether the keys can be used that messages, buckets and secrets are encrypted with."""
    for arn, what in sorted(_keys_in_use(stack)):
        key = stack.aws.client("kms").describe_key(KeyId=arn)["KeyMetadata"]
        text = f"{arn}, of {what}, is {key['KeyState']}"
        if key["KeyState"] == "Enabled":
            yield Finding("key", OK, text)
        else:
            yield Finding("key", FAILING, text, "enable it, or cancel its deletion, in KMS")


def _keys_in_use(stack: Stack) -> set[tuple[str, str]]:
    topic: str = stack.index["alertsTopicArn"]
    attributes = stack.aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    found = {(attributes.get("KmsMasterKeyId"), "the alerts")}
    s3 = stack.aws.client("s3")
    for name in {stack.index["uploadBucket"], stack.index["resultsBucket"]}:
        encryption = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]
        for rule in encryption["Rules"]:
            default = rule.get("ApplyServerSideEncryptionByDefault", {})
            found.add((default.get("KMSMasterKeyID"), f"the bucket {name}"))
    # AWS's own keys are always there.
    return {(arn, what) for arn, what in found if arn and not arn.startswith("alias/aws/")}


def _subnets(stack: Stack) -> Iterator[Finding]:
    ids: list[str] = stack.index["subnetIds"]
    ec2 = stack.aws.client("ec2")
    subnets = ec2.describe_subnets(SubnetIds=ids)["Subnets"]
    for subnet in subnets:
        free = subnet["AvailableIpAddressCount"]
        text = f"{subnet['SubnetId']} in {subnet['AvailabilityZone']}: {free} addresses free"
        few = free < _LEAST_ADDRESSES
        way = "use larger subnets: each task takes an address" if few else ""
        yield Finding("addresses", WARNING if few else OK, text, way)
    zones = {subnet["AvailabilityZone"] for subnet in subnets}
    if len(zones) < 2:
        text = f"all tasks run in {', '.join(zones)}"
        yield Finding("zones", WARNING, text, "give subnets of another zone")
    else:
        yield Finding("zones", OK, ", ".join(sorted(zones)))


def _routes(stack: Stack) -> Iterator[Finding]:
    """Whether the image's registry and the logs can be reached from each subnet."""
    ec2 = stack.aws.client("ec2")
    vpc: str = stack.index["vpcId"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    endpoints = ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [vpc]}])
    services = {one["ServiceName"].rpartition(".")[2] for one in endpoints["VpcEndpoints"]}
    for subnet in stack.index["subnetIds"]:
        table = _table_of(tables, subnet)
        ways = [
            route.get("GatewayId") or route.get("NatGatewayId") or route.get("TransitGatewayId")
            for route in table.get("Routes", [])
            if route.get("DestinationCidrBlock") == "0.0.0.0/0"
        ]
        out = next((way for way in ways if way), None)
        if out is not None:
            yield Finding("route", OK, f"{subnet} goes out by {out}")
        elif {"dkr", "api", "logs"} <= services:
            yield Finding("route", OK, f"{subnet} has endpoints for the registry and the logs")
        else:
            text = f"{subnet} has no way to the registry and the logs"
            way = "add a NAT gateway, or endpoints for ecr.api, ecr.dkr, s3 and logs"
            yield Finding("route", FAILING, text, way)


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
    for image in sorted({_task_definition(stack, job)[0] for job in stack.jobs}):
        found = _ECR.fullmatch(image)
        if found is None:
            yield Finding("image", UNKNOWN, f"{image} is not of Amazon ECR: it was not looked at")
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
            yield Finding("image", FAILING, f"{image} is not there", way)
        else:
            yield Finding("image", OK, f"{image} is there")


def _secrets(stack: Stack) -> Iterator[Finding]:
    arns = {arn for job in stack.jobs for arn in _task_definition(stack, job)[2]}
    for arn in sorted(arns):
        try:
            if ":secretsmanager:" in arn:
                # What follows the secret's name says which field and version of it.
                name = ":".join(arn.split(":")[:7])
                secret = stack.aws.client("secretsmanager").describe_secret(SecretId=name)
                gone = "DeletedDate" in secret
            else:
                parameter = arn.partition(":parameter")[2] or arn
                gone = not stack.aws.client("ssm").get_parameters(Names=[parameter])["Parameters"]
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            gone = True
        text = f"{arn} is {'gone' if gone else 'there'}"
        way = "make it again, or take it out of the job's `secrets`" if gone else ""
        yield Finding("secret", FAILING if gone else OK, text, way)


def _alerts(stack: Stack) -> Iterator[Finding]:
    topic: str = stack.index["alertsTopicArn"]
    pages = stack.aws.client("sns").get_paginator("list_subscriptions_by_topic")
    found = [one for page in pages.paginate(TopicArn=topic) for one in page["Subscriptions"]]
    for one in found:
        if one["SubscriptionArn"] == "PendingConfirmation":
            text = f"{one['Endpoint']} has not confirmed, so it gets nothing"
            yield Finding("alerts", WARNING, text, "open the link of AWS's mail to it")
    confirmed = [one for one in found if one["SubscriptionArn"] != "PendingConfirmation"]
    if confirmed:
        yield Finding("alerts", OK, f"{len(confirmed)} get messages")
    elif not found:
        status = FAILING if stack.index.get("protect") else WARNING
        yield Finding("alerts", status, "nobody gets messages of failures", "give `alerts.emails`")


def _letters(stack: Stack) -> Iterator[Finding]:
    waiting = letters.waiting(stack)
    for label, count in waiting.items():
        way = f"letters list --trigger {label}"
        yield Finding("dead letters", FAILING, f"{count} of {label}", way)
    if not waiting:
        yield Finding("dead letters", OK, "none")


def _insights(stack: Stack) -> Iterator[Finding]:
    cluster = stack.aws.client("ecs").describe_clusters(
        clusters=[stack.cluster], include=["SETTINGS"]
    )["clusters"][0]
    values = {one["name"]: one["value"] for one in cluster.get("settings", [])}
    value = values.get("containerInsights", "disabled")
    status = WARNING if value == "enhanced" else OK
    text = f"Container Insights is {value}"
    way = "containerInsights: enabled costs less: it has no metrics of single tasks"
    yield Finding("insights", status, text, way if status == WARNING else "")


def _task_definition(stack: Stack, job: str) -> tuple[str, int, list[str]]:
    """The image, the CPU units and the secrets of a job's task."""
    definition = stack.aws.client("ecs").describe_task_definition(
        taskDefinition=stack.job(job).task_definition_arn
    )["taskDefinition"]
    own = next(one for one in definition["containerDefinitions"] if one["name"] == job)
    secrets = [one["valueFrom"] for one in own.get("secrets", [])]
    return own["image"], int(definition["cpu"]), secrets


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
}
