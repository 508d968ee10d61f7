"""The stack of the README on the real engine: from its first deploy to its end."""

import re
from typing import Any

import pytest

from tests.engine.conftest import UNKNOWN, Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def deployed(engine: Engine) -> Engine:
    assert set(engine.create("dev", "--policy-pack", "policy").counts) == {"create"}
    return engine


def known(value: Any) -> bool:  # noqa: ANN401 -- JSON
    return UNKNOWN not in str(value)


def without_suffixes(value: Any) -> Any:  # noqa: ANN401 -- JSON
    """Names as they would be but for the random part, which each run has anew."""
    match value:
        case str():
            return re.sub(r"-[0-9a-f]{7}\b", "-*******", value)
        case dict():
            return {key: without_suffixes(item) for key, item in value.items()}
        case list():
            return [without_suffixes(item) for item in value]
        case _:
            return value


def test_a_preview_creates_nothing_and_says_what_it_cannot_know(engine: Engine) -> None:
    engine.must("stack", "init", "preview")
    (engine.root / "Pulumi.preview.yaml").write_bytes(
        (engine.root / "Pulumi.dev.yaml").read_bytes()
    )
    preview = engine.preview("preview", "--policy-pack", "policy")
    assert (preview.errors, preview.status) == ([], 0)
    assert set(preview.counts) == {"create"}
    assert engine.left() == {}
    # An ARN is AWS's to give: what is made of one is not known before.
    [target] = [i for urn, i in preview.inputs.items() if urn.endswith("EventTarget::target")]
    assert (target["arn"], target["roleArn"]) == (UNKNOWN, UNKNOWN)
    assert target["retryPolicy"] == {"maximumEventAgeInSeconds": 86400, "maximumRetryAttempts": 185}

    up = engine.up("preview")
    assert (up.errors, up.status) == ([], 0)
    assert up.inputs.keys() == preview.inputs.keys()
    wrong = [
        (urn, key)
        for urn, inputs in preview.inputs.items()
        for key, value in inputs.items()
        if known(value) and without_suffixes(value) != without_suffixes(up.inputs[urn][key])
    ]
    assert wrong == []
    gone = engine.destroy("preview")
    assert gone.counts == {"delete": up.counts["create"]}
    # A revision stays, for whoever still runs it.
    assert engine.left() == {"task definitions": 1}


def test_an_upload_runs_its_batch(deployed: Engine) -> None:
    assert deployed.result("target/orders.csv").startswith("ingest/target/orders.csv-")


def test_a_second_update_and_a_refresh_change_nothing(deployed: Engine) -> None:
    again = deployed.up()
    assert (again.errors, set(again.counts)) == ([], {"same"})
    refreshed = deployed.refresh()
    assert (refreshed.errors, set(refreshed.counts)) == ([], {"same"})


def test_a_refresh_finds_what_somebody_deleted_and_an_update_makes_it_anew(
    deployed: Engine,
) -> None:
    alarms = deployed.api("cloudwatch")
    names = [alarm["AlarmName"] for alarm in alarms.describe_alarms()["MetricAlarms"]]
    [silent] = [name for name in names if "watcher-silent" in name]
    alarms.delete_alarms(AlarmNames=[silent])
    assert deployed.refresh().counts["delete"] == 1
    assert deployed.up().of("create") == {("aws:cloudwatch:MetricAlarm", "watcher-silent")}


def test_every_change_is_made_where_it_is_declared_and_taken_back(deployed: Engine) -> None:
    first = deployed.outputs()
    original = (deployed.root / "Pulumi.dev.yaml").read_bytes()
    deployed.edit("cpu: 512, memory: 1024", "cpu: 1024, memory: 2048")
    deployed.edit("ENV: Original env value.", "ENV: Another env value.")
    sized = deployed.up().must()
    assert deployed.result("target/sized.csv")
    # A revision never changes: it is another one, and the old one stays.
    assert sized.of("create-replacement") == {("aws:ecs:TaskDefinition", "ingest")}
    assert sized.counts["replace"] == 1
    assert {"create", "delete"} & set(sized.counts) == set()
    ecs = deployed.api("ecs")
    old, new = (o["jobs"]["ingest"]["taskDefinitionArn"] for o in (first, deployed.outputs()))
    described = [
        ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in (old, new)
    ]
    assert [(one["status"], one["cpu"]) for one in described] == [
        ("ACTIVE", "512"),
        ("ACTIVE", "1024"),
    ]

    deployed.edit("schedule: rate(1 minute)", "schedule: rate(5 minutes)")
    edited = deployed.up().must()
    changed = {what for what in edited.of("update") if what[0].startswith("aws:")}
    assert changed == {("aws:scheduler:Schedule", "hello")}

    deployed.edit("    complete: {job: ingest, key: test/aaa/complete.txt, via: task}\n", "")
    deployed.edit("    target: {", "    added: {job: ingest, prefix: added/}\n    target: {")
    uploads = deployed.up().must()
    assert "replace" not in uploads.counts
    assert ("aws:cloudwatch:EventRule", "added") in uploads.of("create")
    assert ("aws:cloudwatch:EventRule", "complete") in uploads.of("delete")
    assert set(deployed.outputs()["uploads"]) == {"added", "target"}
    assert deployed.result("added/a.csv").startswith("ingest/added/")

    deployed.edit("ingest", "intake")
    deployed.up().must()
    assert set(deployed.outputs()["jobs"]) == {"intake"}
    assert deployed.result("target/renamed.csv").startswith("intake/")

    (deployed.root / "Pulumi.dev.yaml").write_bytes(original)
    deployed.up().must()
    assert set(deployed.up().counts) == {"same"}
    assert deployed.result("target/back.csv").startswith("ingest/")
    last = deployed.outputs()
    assert last["uploadBucket"] == first["uploadBucket"]
    assert set(last["uploads"]) == set(first["uploads"])


def test_destroyed_nothing_is_left_but_revisions(deployed: Engine) -> None:
    outputs = deployed.outputs()
    deployed.api("s3").put_object(
        Bucket=outputs["uploadBucket"], Key="target/left.csv", Body=b"a\n1\n"
    )
    gone = deployed.destroy()
    assert (gone.errors, set(gone.counts)) == ([], {"delete"})
    assert set(deployed.left()) <= {"task definitions"}
