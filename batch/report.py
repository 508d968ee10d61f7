"""What became of an object: the report that is stored beside the Parquet file, and logged."""

import bisect
import heapq
from collections import Counter
from dataclasses import asdict, dataclass, field

# The lists are for a person to look at; the counts are always the true ones.
LISTED = 100
_REASONS = 50
_OTHER = "another reason"


@dataclass(frozen=True)
class ColumnReport:
    """A column of the result: its type as DuckDB names it, and how many of its values are null.

    `reason` says of a column that was left as text why it is none of the other types.
    """

    name: str
    type: str
    nulls: int
    reason: str | None = None


@dataclass(frozen=True, order=True)
class RejectedRow:
    """A row that is not in the result: the line it starts at (from 1) and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Rejected:
    """How many rows were rejected, by reason, and the first `LISTED` of them by line."""

    count: int = 0
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    rows: tuple[RejectedRow, ...] = ()


class Rejects:
    """Counts rejected rows while a file is read, in memory that does not grow with them.

    `records` is what was counted in all, rejected or not, once the file has been read to its end.
    """

    records: int

    def __init__(self) -> None:
        self.count = 0
        self.reasons: Counter[str] = Counter()
        self.rows: list[RejectedRow] = []

    def add(self, line: int, reason: str) -> None:
        """Reject one row."""
        self.tally(reason, 1)
        self.list(line, reason)

    def tally(self, reason: str, count: int) -> None:
        """Count rows of one reason without listing them."""
        self.count += count
        known = reason in self.reasons or len(self.reasons) < _REASONS
        self.reasons[reason if known else _OTHER] += count

    def list(self, line: int, reason: str) -> None:
        """List a row that is counted elsewhere, if it is among the first by line."""
        if len(self.rows) < LISTED or line < self.rows[-1].line:
            bisect.insort(self.rows, RejectedRow(line, reason))
            del self.rows[LISTED:]

    def merged(self, *others: "Rejects") -> Rejected:
        """Return all rejected rows as a report has them: most frequent reasons first."""
        reasons: Counter[str] = Counter()
        for rejects in (self, *others):
            reasons.update(rejects.reasons)
        rows = heapq.merge(*(rejects.rows for rejects in (self, *others)))
        return Rejected(
            reasons.total(),
            dict(reasons.most_common()),
            tuple(row for row, _ in zip(rows, range(LISTED), strict=False)),
        )


@dataclass(frozen=True)
class Converted:
    """What a conversion did; `rows` are those in the Parquet file."""

    rows: int
    columns: tuple[ColumnReport, ...]
    rejected: Rejected
    detected: "Format"
    drift: "Drift | None" = None


@dataclass(frozen=True)
class Source:
    """The object version that was read; `version` is null in a bucket without versions."""

    bucket: str
    key: str
    etag: str
    version: str | None


@dataclass(frozen=True)
class FileSource:
    """The file that was read, where there is no S3."""

    file: str


@dataclass(frozen=True)
class Format:
    """What the content turned out to be, whatever the object is called.

    `preamble` is the number of lines before the table (titles, conditions) that are no records.
    """

    format: str
    encoding: str
    compression: str
    delimiter: str | None = None
    header: bool | None = None
    quoting: bool | None = None
    preamble: int = 0


@dataclass(frozen=True)
class Drift:
    """How the file's columns differ from the declared schema."""

    missing: tuple[str, ...]
    additional: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """Where the Parquet file is, and its size."""

    bucket: str
    key: str
    bytes: int


@dataclass(frozen=True)
class FileResult:
    """The Parquet file where there is no S3, and its size."""

    file: str
    bytes: int


@dataclass(frozen=True)
class Report:
    """The whole report, in the shape of its JSON; times are seconds."""

    source: Source | FileSource
    result: Result | FileResult | None
    detected: Format
    rows: int
    columns: tuple[ColumnReport, ...]
    rejected: Rejected
    drift: Drift | None
    bytes: int
    seconds: float
    phases: dict[str, float] = field(default_factory=dict[str, float])

    def document(self) -> dict[str, object]:
        """Return the report as a JSON document."""
        return asdict(self)
