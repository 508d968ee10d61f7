"""What `up` tells of what happens."""

import json
from typing import Any, cast
from unittest.mock import Mock

import pytest

from local.commands.happenings import Happenings
from local.services.events.events import Delivery
from tests.local.probe import eventually
from tests.operate.conftest import Deployed, deployed
from tests.operate.test_letters import without

pytestmark = pytest.mark.slow

__all__ = ["deployed"]


class Heard:
    """A screen that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def event(self, what: str, text: str) -> None:
        self.lines.append((what, text))

    def has(self, what: str, *texts: str) -> bool | None:
        found = [text for kind, text in self.lines if kind == what]
        return any(all(one in text for one in texts) for text in found) or None


def test_an_upload_what_it_started_how_that_ended_a_letter_and_a_message_are_told_once(
    deployed: Deployed,
) -> None:
    heard: Any = Heard()
    with Happenings(deployed.stack(), heard).told():
        deployed.put("target/a.csv")
        eventually(lambda: heard.has("ended", "job ingest", ": succeeded"))
        bucket = deployed.outputs["uploadBucket"]
        assert [text for what, text in heard.lines if what == "upload"] == [
            f"s3://{bucket}/target/a.csv, which starts target"
        ]
        kinds = [what for what, text in heard.lines if "job ingest" in text]
        assert kinds == ["started", "ended"]

        deployed.broken.touch()
        try:
            deployed.put("test/aaa/complete.txt")
            eventually(lambda: heard.has("ended", "task ingest", ": exit code 4"))
            deployed.put("target/b.csv")
            eventually(lambda: heard.has("ended", "job ingest", ": failed, ", "exit code 4"))
            eventually(lambda: heard.has("message", "ingest", "exit code 4"))
        finally:
            deployed.broken.unlink()
        with without(deployed, "upload-target", "states:StartExecution"):
            deployed.put("target/c.csv")
            eventually(lambda: heard.has("letter", "of upload-target: NO_PERMISSIONS"))
    count = len(heard.lines)
    deployed.ended(deployed.start())
    assert len(heard.lines) == count


@pytest.mark.parametrize(
    ("output", "how"),
    [
        ({"skipped": True}, "succeeded, skipped: its key is excluded"),
        ({"skipped": True, "running": "arn"}, "succeeded, skipped: an earlier run goes on"),
        ({"steps": [{"job": "a", "status": "SKIPPED"}]}, "succeeded"),
        ({"steps": [{"output": {"skipped": 1}}]}, "succeeded"),
        (None, "succeeded"),
    ],
    ids=str,
)
def test_a_run_that_did_nothing_on_purpose_says_why(output: object, how: str) -> None:
    heard: Any = Heard()
    stack: Any = Mock(uploads={}, triggers={})
    stack.named.return_value = ("pipeline", "nightly")
    detail = {"stateMachineArn": "a:b", "name": "x", "status": "SUCCEEDED"}
    event = {
        "id": "1",
        "source": "aws.states",
        "detail": detail | ({} if output is None else {"output": json.dumps(output)}),
    }
    Happenings(stack, heard).delivery(Delivery("rule", "name", "target", event, "matched"))
    assert heard.lines == [("ended", f"pipeline nightly, x: {how}")]


def test_who_reads_no_more_ends_no_delivery(deployed: Deployed) -> None:
    class Gone(Heard):
        def event(self, what: str, text: str) -> None:
            super().event(what, text)
            raise BrokenPipeError

    def started() -> int:
        listed = deployed.client("stepfunctions").list_executions(stateMachineArn=deployed.machine)
        return len(listed["executions"])

    before, gone = started(), Gone()
    with Happenings(deployed.stack(), cast("Any", gone)).told():
        deployed.put("target/d.csv")
        eventually(lambda: started() > before or None)
    assert gone.has("upload", "target/d.csv")
