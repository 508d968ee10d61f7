"""SNS: what is published to a topic, told to whoever looks on.

Topics and deliveries stay MiniStack's: nothing is sent from here to a mail server.
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from local.ministack import internals
from local.runtime import Runtime
from local.services.observers import Observers

# Told a topic's ARN, the subject and the text of the message.
_messages: Observers[[str, str, str]] = Observers()
observe = _messages.observe


def install(cloud: Runtime) -> None:  # noqa: ARG001 - as every part
    """Tell of what is published, until the cloud closes."""

    def deliver(
        topic_arn: str, message_id: str, message: str, subject: str, *more: object, **named: object
    ) -> None:
        _messages.tell(topic_arn, subject, message)
        internals.deliver_message.original(topic_arn, message_id, message, subject, *more, **named)

    internals.deliver_message.replace(deliver)
