"""Uploads that match a filter start a state machine, or a task directly."""

import json
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._dead_letters import RULE_RETRIES, accept_from_rule, dead_letter_queue
from ._iam import allow, run_task, service_role
from ._json import json_text
from ._task import PlacementArgs, TaskArgs, capacity_provider


class UploadFilterArgs(TypedDict):
    """Which objects: all conditions must hold. `key`, `wildcard`, or `prefix` and `suffix`.

    Where the rest would also match folder markers (`target/`), only objects of at least one byte
    match; a `suffix` or `key` that does not end in "/" lets empty files through as well.
    """

    prefix: NotRequired[str | None]
    """What the key begins with."""
    suffix: NotRequired[str | None]
    """What the key ends with."""
    key: NotRequired[str | None]
    """The whole key."""
    wildcard: NotRequired[str | None]
    """The whole key, with * for any characters."""
    min_size: NotRequired[int | None]
    """The least size in bytes."""
    max_size: NotRequired[int | None]
    """The greatest size in bytes."""


class UploadTriggerArgs(TypedDict):
    """From which bucket, which objects, what starts.

    Give `state_machine_arn`, or `task` and `placement`.
    """

    bucket_name: pulumi.Input[str]
    """The bucket: `UploadBucket.bucket_name`."""
    filter: UploadFilterArgs
    """Which of its objects."""
    state_machine_arn: NotRequired[pulumi.Input[str]]
    """The state machine that gets the event as its input."""
    task: NotRequired[TaskArgs]
    """The task that gets bucket and key as its environment's BUCKET and OBJECT_KEY."""
    placement: NotRequired[PlacementArgs]
    """Where that task runs."""


