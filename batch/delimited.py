"""Lines of delimited text → records, one by one and exactly: for samples and odd records."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from batch.limits import ROW_BYTES

# Stands for a carriage return inside a value, which the csv module takes for a line end; Unicode
# will never have such a character: https://www.unicode.org/faq/private_use.html#nonchar1
_RETURN = "\ufffe"


@dataclass(frozen=True)
class Record:
    """A record, its place among the lines, and its cells: none if its quotes are malformed."""

    first: int
    lines: int
    cells: list[str] | None


def records(
    lines: Sequence[str], delimiter: str, *, quoting: bool, whole: bool
) -> Iterator[Record]:
    """Yield the records of `lines`, each of which ends with its line end but perhaps the last.

    A record whose closing quote is missing, or followed by text, ends with the line that shows it.
    One that is cut by the end of the lines is left out unless they are the `whole` file.
    """
    csv.field_size_limit(ROW_BYTES * 2)
    taken = 0

    def feed() -> Iterator[str]:
        nonlocal taken
        for line in lines:
            taken += 1
            body = line.removesuffix("\n").removesuffix("\r")
            yield body.replace("\r", _RETURN) + (line[len(body) :] or "\n")

    reader = (
        csv.reader(feed(), delimiter=delimiter, strict=True)
        if quoting
        else csv.reader(feed(), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    )
    while True:
        first = taken
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # https://github.com/python/cpython/blob/main/Modules/_csv.c: the one message of its end
            if not whole and "unexpected end of data" in str(error):
                return
            yield Record(first, taken - first, None)
        else:
            yield Record(first, taken - first, [cell.replace(_RETURN, "\r") for cell in cells])
