"""What became of an object: the report that is stored beside the Parquet file, and logged."""

from dataclasses import asdict, dataclass, field

# The list is for a person to look at; the count is always the true one.
LISTED = 100


@dataclass(frozen=True)
class ColumnReport:
    """A column of the result: its DuckDB type and how many of its values are null."""

    name: str
    type: str
    nulls: int


@dataclass(frozen=True)
class RejectedRow:
    """A row that is not in the result: the line it starts at (from 1) and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Rejected:
    """How many rows were rejected, and the first `LISTED` of them in the order of the file."""

    count: int = 0
    rows: tuple[RejectedRow, ...] = ()


@dataclass(frozen=True)
class Converted:
    """What a conversion did; `rows` are those in the Parquet file."""

    rows: int
    columns: tuple[ColumnReport, ...]
    rejected: Rejected


@dataclass(frozen=True)
class Source:
    """The object version that was read; `version` is null in a bucket without versions."""

    bucket: str
    key: str
    etag: str
    version: str | None


@dataclass(frozen=True)
class Format:
    """What the content turned out to be, whatever the object is called."""

    format: str
    encoding: str
    compression: str
    delimiter: str | None
    header: bool | None


@dataclass(frozen=True)
class Result:
    """Where the Parquet file is, and its size."""

    bucket: str
    key: str
    bytes: int


@dataclass(frozen=True)
class Report:
    """The whole report, in the shape of its JSON; times are seconds."""

    source: Source
    result: Result
    detected: Format
    rows: int
    columns: tuple[ColumnReport, ...]
    rejected: Rejected
    bytes: int
    seconds: float
    phases: dict[str, float] = field(default_factory=dict[str, float])

    def document(self) -> dict[str, object]:
        """Return the report as a JSON document."""
        return asdict(self)
