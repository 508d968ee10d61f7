"""The container's ingest of a generated CSV, beside DuckDB alone converting the same file.

DuckDB's parallel scan cuts rows at quoted line ends that are far apart: what reads every file
right is its serial one, and the ratio to that is the one that counts.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil

from tests.batch.s3 import RESULTS, ROOT, UPLOADS, client, environment, serve_s3

_ALONE = """
import duckdb, sys, time
import_done = time.monotonic()
with duckdb.connect(config={"threads": "2"}) as connection:
    connection.execute(
        "COPY (SELECT * FROM read_csv('" + sys.argv[1] + "', parallel=" + sys.argv[3] + "))"
        " TO '" + sys.argv[2] + "' (FORMAT parquet, COMPRESSION zstd)"
    )
print('{"seconds": %.3f}' % (time.monotonic() - import_done))
"""
_ROUNDS = 3
_STARTS = 9


def generate(path: Path, size_mb: int) -> int:
    """Write a CSV of at least `size_mb` million bytes: numbers, dates, quoted text; its bytes."""
    cities = ("tokyo", "osaka", "nagoya", "札幌")
    size, first = 0, 0
    with path.open("wb") as file:
        size += file.write(b"id,city,amount,day,at,ok,note,code\n")
        while size < size_mb * 1_000_000:
            rows = (
                f"{n},{cities[n % 4]},{n * 7919 % 100_000 / 100:.2f},2024-{n % 12 + 1:02d}-"
                f"{n % 28 + 1:02d},2024-05-01 {n % 24:02d}:{n % 60:02d}:00,"
                f'{"true" if n % 3 else "false"},"note, {n * 104_729 % 1_000_003}",'
                f"{n * 2_654_435_761 % 2**64:016x}\n"
                for n in range(first, first + 20_000)
            )
            size += file.write("".join(rows).encode())
            first += 20_000
    return size


def run(size_mb: int = 1024) -> list[tuple[str, str]]:
    """Measure and return (label, value) rows; the best of three rounds, taken in turn."""
    with tempfile.TemporaryDirectory() as directory, serve_s3(Path(directory)) as endpoint:
        scratch = Path(directory)
        source = scratch / "source.csv"
        size = generate(source, size_mb)
        s3 = client(endpoint)
        for bucket in (UPLOADS, RESULTS):
            s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
            )
        s3.upload_file(str(source), UPLOADS, "source.csv")
        variables = environment(endpoint) | {"BUCKET": UPLOADS, "RESULTS_BUCKET": RESULTS}
        alone: list[float] = []
        parallel: list[float] = []
        convert: list[float] = []
        whole: list[float] = []
        busy: list[float] = []
        alone_busy: list[float] = []
        peak = alone_peak = 0
        for number in range(_ROUNDS):
            ran = _measure(
                ["-c", _ALONE, str(source), str(scratch / "parallel.parquet"), "true"], variables
            )
            parallel.append(cast("float", json.loads(ran.output[-1])["seconds"]))
            ran = _measure(
                ["-c", _ALONE, str(source), str(scratch / "alone.parquet"), "false"], variables
            )
            alone.append(cast("float", json.loads(ran.output[-1])["seconds"]))
            alone_busy.append(ran.cpu_seconds)
            alone_peak = max(alone_peak, ran.peak)
            ran = _measure(
                ["-m", "batch", "source.csv"], variables | {"RESULTS_PREFIX": f"round-{number}/"}
            )
            report = next(line for line in map(json.loads, ran.output) if line["event"] == "report")
            convert.append(cast("float", report["phases"]["convert"]))
            whole.append(ran.seconds)
            busy.append(ran.cpu_seconds)
            peak = max(peak, ran.peak)
        s3.close()
    begun = [_first_request() for _ in range(_STARTS)]
    bare = [_measure(["-c", "pass"], os.environ).seconds for _ in range(_STARTS)]
    rate = size / 1e6
    return [
        (f"CSV of {rate:,.0f} MB, container: convert", f"{rate / min(convert):,.0f} MB/s"),
        ("DuckDB alone, read serially", f"{rate / min(alone):,.0f} MB/s"),
        ("ratio to that", f"{min(alone) / min(convert):.2f}"),
        ("DuckDB alone, read in parallel", f"{rate / min(parallel):,.0f} MB/s"),
        ("ratio to that, which is not right for every file", f"{min(parallel) / min(convert):.2f}"),
        ("container: whole process, S3 of this machine included", f"{rate / min(whole):,.0f} MB/s"),
        ("container: CPU time of the whole process", f"{min(busy):.1f} s"),
        ("DuckDB alone: CPU time of the whole process", f"{min(alone_busy):.1f} s"),
        ("container: peak memory", f"{peak >> 20} MiB"),
        ("DuckDB alone: peak memory", f"{alone_peak >> 20} MiB"),
        (
            "container: start to the first request to S3, beyond bare Python",
            f"{(min(begun) - min(bare)) * 1000:.0f} ms",
        ),
    ]


def _first_request() -> float:
    """Return the seconds from the start of a container's process to its first request's arrival."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = f"http://127.0.0.1:{listening.getsockname()[1]}"
        variables = environment(endpoint) | {"BUCKET": UPLOADS, "RESULTS_BUCKET": RESULTS}
        started = time.monotonic()
        with subprocess.Popen(
            [sys.executable, "-m", "batch", "source.csv"],
            env=variables,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        ) as process:
            listening.settimeout(30)
            connection, _ = listening.accept()
            with connection:
                connection.recv(1)
                seconds = time.monotonic() - started
                process.kill()
    return seconds


@dataclass(frozen=True)
class _Run:
    output: list[str]
    seconds: float
    cpu_seconds: float
    peak: int


def _measure(arguments: list[str], variables: Mapping[str, str]) -> _Run:
    """Run a Python process and return its lines, what it took, and its peak resident bytes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    peak = 0
    with subprocess.Popen(
        [sys.executable, *arguments],
        env=dict(variables),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        output = process.communicate()[0].splitlines()
    seconds = time.monotonic() - started
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}: {output}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Run(output, seconds, cpu, peak)


if __name__ == "__main__":
    for label, value in run(int(sys.argv[1]) if len(sys.argv) > 1 else 1024):
        print(f"{label:55} {value}")
