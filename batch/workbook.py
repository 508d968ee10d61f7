"""A workbook of Excel (.xlsx) → the cells of its one visible sheet, a row at a time.

The format is ECMA-376's (https://ecma-international.org/publications-and-standards/standards/ecma-376/).
"""

import datetime as dt
import posixpath
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from batch.binary import EXPECTED
from batch.exits import BadDataError
from batch.limits import DEPTH, ROW_BYTES, SHEET_BYTES, STRINGS, STRINGS_BYTES

_BLOCK = 64 << 10
_TRUE = frozenset({"1", "true", "on"})
_NAMES = 10_000
_EXACT = re.compile(r"-?\d{1,15}|-?\d{1,15}\.\d*")
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
# Formats of dates that are known by number alone, those of Japan and China among them.
# https://learn.microsoft.com/en-us/dotnet/api/documentformat.openxml.spreadsheet.numberingformat
_DATES = frozenset({*range(14, 18), 22, *range(27, 37), *range(50, 59)})
_CLOCKS = frozenset({*range(18, 22), 32, 33, 45, 47})
_ELAPSED = 46
_NO_CODE = re.compile(r"\"[^\"]*\"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|general|e[+-]|am/pm|a/p")
_LAST_DAY = 2_958_465
_FEBRUARY_29_1900 = 60
"""A day that Excel has and the calendar has not."""


class CellKind(Enum):
    """What a cell holds; LONG is a number with more digits than Excel has."""

    TEXT = "text"
    NUMBER = "number"
    LONG = "long number"
    BOOLEAN = "boolean"
    DATE = "date"
    MOMENT = "moment"
    TIME = "time"
    ERROR = "error"


class _Style(Enum):
    NUMBER = 0
    DATE = 1
    CLOCK = 2
    ELAPSED = 3


class Cell(NamedTuple):
    """A value as text, and what it was: dates and times are in ISO 8601."""

    kind: CellKind
    text: str


Row = tuple[int, dict[int, Cell]]
"""The row's number in the sheet, from 1, and its cells that have a value by column, from 0."""


