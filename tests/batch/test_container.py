"""The program as a process against a real S3: keys, results, exit codes, signals."""

import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import psutil
import pytest

from tests.batch.conftest import Buckets
from tests.batch.s3 import command, run

CSV = b"id,code,at\n1,00123,2024-01-05\nragged\n2,00124,\n"
Rows = Callable[[bytes], list[tuple[object, ...]]]


def test_an_uploaded_file_becomes_a_parquet_file_and_a_report(
    buckets: Buckets, parquet_rows: Rows
) -> None:
    buckets.s3.put_bucket_versioning(
        Bucket=buckets.uploads, VersioningConfiguration={"Status": "Enabled"}
    )
    put = buckets.s3.put_object(Bucket=buckets.uploads, Key="target/a.csv", Body=CSV)
    done = run(["target/a.csv"], buckets.variables)
    assert (done.code, done.stderr) == (0, "")
    report_key, parquet_key = sorted(buckets.written(), key=lambda key: key.endswith(".parquet"))
    report = cast("dict[str, object]", json.loads(buckets.read(report_key)))
    seconds, phases = report.pop("seconds"), report.pop("phases")
    assert isinstance(seconds, float)
    assert isinstance(phases, dict)
    body = buckets.read(parquet_key)
    assert report == {
        "source": {
            "bucket": buckets.uploads,
            "key": "target/a.csv",
            "etag": put["ETag"].strip('"'),
            "version": put["VersionId"],
        },
        "result": {"bucket": buckets.results, "key": parquet_key, "bytes": len(body)},
        "detected": {
            "format": "csv",
            "encoding": "utf-8",
            "compression": "none",
            "delimiter": ",",
            "header": True,
            "quoting": True,
            "preamble": 0,
        },
        "rows": 2,
        "columns": [
            {"name": "id", "type": "BIGINT", "nulls": 0, "reason": None},
            {
                "name": "code",
                "type": "VARCHAR",
                "nulls": 0,
                "reason": "text, the first at line 2: 00123",
            },
            {"name": "at", "type": "DATE", "nulls": 1, "reason": None},
        ],
        "rejected": {
            "count": 1,
            "reasons": {"expected 3 columns, found 1": 1},
            "rows": [{"line": 3, "reason": "expected 3 columns, found 1"}],
        },
        "drift": None,
        "bytes": len(CSV),
    }
    assert [(row[0], row[1]) for row in parquet_rows(body)] == [(1, "00123"), (2, "00124")]
    assert [line["event"] for line in done.lines] == ["started", "report", "result"]
    assert done.last == {
        "event": "result",
        "rows": 2,
        "columns": 3,
        "rejected": 1,
        "seconds": done.last["seconds"],
        "result": f"s3://{buckets.results}/{parquet_key}",
        "report": f"s3://{buckets.results}/{report_key}",
    }


@pytest.mark.slow
def test_the_same_version_is_done_once_and_a_new_one_has_its_own_result(buckets: Buckets) -> None:
    buckets.put("a.csv", CSV)
    assert run(["a.csv"], buckets.variables).code == 0
    first = buckets.written()
    again = run(["a.csv"], buckets.variables)
    assert (again.code, again.last["event"], buckets.written()) == (0, "already done", first)
    buckets.put("a.csv", CSV + b"3,4,\n")
    assert run(["a.csv"], buckets.variables).last["rows"] == 3
    assert len(buckets.written()) == 4


@pytest.mark.slow
def test_a_result_without_its_report_is_made_again(buckets: Buckets) -> None:
    buckets.put("a.csv", CSV)
    assert run(["a.csv"], buckets.variables).code == 0
    made = buckets.written()
    buckets.s3.delete_object(Bucket=buckets.results, Key=made[1])
    assert made[1].endswith(".report.json")
    again = run(["a.csv"], buckets.variables)
    assert (again.last["event"], buckets.written()) == ("result", made)


