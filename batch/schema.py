"""A file's columns and a declared schema → the columns of the result."""

from collections.abc import Sequence
from dataclasses import dataclass

from batch import kinds
from batch.columns import Column
from batch.exits import BadDataError
from batch.report import Drift
from batch.tables import Table

_NAMED = 10


@dataclass(frozen=True)
class Plan:
    """The columns of the result, and which of the file's each is made of: none of a missing one."""

    columns: Sequence[Column]
    sources: Sequence[int | None]
    drift: Drift | None


def plan(table: Table) -> Plan:
    """Return the columns that the file has, or those that are declared of it.

    Raises:
        BadDataError: declared columns are missing or others are there, and that is not allowed.
    """
    options = table.options
    comma = options.decimal == ","
    found = [
        Column(name, given, comma=comma)
        for name, given in zip(table.names, table.candidates(), strict=True)
    ]
    if not options.schema:
        return Plan(found, range(len(found)), None)
    header = table.detected().header is not False
    names = list(table.names) if header else list(options.schema)[: len(found)]
    places = {name: place for place, name in enumerate(names)}
    columns = [
        Column(name, (kinds.declared(kind, options),), comma=comma, declared=True)
        for name, kind in options.schema.items()
    ]
    sources = [places.get(name) for name in options.schema]
    others = [place for place in range(len(found)) if place not in set(sources)]
    drift = Drift(
        tuple(name for name in options.schema if name not in places),
        tuple(found[place].name for place in others),
    )
    if options.schema_drift == "refuse" and (drift.missing or drift.additional):
        raise BadDataError(_refusal(drift))
    # Nothing is declared of them: text, whatever they hold, is the same in every file.
    more = [Column(found[place].name, found[place].candidates[-1:]) for place in others]
    return Plan([*columns, *more], [*sources, *others], drift)


def _refusal(drift: Drift) -> str:
    parts = [
        f"{text} {', '.join(names[:_NAMED])}{' and more' if len(names) > _NAMED else ''}"
        for text, names in (
            ("the file has no column", drift.missing),
            (
                "it has the undeclared" if drift.missing else "the file has the undeclared column",
                drift.additional,
            ),
        )
        if names
    ]
    return (
        f"{'; '.join(parts)}: correct the file or jobs.NAME.ingest.schema, or set"
        " jobs.NAME.ingest.schemaDrift: allow"
    )
