"""Bytes in any of the known encodings → UTF-8, with an invalid byte where a character is none."""

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from batch.exits import BadDataError

_GUESSED = ("cp932", "euc-jp", "gb18030", "cp949", "windows-1252")
_UTF8 = "utf-8"
_MARKS = (
    (codecs.BOM_UTF8, _UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# 0xFF occurs nowhere in UTF-8, so a reader can reject exactly the rows that carry it.
_INVALID = "\udcff"
# Bytes that are nothing in these encodings, but that Python's codecs let through; and one that is
# no letter of what is written in Windows-1252 as often as it is what is left of a damaged file.
# https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP932.TXT
_STRANGERS = {
    "cp932": ("\x80", "\uf8f0", "\uf8f1", "\uf8f2", "\uf8f3"),
    "windows-1252": ("\xff",),
}
# Encodings of Asia in ASCII: escape sequences that call character sets, two bytes between braces,
# Base64 behind a plus: https://www.rfc-editor.org/rfc/rfc1468, rfc1557, rfc1922, rfc1843, rfc2152
_ESCAPE = re.compile(rb"\x1b(?:\$(\)?[@A-Z]|\([A-Z])|\([IJ]|\.[AF])")
_OF_ESCAPE = {b")C": "ISO-2022-KR"} | dict.fromkeys((b")A", b")E", b")G"), "ISO-2022-CN")
_HZ = re.compile(rb"~\{(?:[!-w][!-~])+~\}")
_UTF7 = re.compile(rb"\+([A-Za-z0-9+/]*)-?")
_UTF7_LEAST, _UTF7_RUNS = 3, 1000
# Half-width katakana, and what is read anyway: https://www.iana.org/assignments/charset-reg/CP50220
_WIDER = {"iso-2022-jp": "iso2022_jp_ext"}
_ROWS_OF_WINDOWS = {13, *range(89, 93)}
# Decoded at once: small enough for memory that is at hand, which a page fault costs more than.
_PART = 32 << 10
_SAMPLE_BYTES = 256 << 10
_LINE_BYTES = 2 << 10
_FEW = 20
_CLEARLY = 1.3


@dataclass(frozen=True)
class Seen:
    """What was seen of a file while it was received: enough to say how it is encoded."""

    mark: str | None
    ascii: bool
    seven_bit: str | None
    utf8: bool
    lines: tuple[bytes, ...]


class Watch:
    """Sees a file as it comes in, and keeps a sample of the lines that are not ASCII."""

    def __init__(self) -> None:
        self._mark: str | None = None
        self._ascii = self._utf8 = self._first = True
        self._seven_bit: str | None = None
        self._runs: set[bytes] = set()
        self._decoder = codecs.getincrementaldecoder(_UTF8)()
        self._lines: list[bytes] = []
        self._room = _SAMPLE_BYTES
        self._cut = b""

    def see(self, block: bytes) -> None:
        """Take the next block."""
        if self._first:
            self._first = False
            self._mark = next((name for mark, name in _MARKS if block.startswith(mark)), None)
        plain = block.isascii()
        self._ascii &= plain
        if self._ascii:
            self._seven_bit = self._seven_bit or _seven_bit(block)
            if len(self._runs) < _UTF7_RUNS:
                self._runs.update(_UTF7.findall(block, 0, block.rfind(b"\n") + 1 or len(block)))
        if self._utf8 and not (plain and not self._decoder.getstate()[0]):
            try:
                for start in range(0, len(block), _PART):
                    self._decoder.decode(block[start : start + _PART])
            except UnicodeDecodeError:
                self._utf8 = False
        if self._room < _LINE_BYTES:
            return
        *lines, cut = (self._cut + block).split(b"\n") if not plain else (self._cut, b"")
        self._keep(lines)
        self._cut = cut[: _LINE_BYTES * 2]

    def end(self) -> Seen:
        """Return what was seen of the whole file."""
        self._keep([self._cut])
        whole = self._utf8 and not self._decoder.getstate()[0]
        seven_bit = self._seven_bit or ("UTF-7" if _is_utf7(self._runs) else None)
        return Seen(
            self._mark, self._ascii, seven_bit if self._ascii else None, whole, tuple(self._lines)
        )

    def _keep(self, lines: Iterable[bytes]) -> None:
        # Half of what is left for each block: the last one is to have its say as well.
        room = self._room // 2
        for line in lines:
            if room <= 0:
                break
            if not line.isascii():
                kept = line if len(line) <= _LINE_BYTES else line[: _last_end(line)]
                self._lines.append(kept)
                room -= len(kept) + 1
                self._room -= len(kept) + 1


def _seven_bit(block: bytes) -> str | None:
    if b"\x1b" in block and (found := _ESCAPE.search(block)):
        return _OF_ESCAPE.get(found[1] or b"", "ISO-2022-JP")
    return "HZ" if b"~{" in block and _HZ.search(block) else None


def _is_utf7(runs: Iterable[bytes]) -> bool:
    """Say if what stands behind every plus is Base64 of letters that ASCII does not have."""
    found = [run for run in runs if run]
    if any(run.isdigit() for run in found):
        return False
    try:
        texts = [(b"+" + run + b"-").decode("utf-7") for run in found]
    except UnicodeDecodeError:
        return False
    return len(texts) >= _UTF7_LEAST and all(
        unicodedata.name(character, "") and not character.isascii()
        for text in texts
        for character in text
    )


def _last_end(line: bytes) -> int:
    """Return where a long line can be cut: a character does not reach over these."""
    return max(line.rfind(end, 0, _LINE_BYTES) for end in (b",", b" ", b"\t", b'"')) + 1


def decoded(blocks: Iterable[bytes], encoding: str, *, marked: bool) -> Iterator[bytes]:
    """Yield blocks of `encoding` as UTF-8, with 0xFF for each character that it does not know.

    `marked` says that the first begins with a byte order mark.
    """
    transcode = Transcoder(encoding)
    skip = len(next(mark for mark, name in _MARKS if name == encoding)) if marked else 0
    for block in blocks:
        yield transcode(block[skip:])
        skip = 0
    yield transcode(b"", final=True)


class Transcoder:
    """Turns blocks of one encoding into UTF-8."""

    def __init__(self, encoding: str) -> None:
        self._strangers = _STRANGERS.get(encoding, ())
        made = codecs.getincrementaldecoder(_WIDER.get(encoding, encoding))
        self._decode = made("batch.invalid").decode

    def __call__(self, block: bytes, *, final: bool = False) -> bytes:
        """Return the characters that `block` completes."""
        text = self._decode(block, final)
        for stranger in self._strangers:
            text = text.replace(stranger, _INVALID)
        return text.encode(_UTF8, "surrogateescape")


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    if error.encoding in {"euc_jp", "iso2022_jp_ext"} and (
        added := _of_windows(*(byte & 0x7F for byte in error.object[error.start : error.start + 2]))
    ):
        return added, error.start + 2
    # The second byte of a broken two-byte character may be the line end: it is looked at again.
    return _INVALID, error.end if error.encoding.startswith("utf") else error.start + 1


def _of_windows(row: int, cell: int = 0) -> str | None:
    """Return a character of a row that Windows has in addition to JIS X 0208: ①, ㈱, 髙."""
    if row - 0x20 not in _ROWS_OF_WINDOWS:
        return None
    lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
    trail = cell + (0x7E if row % 2 == 0 else 0x1F if cell < 0x60 else 0x20)
    found = bytes((lead, trail)).decode("cp932", "replace")
    return None if "\ufffd" in found else found


codecs.register_error("batch.invalid", _mark_invalid)


def encoding_of(seen: Seen, declared: str | None, blocks: Callable[[], Iterator[bytes]]) -> str:
    """Say how a file is encoded; a guess is held against all of its `blocks`.

    Raises:
        BadDataError: it fits none of the encodings that are known, nobody can tell which, or it is
            plainly not the declared one.
    """
    known = seen.mark or (_UTF8 if seen.utf8 and not seen.ascii else None)
    if (seen.seven_bit or "").startswith("ISO-2022"):
        known = (seen.seven_bit or "").lower()
    if declared is not None:
        if known is not None and known != declared:
            raise BadDataError(
                f"the file is {known.upper()}, and jobs.NAME.ingest.encoding is {declared}: correct"
                " one of them, or declare none where files differ"
            )
        return declared
    if seen.mark is not None:
        return seen.mark
    if seen.seven_bit is not None:
        read = seen.seven_bit == "ISO-2022-JP"
        raise BadDataError(
            f"the file is {seen.seven_bit}, a 7-bit encoding of mail: convert it to UTF-8, or"
            f" {declare('iso-2022-jp' if read else 'utf-8')}{'' if read else ' if it is none'}"
        )
    if seen.utf8 or _mostly_utf8(seen.lines):
        return _UTF8
    for encoding in _plausible(seen.lines):
        if _fits(encoding, blocks()):
            return encoding
    if len(seen.lines) == 1:
        # One damaged line is rejected, and the rest kept.
        return _UTF8
    raise BadDataError(
        "it cannot be told what the file's characters are in, of the encodings UTF-8, UTF-16,"
        f" {', '.join(_GUESSED)}: convert it to UTF-8, or {declare('NAME')}"
    )


def declare(encoding: str) -> str:
    """Say how an encoding is declared."""
    return f"declare it as jobs.NAME.ingest.encoding: {encoding}"


def _mostly_utf8(lines: Iterable[bytes]) -> bool:
    text = b"\n".join(lines).decode(_UTF8, "replace")
    bad = text.count("\ufffd")
    good = len(text) - len(text.encode("ascii", "ignore")) - bad
    return 0 < bad * 2 <= good


def _plausible(lines: Sequence[bytes]) -> list[str]:
    """Return the encodings that the sample makes sense in, the best first, unless two are alike."""
    found = sorted((_sense(lines, encoding), encoding) for encoding in _GUESSED)[::-1]
    if found[0][0] < found[1][0] * _CLEARLY:
        return []
    return [encoding for score, encoding in found if score]


def _sense(lines: Sequence[bytes], encoding: str) -> float:
    transcode = Transcoder(encoding)
    # Few files need it, and its patterns take longer to compile than an ASCII file to read.
    from batch.languages import sense  # noqa: PLC0415

    read = [transcode(line + b"\n", final=True) for line in lines]
    whole = [line for line in read if b"\xff" not in line]
    if len(lines) - len(whole) > max(1, len(lines) // _FEW):
        return 0
    return sense(b"".join(whole).decode(), encoding)


def _fits(encoding: str, blocks: Iterator[bytes]) -> bool:
    bad = good = 0
    for block in decoded(blocks, encoding, marked=False):
        if block.isascii():
            continue
        broken = block.count(b"\xff")
        bad += broken
        # Every byte that leads a character of several.
        good += sum(block.count(bytes((lead,))) for lead in range(0xC2, 0xF5))
        if bad > max(1, good):
            return False
    return bad <= max(1, good // _FEW)
