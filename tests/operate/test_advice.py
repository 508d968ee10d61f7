"""What `show` advises is what the stack's messages say."""

from components.asl import alerts
from operate.advice import ADVICE


def test_the_advice_is_that_of_the_messages() -> None:
    assert ADVICE == alerts.ADVICE
