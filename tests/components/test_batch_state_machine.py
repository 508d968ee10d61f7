"""One job's state machine: what it accepts, what it starts, what it makes of an end, its grants."""

import json
from typing import Any

import pytest

from components import BatchStateMachine, BatchStateMachineArgs
from components.outcomes import OUT_OF_MEMORY
from tests.components.expressions import check_structure, choose, evaluate
from tests.components.parts import (
    CLUSTER,
    LOG_DELIVERY,
    LOG_GROUP,
    PLACEMENT,
    RUN_TASK,
    TASK,
    TASK_DEFINITION,
    TASKS,
    allows,
    names,
    outputs,
    trusts,
)
from tests.recorder import ACCOUNT, REGION, Recording, deploy, every, one

MACHINE = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-job-ingest"
TASK_ARN = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task/batch/0123456789abcdef"
KEYS = ["target/test.csv", 'a "b" \\ $x %2F+ {% 1 %}', "取込/注文\n😀.csv", "k" * 1024]


def machine(*, preview: bool = False, **more: Any) -> Recording:  # noqa: ANN401 any key of the Args
    args: BatchStateMachineArgs = {"task": TASK, "placement": PLACEMENT}
    merged: Any = {**args, **more}
    return deploy(lambda: BatchStateMachine("ingest", merged), preview=preview)


def states(**more: Any) -> dict[str, Any]:  # noqa: ANN401 any key of the Args
    recording = machine(**more)
    return one(recording.resources, type="StateMachine").document("definition")["States"]


STATES = states()


def event(key: str) -> dict[str, Any]:
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": ACCOUNT,
        "time": "2030-01-01T00:00:00Z",
        "region": REGION,
        "resources": ["arn:aws:s3:::uploads"],
        "detail": {
            "bucket": {"name": "uploads"},
            "object": {
                "key": key,
                "size": 5_497_558_138_880,
                "etag": "0123abcd-2",
                "version-id": "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY",
                "sequencer": "00617F08299329D189",
            },
        },
    }


def ended(
    exit_code: int | None,
    stop_code: str = "EssentialContainerExited",
    reason: str = "Essential container in task exited",
    **more: object,
) -> dict[str, Any]:
    """A Task, as `ecs:runTask.sync` results in it or, as JSON text, names it as the cause."""
    container: dict[str, Any] = {"Name": "ingest", "LastStatus": "STOPPED"}
    if exit_code is not None:
        container["ExitCode"] = exit_code
    return {
        "TaskArn": TASK_ARN,
        "Containers": [container | more],
        "StopCode": stop_code,
        "StoppedReason": reason,
    }


@pytest.mark.parametrize("key", KEYS)
def test_the_key_of_an_upload_becomes_the_command_byte_for_byte(key: str) -> None:
    assert choose(STATES["ReadInput"], input=event(key)) == (
        "RunTask",
        {
            "override": {
                "Name": "ingest",
                "Command": [key],
                "Environment": [
                    {"Name": "BUCKET", "Value": "uploads"},
                    {"Name": "OBJECT_KEY", "Value": key},
                    {"Name": "OBJECT_VERSION", "Value": "3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY"},
                    {"Name": "OBJECT_SIZE", "Value": "5497558138880"},
                    {"Name": "OBJECT_ETAG", "Value": "0123abcd-2"},
                    {"Name": "OBJECT_SEQUENCER", "Value": "00617F08299329D189"},
                ],
            },
            "trigger": "upload",
            "tags": [],
            "attempt": 0,
            "interruptions": 0,
        },
    )