class UploadTrigger(pulumi.ComponentResource):
    """An EventBridge rule, its target, and a queue for the events that could not be delivered.

    The rule tries for a day, 185 times. A task it starts directly counts as delivered once ECS has
    accepted it: whether it ran is for the task events to tell.
    """

    rule_arn: pulumi.Output[str]
    """The rule's ARN."""
    rule_name: pulumi.Output[str]
    """The rule's name."""
    dead_letter_queue_url: pulumi.Output[str]
    """The URL of the queue of undelivered events."""
    dead_letter_queue_name: pulumi.Output[str]
    """The name of that queue."""

    def __init__(
        self, name: str, args: UploadTriggerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:UploadTrigger", name, dict(args), opts)
        child = pulumi.ResourceOptions(parent=self)

        rule = aws.cloudwatch.EventRule(
            name,
            description=f"Uploads that start {name}",
            event_pattern=json_text(event_pattern(args["bucket_name"], args["filter"])),
            opts=child,
        )
        queue = dead_letter_queue(name, child)
        accepts = accept_from_rule(name, queue, rule.arn, child)

        machine_arn, task, placement = (
            args.get("state_machine_arn"),
            args.get("task"),
            args.get("placement"),
        )
        target: dict[str, Any]
        if machine_arn is not None:
            statements = [allow("states:StartExecution", machine_arn)]
            target = {"arn": machine_arn}
        elif task is not None and placement is not None:
            statements = run_task(
                task_definition_arn=task["task_definition_arn"],
                cluster_arn=placement["cluster_arn"],
                role_arns=[task["execution_role_arn"], task["task_role_arn"]],
            )
            target = _task_target(task, placement)
        else:
            raise ValueError(f"UploadTrigger {name}: give state_machine_arn, or task and placement")
        role_arn = service_role(
            name,
            service="events.amazonaws.com",
            source={"ArnEquals": {"aws:SourceArn": rule.arn}},
            statements=statements,
            opts=child,
        )
        aws.cloudwatch.EventTarget(
            name,
            rule=rule.name,
            role_arn=role_arn,
            dead_letter_config={"arn": queue.arn},
            retry_policy=RULE_RETRIES,
            **target,
            # An event that arrives before the queue takes dead letters must not be lost.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[accepts])),
        )
        self.rule_arn = rule.arn
        self.rule_name = rule.name
        self.dead_letter_queue_url = queue.url
        self.dead_letter_queue_name = queue.name
        self.register_outputs(
            {
                "rule_arn": self.rule_arn,
                "rule_name": self.rule_name,
                "dead_letter_queue_url": self.dead_letter_queue_url,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )

    @property
    def outputs(self) -> dict[str, pulumi.Output[str]]:
        """What other teams read of an upload: its rule and its dead-letter queue."""
        return {"ruleArn": self.rule_arn, "deadLetterQueueUrl": self.dead_letter_queue_url}


def event_pattern(bucket_name: pulumi.Input[str], filter_: UploadFilterArgs) -> dict[str, Any]:
    """The pattern of an upload's "Object Created" event.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    conditions: dict[str, Any] = {}
    if key := _key_condition(filter_):
        conditions["key"] = [key]
    if size := _size_condition(filter_):
        conditions["size"] = [{"numeric": size}]
    detail: dict[str, Any] = {"bucket": {"name": [bucket_name]}}
    if conditions:
        detail["object"] = conditions
    return {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}


def _key_condition(filter_: UploadFilterArgs) -> str | dict[str, str] | None:
    if (key := filter_.get("key")) is not None:
        return key
    if (wildcard := filter_.get("wildcard")) is not None:
        return {"wildcard": wildcard}
    prefix, suffix = filter_.get("prefix"), filter_.get("suffix")
    # Two conditions on one field are alternatives, so prefix and suffix become one wildcard.
    if prefix and suffix:
        return {"wildcard": f"{_escaped(prefix)}*{_escaped(suffix)}"}
    if prefix:
        return {"prefix": prefix}
    return {"suffix": suffix} if suffix else None


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*")


def _size_condition(filter_: UploadFilterArgs) -> list[str | int]:
    minimum, maximum = filter_.get("min_size") or 0, filter_.get("max_size")
    if minimum == 0 and _may_match_folder_markers(filter_):
        minimum = 1
    if minimum == maximum:
        # A range whose bottom is its top is refused.
        return ["=", minimum]
    condition: list[str | int] = [">=", minimum] if minimum > 0 else []
    if maximum is not None:
        condition += ["<=", maximum]
    return condition


def _may_match_folder_markers(filter_: UploadFilterArgs) -> bool:
    end = filter_.get("key") or filter_.get("wildcard") or filter_.get("suffix") or "*"
    return end.endswith(("/", "*"))


def _task_target(task: TaskArgs, placement: PlacementArgs) -> dict[str, Any]:
    # A variable outside quotes is put in as a JSON value, quotes and escapes included; inside
    # quotes AWS would splice its raw text, and a quote in a key would break out of it:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    template = (
        '{"containerOverrides": [{"name": '
        + json.dumps(task["name"])
        + ', "environment": [{"name": "BUCKET", "value": <bucket>},'
        ' {"name": "OBJECT_KEY", "value": <key>}]}]}'
    )
    return {
        "arn": placement["cluster_arn"],
        "ecs_target": {
            "task_definition_arn": task["task_definition_arn"],
            "task_count": 1,
            "capacity_provider_strategies": [
                {"capacity_provider": capacity_provider(placement), "weight": 1}
            ],
            "platform_version": placement.get("platform_version", defaults.PLATFORM_VERSION),
            "network_configuration": {
                "subnets": placement["subnet_ids"],
                "security_groups": placement["security_group_ids"],
                "assign_public_ip": placement.get("assign_public_ip", defaults.ASSIGN_PUBLIC_IP),
            },
            "propagate_tags": "TASK_DEFINITION",
        },
        "input_transformer": {
            "input_paths": {"bucket": "$.detail.bucket.name", "key": "$.detail.object.key"},
            "input_template": template,
        },
    }
