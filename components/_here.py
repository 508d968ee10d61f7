"""Where the program deploys to: the partition, Region and account of its AWS provider."""

import asyncio
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import pulumi
import pulumi_aws as aws
from pulumi.runtime.settings import get_monitor


@dataclass(frozen=True)
class Here:
    """What the provider says of itself."""

    partition: pulumi.Output[str]
    region: pulumi.Output[str]
    account_id: pulumi.Output[str]


_asked: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[object, Here]] = WeakKeyDictionary()


def here() -> Here:
    """Ask the provider, once in a run of the program: each function call goes to it, some to AWS.

    A run has an event loop and an engine of its own.
    """
    loop, engine = asyncio.get_event_loop(), get_monitor()
    asked = _asked.get(loop)
    if asked is None or asked[0] is not engine:
        asked = (
            engine,
            Here(
                aws.get_partition_output().partition,
                aws.get_region_output().region,
                aws.get_caller_identity_output().account_id,
            ),
        )
        _asked[loop] = asked
    return asked[1]


def known_region(resource: pulumi.Resource) -> str:
    """The Region of the resource's provider, where an output will not do."""
    return aws.get_region(opts=pulumi.InvokeOptions(parent=resource)).region
