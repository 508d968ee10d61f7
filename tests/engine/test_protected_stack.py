"""The stack `prod` on the real engine: what it keeps when a job goes, and when it goes itself."""

import json
import re

import pytest

from tests.engine.conftest import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
FILE = "Pulumi.prod.yaml"


@pytest.fixture(scope="module")
def prod(engine: Engine) -> Engine:
    engine.edit("schedule: rate(1 minute), enabled: true", "schedule: rate(1 day)", FILE)
    assert set(engine.create("prod", "--policy-pack", "policy").counts) == {"create"}
    return engine


def lines(engine: Engine, group: str) -> int:
    return len(engine.api("logs").filter_log_events(logGroupName=group)["events"])


def letters(engine: Engine, url: str) -> int:
    attributes = engine.api("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def log_groups(engine: Engine) -> set[str]:
    return {one["logGroupName"] for one in engine.api("logs").describe_log_groups()["logGroups"]}


def test_logs_and_letters_of_a_renamed_job_and_upload_stay_and_the_names_are_free_again(
    prod: Engine,
) -> None:
    assert prod.result("target/orders.csv", "prod").startswith("ingest/")
    before = prod.outputs("prod")
    group = before["jobs"]["ingest"]["logGroup"]
    written = lines(prod, group)
    assert written
    queue = before["uploads"]["target"]["deadLetterQueueUrl"]
    prod.api("sqs").send_message(QueueUrl=queue, MessageBody=json.dumps({"detail": {}}))

    prod.edit("ingest", "intake", FILE)
    prod.edit("target:", "landing:", FILE)
    prod.up("prod").must()
    assert (lines(prod, group), letters(prod, queue)) == (written, 1)
    assert prod.result("target/renamed.csv", "prod").startswith("intake/")

    prod.edit("intake", "ingest", FILE)
    prod.edit("landing:", "target:", FILE)
    prod.up("prod").must()
    assert prod.result("target/again.csv", "prod").startswith("ingest/")
    assert (lines(prod, group), letters(prod, queue)) == (written, 1)
    assert prod.outputs("prod")["jobs"]["ingest"]["logGroup"] != group


def test_images_that_are_no_longer_built_stay_with_their_repository(prod: Engine) -> None:
    [built] = prod.api("ecr").describe_repositories()["repositories"]
    above = "fargate-batch:logRetentionDays:"
    prod.edit(above, f"fargate-batch:image: public.example/none:1\n  {above}", FILE)
    assert "delete" in prod.up("prod").must().counts
    assert prod.api("ecr").describe_repositories()["repositories"] == [built]


def test_it_is_destroyed_only_without_protect_and_leaves_what_it_was_told_to_keep(
    prod: Engine,
) -> None:
    there = prod.left()
    refused = prod.destroy("prod")
    assert refused.status != 0
    assert "protect" in refused.text
    assert prod.left() == there

    prod.edit('protect: "true"', 'protect: "false"', FILE)
    changed = prod.up("prod").must()
    assert not {"create", "delete", "replace"} & set(changed.counts)
    now = prod.outputs("prod")["jobs"]["ingest"]["logGroup"]
    kept = {name for name in log_groups(prod) if re.search(r"intake|prod/ingest", name)}
    prod.destroy("prod").must()
    assert log_groups(prod) < kept
    assert now not in log_groups(prod)
    # What was removed under protect is no longer Pulumi's to delete.
    assert set(prod.left()) == {"log groups", "queues", "repositories", "task definitions"}


def test_destroyed_without_its_preview_it_keeps_its_objects_and_the_next_update_mends_it(
    engine: Engine,
) -> None:
    file = engine.root / "Pulumi.kept.yaml"
    file.write_text(
        "config:\n  aws:region: ap-northeast-1\n  fargate-batch:protect: true\n"
        "  fargate-batch:jobs: {only: {image: public.example/none:1}}\n",
        encoding="utf-8",
    )
    engine.create("kept")
    names = [engine.outputs("kept")[key] for key in ("uploadBucket", "resultsBucket")]
    s3 = engine.api("s3")
    for name in names:
        s3.put_object(Bucket=name, Key="kept", Body=b"x")

    refused = engine.destroy("kept", "--skip-preview")
    assert refused.status != 0
    assert "protect" in refused.text
    assert {kind for kind, _ in engine.up("kept").must().of("same")} >= {"aws:s3:Bucket"}
    assert [engine.outputs("kept")[key] for key in ("uploadBucket", "resultsBucket")] == names
    assert [s3.get_object(Bucket=name, Key="kept")["Body"].read() for name in names] == [b"x"] * 2

    engine.edit('protect: "true"', 'protect: "false"', file.name)
    engine.up("kept").must()
    engine.destroy("kept").must()
    there = {one["Name"] for one in s3.list_buckets()["Buckets"]}
    assert there.isdisjoint(names)
