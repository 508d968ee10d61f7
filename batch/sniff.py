"""The first megabyte of a text → what kind of file it is, its delimiter and its column names."""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from batch.exits import BadDataError

SAMPLE = 1 << 20
_SAMPLE_ROWS = 1000
_DELIMITERS = ",\t;|"
_FOREIGN = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an Office file"),
    (b"PAR1", "a Parquet file"),
    (b"\xd0\xcf\x11\xe0", "an old Office file"),
    (b"BZh", "bzip2-compressed"),
    (b"\xfd7zXZ", "xz-compressed"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x1f\x8b", "compressed twice"),
    (b"\x28\xb5\x2f\xfd", "compressed twice"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
    (b"{\\rtf", "a rich text document"),
)
_CONTROLS = bytes({*range(9), *range(14, 32)} - {0x1A})
_OBJECT = re.compile(r"\s*\{\s*[\"}]")
_NOT_A_NAME = re.compile(
    r"\s*|[-+]?[\d.,]+([eE][-+]?\d+)?%?|\d{4}[-/]\d{1,2}[-/]\d{1,2}.*", re.DOTALL
)


@dataclass(frozen=True)
class Csv:
    """Delimited text: one name a column, and how many blank lines come before the first row."""

    delimiter: str
    names: tuple[str, ...]
    header: bool
    skip: int


@dataclass(frozen=True)
class JsonLines:
    """One JSON object a line."""


def sniff(sample: bytes, *, whole: bool) -> Csv | JsonLines:
    """Tell the format from the first bytes of the file, never from its name.

    Raises:
        BadDataError: empty, or neither delimited text nor JSON Lines; the message says which.
    """
    start = sample.lstrip()
    if not start:
        raise BadDataError("the file is empty")
    for magic, kind in _FOREIGN:
        if start.startswith(magic):
            raise BadDataError(f"the file is {kind}: expected CSV or JSON Lines")
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls * 100 > len(sample):
        raise BadDataError("the file is binary, or UTF-16 without a byte order mark: expected text")
    text = (sample if whole else sample[: sample.rfind(b"\n") + 1] or sample).decode(
        errors="replace"
    )
    if text.lstrip()[0] in "{[" and _is_json(text):
        return JsonLines()
    return _csv(text)


def _is_json(text: str) -> bool:
    lines = [line for line in text[:65536].splitlines() if line.strip()]
    if any(isinstance(_parsed(line), dict) for line in lines[:100]):
        return True
    if isinstance(_parsed(text), list | dict) or (lines[0].strip() in {"[", "{", "[{"}):
        raise BadDataError(
            "the file is one JSON document over several lines, or an array:"
            " expected JSON Lines, one object a line"
        )
    return _OBJECT.match(text) is not None


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _csv(text: str) -> Csv:
    body = text.lstrip("\r\n")
    skip = text[: len(text) - len(body)].count("\n")
    delimiter = max(_DELIMITERS, key=lambda candidate: _agreement(body, candidate))
    try:
        first = next(csv.reader(io.StringIO(body, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise BadDataError(f"the first row cannot be read: {error}") from error
    header = not all(_NOT_A_NAME.fullmatch(cell) for cell in first)
    names = unique_names(first if header else [""] * len(first))
    return Csv(delimiter, names, header, skip)


def _agreement(body: str, delimiter: str) -> tuple[float, int]:
    """Return the share of rows as wide as the first, then that width; nothing below two columns."""
    csv.field_size_limit(SAMPLE * 4)
    widths: list[int] = []
    try:
        for row in csv.reader(io.StringIO(body, newline=""), delimiter=delimiter):
            if row:
                widths.append(len(row))
            if len(widths) == _SAMPLE_ROWS:
                break
    except csv.Error:
        pass
    if not widths or widths[0] < 2:
        return 0.0, 0
    return Counter(widths)[widths[0]] / len(widths), widths[0]


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Give every column a name of its own, also for readers that ignore case.

    An empty name becomes `column_3` (its place, from 1); the second `a` becomes `a_2`.
    """
    taken: set[str] = set()
    unique: list[str] = []
    for place, name in enumerate(names, start=1):
        base = name.replace("\0", "").strip() or f"column_{place}"
        candidate, number = base, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{base}_{number}"
        taken.add(candidate.casefold())
        unique.append(candidate)
    return tuple(unique)
