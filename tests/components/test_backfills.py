"""Backfills: a distributed map over objects, and what it may."""

import json
from typing import Any

from components import Backfills, BackfillsArgs
from components.asl.upload import IS_UPLOAD
from local.services.stepfunctions import expressions
from tests.components.expressions import CONTEXT, choose
from tests.components.parts import LOG_DELIVERY, LOG_GROUP, allows, names, outputs, trusts
from tests.recorder import ACCOUNT, REGION, Recording, deploy, deploy_stack, one, the_stack

STATES = f"arn:aws:states:{REGION}:{ACCOUNT}:"
OWN = "fargate-batch-dev-backfill-backfills"
BUCKET = "arn:aws:s3:::results-1a2b3c4"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
ARGS: BackfillsArgs = {
    "bucket_name": "results-1a2b3c4",
    "bucket_arn": BUCKET,
    "prefix": "out/",
    "key_arn": KEY,
    "log_group_arn": LOG_GROUP,
}
BACKFILL = {"Name": "1a2b3c4d5e6f000000000000_by_me", "Id": f"{STATES}execution:{OWN}:1a2b"}
ITEM = {"bucket": {"name": "uploads"}, "object": {"key": "in/ä {% 1 %}.csv", "size": 3}}


def backfills(**more: Any) -> Recording:  # noqa: ANN401 any key of the Args
    merged: Any = {**ARGS, **more}
    return deploy(lambda: Backfills("backfills", merged))


RECORDED = backfills()
DEFINITION = one(RECORDED.resources, type="StateMachine").document("definition")
OBJECTS = DEFINITION["States"]["Objects"]
RUN = OBJECTS["ItemProcessor"]["States"]["Run"]


def evaluate(field: Any, given: Any, **execution: Any) -> Any:  # noqa: ANN401 JSON
    context: dict[str, Any] = {**CONTEXT, "Map": {"Item": {"Index": 0, "Value": ITEM}}}
    context["Execution"] = {**CONTEXT["Execution"], **execution}
    return expressions.evaluate(field, given, context, {}, None, None)


def test_it_is_a_state_machine_and_its_role() -> None:
    assert names(RECORDED, "Backfills") == {
        ("StateMachine", "backfills"),
        ("Role", "backfills-backfill"),
        ("RolePolicy", "backfills-backfill"),
    }
    machine = one(RECORDED.resources, type="StateMachine").inputs
    assert machine["name"] == OWN
    assert outputs(RECORDED, "Backfills") == {"state_machine_arn": f"{STATES}stateMachine:{OWN}"}


def test_it_may_run_jobs_its_own_map_and_its_folder_of_the_bucket() -> None:
    role = one(RECORDED.resources, type="Role")
    assert role.document("assumeRolePolicy") == trusts(
        "states.amazonaws.com", ArnLike={"aws:SourceArn": f"{STATES}stateMachine:{OWN}*"}
    )
    rule = "rule/StepFunctionsGetEventsForStepFunctionsExecutionRule"
    granted = [
        ("states:StartExecution", [f"{STATES}stateMachine:fargate-batch-dev-job-*"]),
        (
            ["states:DescribeExecution", "states:StopExecution"],
            [f"{STATES}execution:fargate-batch-dev-job-*:*"],
        ),
        (
            ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
            f"arn:aws:events:{REGION}:{ACCOUNT}:{rule}",
        ),
        ("states:StartExecution", f"{STATES}stateMachine:{OWN}"),
        (["states:DescribeExecution", "states:StopExecution"], f"{STATES}execution:{OWN}:*"),
        ("states:RedriveExecution", f"{STATES}execution:{OWN}/objects:*"),
        ("states:DescribeMapRun", f"{STATES}mapRun:{OWN}/objects:*"),
        (
            [
                "s3:GetObject",
                "s3:PutObject",
                "s3:ListMultipartUploadParts",
                "s3:AbortMultipartUpload",
            ],
            f"{BUCKET}/out/_backfills/*",
        ),
    ]
    key = {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": KEY,
        "Condition": {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}},
    }
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in granted
    ]
    found = one(RECORDED.resources, type="RolePolicy").document("policy")
    assert found == allows(*statements, key, LOG_DELIVERY)
    without = one(backfills(key_arn=None).resources, type="RolePolicy").document("policy")
    assert without == allows(*statements, LOG_DELIVERY)


