"""Bucket, key and version → the keys of the result, and the refusal to trigger oneself again."""

import hashlib
from dataclasses import dataclass

from batch.exits import MisconfiguredError

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
KEY_BYTES = 1024
_PARQUET = ".parquet"
_REPORT = ".report.json"
_DIGEST = 32
_SAFE = frozenset("!-_.*'()/=@+, ")


@dataclass(frozen=True)
class ResultKeys:
    """Where the result of one object version goes: both keys in the results bucket."""

    parquet: str
    report: str


def result_keys(prefix: str, bucket: str, key: str, version: str) -> ResultKeys:
    """Return the keys for one version of one object: the same every time, and no one else's.

    The key stays readable as far as it is safe and fits; the digest of bucket, key and version
    behind it keeps apart what that makes alike. `version` is the version id, or the ETag of an
    object in a bucket without versions. Both keys are at most 1,024 bytes of UTF-8.
    """
    digest = hashlib.sha256(f"{bucket}\0{key}\0{version}".encode()).hexdigest()[:_DIGEST]
    room = KEY_BYTES - len(prefix.encode()) - len("-") - _DIGEST - len(_REPORT)
    if room < 0:
        raise MisconfiguredError(
            f"RESULTS_PREFIX is {len(prefix.encode())} bytes long, which leaves no room for a name"
            f" in the {KEY_BYTES} bytes of a key: shorten it"
        )
    readable = _readable(key).encode()[:room].decode(errors="ignore")
    stem = f"{prefix}{readable}-{digest}"
    return ResultKeys(parquet=stem + _PARQUET, report=stem + _REPORT)


def _readable(key: str) -> str:
    text = "".join(c if c.isalnum() or c in _SAFE else "_" for c in key)
    return "/".join("_" if part in {"", ".", ".."} else part for part in text.split("/"))


def refuse_loops(*, bucket: str, key: str, results_bucket: str, prefix: str) -> None:
    """Raise `MisconfiguredError` where the result would be an upload that starts the job again.

    The trigger's filter is not known here, but it matched `key`, so it may match whatever else
    lies in the same top folder; a key outside every folder was matched by a filter without one.
    """
    if bucket != results_bucket:
        return
    here = f"the results bucket is the upload bucket {bucket}"
    if not prefix:
        raise MisconfiguredError(
            f"{here} and RESULTS_PREFIX is empty, so the result would start this job again:"
            " set RESULTS_PREFIX to a folder that no upload trigger watches, or use another bucket"
        )
    if key.startswith(prefix):
        raise MisconfiguredError(
            f"{here} and {key} lies under RESULTS_PREFIX {prefix}, so it is a result and not an"
            " upload: keep the trigger's filter away from it, or use another bucket"
        )
    folder, slash, _ = key.partition("/")
    if prefix.startswith(folder + slash) or not slash:
        raise MisconfiguredError(
            f"{here} and RESULTS_PREFIX {prefix} lies where {key} was uploaded,"
            f" so the result would start this job again: use another bucket, or a top folder"
            " of its own for the uploads and for RESULTS_PREFIX"
        )
