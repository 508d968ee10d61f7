"""The beginning of delimited text → its delimiter, whether quotes count, where the table begins."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from batch.charset import declare
from batch.delimited import Record, records
from batch.exits import BadDataError
from batch.limits import COLUMNS, PREAMBLE_LINES

_ROWS = 1000
_DELIMITERS = ",\t;|"
_SEP = re.compile(r"\"?sep=(.)\"?", re.IGNORECASE)
_RETURN = re.compile(r"\r(?!\n)")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_LINE_OR_RETURN = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_NUMBER = re.compile(r"\s*[-+]?[¥$€£]?\s*[-+]?(\d+([.,]\d+)*|[.,]\d+)([eE][-+]?\d+)?\s*%?\s*")
_TIME = re.compile(
    r"\s*(\d{4}|\d{2})([-/.]\d{1,2}){2}([ T].*)?\s*|\s*\d{1,2}[-/.]\d{1,2}[-/.]\d{4}([ T].*)?\s*"
    r"|\s*\d{1,2}:\d{2}(:\d{2}([.]\d+)?)?\s*"
    r"|\s*(\d{4}|[明大昭平令]\D{0,2}\d{1,2})年(\d{1,2}月(\d{1,2}日)?)?.*",
    re.DOTALL,
)
# Names of columns that are numbers: years, months, days, and their like across a table.
_LABEL = re.compile(r"\d{1,2}|(19|20)\d{2}([-/年]?(0?[1-9]|1[0-2])[月]?([-/]?\d{1,2}日?)?)?年?")
_YEAR = re.compile(r"(19|20)\d{2}.*")
_ABSENT = {"", "-", "--", "n/a", "na", "null", "none", "nan", "なし", "―", "ー"}


@dataclass(frozen=True)
class Declared:
    """What is declared of a job's delimited files, where the guess is not wanted."""

    delimiter: str | None = None
    header: bool | None = None


@dataclass(frozen=True)
class Csv:
    """Delimited text: a name for each column, and where the first record begins.

    `skip` is that place in bytes of UTF-8, `line` its number from 1; `preamble` are the lines
    before the table; with `returns` a lone carriage return ends a record.
    """

    delimiter: str
    names: tuple[str, ...]
    header: bool
    quoting: bool
    skip: int
    line: int
    preamble: int
    returns: bool


@dataclass(frozen=True)
class _Guess:
    """The records of the sample under one delimiter, and how well they agree with each other."""

    delimiter: str
    quoting: bool
    found: Sequence[Record]
    width: int
    score: tuple[float, float, int]


@dataclass(frozen=True)
class _Reading:
    """The lines of the sample, where those of the table begin, and the best guess of them."""

    lines: Sequence[str]
    start: int
    guess: _Guess
    returns: bool

    def ends_records(self, other: "_Reading", text: str) -> bool:
        """Say if a lone carriage return ends a record: else it is part of a value, as in `other`.

        It does if there is no other line end but the last, if more records are alike with it, and
        where a line end was written twice over.
        """
        share, without = self.guess.score[0], other.guess.score[0]
        doubled = self.guess.width > 1 and other.lines[other.start].endswith("\r\r\n")
        return "\n" not in text.rstrip() or share > without or (doubled and share == without)


def dialect(text: str, *, whole: bool, declared: Declared) -> Csv:
    """Tell the dialect from the first lines of a text, which are all of it if `whole`.

    Raises:
        BadDataError: no table is found, or what it begins with cannot be told.
    """
    found = _read(text, whole=whole, declared=declared, returns=False)
    if _RETURN.search(text):
        other = _read(text, whole=whole, declared=declared, returns=True)
        if other.ends_records(found, text):
            found = other
    lines, start, best, returns = found.lines, found.start, found.guess, found.returns
    if best.width < 2 and declared.delimiter is None:
        _refuse_columns_of_spaces(lines[start:])
    found_head = head(best.found, best.width, declared, start)
    cells = found_head.names
    taken = found_head.begins + found_head.lines
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        raise BadDataError(
            f"the header, at line {found_head.begins + 1}, has a character that is not valid in the"
            f" file's encoding: correct it, or {declare('NAME')}"
        )
    return Csv(
        best.delimiter,
        unique_names(cells),
        found_head.header,
        best.quoting,
        len("".join(lines[:taken]).encode(errors="surrogateescape")),
        taken + 1,
        found_head.begins,
        returns,
    )


@dataclass(frozen=True)
class Head:
    """Where a table begins, from line 0, and the lines of its header; names are empty without."""

    begins: int
    lines: int
    header: bool
    names: Sequence[str]


