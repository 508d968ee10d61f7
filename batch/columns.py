"""Text columns → the narrowest type that every value of the whole file fits, without loss."""

# ruff: noqa: S608 - what is put into a query is a constant, or quoted by batch.columns

from collections.abc import Sequence
from dataclasses import dataclass

MISFIT = "value outside its column's type"
TEXT = "VARCHAR"
UNKNOWN = "NULL"

_DAY = "[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}"
_CLOCK = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
_OFFSET = "(Z|[-+][0-9]{2}(:?[0-9]{2})?)"
_NUMBER = "-?((0|[1-9][0-9]{0,14})([.][0-9]*)?|[.][0-9]+)([eE][-+]?[0-9]{1,3})?"

# A cast alone would take 00123, 1_000 and 2.5 for whole numbers, and 20 digits for a DOUBLE: each
# type takes only what it gives back. `{c}` is the column.
_FITS = {
    "BOOLEAN": "{c} IN ('true', 'false') OR lower({c}) IN ('true', 'false')",
    "BIGINT": "CAST(TRY_CAST({c} AS BIGINT) AS VARCHAR) = {c}"
    " OR CAST(TRY_CAST({c} AS BIGINT) AS VARCHAR) = trim({c})",
    # What begins with 1 to 9 and is short needs no regular expression, which costs the most here.
    "DOUBLE": "(({c} >= '1' AND {c} < ':' AND strlen({c}) <= 15 AND NOT contains({c}, '_'))"
    f" OR regexp_full_match({{c}}, ' *({_NUMBER}|[nN]a[nN]|-?[iI]nf(inity)?) *'))"
    " AND TRY_CAST({c} AS DOUBLE) IS NOT NULL",
    "DATE": "CAST(TRY_CAST({c} AS DATE) AS VARCHAR) = {c}"
    " OR CAST(TRY_CAST({c} AS DATE) AS VARCHAR) = replace({c}, '/', '-')",
    "TIMESTAMP": "((strlen({c}) = 19 AND {c} LIKE '__________ __:__:__')"
    f" OR regexp_full_match({{c}}, '{_DAY}[ T]{_CLOCK}'))"
    " AND TRY_CAST({c} AS TIMESTAMP) IS NOT NULL",
    "TIMESTAMPTZ": f"regexp_full_match({{c}}, '{_DAY}[ T]{_CLOCK} ?{_OFFSET}')"
    " AND TRY_CAST({c} AS TIMESTAMPTZ) IS NOT NULL",
    "TIME": "CAST(TRY_CAST({c} AS TIME) AS VARCHAR) = {c}",
}
ALL = tuple(_FITS)


@dataclass(frozen=True)
class Column:
    """A column by name, and the types that it may still turn out to have, narrowest first."""

    name: str
    candidates: tuple[str, ...] = ALL
    nested: str | None = None

    @property
    def sql(self) -> str:
        """The column's name as SQL."""
        return quoted(self.name)


def quoted(name: str) -> str:
    """Return `name` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return `text` as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def profile(columns: Sequence[Column], relation: str) -> str:
    """Return the query whose one row has, for each column and candidate, if every value fits.

    NULL stands where the column has no value at all.
    """
    tests = [
        f"bool_and(coalesce({_fits(column, kind)}, false)) FILTER (WHERE {column.sql} IS NOT NULL)"
        for column in columns
        for kind in column.candidates
    ]
    return f"SELECT {', '.join(['count(*)', *tests])} FROM {relation}"


def narrowed(columns: Sequence[Column], answers: Sequence[bool | None]) -> list[Column]:
    """Return the columns with only those candidates left that `profile` did not rule out."""
    remaining = iter(answers)
    return [
        Column(
            column.name,
            tuple(kind for kind in column.candidates if next(remaining) is not False),
            column.nested,
        )
        for column in columns
    ]


def chosen(columns: Sequence[Column], answers: Sequence[bool | None]) -> list[str]:
    """Return each column's type: the first candidate that holds, else text.

    `UNKNOWN` is the type of a column in which no value was seen.
    """
    remaining = iter(answers)
    types: list[str] = []
    for column in columns:
        held = [next(remaining) for _ in column.candidates]
        fitting = [kind for kind, fits in zip(column.candidates, held, strict=True) if fits]
        if fitting:
            types.append(fitting[0])
        else:
            types.append(UNKNOWN if held and None in held else TEXT)
    return types


def typed(column: Column, kind: str) -> str:
    """Return the SQL that casts the column, and ends the query at a value that does not fit."""
    if column.nested is not None:
        return f"json_transform({column.sql}, {literal(column.nested)}) AS {column.sql}"
    if kind == TEXT:
        return column.sql
    if kind == UNKNOWN:
        cast, fits = "NULL::VARCHAR", "false"
    else:
        cast, fits = f"CAST({column.sql} AS {kind})", _fits(column, kind)
    return (
        f"CASE WHEN {column.sql} IS NULL THEN NULL WHEN {fits} THEN {cast}"
        f" ELSE error({literal(MISFIT)}) END AS {column.sql}"
    )


def _fits(column: Column, kind: str) -> str:
    return f"({_FITS[kind].replace('{c}', column.sql)})"
