"""Dead letters: what a rule, a schedule or a function could not deliver, into an SQS queue.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from collections.abc import Mapping

from local.ministack import internals


def send(queue_arn: str, body: str, attributes: Mapping[str, str]) -> bool:
    """Send a message with text attributes; whether the queue was there to take it."""
    queue = internals.queue_by_arn(queue_arn)
    if queue is None:
        return False
    message = {
        "QueueUrl": queue["url"],
        "MessageBody": body,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    }
    internals.send_message(message, queue["url"])
    return True