def head(found: Sequence[Record], width: int, declared: Declared, start: int = 0) -> Head:
    """Find the table of `width` columns among its first records, from line `start` on.

    Raises:
        BadDataError: it cannot be read, has too many columns, or a header of several rows.
    """
    first = _table(found, width)
    table = [record for record in found[first:] if record.cells != [] or width < 2]
    # The first row may be longer than what is looked at here: then there is none.
    if not table or table[0].cells is None:
        line = start + (table[0].first if table else 0) + 1
        raise BadDataError(
            f"the first row cannot be read, at line {line}:"
            " a quote is never closed, or text follows a closing quote"
        )
    cells = table[0].cells or [""]
    width = len(cells)
    if width > COLUMNS:
        raise BadDataError(f"the table has {width:,} columns: at most {COLUMNS:,} can be read")
    rest = [record.cells for record in table[1:] if record.cells and len(record.cells) == width]
    begins = start + table[0].first
    header = declared.header
    if header is None:
        header = _is_header(cells, rest)
        if header and (begins or len(set(cells)) < width):
            _refuse_more_headers(cells, rest, begins + 1)
    return Head(begins, table[0].lines if header else 0, header, cells if header else [""] * width)


def _read(text: str, *, whole: bool, declared: Declared, returns: bool) -> _Reading:
    lines = (_LINE_OR_RETURN if returns else _LINE).findall(text)
    start = next(index for index, line in enumerate(lines) if line.strip())
    delimiter = declared.delimiter
    if sep := _SEP.fullmatch(lines[start].strip()):
        delimiter = delimiter or sep[1]
        start += 1
    elif lines[start].strip().lower() == "sep=":
        # Of a tab, which was taken for white space.
        delimiter = delimiter or "\t"
        start += 1
    if start == len(lines):
        raise BadDataError("the file is empty but for its first line")
    guesses = [
        _guess(lines[start:], candidate, whole=whole) for candidate in delimiter or _DELIMITERS
    ]
    return _Reading(lines, start, max(guesses, key=lambda guess: guess.score), returns)


def _guess(lines: Sequence[str], delimiter: str, *, whole: bool) -> _Guess:
    quoting = True
    found = _sampled(lines, delimiter, quoting=True, whole=whole)
    if delimiter == "\t" and any(record.cells is None for record in found):
        quoting = False
        found = _sampled(lines, delimiter, quoting=False, whole=whole)
    widths = Counter(len(record.cells) for record in found if record.cells)
    if not widths:
        return _Guess(delimiter, quoting, found, 0, (0.0, 0.0, 0))
    width, count = max(widths.items(), key=lambda item: (item[1] if item[0] > 1 else 0, item[0]))
    if width < 2:
        return _Guess(delimiter, quoting, found, 1, (0.0, 0.0, 0))
    filled = [c for r in found if r.cells and len(r.cells) == width for c in r.cells if c.strip()]
    typed = sum(map(_is_value, filled)) / max(1, len(filled))
    share = count / widths.total()
    return _Guess(delimiter, quoting, found, width, (round(share, 1), round(typed, 1), width))


def _sampled(
    lines: Sequence[str], delimiter: str, *, quoting: bool, whole: bool
) -> Sequence[Record]:
    """Return the first records; behind a malformed one, those from its second line on."""
    found: list[Record] = []
    offset = 0
    while offset < len(lines) and len(found) < _ROWS:
        for record in records(lines[offset:], delimiter, quoting=quoting, whole=whole):
            here = Record(offset + record.first, record.lines, record.cells)
            found.append(here)
            if record.cells is None:
                found[-1] = Record(here.first, 1, None)
                offset = here.first + 1
                break
            if len(found) == _ROWS:
                break
        else:
            break
    return found


def _table(found: Sequence[Record], width: int) -> int:
    """Return the index of the record that the table begins with, behind titles and conditions.

    Only lines that cannot be a row are left out: of one cell, comments, what a blank line sets
    apart. A row of another width that is none of these is the first one, and the others misfit.
    """
    if width < 2:
        return next((i for i, record in enumerate(found) if record.cells != []), 0)
    fits = [record.cells is not None and len(record.cells) == width for record in found]
    begin = fits.index(True)
    if begin and found[begin].first <= PREAMBLE_LINES:
        before = found[:begin]
        blank = max((i for i, record in enumerate(before) if record.cells == []), default=-1)
        if not all(_is_title(record) for record in before[blank + 1 :]):
            return next(i for i, record in enumerate(before) if record.cells != [])
    elif begin:
        return 0
    # A spreadsheet fills the lines of a title up with empty cells.
    while width > 2 and begin + 1 < len(found) and _is_title_of_cells(found, begin):
        begin += 1
    return begin


