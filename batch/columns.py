"""Columns of text → the narrowest type that every value of the whole file fits, without loss."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from batch import kinds
from batch.arrow import Values
from batch.kinds import DECIMAL, DECIMAL_DIGITS, DIGITS_ONLY, EMPTY, TEXT, Kind
from batch.report import ColumnReport

_SAMPLE = 4096
_LOOKED_AT = 100
_MISFITS = 1000
_SHOWN = 40


class Column:
    """A column, and the types that it may still turn out to have, narrowest first."""

    def __init__(
        self,
        name: str,
        candidates: tuple[Kind, ...],
        *,
        comma: bool = False,
        declared: bool = False,
    ) -> None:
        self.name = name
        self.candidates = candidates
        self.declared = declared
        self.nulls = 0
        self._comma = comma
        self._digits = (0, 0)
        self._near: _Near | None = None
        self._example: tuple[int, str] | None = None

    @property
    def kind(self) -> Kind:
        """The narrowest type that is left."""
        first = self.candidates[0]
        if first.name != DECIMAL.name:
            return first
        made = kinds.decimal(DECIMAL_DIGITS, self._digits[1])
        return kinds.with_comma(made) if self._comma else made

    def narrow(self, text: Values) -> None:
        """Rule out the types that one of the values does not fit."""
        if len(self.candidates) > 1 and text.null_count < len(text):
            self.candidates = tuple(kind for kind in self.candidates if self._fits(kind, text))

    def sample(self, text: Values) -> None:
        """Narrow to what the first values fit; of a text, remember what it nearly is."""
        text = text.slice(0, _SAMPLE)
        before = self.candidates
        self.narrow(text)
        if self.candidates[0] is not TEXT:
            return
        values = text.drop_null().slice(0, _LOOKED_AT)
        for kind in before:
            if kind in {EMPTY, DIGITS_ONLY, TEXT, DECIMAL}:
                continue
            bad = len(kinds.misfits(kind, values, len(values) // 2 + 1))
            if bad * 2 <= len(values) and (self._near is None or bad < self._near.misfits):
                self._near = _Near(kind, bad)

    def surprised(self) -> None:
        """Remember what the column was taken for, now that a value does not fit."""
        if self.candidates[0] not in {EMPTY, DIGITS_ONLY, DECIMAL}:
            self._near = _Near(self.candidates[0], 0)

    def begin(self) -> None:
        """Count anew: the file is read from its beginning."""
        self.nulls = 0
        self._example = None
        if self._near is not None:
            self._near = _Near(self._near.kind, 0)

    def made(self, text: Values, lines: npt.NDArray[np.int64]) -> "Values | None":
        """Return the values in the column's type, or None if one of them does not fit."""
        kind = self.kind
        if text.null_count == len(text):
            return text if text.type == kind.type else pa.array([None] * len(text), kind.type)
        if kind is TEXT:
            self._look(text, lines)
            return text
        return kinds.fitted(kind, text)

    def fitting(self, text: Values) -> tuple[Values, dict[int, str]]:
        """Return the values with nulls for those that do not fit, and why each does not."""
        bad = kinds.misfits(self.kind, text, len(text))
        mask = np.zeros(len(text), np.bool_)
        mask[bad] = True
        values = self.kind.cast(pc.if_else(pa.array(mask), None, text))
        return values, {
            place: f"{self.name}: {_shown(text[place].as_py())} is no {self.kind.noun}"
            for place in bad
        }

    def report(self, rows: int) -> ColumnReport:
        """Say what became of the column."""
        return ColumnReport(self.name, self.kind.name, self.nulls, self._reason(rows - self.nulls))

    def _fits(self, kind: Kind, text: Values) -> bool:
        if kind.name != DECIMAL.name:
            return kinds.fitted(kind, text) is not None
        digits = kinds.places(text, comma=self._comma)
        if digits is None:
            return False
        whole, behind = (max(pair) for pair in zip(digits, self._digits, strict=True))
        self._digits = (whole, behind)
        return whole + behind <= DECIMAL_DIGITS

    def _look(self, text: Values, lines: npt.NDArray[np.int64]) -> None:
        if self._example is None and text.null_count < len(text):
            place = pc.index(pc.is_valid(text), True).as_py()
            self._example = (int(lines[place]), text[place].as_py())
        near = self._near
        if near is None or near.misfits >= _MISFITS:
            return
        found = kinds.misfits(near.kind, text, _MISFITS - near.misfits)
        near.misfits += len(found)
        if found and near.first is None:
            near.first = (int(lines[found[0]]), text[found[0]].as_py())

    def _reason(self, values: int) -> str | None:
        if self.kind.name != TEXT.name:
            return None
        if self.candidates[0] is DIGITS_ONLY:
            return "whole numbers of more digits than a BIGINT has"
        near = self._near
        if near is not None and near.first is not None:
            line, value = near.first
            count = f"{near.misfits:,}" if near.misfits < _MISFITS else f"at least {_MISFITS:,}"
            verb = "is" if near.misfits == 1 else "are"
            return (
                f"{count} of {values:,} values {verb} no {near.kind.noun},"
                f" the first at line {line}: {_shown(value)}"
            )
        if self._example is None:
            return "no value"
        line, value = self._example
        return f"text, the first at line {line}: {_shown(value)}"


@dataclass
class _Near:
    """The type that most values of a text column fit, and those that do not."""

    kind: Kind
    misfits: int
    first: tuple[int, str] | None = field(default=None)


def _shown(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]} …"
