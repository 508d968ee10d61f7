"""The resource functions behind the real Pulumi engine: plugins `aws`, `docker-build` and `awsx`.

The engine starts `python -m local.engine.provider PACKAGE ENGINE_ADDRESS`, reads the port from its
standard output and calls it by gRPC. FARGATE_BATCH_ENDPOINT is the URL of the cloud that the
resources are made in, FARGATE_BATCH_IMAGES a file that is told of each image that is pushed.
https://pulumi-developer-docs.readthedocs.io/latest/developer-docs/providers/implementers-guide.html
"""

import contextlib
import importlib.metadata
import json
import os
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent import futures
from functools import cache
from pathlib import Path
from typing import Any, cast

import boto3
import grpc
import pulumi
from botocore.config import Config
from google.protobuf import empty_pb2, struct_pb2
from pulumi.provider.provider import ConstructResult, Provider
from pulumi.provider.server import main as serve_components
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from local.engine.resources import COMPONENTS, CloudProvider
from local.engine.resources.context import Context
from local.engine.state import Child, Make, Properties, Registration, State
from local.engine.wire import plain, struct, unwrapped
from local.services.ecs.images import Images

ENDPOINT = "FARGATE_BATCH_ENDPOINT"
IMAGES = "FARGATE_BATCH_IMAGES"
PACKAGES = ("aws", "awsx", "docker-build")
ACCOUNT = "111122223333"


class _Cloud:
    """A cloud in another process."""

    account = ACCOUNT

    def __init__(self, region: str) -> None:
        self.images = Images()
        self._session = boto3.Session("test", "test", region_name=region)
        self._endpoint = os.environ[ENDPOINT]
        self._making = threading.Lock()

    def client(self, service: str, /) -> Any:  # noqa: ANN401 -- each service has a type of its own
        session: Any = self._session
        config = Config(proxies={}, s3={"addressing_style": "path"}, max_pool_connections=32)
        # Clients may be used by many threads, but made by one at a time.
        with self._making:
            return session.client(service, endpoint_url=self._endpoint, config=config)


def _register_image(uri: str, folder: Path) -> None:
    with Path(os.environ[IMAGES]).open("a", encoding="utf-8") as file:
        file.write(json.dumps([uri, str(folder)]) + "\n")


def _provider(region: str, default_tags: Mapping[str, str]) -> CloudProvider:
    # The engine starts a plugin in the project's folder.
    context = Context(_Cloud(region), Path.cwd(), region, default_tags, _register_image)
    return CloudProvider(context)


