"""What every monitor of a Pulumi program shares: the values it is sent, and those it answers."""

from collections.abc import Callable, Mapping
from typing import Any, cast

import pulumi
from google.protobuf import struct_pb2
from pulumi.runtime import Mocks, rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs
from pulumi.runtime.proto import resource_pb2

Properties = dict[str, Any]

# https://pulumi-developer-docs.readthedocs.io/latest/developer-docs/providers/implementers-guide.html
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"


class NoMocks(Mocks):
    """What Pulumi asks for beside a monitor, and the monitors here never call."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """Refuse: a monitor makes the resources."""
        raise NotImplementedError

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Refuse: a monitor answers the functions."""
        raise NotImplementedError


class Monitor(MockMonitor):
    """Stands where Pulumi's engine does, and is called from several threads.

    The base class would start, and leave open, an event loop in each of them.
    """

    def __init__(self) -> None:
        super().__init__(NoMocks())
        self._children: dict[str, Properties] = {}

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer a function that the program calls."""
        raise NotImplementedError

    def keep(self, urn: str, id_: str, state: Properties) -> None:
        """Keep a child of a remote component: the program asks for it by its URN."""
        self._children[urn] = {"urn": urn, "id": id_, "state": state}

    def Invoke(  # noqa: N802 -- gRPC's name
        self, request: resource_pb2.ResourceInvokeRequest
    ) -> resource_pb2.ResourceInvokeResponse:
        """Answer with a child, or with what `invoke` does."""
        arguments = plain(request.args)
        if request.tok == "pulumi:pulumi:getResource":
            answer = self._children[arguments["urn"]]
        else:
            answer = self.invoke(request.tok, arguments)
        return resource_pb2.ResourceInvokeResponse(**cast("Any", {"return": struct(answer)}))


def reference(urn: str, id_: str) -> Properties:
    """A resource as Pulumi hands it out among outputs."""
    return {_SIGNATURE: _RESOURCE, "urn": urn, "id": id_}


def _same(value: object) -> object:
    return value


def plain(
    properties: struct_pb2.Struct,
    leaf: Callable[[object], object] = _same,
    *,
    keep_unknowns: bool = False,
) -> Properties:
    """Properties without Pulumi's wrappers: a secret is its value, and 512.0 is 512.

    What is unknown is left out, or kept as `rpc.UNKNOWN`. `leaf` says what becomes of a text or an
    asset.
    """
    return unwrapped(rpc.deserialize_properties(properties, keep_unknowns=keep_unknowns), leaf)


def unwrapped(value: object, leaf: Callable[[object], object] = _same) -> Any:  # noqa: ANN401 -- JSON
    """A value of Pulumi's as `plain` has it."""
    value = rpc.unwrap_rpc_secret(value)
    match value:
        case float() if value.is_integer():
            return int(value)
        case dict():
            return {key: unwrapped(item, leaf) for key, item in value.items()}
        case list():
            return [unwrapped(item, leaf) for item in value]
        case pulumi.output.Unknown():
            return rpc.UNKNOWN
        case _:
            return leaf(value)


def struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Properties as a program is answered; what is None is left out."""
    answer = struct_pb2.Struct()
    answer.update({key: value for key, value in properties.items() if value is not None})
    return answer
