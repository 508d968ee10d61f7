"""What a platform puts out: for other stacks, which read it by these names, and for operators."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from . import parts as c

Outputs = Mapping[str, pulumi.Output[str]]


def network(network: c.Network) -> Mapping[str, pulumi.Output[str] | pulumi.Output[Sequence[str]]]:
    """Where the tasks run."""
    return {
        "vpcId": network.vpc_id,
        "subnetIds": network.subnet_ids,
        "securityGroupId": network.security_group_id,
    }


def job(job: c.FargateJob, machine: c.BatchStateMachine) -> Outputs:
    """What runs a job, and where it logs."""
    return {
        "taskDefinitionArn": job.task_definition_arn,
        "stateMachineArn": machine.state_machine_arn,
        "logGroup": job.log_group_name,
        "taskRoleArn": job.task_role_arn,
        "executionRoleArn": job.execution_role_arn,
    }


def upload(trigger: c.UploadTrigger) -> Outputs:
    """The rule of an upload, and where what it could not deliver waits."""
    return {"ruleArn": trigger.rule_arn, "deadLetterQueueUrl": trigger.dead_letter_queue_url}


def backfills(backfills: c.Backfills | None, results_prefix: str) -> Mapping[str, Any]:
    """What runs them, and the folder of all results; nothing where there are none."""
    if backfills is None:
        return {}
    return {
        "stateMachineArn": backfills.state_machine_arn,
        "resultsPrefix": pulumi.Output.from_input(results_prefix),
    }


def pipeline(pipeline: c.ScheduledPipeline) -> Outputs:
    """What runs a pipeline, and what starts it."""
    return {
        "stateMachineArn": pipeline.state_machine_arn,
        "scheduleArn": pipeline.schedule_arn,
    }
