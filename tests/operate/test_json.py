"""`--json` prints what docs/commands.md says."""

import json
import re
from typing import Any

import pytest

from tests.operate.conftest import CommandLine, Deployed
from tests.recorder import ROOT

_ROW = re.compile(r"^\| (`[^|]+`) \| `\[?([^`\]]+)\]?`", re.MULTILINE)
_TEXT = (ROOT / "docs" / "commands.md").read_text("utf-8").partition("## What `--json` prints")[2]
SAID = {
    command: found[2].split(", ")
    for found in _ROW.finditer(_TEXT.partition("\n## ")[0])
    for command in re.findall(r"`([^`]+)`", found[1])
}


def test_every_command_is_in_the_reference() -> None:
    assert set(SAID) == {
        *("runs", "show", "logs", "start", "fire", "stop", "retry", "schedules", "doctor", "cost"),
        *("letters list", "letters show", "letters send", "letters drop", "web"),
        *("schedules show", "schedules pause", "schedules resume"),
        # See test_backfills.py.
        *("backfill", "backfills", "backfills show", "backfills rate", "backfills stop"),
        "backfills continue",
    }


@pytest.fixture(scope="module")
def run(deployed: Deployed) -> str:
    execution = deployed.start(commands=["x"], environment={"CODE": "3"})
    deployed.ended(execution)
    return execution.rpartition(":")[2]


@pytest.fixture
def letter(deployed: Deployed) -> None:
    arn = deployed.outputs["uploads"]["target"]["ruleArn"]
    names = {"RULE_ARN": arn, "TARGET_ARN": deployed.machine}
    deployed.client("sqs").send_message(
        QueueUrl=deployed.outputs["uploads"]["target"]["deadLetterQueueUrl"],
        MessageBody='{"id": "1", "detail": {}}',
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in names.items()
        },
    )


def members(answer: Any) -> list[str]:  # noqa: ANN401 -- JSON
    first = answer[0] if isinstance(answer, list) else answer
    return list(first)


@pytest.mark.parametrize(
    "command",
    [
        ("runs",),
        ("show", "RUN"),
        ("logs", "RUN"),
        ("stop", "RUN", "--reason", "x"),
        ("retry", "RUN", "--dry-run"),
        ("fire", "hello"),
        ("start", "ingest", "--no-wait"),
        ("letters", "list"),
        ("letters", "show"),
        ("letters", "send", "--all"),
        ("letters", "drop", "--all"),
        ("schedules",),
        ("schedules", "show", "nightly"),
        ("schedules", "pause", "nightly", "--reason", "x", "--dry-run"),
        ("doctor",),
        ("cost",),
    ],
)
@pytest.mark.usefixtures("letter")
def test_a_command_has_the_members_of_the_reference_in_their_order(
    fargate_batch: CommandLine, run: str, command: tuple[str, ...]
) -> None:
    fargate_batch.run(run, "failed")
    answer = fargate_batch(*(run if one == "RUN" else one for one in command), "--json")
    said = SAID[" ".join(command[:2])] if " ".join(command[:2]) in SAID else SAID[command[0]]
    fargate_batch.deployed.client("sqs").purge_queue(
        QueueUrl=fargate_batch.deployed.outputs["uploads"]["target"]["deadLetterQueueUrl"]
    )
    assert members(json.loads(answer.out.splitlines()[0])) == said
