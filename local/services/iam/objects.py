"""What a request to S3 asks of the key that its objects are encrypted with.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from local.ministack import internals
from local.services.iam.permissions import Permission

_KEY = "x-amz-server-side-encryption-aws-kms-key-id"
_ABOUT_AN_OBJECT = {"acl", "attributes", "legal-hold", "retention", "tagging", "torrent"}


def key_permissions(
    method: str,
    place: tuple[str, str],
    headers: Mapping[str, str],
    query: Mapping[str, object],
    region: str,
) -> Sequence[Permission]:
    """The permissions on KMS keys that a request about the object `place`, bucket and key, takes.

    They are asked of whoever makes the request; S3 makes the calls for them.
    """
    if _ABOUT_AN_OBJECT & query.keys():
        return ()
    bucket, _ = place
    asked: list[tuple[str, str | None]] = []
    match method:
        case "GET" if "uploadId" not in query:
            asked.append(("Decrypt", _of_object(*place)))
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        case "HEAD" if headers.get("x-amz-checksum-mode"):
            asked.append(("Decrypt", _of_object(*place)))
        # A part is encrypted with the data key that the upload began with:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
        case "PUT" | "POST" if "uploadId" in query:
            asked.append(("Decrypt", _of_write(headers, bucket)))
        case "PUT" | "POST" if method == "PUT" or "uploads" in query:
            asked.append(("GenerateDataKey", _of_write(headers, bucket)))
        case _:
            pass
    if source := headers.get("x-amz-copy-source"):
        from_bucket, _, from_key = source.partition("?")[0].lstrip("/").partition("/")
        asked.append(("Decrypt", _of_object(from_bucket, from_key)))
    through = {"kms:ViaService": f"s3.{region}.amazonaws.com"}
    return [Permission(f"kms:{action}", arn, {**through}) for action, arn in asked if arn]


def _of_object(bucket: str, key: str) -> str | None:
    found = internals.buckets().get_scoped(internals.account(), None, bucket)
    record = cast("Mapping[str, Any]", (found or {"objects": {}})["objects"].get(key) or {})
    return _arn(record.get("preserved_headers", {}).get(_KEY))


def _of_write(headers: Mapping[str, str], bucket: str) -> str | None:
    chosen, _ = internals.encryption_of_write(headers, bucket)
    return _arn((chosen or {}).get(_KEY))


def _arn(named: str | None) -> str | None:
    if not named:
        return None
    key = internals.kms_key(named)
    return cast("str", key["Arn"]) if key else named
