"""The package, in programs of others and in our own, on the real engine."""

import json
import shutil
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engine.conftest import REGION, ROOT, Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

BEFORE = """\
import pulumi

import settings
from components.batch_platform import _make

outputs = _make(settings.load(), pulumi.ResourceOptions())
for name, value in outputs.items():
    pulumi.export(name, value)
"""
"""The program before there was a platform: all its components stood by themselves."""


def example(engine: Engine, name: str, stack: str = "dev", **config: str) -> Path:
    """A copy of an example beside the copy of the project, with a stack."""
    folder = engine.root.parent / f"{name}-{stack}"
    shutil.copytree(ROOT / "examples" / name, folder)
    project = folder / "Pulumi.yaml"
    project.write_text(project.read_text("utf-8").replace("../../package", str(ROOT / "package")))
    engine.must("stack", "init", stack, root=folder)
    for key, value in {"aws:region": REGION, **config}.items():
        engine.must("config", "set", key, value, "--stack", stack, root=folder)
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    project = folder / "Pulumi.yaml"
    text = project.read_text("utf-8")
    assert old in text
    project.write_text(text.replace(old, new), "utf-8")


def results_of(engine: Engine, outputs: dict[str, Any], key: str) -> list[str]:
    """Upload a file, and wait for what the batch makes of it."""
    s3: Any = engine.cloud.client("s3")
    s3.put_object(Bucket=outputs["uploadBucket"], Key=key, Body=b"a,b\n1,2\n")
    deadline = time.monotonic() + 300
    while True:
        found = s3.list_objects_v2(Bucket=outputs["resultsBucket"]).get("Contents", [])
        made = [str(it["Key"]) for it in found if key in it["Key"]]
        if made:
            return made
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def emptied(engine: Engine) -> Generator[Engine]:
    """At the end nothing may be left but revisions, and what `protect`, on by default, keeps."""
    yield engine
    assert set(engine.left()) <= {"task definitions", "log groups", "queues"}


@pytest.mark.parametrize(
    ("name", "kept", "prefix"),
    [
        ("platform-yaml", "      jobs:", "ingest/orders/"),
        ("parts-yaml", None, "ingest/orders/"),
    ],
)
def test_a_program_in_yaml_runs_a_batch_for_an_upload_and_a_second_update_changes_nothing(
    emptied: Engine, name: str, kept: str | None, prefix: str
) -> None:
    folder = example(emptied, name)
    # What this makes is to be deleted at the end of the test.
    if kept:
        edit(folder, kept, f"      protect: false\n{kept}")
    else:
        for kind in ("UploadBucket", "ResultsBucket"):
            edit(folder, f"{kind}}}", f"{kind}, properties: {{protect: false}}}}")
        edit(folder, "      memory: 2048\n", "      memory: 2048\n      protect: false\n")
    preview = emptied.preview(root=folder)
    assert (preview.errors, preview.status, set(preview.counts)) == ([], 0, {"create"}), (
        preview.text
    )
    first = emptied.up(root=folder)
    assert (first.errors, first.status) == ([], 0), first.text
    assert first.inputs.keys() == preview.inputs.keys()
    outputs = emptied.outputs(root=folder)
    made = results_of(emptied, outputs, "orders/today.csv")
    assert all(key.startswith(prefix) for key in made)
    assert emptied.up(root=folder).counts == {"same": first.counts["create"]}
    gone = emptied.destroy(root=folder)
    assert (gone.errors, set(gone.counts)) == ([], {"delete"}), gone.text


def test_what_a_platform_refuses_is_told_in_the_lines_of_a_stacks_file(engine: Engine) -> None:
    folder = example(engine, "platform-yaml", "refused")
    edit(folder, "timeout: 1h", "cpu: 500, stopTimeout: 1")
    refused = engine.preview("refused", root=folder)
    assert refused.status != 0
    told = "\n".join(refused.errors)
    assert "fargate-batch:jobs.ingest.cpu: must be one of 256, 512, 1024, 2048" in told
    assert "fargate-batch:jobs.ingest.stopTimeout: must be at least 2 (is: 1)" in told
    assert [kind for _, kind, _ in refused.steps if kind.startswith("aws:")] == []


def test_a_secret_given_to_a_platform_is_refused_and_not_shown(engine: Engine) -> None:
    folder = example(engine, "platform-yaml", "secret")
    edit(folder, "timeout: 1h", "environment: {TOKEN: {fn::secret: s3cret}}")
    refused = engine.preview("secret", root=folder)
    assert refused.status != 0
    told = "\n".join(refused.errors)
    assert "jobs.ingest.environment.TOKEN: must be a plain value (is: an output" in told
    assert "Traceback" not in told
    assert "s3cret" not in refused.text


