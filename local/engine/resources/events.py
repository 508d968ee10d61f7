"""Rules with targets, schedules, state machines → EventBridge, Scheduler, Step Functions."""

from typing import Any

from local.engine.monitor import Created, Properties, Registration
from local.engine.resources.context import Context, Creator, awsvpc, capacity_providers, given


def event_rule(context: Context, registration: Registration) -> Created:
    """A rule of an event bus."""
    inputs = registration.inputs
    name = context.name(registration, limit=64)
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
            Tags=context.pairs(inputs) or None,
        ),
    )["RuleArn"]
    identity = name if bus in {None, "default"} else f"{bus}/{name}"
    return Created(identity, {"arn": arn, "name": name})


def event_target(context: Context, registration: Registration) -> Created:
    """One target of a rule."""
    inputs = registration.inputs
    target_id = context.name(registration, limit=64, key="targetId")
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
    name = context.name(registration, limit=64)
    arn = context.scheduler.create_schedule_group(
        Name=name, Tags=context.pairs(registration.inputs)
    )["ScheduleGroupArn"]
    return Created(name, {"arn": arn, "name": name, "state": "ACTIVE"})


def schedule(context: Context, registration: Registration) -> Created:
    """A schedule and its one target."""
    inputs = registration.inputs
    name = context.name(registration, limit=64)
    group: str = inputs.get("groupName") or "default"
    window: Properties = inputs["flexibleTimeWindow"]
    target: Properties = inputs["target"]
    retry: Properties | None = target.get("retryPolicy")
    ecs = _ecs_parameters(target.get("ecsParameters"))
    if ecs and "Tags" in ecs:
        ecs["Tags"] = [{"key": tag["Key"], "value": tag["Value"]} for tag in ecs["Tags"]]
    sqs: Properties | None = target.get("sqsParameters")
    arn = context.scheduler.create_schedule(
        Name=name,
        GroupName=group,
        ScheduleExpression=inputs["scheduleExpression"],
        FlexibleTimeWindow=given(  # pyright: ignore[reportArgumentType] -- built by key
            Mode=window["mode"], MaximumWindowInMinutes=window.get("maximumWindowInMinutes")
        ),
        Target=given(  # pyright: ignore[reportArgumentType] -- built by key
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
    )["ScheduleArn"]
    return Created(f"{group}/{name}", {"arn": arn, "name": name, "groupName": group})


def state_machine(context: Context, registration: Registration) -> Created:
    """A state machine; its id is its ARN."""
    inputs = registration.inputs
    name = context.name(registration, limit=80)
    logging: Properties | None = inputs.get("loggingConfiguration")
    tracing: Properties | None = inputs.get("tracingConfiguration")
    if tracing and tracing.get("enabled"):
        context.not_honoured("X-Ray traces nothing", registration)
    made = context.stepfunctions.create_state_machine(
        name=name,
        definition=inputs["definition"],
        roleArn=inputs["roleArn"],
        type=inputs.get("type") or "STANDARD",
        **given(
            loggingConfiguration=logging
            and given(
                level=logging.get("level"),
                includeExecutionData=logging.get("includeExecutionData"),
                destinations=[
                    {"cloudWatchLogsLogGroup": {"logGroupArn": logging["logDestination"]}}
                ]
                if logging.get("logDestination")
                else None,
            ),
            tracingConfiguration=tracing and given(enabled=tracing.get("enabled")),
            publish=inputs.get("publish"),
            tags=context.lower_pairs(inputs) or None,
        ),
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


CREATORS: dict[str, Creator] = {
    "aws:cloudwatch/eventRule:EventRule": event_rule,
    "aws:cloudwatch/eventTarget:EventTarget": event_target,
    "aws:scheduler/scheduleGroup:ScheduleGroup": schedule_group,
    "aws:scheduler/schedule:Schedule": schedule,
    "aws:sfn/stateMachine:StateMachine": state_machine,
}
