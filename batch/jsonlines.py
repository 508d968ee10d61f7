"""The structure of JSON Lines → columns: scalars as text to be typed, nested values as they are."""

# ruff: noqa: S608 - what is put into a query is a constant, or quoted by batch.columns

import json
from typing import TypeAlias, cast

from batch.columns import TEXT, Column, literal, quoted
from batch.sniff import unique_names

# Objects used as dictionaries have as many keys as entries: beyond this they stay JSON text.
_NESTED_KEYS = 200
# Strings stay strings, but for dates; numbers stay numbers.
_CANDIDATES = {
    "BOOLEAN": ("BOOLEAN",),
    "BIGINT": ("BIGINT", "DOUBLE"),
    "UBIGINT": ("BIGINT", "DOUBLE"),
    "HUGEINT": ("BIGINT", "DOUBLE"),
    "DOUBLE": ("BIGINT", "DOUBLE"),
    "VARCHAR": ("DATE", "TIMESTAMP", "TIMESTAMPTZ", "TIME"),
}

_Structure: TypeAlias = "str | list[_Structure] | dict[str, _Structure]"


def problem(line: str) -> str:
    """Return the SQL that says why a line is no row: NULL if it is one, or is blank."""
    return (
        f"CASE WHEN {line} IS NULL OR trim({line}, ' \t\r') = '' THEN NULL"
        f" WHEN NOT json_valid({line}) THEN 'not valid JSON'"
        f" WHEN json_type({line}) <> 'OBJECT' THEN 'a JSON value, but not an object'"
        f" WHEN len(json_keys({line})) <> len(list_distinct(json_keys({line})))"
        " THEN 'a key occurs twice in the object' END"
    )


def columns_of(structure: str, objects: str) -> tuple[list[Column], str]:
    """Return the columns of all objects, and the relation that has them as text.

    `structure` is what DuckDB's `json_group_structure` found; `objects` has one column, `line`.
    """
    fields = json.loads(structure)
    if not isinstance(fields, dict):
        return [], objects
    keys = cast("dict[str, _Structure]", fields)
    columns = [
        _column(name, kind) for name, kind in zip(unique_names(keys), keys.values(), strict=True)
    ]
    pointers = ", ".join(literal(_pointer(key)) for key in keys)
    select = ", ".join(
        f"field[{place}] AS {quoted(column.name)}" for place, column in enumerate(columns, start=1)
    )
    return columns, (
        f"(SELECT {select} FROM"
        f" (SELECT json_extract_string(line, [{pointers}]) AS field FROM {objects}))"
    )


def _column(name: str, kind: _Structure) -> Column:
    if isinstance(kind, str):
        return Column(name, _CANDIDATES.get(kind, ()))
    nested = _nested(kind)
    return Column(name, (), json.dumps(nested)) if nested is not None else Column(name, ())


def _nested(kind: _Structure) -> "_Structure | None":
    """Return the structure to read a nested value with, or None if it has to stay JSON text."""
    if isinstance(kind, str):
        # HUGEINT would be a DOUBLE in Parquet, and NULL is no type there.
        return {"NULL": TEXT, "HUGEINT": "JSON"}.get(kind, kind)
    if isinstance(kind, list):
        inner = _nested(kind[0])
        return None if inner is None else [inner]
    if "" in kind or len({key.casefold() for key in kind}) < len(kind) or len(kind) > _NESTED_KEYS:
        return None
    fields = {key: _nested(value) for key, value in kind.items()}
    known = {key: value for key, value in fields.items() if value is not None}
    return known if len(known) == len(fields) else None


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")
