"""Rules with targets, schedules, state machines → EventBridge, Scheduler, Step Functions."""

import time
from typing import Any

from local.engine.resources.context import (
    Context,
    awsvpc,
    capacity_providers,
    given,
    lower_pairs,
    pairs,
)
from local.engine.resources.handler import Handler, Name, put, retag
from local.engine.state import Created, Properties, Registration, State
from local.services.stepfunctions import map_runs


def event_rule(context: Context, registration: Registration) -> Created:
    """A rule of an event bus."""
    inputs = registration.inputs
    name: str = inputs["name"]
    state = inputs.get("state") or ("DISABLED" if inputs.get("isEnabled") is False else "ENABLED")
    bus = inputs.get("eventBusName")
    arn = context.events.put_rule(
        Name=name,
        State=state,
        **given(
            Description=inputs.get("description"),
            EventBusName=bus,
            EventPattern=inputs.get("eventPattern"),
            ScheduleExpression=inputs.get("scheduleExpression"),
            RoleArn=inputs.get("roleArn"),
            Tags=pairs(inputs["tags"]) or None,
        ),
    )["RuleArn"]
    identity = name if bus in {None, "default"} else f"{bus}/{name}"
    return Created(identity, {"arn": arn, "name": name})


def _update_rule(context: Context, registration: Registration, before: State) -> None:
    event_rule(context, registration)
    # PutRule ignores the tags of a rule that exists:
    # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
    retag(registration, before, context.events, pairs, ResourceARN=before.outputs["arn"])


def _which_rule(state: State, key: str) -> dict[str, Any]:
    """The rule that a rule's (`name`) or a target's (`rule`) inputs name, and its bus."""
    return given(EventBusName=state.inputs.get("eventBusName")) | {
        key: state.inputs["rule" if "rule" in state.inputs else "name"]
    }


def _target_exists(context: Context, state: State) -> None:
    targets = context.events.list_targets_by_rule(**_which_rule(state, "Rule"))["Targets"]
    if state.inputs["targetId"] not in {target["Id"] for target in targets}:
        raise LookupError(state.id)


def event_target(context: Context, registration: Registration) -> Created:
    """One target of a rule."""
    inputs = registration.inputs
    target_id: str = inputs["targetId"]
    transformer: Properties | None = inputs.get("inputTransformer")
    retry: Properties | None = inputs.get("retryPolicy")
    sqs: Properties | None = inputs.get("sqsTarget")
    target: Any = given(
        Id=target_id,
        Arn=inputs["arn"],
        RoleArn=inputs.get("roleArn"),
        Input=inputs.get("input"),
        InputPath=inputs.get("inputPath"),
        InputTransformer=transformer
        and given(
            InputPathsMap=transformer.get("inputPaths"),
            InputTemplate=transformer["inputTemplate"],
        ),
        DeadLetterConfig=_dead_letters(inputs),
        RetryPolicy=retry
        and given(
            MaximumRetryAttempts=retry.get("maximumRetryAttempts"),
            MaximumEventAgeInSeconds=retry.get("maximumEventAgeInSeconds"),
        ),
        EcsParameters=_ecs_parameters(inputs.get("ecsTarget")),
        SqsParameters=sqs and {"MessageGroupId": sqs["messageGroupId"]},
    )
    bus = inputs.get("eventBusName")
    answer = context.events.put_targets(
        Rule=inputs["rule"], Targets=[target], **given(EventBusName=bus)
    )
    if answer["FailedEntryCount"]:
        failed = answer["FailedEntries"][0]
        raise ValueError(f"{failed.get('ErrorCode')}: {failed.get('ErrorMessage')}")
    return Created(f"{inputs['rule']}-{target_id}", {"targetId": target_id})


def event_archive(context: Context, registration: Registration) -> Created:
    """An archive of a bus's events, which StartReplay sends again."""
    inputs = registration.inputs
    arn = context.events.create_archive(
        ArchiveName=inputs["name"],
        EventSourceArn=inputs["eventSourceArn"],
        **_archive(context, registration),
    )["ArchiveArn"]
    return Created(inputs["name"], {"arn": arn, "name": inputs["name"]})


def _archive(context: Context, registration: Registration) -> dict[str, Any]:
    inputs = registration.inputs
    if inputs.get("retentionDays"):
        kept = "An archive keeps its events until the cloud stops, whatever its retention"
        context.not_honoured(kept, registration)
    return given(
        Description=inputs.get("description"),
        EventPattern=inputs.get("eventPattern"),
        RetentionDays=inputs.get("retentionDays"),
    )


def _update_archive(context: Context, registration: Registration, before: State) -> None:
    context.events.update_archive(ArchiveName=before.id, **_archive(context, registration))


