"""What every handler needs: clients, ARNs, and a place for what cannot be honoured."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from local.engine.developer import COMMANDS_FILE
from local.engine.state import Properties, Registration
from local.services.ecs.build import ImageError
from local.services.ecs.docker import EngineImage
from local.services.ecs.images import Images, UnknownImage

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_stepfunctions import SFNClient


class Clients(Protocol):
    """A cloud, as handlers see it."""

    account: str
    images: Images

    def client(self, service: str, /) -> Any:  # noqa: ANN401 -- each service has a type of its own
        """A boto3 client that talks to this cloud."""
        ...


RegisterImage = Callable[..., None]
"""Tells the cloud from which folder (a Docker build context) an image URI is made, and by which
Dockerfile, if not that of the folder."""


class Context:
    """The cloud in which one stack is created.

    `root` is the folder that paths of the program are relative to.
    """

    def __init__(
        self,
        cloud: Clients,
        root: Path,
        region: str,
        default_tags: Mapping[str, str],
        register_image: RegisterImage,
    ) -> None:
        self.root = root
        self.region = region
        self.default_tags = dict(default_tags)
        self.account = cloud.account
        self.register_image = register_image
        self._cloud = cloud
        self._lock = threading.RLock()
        self._not_honoured: dict[str, list[str]] = {}

    def _client(self, service: str) -> Any:  # noqa: ANN401 -- typed by the properties below
        # Making a boto3 client is not thread-safe, using one is.
        # https://boto3.amazonaws.com/v1/documentation/api/latest/guide/clients.html
        with self._lock:
            return self._cloud.client(service)

    @cached_property
    def cloudwatch(self) -> Any:  # noqa: ANN401 -- no stubs are installed for it
        """Amazon CloudWatch."""
        return self._client("cloudwatch")

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """Amazon DynamoDB."""
        return self._client("dynamodb")

    @cached_property
    def ec2(self) -> "EC2Client":
        """Amazon EC2."""
        return self._client("ec2")

    @cached_property
    def ecr(self) -> Any:  # noqa: ANN401 -- no stubs are installed for it
        """Amazon ECR."""
        return self._client("ecr")

    @cached_property
    def ecs(self) -> "ECSClient":
        """Amazon ECS."""
        return self._client("ecs")

    @cached_property
    def events(self) -> "EventBridgeClient":
        """Amazon EventBridge."""
        return self._client("events")

    @cached_property
    def iam(self) -> "IAMClient":
        """AWS IAM."""
        return self._client("iam")

    @cached_property
    def kms(self) -> Any:  # noqa: ANN401 -- no stubs are installed for it
        """AWS KMS."""
        return self._client("kms")

    @cached_property
    def functions(self) -> "LambdaClient":
        """AWS Lambda."""
        return self._client("lambda")

    @cached_property
    def logs(self) -> "CloudWatchLogsClient":
        """Amazon CloudWatch Logs."""
        return self._client("logs")

    @cached_property
    def s3(self) -> "S3Client":
        """Amazon S3."""
        return self._client("s3")

    @cached_property
    def scheduler(self) -> "EventBridgeSchedulerClient":
        """Amazon EventBridge Scheduler."""
        return self._client("scheduler")

    @cached_property
    def sns(self) -> "SNSClient":
        """Amazon SNS."""
        return self._client("sns")

    @cached_property
    def sqs(self) -> "SQSClient":
        """Amazon SQS."""
        return self._client("sqs")

    @cached_property
    def ssm(self) -> "SSMClient":
        """AWS Systems Manager."""
        return self._client("ssm")

    @cached_property
    def stepfunctions(self) -> "SFNClient":
        """AWS Step Functions."""
        return self._client("stepfunctions")

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and Region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def image_limits(self, uri: str, *, essential: bool = True) -> tuple[str, ...]:
        """What a container of the image lacks on this machine, a line each."""
        try:
            image = self._cloud.images.find(uri)
        except UnknownImage:
            unless = f"unless {COMMANDS_FILE} maps it to a command"
            if not essential:
                return (f"The sidecars of {uri} are left out {unless}",)
            return (f"The image {uri} is not on this machine: its tasks fail to start {unless}",)
        except ImageError as error:
            return (f"The image cannot be run, its tasks fail to start: {error}",)
        if isinstance(image, EngineImage):
            return ()
        return tuple(f"Of the Dockerfile, {note}" for note in image.notes)

    def in_engine(self, uri: str) -> bool:
        """Whether containers of the image are a container engine's, and no processes."""
        try:
            return isinstance(self._cloud.images.find(uri), EngineImage)
        except ImageError:
            return False

    def not_honoured(self, what: str, registration: Registration) -> None:
        """Note that a resource asks for something that this cloud only records, or leaves out."""
        with self._lock:
            names = self._not_honoured.setdefault(what, [])
            if registration.name not in names:
                names.append(registration.name)

    def not_honoured_lines(self) -> tuple[str, ...]:
        """One line for each thing noted, with the resources that ask for it."""
        with self._lock:
            return tuple(
                f"{what} ({_some(sorted(names))})"
                for what, names in sorted(self._not_honoured.items())
            )


def _some(names: Sequence[str], most: int = 4) -> str:
    more = len(names) - most
    return ", ".join(names) if more <= 0 else f"{', '.join(names[:most])} and {more} more"


def given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 -- parameters of any AWS call
    """Parameters without those that the program left out: boto3 refuses a None."""
    return {key: value for key, value in values.items() if value is not None}


def pairs(tags: Mapping[str, str]) -> list[Any]:
    """Tags as most services want them: `[{"Key": …, "Value": …}]`."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def lower_pairs(tags: Mapping[str, str]) -> list[Any]:
    """Tags as Amazon ECS and Step Functions want them: `[{"key": …, "value": …}]`."""
    return [{"key": key, "value": value} for key, value in tags.items()]


def document(policy: object) -> str:
    """A policy or a definition as the text that AWS takes: programs may give an object instead."""
    return policy if isinstance(policy, str) else json.dumps(policy)


def pascal(value: Any) -> Any:  # noqa: ANN401 -- JSON in, JSON out
    """`{"fooBar": …}` → `{"FooBar": …}`, all the way down.

    Only for inputs in which every key is an AWS member, never a name the user chose.
    """
    match value:
        case Mapping():
            return {
                key[0].upper() + key[1:]: pascal(item)
                for key, item in value.items()
                if item is not None
            }
        case list():
            return [pascal(item) for item in value]
        case _:
            return value


def awsvpc(configuration: Properties | None) -> dict[str, Any] | None:
    """`{subnets, securityGroups, assignPublicIp}` → `{awsvpcConfiguration: {Subnets, …}}`.

    EventBridge and the Scheduler want a word where Pulumi has a boolean.
    """
    if configuration is None:
        return None
    return {
        "awsvpcConfiguration": given(
            Subnets=configuration.get("subnets"),
            SecurityGroups=configuration.get("securityGroups"),
            AssignPublicIp="ENABLED" if configuration.get("assignPublicIp") else "DISABLED",
        )
    }


def capacity_providers(strategies: Sequence[Properties] | None) -> list[dict[str, Any]] | None:
    """A capacity provider strategy, whose members AWS spells in lower camel case everywhere."""
    if not strategies:
        return None
    return [
        given(
            capacityProvider=item.get("capacityProvider"),
            weight=item.get("weight"),
            base=item.get("base"),
        )
        for item in strategies
    ]
