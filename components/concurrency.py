"""A semaphore for a job's executions: who holds a permit, who waits for one, in a table."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._dead_letters import with_queue
from ._delivery import Rule, deliver, listen, start
from ._here import Component
from ._iam import allow, arn
from ._machine import state_machine
from .asl.limit import Permits, pass_on_permits

MOST = 1000
"""The greatest limit."""

_LIFTED = "Who still waits for a permit of the job {}, which has no limit any more"
_ENDS = "Executions of the job {} that ended, and a look for others that did"
_ENDED = ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]


class ConcurrencyLimitArgs(TypedDict):
    """Whose executions, and how many at once."""

    state_machine_name: str
    """The physical name of the job's state machine, which is made after this."""
    limit: int
    """How many executions may run the job's task at once, 1 to 1000."""
    lifted: NotRequired[bool]
    """Whether the job has no limit any more, and this serves who waits still. Default: False."""
    stop_timeout: NotRequired[int]
    """Within how many seconds a task that is told to stop has stopped. Default: 30."""
    log_group_arn: NotRequired[pulumi.Input[str] | None]
    """The ARN of the log group of its executions, whose name begins with /aws/vendedlogs/states/.
    Default: one of its own."""
    log_retention_days: NotRequired[int]
    """For how many days a log of its own is kept. Default: 30."""
    protect: NotRequired[bool]
    """Whether that log and the dead letters stay when the limit is removed. Default: True."""


class ConcurrencyLimit(Component):
    """Permits for the executions of one state machine, passed on in the order they were asked for.

    A rule on the end of every execution starts a state machine that gives its permit to who waits
    longest. Events of ends are best effort, so every five minutes it looks for itself whether a
    holder has ended, while anyone waits:
    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html

    The permit of an execution that was aborted or timed out is passed on five seconds after
    `stop_timeout`: by then its task has stopped. One that is redriven takes no permit, and one that
    waits for a week fails.

    The holders are one item, a write of which is charged and throttled by its size: a run that
    waits takes about 120 write units for every 100 holders, of 1,000 a second that an item has:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
    So with a limit of 100 eight runs a second can pass, with one of 1000 not one.

    An execution that need not wait costs 0.00015 USD more than one without a limit (six state
    transitions), one that waits about 0.0004 USD, and looking 1.10 USD a month.
    """

    table_name: pulumi.Output[str]
    """The table's name."""
    table_arn: pulumi.Output[str]
    """The table's ARN, for what acquires permits."""
    rule_name: pulumi.Output[str]
    """The name of the rule on ends of executions."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of ends that were not handled."""

    def __init__(
        self, name: str, args: ConcurrencyLimitArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:ConcurrencyLimit", name, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)
        machine_name = args["state_machine_name"]
        machine_arn = arn("states", f"stateMachine:{machine_name}")
        limit = args["limit"]
        stop_timeout = args.get("stop_timeout", defaults.STOP_TIMEOUT)
        protect = args.get("protect", defaults.PROTECT)
        # Encrypted as every table is; a backup of who waits now would be of no use.
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/EncryptionAtRest.html
        table = aws.dynamodb.Table(
            name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="kind",
            range_key="arrival",
            attributes=[{"name": "kind", "type": "S"}, {"name": "arrival", "type": "S"}],
            opts=child,
        )
        machine = state_machine(
            name,
            kind="limit",
            of=table.name,
            definition=lambda table: pass_on_permits(Permits(table, limit, stop_timeout)),
            statements=[
                allow(
                    [
                        "dynamodb:GetItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                        "dynamodb:DeleteItem",
                    ],
                    table.arn,
                ),
                allow("states:SendTaskSuccess", machine_arn),
                allow("states:DescribeExecution", arn("states", f"execution:{machine_name}:*")),
            ],
            log_group_arn=args.get("log_group_arn"),
            log_retention_days=args.get("log_retention_days", defaults.LOG_RETENTION_DAYS),
            protect=protect,
            opts=child,
        )
        pattern = {
            "source": ["aws.states"],
            "detail-type": ["Step Functions Execution Status Change"],
            "detail": {"stateMachineArn": [machine_arn], "status": _ENDED},
        }
        heard = listen(
            name,
            {
                name: Rule(
                    (_LIFTED if args.get("lifted", defaults.LIFTED) else _ENDS).format(name),
                    pattern,
                    rate="rate(5 minutes)",
                )
            },
            child,
            protect=protect,
        )
        deliver(name, heard, start(machine.arn), child)
        self.table_name = table.name
        self.table_arn = table.arn
        self.rule_name = heard.rules[name].name
        self.dead_letter_queue_name = heard.queue.name
        self.register_outputs(
            {
                "table_name": self.table_name,
                "table_arn": self.table_arn,
                "rule_name": self.rule_name,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


def was_lifted(rule: Mapping[str, Any], name: str) -> bool:
    """Whether the limit whose rule has this state was of a job without one already."""
    return rule["inputs"].get("description") == _LIFTED.format(name)
