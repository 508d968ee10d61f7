"""What is declared of a job's files, as the environment hands it over in INGEST."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from batch.declared import ENCODINGS, REJECTED_SHARE, TYPE
from batch.exits import MisconfiguredError

VARIABLE = "INGEST"
DATE_FORMAT = re.compile(r"(?:%[YmdHMS%]|[^%])+")
DRIFTS = ("refuse", "allow")


@dataclass(frozen=True)
class Options:
    """What is declared; a field that is not leaves the choice to the file."""

    schema: Mapping[str, str] = field(default_factory=dict[str, str])
    null_values: Sequence[str] = ()
    date_format: str | None = None
    decimal: str = "."
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    schema_drift: str = "refuse"
    rejected_share: float = REJECTED_SHARE

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Options":
        """Read the JSON document in INGEST, whose keys are those of `jobs.NAME.ingest`.

        Raises:
            MisconfiguredError: it is none, or has a key or a value that is not known here.
        """
        text = environment.get(VARIABLE) or "{}"
        try:
            document: object = json.loads(text)
        except ValueError as error:
            raise MisconfiguredError(f"{VARIABLE} is not valid JSON: {error}") from error
        if not isinstance(document, dict):
            raise MisconfiguredError(f"{VARIABLE} is not a JSON object: {text[:80]}")
        given = cast("dict[str, Any]", document)
        if unknown := sorted(given.keys() - _CHECKS.keys()):
            raise MisconfiguredError(
                f"{VARIABLE} has the key {unknown[0]}, which is none of {', '.join(_CHECKS)}"
            )
        for key, value in given.items():
            if not _CHECKS[key](value):
                raise MisconfiguredError(f"{VARIABLE} has a {key} that is not possible: {value!r}")
        fields: dict[str, Any] = {
            re.sub("[A-Z]", lambda upper: "_" + upper[0].lower(), key): value
            for key, value in given.items()
        }
        return cls(**fields)


_CHECKS: dict[str, Callable[[Any], object]] = {
    "schema": lambda value: (
        isinstance(value, dict)
        and all(isinstance(kind, str) and re.fullmatch(TYPE, kind) for kind in value.values())
    ),
    "nullValues": lambda value: (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    ),
    "dateFormat": lambda value: isinstance(value, str) and DATE_FORMAT.fullmatch(value),
    "decimal": lambda value: value in (".", ","),
    "encoding": lambda value: value in ENCODINGS,
    "delimiter": lambda value: (
        isinstance(value, str) and len(value) == 1 and value.isascii() and value not in '"\r\n'
    ),
    "header": lambda value: isinstance(value, bool),
    "schemaDrift": lambda value: value in DRIFTS,
    "rejectedShare": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    ),
}
