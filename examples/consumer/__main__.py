"""Another team's stack: its own uploads to the platform's bucket start the platform's job."""

import pulumi

from fargate_batch.components import UploadTrigger

config = pulumi.Config()
platform = pulumi.StackReference(config.require("platform"))
jobs = platform.require_output("jobs")

orders = UploadTrigger(
    "orders",
    {
        "bucket_name": platform.require_output("uploadBucket"),
        "filter": {"prefix": "orders/", "suffix": ".csv"},
        "state_machine_arn": jobs.apply(lambda named: named["ingest"]["stateMachineArn"]),
    },
)

pulumi.export("deadLetterQueueUrl", orders.dead_letter_queue_url)
