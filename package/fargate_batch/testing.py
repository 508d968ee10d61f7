"""For tests: runs a program against a monitor that creates nothing, returns what it registered.

A preview answers with the inputs alone, so whatever AWS makes up (ids, ARNs) is unknown, as in
`pulumi preview` before the first `pulumi up`. An update answers with made-up ids and ARNs. Neither
proves that AWS would accept the inputs.
"""

import asyncio
import contextvars
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pulumi
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime import get_root_resource, rpc, set_mocks
from pulumi.runtime.config import set_all_config
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

from . import wire

# An Output that ends up in a text becomes a failure instead of a text about Outputs.
os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"

ACCOUNT = "123456789012"
REGION = "ap-northeast-1"
PROJECT = "fargate-batch"
STACK = "dev"
UNKNOWN = rpc.UNKNOWN
_FOLDER = Path(__file__).parent

Json = Any
Properties = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource as it was registered. `depends_on` has the URNs its inputs and options name."""

    type: str
    name: str
    urn: str
    parent: str
    inputs: Properties
    protect: bool
    retain_on_delete: bool
    replace_on_changes: tuple[str, ...]
    ignore_changes: tuple[str, ...]
    delete_within: str
    """How long its deletion may take, as Pulumi writes it; empty for the provider's own limit."""
    depends_on: frozenset[str]
    is_component: bool

    def document(self, key: str) -> Json:
        """The input `key`, which is JSON text, as data."""
        return json.loads(self.inputs[key])


@dataclass(frozen=True)
class Recording:
    """What a program registered, sorted by URN, what its components put out, what it exports."""

    resources: tuple[Resource, ...]
    outputs: Mapping[str, Properties]
    exports: Properties


def one(resources: Iterable[Resource], *, type: str, name: str | None = None) -> Resource:  # noqa: A002 Pulumi's word
    """Exactly one: of this type (or the end of its token), and of this name if given."""
    found = [r for r in resources if _is(r, type) and name in {None, r.name}]
    assert len(found) == 1, f"{type} {name}: {[r.urn for r in found]}"
    return found[0]


def every(resources: Iterable[Resource], *, type: str) -> list[Resource]:  # noqa: A002 Pulumi's word
    """All of this type (or the end of its token); at least one, or the test tests nothing."""
    found = [r for r in resources if _is(r, type)]
    assert found, f"no {type}"
    return found


def _is(resource: Resource, type_: str) -> bool:
    return resource.type == type_ or resource.type.endswith(f":{type_}")


def children(recording: Recording, component: Resource) -> list[Resource]:
    """What the component is the parent of."""
    return [r for r in recording.resources if r.parent == component.urn]


def deploy(
    build: Callable[[], object],
    *,
    config: Mapping[str, str] | None = None,
    preview: bool = False,
    name: str = PROJECT,
    stack: str = STACK,
    stacks: Mapping[str, Properties] | None = None,
) -> Recording:
    """Run `build` as a program and wait for everything it registers.

    `stacks` are the outputs of other stacks, for StackReferences. Whatever the program raises is
    raised; so is the second registration of a URN.
    """
    run = _run(build, dict(config or {}), name, stack, _Monitor(dict(stacks or {}), preview))
    # Pulumi keeps its settings in context variables: an empty context is a fresh Pulumi.
    return contextvars.Context().run(asyncio.run, run)


async def _run(
    build: Callable[[], object],
    config: dict[str, str],
    name: str,
    stack: str,
    monitor: "_Monitor",
) -> Recording:
    # A resource that failed fails all that wait for it; the failure itself is raised below.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    set_all_config(config)
    set_mocks(wire.NoMocks(), name, stack, preview=monitor.preview, monitor=monitor)
    await run_pulumi_func(lambda: _build_and_wait(build))
    exports: object = getattr(get_root_resource(), "outputs", {})
    values = await pulumi.Output.from_input(exports).future(with_unknowns=True)
    assert not monitor.twice, f"registered twice: {monitor.twice}"
    return Recording(
        resources=tuple(sorted(monitor.resources_seen.values(), key=lambda r: r.urn)),
        outputs=monitor.outputs_seen,
        exports=json.loads(json.dumps(values, default=_unknown)),
    )


