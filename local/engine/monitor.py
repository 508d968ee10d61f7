"""The Pulumi program → its resources, created one by one by a `Provider` → the stack's outputs.

This is what `pulumi up` does with the program, without the Pulumi command line and its state.
"""

import asyncio
import contextlib
import contextvars
import gc
import hashlib
import json
import logging
import runpy
import sys
import threading
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, Protocol, cast

import pulumi
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime import Mocks, get_root_resource, resource, rpc, set_mocks
from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

from local.engine.project import Project

Properties = dict[str, Any]
"""Inputs or outputs of a resource, with the provider's own (camelCase) keys, as JSON has them."""


class EvaluationError(Exception):
    """One or more one-line messages: what the program or the cloud refused, and where."""


@dataclass(frozen=True)
class Registration:
    """A resource as the program declared it. A component of the program's own is never one."""

    type: str
    name: str
    urn: str
    inputs: Properties


@dataclass(frozen=True)
class Child:
    """A resource inside a remote component, handed out by it as an output."""

    type: str
    name: str
    id: str
    outputs: Properties


@dataclass(frozen=True)
class Created:
    """A resource as the cloud made it: its id, and the outputs that are not among its inputs.

    An output may be a `Child`.
    """

    id: str
    outputs: Properties


@dataclass(frozen=True)
class Resource:
    """An entry of the stack. A component has no id."""

    type: str
    name: str
    urn: str
    id: str


@dataclass(frozen=True)
class Evaluation:
    """What came of a program: its outputs as JSON has them, and its resources as registered."""

    outputs: Properties
    resources: tuple[Resource, ...]
    not_honoured: tuple[str, ...] = ()


class Provider(Protocol):
    """What makes the resources. Called from several threads at once."""

    def create(self, registration: Registration) -> Created:
        """Make one resource; any exception ends the evaluation and is reported with the URN."""
        ...

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer a function call, like `aws:index/getRegion:getRegion`."""
        ...


def evaluate(project: Project, provider: Provider) -> Evaluation:
    """Run the project's program and have each resource it declares made by `provider`.

    Raises:
        EvaluationError: the program refused its configuration or failed, or a resource could not
            be made.
    """
    # Pulumi keeps its settings in context variables: an empty context is a fresh Pulumi.
    with _no_garbage_collection():
        return contextvars.Context().run(asyncio.run, _evaluate(project, provider))


def evaluate_dry(project: Project) -> Evaluation:
    """Run the project's program with made-up ids in place of a cloud, to see what it declares."""
    return evaluate(project, DryProvider(project))


MADE_UP_ACCOUNT = "123456789012"


class DryProvider:
    """Makes up ids, ARNs and names, and creates nothing."""

    def __init__(self, project: Project) -> None:
        self._region = project.region

    def create(self, registration: Registration) -> Created:
        """Answer with the identifiers that most AWS resources have."""
        name = autoname(registration)
        service = registration.type.split(":")[1].split("/")[0]
        arn = f"arn:aws:{service}:{self._region}:{MADE_UP_ACCOUNT}:{name}"
        outputs: Properties = {
            "arn": arn,
            "arnWithoutRevision": arn,
            "name": registration.inputs.get("name", name),
            "bucket": registration.inputs.get("bucket", name),
            "url": f"https://{service}.{self._region}.amazonaws.com/{name}",
        }
        match registration.type:
            case "awsx:ec2:Vpc":
                ids = [f"{name}-{n}" for n in (1, 2)]
                kinds = ("public", "private", "isolated")
                outputs = {"vpcId": name, **{f"{kind}SubnetIds": ids for kind in kinds}}
            case "awsx:ecr:Repository":
                outputs["repository"] = Child(
                    "aws:ecr/repository:Repository", registration.name, name, {"arn": arn}
                )
            case "awsx:ecr:Image":
                digest = hashlib.sha256(name.encode()).hexdigest()
                outputs["imageUri"] = f"{name}@sha256:{digest}"
            case _:
                pass
        return Created(name, outputs)

    def invoke(self, token: str, arguments: Properties) -> Properties:  # noqa: ARG002 -- as Provider has it
        """Answer the calls that say where the program runs."""
        return who_and_where(token, MADE_UP_ACCOUNT, self._region)


