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
from local.engine.project import Project, ProjectError
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


class StandIns:
    """The stand-ins in one cloud, which stay, with what has been put into them."""

    def __init__(self, cloud: _Cloud) -> None:
        self._cloud = cloud
        self._made: dict[str, str] = {}
        """What each has been made with, by its id, ARN or name."""

    def make(self, project: Project, secrets: Mapping[str, str]) -> tuple[str, ...]:
        """A stand-in for each thing that the configuration of `project` names by id, ARN or name.

        `secrets` has values by ARN or name. Returns a line about each that is new, or has another
        value than before, without that.

        Raises:
            ProjectError: they are of another account than the cloud is.
        """
        if (wanted := account(project)) not in {None, self._cloud.account}:
            raise ProjectError(
                f"What the stack names is of the account {wanted} now, and what runs has "
                f"{self._cloud.account}: stop it and start anew."
            )
        texts = list(_texts(project))
        lines = self._network(
            _matches(texts, r"vpc-[0-9a-f]+"),
            _matches(texts, r"subnet-[0-9a-f]+"),
            _matches(texts, r"sg-[0-9a-f]+"),
        )
        for arn in self._new(_matches(texts, r"arn:[a-z-]+:kms:[^:\s]+:\d{12}:key/[\w-]+")):
            identity.key(arn)
            lines.append(
                f"The key {arn}: nothing is encrypted with it, but its use must be allowed"
            )
        for arn in self._new(_matches(texts, r"arn:[a-z-]+:iam::(aws|\d{12}):policy/\S+")):
            lines += _policy(arn, self._cloud)
        for bucket, said in _buckets(project).items():
            lines += self._bucket(bucket, said)
        secret_arns = _matches(texts, r"arn:[a-z-]+:secretsmanager:[^:\s]+:\d{12}:secret:[^\s\"]+")
        for arn, keys in _by_secret(secret_arns).items():
            lines += self._secret(arn, keys, secrets)
        for arn in _matches(texts, r"arn:[a-z-]+:ssm:[^:\s]+:\d{12}:parameter/[^\s\"]+"):
            lines += self._parameter(arn, secrets)
        return tuple(lines)

    def _changed(self, name: str, made_with: str) -> bool:
        """Whether it is to be made, or made anew; from now on it is."""
        before = self._made.get(name)
        self._made[name] = made_with
        return before != made_with

    def _new(self, names: list[str]) -> list[str]:
        return [name for name in names if self._changed(name, "")]

    def _network(self, vpcs: list[str], subnets: list[str], groups: list[str]) -> list[str]:
        if not (vpcs or subnets or groups):
            return []
        ec2, cloud = self._cloud.client("ec2"), self._cloud
        found = ec2.describe_availability_zones()["AvailabilityZones"]
        zones = [zone["ZoneName"] for zone in found]
        vpc_id = vpcs[0] if vpcs else "vpc-0000000000000001"
        new = self._new([vpc_id])
        if new:
            made = ec2.create_vpc(CidrBlock=f"{_RANGE}.0.0/16")["Vpc"]["VpcId"]
            with cloud.scope():
                identity.rename_vpc(made, vpc_id)
        number = sum(name.startswith("subnet-") for name in self._made)
        for subnet in self._new(subnets):
            new.append(subnet)
            made = ec2.create_subnet(
                VpcId=vpc_id,
                CidrBlock=f"{_RANGE}.{number}.0/24",
                AvailabilityZone=zones[number % len(zones)],
            )["Subnet"]["SubnetId"]
            number += 1
            with cloud.scope():
                identity.rename_subnet(made, subnet)
        for group in self._new(groups):
            new.append(group)
            made = ec2.create_security_group(VpcId=vpc_id, GroupName=group, Description=group)[
                "GroupId"
            ]
            with cloud.scope():
                identity.rename_security_group(made, group)
        ids = ", ".join(name for name in new if name in {*vpcs, *subnets, *groups})
        return [f"The network {ids}: tasks run on this machine"] if ids else []

    def _bucket(self, name: str, said: Mapping[str, object]) -> list[str]:
        keeps, key = said.get("notifications") == "keep", said.get("kmsKeyArn")
        is_new = name not in self._made
        if not self._changed(name, json.dumps([keeps, key])):
            return []
        s3, region = self._cloud.client("s3"), self._cloud.region
        if is_new and name not in {one["Name"] for one in s3.list_buckets()["Buckets"]}:
            place = (
                {}
                if region == "us-east-1"
                else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            s3.create_bucket(Bucket=name, **place)
        if keeps:
            # The owner of the bucket is who has turned EventBridge on.
            s3.put_bucket_notification_configuration(
                Bucket=name, NotificationConfiguration={"EventBridgeConfiguration": {}}
            )
        if not is_new or isinstance(key, str):
            default = {"SSEAlgorithm": "AES256"}
            if isinstance(key, str):
                default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
            rule = {"ApplyServerSideEncryptionByDefault": default}
            s3.put_bucket_encryption(
                Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]}
            )
        tells = ", telling EventBridge of uploads" if keeps else ""
        return [f"The bucket {name}, empty{tells}"] if is_new else []

    def _secret(self, arn: str, keys: list[str], secrets: Mapping[str, str]) -> list[str]:
        # AWS puts a hyphen and six characters after the name.
        named = arn.split(":")[6]
        name = re.sub(r"-[A-Za-z0-9]{6}$", "", named)
        value, said = _value(secrets, arn, named, name)
        if value is None:
            value = json.dumps(dict.fromkeys(keys, _PLACEHOLDER)) if keys else _PLACEHOLDER
        if not self._changed(arn, value):
            return []
        identity.secret(arn, name, value)
        return [f"The secret {name}: {said}"]

    def _parameter(self, arn: str, secrets: Mapping[str, str]) -> list[str]:
        name = arn.partition(":parameter")[2]
        value, said = _value(secrets, arn, name, name.lstrip("/"))
        if value is None:
            value = _PLACEHOLDER
        if not self._changed(arn, value):
            return []
        identity.parameter(arn, name, value)
        return [f"The parameter {name}: {said}"]


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


_PLACEHOLDER = "stand-in"


def _value(secrets: Mapping[str, str], *names: str) -> tuple[str | None, str]:
    """The first of the names that has a value, and where that is from."""
    for name in names:
        if name in secrets:
            return secrets[name], f"its value is from {SECRETS_FILE}"
    return None, f"its value is '{_PLACEHOLDER}'; give it one in {SECRETS_FILE}"
