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
_UTC = "{text} LIKE '____-__-__T__:__:__Z' AND {text} >= '0' AND NOT contains({text}, '.')"
_NO_NUMBER = "[nN]a[nN]|-?[iI]nf(inity)?"
_ZERO_OR_NEGATIVE = (
    "({text} BETWEEN '0' AND '0/' OR {text} BETWEEN '-1' AND '-:' OR {text} BETWEEN '-0' AND '-0/')"
)
_SHORT = "{value} IS NOT NULL AND strlen({text}) <= 15 AND NOT contains({text}, '_')"

# A cast alone would take 00123, 1_000 and 2.5 for whole numbers, and 20 digits for a DOUBLE: each
# type takes only what it gives back. One test of several is enough; they are tried in this order,
# because the first costs a fraction of a regular expression and is nearly always the last.
_FITS = {
    "BOOLEAN": (
        "{text} = 'true' OR {text} = 'false'",
        "lower({text}) IN ('true', 'false')",
    ),
    "BIGINT": (
        "CAST({value} AS VARCHAR) = {text}",
        "CAST({value} AS VARCHAR) = trim({text})",
    ),
    "DOUBLE": (
        f"{{text}} BETWEEN '1' AND ':' AND {_SHORT}",
        f"{_ZERO_OR_NEGATIVE} AND {_SHORT}",
        f"{{value}} IS NOT NULL AND regexp_full_match({{text}}, ' *({_NUMBER}|{_NO_NUMBER}) *')",
    ),
    # Parquet has no infinity for these two: another reader would take it for a day.
    "DATE": (
        "isfinite({value}) AND CAST({value} AS VARCHAR) = {text}",
        "isfinite({value}) AND CAST({value} AS VARCHAR) = replace({text}, '/', '-')",
    ),
    "TIMESTAMP": (
        "isfinite({value}) AND CAST({value} AS VARCHAR) = {text}",
        "isfinite({value}) AND replace(CAST({value} AS VARCHAR), ' ', 'T') = {text}",
        f"{{value}} IS NOT NULL AND regexp_full_match({{text}}, '{_DAY}[ T]{_CLOCK}')",
    ),
    "TIMESTAMPTZ": (
        f"{{value}} IS NOT NULL AND {_UTC}",
        f"{{value}} IS NOT NULL AND regexp_full_match({{text}}, '{_DAY}[ T]{_CLOCK} ?{_OFFSET}')",
    ),
    "TIME": ("CAST({value} AS VARCHAR) = {text}",),
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
        f"bool_and(coalesce({_fits(place, kind)}, false)) FILTER (WHERE text_{place} IS NOT NULL)"
        for place, column in enumerate(columns)
        for kind in column.candidates
    ]
    inner = _cast(columns, [column.candidates for column in columns], relation)
    return f"SELECT {', '.join(['count(*)', *tests])} FROM {inner}"


def sampled(columns: Sequence[Column], relation: str) -> str:
    """Return the query that profiles every column for every type: for a sample, not for a file.

    A row is a column's place, then an answer for each of `ALL` as in `profile`, which tests
    less, but takes far longer to plan than a sample takes to read. An empty relation has no row.
    """
    answers = ", ".join(
        f"bool_and(coalesce({_fits(0, kind)}, false)) FILTER (WHERE text_0 IS NOT NULL)"
        for kind in ALL
    )
    casts = ", ".join(f"TRY_CAST(text_0 AS {kind}) AS {_value(0, kind)}" for kind in ALL)
    values = ", ".join(column.sql for column in columns)
    return (
        f"SELECT place, {answers} FROM (SELECT place, text_0, {casts} FROM"
        f" (SELECT unnest([{values}]) AS text_0, unnest(range({len(columns)})) AS place"
        f" FROM {relation})) GROUP BY place"
    )


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


def typed(columns: Sequence[Column], types: Sequence[str], relation: str) -> str:
    """Return the query that casts the columns, and ends at a value that does not fit."""
    casts = [() if kind in {TEXT, UNKNOWN} else (kind,) for kind in types]
    select = ", ".join(
        f"{_typed(place, column, kind)} AS {column.sql}"
        for place, (column, kind) in enumerate(zip(columns, types, strict=True))
    )
    return f"SELECT {select} FROM {_cast(columns, casts, relation)}"


def _typed(place: int, column: Column, kind: str) -> str:
    text, value = f"text_{place}", _value(place, kind)
    if column.nested is not None:
        return f"json_transform({text}, {literal(column.nested)})"
    if kind == TEXT:
        return text
    if kind == UNKNOWN:
        return f"CASE WHEN {text} IS NULL THEN NULL::VARCHAR ELSE error({literal(MISFIT)}) END"
    usual, *others = (f"WHEN {test} THEN {value}" for test in _tests(place, kind))
    rest = " ".join([f"WHEN {text} IS NULL THEN NULL", *others])
    return f"CASE {usual} {rest} ELSE error({literal(MISFIT)}) END"


def _cast(columns: Sequence[Column], kinds: Sequence[Sequence[str]], relation: str) -> str:
    """Return the relation with each column as text and as each of its kinds, cast only once."""
    select = ", ".join(
        expression
        for place, column in enumerate(columns)
        for expression in (
            f"{column.sql} AS text_{place}",
            *(
                f"TRY_CAST({column.sql} AS {kind}) AS {_value(place, kind)}"
                for kind in kinds[place]
            ),
        )
    )
    return f"(SELECT {select} FROM {relation})"


def _fits(place: int, kind: str) -> str:
    return "(" + " OR ".join(f"({test})" for test in _tests(place, kind)) + ")"


def _tests(place: int, kind: str) -> list[str]:
    return [
        test.replace("{text}", f"text_{place}").replace("{value}", _value(place, kind))
        for test in _FITS[kind]
    ]


def _value(place: int, kind: str) -> str:
    return f"{kind.lower()}_{place}"
