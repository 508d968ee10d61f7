"""What a stack's configuration names that exists outside it → stand-ins in the local cloud.

A network, buckets, secrets, parameters, keys and policies: made with the ids and ARNs that the
configuration has, before the program runs.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol, cast

from local.engine.developer import SECRETS_FILE
from local.engine.project import Project
from local.ministack import identity

_RANGE = "10.255"


class _Cloud(Protocol):
    account: str
    region: str

    def client(self, service: str, /) -> Any:  # noqa: ANN401 -- each service has a type of its own
        """A boto3 client that talks to this cloud."""
        ...

    def scope(self) -> AbstractContextManager[None]:
        """This cloud's account and Region for calls from a thread."""
        ...


def make(project: Project, cloud: _Cloud, secrets: Mapping[str, str]) -> tuple[str, ...]:
    """Make a stand-in for each thing that the configuration of `project` names by id, ARN or name.

    `secrets` has values by ARN or name. Returns a line about each, without its value.
    """
    texts = list(_texts(project))
    lines: list[str] = []
    lines += _network(
        _matches(texts, r"vpc-[0-9a-f]+"),
        _matches(texts, r"subnet-[0-9a-f]+"),
        _matches(texts, r"sg-[0-9a-f]+"),
        cloud,
    )
    for arn in _matches(texts, r"arn:[a-z-]+:kms:[^:\s]+:\d{12}:key/[\w-]+"):
        identity.key(arn)
        lines.append(f"The key {arn}: nothing is encrypted with it, but its use must be allowed")
    for arn in _matches(texts, r"arn:[a-z-]+:iam::(aws|\d{12}):policy/\S+"):
        lines += _policy(arn, cloud)
    for bucket, said in _buckets(project).items():
        _bucket(bucket, said, cloud)
        tells = ", telling EventBridge of uploads" if _keeps(said) else ""
        lines.append(f"The bucket {bucket}, empty{tells}")
    secret_arns = _matches(texts, r"arn:[a-z-]+:secretsmanager:[^:\s]+:\d{12}:secret:[^\s\"]+")
    for arn, keys in _by_secret(secret_arns).items():
        lines.append(_secret(arn, keys, secrets))
    for arn in _matches(texts, r"arn:[a-z-]+:ssm:[^:\s]+:\d{12}:parameter/[^\s\"]+"):
        lines.append(_parameter(arn, secrets))
    return tuple(lines)


def account(project: Project) -> str | None:
    """The account that most of the ARNs and images of the configuration are of."""
    named = Counter(
        match[1]
        for text in _texts(project)
        if (match := re.match(r"(?:arn:[a-z-]+:[a-z0-9-]+:[^:]*:)?(\d{12})[:.]", text))
    )
    return named.most_common(1)[0][0] if named else None


def _texts(project: Project) -> Iterator[str]:
    """Every text of the program's configuration."""
    return (text for _, value in _values(project) for text in _leaves(value) if text)


def _buckets(project: Project) -> dict[str, Mapping[str, object]]:
    """What is said of each existing bucket; an upload names one of the stack's."""
    found: dict[str, Mapping[str, object]] = {}
    for name, value in _values(project):
        for part in _mappings(value) if name != "uploads" else ():
            if isinstance(bucket := part.get("bucket"), str):
                found[bucket] = part
    return found


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    match value:
        case dict():
            yield cast("dict[str, object]", value)
            for item in cast("dict[str, object]", value).values():
                yield from _mappings(item)
        case _:
            pass


def _keeps(said: Mapping[str, object]) -> bool:
    """Whether the owner of the bucket is who has turned EventBridge on."""
    return said.get("notifications") == "keep"


def _bucket(name: str, said: Mapping[str, object], cloud: _Cloud) -> None:
    s3 = cloud.client("s3")
    place = (
        {}
        if cloud.region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": cloud.region}}
    )
    s3.create_bucket(Bucket=name, **place)
    if _keeps(said):
        s3.put_bucket_notification_configuration(
            Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
    if isinstance(key := said.get("kmsKeyArn"), str):
        default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
        rule = {"ApplyServerSideEncryptionByDefault": default}
        s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]})


