"""A job's limit: what it is made of and granted, and that no order of events breaks it."""

import json
import re
from random import Random
from typing import Any

import pytest

from components import BatchStateMachine, BatchStateMachineArgs
from components._task import known_place, known_task
from components.asl.job import RetryPolicy, run_job
from components.asl.limit import Permits, pass_on_permits
from tests.components.expressions import check_structure
from tests.components.interleaving import CALLBACK, TABLE, World, items, new_table
from tests.components.parts import LOG_DELIVERY, PLACEMENT, TASK, names
from tests.recorder import ACCOUNT, REGION, Recording, deploy, deploy_stack, every, one

MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-job-ingest"
EXECUTIONS = MACHINE.replace("stateMachine", "execution") + ":*"
POLICY = RetryPolicy(attempts=5, exit_codes=[75], spot_interruptions=2)


def limited(limit: int | None) -> Recording:
    args: BatchStateMachineArgs = {"task": TASK, "placement": PLACEMENT}
    if limit is not None:
        args["max_concurrency"] = limit
    return deploy(lambda: BatchStateMachine("ingest", args))


def statements(recording: Recording, name: str) -> list[dict[str, Any]]:
    return one(recording.resources, type="RolePolicy", name=name).document("policy")["Statement"]


def test_a_limit_is_a_table_a_rule_a_state_machine_and_a_queue_for_ends_not_handled() -> None:
    recording = limited(2)
    assert names(recording, "ConcurrencyLimit") == {
        ("Table", "ingest"),
        ("LogGroup", "ingest"),
        ("Role", "ingest-limit"),
        ("RolePolicy", "ingest-limit"),
        ("StateMachine", "ingest"),
        ("EventRule", "ingest"),
        ("EventTarget", "ingest"),
        ("Queue", "ingest-dead-letters"),
        ("Role", "ingest"),
        ("RolePolicy", "ingest"),
    }
    table = one(recording.resources, type="Table").inputs
    assert table["billingMode"] == "PAY_PER_REQUEST"
    assert (table["hashKey"], table["rangeKey"]) == ("kind", "arrival")
    assert "pointInTimeRecovery" not in table
    rule = one(recording.resources, type="EventRule", name="ingest").document("eventPattern")
    assert rule == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {
            "stateMachineArn": [MACHINE],
            "status": ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"],
        },
    }
    looks = one(recording.resources, type="EventRule", name="ingest").inputs
    assert looks["scheduleExpression"] == "rate(5 minutes)"
    target = one(recording.resources, type="EventTarget", name="ingest").inputs
    assert "ingest-dead-letters" in target["deadLetterConfig"]["arn"]


def test_each_role_is_granted_the_one_table_and_the_one_job() -> None:
    recording = limited(2)
    arn = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ingest-1a2b3c4"
    gate = {
        "Effect": "Allow",
        "Action": ["dynamodb:UpdateItem", "dynamodb:PutItem"],
        "Resource": arn,
    }
    assert gate in statements(recording, "ingest-job")
    assert statements(recording, "ingest-limit") == [
        {
            "Effect": "Allow",
            "Action": [
                "dynamodb:GetItem",
                "dynamodb:Query",
                "dynamodb:UpdateItem",
                "dynamodb:DeleteItem",
            ],
            "Resource": arn,
        },
        {"Effect": "Allow", "Action": "states:SendTaskSuccess", "Resource": MACHINE},
        {"Effect": "Allow", "Action": "states:DescribeExecution", "Resource": EXECUTIONS},
        LOG_DELIVERY,
    ]


def calls(definition: dict[str, Any]) -> set[str]:
    """The actions that a definition's tasks take, but for running the task itself."""
    found = set[str]()
    lines = [definition["States"]]
    while lines:
        for state in lines.pop().values():
            if state["Type"] == "Map":
                lines.append(state["ItemProcessor"]["States"])
            if state["Type"] != "Task" or "ecs" in state["Resource"]:
                continue
            service, operation = state["Resource"].removesuffix(CALLBACK).split(":")[-2:]
            prefix = {"sfn": "states"}.get(service, service)
            parts = state["Arguments"].get("TransactItems", [])
            members = [f"{kind}Item" for part in parts for kind in part]
            names = members or [operation[0].upper() + operation[1:]]
            found |= {f"{prefix}:{name}" for name in names}
    return found


def test_each_role_is_granted_what_its_state_machine_calls_and_nothing_else() -> None:
    recording = limited(2)
    for role, definition in (
        ("ingest-job", of_job(2)),
        ("ingest-limit", pass_on_permits(Permits(TABLE, 2))),
    ):
        granted = list[str]()
        for statement in statements(recording, role):
            action = statement["Action"]
            granted += [action] if isinstance(action, str) else action
        own = {action for action in granted if action.startswith(("dynamodb:", "states:"))}
        assert own == calls(definition)


