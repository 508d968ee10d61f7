"""The types a column of text may have: what each takes, and how it is made without a loss."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.arrow import Values
from batch.options import Options

DIGITS = 15
"""A decimal number of so many digits comes back from a DOUBLE as it was."""
DECIMAL_DIGITS = 38

_PLAIN = r"^-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)$"
_JSON = r"^-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?$"
_NO_NUMBER = r"^(?:[nN][aA][nN]|-?[iI]nf(?:inity)?)$"
_CLOCK = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
_INSTANT = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_CLOCK}$"
_INSTANT_LENGTHS = {len("2026-04-01 09:05"), len("2026-04-01 09:05:00")}
_ZONED = rf"^([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]{_CLOCK}) ?(Z|[-+][0-9]{{2}}(?::?[0-9]{{2}})?)$"
_YEAR_1 = -62_135_596_800_000_000
_TIME = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,5}[1-9])?$"


@dataclass(frozen=True)
class Kind:
    """A type: its name in DuckDB's SQL, Arrow's type, and what a value that fits none is not.

    `cast` makes the column of it, and raises where a value does not fit.
    """

    name: str
    type: pa.DataType
    noun: str
    cast: Callable[[Values], Values]


class MisfitError(Exception):
    """A value does not fit the type."""


def fitted(kind: Kind, text: Values) -> "Values | None":
    """Return the values as `kind`, or None if one of them does not fit."""
    try:
        return kind.cast(text)
    except (pa.ArrowInvalid, MisfitError):
        return None


def misfits(kind: Kind, text: Values, most: int) -> list[int]:
    """Return the places of the values that do not fit, up to `most` of them."""
    found: list[int] = []
    parts = [(0, len(text))]
    while parts and len(found) < most:
        start, size = parts.pop()
        if fitted(kind, text.slice(start, size)) is not None:
            continue
        if size == 1:
            found.append(start)
            continue
        half = size // 2
        parts += [(start + half, size - half), (start, half)]
    return found


def _require(holds: Values) -> None:
    """Raise unless every value of a boolean column is true; nulls are no values."""
    if pc.all(holds).as_py() is False:
        raise MisfitError


def _matches(text: Values, pattern: str) -> Values:
    return pc.match_substring_regex(text, pattern)


def lengths(text: Values) -> Values:
    """Return how many bytes each value has."""
    return pc.binary_length(text)  # pyright: ignore[reportCallIssue, reportArgumentType] - the stubs know it of a type only


def _longest(text: Values) -> int:
    return pc.max(lengths(text)).as_py() or 0


def _distinct(text: Values) -> tuple[Values, Values]:
    """Return the values without repetition, and which of them stands where."""
    encoded = cast("pa.DictionaryArray[Any, Any]", pc.dictionary_encode(text))
    return encoded.dictionary, encoded.indices


def _has(text: Values, characters: bytes) -> bool:
    """Say if one of some ASCII characters may be in the column: its bytes are searched."""
    _, offsets, data = text.buffers()
    if data is None or offsets is None:
        return False
    view = memoryview(data)
    ends = memoryview(offsets).cast("i")
    part = bytes(view[ends[text.offset] : ends[text.offset + len(text)]])
    return any(part.find(bytes((character,))) >= 0 for character in characters)


def _zero_led(text: Values, *, whole: bool) -> bool:
    """Say if a number has a zero before its other digits, as codes have; or is a `whole` -0.

    Nulls are no values, and have no bytes.
    """
    _, offsets, data = text.buffers()
    if data is None or offsets is None:
        return False
    a = np.frombuffer(memoryview(data), np.uint8)
    ends = np.frombuffer(memoryview(offsets), np.int32)[text.offset : text.offset + len(text) + 1]
    sizes = np.diff(ends)
    begins = ends[:-1][sizes > 1]
    signed = a[begins] == ord("-")
    begins = begins + signed
    zero = a[begins] == ord("0")
    if whole:
        return bool(zero.any())
    behind = a[begins[zero & (sizes[sizes > 1] - signed > 1)] + 1]
    return bool(((behind >= ord("0")) & (behind <= ord("9"))).any())


def _trimmed(text: Values) -> Values:
    return pc.utf8_trim(text, " ") if _has(text, b" ") else text


def _empty(text: Values) -> Values:
    if text.null_count < len(text):
        raise MisfitError
    return text


def _as_it_is(text: Values) -> Values:
    return text


def _boolean(text: Values) -> Values:
    if _longest(text) > len("false"):
        raise MisfitError
    lowered = pc.ascii_lower(text)
    truth = pc.equal(lowered, pa.scalar("true"))
    _require(pc.or_(truth, pc.equal(lowered, pa.scalar("false"))))
    return truth


def _bigint(text: Values) -> Values:
    text = _trimmed(text)
    numbers = pc.cast(text, pa.int64())
    # Arrow takes 00123 and 0x7B for numbers.
    if _zero_led(text, whole=True):
        raise MisfitError
    return numbers


def _declared_bigint(text: Values) -> Values:
    return pc.cast(pc.replace_substring_regex(_trimmed(text), r"^\+([0-9])", r"\1"), pa.int64())


def _double(text: Values) -> Values:
    text = _trimmed(text)
    if _has(text, b"eEnNiI+"):
        _require(pc.or_(_matches(text, _PLAIN), _matches(text, _NO_NUMBER)))
    elif _zero_led(text, whole=False):
        # Of other characters Arrow takes the plain numbers, and those with zeros before them.
        raise MisfitError
    return _exact(text)


def _number(text: Values) -> Values:
    """JSON's numbers may have an exponent: nobody writes a code like that."""
    _require(_matches(text, _JSON))
    numbers = _exact(text)
    zero = pc.and_(pc.equal(numbers, pa.scalar(0.0)), _matches(text, "^[^eE]*[1-9]"))
    _require(pc.and_not(pc.is_finite(numbers), zero))
    return numbers