def who_and_where(token: str, account: str, region: str) -> Properties:
    """Answer the functions by which a program asks for its account, Region and partition.

    Raises:
        EvaluationError: the function is another one.
    """
    match token:
        case "aws:index/getCallerIdentity:getCallerIdentity":
            arn = f"arn:aws:iam::{account}:root"
            return {"accountId": account, "arn": arn, "userId": account, "id": account}
        case "aws:index/getRegion:getRegion":
            endpoint = f"ec2.{region}.amazonaws.com"
            return {
                "name": region,
                "region": region,
                "id": region,
                "description": region,
                "endpoint": endpoint,
            }
        case "aws:index/getPartition:getPartition":
            suffix = {"dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}
            return {"partition": "aws", "id": "aws", **suffix}
        case _:
            raise EvaluationError(
                f"The program calls {token}, which the local engine does not answer:"
                " add it to who_and_where in local/engine/monitor.py."
            )


def autoname(registration: Registration) -> str:
    """`<logical name>-<7 hex digits>`, as Pulumi names; the same URN has the same name."""
    return f"{registration.name}-{hashlib.sha256(registration.urn.encode()).hexdigest()[:7]}"


class _Monitor(MockMonitor):
    """Stands where Pulumi's engine does: hears of each resource, and answers with its outputs.

    The base class would start, and leave open, an event loop in each thread it is called from.
    """

    def __init__(self, provider: Provider) -> None:
        super().__init__(_NoMocks())
        self._provider = provider
        self._lock = threading.Lock()
        self._registered: dict[str, Resource] = {}
        self._order: list[str] = []
        self._children: dict[str, Properties] = {}

    @property
    def registered(self) -> tuple[Resource, ...]:
        return tuple(self._registered[urn] for urn in self._order if urn in self._registered)

    def RegisterResource(  # noqa: N802 -- gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        with self._lock:
            if urn in self._order:
                raise EvaluationError(f"{urn}: two resources have this name: rename one.")
            self._order.append(urn)
        if request.custom or request.remote:
            registration = Registration(request.type, request.name, urn, _plain(request.object))
            created = self._create(registration)
        else:
            created = Created("", {})
        with self._lock:
            self._registered[urn] = Resource(request.type, request.name, urn, created.id)
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id=created.id, object=_struct(self._referring(urn, created.outputs))
        )

    def _referring(self, urn: str, outputs: Properties) -> Properties:
        """Outputs with each child as Pulumi refers to a resource: by URN, to be asked for later."""
        referring = dict(outputs)
        for key, child in outputs.items():
            if isinstance(child, Child):
                child_urn = self.make_urn(urn, child.type, child.name)
                identity = {"urn": child_urn, "id": child.id}
                self._children[child_urn] = identity | {"state": child.outputs}
                referring[key] = identity | {_SIGNATURE: _RESOURCE}
        return referring

    def _create(self, registration: Registration) -> Created:
        try:
            return self._provider.create(registration)
        except EvaluationError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise EvaluationError(f"{registration.urn}: {reason}") from error

    def ReadResource(  # noqa: N802 -- gRPC's name
        self, request: resource_pb2.ReadResourceRequest
    ) -> resource_pb2.ReadResourceResponse:
        raise EvaluationError(
            f"The program reads {request.type} {request.id!r}, which is not in the local cloud:"
            " let it create what it needs."
        )

    def Invoke(  # noqa: N802 -- gRPC's name
        self, request: resource_pb2.ResourceInvokeRequest
    ) -> resource_pb2.ResourceInvokeResponse:
        arguments = _plain(request.args)
        if request.tok == "pulumi:pulumi:getResource":
            answer = self._children[arguments["urn"]]
        else:
            answer = self._provider.invoke(request.tok, arguments)
        return resource_pb2.ResourceInvokeResponse(**cast("Any", {"return": _struct(answer)}))

    def RegisterResourceOutputs(  # noqa: N802 -- gRPC's name
        self,
        request: resource_pb2.RegisterResourceOutputsRequest,  # noqa: ARG002 -- the base class's signature
    ) -> empty_pb2.Empty:
        return empty_pb2.Empty()


# https://pulumi-developer-docs.readthedocs.io/latest/developer-docs/providers/implementers-guide.html
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_RESOURCE = "5cf8f73096256a8f31e491e813e4eb8e"


class _NoMocks(Mocks):
    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        raise NotImplementedError

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise NotImplementedError


def _plain(properties: struct_pb2.Struct) -> Properties:
    """Inputs without Pulumi's wrappers: a secret is its value, and 512.0 is 512."""

    def plain(value: object) -> Any:  # noqa: ANN401 -- JSON
        value = rpc.unwrap_rpc_secret(value)
        match value:
            case float() if value.is_integer():
                return int(value)
            case dict():
                return {key: plain(item) for key, item in value.items()}
            case list():
                return [plain(item) for item in value]
            case _:
                return value

    return plain(rpc.deserialize_properties(properties))


def _struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update({key: value for key, value in properties.items() if value is not None})
    return struct


async def _evaluate(project: Project, provider: Provider) -> Evaluation:
    # A resource that failed fails all that wait for it; the first of them is told, once, below.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    # One that failed leaves outputs behind, whose event loop is closed.
    _outputs().clear()
    monitor = _Monitor(provider)
    set_all_config(project.config)
    logger = logging.getLogger("pulumi.program")
    set_mocks(
        _NoMocks(), project.name, project.stack, preview=False, logger=logger, monitor=monitor
    )
    try:
        with _no_source_positions():
            await run_pulumi_func(lambda: _run_and_settle(project.root))
        outputs = await _stack_outputs()
    except EvaluationError:
        raise
    except (Exception, SystemExit) as error:
        raise _explained(error, project.root) from error
    return Evaluation(outputs, monitor.registered)


@contextlib.contextmanager
def _no_garbage_collection() -> Generator[None]:
    """Let what an evaluation makes live until its end, as most of it does.

    The SDKs are so large that each search through them takes longer than the program.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _no_source_positions() -> Generator[None]:
    """Have the SDK read no stack for each resource: only the real engine's messages show it."""
    name = "_get_stack_trace"
    read = getattr(resource, name)
    setattr(resource, name, source_pb2.StackTrace)
    try:
        yield
    finally:
        setattr(resource, name, read)


def _run(root: Path) -> None:
    path = list(sys.path)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        runpy.run_path(str(root / "__main__.py"), run_name="__main__")
    finally:
        sys.path[:] = path


async def _run_and_settle(root: Path) -> None:
    """Run the program and wait until its outputs have values, or one has failed.

    Pulumi would wait until any one has, then again, which takes the square of their number.
    """
    _run(root)
    while pending := [output for output in _outputs() if not output.done()]:
        done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
        if any(output.cancelled() or output.exception() for output in done):
            return


def _outputs() -> set[asyncio.Future[object]]:
    """The outputs Pulumi has yet to wait for: one set for all evaluations of a process."""
    outputs: set[asyncio.Future[object]] = SETTINGS.outputs  # pyright: ignore[reportAttributeAccessIssue] -- its decorator hides that it is a property
    return outputs


async def _stack_outputs() -> Properties:
    root = get_root_resource()
    declared: object = getattr(root, "outputs", {})
    values = await pulumi.Output.from_input(declared).future()

    def refuse(value: object) -> Any:  # noqa: ANN401 -- json's signature
        raise EvaluationError(
            f"The program exports a {type(value).__name__}: export its id, ARN or name instead."
        )

    return json.loads(json.dumps(values, default=refuse))


def _explained(error: BaseException, root: Path) -> EvaluationError:
    """The error in a line: the program's own refusals as they are, any other with its place."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, EvaluationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    module = sys.modules.get(type(error).__module__)
    if isinstance(error, pulumi.RunError) or _is_in(root, getattr(module, "__file__", None)):
        return EvaluationError(str(error))
    if isinstance(error, pulumi.ConfigMissingError):
        return EvaluationError(str(error))
    frames = [
        f"{Path(frame.f_code.co_filename).relative_to(root)}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if _is_in(root, _file(frame.f_code))
    ]
    where = f"{frames[-1]}: " if frames else ""
    return EvaluationError(f"{where}{type(error).__name__}: {' '.join(str(error).split())}")


def _file(code: CodeType) -> str:
    return code.co_filename


def _is_in(root: Path, file: str | None) -> bool:
    if file is None or not Path(file).is_relative_to(root):
        return False
    first = Path(file).relative_to(root).parts[0]
    return first not in {".venv", "local"}
