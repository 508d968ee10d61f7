"""A stream of compressed bytes in any of the known encodings → one UTF-8 file on scratch disk."""

import codecs
import errno
import gzip
import io
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from batch.exits import BadDataError, MisconfiguredError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 1 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# 0xFF occurs nowhere in UTF-8, so the reader rejects exactly the rows that carry it.
_INVALID = "\udcff"
# Bytes that are nothing in CP932, which Python's codec lets through.
_NOT_CP932 = ("\x80", "\uf8f0", "\uf8f1", "\uf8f2", "\uf8f3")


@dataclass(frozen=True)
class Text:
    """A file of UTF-8 with one kind of line end, and what it was made from."""

    path: Path
    size: int
    compression: str
    encoding: str


def prepare(stream: io.BufferedReader, path: Path) -> Text:
    """Decompress and decode `stream` to `path`, a block at a time.

    gzip and Zstandard are known by their first bytes, the encoding by its byte order mark, or by
    the first block that is not ASCII: UTF-8 if it is that, CP932 otherwise. A character that the
    encoding does not know becomes an invalid byte, which later costs its row and no other.
    Line ends that are mixed, or lone carriage returns, all become line feeds.

    Raises:
        BadDataError: the compressed data is damaged or cut short.
        MisconfiguredError: the scratch disk is full.
    """
    try:
        compression, plain = _decompressed(stream)
        decoded = _Decoded(_blocks(plain))
        ends = _LineEnds()
        with path.open("wb") as file:
            for block in decoded:
                ends.see(block)
                file.write(block)
        if ends.irregular:
            _make_line_feeds(path)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
        raise BadDataError(f"the compressed data is damaged: {error}") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise MisconfiguredError(disk_full()) from error
        raise
    return Text(path, path.stat().st_size, compression, decoded.encoding)


def disk_full() -> str:
    """Say what to do about a full scratch disk."""
    return "the scratch disk is full: give the task more ephemeral storage"


def _decompressed(stream: io.BufferedReader) -> tuple[str, BinaryIO]:
    magic = stream.peek(len(_ZSTD))
    if magic.startswith(_GZIP):
        return "gzip", cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if magic.startswith(_ZSTD):
        return "zstd", cast("BinaryIO", zstd.ZstdFile(stream))
    return "none", stream


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield whole blocks: where they are cut must not depend on how the network cuts."""
    while True:
        parts: list[bytes] = []
        missing = BLOCK
        while missing and (part := file.read(missing)):
            parts.append(part)
            missing -= len(part)
        if not parts:
            return
        yield b"".join(parts)


class _Decoded:
    """Blocks of any known encoding as blocks of UTF-8."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self.encoding = "utf-8"
        self._blocks = blocks

    def __iter__(self) -> Iterator[bytes]:
        first = next(self._blocks, b"")
        for mark, encoding in _BOMS:
            if first.startswith(mark):
                self.encoding = encoding
                return self._decode(first[len(mark) :])
        return self._guess(first)

    def _guess(self, block: bytes) -> Iterator[bytes]:
        while block.isascii():
            if not block:
                return
            yield block
            block = next(self._blocks, b"")
        self.encoding = _encoding(block)
        yield from self._decode(block)

    def _decode(self, block: bytes) -> Iterator[bytes]:
        transcode: Callable[[bytes, bool], bytes] = (
            _as_it_is if self.encoding == "utf-8" else _Transcoder(self.encoding)
        )
        while block:
            yield transcode(block, False)  # noqa: FBT003 - the decoder's own positional flag
            block = next(self._blocks, b"")
        yield transcode(b"", True)  # noqa: FBT003 - as above


def _as_it_is(block: bytes, _final: bool) -> bytes:  # noqa: FBT001 - a decoder's signature
    return block


class _Transcoder:
    def __init__(self, encoding: str) -> None:
        self._strangers = _NOT_CP932 if encoding == "cp932" else ()
        self._decode = codecs.getincrementaldecoder(encoding)("batch.invalid").decode

    def __call__(self, block: bytes, final: bool) -> bytes:  # noqa: FBT001 - a decoder's signature
        text = self._decode(block, final)
        for stranger in self._strangers:
            text = text.replace(stranger, _INVALID)
        return text.encode("utf-8", "surrogateescape")


def _mark_invalid(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    # The second byte of a broken CP932 character may be the line end: it is looked at again.
    return _INVALID, error.end if error.encoding.startswith("utf") else error.start + 1


codecs.register_error("batch.invalid", _mark_invalid)


def _encoding(block: bytes) -> str:
    whole = block[: block.rfind(b"\n") + 1] or block
    if _mostly(whole, "utf-8"):
        return "utf-8"
    return "cp932" if _mostly(whole, "cp932") else "utf-8"


def _mostly(block: bytes, encoding: str) -> bool:
    text = block.decode(encoding, "replace")
    strangers = _NOT_CP932 if encoding == "cp932" else ()
    bad = sum(map(text.count, ("\ufffd", *strangers)))
    good = len(text) - len(text.encode("ascii", "ignore")) - bad
    return bad * 5 <= good


class _LineEnds:
    def __init__(self) -> None:
        self._crlf = self._lf = self._cr = False
        self._cut = b""

    def see(self, block: bytes) -> None:
        if b"\r" not in block and not self._cut:
            self._lf = self._lf or b"\n" in block
            return
        block = self._cut + block
        self._cut = b"\r" if block.endswith(b"\r") else b""
        crlf = block.count(b"\r\n")
        self._crlf = self._crlf or crlf > 0
        self._lf = self._lf or block.count(b"\n") > crlf
        self._cr = self._cr or block.count(b"\r") - len(self._cut) > crlf

    @property
    def irregular(self) -> bool:
        return self._cr or bool(self._cut) or (self._crlf and self._lf)


def _make_line_feeds(path: Path) -> None:
    made = path.with_suffix(".lf")
    with path.open("rb") as file, made.open("wb") as out:
        cut = b""
        while block := file.read(BLOCK):
            block, cut = cut + block, b""
            if block.endswith(b"\r"):
                block, cut = block[:-1], b"\r"
            out.write(block.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
        out.write(b"\n" if cut else b"")
    made.replace(path)
