"""`jobs.NAME.ingest`: what a job's files are, where that is not to be guessed from each of them."""

import json
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .declared import ENCODINGS, REJECTED_SHARE, TYPE
from .values import Section, Text, matching


def _unlike(schema: dict[str, str]) -> dict[str, str]:
    if len({name.casefold() for name in schema}) < len(schema):
        raise ValueError("two columns differ in case only, which many readers take for one")
    if "" in schema:
        raise ValueError("a column has no name")
    return schema


ColumnType = Annotated[
    str,
    matching(
        TYPE,
        "must be VARCHAR, BOOLEAN, BIGINT, DOUBLE, DECIMAL(precision,scale), DATE, TIMESTAMP, "
        "TIMESTAMPTZ or TIME",
    ),
]
Encoding = Annotated[str, matching("|".join(ENCODINGS), f"must be one of {', '.join(ENCODINGS)}")]
DateFormat = Annotated[
    str,
    matching(
        r"(?=.*%Y)(%[YmdHMS%]|[^%])+",
        "must be of %Y, %m, %d, %H, %M, %S and text between them, such as %Y%m%d",
    ),
]
Delimiter = Annotated[
    str, matching(r"[^\"\r\n\w\s]|\t", 'must be one character that is no letter, digit, space or "')
]


class IngestSettings(Section):
    """What the files are: told to the container as the JSON document INGEST."""

    columns: Annotated[dict[str, ColumnType], AfterValidator(_unlike)] = Field(
        default_factory=dict, alias="schema"
    )
    null_values: tuple[Text, ...] = ()
    date_format: DateFormat | None = None
    decimal: Literal[".", ","] = "."
    encoding: Encoding | None = None
    delimiter: Delimiter | None = None
    header: bool | None = None
    schema_drift: Literal["refuse", "allow"] = "refuse"
    rejected_share: Annotated[float, Field(ge=0, le=1)] = REJECTED_SHARE

    def document(self) -> str:
        """The keys that are set, as JSON."""
        return json.dumps(
            self.model_dump(mode="json", by_alias=True, exclude_unset=True),
            ensure_ascii=False,
            sort_keys=False,
        )