def _dead_letters(inputs: Properties) -> dict[str, str] | None:
    config: Properties = inputs.get("deadLetterConfig") or {}
    return {"Arn": config["arn"]} if config.get("arn") else None


def _ecs_parameters(ecs: Properties | None) -> dict[str, Any] | None:
    """How a rule or a schedule runs a task. The members of a strategy stay in lower camel case."""
    if ecs is None:
        return None
    tags: dict[str, str] | list[Properties] = ecs.get("tags") or {}
    items = tags.items() if isinstance(tags, dict) else ((t["key"], t["value"]) for t in tags)
    return given(
        TaskDefinitionArn=ecs["taskDefinitionArn"],
        TaskCount=ecs.get("taskCount"),
        LaunchType=ecs.get("launchType"),
        PlatformVersion=ecs.get("platformVersion"),
        NetworkConfiguration=awsvpc(ecs.get("networkConfiguration")),
        CapacityProviderStrategy=capacity_providers(
            ecs.get("capacityProviderStrategies") or ecs.get("capacityProviderStrategy")
        ),
        PropagateTags=ecs.get("propagateTags"),
        Group=ecs.get("group"),
        EnableECSManagedTags=ecs.get("enableEcsManagedTags"),
        EnableExecuteCommand=ecs.get("enableExecuteCommand"),
        Tags=[{"Key": key, "Value": value} for key, value in items] or None,
    )


def schedule_group(context: Context, registration: Registration) -> Created:
    """A group of schedules."""
    inputs = registration.inputs
    name: str = inputs["name"]
    arn = context.scheduler.create_schedule_group(Name=name, Tags=pairs(inputs["tags"]))[
        "ScheduleGroupArn"
    ]
    return Created(name, {"arn": arn, "name": name, "state": "ACTIVE"})


def _tag_group(context: Context, registration: Registration, before: State) -> None:
    retag(registration, before, context.scheduler, pairs, ResourceArn=before.outputs["arn"])


def schedule(context: Context, registration: Registration) -> Created:
    """A schedule and its one target."""
    inputs = registration.inputs
    name: str = inputs["name"]
    group: str = inputs.get("groupName") or "default"
    arn = context.scheduler.create_schedule(**_schedule(inputs))["ScheduleArn"]
    return Created(f"{group}/{name}", {"arn": arn, "name": name, "groupName": group})