@pytest.mark.slow
@pytest.mark.parametrize(
    "key",
    [
        "a b+c%2Fd.csv",
        "quote\"'\\$`.csv",
        "line\nbreak.csv",
        "日本語/売上😀.csv",
        "あ" * 340 + ".csv",
        "--help",
    ],
)
def test_any_key_is_read_byte_for_byte(buckets: Buckets, key: str) -> None:
    buckets.put(key, CSV)
    done = run([key], buckets.variables)
    assert (done.code, done.last.get("rows")) == (0, 2)
    report = next(name for name in buckets.written() if name.endswith(".report.json"))
    assert json.loads(buckets.read(report))["source"]["key"] == key


def test_the_key_may_come_in_the_environment(buckets: Buckets) -> None:
    buckets.put("a.csv", CSV)
    assert run([], buckets.variables | {"OBJECT_KEY": "a.csv"}).code == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the file is empty"),
        (
            b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
            "the file is a PDF: expected CSV, JSON Lines or an Excel workbook (.xlsx)",
        ),
        (
            b"a,b\n1\n",
            "not one row can be read; 1 rejected, the first at line 2: expected 2 columns, found 1",
        ),
    ],
)
def test_bad_data_ends_with_65_and_leaves_nothing(
    buckets: Buckets, body: bytes, reason: str
) -> None:
    buckets.put("a.csv", body)
    done = run(["a.csv"], buckets.variables)
    assert (done.code, done.last, done.stderr, buckets.written()) == (
        65,
        {"event": "failed", "exit": 65, "reason": reason},
        "",
        [],
    )


def test_a_header_only_is_a_result_of_no_rows(buckets: Buckets, parquet_rows: Rows) -> None:
    buckets.put("a.csv", b"a,b\r\n")
    assert run(["a.csv"], buckets.variables).code == 0
    assert parquet_rows(buckets.read(buckets.written()[0])) == []


def test_a_deleted_object_ends_with_66(buckets: Buckets) -> None:
    buckets.s3.put_bucket_versioning(
        Bucket=buckets.uploads, VersioningConfiguration={"Status": "Enabled"}
    )
    buckets.put("a.csv", CSV)
    buckets.s3.delete_object(Bucket=buckets.uploads, Key="a.csv")
    done = run(["a.csv"], buckets.variables)
    assert (done.code, done.stderr) == (66, "")
    assert f"s3://{buckets.uploads}/a.csv" in str(done.last["reason"])


@pytest.mark.slow
def test_an_endpoint_that_does_not_answer_ends_with_75(buckets: Buckets) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run(["a.csv"], buckets.variables | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    assert (done.code, done.stderr) == (75, "")
    assert "Could not connect" in str(done.last["reason"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"RESULTS_BUCKET": ""}, "RESULTS_BUCKET is not set"),
        ({"RESULTS_BUCKET": "no-such-bucket-here"}, "NoSuchBucket|NotFound|404"),
        ({"BUCKET": "no-such-bucket-here"}, "NoSuchBucket"),
        ({"BUCKET": "Not A Bucket"}, "Invalid bucket name"),
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint"),
    ],
)
def test_a_misconfigured_job_ends_with_78(
    buckets: Buckets, changes: dict[str, str], reason: str
) -> None:
    buckets.put("a.csv", CSV)
    done = run(["a.csv"], buckets.variables | changes)
    assert (done.code, done.stderr) == (78, "")
    assert re.search(reason, str(done.last["reason"]))


def test_a_result_in_the_watched_folder_is_refused_before_anything_is_read(
    buckets: Buckets,
) -> None:
    buckets.put("target/a.csv", CSV)
    done = run(
        ["target/a.csv"],
        buckets.variables | {"RESULTS_BUCKET": buckets.uploads, "RESULTS_PREFIX": "target/x/"},
    )
    assert (done.code, [line["event"] for line in done.lines]) == (78, ["failed"])


def test_without_a_bucket_arguments_and_environment_are_one_line() -> None:
    environment = {"ENV": "値 \udcff", "OBJECT_KEY": "k", "DB_PASSWORD": "s3cr3t", "HOME": "/"}
    done = subprocess.run(
        command("from1", 'a"b\n'),
        env=environment | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONUTF8": "1"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.count(b"\n") == 1
    assert json.loads(done.stdout) == {
        "args": ["from1", 'a"b\n'],
        "environment": {"DB_PASSWORD": "***", "ENV": "値 \udcff", "OBJECT_KEY": "k"},
    }


@pytest.mark.parametrize(
    ("imported", "unwanted"),
    [
        ("batch.cli", {"pyarrow", "numpy", "botocore", "logging"}),
        ("batch.ingest, batch.store", {"pyarrow", "numpy", "boto3", "batch.languages"}),
    ],
    ids=["without a bucket", "before S3 is read"],
)
def test_nothing_is_imported_that_is_not_needed_yet(imported: str, unwanted: set[str]) -> None:
    code = f"import sys, {imported}; print({unwanted} & set(sys.modules) or None)"
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env={"PYTHONPATH": root}, check=True, capture_output=True)
    assert found.stdout == b"None\n"