def _finite(text: Values) -> Values:
    """The number of a cell is a DOUBLE where it comes from, whatever digits are written of it."""
    numbers = pc.cast(text, pa.float64())
    _require(pc.is_finite(numbers))
    return numbers


def _exact(text: Values) -> Values:
    if _longest(text) > DIGITS:
        if _longest(text) > DIGITS * 3:
            raise MisfitError
        digits = pc.replace_substring_regex(text, r"^-?[0.]*|\.|[eE].*", "")
        _require(pc.less_equal(lengths(digits), pa.scalar(DIGITS)))
    return pc.cast(text, pa.float64())


def _declared_double(text: Values) -> Values:
    numbers = pc.cast(_trimmed(text), pa.float64())
    _require(pc.or_(pc.is_finite(numbers), _matches(_trimmed(text), _NO_NUMBER)))
    return numbers


def _digits(text: Values) -> Values:
    _require(_matches(_trimmed(text), r"^-?(?:0|[1-9][0-9]*)$"))
    return text


def decimal(precision: int, scale: int) -> Kind:
    """Return the kind of decimal numbers with so many digits, `scale` of them behind the point."""
    made = pa.decimal128(precision, scale)

    def made_of(text: Values) -> Values:
        text = _trimmed(text)
        _require(_matches(text, _PLAIN))
        return pc.cast(text, made)

    name = f"DECIMAL({precision},{scale})"
    return Kind(name, made, f"number of {precision} digits, {scale} of them decimals", made_of)


def places(text: Values, *, comma: bool) -> tuple[int, int] | None:
    """Return the most digits before and behind the point, or None if one is no plain number."""
    text = _trimmed(text)
    if comma:
        text = pc.replace_substring(text, ",", ".")
    if pc.all(_matches(text, _PLAIN)).as_py() is False:
        return None
    return (
        _longest(pc.replace_substring_regex(text, r"^-|\..*$", "")),
        _longest(pc.replace_substring_regex(text, r"^[^.]*\.?", "")),
    )


def _iso(text: Values) -> Values:
    """Return dates as Japan writes them, 2026/4/1 and 2026年4月1日, as ISO 8601 has them."""
    if not _has(text, b"/\xe5"):
        return text
    # Dates repeat: each is rewritten once.
    days, places = _distinct(text)
    for pattern in (r"^(\d{4})/(\d{1,2})/(\d{1,2})", r"^(\d{4})年(\d{1,2})月(\d{1,2})日"):
        days = pc.replace_substring_regex(days, pattern, r"\1-0\2-0\3")
    days = pc.replace_substring_regex(days, r" (\d):", r" 0\1:")
    return pc.take(_unpadded(days), places)


