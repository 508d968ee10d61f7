"""The definitions of the state machines, each as a whole in `tests/golden/definitions/`.

A change of one is seen in the diff of its file: `GOLDEN=write .venv/bin/pytest
tests/components/test_golden.py` writes them.
"""

import functools
import json
import os
from typing import Any

import pytest

from components.asl.alerts import alert
from components.asl.backfill import run_backfill
from components.asl.job import Endings, Place, RetryPolicy, Task, network_of, run_job
from components.asl.limit import Permits, pass_on_permits
from components.asl.pipeline import Step, run_pipeline
from components.asl.restart import restart_task
from components.asl.timeout import reap_task
from components.asl.turn import Turns
from tests.components.expressions import check_structure
from tests.recorder import ACCOUNT, REGION, ROOT

GOLDEN = ROOT / "tests" / "golden" / "definitions"
CLUSTER = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/batch"
TASK = Task("ingest", f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/ingest:7", "/batch/ingest")
RETRIES = RetryPolicy(attempts=5, exit_codes=[75], spot_interruptions=2)
PERMITS = Permits("ingest-1a2b3c4", 4)
ALERT = functools.partial(
    alert,
    project="fargate-batch",
    stack="dev",
    prefix="fargate-batch-dev-",
    runbook="docs/operations.md",
    topic_arn=f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts",
    queue_url=f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/alerts-dead-letters",
)
EXCLUSIONS = {"in": ["tmp/*", "\\*.a.b"]}
MACHINES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:"


def place(*, spot: bool) -> Place:
    return Place(CLUSTER, ["subnet-1"], ["sg-1"], not spot, "1.4.0", spot)


def step(job: str, *, on: bool = False, **more: Any) -> Step:  # noqa: ANN401 any of its fields
    arn = MACHINES + job
    given: dict[str, Any] = {"commands": None, "environment": None, **more}
    return Step(job, arn, **given, on_failure="continue" if on else "stop")


DEFINITIONS = {
    "job": run_job(
        TASK,
        place(spot=False),
        timeout_seconds=3600,
        retries=RETRIES,
        turns=Turns("cluster-launches-1a2b3c4", 20),
    ),
    "job-on-spot-with-permits": run_job(
        TASK, place(spot=True), timeout_seconds=60, retries=RETRIES, permits=PERMITS
    ),
    "job-of-uploads": run_job(
        TASK,
        place(spot=False),
        timeout_seconds=60,
        retries=RetryPolicy(attempts=0, exit_codes=[], spot_interruptions=0),
        endings=Endings(success=[3, 4], warning=[5]),
        exclusions=EXCLUSIONS,
    ),
    "permits": pass_on_permits(PERMITS),
    "reaper": reap_task(
        {"fargate-batch-dev-job-ingest": 3600, "fargate-batch-dev-job-load": 60}, CLUSTER
    ),
    "reaper-that-restarts": reap_task(
        {"fargate-batch-dev-job-ingest": 60},
        CLUSTER,
        restart_task(
            {"ingest": network_of(place(spot=False))},
            "fargate-batch-dev-job-",
        ),
    ),
    "pipeline-of-uploads": run_pipeline(
        "nightly",
        [
            [step("load", commands=["<date:%Y%m%d>", "<bucket>/<key>"], tags={"a": "{% 1 %}"})],
            [Step("send", MACHINES + "send", None, None, "finish", "stop"), step("index")],
        ],
        skip_overlap=True,
        timezone="Asia/Tokyo",
        exclusions=EXCLUSIONS,
    ),
    "pipeline": run_pipeline(
        "nightly",
        [
            [step("extract", commands=["{% 1 %}"], environment={"A": "1"})],
            [step("load"), step("index", on=True)],
            [step("notify", on=True)],
        ],
        skip_overlap=True,
    ),
    "pipeline-that-overlaps": run_pipeline("nightly", [[step("load")]], skip_overlap=False),
    "backfill": run_backfill(
        jobs=f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-job-",
        bucket="results-1a2b3c4",
        folder="out/_backfills/",
    ),
    "alerts": ALERT(backfills=True),
    "alerts-to-a-chat": ALERT(
        chat_topic_arn=f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts-chat",
        exit_codes={"ingest": {"success": [3], "warning": [4]}},
        restarted=["ingest"],
        log_groups={"ingest": "/batch/ingest"},
    ),
}


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_is_as_it_was_reviewed(name: str) -> None:
    file, text = GOLDEN / f"{name}.json", json.dumps(DEFINITIONS[name], indent=2) + "\n"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8"), "if it is right: GOLDEN=write pytest, and review it"


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if not name.startswith("alerts")])
def test_a_definition_holds_together(name: str) -> None:
    check_structure(DEFINITIONS[name])


def test_every_golden_file_is_of_a_definition() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(DEFINITIONS)
