"""Another team's program, given what the platform's stack exports."""

import runpy

import pytest
from pulumi import RunError

from tests.recorder import ROOT, UNKNOWN, Recording, deploy, one, the_stack

PROGRAM = ROOT / "examples" / "consumer" / "__main__.py"
PLATFORM = "team/fargate-batch/dev"


def consumer(
    *, preview: bool = False, without: str | None = None, jobs: object = None
) -> Recording:
    exports = dict(the_stack("dev").exports)
    if jobs is not None:
        exports["jobs"] = jobs
    exports.pop(without or "", None)
    return deploy(
        lambda: runpy.run_path(str(PROGRAM), run_name="__main__"),
        name="orders",
        config={"orders:platform": PLATFORM},
        stacks={PLATFORM: exports},
        preview=preview,
    )


def test_its_uploads_to_the_platforms_bucket_start_the_platforms_job() -> None:
    exports, recording = the_stack("dev").exports, consumer()
    machine = exports["jobs"]["ingest"]["stateMachineArn"]
    assert one(recording.resources, type="EventRule").document("eventPattern") == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [exports["uploadBucket"]]},
            "object": {"key": [{"wildcard": "orders/*.csv"}]},
        },
    }
    assert one(recording.resources, type="EventTarget").inputs["arn"] == machine
    (granted,) = one(recording.resources, type="RolePolicy").document("policy")["Statement"]
    assert granted == {"Effect": "Allow", "Action": "states:StartExecution", "Resource": machine}


def test_a_preview_knows_the_platform_but_not_what_is_yet_to_be_made() -> None:
    preview = consumer(preview=True)
    assert {r.urn for r in preview.resources} == {r.urn for r in consumer().resources}
    machine = the_stack("dev").exports["jobs"]["ingest"]["stateMachineArn"]
    assert one(preview.resources, type="EventTarget").inputs["arn"] == machine
    assert preview.exports == {"deadLetterQueueUrl": UNKNOWN}


def test_it_shares_no_name_with_the_platform() -> None:
    own = {r.urn for r in consumer().resources}
    assert not own & {r.urn for r in the_stack("dev").resources}


@pytest.mark.parametrize("output", ["jobs", "uploadBucket"])
def test_a_platform_that_took_an_output_away_is_noticed(output: str) -> None:
    with pytest.raises(KeyError, match=output):
        consumer(without=output)


@pytest.mark.parametrize(
    ("jobs", "there"), [({"ingets": {}, "archive": {}}, "archive, ingets"), ({}, "none")]
)
def test_a_job_that_is_gone_is_told_of_in_a_line(jobs: dict[str, object], there: str) -> None:
    with pytest.raises(RunError) as caught:
        consumer(jobs=jobs)
    assert str(caught.value) == f"{PLATFORM} has no job ingest; there are: {there}"
