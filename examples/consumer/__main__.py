"""Another team's stack: its own uploads to the platform's bucket start the platform's job."""

from collections.abc import Mapping

import pulumi

from fargate_batch.components import UploadTrigger

config = pulumi.Config()
platform = pulumi.StackReference(config.require("platform"))
JOB = "ingest"


def state_machine_arn(jobs: Mapping[str, Mapping[str, str]]) -> str:
    """The job's state machine; a platform that has no such job any more is told of in a line."""
    if JOB not in jobs:
        there = ", ".join(sorted(jobs)) or "none"
        raise pulumi.RunError(f"{config.require('platform')} has no job {JOB}; there are: {there}")
    return jobs[JOB]["stateMachineArn"]


orders = UploadTrigger(
    "orders",
    {
        "bucket_name": platform.require_output("uploadBucket"),
        "filter": {"prefix": "orders/", "suffix": ".csv"},
        "state_machine_arn": platform.require_output("jobs").apply(state_machine_arn),
    },
)

pulumi.export("deadLetterQueueUrl", orders.dead_letter_queue_url)