def _values(project: Project) -> Iterator[tuple[str, object]]:
    """What the program's configuration has under each key."""
    for name, text in project.config.items():
        if name.startswith(f"{project.name}:"):
            try:
                value: object = json.loads(text)
            except ValueError:
                value = text
            yield name.partition(":")[2], value


def _leaves(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _leaves(item)
        case list():
            for item in value:
                yield from _leaves(item)
        case _:
            pass


def _matches(texts: list[str], pattern: str) -> list[str]:
    whole = re.compile(pattern)
    return list(dict.fromkeys(text for text in texts if whole.fullmatch(text)))


def _network(vpcs: list[str], subnets: list[str], groups: list[str], cloud: _Cloud) -> list[str]:
    if not (vpcs or subnets or groups):
        return []
    ec2 = cloud.client("ec2")
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]]
    vpc_id = vpcs[0] if vpcs else "vpc-0000000000000001"
    made = ec2.create_vpc(CidrBlock=f"{_RANGE}.0.0/16")["Vpc"]["VpcId"]
    with cloud.scope():
        identity.rename_vpc(made, vpc_id)
    for number, subnet in enumerate(subnets):
        made = ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=f"{_RANGE}.{number}.0/24",
            AvailabilityZone=zones[number % len(zones)],
        )["Subnet"]["SubnetId"]
        with cloud.scope():
            identity.rename_subnet(made, subnet)
    for group in groups:
        made = ec2.create_security_group(VpcId=vpc_id, GroupName=group, Description=group)[
            "GroupId"
        ]
        with cloud.scope():
            identity.rename_security_group(made, group)
    ids = ", ".join([*vpcs, *subnets, *groups])
    return [f"The network {ids}: tasks run on this machine"]


def _policy(arn: str, cloud: _Cloud) -> list[str]:
    owner, (path, name) = arn.split(":")[4], arn.partition("policy")[2].rsplit("/", 1)
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    if owner == cloud.account:
        cloud.client("iam").create_policy(PolicyName=name, Path=f"{path}/", PolicyDocument=document)
    elif owner == "aws" and not identity.knows_policy(arn):
        identity.policy(arn, document)
    else:
        return []
    return [f"The policy {arn}: what it says is not known here, it allows everything"]


def _by_secret(arns: list[str]) -> dict[str, list[str]]:
    """Each secret's ARN with the keys that are read of its JSON: ARN:key:stage:version."""
    found: dict[str, list[str]] = {}
    for arn in arns:
        parts = arn.split(":")
        keys = found.setdefault(":".join(parts[:7]), [])
        if len(parts) > 7 and parts[7]:
            keys.append(parts[7])
    return found


def _secret(arn: str, keys: list[str], secrets: Mapping[str, str]) -> str:
    # AWS puts a hyphen and six characters after the name.
    named = arn.split(":")[6]
    name = re.sub(r"-[A-Za-z0-9]{6}$", "", named)
    value, said = _value(secrets, arn, named, name)
    if value is None:
        value = json.dumps(dict.fromkeys(keys, _PLACEHOLDER)) if keys else _PLACEHOLDER
    identity.secret(arn, name, value)
    return f"The secret {name}: {said}"


def _parameter(arn: str, secrets: Mapping[str, str]) -> str:
    name = arn.partition(":parameter")[2]
    value, said = _value(secrets, arn, name, name.lstrip("/"))
    identity.parameter(arn, name, value if value is not None else _PLACEHOLDER)
    return f"The parameter {name}: {said}"


_PLACEHOLDER = "stand-in"


def _value(secrets: Mapping[str, str], *names: str) -> tuple[str | None, str]:
    """The first of the names that has a value, and where that is from."""
    for name in names:
        if name in secrets:
            return secrets[name], f"its value is from {SECRETS_FILE}"
    return None, f"its value is '{_PLACEHOLDER}'; give it one in {SECRETS_FILE}"
