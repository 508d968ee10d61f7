"""The Pulumi program → its registrations, each handed to an `Update` → the stack's outputs.

This is what `pulumi up` does with the program, without the Pulumi command line.
"""

import asyncio
import contextlib
import contextvars
import gc
import hashlib
import json
import logging
import re
import runpy
import sys
import traceback
from collections.abc import Generator, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import get_root_resource, resource, set_mocks
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import alias_pb2, callback_pb2, resource_pb2, source_pb2
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

from local.engine.deployment import Deployment, Evaluation, Made, Options, Provider, Update
from local.engine.project import Project
from local.engine.state import (
    Created,
    Diff,
    EvaluationError,
    Make,
    Properties,
    Registration,
    State,
    autoname,
)
from local.engine.wire import Monitor, NoMocks, plain, reference, struct


class UpdateError(EvaluationError):
    """An update that was refused or failed; `done` is what it had done by then, in order."""

    def __init__(self, message: str, done: Sequence[str]) -> None:
        super().__init__(message)
        self.done = tuple(done)


def update(project: Project, deployment: Deployment, provider: Provider) -> Evaluation:
    """Run the project's program and have `deployment` become what it declares.

    Raises:
        UpdateError: the program refused its configuration or failed, or a resource could not be
            made, changed or deleted. The deployment has all that was done.
    """
    step = Update(deployment, provider)
    # Pulumi keeps its settings in context variables: an empty context is a fresh Pulumi.
    with _no_garbage_collection():
        try:
            outputs = contextvars.Context().run(asyncio.run, _evaluate(project, provider, step))
            step.finish()
        except EvaluationError as error:
            raise UpdateError(str(error), step.done) from error
    noted = tuple(provider.not_honoured())
    return Evaluation(outputs, step.resources, noted, step.counts, tuple(step.done))


def evaluate(project: Project, provider: Provider) -> Evaluation:
    """Run the project's program where nothing is deployed yet.

    Raises:
        UpdateError: as of `update`.
    """
    return update(project, Deployment(), provider)


def evaluate_dry(project: Project) -> Evaluation:
    """Run the project's program with made-up ids in place of a cloud, to see what it declares."""
    return evaluate(project, DryProvider(project.region))


def forget_program(root: Path) -> None:
    """Have the modules of the program in `root` read from disk again by the next evaluation."""
    for name, module in list(sys.modules.items()):
        if name != "__main__" and _is_in(root, getattr(module, "__file__", None)):
            del sys.modules[name]


AUTHORIZATION = "aws:ecr/getAuthorizationToken:getAuthorizationToken"
ZONES = "aws:index/getAvailabilityZones:getAvailabilityZones"
PARAMETERS = "aws:ssm/getParametersByPath:getParametersByPath"
MADE_UP_ACCOUNT = "123456789012"