@pytest.fixture(scope="session")
def large() -> bytes:
    row = b'%d,tokyo,12.50,2024-05-01,"a note, %x"\n'
    block = b"".join(row % (n, n * 7919) for n in range(100_000))
    return b"id,city,amount,day,note\n" + block * 30


def processor_seconds() -> float:
    """What the processes that this one has waited for took, whatever else the machine did."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def started(buckets: Buckets, scratch: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        command("big.csv"),
        env=buckets.variables | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert b'"started"' in process.stdout.readline()
    return process


# Sends itself SIGTERM in the middle of a stage, which goes on once the signal has been handled:
# who looks from outside, or from another thread, may come too late.
ENDED = """
import importlib, runpy, signal, sys, threading, time
from batch import cli

module, name, method, told = sys.argv[1:]
owner = getattr(importlib.import_module(module), name)
step, handle, handled = getattr(owner, method), cli._raise, threading.Event()

def handles(*arguments):
    handled.set()
    handle(*arguments)

def steps(*arguments, **named):
    step(*arguments, **named)
    if not handled.is_set():
        with open(told, "w") as file:
            file.write(str(time.process_time()))
        # As the system does: the thread that waits for the others is the one that it is for.
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        handled.wait()

cli._raise = handles
setattr(owner, method, steps)
sys.argv = ["batch", "big.csv"]
runpy.run_module("batch", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [("batch.charset", "Watch", "see"), ("pyarrow.parquet", "ParquetWriter", "write_table")],
    ids=["text", "result.parquet"],
)
def test_sigterm_ends_it_before_it_is_killed_with_nothing_written(
    buckets: Buckets, large: bytes, tmp_path: Path, stage: tuple[str, str, str]
) -> None:
    buckets.put("big.csv", large)
    scratch, told = tmp_path / "scratch", tmp_path / "told"
    scratch.mkdir()
    before = processor_seconds()
    done = subprocess.run(
        [sys.executable, "-c", ENDED, *stage, str(told)],
        env=buckets.variables | {"TMPDIR": str(scratch)},
        capture_output=True,
        check=False,
    )
    took = processor_seconds() - before - float(told.read_text())
    assert (done.returncode, done.stderr) == (143, b"")
    assert json.loads(done.stdout.splitlines()[-1]) == {"event": "stopped", "signal": "SIGTERM"}
    assert took < 10  # ECS kills it 30 seconds later: stopTimeout
    assert (buckets.written(), list(scratch.iterdir())) == ([], [])
    assert buckets.s3.list_multipart_uploads(Bucket=buckets.results).get("Uploads", []) == []


@pytest.mark.slow
def test_memory_stays_below_512_mib(buckets: Buckets, large: bytes, tmp_path: Path) -> None:
    buckets.put("big.csv", large)
    peak = 0
    with started(buckets, tmp_path) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        output, _ = process.communicate()
    assert process.returncode == 0
    assert json.loads(output.splitlines()[-1])["rows"] == 3_000_000
    assert 0 < peak < 512 << 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file system to fill")
def test_a_full_scratch_disk_is_a_misconfiguration(buckets: Buckets, tmp_path: Path) -> None:
    buckets.put("a.csv", b"a,b\n" + b"1,2\n" * 500_000)
    script = (
        "import resource, signal, runpy, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"
        "sys.argv = ['batch', 'a.csv']\n"
        "runpy.run_module('batch', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=buckets.variables | {"TMPDIR": str(tmp_path), "COVERAGE_PROCESS_START": ""},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 78
    assert b"the scratch disk is full: give the task more ephemeral storage" in done.stdout
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - names are enough
