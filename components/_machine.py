"""A state machine with its role, and the log group of executions."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws

from ._documents import joined, of_known
from ._iam import Statement, arn, log_delivery, own_or_shared, service_role
from ._logs import log_group
from .asl.states import Definition
from .names import machine_prefix


def state_machine(
    name: str,
    *,
    kind: str,
    of: Any,  # noqa: ANN401 -- any JSON
    definition: Callable[[Any], Definition],
    log_group_arn: pulumi.Input[str] | None,
    log_retention_days: int,
    opts: pulumi.ResourceOptions,
    protect: bool = False,
    longest_seconds: int = 0,
    statements: Sequence[Statement] = (),
    role_arn: pulumi.Input[str] | None = None,
) -> aws.sfn.StateMachine:
    """A standard state machine with a role that may do what `statements` say and log, or another's.

    Its definition is made of `of`, once the outputs in it are known.

    It logs to the group of `log_group_arn`, or to one of its own, which `log_retention_days` and
    `protect` are for: see `execution_log`.

    Its physical name is PROJECT-STACK-KIND-NAME, for people type it to start it by hand.

    A deletion waits for the state that each execution is in, which takes `longest_seconds` at most:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_DeleteStateMachine.html
    """
    physical_name = f"{machine_prefix()}{kind}-{name}"
    if log_group_arn is None:
        log_group_arn = execution_log(
            name, f"{kind}-{name}", retention_days=log_retention_days, protect=protect, opts=opts
        )
    role_arn = own_or_shared(
        opts.parent,
        f"{name}-{kind}",
        lambda: machine_role(f"{name}-{kind}", f"{physical_name}*", statements, opts),
        role_arn,
    )
    return aws.sfn.StateMachine(
        name,
        name=physical_name,
        role_arn=role_arn,
        definition=of_known(of, lambda known: json.dumps(definition(known), ensure_ascii=False)),
        logging_configuration={
            "level": "ALL",
            "include_execution_data": False,
            "log_destination": joined(log_group_arn, ":*"),
        },
        opts=pulumi.ResourceOptions.merge(
            opts, pulumi.ResourceOptions(custom_timeouts=_deleted_within(longest_seconds))
        ),
    )


def execution_log(
    resource_name: str,
    name: str,
    *,
    retention_days: int,
    protect: bool,
    opts: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """The ARN of a log group for state machines; with `protect` Pulumi never deletes it.

    It has each step of each execution, whose ARN is in the line, without the data that passes
    between them: it may be confidential, and the execution's history has it.
    """
    # A name outside this prefix makes AWS rewrite one resource policy until it is full:
    # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
    return log_group(
        resource_name,
        f"/aws/vendedlogs/states/{machine_prefix()}{name}",
        retention_days=retention_days,
        protect=protect,
        opts=opts,
    ).arn


def _deleted_within(longest_seconds: int) -> pulumi.CustomTimeouts:
    # Five minutes are the provider's default, and what the deletion itself may take.
    return pulumi.CustomTimeouts(delete=f"{5 + -(-longest_seconds // 60)}m")


def machine_role(
    name: str, machines: str, statements: Sequence[Statement], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """The ARN of a role for the state machines of a name or pattern, which may log."""
    return service_role(
        name,
        service="states.amazonaws.com",
        source={"ArnLike": {"aws:SourceArn": arn("states", f"stateMachine:{machines}")}},
        statements=[*statements, log_delivery()],
        opts=opts,
        under_way=True,
    )
