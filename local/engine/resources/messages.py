"""Queues and topics with their policies → Amazon SQS and SNS."""

from local.engine.monitor import Created, Properties, Registration
from local.engine.resources.context import Context, Creator, document, given

_QUEUE_ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deduplicationScope": "DeduplicationScope",
    "delaySeconds": "DelaySeconds",
    "fifoQueue": "FifoQueue",
    "fifoThroughputLimit": "FifoThroughputLimit",
    "kmsDataKeyReusePeriodSeconds": "KmsDataKeyReusePeriodSeconds",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "maxMessageSize": "MaximumMessageSize",
    "messageRetentionSeconds": "MessageRetentionPeriod",
    "policy": "Policy",
    "receiveWaitTimeSeconds": "ReceiveMessageWaitTimeSeconds",
    "redriveAllowPolicy": "RedriveAllowPolicy",
    "redrivePolicy": "RedrivePolicy",
    "sqsManagedSseEnabled": "SqsManagedSseEnabled",
    "visibilityTimeoutSeconds": "VisibilityTimeout",
}
_TOPIC_ATTRIBUTES = {
    "contentBasedDeduplication": "ContentBasedDeduplication",
    "deliveryPolicy": "DeliveryPolicy",
    "displayName": "DisplayName",
    "fifoTopic": "FifoTopic",
    "kmsMasterKeyId": "KmsMasterKeyId",
    "policy": "Policy",
}
_SUBSCRIPTION_ATTRIBUTES = {
    "filterPolicy": "FilterPolicy",
    "filterPolicyScope": "FilterPolicyScope",
    "rawMessageDelivery": "RawMessageDelivery",
    "redrivePolicy": "RedrivePolicy",
}


def _attributes(inputs: Properties, names: dict[str, str]) -> dict[str, str]:
    """The attributes given, as the text that SQS and SNS take."""
    return {
        member: str(inputs[key]).lower() if isinstance(inputs[key], bool) else str(inputs[key])
        for key, member in names.items()
        if inputs.get(key) is not None
    }


def queue(context: Context, registration: Registration) -> Created:
    """A queue; its id is its URL."""
    inputs = registration.inputs
    name = context.name(registration, limit=80)
    if inputs.get("fifoQueue") and not inputs.get("name"):
        name += ".fifo"
    url = context.sqs.create_queue(
        QueueName=name,
        Attributes=_attributes(inputs, _QUEUE_ATTRIBUTES),  # pyright: ignore[reportArgumentType] -- names from the table above
        tags=context.tags(inputs),
    )["QueueUrl"]
    return Created(url, {"arn": context.arn("sqs", name), "url": url, "name": name})


def queue_policy(context: Context, registration: Registration) -> Created:
    """Who may use a queue."""
    url, policy = registration.inputs["queueUrl"], document(registration.inputs["policy"])
    context.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return Created(url, {})


def topic(context: Context, registration: Registration) -> Created:
    """A topic; its id is its ARN."""
    inputs = registration.inputs
    name = context.name(registration, limit=256)
    if inputs.get("fifoTopic") and not inputs.get("name"):
        name += ".fifo"
    arn = context.sns.create_topic(
        Name=name,
        Attributes=_attributes(inputs, _TOPIC_ATTRIBUTES),
        Tags=context.pairs(inputs),
    )["TopicArn"]
    return Created(arn, {"arn": arn, "name": name, "owner": context.account})


def topic_policy(context: Context, registration: Registration) -> Created:
    """Who may use a topic."""
    arn, policy = registration.inputs["arn"], document(registration.inputs["policy"])
    context.sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    return Created(arn, {"owner": context.account})


def topic_subscription(context: Context, registration: Registration) -> Created:
    """A queue, function or address that gets what is published to a topic."""
    inputs = registration.inputs
    if inputs["protocol"] in {"email", "email-json", "sms", "http", "https"}:
        context.not_honoured("Messages to addresses outside this cloud are not sent", registration)
    arn = context.sns.subscribe(
        TopicArn=inputs["topic"],
        Protocol=inputs["protocol"],
        ReturnSubscriptionArn=True,
        **given(
            Endpoint=inputs.get("endpoint"),
            Attributes=_attributes(inputs, _SUBSCRIPTION_ATTRIBUTES) or None,
        ),
    )["SubscriptionArn"]
    return Created(arn, {"arn": arn, "ownerId": context.account})


CREATORS: dict[str, Creator] = {
    "aws:sqs/queue:Queue": queue,
    "aws:sqs/queuePolicy:QueuePolicy": queue_policy,
    "aws:sns/topic:Topic": topic,
    "aws:sns/topicPolicy:TopicPolicy": topic_policy,
    "aws:sns/topicSubscription:TopicSubscription": topic_subscription,
}
