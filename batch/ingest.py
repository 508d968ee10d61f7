"""An object or a file → scratch disk → Parquet, then the report that says it is complete."""

import contextlib
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from batch.exits import GoneError, MisconfiguredError, StoppedError
from batch.log import emit
from batch.options import Options
from batch.progress import Progress
from batch.report import FileResult, FileSource, Report, Result, Source
from batch.results import ResultKeys, refuse_loops, result_keys
from batch.text import BLOCK, prepare

if TYPE_CHECKING:
    from batch import store


@dataclass(frozen=True)
class Request:
    """What to ingest and where to: every field is checked, nothing has been called yet."""

    bucket: str
    key: str
    results_bucket: str
    prefix: str

    @classmethod
    def read(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> "Request":
        """Read the request from the command and the environment.

        Raises:
            MisconfiguredError: something is missing, or the result would start the job again.
        """
        if len(arguments) > 1:
            raise MisconfiguredError(
                f"{len(arguments)} arguments with BUCKET set: expected one, the object's key"
            )
        key = arguments[0] if arguments else environment.get("OBJECT_KEY", "")
        if not key:
            raise MisconfiguredError(
                "BUCKET is set but there is no key: pass it as the argument or as OBJECT_KEY"
            )
        results_bucket = environment.get("RESULTS_BUCKET", "")
        if not results_bucket:
            raise MisconfiguredError(
                "RESULTS_BUCKET is not set: name the bucket that takes the Parquet file"
            )
        job = environment.get("JOB", "")
        prefix = environment.get("RESULTS_PREFIX", f"{job}/" if job else "")
        bucket = environment["BUCKET"]
        for name, value in (("key", key), ("RESULTS_PREFIX", prefix), ("BUCKET", bucket)):
            try:
                value.encode()
            except UnicodeEncodeError:
                raise MisconfiguredError(f"the {name} is not valid UTF-8: {value!a}") from None
        refuse_loops(bucket=bucket, key=key, results_bucket=results_bucket, prefix=prefix)
        return cls(bucket, key, results_bucket, prefix)


class _Run(ABC):
    """One run; `stop` ends it from another thread, `clean` removes its scratch."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._stopped = threading.Event()
        self._stop_conversion = contextlib.ExitStack()
        self._scratch: Path | None = None
        self._started = time.monotonic()

    @abstractmethod
    def run(self) -> None:
        """Run, or find that it has been done.

        Raises:
            RefusalError: of the kind that its exit code says.
            StoppedError: `stop` was called.
        """

    def stop(self) -> None:
        """Make `run` end with `StoppedError` as soon as it can."""
        self._stopped.set()
        self._stop_conversion.close()

    def clean(self) -> None:
        """Remove the scratch files."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError

    def _convert(
        self, stream: "io.BufferedReader[io.RawIOBase]", source: Source | FileSource, parquet: Path
    ) -> Report:
        """Write the stream's table to `parquet`; returns the report but for the result."""
        received = time.monotonic()
        progress = Progress(sys.stderr)
        text = prepare(stream, parquet.parent / "text", self._options.encoding, progress.received)
        prepared = time.monotonic()
        # The threads of NumPy's linear algebra, which nothing here needs, begin by spinning.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        # Arrow takes a tenth of a second to import, and an object that is gone never needs it.
        from batch.convert import Conversion  # noqa: PLC0415

        conversion = Conversion(self._options, progress.converted)
        self._stop_conversion.callback(conversion.stop)
        self._check()
        try:
            converted = conversion.run(text, parquet)
        finally:
            self._stop_conversion.pop_all()
            progress.end()
        text.path.unlink()
        return Report(
            source=source,
            result=None,
            detected=converted.detected,
            rows=converted.rows,
            columns=converted.columns,
            rejected=converted.rejected,
            drift=converted.drift,
            bytes=text.size,
            seconds=0.0,
            phases={
                "read": round(prepared - received, 3),
                "convert": round(time.monotonic() - prepared, 3),
            },
        )

    def _finished(
        self, report: Report, result: Result | FileResult, written: float
    ) -> dict[str, object]:
        """Return the report's document with its result and its times."""
        return replace(
            report,
            result=result,
            seconds=round(time.monotonic() - self._started, 3),
            phases={**report.phases, "write": round(time.monotonic() - written, 3)},
        ).document()


class Ingest(_Run):
    """Ingests an object of S3."""

    def __init__(self, request: Request, options: Options | None = None) -> None:
        super().__init__(options or Options())
        self._request = request
        self._upload: store.Upload | None = None

    def run(self) -> None:
        """Run the object, or find that this version of it has been ingested."""
        # botocore takes longer to import than everything else a file at hand needs.
        from batch import store  # noqa: PLC0415

        request = self._request
        s3 = store.client()
        with contextlib.closing(s3), contextlib.ExitStack() as stack:
            stream = stack.enter_context(
                store.ObjectStream(s3, request.bucket, request.key, self._stopped)
            )
            source = stream.source
            keys = result_keys(
                request.prefix, source.bucket, source.key, source.version or source.etag
            )
            emit(
                {
                    "event": "started",
                    "source": f"s3://{source.bucket}/{source.key}",
                    "etag": source.etag,
                    "version": source.version,
                    "bytes": stream.size,
                }
            )
            if store.exists(s3, request.results_bucket, keys.report):
                emit({"event": "already done", "result": self._url(keys.parquet)})
                return
            self._upload = store.Upload(s3, request.results_bucket, self._stopped)
            self._scratch = Path(tempfile.mkdtemp(prefix="batch-", dir=os.environ.get("TMPDIR")))
            stack.callback(self.clean)
            parquet = self._scratch / "result.parquet"
            report = self._convert(
                io.BufferedReader(cast("io.RawIOBase", stream), BLOCK), source, parquet
            )
            self._write(self._upload, report, parquet, keys)

    def stop(self) -> None:
        """Make `run` end, and abort an unfinished upload."""
        super().stop()
        if self._upload is not None:
            self._upload.abort()

    def _write(
        self, upload: "store.Upload", report: Report, parquet: Path, keys: ResultKeys
    ) -> None:
        began = time.monotonic()
        upload.put_file(keys.parquet, parquet, "application/vnd.apache.parquet")
        result = Result(self._request.results_bucket, keys.parquet, parquet.stat().st_size)
        document = self._finished(report, result, began)
        upload.put(keys.report, _json(document), "application/json")
        _emit_result(document, report, self._url(keys.parquet), self._url(keys.report))

    def _url(self, key: str) -> str:
        return f"s3://{self._request.results_bucket}/{key}"


class FileIngest(_Run):
    """Ingests a file of this machine, without S3: into a folder."""

    def __init__(self, file: Path, out: Path, options: Options) -> None:
        super().__init__(options)
        self._file = file
        self._out = out

    def run(self) -> None:
        """Run the file; what was in the folder under these names is replaced."""
        try:
            opened = self._file.open("rb", buffering=0)
            self._out.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:
            raise GoneError(f"there is no file {self._file}") from error
        except OSError as error:
            raise MisconfiguredError(str(error)) from error
        with io.BufferedReader(cast("io.RawIOBase", opened), BLOCK) as stream:
            size = self._file.stat().st_size
            emit({"event": "started", "source": str(self._file), "bytes": size})
            self._scratch = Path(tempfile.mkdtemp(prefix=".batch-", dir=self._out))
            try:
                parquet = self._scratch / "result.parquet"
                report = self._convert(stream, FileSource(str(self._file)), parquet)
                self._write(report, parquet)
            finally:
                self.clean()

    def _write(self, report: Report, parquet: Path) -> None:
        began = time.monotonic()
        target, told = self._out / "result.parquet", self._out / "report.json"
        result = FileResult(str(target), parquet.stat().st_size)
        parquet.replace(target)
        document = self._finished(report, result, began)
        told.write_bytes(_json(document))
        _emit_result(document, report, str(target), str(told))


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def _emit_result(document: Mapping[str, object], report: Report, result: str, told: str) -> None:
    emit({"event": "report", **document})
    emit(
        {
            "event": "result",
            "rows": report.rows,
            "columns": len(report.columns),
            "rejected": report.rejected.count,
            "seconds": document["seconds"],
            "result": result,
            "report": told,
        }
    )
