"""Uploads that match a filter start a state machine, or a task directly."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NotRequired, TypedDict

import pulumi

from . import defaults
from ._dead_letters import with_queue
from ._delivery import Rule, Target, deliver, listen, start
from ._documents import as_output, joined, json_text
from ._here import Component
from ._task import PlacementArgs, TaskArgs, ecs_parameters, may_run
from .asl.upload import VARIABLES


class UploadFilterArgs(TypedDict):
    """Which objects: all conditions must hold. `key`, `wildcard`, or `prefix` and `suffix`.

    Where the rest would also match folder markers (`target/`), only objects of at least one byte
    match; a `suffix` or `key` that does not end in "/" lets empty files through as well.
    """

    prefix: NotRequired[Sequence[str] | None]
    """What the key begins with, one of these. Default: anything."""
    suffix: NotRequired[Sequence[str] | None]
    """What the key ends with, one of these. Default: anything."""
    key: NotRequired[Sequence[str] | None]
    """The whole key, one of these. Default: any."""
    wildcard: NotRequired[Sequence[str] | None]
    """The whole key, with * for any characters, one of these. Default: any."""
    exclude: NotRequired[Sequence[str] | None]
    """Keys that start nothing all the same, with * for any characters. No pattern can say 'this and
    not that' of a key, so unless `wildcard` is * alone, each such upload starts the state machine,
    whose `exclusions` end it at once: three state transitions, 0.000075 USD. Not for a task.
    Default: none."""
    min_size: NotRequired[int | None]
    """The least size in bytes. Default: 1 where folder markers would match, else nothing."""
    max_size: NotRequired[int | None]
    """The greatest size in bytes. Default: any."""


class UploadTriggerArgs(TypedDict):
    """From which bucket, which objects, what starts.

    Give `state_machine_arn`, or `task` and `placement`.
    """

    bucket_name: pulumi.Input[str]
    """The bucket: `UploadBucket.bucket_name`."""
    filter: UploadFilterArgs
    """Which of its objects."""
    state_machine_arn: NotRequired[pulumi.Input[str]]
    """The state machine that gets the event as its input. Default: none, `task` is started."""
    task: NotRequired[pulumi.Input[TaskArgs]]
    """The task, whose environment gains BUCKET, OBJECT_KEY, OBJECT_VERSION (empty in a bucket that
    keeps none), OBJECT_SIZE (bytes), OBJECT_ETAG and OBJECT_SEQUENCER. Default: none,
    `state_machine_arn` is started."""
    placement: NotRequired[PlacementArgs]
    """Where that task runs. Default: none, for a state machine."""
    tags: NotRequired[Mapping[str, str]]
    """That task's tags, beside those of its job. Default: none."""
    role_arn: NotRequired[pulumi.Input[str] | None]
    """The role that the rule starts it with: `TriggerRoles`. Default: one of its own."""
    protect: NotRequired[bool]
    """Whether the dead letters stay when the trigger is removed. Default: True."""


class UploadTrigger(Component):
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
        super().__init__("fargate-batch:index:UploadTrigger", name, with_queue(opts))
        child = pulumi.ResourceOptions(parent=self)

        pattern = event_pattern(args["bucket_name"], args["filter"])
        heard = listen(
            name,
            {name: Rule(f"Uploads that start {name}", pattern)},
            child,
            protect=args.get("protect", defaults.PROTECT),
        )
        deliver(name, heard, _target(name, args), child, role_arn=args.get("role_arn"))
        self.rule_arn = heard.rules[name].arn
        self.rule_name = heard.rules[name].name
        self.dead_letter_queue_url = heard.queue.url
        self.dead_letter_queue_name = heard.queue.name
        self.register_outputs(
            {
                "rule_arn": self.rule_arn,
                "rule_name": self.rule_name,
                "dead_letter_queue_url": self.dead_letter_queue_url,
                "dead_letter_queue_name": self.dead_letter_queue_name,
            }
        )


