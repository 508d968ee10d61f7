"""AWS as an operator reaches it: boto3's own chain of credentials, or a cloud at an endpoint."""

import os
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from .errors import OperateError

# Reads are repeated when they are throttled, within what the API allows a second.
_RETRIES = {"mode": "adaptive", "total_max_attempts": 8}
_FEW_RETRIES = {"mode": "standard", "total_max_attempts": 2}


class Aws:
    """Clients of one account and Region, made once each; any thread may ask for one.

    `made` is told of each.
    """

    def __init__(
        self,
        session: boto3.Session,
        endpoint_url: str | None = None,
        made: Callable[[Any], None] = lambda _client: None,
    ) -> None:
        self._session = session
        self._made = made
        self.endpoint_url = endpoint_url
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        if not session.region_name:
            raise OperateError("no Region: give --region, or set AWS_REGION")
        self.region: str = session.region_name

    def client(self, service: str) -> Any:  # noqa: ANN401 -- each service has a type of its own
        """The boto3 client of a service."""
        with self._lock:
            if service not in self._clients:
                make: Any = self._session.client
                client = make(
                    service,
                    endpoint_url=self.endpoint_url,
                    config=Config(
                        retries=_FEW_RETRIES if self.endpoint_url else _RETRIES,  # pyright: ignore[reportArgumentType] -- a plain dict
                        # A proxy of the environment is no way to an endpoint of one's own.
                        proxies={} if self.endpoint_url else None,
                        max_pool_connections=32,
                        # An endpoint of one's own has no name for each bucket.
                        s3={"addressing_style": "path"} if self.endpoint_url else None,
                    ),
                )
                self._made(client)
                self._clients[service] = client
            return self._clients[service]

    def caller(self) -> str:
        """Who asks: the last part of the caller's ARN, which for a session is its name."""
        arn: str = self.client("sts").get_caller_identity()["Arn"]
        return arn.rpartition("/")[2].rpartition(":")[2]


def connect(
    *, profile: str | None = None, region: str | None = None, endpoint_url: str | None = None
) -> Aws:
    """AWS by boto3's chain of credentials.

    Raises:
        OperateError: there is no such profile, or no Region, or the endpoint is no address.
    """
    core = botocore.session.Session(profile=profile)
    # botocore knows AWS_DEFAULT_REGION alone, AWS's other tools this too:
    # https://docs.aws.amazon.com/sdkref/latest/guide/feature-region.html
    region = region or os.environ.get("AWS_REGION")
    if endpoint_url is not None and urlsplit(endpoint_url).scheme not in {"http", "https"}:
        raise OperateError(f"{endpoint_url} is no address: http://127.0.0.1:4566")
    return Aws(boto3.Session(botocore_session=core, region_name=region), endpoint_url)


def code_of(error: ClientError) -> str:
    """The error's code: `ExecutionDoesNotExist`."""
    return error.response.get("Error", {}).get("Code", "")
