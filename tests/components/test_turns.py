"""Turns of executions that RunTask refuses: each has one of its own, in order, and none is lost."""

import json
import time
from collections.abc import Generator
from datetime import datetime
from random import Random
from typing import Any

import pytest

from components import BatchStateMachine, BatchStateMachineArgs
from components.asl.states import States
from components.asl.turn import FRESH, MOST_SECONDS, PATIENCE_SECONDS, REFUSED, Turns, take_turn
from tests.components.expressions import choose, evaluate
from tests.components.interleaving import TABLE, WAIT, Answer, Call, dynamodb, new_table, walk
from tests.components.parts import PLACEMENT, TASK
from tests.recorder import ACCOUNT, REGION, deploy, deploy_stack, every, one

# A turn is later than all that happens in a test.
SECOND = 1000.0
STATES = take_turn(Turns(TABLE, 1), "Again", otherwise="GiveUp") | {
    "Again": {"Type": "Succeed"},
    "GiveUp": {"Type": "Fail"},
}
GIVE_UP_NEVER = 8_000_000_000_000
NOT_NOW = [
    "ECS.AmazonECSException",
    "ECS.ThrottlingException",
    "ECS.ServerException",
    "ECS.ClientException",
    "AmazonECS.Unknown",
]

Steps = Generator[Call, Answer, Any]


def execution(refusals: int = 1, states: States = STATES) -> Steps:
    variables = {"refusals": refusals, "giveUpAt": GIVE_UP_NEVER}
    scope = {"Execution": {"Id": "me"}, "variables": variables, "tokens": 0}
    return walk(states, "TakeTurn", {}, scope)


def turns_of(number: int, seed: int) -> list[float]:
    """When each of so many waits until, in milliseconds after now, all of them at work at once."""
    new_table("queue")
    random = Random(seed)  # noqa: S311 - to be had again
    now = time.time_ns() // 1_000_000
    # None of these turns passes before the others are taken.
    still = json.loads(json.dumps(STATES).replace("$millis()", f"{now}"))
    runs = [execution(states=still) for _ in range(number)]
    calls = [(run, next(run)) for run in runs]
    found = list[float]()
    while calls:
        run, (resource, arguments) = calls.pop(random.randrange(len(calls)))
        if resource == WAIT:
            found.append(datetime.fromisoformat(arguments).timestamp() * 1000 - now)
        else:
            answer = dynamodb("DynamoDB", resource.rpartition(":")[2], arguments)
            calls.append((run, run.send(answer)))
    return sorted(found)


@pytest.mark.parametrize("seed", range(8))
def test_in_any_order_of_calls_each_has_a_turn_of_its_own_and_none_is_left_out(seed: int) -> None:
    assert turns_of(25, seed) == pytest.approx([SECOND * turn for turn in range(25)], abs=2)


def test_a_turn_that_has_passed_is_the_first_of_others() -> None:
    new_table("queue")
    past = {
        "TableName": TABLE,
        "Key": {"queue": {"S": "launches"}},
        "UpdateExpression": "SET #next = :past",
        "ExpressionAttributeNames": {"#next": "next"},
        "ExpressionAttributeValues": {":past": {"N": "1000"}},
    }
    assert dynamodb("DynamoDB", "updateItem", past)[0] is None
    run = execution()
    before = time.time()
    call, told = next(run), list[str]()
    while call[0] != WAIT:
        answer = dynamodb("DynamoDB", call[0].rpartition(":")[2], call[1])
        told.append(answer[0] or "taken")
        call = run.send(answer)

    assert told == ["DynamoDB.ConditionalCheckFailedException", "taken"]
    assert before - 0.001 <= datetime.fromisoformat(call[1]).timestamp() < before + 60


def test_without_the_table_it_is_tried_again_all_the_same() -> None:
    run = execution()
    call, tried = next(run), 0
    until = None
    while until is None:
        if call[0] == WAIT and isinstance(call[1], str):
            until = datetime.fromisoformat(call[1])
            break
        tried += call[0] != WAIT
        error = None if call[0] == WAIT else "DynamoDB.AccessDeniedException"
        call = run.send((error, None))

    assert tried == 6
    assert (until - datetime.now(until.tzinfo)).total_seconds() <= MOST_SECONDS
    with pytest.raises(StopIteration):
        run.send((None, None))


def test_without_the_table_it_is_tried_for_no_longer() -> None:
    for state in ("TakeTurn", "TakeFirstTurn"):
        calls: dict[str, Any] = STATES[state]
        assert calls["Catch"][-1]["Next"] == "MayTryAgain"
    assert choose(STATES["MayTryAgain"], giveUpAt=1) == ("GiveUp", {})
    assert choose(STATES["MayTryAgain"], giveUpAt=GIVE_UP_NEVER) == ("AwaitTurn", {})


