"""At most so many executions of a job at once: who holds a slot, who waits for one, in a table."""

import json
from typing import TypedDict

import pulumi
import pulumi_aws as aws

from ._dead_letters import RULE_RETRIES, accept_from_rule, dead_letter_queue
from ._iam import Statement, allow, arn, service_role
from ._machine import state_machine
from .asl.job import Definition
from .asl.limit import hand_on_slots, limit_concurrency

_ENDED = ["SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"]


class ConcurrencyLimitArgs(TypedDict):
    """Whose executions, and how many at once."""

    state_machine_name: str
    """The physical name of the job's state machine, which is made after this."""
    limit: int
    """How many executions may run the job's task at once, 1 to 1000."""
    log_retention_days: int
    """For how many days the execution log of what hands slots on is kept."""


class ConcurrencyLimit(pulumi.ComponentResource):
    """Slots for the executions of one state machine, handed on in the order they were asked for.

    A rule on the end of every execution starts a state machine that gives its slot to who waits
    longest. Events of ends are best effort, so every five minutes it looks for itself whether a
    holder has ended, while anyone waits:
    https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html

    The slot of an execution that was aborted or timed out is handed on 35 seconds later: by then
    its task has stopped. One that is redriven takes no slot.

    The holders are one item, a write of which is charged and throttled by its size: a run that
    waits takes about 120 write units for every 100 holders, of 1,000 a second that an item has:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
    So with a limit of 100 eight runs a second can pass, with one of 1000 not one.

    An execution that need not wait costs 0.00015 USD more than one without a limit (six state
    transitions), one that waits about 0.0004 USD, and looking 1.10 USD a month.
    """

    table_name: pulumi.Output[str]
    """The table's name."""
    rule_name: pulumi.Output[str]
    """The name of the rule on ends of executions."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of the queue of ends that were not handled."""

    def __init__(
        self, name: str, args: ConcurrencyLimitArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:ConcurrencyLimit", name, dict(args), opts)
        child = pulumi.ResourceOptions(parent=self)
        machine_name = args["state_machine_name"]
        machine_arn = arn("states", f"stateMachine:{machine_name}")
        self._limit = args["limit"]
        # Encrypted as every table is; a backup of who waits now would be of no use.
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/EncryptionAtRest.html
        self._table = aws.dynamodb.Table(
            name,
            billing_mode="PAY_PER_REQUEST",
            hash_key="kind",
            range_key="arrival",
            attributes=[{"name": "kind", "type": "S"}, {"name": "arrival", "type": "S"}],
            opts=child,
        )
        hands_on = state_machine(
            name,
            kind="limit",
            definition=hand_on_slots(self._table.name, self._limit),
            statements=[
                allow(
                    [
                        "dynamodb:GetItem",
                        "dynamodb:Query",
                        "dynamodb:UpdateItem",
                        "dynamodb:DeleteItem",
                    ],
                    self._table.arn,
                ),
                allow("states:SendTaskSuccess", machine_arn),
                allow("states:DescribeExecution", arn("states", f"execution:{machine_name}:*")),
            ],
            log_retention_days=args["log_retention_days"],
            opts=child,
        )
        rule, queue = self._subscribe(name, machine_arn, hands_on)
        self.table_name = self._table.name
        self.rule_name = rule.name
        self.dead_letter_queue_name = queue.name
        self.register_outputs(
            {
                "table_name": self.table_name,
                "rule_name": self.rule_name,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )

    def limited(self, definition: Definition) -> Definition:
        """The job's definition with the gate before its task."""
        return limit_concurrency(definition, self._table.name, self._limit)

    @property
    def statements(self) -> list[Statement]:
        """What the job's state machine needs for the gate."""
        return [allow(["dynamodb:UpdateItem", "dynamodb:PutItem"], self._table.arn)]

    def _subscribe(
        self, name: str, machine_arn: pulumi.Output[str], hands_on: aws.sfn.StateMachine
    ) -> tuple[aws.cloudwatch.EventRule, aws.sqs.Queue]:
        child = pulumi.ResourceOptions(parent=self)
        ends = aws.cloudwatch.EventRule(
            name,
            description=f"Executions of the job {name} that ended",
            event_pattern=pulumi.Output.json_dumps(
                {
                    "source": ["aws.states"],
                    "detail-type": ["Step Functions Execution Status Change"],
                    "detail": {"stateMachineArn": [machine_arn], "status": _ENDED},
                }
            ),
            opts=child,
        )
        looks = aws.cloudwatch.EventRule(
            f"{name}-look",
            description=f"Looks for executions of the job {name} whose end was not told",
            schedule_expression="rate(5 minutes)",
            opts=child,
        )
        queue = dead_letter_queue(name, child)
        accepts = accept_from_rule(name, queue, ends.arn, child)
        role_arn = service_role(
            name,
            service="events.amazonaws.com",
            source={"ArnEquals": {"aws:SourceArn": [ends.arn, looks.arn]}},
            statements=[allow("states:StartExecution", hands_on.arn)],
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=ends.name,
            arn=hands_on.arn,
            role_arn=role_arn,
            dead_letter_config={"arn": queue.arn},
            retry_policy=RULE_RETRIES,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[accepts]),
        )
        # No dead letters: the next look is better than a late one.
        aws.cloudwatch.EventTarget(
            f"{name}-look",
            rule=looks.name,
            arn=hands_on.arn,
            role_arn=role_arn,
            input=json.dumps({}),
            retry_policy={"maximum_event_age_in_seconds": 240, "maximum_retry_attempts": 3},
            opts=child,
        )
        return ends, queue
