"""Which characters speak for a language, of the first 65,536."""

# pyright: reportPrivateUsage=false

from collections import Counter
from collections.abc import Callable

import pytest

from batch import languages

_ALL = [chr(code) for code in range(0x10000) if not 0xD800 <= code <= 0xDFFF]


def found(of_language: Callable[[str], float | None]) -> dict[float | None, tuple[str, str, int]]:
    """The first and the last character of each weight, and how many there are."""
    weights = {character: of_language(character) for character in _ALL}
    return {
        weight: (
            next(character for character in _ALL if weights[character] == weight),
            next(character for character in reversed(_ALL) if weights[character] == weight),
            count,
        )
        for weight, count in Counter(weights.values()).items()
    }


@pytest.mark.parametrize(
    ("of_language", "weights"),
    [
        (
            languages._chinese,
            {None: ("\x00", "\uffff", 59473), 0.1: ("¤", "￥", 3900), 1: ("一", "黄", 115)},
        ),
        (
            languages._japanese,
            {
                None: ("\x00", "\ufaff", 39665),
                0: ("\x80", "\uffff", 20257),
                0.1: ("¢", "￥", 3062),
                0.2: ("｡", "ﾟ", 63),
                0.5: ("ぁ", "ヿ", 191),
                1: ("一", "齢", 250),
            },
        ),
        (
            languages._korean,
            {
                None: ("\x00", "\uffff", 61122),
                0: ("·", "㎡", 16),
                0.1: ("갇", "힝", 2121),
                1: ("가", "희", 229),
            },
        ),
    ],
)
def test_every_character_has_its_weight(
    of_language: Callable[[str], float | None],
    weights: dict[float | None, tuple[str, str, int]],
) -> None:
    assert found(of_language) == weights
