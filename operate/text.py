"""Text that others wrote (object keys, causes, log lines) → text that is safe on a terminal."""

import unicodedata

_NOT_SHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, formats, halves of characters, and ends of lines."""


def printable(text: str) -> str:
    """The text with what would move the cursor, colour or reorder as an escape: an object key may.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in _NOT_SHOWN else one
        for one in text
    )


def width(text: str) -> int:
    """The columns that a text takes: a wide character, such as a Japanese one, takes two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def cut(text: str, columns: int) -> str:
    """The text in at most so many columns, `…` at its end if it was longer."""
    if width(text) <= columns:
        return text
    taken, room = "", columns - 1
    for one in text:
        if (room := room - width(one)) < 0:
            break
        taken += one
    return f"{taken}…"
