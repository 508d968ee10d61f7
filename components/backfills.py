"""The state machine that runs a job for many objects that are there already."""

from typing import NotRequired, TypedDict

import pulumi

from . import defaults
from ._documents import joined
from ._here import Component
from ._iam import allow, arn, through_s3
from ._machine import state_machine
from .asl.backfill import LABEL, run_backfill
from .asl.limit import WAIT_SECONDS
from .names import machine_prefix
from .scheduled_pipeline import may_run_steps

FOLDER = "_backfills/"
"""Where in the bucket its objects and what became of them are: no job has such a name."""


class BackfillsArgs(TypedDict):
    """Where the lists of objects are."""

    bucket_name: pulumi.Input[str]
    """The bucket of the lists of objects and of what became of them:
    `ResultsBucket.bucket_name`."""
    bucket_arn: pulumi.Input[str]
    """Its ARN."""
    key_arn: NotRequired[pulumi.Input[str] | None]
    """The KMS key that it is encrypted with. Default: S3's own."""
    prefix: NotRequired[str]
    """A folder in it, with `/` at its end; they are in `_backfills/` below. Default: none."""
    log_group_arn: NotRequired[pulumi.Input[str] | None]
    """The ARN of the log group of its executions, whose name begins with /aws/vendedlogs/states/.
    Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days a log of its own is kept. Default: 30."""
    protect: NotRequired[bool]
    """Whether that log stays when this is removed. Default: True."""


class Backfills(Component):
    """Runs any job of the stack for many objects, as their uploads would have: a distributed map.

    `fargate-batch backfill` writes the list and starts it. Input: `{"job", "maxConcurrency",
    "toleratedFailures"}`. Errors: `Backfill.ObjectsFailed` after all have been run,
    `States.ExceedToleratedFailureThreshold` before that.

    An object takes two state transitions, 0.00005 USD, beside those of its job. Costs nothing while
    nobody uses it.
    """

    state_machine_arn: pulumi.Output[str]
    """The state machine's ARN."""

    def __init__(
        self, name: str, args: BackfillsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:Backfills", name, opts, looks_back=True)
        child = pulumi.ResourceOptions(parent=self)
        folder = f"{args.get('prefix', '')}{FOLDER}"
        jobs = arn("states", f"stateMachine:{machine_prefix()}job-")
        own = f"{machine_prefix()}backfill-{name}"
        key_arn = args.get("key_arn")
        machine = state_machine(
            name,
            kind="backfill",
            of=[jobs, args["bucket_name"]],
            definition=lambda known: run_backfill(jobs=known[0], bucket=known[1], folder=folder),
            statements=[
                *may_run_steps([jobs.apply(lambda prefix: f"{prefix}*")], []),
                # https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html
                allow("states:StartExecution", arn("states", f"stateMachine:{own}")),
                allow(
                    ["states:DescribeExecution", "states:StopExecution"],
                    arn("states", f"execution:{own}:*"),
                ),
                allow("states:RedriveExecution", arn("states", f"execution:{own}/{LABEL}:*")),
                allow("states:DescribeMapRun", arn("states", f"mapRun:{own}/{LABEL}:*")),
                # https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
                allow(
                    [
                        "s3:GetObject",
                        "s3:PutObject",
                        "s3:ListMultipartUploadParts",
                        "s3:AbortMultipartUpload",
                    ],
                    joined(args["bucket_arn"], "/", folder, "*"),
                ),
                *(
                    []
                    if key_arn is None
                    else [allow(["kms:Decrypt", "kms:GenerateDataKey"], key_arn, through_s3())]
                ),
            ],
            log_group_arn=args.get("log_group_arn"),
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            protect=args.get("protect", defaults.PROTECT),
            opts=child,
            # Each of its executions waits for one of a job.
            longest_seconds=WAIT_SECONDS + 24 * 60 * 60,
        )
        self.state_machine_arn = machine.arn
        self.register_outputs({"state_machine_arn": self.state_machine_arn})
