"""Objects that start a job as they are uploaded: which there are, which have no result or failed.

What counts is what the stack's index says of its uploads: the patterns of their rules, and what is
excluded.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import runs
from .errors import FAILED, OperateError
from .stack import Index, Stack

ONLY = ("missing", "failed", "all")
_AT_ONCE = 16
# A key of S3's, and what `batch/` leaves of it for the digest and the ending of a result.
_READABLE_BYTES = 1024 - len(f"-{'x' * 32}.report.json")
_SAFE = frozenset("!-_.*'()/=@+, ")


@dataclass(frozen=True)
class Object:
    """An object, as S3 lists it."""

    bucket: str
    key: str
    size: int
    etag: str
    modified: datetime

    @property
    def detail(self) -> dict[str, Any]:
        """The `detail` of its upload's event, as far as the object still tells it."""
        return {
            "bucket": {"name": self.bucket},
            "object": {"key": self.key, "size": self.size, "etag": self.etag},
        }


@dataclass(frozen=True)
class Selection:
    """Which objects are meant."""

    prefixes: tuple[str, ...] = ("",)
    since: datetime | None = None
    """Not uploaded before."""
    until: datetime | None = None
    keys: tuple[str, ...] | None = None
    """These alone; None: all."""
    only: str = "missing"
    """missing: without a result that is newer; failed: whose last run failed; or all."""


def select(stack: Stack, job: str, want: Selection) -> list[Object]:
    """The objects that are meant, by bucket and key.

    Raises:
        OperateError: no upload starts the job's state machine, or a key is no such object.
    """
    sources = _sources(stack, job)
    found = _listed(stack, job, sources, want)
    found = [
        one
        for one in found
        if (want.since is None or one.modified >= want.since)
        and (want.until is None or one.modified <= want.until)
    ]
    if want.only == "missing":
        found = without_result(stack, job, found)
    elif want.only == "failed":
        failed = _failed(stack, job)
        found = [one for one in found if (one.bucket, one.key) in failed]
    return found


@dataclass(frozen=True)
class Source:
    """What an upload takes: a bucket, and tests of key and size."""

    bucket: str
    starts: tuple[str, ...]
    """What the keys that it takes begin with, one of these."""
    takes: Callable[[str, int], bool]


def _sources(stack: Stack, job: str) -> list[Source]:
    stack.job(job)
    found = [
        source_of(one, excluded=one.get("exclude", ()))
        for one in stack.filters.values()
        if one["starts"] == f"job-{job}"
    ]
    if not found:
        raise OperateError(
            f"no upload starts the state machine of {job}: only a job of an upload with"
            " `via: stateMachine` can be run for objects that are there already"
        )
    return found


def rules_for(stack: Stack, started: str, bucket: str, key: str, size: int) -> list[str]:
    """The rules, as they are now, by which an upload of that size starts `job-NAME`, or so."""
    uploads = stack.uploads
    return [
        rule
        for name, one in stack.filters.items()
        if one["starts"] == started
        and (source := source_of(one)).bucket == bucket
        and source.takes(key, size)
        and (rule := uploads[name].rule) is not None
    ]


def source_of(filter_: Index, excluded: Sequence[str] = ()) -> Source:
    """What an upload takes: of the stack's `filters`, but for keys that are excluded."""
    keys = [_key_test(one) for one in filter_.get("key") or [{"prefix": ""}]]
    sizes = [_size_test(one) for one in filter_.get("size") or [{"anything-but": []}]]
    never = [_wildcard(one) for one in excluded]

    def takes(key: str, size: int) -> bool:
        return (
            any(test(key) for _, test in keys)
            and any(test(size) for test in sizes)
            and not any(one.fullmatch(key) for one in never)
        )

    return Source(filter_["bucket"], tuple(start for start, _ in keys), takes)


def _key_test(condition: str | Mapping[str, Any]) -> tuple[str, Callable[[str], bool]]:
    """What a key begins with that meets a condition, and whether one does."""
    match condition:
        case str(key):
            return key, lambda one: one == key
        case {"prefix": str(prefix)}:
            return prefix, lambda one: one.startswith(prefix)
        case {"suffix": str(suffix)}:
            return "", lambda one: one.endswith(suffix)
        case {"wildcard": str(text)}:
            start = re.match(r"(?:[^*\\]|\\.)*", text, re.DOTALL)
            pattern = _wildcard(text)
            return _unescaped(start[0] if start else ""), lambda one: bool(pattern.fullmatch(one))
        case {"anything-but": {"wildcard": [*texts]}}:
            patterns = [_wildcard(one) for one in texts]
            return "", lambda one: not any(pattern.fullmatch(one) for pattern in patterns)
        case _:
            raise _unknown(condition)


def _size_test(condition: Mapping[str, Any]) -> Callable[[int], bool]:
    match condition:
        case {"anything-but": [*sizes]}:
            return lambda size: size not in sizes
        case {"numeric": [*parts]}:
            pairs = list(zip(parts[::2], parts[1::2], strict=True))
            return lambda size: all(_COMPARED[sign](size, number) for sign, number in pairs)
        case _:
            raise _unknown(condition)


