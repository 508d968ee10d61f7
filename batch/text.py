"""A stream of bytes, compressed or not → one plain file on scratch disk, and what it is."""

import codecs
import errno
import gzip
import io
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from batch.binary import refuse_binary
from batch.charset import Watch, decoded, encoding_of
from batch.exits import BadDataError, MisconfiguredError
from batch.limits import EXPANDED_BYTES

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 1 << 20
_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_ZSTD = b"\x28\xb5\x2f\xfd"
# Frames that carry no data: https://www.rfc-editor.org/rfc/rfc8878#name-skippable-frames
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)


@dataclass(frozen=True)
class Text:
    """A file on scratch disk, how it was compressed, and how its characters are encoded.

    `whole` says that all of its characters are valid UTF-8, `marked` that it begins with a mark;
    `check` is called with the size of each block that is read. A `workbook` is no text itself.
    """

    path: Path
    size: int
    compression: str
    encoding: str
    whole: bool
    marked: bool
    workbook: bool = False
    check: Callable[[int], None] = lambda _: None

    def blocks(self) -> Iterator[bytes]:
        """Yield the text as UTF-8; 0xFF stands for what is no character."""
        blocks = self._checked()
        if not self.whole:
            return decoded(blocks, self.encoding, marked=self.marked)
        if self.marked:
            return decoded(blocks, self.encoding, marked=True)
        return blocks

    def _checked(self) -> Iterator[bytes]:
        for block in _blocks_of(self.path):
            self.check(len(block))
            yield block


def prepare(
    stream: "io.BufferedReader[io.RawIOBase]",
    path: Path,
    encoding: str | None = None,
    received: Callable[[int], None] = lambda _: None,
) -> Text:
    """Decompress `stream` to `path`, a block at a time, and find out how it is encoded.

    gzip and Zstandard are known by their first bytes; the encoding, unless it is declared, by its
    byte order mark, else by whether the whole file is UTF-8, else by what makes sense. `received`
    is called with the size of each block.

    Raises:
        BadDataError: the data is damaged or cut short, too large, or in no known encoding.
        MisconfiguredError: the scratch disk is full.
    """
    watch = Watch()
    size = 0
    workbook = False
    try:
        compression, plain = _decompressed(stream)
        with path.open("wb") as file:
            while block := plain.read(BLOCK):
                if not size and (workbook := block.startswith(_ZIP)):
                    encoding = "utf-8"
                elif not size:
                    wide = (encoding or "").startswith("utf-16") or block.startswith(_WIDE_MARKS)
                    refuse_binary(block, wide=wide)
                size += len(block)
                if size > EXPANDED_BYTES and compression != "none":
                    raise BadDataError(
                        f"the file expands to over {EXPANDED_BYTES >> 30} GiB: split it"
                    )
                received(len(block))
                if not workbook:
                    watch.see(block)
                file.write(block)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError) as error:
        raise BadDataError(f"the compressed data is damaged: {error}") from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise MisconfiguredError(disk_full()) from error
        raise
    seen = watch.end()
    found = encoding_of(seen, encoding, lambda: _blocks_of(path))
    return Text(
        path,
        size,
        compression,
        found,
        whole=found == "utf-8" and seen.utf8,
        marked=seen.mark == found,
        workbook=workbook,
    )


def disk_full() -> str:
    """Say what to do about a full scratch disk."""
    return "the scratch disk is full: give the task more ephemeral storage"


def _decompressed(stream: "io.BufferedReader[io.RawIOBase]") -> tuple[str, BinaryIO]:
    magic = stream.peek(len(_ZSTD))[: len(_ZSTD)]
    if magic.startswith(_GZIP):
        return "gzip", cast("BinaryIO", gzip.GzipFile(fileobj=stream))
    if magic == _ZSTD or _SKIPPABLE.fullmatch(magic):
        return "zstd", cast("BinaryIO", zstd.ZstdFile(stream))
    return "none", stream


def _blocks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK):
            yield block
