"""What `show` advises is what the stack's messages say."""

from components import outcomes
from operate import outcomes as advice


def test_the_advice_is_that_of_the_messages() -> None:
    assert (advice.ADVICE, advice.OTHERWISE, advice.WHAT_TO_DO) == (
        outcomes.ADVICE,
        outcomes.OTHERWISE,
        outcomes.WHAT_TO_DO,
    )