class DryProvider:
    """Makes up ids, ARNs and names, and creates nothing."""

    def __init__(self, region: str) -> None:
        self._region = region

    def check(self, registration: Registration, before: Properties | None, seed: str) -> Properties:  # noqa: ARG002 -- as Provider has it
        """Leave the inputs as they are."""
        return registration.inputs

    def diff(self, before: State, inputs: Properties) -> Diff:
        """Tell an update by any difference."""
        return Diff(frozenset(k for k in inputs if inputs[k] != before.inputs.get(k)))

    def create(self, registration: Registration) -> Created:
        """Answer with the identifiers that most AWS resources have."""
        name = autoname(registration.name, registration.urn)
        service = registration.type.split(":")[1].split("/")[0]
        arn = f"arn:aws:{service}:{self._region}:{MADE_UP_ACCOUNT}:{name}"
        outputs: Properties = {
            "arn": arn,
            "arnWithoutRevision": arn,
            "name": registration.inputs.get("name", name),
            "bucket": registration.inputs.get("bucket", name),
            "digest": f"sha256:{hashlib.sha256(name.encode()).hexdigest()}",
            "url": f"https://{service}.{self._region}.amazonaws.com/{name}",
        }
        return Created(name, outputs)

    def update(self, registration: Registration, before: State) -> Properties:  # noqa: ARG002 -- as Provider has it
        """Answer with the outputs that there were."""
        return before.outputs

    def delete(self, state: State) -> None:
        """Delete nothing."""

    def construct(self, registration: Registration, make: Make) -> Properties:
        """Answer with what is asked of the remote components of awsx."""
        name = autoname(registration.name, registration.urn)
        url = f"{MADE_UP_ACCOUNT}.dkr.ecr.{self._region}.amazonaws.com/{name}"
        match registration.type:
            case "awsx:ec2:Vpc":
                ids = [f"{name}-{n}" for n in (1, 2)]
                kinds = ("public", "private", "isolated")
                return {"vpcId": name, **{f"{kind}SubnetIds": ids for kind in kinds}}
            case "awsx:ecr:Repository":
                made = make("aws:ecr/repository:Repository", registration.name, {}, ("arn",))
                return {"url": url, "repository": made}
            case "awsx:ecr:Image":
                digest = hashlib.sha256(name.encode()).hexdigest()
                return {"imageUri": f"{url}@sha256:{digest}"}
            case _:
                return {}

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer the calls that say where the program runs."""
        if token == AUTHORIZATION:
            return {"userName": "AWS", "password": "none"}
        if token == PARAMETERS:
            return {"names": [], "id": "none"}
        if token == ZONES:
            return zones_by_id(arguments, self._region)
        return who_and_where(token, MADE_UP_ACCOUNT, self._region)

    def not_honoured(self) -> tuple[str, ...]:
        """Nothing: no cloud was asked."""
        return ()


def zones_by_id(arguments: Properties, region: str) -> Properties:
    """The zones whose ids are asked for: which those are differs by account."""
    [asked] = [one for one in arguments["filters"] if one["name"] == "zone-id"]
    ids: list[str] = asked["values"]
    names = [f"{region}{letter}" for letter, _ in zip("abc", ids, strict=False)]
    return {"id": region, "names": names, "zoneIds": ids[: len(names)]}


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


class _Monitor(Monitor):
    """Stands where Pulumi's engine does: hears of each resource, and answers with its outputs."""

    def __init__(self, provider: Provider, step: Update) -> None:
        super().__init__()
        self._provider = provider
        self._step = step
        self.migrations = Migrations()

    def GetDeploymentInfo(  # noqa: N802 -- gRPC's name
        self, request: empty_pb2.Empty
    ) -> resource_pb2.DeploymentInfo:
        info: resource_pb2.DeploymentInfo = super().GetDeploymentInfo(request)
        info.supportedFeatures.append(resource_pb2.RESOURCE_MONITOR_FEATURE_STATE_MIGRATIONS)
        return info

    def RegisterResource(  # noqa: N802 -- gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        registration = Registration(request.type, request.name, urn, plain(request.object))
        options = self._options(request)
        created = Created("", {})
        if request.remote:
            made = self._step.construct(registration, options, _Inside(self, urn))
            created = Created("", self._referring(made))
        elif request.custom:
            created = self._step.resource(registration, options)
        else:
            migrations = [self.migrations.asked[one.token] for one in request.state_migrations]
            self._step.component(
                registration, options, lambda below: _migrated(migrations, urn, below)
            )
        return resource_pb2.RegisterResourceResponse(
            urn=urn, id=created.id, object=struct(created.outputs)
        )

    def _options(self, request: resource_pb2.RegisterResourceRequest) -> Options:
        return Options(
            frozenset({*request.dependencies, request.parent} - {""}),
            request.parent,
            tuple(self._aliases(request)),
            frozenset(request.ignoreChanges),
            request.deleteBeforeReplace,
            request.protect if request.HasField("protect") else None,
            request.retainOnDelete if request.HasField("retainOnDelete") else None,
            _seconds(request.customTimeouts.delete),
            frozenset(request.replaceOnChanges),
        )

    def _aliases(self, request: resource_pb2.RegisterResourceRequest) -> Generator[str]:
        """The URNs a resource may have had: by its own aliases, and by those of its parent."""
        parents = {request.parent, self._step.was(request.parent)}
        yield from request.aliasURNs
        names, kinds = [request.name], [request.type]
        for alias in request.aliases:
            if alias.WhichOneof("alias") == "urn":
                yield alias.urn
                continue
            spec: alias_pb2.Alias.Spec = alias.spec
            names.append(spec.name or request.name)
            kinds.append(spec.type or request.type)
            if spec.parentUrn:
                parents.add(spec.parentUrn)
            elif spec.noParent:
                parents.add("")
        for parent in sorted(parents, reverse=True):
            for kind, name in zip(kinds, names, strict=True):
                yield self.make_urn(parent, kind, name)

    def inside(
        self, parent: str, kind: str, name: str, inputs: Properties, after: set[str]
    ) -> Made:
        """Register a resource inside a remote component."""
        urn = self.make_urn(parent, kind, name)
        aliases = (self.make_urn(self._step.was(parent), kind, name),)
        options = Options(frozenset({parent, *after}), parent, aliases)
        made = Made(urn, self._step.resource(Registration(kind, name, urn, inputs), options))
        self.keep(urn, made.created.id, inputs | made.created.outputs)
        return made

    def _referring(self, outputs: Properties) -> Properties:
        """Outputs with each child as Pulumi refers to a resource: by URN, to be asked for later."""

        def refer(value: object) -> Any:  # noqa: ANN401 -- JSON
            if not isinstance(value, Made):
                return value
            return reference(value.urn, value.created.id)

        return {key: refer(value) for key, value in outputs.items()}

    def ReadResource(  # noqa: N802 -- gRPC's name
        self, request: resource_pb2.ReadResourceRequest
    ) -> resource_pb2.ReadResourceResponse:
        raise EvaluationError(
            f"The program reads {request.type} {request.id!r}, which is not in the local cloud:"
            " let it create what it needs."
        )

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer as the provider does."""
        return self._provider.invoke(token, arguments)

    def RegisterResourceOutputs(  # noqa: N802 -- gRPC's name
        self,
        request: resource_pb2.RegisterResourceOutputsRequest,  # noqa: ARG002 -- the base class's signature
    ) -> empty_pb2.Empty:
        return empty_pb2.Empty()


class Migrations:
    """What Pulumi would serve for its engine to call back, called here without a server."""

    def __init__(self) -> None:
        self.asked: dict[str, pulumi.StateMigration] = {}

    def register_state_migration(self, migration: pulumi.StateMigration) -> callback_pb2.Callback:
        """Keep a migration, and hand out what it is asked for by."""
        token = str(len(self.asked))
        self.asked[token] = migration
        return callback_pb2.Callback(token=token)


def _migrated(
    migrations: Sequence[pulumi.StateMigration], urn: str, below: Sequence[State]
) -> set[str]:
    """The URNs that a component's migrations leave out, of those below it.

    Nothing else of what they may change is taken over here.
    """
    shown: list[dict[str, Any]] = [
        {
            "urn": one.urn,
            "type": one.type,
            "id": one.id,
            "parent": one.parent,
            "inputs": one.inputs,
            "outputs": one.outputs,
        }
        for one in below
    ]
    for migrate in migrations:
        result: Any = migrate(pulumi.StateMigrationArgs(urn, shown))
        shown = shown if result is None else result.new_state
    return {one.urn for one in below} - {one["urn"] for one in shown}


class _Inside(Make):
    """Makes resources inside one remote component.

    Each depends on those that were made before it there: they are made, and deleted, one by one.
    """

    def __init__(self, monitor: _Monitor, parent: str) -> None:
        self._monitor = monitor
        self._parent = parent
        self._made: set[str] = set()

    def __call__(
        self,
        kind: str,
        name: str,
        inputs: Properties,
        /,
        outputs: Sequence[str] = (),  # noqa: ARG002 -- as Make has it: here all are there
    ) -> Made:
        made = self._monitor.inside(self._parent, kind, name, inputs, self._made)
        self._made.add(made.urn)
        return made

    def join(self, *parts: str) -> str:
        return "".join(parts)


def _seconds(duration: str) -> float:
    """A duration as Go writes it, `1h30m`; 0 of an empty text."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([0-9.]+)([hms])", duration))


async def _evaluate(project: Project, provider: Provider, step: Update) -> Properties:
    # A resource that failed fails all that wait for it; the first of them is told, once, below.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    # One that failed leaves outputs behind, whose event loop is closed.
    _outputs().clear()
    monitor = _Monitor(provider, step)
    set_all_config(project.config)
    logger = logging.getLogger("pulumi.program")
    set_mocks(NoMocks(), project.name, project.stack, preview=False, logger=logger, monitor=monitor)
    SETTINGS.callbacks = monitor.migrations  # pyright: ignore[reportAttributeAccessIssue] -- its decorator hides that it is a property
    try:
        with _no_source_positions():
            await run_pulumi_func(lambda: _run_and_settle(project.root))
        return await _stack_outputs()
    except EvaluationError:
        raise
    except (Exception, SystemExit) as error:
        raise _explained(error, project.root) from error


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
    if isinstance(error, SystemExit) and error.__cause__ is not None:
        # A program that has told Pulumi itself why it ends.
        error = error.__cause__
    cause, seen = error, set[int]()
    # One that was raised again by several that waited for it is in its own context.
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, EvaluationError):
            return cause
        seen.add(id(cause))
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
