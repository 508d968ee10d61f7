"""The task event logger: whose events reach the function, what it may do, where lines go."""

import json
from typing import Any

import pytest

from components import TaskEventLogger, TaskEventLoggerArgs
from tests.components.parts import CLUSTER, allows, outputs, queue_policy
from tests.recorder import ACCOUNT, REGION, ROOT, Recording, deploy, every, one

LOG = "/fargate-batch/dev/events"
QUEUE = "events-dead-letters-1a2b3c4"
QUEUE_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{QUEUE}"
FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:events-1a2b3c4"
RULE = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/events-1a2b3c4"


def logger(*, keep_event: bool = True, **more: Any) -> Recording:  # noqa: ANN401 any key of the Args
    args: TaskEventLoggerArgs = {"cluster_arn": CLUSTER, "keep_event": keep_event}
    merged: Any = {**args, "log_retention_days": 7, **more}
    return deploy(lambda: TaskEventLogger("events", merged))


def test_only_tasks_of_this_cluster_and_executions_of_this_stack_are_logged() -> None:
    machine = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev"
    machines = [{"prefix": f"{machine}-job-"}, {"prefix": f"{machine}-pipeline-"}]
    assert one(logger().resources, type="EventRule").document("eventPattern") == {
        "source": ["aws.ecs", "aws.states"],
        "detail-type": ["ECS Task State Change", "Step Functions Execution Status Change"],
        "detail": {"$or": [{"clusterArn": [CLUSTER]}, {"stateMachineArn": machines}]},
    }


def test_the_function_is_told_what_exit_codes_mean() -> None:
    codes = {"load": {"success": [3], "warning": []}}
    function = one(logger(exit_codes=codes).resources, type="Function").inputs
    assert json.loads(function["code"]["exit_codes.json"]) == codes


@pytest.mark.parametrize("keep_event", [True, False])
def test_the_function_is_one_file_that_writes_to_its_own_log(*, keep_event: bool) -> None:
    resources = logger(keep_event=keep_event).resources
    function = one(resources, type="Function").inputs
    assert function["code"] == {"handler.py": "lambdas/task_events/handler.py"}
    assert (ROOT / function["code"]["handler.py"]).is_file()
    assert (function["handler"], function["architectures"]) == ("handler.handler", ["arm64"])
    assert function["loggingConfig"] == {"logFormat": "Text", "logGroup": LOG}
    assert function["environment"]["variables"] == {
        "KEEP_EVENT": str(keep_event).lower(),
        "FAMILY_PREFIX": "fargate-batch-dev-job-",
    }
    assert one(resources, type="LogGroup").inputs == {"name": LOG, "retentionInDays": 7}


def test_the_function_may_write_its_log_and_its_dead_letters() -> None:
    assert one(logger().resources, type="RolePolicy").document("policy") == allows(
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOG}:log-stream:*",
        },
        {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE_ARN},
    )


def test_events_reach_the_function_or_the_dead_letter_queue() -> None:
    resources = logger().resources
    target = one(resources, type="EventTarget")
    assert target.inputs["arn"] == FUNCTION_ARN
    assert target.inputs["deadLetterConfig"] == {"arn": QUEUE_ARN}
    permission = one(resources, type="Permission")
    assert permission.inputs == {
        "action": "lambda:InvokeFunction",
        "function": "events-1a2b3c4",
        "principal": "events.amazonaws.com",
        "sourceArn": RULE,
    }
    queue = one(resources, type="Queue")
    assert queue.document("policy") == queue_policy(RULE)
    assert {permission.urn, queue.urn} <= target.depends_on
    failures = one(resources, type="FunctionEventInvokeConfig").inputs
    assert failures["destinationConfig"] == {"onFailure": {"destination": QUEUE_ARN}}


def test_saved_queries_ask_this_log_only() -> None:
    queries = every(logger().resources, type="QueryDefinition")
    assert {query.inputs["name"] for query in queries} == {
        "fargate-batch/dev/failed-today",
        "fargate-batch/dev/never-started",
        "fargate-batch/dev/task-waits",
    }
    assert all(query.inputs["logGroupNames"] == [LOG] for query in queries)


def test_it_puts_out_its_log_function_and_dead_letters() -> None:
    assert outputs(logger(), "TaskEventLogger") == {
        "log_group_name": LOG,
        "rule_name": "events-1a2b3c4",
        "function_name": "events-1a2b3c4",
        "dead_letter_queue_name": QUEUE,
    }
