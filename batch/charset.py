"""Bytes in any of the known encodings → UTF-8, with an invalid byte where a character is none."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from batch.exits import BadDataError
from batch.languages import sense

_GUESSED = ("cp932", "euc-jp", "gb18030", "windows-1252")
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
_ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\([IJ])")
_SAMPLE_BYTES = 256 << 10
_LINE_BYTES = 2 << 10
_FEW = 20
_CLEARLY = 1.3


@dataclass(frozen=True)
class Seen:
    """What was seen of a file while it was received: enough to say how it is encoded."""

    mark: str | None
    ascii: bool
    escapes: bool
    utf8: bool
    lines: tuple[bytes, ...]


class Watch:
    """Sees a file as it comes in, and keeps a sample of the lines that are not ASCII."""

    def __init__(self) -> None:
        self._mark: str | None = None
        self._ascii = self._utf8 = self._first = True
        self._escapes = False
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
        self._escapes |= b"\x1b" in block and _ESCAPE.search(block) is not None
        self._ascii &= plain
        if self._utf8 and not (plain and not self._decoder.getstate()[0]):
            try:
                self._decoder.decode(block)
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
        return Seen(self._mark, self._ascii, self._escapes, whole, tuple(self._lines))

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
        self._decode = codecs.getincrementaldecoder(encoding)("batch.invalid").decode

    def __call__(self, block: bytes, *, final: bool = False) -> bytes:
        """Return the characters that `block` completes."""
        text = self._decode(block, final)
        for stranger in self._strangers:
            text = text.replace(stranger, _INVALID)
        return text.encode(_UTF8, "surrogateescape")


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    # The second byte of a broken two-byte character may be the line end: it is looked at again.
    return _INVALID, error.end if error.encoding.startswith("utf") else error.start + 1


codecs.register_error("batch.invalid", _mark_invalid)


def encoding_of(seen: Seen, declared: str | None, blocks: Callable[[], Iterator[bytes]]) -> str:
    """Say how a file is encoded; a guess is held against all of its `blocks`.

    Raises:
        BadDataError: it fits none of the encodings that are known, nobody can tell which, or it is
            plainly not the declared one.
    """
    known = seen.mark or (_UTF8 if seen.utf8 and not seen.ascii else None)
    if declared is not None:
        if known is not None and known != declared:
            raise BadDataError(
                f"the file is {known.upper()}, and jobs.NAME.ingest.encoding is {declared}: correct"
                " one of them, or declare none where files differ"
            )
        return declared
    if seen.mark is not None:
        return seen.mark
    if seen.escapes and seen.ascii:
        raise BadDataError(
            "the file has ISO-2022-JP's escape sequences, a 7-bit encoding for Japanese mail:"
            f" convert it to UTF-8, or {declare('iso-2022-jp')}"
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
    whole = [line for line in lines if b"\xff" not in transcode(line + b"\n", final=True)]
    if len(lines) - len(whole) > max(1, len(lines) // _FEW):
        return 0
    return sense("\n".join(line.decode(encoding) for line in whole), encoding)


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
