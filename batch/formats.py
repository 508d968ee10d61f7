"""The beginning of a text → what kind of file it is, by its content and never by its name."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from batch.binary import EXPECTED
from batch.dialect import Csv, Declared, dialect
from batch.exits import BadDataError

SAMPLE = 1 << 20
_WORDS = (
    (
        "HTML",
        re.compile(
            r"<(!doctype\s+html|html|head|body|table|thead|tbody|tr|div|p|pre|center|font|meta|title"
            r"|script|style|span|form|a|br|h[1-6])\b",
            re.IGNORECASE,
        ),
    ),
    ("XML", re.compile(r"<(\?xml\b|!DOCTYPE\b|!--|[A-Za-z_][\w.:-]*(\s[^<>]*)?/?>)")),
    (
        "SQL",
        re.compile(
            r"(--[^\n]*\n\s*|/\*.*?\*/;?\s*)*"
            r"(INSERT\s+INTO|CREATE\s+(TABLE|DATABASE|SCHEMA|INDEX|VIEW)|DROP\s+TABLE|BEGIN\s*;"
            r"|BEGIN\s+TRANSACTION|COPY\s+[\w.\"]+\s*\(|PRAGMA\s|SELECT\s.+\sFROM\s|USE\s+\S+;"
            r"|SET\s+[\w@.]+\s*=|START\s+TRANSACTION|LOCK\s+TABLES|REPLACE\s+INTO|UPDATE\s+\S+\s+SET)",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
    ("Python dicts and no JSON", re.compile(r"\[?\s*\{\s*(u?'[^'\n]*'|\d+)\s*:")),
    ("a Markdown table", re.compile(r"\|[^\n]*\|\s*\n\s*\|[\s:|-]+\|")),
)
_HTML_COMMENT = re.compile(r"(\s*<!--.*?-->)+\s*", re.DOTALL)
_OBJECT = re.compile(r"\{\s*(\"|\}|\Z)")


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line."""


def sniff(sample: bytes, *, whole: bool, declared: Declared) -> Csv | JsonLines:
    """Tell the format from the first bytes of the file, which are all of it if `whole`.

    Raises:
        BadDataError: empty, or neither delimited text nor JSON Lines; the message says which.
    """
    start = sample.lstrip()
    if not start.rstrip(b"\x1a"):
        raise BadDataError("the file is empty")
    # A character that is cut by the sample's end is not the file's fault.
    text = (sample if whole else sample[: sample.rfind(b"\n") + 1] or sample).decode(
        errors="surrogateescape"
    )
    begin = text.lstrip().lstrip("\ufeff")
    _refuse_words(_HTML_COMMENT.sub("", begin[:4096], count=1) or begin[:4096])
    if begin[0] in "{[" and _is_json(begin, whole=whole):
        return JsonLines()
    return dialect(text, whole=whole, declared=declared)


def _refuse_words(begin: str) -> None:
    for kind, pattern in _WORDS:
        if pattern.match(begin):
            raise BadDataError(f"the file is {kind}: {EXPECTED}")


def _is_json(text: str, *, whole: bool) -> bool:
    lines = [line.strip() for line in text[:65536].split("\n") if line.strip()][:100]
    if isinstance(_parsed(lines[0]), dict):
        return True
    if text[0] == "[":
        if _is_array(text, lines, whole=whole):
            raise BadDataError(_document("a JSON array"))
        return False
    if not _OBJECT.match(text):
        return False
    goes_on = len(lines) > 1 and re.match(r"\"|\}", lines[1]) is not None
    if _spans(text) or (goes_on and not any(isinstance(_parsed(line), dict) for line in lines)):
        raise BadDataError(_document("one JSON document over several lines"))
    return True


def _is_array(text: str, lines: Sequence[str], *, whole: bool) -> bool:
    """Say if a text that begins with a bracket is JSON: `[a],b` may be the header of a CSV."""
    if isinstance(_parsed(lines[0]), list) or lines[0] in {"[", "[{"}:
        return True
    return (whole and isinstance(_parsed(text), list)) or re.match(
        r"\[\s*[{\[\"\]]", text
    ) is not None


def _spans(text: str) -> bool:
    """Say if the first value reaches over several lines."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return "\n" in text[:end]


def _document(kind: str) -> str:
    return (
        f"the file is {kind}: expected JSON Lines, one object a line"
        " (jq -c '.[]' makes that of an array)"
    )


_NOTHING = object()


def _parsed(text: str) -> object:
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return _NOTHING