def test_what_is_refused_again_and_again_waits_longer_and_in_the_end_gives_up() -> None:
    now = "$millis()"
    wait = STATES["AwaitTurn"]["Timestamp"].replace(now, "0").replace("$random()", "1")
    waits = [evaluate(wait, turn=0, refusals=refusals) for refusals in (1, 2, 3, 7, 8, 99)]
    assert [one[14:19] for one in waits] == ["00:00", "00:01", "00:03", "01:03", "01:30", "01:30"]
    assert evaluate(wait, turn=3_600_000, refusals=9) == "1970-01-01T01:00:00.000Z"

    late = evaluate(STATES["TakeTurn"]["Arguments"], giveUpAt=1)
    assert late["ExpressionAttributeValues"][":now"] == {"N": "9000000000000"}
    assert choose(STATES["MayTakeTurn"], giveUpAt=1) == ("GiveUp", {})
    assert choose(STATES["MayTakeTurn"], giveUpAt=GIVE_UP_NEVER) == ("TakeFirstTurn", {})


def test_its_patience_begins_with_the_first_refusal() -> None:
    now = time.time()
    first = evaluate(REFUSED, refusals=FRESH["refusals"], giveUpAt=FRESH["giveUpAt"])
    assert first["refusals"] == 1
    assert now <= first["giveUpAt"] / 1000 - PATIENCE_SECONDS + 0.001 <= now + 60
    second = evaluate(REFUSED, refusals=1, giveUpAt=first["giveUpAt"])
    assert second == {"refusals": 2, "giveUpAt": first["giveUpAt"]}


def machine(**more: Any) -> dict[str, Any]:  # noqa: ANN401 any key of the Args
    args: Any = {"task": TASK, "placement": PLACEMENT, "launch_table_name": "launches", **more}
    given: BatchStateMachineArgs = args
    recording = deploy(lambda: BatchStateMachine("ingest", given))
    policy = one(recording.resources, type="RolePolicy").document("policy")
    definition = one(recording.resources, type="StateMachine").document("definition")
    return {**definition, "granted": policy["Statement"]}


def test_run_task_is_not_retried_but_takes_turns_at_the_pace_it_is_given() -> None:
    made = machine(launches_per_second=8)
    run_task = made["States"]["RunTask"]
    assert [one["ErrorEquals"] for one in run_task["Retry"]] == [["ECS.InvalidParameterException"]]
    assert [(one["ErrorEquals"], one["Next"]) for one in run_task["Catch"]] == [
        (NOT_NOW, "TakeTurn"),
        (["States.ALL"], "Diagnose"),
    ]
    # What it says in the end is why it was refused.
    assert set(run_task["Catch"][0]["Assign"]) == {"failure", "refusals", "giveUpAt"}
    values = made["States"]["TakeTurn"]["Arguments"]["ExpressionAttributeValues"]
    assert values[":gap"] == {"N": "125"}
    assert made["States"]["AwaitTurn"]["Next"] == "RunTask"
    assert made["States"]["MayTakeTurn"]["Default"] == "NotStarted"
    assert {
        "Effect": "Allow",
        "Action": "dynamodb:UpdateItem",
        "Resource": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/launches",
    } in made["granted"]


def test_a_task_that_is_tried_again_has_all_the_patience_again() -> None:
    states = machine()["States"]
    starts = [choice["Assign"] for choice in states["ReadInput"]["Choices"]]
    again = next(one for one in states["Decide"]["Choices"] if one["Next"] == "BackOff")["Assign"]
    for assigned in (*starts, again):
        assert assigned | FRESH == assigned


def test_all_jobs_of_a_stack_share_the_table_of_its_cluster() -> None:
    jobs = {name: {} for name in ("ingest", "load")}
    resources = deploy_stack("dev", jobs=jobs, launchesPerSecond=100).resources
    [table] = [one for one in every(resources, type="Table") if one.name == "cluster-launches"]
    assert table.inputs == {
        "billingMode": "PAY_PER_REQUEST",
        "hashKey": "queue",
        "attributes": [{"name": "queue", "type": "S"}],
    }
    for name in jobs:
        made = one(resources, type="StateMachine", name=name).document("definition")
        asked = made["States"]["TakeTurn"]["Arguments"]
        assert asked["TableName"] == "cluster-launches-1a2b3c4"
        assert asked["ExpressionAttributeValues"][":gap"] == {"N": "10"}
