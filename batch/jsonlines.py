"""JSON Lines → columns: scalars as text to be typed, nested values in the structure they have."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias, cast

import numpy as np
import pyarrow as pa

from batch import kinds
from batch.dialect import unique_names
from batch.exits import BadDataError
from batch.kinds import DIGITS, OF_JSON, TEXT, Kind, fixed
from batch.limits import COLUMNS, DEPTH, NESTED_KEYS, ROW_BYTES
from batch.options import Options
from batch.parquet import sql_name
from batch.records import BAD_CHARACTER, TOO_LONG
from batch.report import Format, Rejects
from batch.tables import Batch, gathered
from batch.text import Text

NOT_JSON = "not valid JSON"
NO_OBJECT = "a JSON value, but not an object"
TWICE = "a key occurs twice in the object"
TOO_DEEP = f"values are nested deeper than {DEPTH}"
NO_UNICODE = "an escape that is half a character"
_INVALID = b"\xff"
_CELLS = 1_000_000
_LEVELS = 16
_BLANK = b" \t\r"
_STRUCTURE = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{\]}]', re.DOTALL)


class _RefusedError(ValueError):
    """A line is no row, for the reason that is its text."""


class _Number(str):
    """A number whose digits Python would change."""

    __slots__ = ()


Value: TypeAlias = "bool | int | str | _Number | list[Value] | dict[str, Value] | None"


def _integer(digits: str) -> int | _Number:
    return int(digits) if len(digits) <= 18 and digits != "-0" else _Number(digits)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _RefusedError(TWICE)
    return made


def _no_number(_: str) -> NoReturn:
    raise _RefusedError(NOT_JSON)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_float=_Number, parse_int=_integer, parse_constant=_no_number
)


def row(line: bytes) -> dict[str, Value]:
    """Return the object in a line.

    Raises:
        _RefusedError: it is none.
    """
    if len(line) > ROW_BYTES:
        raise _RefusedError(TOO_LONG)
    if _INVALID in line:
        raise _RefusedError(BAD_CHARACTER)
    if line.count(b"[") + line.count(b"{") > DEPTH and _is_deep(line):
        raise _RefusedError(TOO_DEEP)
    text = line.decode()
    try:
        value = cast("Value", _DECODER.decode(text))
    except _RefusedError:
        raise
    except ValueError:
        raise _RefusedError(NOT_JSON) from None
    if not isinstance(value, dict):
        raise _RefusedError(NO_OBJECT)
    if b"\\u" in line and re.search(rb"\\u[dD][89a-fA-F]", line):
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise _RefusedError(NO_UNICODE) from None
    return value


def _is_deep(line: bytes) -> bool:
    depth = 0
    for found in _STRUCTURE.finditer(line):
        if found[0] in b"[{":
            depth += 1
            if depth > DEPTH:
                return True
        elif found[0] in b"]}":
            depth -= 1
    return False


@dataclass
class _Structure:
    """What was seen of the values of a key: the scalars' kinds, what lists and objects hold.

    `irregular` stands for what no Parquet type has without a loss: it stays JSON text.
    """

    scalars: set[str] = field(default_factory=set[str])
    items: "_Structure | None" = None
    fields: "dict[str, _Structure] | None" = None
    irregular: bool = False

    def see(self, value: Value, level: int = 0) -> None:
        """Take one more value."""
        match value:
            case None:
                return
            case list() | dict() if self.irregular or level == _LEVELS:
                self.irregular = True
                self.items = self.fields = None
            case list():
                self.items = self.items or _Structure()
                for item in value:
                    self.items.see(item, level + 1)
            case dict():
                self.fields = {} if self.fields is None else self.fields
                for key, item in value.items():
                    self.fields.setdefault(key, _Structure()).see(item, level + 1)
                if len(self.fields) > NESTED_KEYS:
                    self.irregular = True
                    self.fields = None
            case bool():
                self.scalars.add("boolean")
            case _Number():
                self.scalars.add(_precision(value))
            case int():
                self.scalars.add(
                    ("integer" if abs(value) < 10**DIGITS else "long")
                    if value >= 0
                    else ("negative" if -value < 10**DIGITS else "long negative")
                )
            case str():
                self.scalars.add("string")

    @property
    def nested(self) -> bool:
        """Whether a value is a list or an object."""
        return self.irregular or self.items is not None or self.fields is not None

    def kinds(self) -> frozenset[str]:
        """Return the kinds of the scalars as JSON has them."""
        return frozenset(
            kind if kind in {"boolean", "string"} else "number" for kind in self.scalars
        )

    def type(self) -> pa.DataType | None:
        """Return the Arrow type of the values, or None if there is none without a loss."""
        shapes = bool(self.scalars) + (self.items is not None) + (self.fields is not None)
        if self.irregular or shapes > 1:
            return None
        if self.items is not None:
            inner = self.items.type()
            return None if inner is None else pa.list_(inner)
        if self.fields is not None:
            return self._struct()
        return _SCALARS.get(frozenset(self.scalars))

    def _struct(self) -> pa.DataType | None:
        fields = self.fields or {}
        made = [
            (name, kind) for name, inner in fields.items() if (kind := inner.type()) is not None
        ]
        names = {name.casefold() for name in fields}
        if "" in names or len(names) < len(fields) or len(made) < len(fields) or not fields:
            return None
        return pa.struct(made)


def _precision(number: _Number) -> str:
    digits = re.sub(r"[eE].*|[-.]", "", number).lstrip("0")
    if number.lstrip("-").isdigit() or len(digits) > DIGITS:
        return "exact"
    value = float(number)
    return "exact" if value in {float("inf"), float("-inf")} or (not value and digits) else "double"


def _scalars() -> dict[frozenset[str], pa.DataType]:
    """Return the type for each set of kinds that one type holds without a loss."""
    whole = ("integer", "negative", "long", "long negative")
    found: dict[frozenset[str], pa.DataType] = {frozenset(): pa.string()}
    for bits in range(1, 16):
        kinds = frozenset(kind for place, kind in enumerate(whole) if bits >> place & 1)
        found[kinds] = pa.int64() if kinds & {"negative", "long negative"} else pa.uint64()
        if not kinds & {"long", "long negative"}:
            found[kinds | {"double"}] = pa.float64()
    return found | {
        frozenset({"double"}): pa.float64(),
        frozenset({"boolean"}): pa.bool_(),
        frozenset({"string"}): pa.string(),
    }


_SCALARS = _scalars()


class JsonTable:
    """One object a line; what its keys hold is known when all of it has been read once."""

    def __init__(self, text: Text, options: Options) -> None:
        self._text = text
        # JSON has a way of its own to write numbers.
        self.options = replace(options, decimal=".")
        self._structures: dict[str, _Structure] = {}
        self._rows = 0
        rejects = Rejects()
        for found, *_ in self._objects(rejects):
            self._rows += 1
            for key, value in found.items():
                structure = self._structures.get(key)
                if structure is None:
                    if len(self._structures) == COLUMNS:
                        raise BadDataError(
                            f"the objects have more than {COLUMNS:,} different keys, and a column"
                            " each is what can be written"
                        )
                    structure = self._structures[key] = _Structure()
                structure.see(value)
        if not self._structures and self._rows:
            raise BadDataError("every object is empty: there is no column to write")
        self._names = unique_names(self._structures)
        self._types = [
            structure.type() if structure.nested and key not in options.schema else None
            for key, structure in self._structures.items()
        ]

    @property
    def names(self) -> Sequence[str]:
        """The keys, as names that differ."""
        return self._names

    def detected(self) -> Format:
        """JSON Lines, in whatever encoding and compression."""
        return Format("json lines", self._text.encoding, self._text.compression)

    def candidates(self) -> Sequence[tuple[Kind, ...]]:
        """Scalars of one kind may be narrower than text; nested values have their type."""
        return [
            (fixed(sql_name(made), made),)
            if made is not None
            else (TEXT,)
            if structure.nested
            else kinds.candidates(OF_JSON.get(structure.kinds(), (TEXT,)), self.options)
            for structure, made in zip(self._structures.values(), self._types, strict=True)
        ]

    def batches(self, rejects: Rejects) -> Iterator[Batch]:
        """Yield the objects; lines that are none go to `rejects`."""
        most = max(1, _CELLS // max(1, len(self._names)))
        for rows, lines in gathered(self._objects(rejects), most, rejects):
            yield self._batch(rows, lines)

    def _batch(self, rows: Sequence[Mapping[str, Value]], lines: Sequence[int]) -> Batch:
        # Objects of many different keys have few of them each.
        present = set[str]().union(*rows)
        columns = [
            pa.array([None] * len(rows), made or pa.string())
            if key not in present
            else pa.array([_text(found.get(key)) for found in rows], pa.string())
            if made is None
            else pa.array([_plain(found.get(key)) for found in rows], made)
            for key, made in zip(self._structures, self._types, strict=True)
        ]
        return Batch(columns, np.array(lines, np.int64))

    def _objects(self, rejects: Rejects) -> Iterator[tuple[dict[str, Value], int, int]]:
        """Yield the objects, each with its line and how long that is."""
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip(_BLANK):
                continue
            try:
                yield self._with_nulls(row(line)), number, len(line)
            except _RefusedError as refusal:
                rejects.add(number, str(refusal))

    def _with_nulls(self, found: dict[str, Value]) -> dict[str, Value]:
        nulls = self.options.null_values
        if not nulls:
            return found
        return {
            key: None if value in nulls and not isinstance(value, _Number) else value
            for key, value in found.items()
        }

    def _lines(self) -> Iterator[bytes]:
        """Yield the lines; of one that is too long, as much as shows it."""
        cut = b""
        for block in self._text.blocks():
            head, *lines = block.split(b"\n")
            cut += head if len(cut) <= ROW_BYTES else b""
            for line in lines:
                yield cut
                cut = line
        if cut.rstrip(b"\x1a"):
            yield cut


def _text(value: Value) -> str | None:
    """Return a value as text: strings and numbers as they are, the others as JSON."""
    if value is None or isinstance(value, str):
        return value
    return _json(value)


def _json(value: Value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | _Number():
            return str(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return f"[{','.join(map(_json, value))}]"
        case dict():
            members = (
                f"{json.dumps(key, ensure_ascii=False)}:{_json(item)}"
                for key, item in value.items()
            )
            return f"{{{','.join(members)}}}"


def _plain(value: Value) -> object:
    """Return a nested value as Arrow takes it: every number that is left has a type of its own."""
    match value:
        case _Number():
            return float(value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case _:
            return value