class Workbook:
    """A workbook, of which a part is open while it is read."""

    def __init__(self, path: Path, check: Callable[[int], None]) -> None:
        """Open the workbook; `check` is called with the size of each block of it that is read.

        Raises:
            BadDataError: it is none, or has not just one visible sheet.
        """
        self._check = check
        self._path = path
        try:
            with zipfile.ZipFile(path) as archive:
                names = set(archive.namelist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise BadDataError(f"the file is a damaged ZIP archive: {error}") from error
        main = self._main(names)
        found = _Book()
        self._parse(main, found)
        # Whoever writes formulas without Excel may put 0 where it will calculate a value.
        self._uncalculated = found.uncalculated
        self._epoch = dt.datetime.fromisoformat("1904-01-01" if found.since_1904 else "1899-12-30")
        parts = self._relations(main)
        self._styles = self._styles_of(parts)
        self._strings: Sequence[str] = ()
        for target in parts.values():
            if target.kind == "sharedStrings" and target.part in names:
                strings = _Strings()
                self._parse(target.part, strings, STRINGS_BYTES, "texts")
                self._strings = strings.found
        self._sheet = self._visible(found, parts)

    def rows(self) -> Iterator[Row]:
        """Yield the rows that have a value, from the first one on."""
        return self._rows(self._sheet)

    def _main(self, names: set[str]) -> str:
        if "xl/workbook.bin" in names:
            raise BadDataError("the file is a binary workbook (.xlsb): save it as .xlsx")
        if "[Content_Types].xml" not in names:
            kind = "an OpenDocument file" if "content.xml" in names else "a ZIP archive"
            raise BadDataError(f"the file is {kind}: {EXPECTED}")
        for relation in self._relations("").values():
            if relation.kind == "officeDocument" and relation.part in names:
                if not relation.part.startswith("xl/"):
                    break
                return relation.part
        raise BadDataError(f"the file is an Office file, but no workbook: {EXPECTED}")

    def _relations(self, part: str) -> "Mapping[str, _Relation]":
        folder, name = posixpath.split(part)
        found = _Relations(folder)
        self._parse(posixpath.join(folder, "_rels", f"{name}.rels"), found)
        return found.found

    def _styles_of(self, parts: "Mapping[str, _Relation]") -> Sequence[_Style]:
        found = _Styles()
        for relation in parts.values():
            if relation.kind == "styles":
                self._parse(relation.part, found)
        return found.styles()

    def _visible(self, book: "_Book", parts: "Mapping[str, _Relation]") -> str:
        """Return the part of the one visible sheet that has a value."""
        sheets = [
            (name, parts[relation].part)
            for name, relation, hidden in book.sheets
            if not hidden and relation in parts and parts[relation].kind == "worksheet"
        ]
        filled = [(name, part) for name, part in sheets if next(self._rows(part), None)]
        if not filled:
            raise BadDataError("the file is empty: no visible sheet of the workbook has a value")
        if len(filled) > 1:
            names = ", ".join(name for name, _ in filled[:10])
            raise BadDataError(
                f"the workbook has {len(filled)} visible sheets, {names}: leave one, and hide or"
                " delete the others"
            )
        return filled[0][1]

    def _parse(self, part: str, into: "_Handler", most: int = SHEET_BYTES, of: str = "") -> None:
        for _ in self._parsed(part, into, most, of):
            pass

    def _rows(self, part: str) -> Iterator[Row]:
        sheet = _Sheet(self._strings, self._styles, self._epoch, uncalculated=self._uncalculated)
        for _ in self._parsed(part, sheet, SHEET_BYTES, "cells"):
            yield from sheet.taken()

    def _parsed(self, part: str, into: "_Handler", most: int, of: str) -> Iterator[None]:
        """Feed a part of the workbook to a handler, a block at a time."""
        names: dict[str, str] = {}
        parser = expat.ParserCreate(namespace_separator="}", intern=names)
        parser.buffer_text = True
        parser.StartElementHandler = into.start
        parser.EndElementHandler = into.end
        parser.CharacterDataHandler = into.text
        parser.StartDoctypeDeclHandler = _refuse_doctype
        size = 0
        try:
            with zipfile.ZipFile(self._path) as archive, archive.open(part) as file:
                while block := file.read(_BLOCK):
                    size += len(block)
                    if size > most:
                        raise BadDataError(
                            f"the workbook expands to over {most >> 20} MiB of {of or part}: save"
                            " the sheet as CSV"
                        )
                    self._check(len(block))
                    parser.Parse(block)
                    # What the parser keeps: a part of an element, and every name there is.
                    if size - parser.CurrentByteIndex > ROW_BYTES or len(names) > _NAMES:
                        raise BadDataError(f"the workbook is damaged: {part} makes no sense")
                    yield
                parser.Parse(b"", True)  # noqa: FBT003 - it has no name
                yield
        except (
            *(expat.ExpatError, zipfile.BadZipFile, zlib.error, EOFError, KeyError),
            *(NotImplementedError, LookupError, ValueError, ArithmeticError),
        ) as error:
            raise BadDataError(f"the workbook is damaged, in {part}: {error}") from error
        except RuntimeError as error:
            raise BadDataError(f"the workbook is encrypted: {error}") from error


def _refuse_doctype(*_: object) -> None:
    raise BadDataError("the workbook is damaged: it declares a document type")


class _Handler:
    """Takes the elements of a part as they are read; names are without their namespace."""

    depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > DEPTH:
            raise ValueError(f"elements are nested deeper than {DEPTH}")
        self.begin(_without_namespace(name), attributes)

    def end(self, name: str) -> None:
        self.depth -= 1
        self.finish(_without_namespace(name))

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""

    def finish(self, name: str) -> None:
        """Take the end of an element."""

    def text(self, data: str) -> None:
        """Take text."""


@lru_cache(maxsize=1024)
def _without_namespace(name: str) -> str:
    return name.rpartition("}")[2]


@dataclass
class _Book(_Handler):
    sheets: list[tuple[str, str, bool]] = field(default_factory=list[tuple[str, str, bool]])
    since_1904: bool = False
    uncalculated: bool = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "workbookPr":
            self.since_1904 = attributes.get("date1904") in _TRUE
        elif name == "calcPr":
            self.uncalculated = attributes.get("fullCalcOnLoad") in _TRUE
        elif name == "sheet":
            relation = next((v for k, v in attributes.items() if k.endswith("}id")), "")
            hidden = attributes.get("state", "visible") != "visible"
            self.sheets.append((attributes.get("name", ""), relation, hidden))


@dataclass(frozen=True)
class _Relation:
    kind: str
    part: str


class _Relations(_Handler):
    def __init__(self, folder: str) -> None:
        self.found: dict[str, _Relation] = {}
        self._folder = folder

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship":
            target = posixpath.normpath(posixpath.join("/", self._folder, attributes["Target"]))
            kind = posixpath.basename(attributes["Type"])
            self.found[attributes["Id"]] = _Relation(kind, target.lstrip("/"))


class _Styles(_Handler):
    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._formats: list[str] = []
        self._of_cells = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            self._codes[attributes["numFmtId"]] = attributes.get("formatCode", "")
        elif name == "cellXfs":
            self._of_cells = True
        elif name == "xf" and self._of_cells:
            self._formats.append(attributes.get("numFmtId", "0"))

    def finish(self, name: str) -> None:
        if name == "cellXfs":
            self._of_cells = False

    def styles(self) -> Sequence[_Style]:
        """Return what the numbers of each cell format are shown as."""
        return [
            _of_code(self._codes[number]) if number in self._codes else _of_number(int(number))
            for number in self._formats
        ]


def _of_number(number: int) -> _Style:
    if number in _CLOCKS:
        return _Style.CLOCK
    return (
        _Style.DATE if number in _DATES else _Style.ELAPSED if number == _ELAPSED else _Style.NUMBER
    )


def _of_code(code: str) -> _Style:
    """Say what a format's letters show, without those that are only written."""
    letters = _NO_CODE.sub("", code.lower()).partition(";")[0]
    if "[" in letters:
        return _Style.ELAPSED
    clock = any(letter in letters for letter in "hs")
    if any(letter in letters for letter in "ydgea") or ("m" in letters and not clock):
        return _Style.DATE
    return _Style.CLOCK if clock else _Style.NUMBER


class _Texts(_Handler):
    """Takes the texts of an item: all of its parts but how they are pronounced."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0
        self._open = False
        self._aside = False

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        del attributes
        if name == "t":
            self._open = not self._aside
        elif name == "rPh":
            self._aside = True

    def finish(self, name: str) -> None:
        if name == "t":
            self._open = False
        elif name == "rPh":
            self._aside = False

    def text(self, data: str) -> None:
        if self._open:
            self._parts.append(data)
            self._size += len(data)
            if self._size > ROW_BYTES:
                raise BadDataError(f"a cell of the workbook is longer than {ROW_BYTES >> 20} MiB")

    def whole(self) -> str:
        """Return the text that is complete, and begin another."""
        text = _unescaped("".join(self._parts))
        self._parts, self._size = [], 0
        return text


class _Strings(_Texts):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def finish(self, name: str) -> None:
        super().finish(name)
        if name == "si":
            if len(self.found) == STRINGS:
                raise BadDataError(
                    f"the workbook has more than {STRINGS:,} different texts: save it as CSV"
                )
            self.found.append(self.whole())


def _unescaped(text: str) -> str:
    """Return a text with what XML cannot hold, which is written _x000D_."""
    if "_x" not in text:
        return text
    made = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    return text if re.search("[\ud800-\udfff]", made) else made


class _Sheet(_Texts):
    def __init__(
        self,
        strings: Sequence[str],
        styles: Sequence[_Style],
        epoch: dt.datetime,
        *,
        uncalculated: bool,
    ) -> None:
        super().__init__()
        self._uncalculated = uncalculated
        self._strings = strings
        self._styles = styles
        self._epoch = epoch
        self._columns: dict[str, int] = {}
        self._rows: list[Row] = []
        self._number = 0
        self._cells: dict[int, Cell] = {}
        self._characters = 0
        self._column = -1
        self._type = self._style = ""
        self._formula = False

    def taken(self) -> Sequence[Row]:
        """Return the rows that are complete, and forget them."""
        rows, self._rows = self._rows, []
        return rows

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            get = attributes.get
            self._column = self._place(attributes["r"]) if "r" in attributes else self._column + 1
            self._type, self._style = get("t", "n"), get("s", "0")
            self._formula = False
        elif name == "v":
            self._open = True
        elif name == "row":
            number = int(attributes.get("r", self._number + 1))
            if number <= self._number:
                raise ValueError(f"row {number} comes behind row {self._number}")
            self._number, self._column, self._cells, self._characters = number, -1, {}, 0
        elif name == "f":
            self._formula = True
        else:
            super().begin(name, attributes)

    def finish(self, name: str) -> None:
        if name == "v":
            self._open = False
        elif name == "c":
            self._take("".join(self._parts))
            self._parts, self._size = [], 0
        elif name == "row":
            if self._cells:
                self._rows.append((self._number, self._cells))
        else:
            super().finish(name)

    def _place(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        place = self._columns.get(letters)
        if place is None:
            if not 1 <= len(letters) <= 3:
                raise ValueError(f"no cell has the reference {reference[:20]}")
            place = 0
            for letter in letters:
                place = place * 26 + ord(letter) - 64
            place = self._columns[letters] = place - 1
        if place <= self._column:
            raise ValueError(f"cell {reference} comes behind another of its column or a later one")
        return place

    def _take(self, value: str) -> None:
        if self._formula and (
            (not value and self._type != "str") or (value == "0" and self._uncalculated)
        ):
            raise BadDataError(
                f"row {self._number} of the sheet has a formula without a value: open the workbook"
                " in Excel and save it there"
            )
        if not value:
            return
        cell = self._cell(value)
        self._characters += len(cell.text)
        if self._characters > ROW_BYTES:
            raise BadDataError(f"row {self._number} is longer than {ROW_BYTES >> 20} MiB")
        if cell.text:
            self._cells[self._column] = cell

    def _cell(self, value: str) -> Cell:
        match self._type:
            case "n":
                return self._numeric(value)
            case "s":
                return Cell(CellKind.TEXT, self._strings[int(value)])
            case "str" | "inlineStr":
                return Cell(CellKind.TEXT, _unescaped(value))
            case "b":
                return Cell(CellKind.BOOLEAN, "false" if value in {"0", "false"} else "true")
            case "e":
                return Cell(CellKind.ERROR, value)
            case "d":
                return _of_iso(value)
            case other:
                raise ValueError(f"a cell of the type {other}")

    def _numeric(self, value: str) -> Cell:
        style = self._styles[int(self._style)] if self._styles else _Style.NUMBER
        if style is _Style.NUMBER:
            if _EXACT.fullmatch(value):
                return Cell(CellKind.NUMBER, value)
            exact = Decimal(repr(float(value))) == Decimal(value)
            # Excel writes 17 digits of a fraction, of which it has 15.
            exact = exact or (len(_digits(value)) <= 17 and not value.lstrip("-").isdigit())
            return Cell(CellKind.NUMBER if exact else CellKind.LONG, value)
        serial = float(value)
        if style is _Style.ELAPSED:
            return Cell(CellKind.TEXT, _elapsed(serial))
        from_1900 = self._epoch.year < 1904
        if 0 < serial < 1 or (serial == 0 and style is _Style.CLOCK):
            moment = self._epoch + _rounded(serial)
            if moment.date() == self._epoch.date():
                return Cell(CellKind.TIME, _clock(moment.time()))
        no_day = from_1900 and (serial < 1 or int(serial) == _FEBRUARY_29_1900)
        if serial < 0 or serial >= _LAST_DAY + 1 or no_day:
            return Cell(CellKind.ERROR, f"{value} is no date")
        if from_1900 and serial < _FEBRUARY_29_1900:
            serial += 1
        return _of_moment(self._epoch + _rounded(serial))


def _digits(value: str) -> str:
    return re.sub(r"[eE].*|[-.]", "", value).lstrip("0")


def _rounded(days: float) -> dt.timedelta:
    """Return a number of days to the millisecond, which is as exact as Excel is."""
    return dt.timedelta(milliseconds=round(days * 86_400_000))


def _of_moment(moment: dt.datetime) -> Cell:
    if moment.time() == dt.time():
        return Cell(CellKind.DATE, moment.date().isoformat())
    return Cell(CellKind.MOMENT, f"{moment.date().isoformat()} {_clock(moment.time())}")


def _of_iso(text: str) -> Cell:
    if "-" in text:
        return _of_moment(dt.datetime.fromisoformat(text))
    return Cell(CellKind.TIME, _clock(dt.time.fromisoformat(text)))


def _clock(time: dt.time) -> str:
    text = time.isoformat()
    return text.rstrip("0").rstrip(".") if time.microsecond else text


def _elapsed(days: float) -> str:
    """Return a duration in hours, minutes and seconds: 25:30:00."""
    seconds, thousandths = divmod(round(abs(days) * 86_400_000), 1000)
    minutes, seconds = divmod(seconds, 60)
    text = f"{'-' * (days < 0)}{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
    return f"{text}.{thousandths:03d}" if thousandths else text