def test_the_objects_are_read_and_written_in_the_folder_of_the_backfill() -> None:
    given = {"job": "ingest", "maxConcurrency": 7, "toleratedFailures": 3}
    folder = f"out/_backfills/{BACKFILL['Name']}"
    assert evaluate(OBJECTS["ItemReader"]["Arguments"], given, **BACKFILL) == {
        "Bucket": "results-1a2b3c4",
        "Key": f"{folder}/objects.jsonl",
    }
    assert evaluate(OBJECTS["ResultWriter"]["Arguments"], given, **BACKFILL) == {
        "Bucket": "results-1a2b3c4",
        "Prefix": folder,
    }
    assert evaluate(OBJECTS["MaxConcurrency"], given) == 7
    assert evaluate(OBJECTS["ToleratedFailureCount"], given) == 3
    assert evaluate(OBJECTS["ItemSelector"], given, **BACKFILL) == {
        "job": "ingest",
        "backfill": "1a2b3c4d5e6f",
        "item": ITEM,
    }


def test_an_object_starts_its_job_as_its_upload_would() -> None:
    given = {"job": "ingest", "backfill": "1a2b3c4d5e6f", "item": ITEM}
    own = {"Name": "0c1d", "Id": f"{STATES}execution:{OWN}/objects:0c1d"}
    arguments = evaluate(RUN["Arguments"], given, **own)
    assert arguments == {
        "StateMachineArn": f"{STATES}stateMachine:fargate-batch-dev-job-ingest",
        "Name": "0c1d_backfill_1a2b3c4d5e6f",
        "Input": {
            "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": own["Id"],
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": ITEM,
        },
    }
    assert evaluate("{% " + IS_UPLOAD + " %}", arguments["Input"]) is True
    # A name is used once: https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
    again = [evaluate(RUN["Arguments"], given, **own, RedriveCount=n)["Name"] for n in (0, 1, 2)]
    assert again == [f"0c1d{n}_backfill_1a2b3c4d5e6f" for n in ("", "-1", "-2")]
    # A redrive of what was caught would go on after it.
    assert "Catch" not in RUN


def test_it_fails_if_an_object_did() -> None:
    found = DEFINITION["States"]
    counts = {"Succeeded": 3, "Failed": 1, "Total": 4}
    assert choose(found["HaveAllSucceeded"], input=counts)[0] == "SomeFailed"
    assert evaluate(found["SomeFailed"]["Cause"], counts) == "1 of 4 objects failed."
    all_of_them = {"Succeeded": 4, "Failed": 0, "Total": 4}
    assert choose(found["HaveAllSucceeded"], input=all_of_them)[0] == "AllSucceeded"


def test_a_stack_has_it_if_it_says_so() -> None:
    recording = deploy_stack("dev", backfills=True)
    policy = one(recording.resources, type="RolePolicy", name="backfills-backfill")
    [folder] = [
        statement["Resource"]
        for statement in policy.document("policy")["Statement"]
        if "s3:PutObject" in statement["Action"]
    ]
    assert folder == "arn:aws:s3:::results-1a2b3c4/_backfills/*"
    more = {one.urn for one in recording.resources} - {
        one.urn for one in the_stack("dev").resources
    }
    assert len(more) == 4
    assert json.dumps(recording.exports["backfills"]) == json.dumps(
        {"stateMachineArn": f"{STATES}stateMachine:{OWN}", "resultsPrefix": ""}
    )
