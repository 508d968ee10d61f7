"""What is received of a file: decompressed within limits, onto a disk that may be full."""

import errno
import gzip
import io
from pathlib import Path
from typing import cast

import pytest

from batch import text
from batch.convert import _errors  # pyright: ignore[reportPrivateUsage]
from batch.exits import BadDataError, MisconfiguredError
from batch.text import Text, prepare

FULL = "the scratch disk is full: give the task more ephemeral storage"


class Broken(io.RawIOBase):
    """A stream that ends in an error."""

    def __init__(self, number: int) -> None:
        self._number = number

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:  # noqa: ARG002 - never filled
        raise OSError(self._number, "why")


def prepared(body: bytes, path: Path) -> Text:
    return prepare(io.BufferedReader(cast("io.RawIOBase", io.BytesIO(body))), path)


def test_what_expands_beyond_the_limit_is_refused_and_what_is_as_large_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"a,b\n" * (1 << 19)
    monkeypatch.setattr(text, "EXPANDED_BYTES", len(body))
    assert prepared(gzip.compress(body), tmp_path / "a").compression == "gzip"
    monkeypatch.setattr(text, "EXPANDED_BYTES", len(body) - 1)
    with pytest.raises(BadDataError) as refused:
        prepared(gzip.compress(body), tmp_path / "b")
    assert str(refused.value) == "the file expands to over 0 GiB: split it"
    assert prepared(body, tmp_path / "c").compression == "none"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_a_misconfiguration(tmp_path: Path, number: int) -> None:
    with pytest.raises(MisconfiguredError) as refused:
        prepare(io.BufferedReader(Broken(number)), tmp_path / "a")
    assert str(refused.value) == FULL
    with pytest.raises(MisconfiguredError) as refused, _errors():
        raise OSError(number, "why")
    assert str(refused.value) == FULL


def test_another_error_of_the_disk_is_none_that_was_foreseen(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="why"):
        prepare(io.BufferedReader(Broken(errno.EIO)), tmp_path / "a")
    with pytest.raises(OSError, match="why"), _errors():
        raise OSError(errno.EIO, "why")
