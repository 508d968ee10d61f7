"""The container's peak memory on files of awkward shapes, each in a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.batch.s3 import ROOT, environment
from tests.batch.workbooks import MAIN, cell, row, workbook

pytestmark = pytest.mark.slow

MOST = 384 << 20
NOTE = b"a line of text\n" * 550_000


def wide(columns: int, rows: int) -> Iterator[bytes]:
    yield b",".join(b"c%d" % n for n in range(columns)) + b"\n"
    for number in range(rows):
        yield b",".join(b"%d" % (number * n % 9973) for n in range(columns)) + b"\n"


def keys(count: int, rows: int) -> Iterator[bytes]:
    for number in range(rows):
        yield json.dumps({f"k{n}": number * n % 97 for n in range(count)}).encode() + b"\n"


def texts() -> bytes:
    strings = [f"<si><t>東京都{number}</t></si>" for number in range(900_000)]
    rows = (row(n, *(cell(f"{c}{n}", n * 7, kind="s") for c in "ABCD")) for n in range(1, 50_000))
    return workbook("".join(rows), strings=strings)


def sheet(content: bytes) -> bytes:
    """A workbook whose sheet is broken off behind this."""
    begin = f'<worksheet xmlns="{MAIN}"><sheetData>'.encode()
    return workbook(parts={"xl/worksheets/sheet1.xml": begin + content})


SHAPES: dict[str, tuple[Callable[[], Iterable[bytes]], int]] = {
    "values of 8 MiB with line ends": (lambda: (b"id,note\n", *[b'1,"' + NOTE + b'"\n'] * 12), 0),
    "small rows, then values of 8 MiB": (
        lambda: (b"id,note\n", b"1,x\n" * 5_000_000, *[b'1,"' + NOTE + b'"\n'] * 12),
        0,
    ),
    "a thousand columns": (lambda: wide(1000, 4000), 0),
    "ten thousand columns": (lambda: wide(10_000, 100), 65),
    "1,500 JSON keys": (lambda: keys(1500, 1000), 0),
    "deep JSON": (lambda: (b'{"a":1}\n' * 999, b'{"a":' + b"[" * 1_000_000 + b"\n"), 0),
    "millions of rejected rows": (lambda: (b"a,b\n", *[b"1\n" * 1_000_000] * 3), 65),
    "one row of commas": (lambda: (b"a,b\n1,2\n", b"," * 30_000_000, b"\n3,4\n"), 0),
    "one row of quotes": (lambda: (b"a,b\n1,2\n", b'"' * 30_000_001, b"\n3,4\n"), 65),
    "one line without an end": (lambda: (b"x" * 60_000_000,), 65),
    "a workbook of many texts": (lambda: (texts(),), 0),
    "a workbook of one text": (
        lambda: (sheet(b'<row r="1"><c t="str"><v>' + b"x" * 200_000_000),),
        65,
    ),
    "a workbook of deep elements": (lambda: (sheet(b"<a>" * 8_000_000),), 65),
    "blank lines": (lambda: (b"a,b\n1,2\n", b"\n" * 10_000_000), 0),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_peak_is_below_384_mib_whatever_the_shape(tmp_path: Path, shape: str) -> None:
    parts, code = SHAPES[shape]
    file = tmp_path / "file"
    with file.open("wb") as out:
        out.writelines(parts())
    command = [sys.executable, "-m", "batch", "--file", str(file), "--out", str(tmp_path / "out")]
    peak = 0
    with psutil.Popen(
        command, cwd=ROOT, env=environment(""), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            try:
                peak = max(peak, process.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        ended = process.wait()
    assert ended == code
    assert 0 < peak < MOST
