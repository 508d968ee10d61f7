"""The program's own tests: it runs here without a cloud, and what it registers is plain data."""

import runpy
from pathlib import Path

from fargate_batch.testing import UNKNOWN, Recording, deploy, one

PROGRAM = Path(__file__).with_name("__main__.py")
PLATFORM = "team/fargate-batch/dev"
MACHINE = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:fargate-batch-dev-job-ingest"


def orders(*, preview: bool = False) -> Recording:
    return deploy(
        lambda: runpy.run_path(str(PROGRAM), run_name="__main__"),
        name="orders",
        config={"orders:platform": PLATFORM},
        stacks={
            PLATFORM: {"uploadBucket": "uploads", "jobs": {"ingest": {"stateMachineArn": MACHINE}}}
        },
        preview=preview,
    )


def test_csv_files_of_ours_start_the_platforms_job() -> None:
    resources = orders().resources
    pattern = one(resources, type="EventRule").document("eventPattern")
    assert pattern["detail"]["object"]["key"] == [{"wildcard": "orders/*.csv"}]
    assert one(resources, type="EventTarget").inputs["arn"] == MACHINE


def test_a_preview_registers_the_same_and_knows_no_queue_yet() -> None:
    preview = orders(preview=True)
    assert [it.urn for it in preview.resources] == [it.urn for it in orders().resources]
    assert preview.exports == {"deadLetterQueueUrl": UNKNOWN}