async def _build_and_wait(build: Callable[[], object]) -> None:
    """Run the program, then wait for its outputs all at once.

    Pulumi waits for all of them anew after each, which takes a minute for 3,000 resources.
    """
    build()
    settings: Any = SETTINGS  # it makes its attributes up as it is asked for them
    while settings.outputs:
        with settings.lock:
            pending = list(settings.outputs)
            settings.outputs.clear()
        for ended in await asyncio.gather(*pending, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended


def _unknown(value: object) -> str:
    assert rpc.contains_unknowns(value), f"exports a {type(value).__name__}"
    return UNKNOWN


class _Monitor(wire.Monitor):
    def __init__(self, stacks: dict[str, Properties], preview: bool) -> None:  # noqa: FBT001 the one flag Pulumi has
        super().__init__()
        self.preview = preview
        self.resources_seen: dict[str, Resource] = {}
        self.outputs_seen: dict[str, Properties] = {}
        self.twice: list[str] = []
        self._stacks = stacks
        self._lock = threading.Lock()

    def RegisterResource(  # noqa: N802 gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        inputs = plain(request.object)
        self._record(
            Resource(
                type=request.type,
                name=request.name,
                urn=urn,
                parent="" if request.parent.endswith(f"::{_stack_name()}") else request.parent,
                inputs=inputs,
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                replace_on_changes=tuple(request.replaceOnChanges),
                ignore_changes=tuple(request.ignoreChanges),
                delete_within=request.customTimeouts.delete,
                depends_on=frozenset(request.dependencies),
                is_component=not request.custom,
            )
        )
        if not (request.custom or request.remote):
            return resource_pb2.RegisterResourceResponse(urn=urn)
        # Echoing the inputs of a remote component would be taken for outputs of other types.
        known = struct_pb2.Struct()
        if not request.remote:
            known.CopyFrom(request.object)
        if self.preview:
            return resource_pb2.RegisterResourceResponse(urn=urn, object=known)
        id_, computed = made(request.type, request.name, inputs)
        for key, value in computed.items():
            if isinstance(value, _Child):
                computed[key] = self._reference(urn, request.name, value)
        known.update(computed)
        return resource_pb2.RegisterResourceResponse(urn=urn, id=id_, object=known)

    def _record(self, resource: Resource) -> None:
        with self._lock:
            if resource.urn in self.resources_seen:
                self.twice.append(resource.urn)
            self.resources_seen[resource.urn] = resource

    def _reference(self, parent: str, name: str, child: "_Child") -> Properties:
        """A child of a remote component, as Pulumi hands it out: by URN, to be asked for later."""
        urn = self.make_urn(parent, child.type, name)
        id_, computed = made(child.type, name, {})
        self.keep(urn, id_, computed)
        return wire.reference(urn, id_)

    def RegisterResourceOutputs(  # noqa: N802 gRPC's name
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        with self._lock:
            self.outputs_seen[request.urn] = plain(request.outputs)
        return empty_pb2.Empty()

    def ReadResource(  # noqa: N802 gRPC's name
        self, request: resource_pb2.ReadResourceRequest
    ) -> resource_pb2.ReadResourceResponse:
        assert request.type == "pulumi:pulumi:StackReference", f"reads a {request.type}"
        outputs = self._stacks[request.id]
        return resource_pb2.ReadResourceResponse(
            urn=self.make_urn(request.parent, request.type, request.name),
            properties=wire.struct(
                {"name": request.id, "outputs": outputs, "secretOutputNames": []}
            ),
        )

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer the functions that say where the program runs."""
        answers: dict[str, Properties] = {
            "aws:index/getCallerIdentity:getCallerIdentity": {"id": ACCOUNT, "accountId": ACCOUNT},
            "aws:ecr/getAuthorizationToken:getAuthorizationToken": {
                "id": REGION,
                "userName": "AWS",
                "password": "of-twelve-hours",
            },
            "aws:index/getRegion:getRegion": {"id": REGION, "region": REGION},
            "aws:index/getPartition:getPartition": {"id": "aws", "partition": "aws"},
            "aws:ssm/getParametersByPath:getParametersByPath": {"id": "none", "names": []},
        }
        if token == "aws:index/getAvailabilityZones:getAvailabilityZones":
            # This account's names of them, and none of the third.
            names = {"apne1-az4": "a", "apne1-az2": "d", "apne1-az1": "c", "usw1-az1": "b"}
            [asked] = arguments["filters"]
            ids = [zone for zone in asked["values"] if zone in names]
            return {
                "id": REGION,
                "zoneIds": ids,
                "names": [f"{REGION}{names[zone]}" for zone in ids],
            }
        return answers[token]


@dataclass(frozen=True)
class _Child:
    type: str


def _stack_name() -> str:
    return f"{pulumi.get_project()}-{pulumi.get_stack()}"


def made(type_: str, name: str, inputs: Properties) -> tuple[str, Properties]:  # noqa: PLR0911, PLR0912 one a type
    """The id of a resource and the outputs AWS adds to its inputs, as AWS shapes them."""
    physical = inputs.get("name") or f"{inputs.get('namePrefix', f'{name}-')}1a2b3c4"

    def arn(service: str, resource: str) -> str:
        return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"

    match type_:
        case "aws:s3/bucket:Bucket":
            return physical, {"bucket": physical, "arn": f"arn:aws:s3:::{physical}"}
        case "aws:iam/role:Role":
            path = inputs.get("path", "/")
            role = f"arn:aws:iam::{ACCOUNT}:role{path}{physical}"
            return physical, {"name": physical, "arn": role}
        case "aws:ecs/cluster:Cluster":
            cluster = arn("ecs", f"cluster/{physical}")
            return cluster, {"name": physical, "arn": cluster}
        case "aws:ecs/taskDefinition:TaskDefinition":
            family = inputs["family"]
            without = arn("ecs", f"task-definition/{family}")
            return family, {"arn": f"{without}:7", "arnWithoutRevision": without, "revision": 7}
        case "aws:cloudwatch/logGroup:LogGroup":
            return physical, {"name": physical, "arn": arn("logs", f"log-group:{physical}")}
        case "aws:cloudwatch/eventRule:EventRule":
            return physical, {"name": physical, "arn": arn("events", f"rule/{physical}")}
        case "aws:dynamodb/table:Table":
            return physical, {"name": physical, "arn": arn("dynamodb", f"table/{physical}")}
        case "aws:sqs/queue:Queue":
            url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{physical}"
            return url, {"name": physical, "arn": arn("sqs", physical), "url": url}
        case "aws:sfn/stateMachine:StateMachine":
            machine = arn("states", f"stateMachine:{physical}")
            return machine, {"name": physical, "arn": machine}
        case "aws:scheduler/scheduleGroup:ScheduleGroup":
            group = arn("scheduler", f"schedule-group/{physical}")
            return physical, {"name": physical, "arn": group}
        case "aws:scheduler/schedule:Schedule":
            path = f"{inputs['groupName']}/{physical}"
            return path, {"name": physical, "arn": arn("scheduler", f"schedule/{path}")}
        case "aws:lambda/function:Function":
            return physical, {"name": physical, "arn": arn("lambda", f"function:{physical}")}
        case "aws:sns/topic:Topic":
            topic = arn("sns", physical)
            return topic, {"name": physical, "arn": topic}
        case "aws:kms/key:Key":
            key = "11111111-2222-3333-4444-555555555555"
            return key, {"keyId": key, "arn": arn("kms", f"key/{key}")}
        case "aws:ec2/securityGroup:SecurityGroup":
            return "sg-0a1b2c3d", {"arn": arn("ec2", "security-group/sg-0a1b2c3d")}
        case "aws:ecr/repository:Repository":
            return physical, {"name": physical, "arn": arn("ecr", f"repository/{physical}")}
        case "awsx:ec2:Vpc":
            subnets = {
                f"{kind}SubnetIds": [f"subnet-{n}{n}{n}" for n in numbers]
                for kind, numbers in {"public": "12", "private": "34", "isolated": ""}.items()
            }
            return "", {"vpcId": "vpc-0a1b2c3d", **subnets}
        case "awsx:ecr:Repository":
            url = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{physical}"
            return "", {"url": url, "repository": _Child("aws:ecr/repository:Repository")}
        case "docker-build:index:Image":
            digest = f"sha256:{'ab' * 32}"
            return digest, {"digest": digest}
        case _:
            return physical, {}


def plain(properties: struct_pb2.Struct) -> Properties:
    """Properties without Pulumi's wrappers; an asset is its path or its text.

    What is unknown is `UNKNOWN`.
    """
    return wire.plain(properties, _shown, keep_unknowns=True)


def _shown(value: object) -> Json:
    match value:
        case pulumi.AssetArchive():
            assets = cast("Mapping[str, object]", value.assets)
            return {name: _shown(asset) for name, asset in assets.items()}
        case pulumi.StringAsset():
            return value.text
        case pulumi.FileAsset():
            path = Path(str(value.path))
            folders = [it for it in (Path.cwd(), _FOLDER) if path.is_relative_to(it)]
            return str(path.relative_to(folders[0]) if folders else path)
        case _:
            return value
