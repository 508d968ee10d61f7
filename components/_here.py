"""Where a component deploys to, and what is deployed there of it."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_monitor, monitor_supports_feature

from ._documents import of_known


class Component(pulumi.ComponentResource):
    """A component whose own provider is asked where it deploys to, while it makes its parts.

    The engine is not given its arguments as inputs: it would write them twice into each snapshot of
    the stack, and make no part of it before all that any argument comes from.
    With `looks_back` it knows the parts that it has, see `was`.
    """

    def __init__(
        self,
        token: str,
        name: str,
        opts: pulumi.ResourceOptions | None,
        *,
        looks_back: bool = False,
    ) -> None:
        self._parts: Sequence[Mapping[str, Any]] = ()
        self._looks_back = looks_back and migrates_states()
        if self._looks_back:
            look = pulumi.ResourceOptions(state_migrations=[self._look])
            opts = pulumi.ResourceOptions.merge(opts, look)
        super().__init__(token, name, None, opts)
        _made.set(self)

    def _look(self, args: pulumi.StateMigrationArgs) -> None:
        """Migrate nothing: the engine shows its state before it answers with the URN."""
        self._parts = args.old_state

    def was(self, kind: str, name: str) -> pulumi.Output[Mapping[str, Any] | None] | None:
        """The state of one of its parts as the last update left it, None if there was none.

        None at once where nobody can tell, as Pulumi's mocks cannot.
        """
        if not self._looks_back:
            return None

        async def found() -> Mapping[str, Any] | None:
            # An output of the component's would depend on it, and so on all that is in it.
            await self.urn.future()
            there = (one for one in self._parts if one["type"] == kind and not one.get("delete"))
            return next((one for one in there if one["urn"].rpartition("::")[2] == name), None)

        return pulumi.Output.from_input(found())


def migrates_states() -> bool:
    """Whether the engine shows a component's state to those who may change it."""
    return monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS)


@dataclass(frozen=True)
class Here:
    """What the provider says of itself."""

    partition: pulumi.Output[str]
    region: pulumi.Output[str]
    account_id: pulumi.Output[str]
    all: pulumi.Output[Sequence[str]]
    """These three, in this order."""


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
        said = (
            aws.get_partition_output(opts=opts).partition,
            aws.get_region_output(opts=opts).region,
            aws.get_caller_identity_output(opts=opts).account_id,
        )
        asked = (of, Here(*said, of_known(said, list)))
        _asked.set(asked)
    return asked[1]


def known_region(component: Component) -> str:
    """The Region of the component's provider, where an output will not do."""
    return aws.get_region(opts=pulumi.InvokeOptions(parent=component)).region