class _Resources(provider_pb2_grpc.ResourceProviderServicer):
    """Custom resources, each handed to the functions of its type."""

    def __init__(self, package: str) -> None:
        self._version = _version(package)
        self._provider: CloudProvider | None = None

    @property
    def provider(self) -> CloudProvider:
        assert self._provider is not None, "the engine configures a provider first"  # noqa: S101
        return self._provider

    def GetPluginInfo(  # noqa: N802 -- gRPC's name
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        del request, context
        return plugin_pb2.PluginInfo(version=self._version)

    def GetSchema(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.GetSchemaRequest, context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        del request, context
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        del context
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        del context
        old, new = _plain(request.old_inputs), _plain(request.news)
        replaces = ["region"] if old.get("region") != new.get("region") else []
        return _diff_response([key for key in new if old.get(key) != new[key]], replaces)

    def Configure(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        del context
        args = _plain(request.args)
        tags: Any = args.get("defaultTags") or "{}"
        tags = json.loads(tags) if isinstance(tags, str) else tags
        region = args.get("region") or os.environ.get("AWS_REGION", "us-east-1")
        self._provider = _provider(region, tags.get("tags") or {})
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        news = _plain(request.news)
        registration = Registration(_type(request), _name(request), request.urn, news)
        before = _plain(request.olds) if request.olds.fields else None
        seed = request.randomSeed.hex() or request.urn
        with _refusing(context):
            checked = self.provider.check(registration, before, seed)
        inputs = struct_pb2.Struct()
        inputs.CopyFrom(request.news)
        inputs.update({key: checked[key] for key in checked if checked[key] != news.get(key)})
        return provider_pb2.CheckResponse(inputs=inputs)

    def Diff(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        before = _state(request, request.old_inputs, request.olds)
        with _refusing(context):
            found = self.provider.diff(before, _plain(request.news))
        changed = found.changed - set(request.ignoreChanges)
        return _diff_response(sorted(changed), sorted(changed & found.replaces), found.delete_first)

    def Create(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        if request.preview:
            # What only AWS can say is left out, and so not known.
            return provider_pb2.CreateResponse(properties=request.properties)
        inputs = _plain(request.properties)
        registration = Registration(_type(request), _name(request), request.urn, inputs)
        with _refusing(context):
            created = self.provider.create(registration)
        properties = _with_outputs(request.properties, created.outputs)
        return provider_pb2.CreateResponse(id=created.id, properties=properties)

    def Read(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.ReadRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        if not request.properties.fields:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{request.urn} cannot be imported here")
        state = _state(request, request.inputs, request.properties)
        with _refusing(context):
            if not self.provider.exists(state):
                return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    def Update(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        before = _state(request, request.old_inputs, request.olds)
        outputs = before.outputs
        if not request.preview:
            registration = Registration(before.type, before.name, request.urn, _plain(request.news))
            with _refusing(context):
                outputs = self.provider.update(registration, before)
        known = {key: outputs[key] for key in outputs if key not in before.inputs}
        return provider_pb2.UpdateResponse(properties=_with_outputs(request.news, known))

    def Delete(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.DeleteRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        state = _state(request, request.old_inputs, request.properties, request.timeout)
        with _refusing(context):
            self.provider.delete(state)
        return empty_pb2.Empty()

    def Invoke(  # noqa: N802 -- gRPC's name
        self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        with _refusing(context):
            answer = self.provider.invoke(request.tok, _plain(request.args))
        return provider_pb2.InvokeResponse(**cast("Any", {"return": struct(answer)}))

    def Cancel(  # noqa: N802 -- gRPC's name
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        del request, context
        return empty_pb2.Empty()


@contextlib.contextmanager
def _refusing(context: grpc.ServicerContext) -> Generator[None]:
    """Tell the engine of an error in a line, instead of where in this file it was raised."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- whatever it is, the engine shows it
        reason = " ".join(str(error).split()) or type(error).__name__
        context.abort(grpc.StatusCode.UNKNOWN, reason)


def _type(request: Any) -> str:  # noqa: ANN401 -- several requests
    return request.type or request.urn.split("::")[2].rpartition("$")[2]


def _name(request: Any) -> str:  # noqa: ANN401 -- several requests
    return request.name or request.urn.split("::", 3)[3]


def _state(
    request: Any,  # noqa: ANN401 -- several requests
    inputs: struct_pb2.Struct,
    outputs: struct_pb2.Struct,
    seconds: float = 0,
) -> State:
    # The outputs have the inputs among them: they stand for inputs that are not sent.
    given = _plain(inputs) if inputs.fields else _plain(outputs)
    return State(
        _type(request),
        _name(request),
        request.urn,
        request.id,
        given,
        _plain(outputs),
        delete_seconds=seconds,
    )


def _diff_response(
    changed: Sequence[str],
    replaces: Sequence[str],
    delete_first: bool = False,  # noqa: FBT001, FBT002
) -> provider_pb2.DiffResponse:
    kinds = provider_pb2.DiffResponse
    return provider_pb2.DiffResponse(
        changes=kinds.DIFF_SOME if changed else kinds.DIFF_NONE,
        diffs=changed,
        replaces=replaces,
        deleteBeforeReplace=delete_first,
    )


def _plain(properties: struct_pb2.Struct) -> Properties:
    """What is not known is the text that the engine writes for it."""
    with_contents = struct_pb2.Struct()
    for key, value in properties.fields.items():
        # The state has no more of an archive than its hash, which the SDK does not read.
        if not ("hash" in value.struct_value.fields and _CONTENTS.isdisjoint(value.struct_value)):
            with_contents.fields[key].CopyFrom(value)
    return plain(with_contents, keep_unknowns=True)


_CONTENTS = frozenset({"assets", "path", "text", "uri"})


def _with_outputs(inputs: struct_pb2.Struct, outputs: Properties) -> struct_pb2.Struct:
    """The inputs as they came and the outputs: together they are a resource's properties."""
    struct = struct_pb2.Struct()
    struct.CopyFrom(inputs)
    struct.update(_jsonable(outputs))
    return struct


def _jsonable(outputs: Properties) -> Properties:
    assets = (pulumi.Asset, pulumi.Archive)
    return {
        key: value
        for key, value in outputs.items()
        if value is not None and not isinstance(value, assets)
    }


class _Component(pulumi.ComponentResource):
    """A remote component, as one of this process."""


class _Promised(Child):
    """A resource inside a component, whose outputs the engine will tell."""

    def __init__(self, resource: pulumi.CustomResource) -> None:
        self.resource = resource

    def __getitem__(self, output: str, /) -> Any:  # noqa: ANN401 -- an Output
        return self.resource.id if output == "id" else self.resource.__dict__[output]


class _Making(Make):
    """Declares the resources inside one component, each after those before it."""

    def __init__(self, parent: _Component) -> None:
        self._parent = parent
        self._made: list[pulumi.Resource] = []

    def __call__(
        self, kind: str, name: str, inputs: Properties, /, outputs: Sequence[str] = ()
    ) -> _Promised:
        options = pulumi.ResourceOptions(
            parent=self._parent,
            depends_on=list(self._made),
            version=_version(kind.partition(":")[0]),
        )
        asked: dict[str, Any] = dict.fromkeys(outputs)
        made = pulumi.CustomResource(kind, name, {**asked, **inputs}, options)
        self._made.append(made)
        return _Promised(made)

    def join(self, *parts: Any) -> pulumi.Output[str]:  # noqa: ANN401 -- texts and promises
        return pulumi.Output.concat(*parts)


class _Components(Provider):
    """The components of `awsx`."""

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: Mapping[str, pulumi.Input[Any]],
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        component = _Component(resource_type, name, {}, options)
        region = pulumi.Config("aws").get("region") or "us-east-1"
        registration = Registration(resource_type, name, "", unwrapped(dict(inputs)))
        context = _provider(region, {}).context
        made = COMPONENTS[resource_type](context, registration, _Making(component))
        outputs = {k: v.resource if isinstance(v, _Promised) else v for k, v in made.items()}
        component.register_outputs(outputs)
        return ConstructResult(component.urn, outputs)


@cache
def _version(package: str) -> str:
    """The version of the SDK that declares a package's resources."""
    return importlib.metadata.version(f"pulumi-{package}")


def _serve_resources(package: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(32), options=_UNBOUNDED)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Resources(package), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


# A state of many resources is longer than gRPC's 4 MB.
_UNBOUNDED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def main(package: str, arguments: list[str]) -> None:
    """Serve a package until the engine ends this process."""
    if package == "awsx":
        sys.argv[1:] = arguments
        serve_components(_Components(_version("awsx")), arguments)
    else:
        _serve_resources(package)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