def test_an_end_that_was_not_handled_raises_an_alarm() -> None:
    recording = deploy_stack("dev", jobs={"ingest": {"maxConcurrency": 2}})
    alarms = [r.inputs for r in every(recording.resources, type="MetricAlarm")]
    queries = [query for alarm in alarms for query in alarm.get("metricQueries", [])]
    watched = [query["metric"]["dimensions"]["RuleName"] for query in queries if "metric" in query]
    assert [name for name in watched if re.fullmatch(r"ingest-[0-9a-f]{7}", name)]
    watcher = one(recording.resources, type="Function", name="watcher").inputs["code"]
    queues = json.loads(watcher["watch/stack.json"])["queues"]
    assert queues["limit-ingest"] == "ingest-dead-letters-1a2b3c4"


def test_a_job_without_a_limit_is_what_it_was() -> None:
    recording = limited(None)
    job = one(recording.resources, type="StateMachine").document("definition")
    assert "AcquirePermit" not in job["States"]
    assert not any("dynamodb" in json.dumps(r.inputs) for r in recording.resources)


def test_the_definitions_with_a_limit_are_whole_and_have_it_where_it_is_checked() -> None:
    for definition in (of_job(7), pass_on_permits(Permits(TABLE, 7))):
        check_structure(definition)
        assert '":limit": {"N": "7"}' in json.dumps(definition)
    job = of_job(7)["States"]
    assert {choice["Next"] for choice in job["ReadInput"]["Choices"]} == {"AcquirePermit"}
    # A job that waits for its next try keeps its permit.
    assert job["BackOff"]["Next"] == "RunTask"


def of_job(limit: int) -> dict[str, Any]:
    permits = Permits(TABLE, limit)
    return run_job(
        known_task(TASK),
        known_place(PLACEMENT),
        timeout_seconds=60,
        retries=POLICY,
        permits=permits,
    )


def world(seed: int, limit: int, *, faults: bool) -> World:
    new_table("kind", "arrival")
    random = Random(seed)  # noqa: S311 - to be had again
    return World(of_job(limit), pass_on_permits(Permits(TABLE, limit)), limit, random, faults)


def run_until_all_have_ended(it: World, arrivals: int, *, stops: int = 0) -> int:
    """All in any order; then looks, as the schedule does, until all are through: how many."""
    while it.choices() or arrivals:
        may = it.choices()
        if arrivals and (not may or it.random.random() < 0.2):
            arrivals -= 1
            it.arrive()
        elif stops and it.random.random() < 0.05:
            stops -= 1
            alive = [*it.jobs.values(), *it.handing]
            it.stop(it.random.choice([run for run in alive if run.status == "RUNNING"] or alive))
        else:
            it.random.choice(may)()
        assert len(it.running) <= it.limit
        semaphore = [item for item in items() if item["kind"]["S"] == "slots"]
        assert all(len(item.get("holders", {"SS": []})["SS"]) <= it.limit for item in semaphore)
    it.faults = False
    for looks in range(50):
        if all(run.status != "RUNNING" for run in it.jobs.values()):
            return looks
        it.hand_on({})
        while may := it.choices():
            it.random.choice(may)()
            assert len(it.running) <= it.limit
    left = [run.name for run in it.jobs.values() if run.status == "RUNNING"]
    raise AssertionError(f"left behind: {left}")


@pytest.mark.parametrize("seed", range(28))
def test_in_any_order_of_calls_nobody_enters_too_early_and_nobody_needs_to_be_looked_for(
    seed: int,
) -> None:
    # Of few, the last may come just as the last permit comes free.
    arrivals, limit = (2, 1) if seed % 4 else (8, 1 + seed // 4 % 3)
    it = world(seed, limit, faults=False)

    assert run_until_all_have_ended(it, arrivals) == 0

    assert [run.status for run in it.jobs.values()] == ["SUCCEEDED"] * arrivals
    assert sorted(it.entered) == sorted(it.jobs)
    # Who asks for a place just as a permit comes free is refused it, and takes the permit at once.
    assert it.waited == []
    assert [item["waiting"]["N"] for item in items() if "waiting" in item] in ([], ["0"])
    assert [item["kind"]["S"] for item in items()] == ["slots"]
    assert not any("holders" in item for item in items())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16))
def test_lost_answers_lost_and_doubled_events_stops_and_crashes_leave_nobody_behind(
    seed: int,
) -> None:
    it = world(1000 + seed, 1 + seed % 3, faults=True)
    run_until_all_have_ended(it, 8, stops=3)

    assert {run.status for run in it.jobs.values()} <= {"SUCCEEDED", "ABORTED"}
    assert [run.status for run in it.jobs.values()].count("SUCCEEDED") >= 5
    queue = [item for item in items() if item["kind"]["S"] == "queue"]
    waiting = [item["waiting"]["N"] for item in items() if "waiting" in item]
    assert waiting in ([], [str(len(queue))])
