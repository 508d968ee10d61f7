"""What a stack's index says of it."""

from typing import Any, cast

import pytest

from operate.aws import Aws
from operate.stack import Stack

ARN = "arn:aws:states:ap-northeast-1:123456789012:stateMachine:"
NO_AWS = cast("Aws", None)


@pytest.mark.parametrize("middle", ["prod-pipeline", "prod-_pipeline"])
def test_names_begin_with_what_those_of_its_jobs_do(middle: str) -> None:
    machine = f"{ARN}fargate-batch-{middle}-job-job-ingest"
    job = {"stateMachineArn": machine, "taskDefinitionArn": "", "logGroup": ""}
    stack = Stack(NO_AWS, "fargate-batch", "prod-pipeline", {"jobs": {"job-ingest": job}})
    assert stack.prefix == f"fargate-batch-{middle}-"
    assert stack.named(machine.rpartition(":")[2]) == ("job", "job-ingest")


def test_without_jobs_they_begin_with_the_stacks() -> None:
    index: dict[str, Any] = {}
    assert Stack(NO_AWS, "fargate-batch", "dev", index).prefix == "fargate-batch-dev-"