def _is_title(record: Record) -> bool:
    cells = record.cells
    return cells is not None and (len(cells) < 2 or cells[0].lstrip().startswith(("#", "//")))


def _is_title_of_cells(found: Sequence[Record], index: int) -> bool:
    cells = found[index].cells
    if cells is None or sum(1 for cell in cells if cell.strip()) > 1:
        return False
    behind = [r.cells for r in found[index + 1 : index + 6] if r.cells and len(r.cells) > 2]
    return any(sum(1 for cell in row if cell.strip()) > len(row) // 2 for row in behind)


def _is_value(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None or _TIME.fullmatch(cell) is not None


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Say if the first row names the columns: by the types of the others, then by repetition."""
    names = values = labels = years = 0
    repeated = False
    for place, cell in enumerate(first):
        below = [row[place] for row in rest if row[place].strip().lower() not in _ABSENT]
        if cell.strip().lower() in _ABSENT:
            continue
        if _is_value(cell):
            values += 1
            labels += _LABEL.fullmatch(cell.strip()) is not None
            years += _is_year_above(cell, below)
        elif below and sum(map(_is_value, below)) * 10 >= len(below) * 9:
            names += 1
        elif len(below) > 1 and _same_pattern(cell, below):
            values += 1
        repeated = repeated or (cell in below and list(first) not in [list(row) for row in rest])
    if values:
        return (names > 0 and labels == values) or years == values > 1
    return names > 0 or not repeated


def _is_year_above(cell: str, below: Sequence[str]) -> bool:
    """Say if a column is headed by a year, and holds something else."""
    return (
        _YEAR.fullmatch(cell) is not None and not any(map(_YEAR.fullmatch, below)) and below != []
    )


def _same_pattern(cell: str, below: Sequence[str]) -> bool:
    """Say if a text with digits is built as all those below it: A001 above A002."""
    pattern = _pattern(cell)
    return "9" in pattern and all(_pattern(other) == pattern for other in below)


def _pattern(cell: str) -> str:
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "9", cell))


def _refuse_more_headers(cells: Sequence[str], rest: Sequence[Sequence[str]], line: int) -> None:
    """Refuse a header of several rows, which has empty or equal names and words below them."""
    if len(set(cells)) == len(cells) or not rest:
        return
    more = 0
    while more < len(rest) and not any(map(_is_value, rest[more])):
        more += 1
    typed = sum(map(_is_value, rest[more])) if more < len(rest) else 0
    if 0 < more <= 4 and typed * 2 > len(cells):
        raise BadDataError(
            f"the header has {more + 1} rows, lines {line} to {line + more}: leave one that names"
            " every column"
        )


def _refuse_columns_of_spaces(lines: Sequence[str]) -> None:
    """Refuse a list whose columns are made of spaces, which nobody can tell from text."""
    rows = [line.rstrip() for line in lines[:_ROWS] if line.strip()]
    if len(rows) < 3:
        return
    words = [row.split() for row in rows]
    count = len(words[0])
    advice = "expected a delimiter: comma, tab, semicolon or bar"
    blank = set.intersection(*({i for i, c in enumerate(row) if c == " "} for row in rows))
    wide = [row.strip() for row in rows if "  " in row.strip()]
    if len(wide) * 2 > len(rows) and any(
        all(row[:place].strip() and row[place:].strip() for row in rows) for place in blank
    ):
        raise BadDataError(f"the file is a list of fixed width: {advice}")
    if count > 1 and all(len(row) == count for row in words):
        typed = [all(map(_is_value, column)) for column in zip(*words[1:], strict=True)]
        joined = sum(_TIME.fullmatch(row) is not None for row in rows[1:])
        if any(typed) and joined < len(rows) - 1:
            raise BadDataError(f"the file is a list separated by spaces: {advice}")


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """Give every column a name of its own, also for readers that ignore case.

    An empty name becomes `column_3` (its place, from 1); the second `a` becomes `a_2`.
    """
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    unique: list[str] = []
    for place, name in enumerate(names, start=1):
        base = name.replace("\0", "").strip().strip("\ufeff") or f"column_{place}"
        candidate, key = base, base.casefold()
        while candidate.casefold() in taken:
            numbers[key] += 1
            candidate = f"{base}_{numbers[key] + 1}"
        taken.add(candidate.casefold())
        unique.append(candidate)
    return tuple(unique)