def _unpadded(days: Values) -> Values:
    """Take away the zero that was put before a number which has two digits already."""
    return pc.replace_substring_regex(days, r"([-: ])0(\d\d)", r"\1\2")


def _date(text: Values) -> Values:
    return _since_year_1(pc.cast(_iso(text), pa.date32()), -719_162)


def _since_year_1(days: Values, first: int) -> Values:
    """Refuse the year 0000, which Arrow has and most readers have not; `first` is 0001-01-01."""
    _require(pc.greater_equal(days, pa.scalar(first, days.type)))
    return days


def _timestamp(text: Values) -> Values:
    text = _iso(text)
    # Of these lengths Arrow takes nothing else.
    of_all = pc.min_max(lengths(text))
    if of_all["min"] != of_all["max"] or of_all["max"].as_py() not in _INSTANT_LENGTHS:
        _require(_matches(text, _INSTANT))
    return _since_year_1(pc.cast(text, pa.timestamp("us")), _YEAR_1)


def _zoned(text: Values) -> Values:
    text = _iso(text)
    _require(_matches(text, _ZONED))
    if pc.any(_matches(text, " [-+Z]")).as_py():
        text = pc.replace_substring_regex(text, " ([-+Z])", r"\1")
    return _since_year_1(pc.cast(text, pa.timestamp("us", "UTC")), _YEAR_1)


def _time(text: Values) -> Values:
    _require(_matches(text, _TIME))
    # Arrow casts no text to a time of day.
    day = pc.replace_substring_regex(text, "^", "1970-01-01T")
    return pc.cast(pc.cast(day, pa.timestamp("us")), pa.time64("us"))


def _formatted(pattern: str, made: pa.DataType) -> Callable[[Values], Values]:
    """Return the cast of dates written as `pattern` says: %Y, %m, %d, %H, %M, %S and text."""
    parts = re.findall(r"%.|[^%]+", pattern)
    regex = "^"
    places_of: dict[str, int] = {}
    for before, part, behind in zip(["", *parts[:-1]], parts, [*parts[1:], ""], strict=True):
        if part == "%%" or part[0] != "%":
            regex += re.escape(part.replace("%%", "%"))
            continue
        places_of.setdefault(part[1], len(places_of) + 1)
        # Without anything between them, only a fixed number of digits tells two numbers apart.
        close = any(one[:1] == "%" and one != "%%" for one in (before, behind))
        width = "4" if part == "%Y" else "2" if close else "1,2"
        regex += f"([0-9]{{{width}}})"
    numbers = {name: rf"0\{place}" for name, place in places_of.items()}
    year = numbers.get("Y", "")[1:]
    iso = f"{year}-{numbers.get('m', '01')}-{numbers.get('d', '01')}" + (
        f" {numbers['H']}:{numbers.get('M', '00')}:{numbers.get('S', '00')}"
        if "H" in numbers
        else ""
    )

    def made_of(text: Values) -> Values:
        _require(_matches(text, regex + "$"))
        days, places = _distinct(text)
        days = pc.replace_substring_regex(days, regex + "$", iso)
        first = -719_162 if made == pa.date32() else _YEAR_1
        return pc.take(_since_year_1(pc.cast(_unpadded(days), made), first), places)

    return made_of


def with_comma(kind: Kind) -> Kind:
    """Return the kind of numbers whose decimals come behind a comma."""

    def made_of(text: Values) -> Values:
        _require(pc.invert(pc.match_substring(text, ".")))
        return kind.cast(pc.replace_substring(text, ",", "."))

    return replace(kind, cast=made_of)


