"""Text that anybody may have chosen, such as an object's key → text that is safe to show."""

import unicodedata

NOT_SHOWN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, formats, halves of characters, and ends of lines."""


def printable(text: str) -> str:
    """The text with what would move the cursor, colour or reorder as an escape: an object key may.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
    """
    return "".join(
        one.encode("unicode_escape").decode() if unicodedata.category(one) in NOT_SHOWN else one
        for one in text
    )
