"""Log lines: one JSON document a line on standard output, whatever characters it carries."""

import json
import sys
from collections.abc import Mapping


def emit(document: Mapping[str, object]) -> None:
    r"""Print `document` as one line of UTF-8.

    Bytes of a key or a variable that are not UTF-8 arrive as lone surrogates; they are printed as
    `\udcXX`, which JSON reads back as what they were.
    """
    text = json.dumps(document, ensure_ascii=False, default=str)
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
    sys.stdout.buffer.flush()