def _schedule(inputs: Properties) -> dict[str, Any]:
    """All of a schedule: UpdateSchedule forgets what it is not given.

    https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html
    """
    window: Properties = inputs["flexibleTimeWindow"]
    target: Properties = inputs["target"]
    retry: Properties | None = target.get("retryPolicy")
    ecs = _ecs_parameters(target.get("ecsParameters"))
    if ecs and "Tags" in ecs:
        ecs["Tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in ecs["Tags"]]
    sqs: Properties | None = target.get("sqsParameters")
    return dict(
        **_which_schedule(inputs),
        ScheduleExpression=inputs["scheduleExpression"],
        FlexibleTimeWindow=given(
            Mode=window["mode"], MaximumWindowInMinutes=window.get("maximumWindowInMinutes")
        ),
        Target=given(
            Arn=target["arn"],
            RoleArn=target["roleArn"],
            Input=target.get("input"),
            DeadLetterConfig=_dead_letters(target),
            RetryPolicy=retry
            and given(
                MaximumRetryAttempts=retry.get("maximumRetryAttempts"),
                MaximumEventAgeInSeconds=retry.get("maximumEventAgeInSeconds"),
            ),
            EcsParameters=ecs,
            SqsParameters=sqs and {"MessageGroupId": sqs["messageGroupId"]},
        ),
        **given(
            ScheduleExpressionTimezone=inputs.get("scheduleExpressionTimezone"),
            State=inputs.get("state"),
            StartDate=inputs.get("startDate"),
            EndDate=inputs.get("endDate"),
            Description=inputs.get("description"),
            ActionAfterCompletion=inputs.get("actionAfterCompletion"),
        ),
    )


def _which_schedule(inputs: Properties) -> dict[str, str]:
    return {"Name": inputs["name"], "GroupName": inputs.get("groupName") or "default"}


def _update_schedule(context: Context, registration: Registration, _before: State) -> None:
    context.scheduler.update_schedule(**_schedule(registration.inputs))


def state_machine(context: Context, registration: Registration) -> Created:
    """A state machine; its id is its ARN."""
    inputs = registration.inputs
    name: str = inputs["name"]
    tracing: Properties | None = inputs.get("tracingConfiguration")
    if tracing and tracing.get("enabled"):
        context.not_honoured("X-Ray traces nothing", registration)
    if '"DISTRIBUTED"' in inputs["definition"]:
        most = f"A map run has at most {map_runs.AT_ONCE} executions at a time"
        context.not_honoured(most, registration)
    made = context.stepfunctions.create_state_machine(
        name=name,
        type=inputs.get("type") or "STANDARD",
        **_machine(inputs),
        **given(tags=lower_pairs(inputs["tags"]) or None),
    )
    arn = made["stateMachineArn"]
    return Created(
        arn,
        given(
            arn=arn,
            name=name,
            status="ACTIVE",
            stateMachineVersionArn=made.get("stateMachineVersionArn"),
        ),
    )


def _machine(inputs: Properties) -> dict[str, Any]:
    logging: Properties | None = inputs.get("loggingConfiguration")
    tracing: Properties | None = inputs.get("tracingConfiguration")
    return given(
        definition=inputs["definition"],
        roleArn=inputs["roleArn"],
        loggingConfiguration=logging
        and given(
            level=logging.get("level"),
            includeExecutionData=logging.get("includeExecutionData"),
            destinations=[{"cloudWatchLogsLogGroup": {"logGroupArn": logging["logDestination"]}}]
            if logging.get("logDestination")
            else None,
        ),
        tracingConfiguration=tracing and given(enabled=tracing.get("enabled")),
        publish=inputs.get("publish"),
    )


def _update_machine(
    context: Context, registration: Registration, before: State
) -> Properties | None:
    states, arn = context.stepfunctions, before.id
    off: dict[str, Any] = {"loggingConfiguration": {"level": "OFF"}}
    answer = states.update_state_machine(stateMachineArn=arn, **off | _machine(registration.inputs))
    retag(registration, before, states, lower_pairs, resourceArn=arn)
    return given(stateMachineVersionArn=answer.get("stateMachineVersionArn"))


DELETION_SECONDS = 300
"""How long the deletion of a state machine may take, unless customTimeouts says otherwise.

https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/sfn/state_machine.go
"""


def _delete_machine(context: Context, state: State) -> None:
    """Wait until the executions under way have ended, as the provider does."""
    states = context.stepfunctions
    states.delete_state_machine(stateMachineArn=state.id)
    limit = state.delete_seconds or DELETION_SECONDS
    end = time.monotonic() + limit
    while time.monotonic() < end:
        try:
            states.describe_state_machine(stateMachineArn=state.id)
        except states.exceptions.StateMachineDoesNotExist:
            return
        time.sleep(0.2)
    raise TimeoutError(f"executions of {state.id} are still under way after {limit:.0f} s")


HANDLERS: dict[str, Handler] = {
    "aws:cloudwatch/eventRule:EventRule": Handler(
        event_rule,
        lambda c, s: c.events.delete_rule(**_which_rule(s, "Name")),
        _update_rule,
        frozenset({"name", "namePrefix", "eventBusName"}),
        lambda c, s: c.events.describe_rule(**_which_rule(s, "Name")),
        name=Name(64),
        tagged=True,
    ),
    "aws:cloudwatch/eventTarget:EventTarget": Handler(
        event_target,
        lambda c, s: c.events.remove_targets(Ids=[s.inputs["targetId"]], **_which_rule(s, "Rule")),
        put(event_target),
        frozenset({"rule", "targetId", "eventBusName"}),
        _target_exists,
        name=Name(64, key="targetId"),
    ),
    "aws:cloudwatch/eventArchive:EventArchive": Handler(
        event_archive,
        lambda c, s: c.events.delete_archive(ArchiveName=s.id),
        _update_archive,
        frozenset({"name", "namePrefix", "eventSourceArn"}),
        lambda c, s: c.events.describe_archive(ArchiveName=s.id),
        name=Name(48),
    ),
    "aws:scheduler/scheduleGroup:ScheduleGroup": Handler(
        schedule_group,
        lambda c, s: c.scheduler.delete_schedule_group(Name=s.id),
        _tag_group,
        frozenset({"name", "namePrefix"}),
        lambda c, s: c.scheduler.get_schedule_group(Name=s.id),
        name=Name(64),
        tagged=True,
    ),
    "aws:scheduler/schedule:Schedule": Handler(
        schedule,
        lambda c, s: c.scheduler.delete_schedule(**_which_schedule(s.inputs)),
        _update_schedule,
        frozenset({"name", "namePrefix", "groupName"}),
        lambda c, s: c.scheduler.get_schedule(**_which_schedule(s.inputs)),
        name=Name(64),
    ),
    "aws:sfn/stateMachine:StateMachine": Handler(
        state_machine,
        _delete_machine,
        _update_machine,
        frozenset({"name", "namePrefix", "type"}),
        lambda c, s: c.stepfunctions.describe_state_machine(stateMachineArn=s.id),
        name=Name(80),
        tagged=True,
    ),
}