def event_pattern(bucket_name: pulumi.Input[str], filter_: UploadFilterArgs) -> dict[str, Any]:
    """The pattern of an upload's "Object Created" event.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    """
    filter_ = _with_lists(filter_)
    # Of a filter of no key the size is always one: nobody means folder markers.
    conditions: dict[str, Any] = {}
    if key := _key_conditions(filter_):
        conditions["key"] = key
    if size := _size_condition(filter_):
        # Numbers are compared up to 5,000,000,000 only, but told from 0 whatever they are.
        conditions["size"] = [{"anything-but": [0]} if size == [">=", 1] else {"numeric": size}]
    detail = {"bucket": {"name": [bucket_name]}, "object": conditions}
    return {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": detail}


def _with_lists(filter_: UploadFilterArgs) -> UploadFilterArgs:
    # A text is a sequence, too: of its characters, which nobody means.
    listed: Any = {
        name: [value] if isinstance(value, str) else value for name, value in filter_.items()
    }
    return listed


def _key_conditions(filter_: UploadFilterArgs) -> list[str | dict[str, Any]]:
    """The alternatives of which the key must meet one."""
    if keys := filter_.get("key"):
        return [*keys]
    if wildcards := filter_.get("wildcard"):
        if (excluded := filter_.get("exclude")) and _pattern_excludes(filter_):
            return [{"anything-but": {"wildcard": list(excluded)}}]
        return [{"wildcard": wildcard} for wildcard in wildcards]
    prefixes, suffixes = filter_.get("prefix") or [], filter_.get("suffix") or []
    # Two conditions on one field are alternatives, so prefix and suffix become one wildcard.
    if prefixes and suffixes:
        return [
            {"wildcard": f"{_escaped(prefix)}*{_escaped(suffix)}"}
            for prefix in prefixes
            for suffix in suffixes
        ]
    return [*({"prefix": one} for one in prefixes), *({"suffix": one} for one in suffixes)]


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
    ends = filter_.get("key") or filter_.get("wildcard") or filter_.get("suffix") or ["*"]
    return any(end.endswith(("/", "*")) for end in ends)


def _target(name: str, args: UploadTriggerArgs) -> Target:
    machine_arn, task, placement = (
        args.get("state_machine_arn"),
        args.get("task"),
        args.get("placement"),
    )
    if machine_arn is not None:
        target, filter_ = start(machine_arn), _with_lists(args["filter"])
        if filter_.get("exclude") and not _pattern_excludes(filter_):
            return replace(target, parameters={"input_transformer": _named(name)})
        return target
    if task is not None and placement is not None:
        return _task_target(name, as_output(task), placement, args.get("tags", {}))
    raise ValueError(f"UploadTrigger {name}: give state_machine_arn, or task and placement")


def _pattern_excludes(filter_: UploadFilterArgs) -> bool:
    """Whether all keys match, of which a pattern can leave some out."""
    return list(filter_.get("wildcard") or []) == ["*"]


def _named(name: str) -> dict[str, Any]:
    """An input transformer that adds the trigger's name to the event, as `upload`."""
    paths = {key.replace("-", "_"): f"$.{key}" for key in _EVENT}
    members = ", ".join(f'"{key}": <{key.replace("-", "_")}>' for key in _EVENT)
    return {"input_paths": paths, "input_template": f'{{"upload": "{name}", {members}}}'}


# https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
_EVENT = (
    *("version", "id", "detail-type", "source", "account", "time", "region", "resources"),
    "detail",
)


def _task_target(
    name: str,
    task: pulumi.Output[TaskArgs],
    placement: PlacementArgs,
    tags: Mapping[str, str],
) -> Target:
    # A variable outside quotes is put in as a JSON value, quotes and escapes included; inside
    # quotes AWS splices its raw text, and a quote in a key would break out of it. What S3 makes up
    # itself has none, and must be text though it is a number, or missing:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    paths = {name.lower(): f"$.detail.{'.'.join(path)}" for name, path in VARIABLES.items()}
    values = {
        name: f"<{name.lower()}>" if name in _OTHERS_WORDS else f'"<{name.lower()}>"'
        for name in VARIABLES
    }
    told = ", ".join(f'{{"name": "{name}", "value": {it}}}' for name, it in values.items())
    template = joined(
        '{"containerOverrides": [{"name": ',
        json_text(task["name"]),
        f', "environment": [{told}]}}]}}',
    )
    return Target(
        placement["cluster_arn"],
        may_run(task, placement),
        parameters={
            "ecs_target": ecs_parameters(task, placement, trigger=f"upload-{name}", tags=tags),
            "input_transformer": {"input_paths": paths, "input_template": template},
        },
    )


_OTHERS_WORDS = ("BUCKET", "OBJECT_KEY")
