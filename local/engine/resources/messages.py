"""Queues and topics with their policies → Amazon SQS and SNS."""

from local.engine.resources.context import Context, document, given, pairs
from local.engine.resources.handler import Handler, Name, put, retag, retagged
from local.engine.state import Created, Properties, Registration, State

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
    name: str = inputs["name"]
    url = context.sqs.create_queue(
        QueueName=name,
        Attributes=_attributes(inputs, _QUEUE_ATTRIBUTES),  # pyright: ignore[reportArgumentType] -- names from the table above
        tags=inputs["tags"],
    )["QueueUrl"]
    return Created(url, {"arn": context.arn("sqs", name), "url": url, "name": name})


def _update_queue(context: Context, registration: Registration, before: State) -> None:
    sqs, url = context.sqs, before.id
    changed = _changed(registration, before, _QUEUE_ATTRIBUTES)
    if changed:
        sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)  # pyright: ignore[reportArgumentType] -- names from the table above
    added, gone = retagged(registration, before)
    if added:
        sqs.tag_queue(QueueUrl=url, Tags=added)
    if gone:
        sqs.untag_queue(QueueUrl=url, TagKeys=gone)


def _changed(registration: Registration, before: State, names: dict[str, str]) -> dict[str, str]:
    """The attributes that are others now; one that was taken out is empty, as it was at first."""
    old, new = _attributes(before.inputs, names), _attributes(registration.inputs, names)
    return {
        member: new.get(member, "")
        for member in names.values()
        if new.get(member) != old.get(member)
    }


def queue_policy(context: Context, registration: Registration) -> Created:
    """Who may use a queue."""
    url, policy = registration.inputs["queueUrl"], document(registration.inputs["policy"])
    context.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    return Created(url, {})


def topic(context: Context, registration: Registration) -> Created:
    """A topic; its id is its ARN."""
    inputs = registration.inputs
    name: str = inputs["name"]
    arn = context.sns.create_topic(
        Name=name,
        Attributes=_attributes(inputs, _TOPIC_ATTRIBUTES),
        Tags=pairs(inputs["tags"]),
    )["TopicArn"]
    return Created(arn, {"arn": arn, "name": name, "owner": context.account})


def _update_topic(context: Context, registration: Registration, before: State) -> None:
    for member, value in _changed(registration, before, _TOPIC_ATTRIBUTES).items():
        context.sns.set_topic_attributes(
            TopicArn=before.id, AttributeName=member, AttributeValue=value
        )
    retag(registration, before, context.sns, pairs, ResourceArn=before.id)


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


def _update_subscription(context: Context, registration: Registration, before: State) -> None:
    for member, value in _changed(registration, before, _SUBSCRIPTION_ATTRIBUTES).items():
        context.sns.set_subscription_attributes(
            SubscriptionArn=before.id, AttributeName=member, AttributeValue=value
        )


def _own_topic_policy(context: Context, state: State) -> None:
    """AWS has no topic without a policy: the first one lets its account use it.

    https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
    """
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": context.account},
        "Action": ["sns:Publish", "sns:Subscribe"],
        "Resource": state.id,
    }
    policy = document({"Version": "2012-10-17", "Statement": [statement]})
    context.sns.set_topic_attributes(
        TopicArn=state.id, AttributeName="Policy", AttributeValue=policy
    )


HANDLERS: dict[str, Handler] = {
    "aws:sqs/queue:Queue": Handler(
        queue,
        lambda c, s: c.sqs.delete_queue(QueueUrl=s.id),
        _update_queue,
        frozenset({"name", "namePrefix", "fifoQueue"}),
        lambda c, s: c.sqs.get_queue_attributes(QueueUrl=s.id),
        name=Name(80),
        tagged=True,
    ),
    "aws:sqs/queuePolicy:QueuePolicy": Handler(
        queue_policy,
        lambda c, s: c.sqs.set_queue_attributes(QueueUrl=s.id, Attributes={"Policy": ""}),
        put(queue_policy),
        frozenset({"queueUrl"}),
        lambda c, s: c.sqs.get_queue_attributes(QueueUrl=s.id),
    ),
    "aws:sns/topic:Topic": Handler(
        topic,
        lambda c, s: c.sns.delete_topic(TopicArn=s.id),
        _update_topic,
        frozenset({"name", "namePrefix", "fifoTopic"}),
        lambda c, s: c.sns.get_topic_attributes(TopicArn=s.id),
        name=Name(256),
        tagged=True,
    ),
    "aws:sns/topicPolicy:TopicPolicy": Handler(
        topic_policy,
        _own_topic_policy,
        put(topic_policy),
        frozenset({"arn"}),
        lambda c, s: c.sns.get_topic_attributes(TopicArn=s.id),
    ),
    "aws:sns/topicSubscription:TopicSubscription": Handler(
        topic_subscription,
        lambda c, s: c.sns.unsubscribe(SubscriptionArn=s.id),
        _update_subscription,
        frozenset({"topic", "protocol", "endpoint"}),
        lambda c, s: c.sns.get_subscription_attributes(SubscriptionArn=s.id),
    ),
}