_COMPARED: Mapping[str, Callable[[int, int], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    "=": lambda a, b: a == b,
}


def _unknown(condition: object) -> OperateError:
    return OperateError(
        f"an upload has the condition {json.dumps(condition)}, which is not known here: the stack"
        " is of another version than this tool",
        FAILED,
    )


def _wildcard(text: str) -> re.Pattern[str]:
    parts = re.findall(r"\\.|.", text, re.DOTALL)
    return re.compile(
        "".join(".*" if one == "*" else re.escape(_unescaped(one)) for one in parts), re.DOTALL
    )


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _listed(stack: Stack, job: str, sources: Iterable[Source], want: Selection) -> list[Object]:
    found: dict[tuple[str, str], Object] = {}
    for source in sources:
        if want.keys is None:
            listed = _below(stack, source.bucket, prefixes_of(source.starts, want.prefixes))
        else:
            listed = _named(stack, source.bucket, want.keys)
        for one in listed:
            if source.takes(one.key, one.size):
                found[one.bucket, one.key] = one
    if want.keys is not None:
        missing = sorted(set(want.keys) - {key for _, key in found})
        if missing:
            shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise OperateError(
                f"{len(missing)} of {len(set(want.keys))} keys are of no object whose upload"
                f" starts {job}: {shown}"
            )
    return [one for _, one in sorted(found.items())]


def prefixes_of(starts: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """What has to be listed to find all keys that begin with one of both, none of it twice."""
    both = {
        max(start, prefix, key=len)
        for start in starts
        for prefix in wanted
        if start.startswith(prefix) or prefix.startswith(start)
    }
    return [one for one in sorted(both) if not any(one.startswith(other) for other in both - {one})]


def _below(stack: Stack, bucket: str, prefixes: Iterable[str]) -> Iterator[Object]:
    pages = stack.aws.client("s3").get_paginator("list_objects_v2")
    for prefix in prefixes:
        for page in pages.paginate(Bucket=bucket, Prefix=prefix):
            yield from (_object(bucket, one) for one in page.get("Contents", []))


def _named(stack: Stack, bucket: str, keys: Iterable[str]) -> Iterator[Object]:
    """Asked for by a list, which the right to read objects is not needed for."""
    s3 = stack.aws.client("s3")

    def look(key: str) -> Object | None:
        found = s3.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", [])
        # Of those that begin with it, it is the first.
        return _object(bucket, found[0]) if found and found[0]["Key"] == key else None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from (one for one in pool.map(look, dict.fromkeys(keys)) if one is not None)


def _object(bucket: str, found: Mapping[str, Any]) -> Object:
    modified: datetime = found["LastModified"]
    etag = found["ETag"].strip('"')
    return Object(bucket, found["Key"], found["Size"], etag, modified.astimezone(UTC))


def without_result(stack: Stack, job: str, found: Sequence[Object]) -> list[Object]:
    """Those of which the job's folder of the results bucket has nothing that is newer.

    A result's name begins with the object's key, as far as that is safe in a name, after which it
    ends or goes on with `-`, `.` or `/`: as `batch/` names its results.
    """
    bucket, folder = stack.results_bucket, f"{stack.results_prefix}{job}/"
    stems = {one: stem_of(one.key, folder) for one in found}
    known = set(stems.values())
    newest: dict[str, datetime] = {}
    prefix = _common(stems.values())
    for one in _below(stack, bucket, [f"{folder}{prefix}"] if known else []):
        stem = result_of(one.key.removeprefix(folder), known)
        if stem is not None:
            newest[stem] = max(one.modified, newest.get(stem, one.modified))
    return [one for one in found if stems[one] not in newest or newest[stems[one]] < one.modified]


def stem_of(key: str, folder: str) -> str:
    """What the names of an object's results begin with, below the job's folder."""
    text = "".join(c if c.isalnum() or c in _SAFE else "_" for c in key)
    text = "/".join("_" if part in {"", ".", ".."} else part for part in text.split("/"))
    return text.encode()[: _READABLE_BYTES - len(folder.encode())].decode(errors="ignore")


def result_of(name: str, stems: set[str]) -> str | None:
    """The longest of the stems that a result's name begins with."""
    ends = [len(name), *(place.start() for place in re.finditer(r"[-./]", name))]
    return next((name[:end] for end in sorted(ends, reverse=True) if name[:end] in stems), None)


def _common(texts: Iterable[str]) -> str:
    every = sorted(set(texts))
    if not every:
        return ""
    first, last = every[0], every[-1]
    length = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:length]


def _failed(stack: Stack, job: str) -> set[tuple[str, str]]:
    """The objects whose last run ended and did not succeed."""
    last: dict[tuple[str, str], runs.Run] = {}
    since = datetime.now(UTC) - runs.OLDEST
    for run in runs.recent(stack, runs.Filter(job=job), since=since):
        if run.object is not None:
            last.setdefault(run.object, run)
    return {about for about, run in last.items() if run.failed}
