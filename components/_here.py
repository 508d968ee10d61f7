"""Where a component deploys to: the partition, Region and account of its AWS provider."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi.runtime.settings import get_monitor


class Component(pulumi.ComponentResource):
    """A component whose own provider is asked where it deploys to, while it makes its parts."""

    def __init__(
        self,
        token: str,
        name: str,
        args: Mapping[str, Any],
        opts: pulumi.ResourceOptions | None,
    ) -> None:
        super().__init__(token, name, dict(args), opts)
        _made.set(self)


@dataclass(frozen=True)
class Here:
    """What the provider says of itself."""

    partition: pulumi.Output[str]
    region: pulumi.Output[str]
    account_id: pulumi.Output[str]


_made: ContextVar[Component | None] = ContextVar("_made", default=None)
_asked: ContextVar[tuple[object, Here] | None] = ContextVar("_asked", default=None)


def here() -> Here:
    """Ask the provider, once in a run of the program: each function call goes to it, some to AWS.

    A run has an engine of its own. One of several platforms or components may have another provider
    than the one before it.
    """
    made = _made.get()
    provider = made.get_provider("aws:index/getRegion:getRegion") if made else None
    of, asked = (get_monitor(), provider), _asked.get()
    if asked is None or asked[0] != of:
        opts = pulumi.InvokeOutputOptions(parent=made)
        asked = (
            of,
            Here(
                aws.get_partition_output(opts=opts).partition,
                aws.get_region_output(opts=opts).region,
                aws.get_caller_identity_output(opts=opts).account_id,
            ),
        )
        _asked.set(asked)
    return asked[1]


def known_region(component: Component) -> str:
    """The Region of the component's provider, where an output will not do."""
    return aws.get_region(opts=pulumi.InvokeOptions(parent=component)).region
