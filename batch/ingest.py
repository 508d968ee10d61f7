"""BUCKET and key → scratch disk → DuckDB → Parquet, then the report that says it is complete."""

import contextlib
import io
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from batch import store
from batch.exits import MisconfiguredError
from batch.log import emit
from batch.report import Converted, Format, Report, Result, Source
from batch.results import ResultKeys, refuse_loops, result_keys
from batch.sniff import SAMPLE, Csv, JsonLines, sniff
from batch.text import BLOCK, Text, prepare


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


class Ingest:
    """One run for one request; `stop` ends it from another thread, `clean` removes its scratch."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._stopped = threading.Event()
        self._upload: store.Upload | None = None
        self._stop_conversion: contextlib.ExitStack = contextlib.ExitStack()
        self._scratch: Path | None = None

    def run(self) -> None:
        """Ingest the object, or find that this version of it has been ingested.

        Raises:
            RefusalError: of the kind that its exit code says.
            StoppedError: `stop` was called.
        """
        started = time.monotonic()
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
            self._scratch = Path(tempfile.mkdtemp(prefix="batch-"))
            stack.callback(self.clean)
            self._ingest(stream, source, keys, self._scratch, started)

    def stop(self) -> None:
        """Make `run` end with `StoppedError` as soon as it can, and abort an unfinished upload."""
        self._stopped.set()
        self._stop_conversion.close()
        if self._upload is not None:
            self._upload.abort()

    def clean(self) -> None:
        """Remove the scratch files."""
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _ingest(
        self,
        stream: store.ObjectStream,
        source: Source,
        keys: ResultKeys,
        scratch: Path,
        started: float,
    ) -> None:
        received = time.monotonic()
        text = prepare(io.BufferedReader(stream, BLOCK), scratch / "text")
        with text.path.open("rb") as file:
            sample = file.read(SAMPLE)
        kind = sniff(sample, whole=text.size <= SAMPLE)
        prepared = time.monotonic()
        parquet = scratch / "result.parquet"
        converted = self._convert(text, kind, parquet, scratch)
        finished = time.monotonic()
        text.path.unlink()
        upload = self._upload
        assert upload is not None  # noqa: S101 - set by run, which is the only caller
        upload.put_file(keys.parquet, parquet, "application/vnd.apache.parquet")
        report = Report(
            source=source,
            result=Result(self._request.results_bucket, keys.parquet, parquet.stat().st_size),
            detected=_format(text, kind),
            rows=converted.rows,
            columns=converted.columns,
            rejected=converted.rejected,
            bytes=text.size,
            seconds=round(time.monotonic() - started, 3),
            phases={
                "read": round(prepared - received, 3),
                "convert": round(finished - prepared, 3),
                "write": round(time.monotonic() - finished, 3),
            },
        )
        document = report.document()
        upload.put(
            keys.report,
            json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n",
            "application/json",
        )
        emit({"event": "report", **document})
        emit(
            {
                "event": "result",
                "rows": converted.rows,
                "columns": len(converted.columns),
                "rejected": converted.rejected.count,
                "seconds": report.seconds,
                "result": self._url(keys.parquet),
                "report": self._url(keys.report),
            }
        )

    def _convert(
        self, text: Text, kind: Csv | JsonLines, parquet: Path, scratch: Path
    ) -> Converted:
        # DuckDB takes a tenth of a second to import, and a refused object never needs it.
        from batch.convert import Conversion  # noqa: PLC0415

        with contextlib.closing(Conversion(scratch)) as conversion:
            self._stop_conversion.callback(conversion.stop)
            if self._stopped.is_set():
                conversion.stop()
            try:
                return conversion.run(text, kind, parquet)
            finally:
                self._stop_conversion.pop_all()

    def _url(self, key: str) -> str:
        return f"s3://{self._request.results_bucket}/{key}"


def _format(text: Text, kind: Csv | JsonLines) -> Format:
    csv = kind if isinstance(kind, Csv) else None
    return Format(
        format="csv" if csv else "json lines",
        encoding=text.encoding,
        compression=text.compression,
        delimiter=csv.delimiter if csv else None,
        header=csv.header if csv else None,
    )
