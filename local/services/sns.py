"""SNS: what is published to a topic, told to whoever looks on.

Topics and deliveries stay MiniStack's: nothing is sent from here to a mail server.
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from local.ministack import internals
from local.runtime import Runtime

_observers: list[Callable[[str, str, str], object]] = []


def install(cloud: Runtime) -> None:  # noqa: ARG001 - as every part
    """Tell of what is published, until the cloud closes."""

    def deliver(
        topic_arn: str, message_id: str, message: str, subject: str, *more: object, **named: object
    ) -> None:
        for tell in tuple(_observers):
            tell(topic_arn, subject, message)
        internals.deliver_message.original(topic_arn, message_id, message, subject, *more, **named)

    internals.deliver_message.replace(deliver)


@contextmanager
def observe(callback: Callable[[str, str, str], object]) -> Generator[None]:
    """Tell `callback` of every message within the block: its topic's ARN, its subject, its text."""
    _observers.append(callback)
    try:
        yield
    finally:
        _observers.remove(callback)