@pytest.mark.parametrize(
    ("given", "trigger"),
    [
        ({}, "hand"),
        ({"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "me"}, "hand"),
        ({"AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "a:a:a:a:a:a:no tag? <"}, "hand"),
        (
            {
                "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": (
                    "arn:aws:states:r:a:execution:fargate-batch-dev-pipeline-nightly:1"
                )
            },
            "fargate-batch-dev-pipeline-nightly",
        ),
        (
            {
                "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": (
                    "arn:aws:states:r:a:execution:fargate-batch-dev-backfill-backfills/objects:1"
                ),
                **event("a.csv"),
            },
            "fargate-batch-dev-backfill-backfills",
        ),
    ],
)
def test_a_task_is_tagged_with_what_started_it(given: dict[str, Any], trigger: str) -> None:
    assert choose(STATES["ReadInput"], input=given)[1]["trigger"] == trigger


def test_what_s3_does_not_say_of_an_object_is_empty() -> None:
    upload = event("k")
    del upload["detail"]["object"]["version-id"]
    _, assigned = choose(STATES["ReadInput"], input=upload)
    told = {one["Name"]: one["Value"] for one in assigned["override"]["Environment"]}
    assert (told["OBJECT_VERSION"], told["OBJECT_KEY"]) == ("", "k")


EXCLUDED = ["tmp/*", "*.tmp", "a  b/\\*", "取\u3000/*", "x+(y).[z]", "c:\\\\*"]


@pytest.mark.parametrize(
    ("key", "excluded"),
    [
        ("tmp/a\nb", True),
        ("in/x.tmp", True),
        ("in/x.tmp\n", False),
        ("in/x.tmp.csv", False),
        ("in/tmp/x", False),
        ("a  b/*", True),
        ("a b/*", False),
        ("a  b/x", False),
        ("取\u3000/x", True),
        ("取 /x", False),
        ("x+(y).[z]", True),
        ("xx(y).[z]", False),
        ("c:\\d", True),
        ("😀", False),
    ],
)
def test_an_upload_that_is_excluded_ends_well_at_once(key: str, *, excluded: bool) -> None:
    found = states(exclusions={"in": EXCLUDED, "other": ["other/*"]})
    upload = {"upload": "in", **event(key)}
    assert (choose(found["ReadInput"], input=upload)[0] == "Excluded") is excluded
    assert found["Excluded"]["Type"] == "Succeed"
    assert evaluate(found["Excluded"]["Output"], input=upload) == {"skipped": True, "upload": "in"}
    # What started it otherwise is not meant.
    for other in ({"upload": "other", **event(key)}, event(key)):
        assert choose(found["ReadInput"], input=other)[0] == "RunTask"


PARENT = "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID"


@pytest.mark.parametrize(
    ("given", "override"),
    [
        ({}, {}),
        ({PARENT: "arn:aws:states:r:a:execution:nightly:1"}, {}),
        ({"commands": []}, {"Command": []}),
        ({"commands": ["a"]}, {"Command": ["a"]}),
        ({"commands": ["{% 1 %}", "", "$x"]}, {"Command": ["{% 1 %}", "", "$x"]}),
        ({"environment": {}}, {"Environment": []}),
        ({"environment": {"A": ""}}, {"Environment": [{"Name": "A", "Value": ""}]}),
        (
            {"commands": ["a", "b"], "environment": {"A": "1", "B": "取込"}},
            {
                "Command": ["a", "b"],
                "Environment": [{"Name": "A", "Value": "1"}, {"Name": "B", "Value": "取込"}],
            },
        ),
        ({"commands": ["x" * 8000]}, {"Command": ["x" * 8000]}),
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_request_overrides_what_it_gives_and_nothing_else(
    given: dict[str, Any], override: dict[str, Any]
) -> None:
    next_state, assigned = choose(STATES["ReadInput"], input=given)
    assert (next_state, assigned["override"]) == ("RunTask", {"Name": "ingest", **override})


@pytest.mark.parametrize(
    ("given", "tags"),
    [
        ({}, []),
        ({"tags": {}}, []),
        ({"tags": {"部門": "経理"}}, [{"Key": "部門", "Value": "経理"}]),
        (
            {"tags": {"a": "1", "b": ""}},
            [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": ""}],
        ),
    ],
    ids=str,
)
def test_a_requests_tags_come_after_the_triggers(
    given: dict[str, Any], tags: list[dict[str, str]]
) -> None:
    _, assigned = choose(STATES["ReadInput"], input=given)
    assert assigned["tags"] == tags
    made = evaluate(STATES["RunTask"]["Arguments"]["Tags"], **assigned)
    assert made == [{"Key": "batch-trigger", "Value": "hand"}, *tags]


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "text",
        7,
        True,
        {"command": ["a"]},
        {"commands": "a"},
        {"commands": [1]},
        {"commands": ["a", None]},
        {"commands": [["a"]]},
        {"commands": None},
        {"commands": {"a": "b"}},
        {"environment": []},
        {"environment": "A=1"},
        {"environment": None},
        {"environment": {"A": 1}},
        {"environment": {"A": "x", "B": None}},
        {"environment": {"A": ["x"]}},
        {"tags": []},
        {"tags": None},
        {"tags": {"team": 1}},
        {"tags": {"team": "a", "cost": None}},
        {"commands": ["a"], "more": 1},
        {"commands": ["x" * 8200]},
        # Small as an input, too long as the overrides that it becomes.
        {"environment": {f"A{n}": "" for n in range(400)}},
        {**event("k"), "source": "aws.ec2"},
        {**event("k"), "detail-type": "Object Deleted"},
        {**event("k"), "detail": {}},
        {**event("k"), "detail": {"bucket": {"name": "b"}, "object": {"key": 1}}},
        {**event("k"), "detail": None},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_any_other_input_is_refused(given: object) -> None:
    assert choose(STATES["ReadInput"], input=given) == ("RefuseInput", {})


def test_a_refusal_says_what_was_expected() -> None:
    assert STATES["RefuseInput"] == {
        "Type": "Fail",
        "Error": "Input.Invalid",
        "Cause": (
            "Expected an S3 'Object Created' event from EventBridge, or "
            '{"commands": ["text", ...], "environment": {"NAME": "text", ...}, '
            '"tags": {"NAME": "text", ...}} with each key optional. As overrides of the task the '
            "commands and the environment must fit into 8192 characters of JSON; "
            "no text may hold NUL, and no NAME may be empty or hold '='."
        ),
    }


def test_the_task_is_started_as_placed_with_the_override() -> None:
    override = {"Name": "ingest", "Command": ["k"]}
    arguments = evaluate(
        STATES["RunTask"]["Arguments"], override=override, interruptions=9, trigger="hand"
    )
    assert arguments == {
        "Cluster": CLUSTER,
        "TaskDefinition": TASK_DEFINITION,
        "CapacityProviderStrategy": [{"CapacityProvider": "FARGATE", "Weight": 1}],
        "PlatformVersion": "1.4.0",
        "Group": "execution:me",
        "NetworkConfiguration": {
            "AwsvpcConfiguration": {
                "Subnets": ["subnet-1", "subnet-2"],
                "SecurityGroups": ["sg-1"],
                "AssignPublicIp": "ENABLED",
            }
        },
        "Overrides": {"ContainerOverrides": [override]},
        "PropagateTags": "TASK_DEFINITION",
        "Tags": [{"Key": "batch-trigger", "Value": "hand"}],
    }
    assert STATES["RunTask"]["Resource"] == "arn:aws:states:::ecs:runTask.sync"
    assert STATES["RunTask"]["TimeoutSeconds"] == 3600


@pytest.mark.parametrize(
    ("interruptions", "provider"), [(0, "FARGATE_SPOT"), (1, "FARGATE_SPOT"), (2, "FARGATE")]
)
def test_a_spot_task_that_was_interrupted_twice_runs_on_demand(
    interruptions: int, provider: str
) -> None:
    spot = states(placement={**PLACEMENT, "spot": True})["RunTask"]["Arguments"]
    assert evaluate(spot["CapacityProviderStrategy"], interruptions=interruptions) == [
        {"CapacityProvider": provider, "Weight": 1}
    ]


def test_the_output_tells_where_the_log_is() -> None:
    output = evaluate(STATES["RunTask"]["Output"], result=ended(0), attempt=1)
    assert output == {
        "job": "ingest",
        "taskArn": TASK_ARN,
        "exitCode": 0,
        "attempts": 2,
        "logGroup": "/batch/ingest",
        "logStream": "ingest/ingest/0123456789abcdef",
    }


def diagnose(failure: dict[str, str], *, attempt: int = 0, **more: Any) -> tuple[str, str, str]:  # noqa: ANN401 any key of the Args
    """The state after Decide or Diagnose, and the error and cause if that is the end."""
    machine_states = states(**more) if more else STATES
    caught = evaluate(machine_states["RunTask"]["Catch"][0]["Assign"], error=failure)
    given: dict[str, Any] = {**caught, "attempt": attempt, "interruptions": 0}
    next_state, assigned = choose(machine_states["Diagnose"], **given)
    given |= assigned
    if next_state == "Decide":
        next_state, _ = choose(machine_states["Decide"], **given)
    state = machine_states[next_state]
    return (
        next_state,
        evaluate(state.get("Error", ""), **given),
        evaluate(state.get("Cause", ""), **given),
    )


def failed(task: dict[str, Any]) -> dict[str, str]:
    return {"Error": "States.TaskFailed", "Cause": json.dumps(task)}


def test_the_jobs_own_container_decides_and_a_sidecar_that_was_killed_does_not() -> None:
    task = ended(0)
    task["Containers"].insert(0, {"Name": "router", "LastStatus": "STOPPED", "ExitCode": 137})
    assert diagnose(failed(task))[0] == "Succeeded"
    caught = evaluate(STATES["RunTask"]["Catch"][0]["Assign"], error=failed(task))
    _, assigned = choose(STATES["Diagnose"], **caught, attempt=1, interruptions=0)
    output = evaluate(STATES["Succeeded"]["Output"], **assigned, attempt=1)
    assert output == evaluate(STATES["RunTask"]["Output"], result=task, attempt=1)
    assert (output["exitCode"], output["attempts"]) == (0, 2)
    task["Containers"] = [{**one, "ExitCode": 137 - one["ExitCode"]} for one in task["Containers"]]
    assert diagnose(failed(task))[:2] == ("Failed", "Batch.Failed")


def test_a_task_that_was_stopped_has_not_succeeded_whatever_its_exit_code() -> None:
    for stop_code, error in (
        ("UserInitiated", "Batch.Stopped"),
        ("TaskFailedToStart", "Batch.NeverStarted"),
    ):
        assert diagnose(failed(ended(0, stop_code)))[:2] == ("Failed", error)


NETWORK = "Timeout waiting for network interface provisioning to complete"
PULL = "CannotPullContainerError: pull image manifest has been retried 5 time(s)"


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (ended(65), ("Failed", "Batch.BadData")),
        (ended(66), ("Failed", "Batch.ObjectGone")),
        (ended(75), ("BackOff", "")),
        (ended(78), ("Failed", "Batch.Misconfigured")),
        (ended(1), ("Failed", "Batch.Failed")),
        (ended(137), ("Failed", "Batch.Failed")),
        (ended(None), ("Failed", "Batch.Failed")),
        (ended(143, "SpotInterruption", "Your Spot Task was interrupted."), ("BackOff", "")),
        (ended(None, "TerminationNotice", ""), ("BackOff", "")),
        (ended(143, "UserInitiated", "by hand"), ("Failed", "Batch.Stopped")),
        (ended(None, "TaskFailedToStart", NETWORK), ("BackOff", "")),
        (
            ended(None, "TaskFailedToStart", "Capacity is unavailable at this time."),
            ("BackOff", ""),
        ),
        (ended(None, "TaskFailedToStart", f"{PULL}: dial tcp: i/o timeout"), ("BackOff", "")),
        (ended(None, "TaskFailedToStart", f"{PULL}: EOF"), ("BackOff", "")),
        (ended(None, "TaskFailedToStart", f"{PULL}: not found"), ("Failed", "Batch.NeverStarted")),
        ({"TaskArn": TASK_ARN}, ("Failed", "Batch.Failed")),
        # Only a task that never started is started anew for a reason.
        (ended(1, "EssentialContainerExited", "unexpected EOF"), ("Failed", "Batch.Failed")),
    ],
    ids=lambda value: json.dumps(value)[-60:],
)
def test_a_failed_task_is_retried_or_named_by_why_it_failed(
    task: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert diagnose(failed(task))[:2] == expected


NO_START = "ResourceInitializationError: "
NO_PULL = "CannotPullContainerError: pull image manifest has been retried 5 time(s): "
SECRETS = (
    f"{NO_START}unable to pull secrets or registry auth: execution resource retrieval failed: "
)
REASONS = {
    f"{NETWORK}.": True,
    "Timeout waiting for EphemeralStorage provisioning to complete.": True,
    "Unexpected EC2 error while attempting to Create Network Interface with public IP "
    "assignment enabled in subnet 'subnet-1': InsufficientFreeAddressesInSubnet": True,
    "Capacity is unavailable at this time. Please try again later or in a different zone": True,
    f"{NO_PULL}httpReadSeeker: failed open: unexpected status code 429 Too Many Requests": True,
    f"{NO_PULL}toomanyrequests: You have reached your unauthenticated pull rate limit": True,
    f"{NO_PULL}unexpected status from HEAD request: 503 Service Unavailable": True,
    f"{NO_PULL}unexpected status code 500 Internal Server Error": True,
    f"{NO_PULL}net/http: TLS handshake timeout": True,
    f"{NO_PULL}dial tcp 10.0.0.1:443: i/o timeout": True,
    f"{NO_PULL}failed to copy: httpReadSeeker: failed open: unexpected EOF": True,
    f"{SECRETS}unable to retrieve secret from asm: RequestCanceled: request context canceled "
    "caused by: context deadline exceeded": True,
    f"{SECRETS}ThrottlingException: Rate exceeded": True,
    f"{NO_PULL}failed to resolve ref registry/app:1: not found": False,
    f"{NO_PULL}pull access denied, repository does not exist or may require authorization": False,
    f"{NO_PULL}image Manifest does not contain descriptor matching platform 'linux/amd64'": False,
    f"{NO_PULL}failed to copy: write /var/lib/x: no space left on device": False,
    f"{SECRETS}AccessDeniedException: User is not authorized to perform: ssm:GetParameters": False,
    "CannotStartContainerError: runc create failed: exec /app: exec format error": False,
    f"{NO_START}failed to validate logger args: The specified log group does not exist.": False,
}


@pytest.mark.parametrize("reason", REASONS)
def test_a_task_that_never_started_is_started_anew_where_the_reason_passes_by_itself(
    reason: str,
) -> None:
    state, error, cause = diagnose(failed(ended(None, "TaskFailedToStart", reason)))
    if REASONS[reason]:
        assert state == "BackOff"
    else:
        assert (state, error) == ("Failed", "Batch.NeverStarted")
        assert reason in cause
        assert "Log:" not in cause


def test_a_container_that_needed_too_much_memory_is_told_so() -> None:
    killed = ended(137, Reason="OutOfMemoryError: Container killed due to memory usage")
    _, error, cause = diagnose(failed(killed))
    assert error == "Batch.Failed"
    assert "exit code 137 (out of memory)" in cause
    assert cause.endswith(f"What to do: {OUT_OF_MEMORY}")
    assert "exit code 137 (killed, or out of memory)" in diagnose(failed(ended(137)))[2]


def test_a_job_may_ask_for_a_retry_after_other_exit_codes() -> None:
    assert diagnose(failed(ended(3)), retry_exit_codes=[3, 4])[0] == "BackOff"
    assert diagnose(failed(ended(75)), retry_exit_codes=[3, 4])[:2] == (
        "Failed",
        "Batch.TryAgainLater",
    )


OWN_CODES: dict[str, Any] = {"success_exit_codes": [3, 65], "warning_exit_codes": [4, 75]}


@pytest.mark.parametrize(
    ("task", "state"),
    [
        (ended(3), "Succeeded"),
        (ended(65), "Succeeded"),
        (ended(4), "Warned"),
        (ended(75), "Warned"),
        (ended(5), "Failed"),
        (ended(78), "Failed"),
        (ended(3, "UserInitiated"), "Failed"),
        (ended(4, "SpotInterruption"), "BackOff"),
        (ended(4, "TaskFailedToStart"), "Failed"),
    ],
    ids=lambda value: json.dumps(value)[-60:],
)
def test_a_job_says_which_of_its_exit_codes_are_no_failures(
    task: dict[str, Any], state: str
) -> None:
    assert diagnose(failed(task), retry_exit_codes=[], **OWN_CODES)[0] == state


def test_a_warning_is_told_in_the_output() -> None:
    own = states(**OWN_CODES)
    caught = evaluate(own["RunTask"]["Catch"][0]["Assign"], error=failed(ended(4)))
    _, assigned = choose(own["Diagnose"], **caught, attempt=0, interruptions=0)
    output = evaluate(own["Warned"]["Output"], **assigned, attempt=0)
    succeeded = evaluate(own["Succeeded"]["Output"], **assigned, attempt=0)
    assert output == {**succeeded, "warning": "exit code 4"}
    assert output["exitCode"] == 4
    assert "Warned" not in STATES


def test_retries_come_to_an_end() -> None:
    assert diagnose(failed(ended(75)), attempt=4)[0] == "BackOff"
    assert diagnose(failed(ended(75)), attempt=5)[:2] == ("Failed", "Batch.TryAgainLater")
    interrupted = failed(ended(143, "SpotInterruption"))
    assert diagnose(interrupted, attempt=5)[:2] == ("Failed", "Batch.Interrupted")
    assert diagnose(failed(ended(75)), retries=0)[0] == "Failed"


def test_a_retry_counts_attempts_and_interruptions() -> None:
    given: dict[str, Any] = {"attempt": 1, "interruptions": 1}
    task = {"reason": "", "containerReason": "", "exitCode": 75, "arn": TASK_ARN}
    exited: dict[str, Any] = task | {"stopCode": "EssentialContainerExited"}
    interrupted = task | {"stopCode": "SpotInterruption"}
    assert choose(STATES["Decide"], task=exited, **given)[1] == {"attempt": 2, "interruptions": 1}
    assert choose(STATES["Decide"], task=interrupted, **given)[1] == {
        "attempt": 2,
        "interruptions": 2,
    }


@pytest.mark.parametrize(("attempt", "most"), [(1, 10), (2, 20), (3, 40), (7, 300), (20, 300)])
def test_it_waits_longer_before_each_retry_and_not_over_five_minutes(
    attempt: int, most: int
) -> None:
    waits = [evaluate(STATES["BackOff"]["Seconds"], attempt=attempt) for _ in range(50)]
    assert all(wait == int(wait) and 0 <= wait <= most for wait in waits)
    assert max(waits) > most / 2


def test_the_cause_says_what_happened_where_to_look_and_what_to_do() -> None:
    task = ended(66, Reason="Stopped: killed")
    assert diagnose(failed(task), attempt=2)[2] == (
        f"Job ingest: exit code 66 (object gone), after 2 retries. Task {TASK_ARN} stopped with "
        "EssentialContainerExited: Essential container in task exited (Stopped: killed). "
        "Log: group /batch/ingest, stream ingest/ingest/0123456789abcdef. What to do: Upload the "
        "object again if it is still needed; a retry would not help."
    )


def test_the_cause_names_no_log_of_a_task_that_was_stopped_before_it_started() -> None:
    task = ended(None, "UserInitiated", "Task stopped by user")
    said = f"Task {TASK_ARN} stopped with UserInitiated: Task stopped by user. What to do: "
    assert said in diagnose(failed(task))[2]
    assert "Log: group " in diagnose(failed(task | {"StartedAt": 1_900_000_000_000}))[2]


def test_a_task_that_took_too_long_is_looked_for_stopped_and_given_up() -> None:
    assert diagnose({"Error": "States.Timeout", "Cause": ""})[0] == "FindOwnTask"
    assert STATES["FindOwnTask"] == {
        "Type": "Pass",
        "Assign": {
            "listTasks": {
                "Cluster": CLUSTER,
                "Family": "ingest",
                "DesiredStatus": "RUNNING",
                "MaxResults": 25,
            }
        },
        "Next": "ListTasks",
    }
    found = one(machine(timeout_seconds=60).resources, type="StateMachine").document("definition")
    timed_out = found["States"]["TimedOut"]
    assert timed_out["Error"] == "Batch.TimedOut"
    assert timed_out["Cause"] == (
        "Job ingest did not end within 60 seconds and was stopped. Log: group /batch/ingest. "
        "What to do: Give the job a longer timeout or smaller input, then start it again."
    )


def test_its_own_task_is_found_among_others_page_by_page() -> None:
    page = {"TaskArns": ["a", "b"], "NextToken": "more"}
    listing = {"Cluster": CLUSTER, "Family": "ingest", "DesiredStatus": "RUNNING"}
    assert choose(STATES["HasTasks"], page=page, listTasks=listing)[0] == "DescribeTasks"
    tasks = [{"TaskArn": "a", "Group": "execution:other"}, {"TaskArn": "b", "Group": "family:x"}]
    own = {"TaskArn": "c", "Group": "execution:me"}
    select = STATES["DescribeTasks"]["Assign"]["own"]
    assert evaluate(select, result={"Tasks": tasks}) == []
    assert evaluate(select, result={"Tasks": [*tasks, own]}) == ["c"]
    assert choose(STATES["HasOwnTask"], page=page, own=["c"], listTasks=listing)[0] == "StopTask"
    assert choose(STATES["HasOwnTask"], page=page, own=[], listTasks=listing) == (
        "ListTasks",
        {"listTasks": {**listing, "NextToken": "more"}},
    )
    last: dict[str, Any] = {"TaskArns": []}
    assert choose(STATES["HasTasks"], page=last, listTasks=listing)[0] == "TimedOut"
    assert choose(STATES["HasOwnTask"], page=last, own=[], listTasks=listing)[0] == "TimedOut"


@pytest.mark.parametrize(
    "failure",
    [
        {"Error": "ECS.AccessDeniedException", "Cause": "not authorized"},
        {"Error": "States.TaskFailed", "Cause": json.dumps(ended(1))[:-40]},
        {"Error": "States.TaskFailed", "Cause": "no JSON"},
        {"Error": "States.TaskFailed"},
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_failure_that_names_no_task_keeps_its_error_and_cause(failure: dict[str, str]) -> None:
    state, error, cause = diagnose(failure)
    assert (state, error) == ("NotStarted", failure["Error"])
    assert cause == (
        "Job ingest was not started, or its end is unknown: "
        f"{failure.get('Cause', '')} See docs/operations.md, section 'A task was never started'."
    )


def test_throttling_is_retried_with_growing_jittered_delays() -> None:
    throttled, looking_up_subnets = STATES["RunTask"]["Retry"]
    assert throttled["ErrorEquals"] == [
        "ECS.AmazonECSException",
        "ECS.ThrottlingException",
        "ECS.ServerException",
        "ECS.ClientException",
        "AmazonECS.Unknown",
    ]
    assert (throttled["JitterStrategy"], throttled["BackoffRate"]) == ("FULL", 2)
    assert looking_up_subnets["ErrorEquals"] == ["ECS.InvalidParameterException"]
    assert looking_up_subnets["MaxAttempts"] == 3


def test_its_definition_holds_together() -> None:
    check_structure(one(machine().resources, type="StateMachine").document("definition"))


def test_it_may_run_and_watch_this_task_only() -> None:
    recording = machine()
    policy = one(recording.resources, type="RolePolicy", name="ingest-job")
    assert policy.document("policy") == allows(
        *RUN_TASK,
        {"Effect": "Allow", "Action": ["ecs:StopTask", "ecs:DescribeTasks"], "Resource": TASKS},
        {
            "Effect": "Allow",
            "Action": "ecs:ListTasks",
            "Resource": TASKS.replace(":task/", ":container-instance/"),
            "Condition": {"ArnEquals": {"ecs:cluster": CLUSTER}},
        },
        {
            "Effect": "Allow",
            "Action": ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
            "Resource": (
                f"arn:aws:events:{REGION}:{ACCOUNT}:rule/StepFunctionsGetEventsForECSTaskRule"
            ),
        },
        LOG_DELIVERY,
    )
    role = one(recording.resources, type="Role", name="ingest-job")
    assert role.document("assumeRolePolicy") == trusts(
        "states.amazonaws.com", ArnLike={"aws:SourceArn": f"{MACHINE}*"}
    )


def test_it_logs_its_steps_without_their_data() -> None:
    recording = machine(log_retention_days=7, protect=False)
    group = one(recording.resources, type="LogGroup")
    name = "/aws/vendedlogs/states/fargate-batch-dev-job-ingest"
    assert group.inputs == {"name": name, "retentionInDays": 7}
    made = one(recording.resources, type="StateMachine")
    assert made.inputs["name"] == "fargate-batch-dev-job-ingest"
    assert (
        made.inputs["roleArn"]
        == f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/ingest-job-1a2b3c4"
    )
    assert made.inputs["loggingConfiguration"] == {
        "level": "ALL",
        "includeExecutionData": False,
        "logDestination": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}:*",
    }


@pytest.mark.parametrize("most", [None, 2])
def test_it_and_its_limit_log_to_the_group_that_they_are_given(most: int | None) -> None:
    resources = machine(log_group_arn=LOG_GROUP, max_concurrency=most).resources
    machines = every(resources, type="StateMachine")
    assert len(machines) == (1 if most is None else 2)
    for made in machines:
        assert made.inputs["loggingConfiguration"]["logDestination"] == f"{LOG_GROUP}:*"
    assert not [made.urn for made in resources if made.type.endswith(":LogGroup")]


def test_the_state_machine_is_there_only_after_what_it_is_granted() -> None:
    resources = machine().resources
    policy = one(resources, type="RolePolicy")
    assert policy.urn in one(resources, type="StateMachine").depends_on


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(machine(preview=preview), "BatchStateMachine") == {
        ("LogGroup", "ingest"),
        ("Role", "ingest-job"),
        ("RolePolicy", "ingest-job"),
        ("StateMachine", "ingest"),
    }


def test_it_puts_out_its_arn() -> None:
    assert outputs(machine(), "BatchStateMachine") == {"state_machine_arn": MACHINE}