ELSEWHERE = """\
import pulumi
import pulumi_aws

east = pulumi_aws.Provider(
    "east", region="us-east-1", default_tags={"tags": {"team": "orders"}}
)
args = {"jobs": {"ingest": {}}, "uploads": {"orders": {"job": "ingest", "prefix": ["orders/"]}}}
pulumi.ComponentResource(
    "fargate-batch:index:BatchPlatform",
    "platform",
    args,
    pulumi.ResourceOptions(providers={"aws": east}),
    remote=True,
)
"""
"""A program that takes the package's platform, not a class of its own Python."""


def test_another_provider_and_its_region_hold_for_all_that_a_platform_makes(
    engine: Engine,
) -> None:
    folder = example(engine, "platform-yaml", "elsewhere")
    (folder / "__main__.py").write_text(ELSEWHERE, "utf-8")
    project = folder / "Pulumi.yaml"
    whole = project.read_text("utf-8").replace("runtime: yaml", "runtime: python")
    project.write_text(whole.partition("resources:")[0], "utf-8")
    preview = engine.preview("elsewhere", root=folder)
    assert (preview.errors, preview.status) == ([], 0), preview.text
    taken = {urn: it for urn, it in preview.inputs.items() if "$aws:" in urn}
    [endpoint] = [it for urn, it in taken.items() if ":VpcEndpoint:" in urn]
    assert endpoint["serviceName"] == "com.amazonaws.us-east-1.s3"
    # The zones are the choice of awsx, which here is a stand-in that goes by the configuration.
    others = {urn: it for urn, it in taken.items() if ":Subnet::" not in urn}
    assert [urn for urn, it in others.items() if "ap-northeast-1" in str(it)] == []
    [task_role] = [it for urn, it in taken.items() if urn.endswith("Role::ingest-task")]
    assert ":us-east-1:" in task_role["assumeRolePolicy"]
    # The provider's tags are put on by itself, whatever a component makes.
    tagged = [it["tags"] for it in taken.values() if "tags" in it]
    assert len(tagged) > 30
    assert [tags for tags in tagged if tags.get("team") != "orders"] == []
    events = [json.loads(line) for line in preview.text.splitlines() if line.startswith("{")]
    made = [it["resourcePreEvent"]["metadata"] for it in events if "resourcePreEvent" in it]
    by = {it["provider"].split("::")[-2] for it in made if it["urn"] in taken}
    assert by == {"east"}


def test_a_stack_of_before_moves_into_the_platform_and_nothing_is_replaced(engine: Engine) -> None:
    program = engine.root / "__main__.py"
    now = program.read_text("utf-8")
    engine.must("stack", "init", "dev")
    program.write_text(BEFORE, "utf-8")
    first = engine.up()
    assert (first.errors, first.status, set(first.counts)) == ([], 0, {"create"}), first.text
    outputs = engine.outputs()

    program.write_text(now, "utf-8")
    moved = engine.up()
    assert (moved.errors, moved.status) == ([], 0), moved.text
    assert moved.of("create") == {("fargate-batch:index:BatchPlatform", "platform")}
    assert moved.counts == {"create": 1, "same": first.counts["create"]}
    assert engine.outputs() == outputs
    assert engine.up().counts == {"same": first.counts["create"] + 1}
    assert set(engine.destroy().counts) == {"delete"}


def test_a_stack_of_a_clone_becomes_one_of_a_program_that_uses_the_package(engine: Engine) -> None:
    engine.must("stack", "init", "moved")
    stack_file = (ROOT / "Pulumi.dev.yaml").read_text("utf-8")
    (engine.root / "Pulumi.moved.yaml").write_text(stack_file, "utf-8")
    first = engine.up("moved")
    assert (first.errors, first.status) == ([], 0), first.text
    outputs = engine.outputs("moved")

    config = yaml.safe_load(stack_file)["config"]
    keys = {k.partition(":")[2]: v for k, v in config.items() if k.startswith("fargate-batch:")}
    for upload in keys["uploads"].values():
        upload |= {key: [upload[key]] for key in ("prefix", "key") if key in upload}
    for pipeline in keys["pipelines"].values():
        pipeline["steps"] = [[step] for step in pipeline["steps"]]
    program = {
        "name": "fargate-batch",
        "runtime": "yaml",
        "packages": {"fargate-batch": str(ROOT / "package")},
        "resources": {"platform": {"type": "fargate-batch:BatchPlatform", "properties": keys}},
        "outputs": {name: f"${{platform.{name}}}" for name in outputs},
    }
    folder = engine.root.parent / "package-user"
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(program), "utf-8")
    kept = {key: value for key, value in config.items() if key.startswith("aws:")}
    (folder / "Pulumi.moved.yaml").write_text(yaml.safe_dump({"config": kept}), "utf-8")
    moved = engine.up("moved", root=folder)
    assert (moved.errors, moved.status) == ([], 0), moved.text
    assert {"create", "delete", "replace"} & moved.counts.keys() == set(), moved.counts
    assert engine.outputs("moved", root=folder) == outputs
    assert set(engine.up("moved", root=folder).counts) == {"same"}
    assert set(engine.destroy("moved", root=folder).counts) == {"delete"}
