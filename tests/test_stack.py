"""The stacks as their files have them: what they register, export and share, small and large."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pulumi
import pytest
from pulumi.provider.experimental.component import ComponentProvider

import components
from benchmarks import hundred
from local.engine import project
from settings import SettingsError, across
from tests.recorder import (
    ACCOUNT,
    REGION,
    ROOT,
    UNKNOWN,
    Recording,
    Resource,
    deploy_stack,
    every,
    one,
    the_stack,
)

GOLDEN = Path(__file__).parent / "golden"
STACKS = ["dev", "prod"]


def shape(value: object) -> Any:  # noqa: ANN401 JSON
    """The keys of mappings and the types of all else, an ARN being a type of its own."""
    match value:
        case dict():
            return {key: shape(item) for key, item in value.items()}
        case list():
            return [shape(item) for item in value[:1]]
        case str() if value.startswith("arn:"):
            return f"{':'.join(value.split(':')[:3])} ARN"
        case _:
            return type(value).__name__


@pytest.mark.parametrize("stack", STACKS)
def test_the_outputs_are_the_contract_with_other_teams(stack: str) -> None:
    golden = json.loads((GOLDEN / "outputs.json").read_text(encoding="utf-8"))
    assert shape(the_stack(stack).exports) == golden


def test_the_outputs_name_what_was_made() -> None:
    recording = the_stack("dev")
    exports = recording.exports
    states = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine"
    schedules = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule/schedules-1a2b3c4"
    assert exports["jobs"]["ingest"] == {
        "taskDefinitionArn": (
            f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-ingest:7"
        ),
        "stateMachineArn": f"{states}:fargate-batch-dev-job-ingest",
        "logGroup": "/fargate-batch/dev/ingest",
        "taskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/ingest-task-1a2b3c4",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/execution-1a2b3c4",
    }
    assert exports["pipelines"]["nightly"] == {
        "stateMachineArn": f"{states}:fargate-batch-dev-pipeline-nightly",
        "scheduleArn": f"{schedules}/nightly-1a2b3c4",
    }
    assert exports["schedules"] == {"hello": f"{schedules}/hello-1a2b3c4"}
    assert set(exports["uploads"]) == {"target", "complete"}
    assert (exports["uploadBucket"], exports["resultsBucket"]) == (
        "uploads-1a2b3c4",
        "results-1a2b3c4",
    )


def identities(recording: Recording) -> list[tuple[str, str, str]]:
    return [(r.urn, r.parent, r.type) for r in recording.resources]


@pytest.mark.parametrize("stack", STACKS)
def test_a_preview_registers_what_an_update_registers(stack: str) -> None:
    preview, update = the_stack(stack, preview=True), the_stack(stack)
    assert identities(preview) == identities(update)
    for before, after in zip(preview.resources, update.resources, strict=True):
        assert before.inputs.keys() == after.inputs.keys(), before.urn
        # What a remote component made is not known, so not depended on, before it made it.
        assert before.depends_on == {urn for urn in after.depends_on if "::awsx:" not in urn}
    assert preview.exports.keys() == update.exports.keys()
    assert preview.exports["uploadBucket"] == UNKNOWN


def test_dev_and_prod_differ_in_values_only() -> None:
    def kinds(stack: str) -> list[tuple[str, str, bool]]:
        return [(r.type, r.name, r.is_component) for r in the_stack(stack).resources]

    assert kinds("dev") == kinds("prod")
    dev, prod = (
        {
            key: json.loads(text)
            for key, text in project.load(ROOT, stack).config.items()
            if text.startswith("{")
        }
        for stack in STACKS
    )
    assert dev.keys() == prod.keys()


@pytest.mark.parametrize("stack", STACKS)
def test_every_stack_tags_what_it_makes_with_project_stack_and_owner(stack: str) -> None:
    tags = project.load(ROOT, stack).default_tags
    assert tags == {"project": "fargate-batch", "stack": stack, "owner": "batch-team"}


def has_null(value: object) -> bool:
    match value:
        case dict():
            return any(map(has_null, value.values()))
        case list():
            return any(map(has_null, value))
        case _:
            return value is None


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_was_made_of_a_value_that_was_not_there(stack: str) -> None:
    for resource in the_stack(stack).resources:
        text = json.dumps(resource.inputs)
        assert "<pulumi" not in text, resource.urn
        for value in resource.inputs.values():
            if isinstance(value, str) and value.startswith(("{", "[")):
                assert not has_null(json.loads(value)), resource.urn
        assert UNKNOWN not in text, resource.urn


@pytest.mark.parametrize("stack", STACKS)
def test_every_resource_belongs_to_a_component_and_each_of_them_to_the_platform(
    stack: str,
) -> None:
    resources = the_stack(stack).resources
    own = {r.urn for r in resources if _is_own(r)}
    assert [(r.type, r.name) for r in resources if r.parent not in own] == [
        ("fargate-batch:index:BatchPlatform", "platform")
    ]


@pytest.mark.parametrize("stack", STACKS)
def test_every_component_registers_the_outputs_it_declares(stack: str) -> None:
    recording = the_stack(stack)
    made = [r for r in recording.resources if _is_own(r)]
    for resource in made:
        declared = getattr(components, resource.type.split(":")[-1]).__annotations__
        # An output that may be None is registered where it is not.
        always = {name for name, type_ in declared.items() if type(None) not in get_args(type_)}
        assert always <= set(recording.outputs[resource.urn]) <= set(declared), resource.urn
    # A component that only some stacks ask for is not among them.
    assert {r.type.split(":")[-1] for r in made} <= component_names()


@pytest.mark.parametrize("stack", STACKS)
def test_no_component_is_registered_with_what_it_was_given(stack: str) -> None:
    assert {r.urn for r in the_stack(stack).resources if r.inputs and _is_own(r)} == set()


def _is_own(resource: Resource) -> bool:
    return resource.type.startswith("fargate-batch:index:")


def component_names() -> set[str]:
    return {name for name in components.__all__ if not name.endswith("Args")}


def test_every_component_can_be_served_as_a_package() -> None:
    classes: list[type[pulumi.ComponentResource]] = [
        getattr(components, name) for name in sorted(component_names())
    ]
    schema = json.loads(ComponentProvider(classes, "fargate-batch", None, "0.1.0").schema or "")
    assert set(schema["resources"]) == {f"fargate-batch:index:{name}" for name in component_names()}
    for cls in classes:
        described = schema["resources"][f"fargate-batch:index:{cls.__name__}"]
        declared = {_camel(name) for name in cls.__annotations__}
        assert set(described["properties"]) == declared
        inputs = described.get("inputProperties", {})
        assert [key for key, it in inputs.items() if not it.get("description")] == []


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


@pytest.mark.parametrize("stack", STACKS)
def test_prod_keeps_its_buckets_and_dev_lets_go_of_them(stack: str) -> None:
    buckets = every(the_stack(stack).resources, type="Bucket")
    assert [bucket.protect for bucket in buckets] == [stack == "prod"] * 2


# What goes with a job or a trigger, and has what people may want to read afterwards.
KEPT = {
    "LogGroup": {"executions", "ingest"},
    "Queue": {f"{name}-dead-letters" for name in ("complete", "hello", "nightly", "target")},
}


@pytest.mark.parametrize("kind", KEPT)
def test_logs_and_dead_letters_of_what_is_removed_stay_under_protect(kind: str) -> None:
    of = {stack: every(the_stack(stack).resources, type=kind) for stack in STACKS}
    assert {one.name for one in of["prod"] if one.retain_on_delete} == KEPT[kind]
    assert not [one.urn for one in of["dev"] if one.retain_on_delete]


def test_a_log_that_stayed_is_not_in_the_way_of_the_next_of_its_name() -> None:
    for kept in every(the_stack("prod").resources, type="LogGroup"):
        named = {key for key in ("name", "namePrefix") if key in kept.inputs}
        assert named == {"namePrefix" if kept.retain_on_delete else "name"}, kept.urn


def test_all_state_machines_of_a_stack_log_to_one_group() -> None:
    recording = deploy_stack("dev", jobs={"ingest": {"maxConcurrency": 2}})
    group = one(recording.resources, type="LogGroup", name="executions")
    name = "/aws/vendedlogs/states/fargate-batch-dev-executions"
    assert group.inputs == {"name": name, "retentionInDays": 14}
    machines = every(recording.resources, type="StateMachine")
    kinds = {machine.inputs["name"].split("-")[3] for machine in machines}
    assert kinds == {"job", "limit", "pipeline", "reaper", "alerts"}
    assert {machine.inputs["loggingConfiguration"]["logDestination"] for machine in machines} == {
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*"
    }
    named = [it.inputs["name"] for it in every(recording.resources, type="LogGroup")]
    assert [it for it in named if it.startswith("/aws/vendedlogs/")] == [name]


def test_a_log_keeps_its_name_when_protect_is_changed() -> None:
    for stack in STACKS:
        for group in every(the_stack(stack).resources, type="LogGroup"):
            if group.name in KEPT["LogGroup"]:
                assert group.ignore_changes == ("name", "namePrefix"), group.urn


def test_a_job_with_an_image_of_its_own_builds_none() -> None:
    recording = deploy_stack("dev", image="public.ecr.aws/team/batch:1")
    assert not [r for r in recording.resources if r.type.startswith("awsx:ecr:")]
    definition = one(recording.resources, type="TaskDefinition")
    (container,) = definition.document("containerDefinitions")
    assert container["image"] == "public.ecr.aws/team/batch:1"


def test_jobs_of_one_folder_and_dockerfile_share_the_image_that_is_built() -> None:
    jobs = {
        "a": {"context": "batch"},
        "b": {"context": "./batch"},
        "c": {"context": "batch", "dockerfile": "batch/Dockerfile"},
        "d": {"context": "batch", "dockerfile": "other/Dockerfile"},
        "e": {},
    }
    recording = deploy_stack("dev", jobs=jobs, uploads={}, pipelines={}, schedules={})
    images = {image.name for image in every(recording.resources, type="Image")}
    assert images == {"batch", "batch-image-4eec6a9", "batch-image-4da4259"}
    used = {
        definition.name: definition.document("containerDefinitions")[0]["image"]
        for definition in every(recording.resources, type="TaskDefinition")
    }
    assert used["a"] == used["b"] == used["c"]
    assert len(set(used.values())) == 3
    # Whoever goes, the others' stays.
    del jobs["a"]
    without = deploy_stack("dev", jobs=jobs, uploads={}, pipelines={}, schedules={})
    assert {image.name for image in every(without.resources, type="Image")} == images


def large(**more: Any) -> Recording:  # noqa: ANN401 any configuration
    """A stack of many teams; a pipeline is named like the parts of another."""
    return deploy_stack(
        "dev",
        jobs={f"job-{n}": {} for n in range(100)},
        uploads={f"up-{n}": {"job": f"job-{n}", "prefix": f"in/{n}/"} for n in range(100)},
        pipelines={
            f"p{suffix}-{n}" if suffix != "-schedule" else f"p-{n}-schedule": {
                "schedule": "rate(1 day)",
                "steps": [{"job": f"job-{n}"}],
            }
            for n in range(25)
            for suffix in ("", "-schedule")
        },
        schedules={f"s-{n}": {"job": f"job-{n}", "schedule": "rate(1 hour)"} for n in range(50)},
        **more,
    )


@pytest.mark.slow
def test_a_hundred_batches_share_a_stack_without_a_clash() -> None:
    recording = large()
    exports = recording.exports
    counted = {key: len(exports[key]) for key in ("jobs", "uploads", "pipelines", "schedules")}
    assert counted == {"jobs": 100, "uploads": 100, "pipelines": 50, "schedules": 50}
    named = Counter(
        (r.type, r.inputs[key])
        for r in recording.resources
        if not r.type.startswith("fargate-batch:")
        for key in ("name", "family")
        if key in r.inputs
    )
    assert [twice for twice, times in named.items() if times > 1] == []
    # Pulumi adds a dash and seven digits to a name it makes up.
    for type_, most in (("Role", 64), ("EventRule", 64), ("Schedule", 64), ("Queue", 80)):
        for resource in every(recording.resources, type=type_):
            assert len(resource.inputs.get("name", f"{resource.name}-1234567")) <= most
    for machine in every(recording.resources, type="StateMachine"):
        assert len(machine.inputs["name"]) <= 80
    for policy in every(recording.resources, type="RolePolicy"):
        assert len(policy.inputs["policy"]) <= 10_240, policy.urn


@pytest.mark.slow
def test_the_largest_stack_that_is_measured_has_room_below_2000_resources() -> None:
    # Pulumi's engine adds a few, such as the stack and its providers.
    assert hundred.counted().total() <= 1_980


def test_the_longest_names_fit_aws() -> None:
    name = "n" * 40
    recording = deploy_stack(
        "dev",
        jobs={name: {}},
        uploads={name: {"job": name, "prefix": "a"}},
        pipelines={name: {"schedule": "rate(1 day)", "steps": [{"job": name}]}},
        schedules={"s" * 40: {"job": name, "schedule": "rate(1 hour)"}},
    )
    for type_ in ("Role", "EventRule", "Schedule"):
        for resource in every(recording.resources, type=type_):
            assert len(resource.inputs.get("name", f"{resource.name}-1234567")) <= 64


def test_the_rules_that_are_counted_are_the_rules_there_are() -> None:
    rules = every(the_stack("dev").resources, type="EventRule")
    uploads = len(the_stack("dev").exports["uploads"])
    room = across.RULES_PER_BUS - (len(rules) - uploads)
    told = refusal(uploads=_uploads(room + 1))
    assert f"{room + 1} uploads take 301 rules" in told


def refusal(**config: Any) -> str:  # noqa: ANN401 any key of the configuration
    """What the program tells before it ends with the status that says that it has."""
    with pytest.raises(SystemExit) as caught:
        deploy_stack("dev", **config)
    assert caught.value.code == 32
    assert isinstance(caught.value.__cause__, SettingsError)
    return str(caught.value.__cause__)


def _uploads(count: int) -> dict[str, Any]:
    return {f"u-{n}": {"job": "ingest", "prefix": f"{n}/"} for n in range(count)}


def test_what_aws_would_refuse_is_refused_at_preview() -> None:
    told = refusal(preview=True, uploads=_uploads(301))
    assert "fargate-batch:uploads: 301 uploads take" in told