EMPTY = Kind("VARCHAR", pa.string(), "empty value", _empty)
BOOLEAN = Kind("BOOLEAN", pa.bool_(), "true or false", _boolean)
BIGINT = Kind("BIGINT", pa.int64(), "whole number", _bigint)
DOUBLE = Kind("DOUBLE", pa.float64(), f"number of at most {DIGITS} digits", _double)
NUMBER = replace(DOUBLE, cast=_number)
DIGITS_ONLY = Kind("VARCHAR", pa.string(), "whole number", _digits)
DECIMAL = Kind("DECIMAL", pa.decimal128(DECIMAL_DIGITS, 0), "number", _as_it_is)
"""Stands for the decimal numbers of a column, whose digits are known when all of it is."""
DATE = Kind("DATE", pa.date32(), "date", _date)
TIMESTAMP = Kind("TIMESTAMP", pa.timestamp("us"), "date and time", _timestamp)
TIMESTAMPTZ = Kind(
    "TIMESTAMP WITH TIME ZONE", pa.timestamp("us", "UTC"), "time with an offset", _zoned
)
TIME = Kind("TIME", pa.time64("us"), "time of day", _time)
TEXT = Kind("VARCHAR", pa.string(), "text", _as_it_is)

_DATES = (DATE, TIMESTAMP, TIMESTAMPTZ, TIME)
ALL = (EMPTY, BOOLEAN, BIGINT, DOUBLE, DIGITS_ONLY, DECIMAL, *_DATES, TEXT)
"""What a column of a CSV may turn out to be: the first that every value fits."""
OF_JSON = {
    frozenset({"boolean"}): (EMPTY, BOOLEAN, TEXT),
    frozenset({"number"}): (EMPTY, BIGINT, NUMBER, DIGITS_ONLY, DECIMAL, TEXT),
    frozenset({"string"}): (EMPTY, *_DATES, TEXT),
}
"""What a JSON key may turn out to be: strings stay strings, but for dates."""

_LONG = (EMPTY, BIGINT, DIGITS_ONLY, DECIMAL, TEXT)
OF_CELLS = {
    frozenset({"number"}): (EMPTY, BIGINT, replace(DOUBLE, cast=_finite), TEXT),
    frozenset({"long number"}): _LONG,
    frozenset({"number", "long number"}): _LONG,
    frozenset({"boolean"}): (EMPTY, BOOLEAN, TEXT),
    frozenset({"date"}): (EMPTY, DATE, TEXT),
    frozenset({"moment"}): (EMPTY, TIMESTAMP, TEXT),
    frozenset({"date", "moment"}): (EMPTY, TIMESTAMP, TEXT),
    frozenset({"time"}): (EMPTY, TIME, TEXT),
    frozenset({"text"}): (EMPTY, *_DATES, TEXT),
}
"""What a column of cells of these kinds may turn out to be: a number that is text stays text."""


def fixed(name: str, made: pa.DataType) -> Kind:
    """Return the kind of values that are of their type already."""
    return Kind(name, made, name, _as_it_is)


def candidates(kinds: Sequence[Kind], options: Options) -> tuple[Kind, ...]:
    """Return what a column may be where dates and decimals are written as declared.

    What looks like a number is a date only where that is how dates are declared to be written.
    """
    form = options.date_format
    dated = [kind for kind in kinds if form is not None and kind.name == _dated(form)]
    others = [kind for kind in kinds if kind not in dated]
    return tuple(_declared(kind, options) for kind in [*others[:1], *dated, *others[1:]])


def declared(name: str, options: Options) -> Kind:
    """Return the kind that a schema names."""
    if found := re.fullmatch(r"DECIMAL\((\d+), ?(\d+)\)", name):
        kind = decimal(int(found[1]), int(found[2]))
        return with_comma(kind) if options.decimal == "," else kind
    kinds = {kind.name: kind for kind in (BOOLEAN, *_DATES, TEXT)} | {
        "TIMESTAMPTZ": TIMESTAMPTZ,
        "BIGINT": replace(BIGINT, cast=_declared_bigint),
        "DOUBLE": replace(DOUBLE, noun="number", cast=_declared_double),
    }
    return _declared(kinds[name], options)


def _declared(kind: Kind, options: Options) -> Kind:
    if options.decimal == "," and kind.name in {"DOUBLE", "DECIMAL"}:
        return with_comma(kind)
    form = options.date_format
    if form is not None and kind.name == _dated(form):
        return replace(kind, noun=f"{kind.noun} as {form}", cast=_formatted(form, kind.type))
    return kind


def _dated(form: str) -> str:
    return "TIMESTAMP" if "%H" in form else "DATE"
