"""Objects in files: read, cut, copied or joined, the bytes are those that were sent."""

import asyncio
import base64
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

import local.cloud
from local.cloud import Cloud
from local.gate import Message
from local.ministack.objects import Body, received
from local.ministack.requests import BadRequest
from local.services.iam import iam
from tests.local.probe import REGION

MEGABYTE = 1 << 20
SENT = hashlib.shake_256(b"rows").digest(3 * MEGABYTE + 7)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.cloud, "_PARTS", (iam,))
        with Cloud(0, REGION) as opened:
            s3 = opened.client("s3")
            where = {"LocationConstraint": REGION}
            s3.create_bucket(Bucket="objects", CreateBucketConfiguration=where)
            yield opened


@pytest.fixture
def s3(cloud: Cloud) -> Any:  # noqa: ANN401 - boto3's client
    return cloud.client("s3")


def read(s3: Any, key: str, **which: Any) -> bytes:  # noqa: ANN401
    body: bytes = s3.get_object(Bucket="objects", Key=key, **which)["Body"].read()
    return body


def files(cloud: Cloud) -> list[Path]:
    return list((cloud.instance.folder / "scratch" / "objects").iterdir())


def test_an_object_is_read_whole_and_in_part(s3: Any) -> None:  # noqa: ANN401
    sent = s3.put_object(Bucket="objects", Key="whole", Body=SENT)
    assert sent["ETag"] == f'"{hashlib.md5(SENT).hexdigest()}"'  # noqa: S324
    assert read(s3, "whole") == SENT
    for wanted, expected in {
        "bytes=0-0": SENT[:1],
        "bytes=1048570-2097160": SENT[1048570:2097161],
        "bytes=-5": SENT[-5:],
        "bytes=3145730-": SENT[3145730:],
    }.items():
        assert read(s3, "whole", Range=wanted) == expected
    assert s3.head_object(Bucket="objects", Key="whole")["ContentLength"] == len(SENT)


def crc32c(data: bytes) -> int:
    # https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = (found >> 1) ^ (0x82F63B78 * (found & 1))
    return found ^ 0xFFFFFFFF


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_checksum_is_that_of_the_bytes(s3: Any, algorithm: str) -> None:  # noqa: ANN401
    part = SENT[: MEGABYTE // 3]
    digests = {
        "CRC32": base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode(),
        "CRC32C": base64.b64encode(crc32c(part).to_bytes(4, "big")).decode(),
        "SHA1": base64.b64encode(hashlib.sha1(part).digest()).decode(),  # noqa: S324
        "SHA256": base64.b64encode(hashlib.sha256(part).digest()).decode(),
    }
    given = {f"Checksum{algorithm}": digests[algorithm]}
    s3.put_object(Bucket="objects", Key="checked", Body=part, **given)
    head = s3.head_object(Bucket="objects", Key="checked", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == digests[algorithm]
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket="objects", Key="checked", Body=part[1:], **given)


def test_a_wrong_md5_is_refused(s3: Any) -> None:  # noqa: ANN401
    right = base64.b64encode(hashlib.md5(SENT).digest()).decode()  # noqa: S324
    s3.put_object(Bucket="objects", Key="md5", Body=SENT, ContentMD5=right)
    for body in (b"", b"\0"):
        wrong = base64.b64encode(hashlib.md5(body).digest()).decode()  # noqa: S324
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket="objects", Key="md5", Body=SENT, ContentMD5=wrong)
    with pytest.raises(ClientError, match="InvalidDigest"):
        s3.put_object(Bucket="objects", Key="md5", Body=SENT, ContentMD5="short")


def test_versions_and_copies_keep_the_bytes_they_had(s3: Any, cloud: Cloud) -> None:  # noqa: ANN401
    s3.create_bucket(Bucket="versions", CreateBucketConfiguration={"LocationConstraint": REGION})
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration=enabled)
    first = s3.put_object(Bucket="versions", Key="a", Body=SENT)["VersionId"]
    s3.put_object(Bucket="versions", Key="a", Body=b"later")
    source = {"Bucket": "versions", "Key": "a", "VersionId": first}
    s3.copy_object(Bucket="objects", Key="copied", CopySource=source)
    kept = len(files(cloud))
    s3.delete_object(Bucket="versions", Key="a", VersionId=first)
    assert read(s3, "copied") == SENT
    assert len(files(cloud)) == kept
    s3.delete_object(Bucket="objects", Key="copied")
    assert len(files(cloud)) == kept - 1


PARTS = (SENT[: 2 * MEGABYTE], SENT[2 * MEGABYTE :], b"end")


def upload(s3: Any, key: str, **about: Any) -> tuple[str, list[dict[str, Any]]]:  # noqa: ANN401
    """Send the parts, and return the upload's id and what completes it."""
    begun = s3.create_multipart_upload(Bucket="objects", Key=key, **about)["UploadId"]
    where = {"Bucket": "objects", "Key": key, "UploadId": begun}
    algorithm = about.get("ChecksumAlgorithm")
    chosen = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    parts: list[dict[str, Any]] = []
    for number, body in enumerate(PARTS, 1):
        sent = s3.upload_part(**where, PartNumber=number, Body=body, **chosen)
        named = {name: sent[name] for name in ("ETag", f"Checksum{algorithm}") if name in sent}
        parts.append({"PartNumber": number, **named})
    return begun, parts


def test_parts_are_one_object(s3: Any) -> None:  # noqa: ANN401
    begun, parts = upload(s3, "p", Metadata={"of": "x"}, ContentType="text/csv")
    where = {"Bucket": "objects", "Key": "p", "UploadId": begun}
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    etags = b"".join(hashlib.md5(part).digest() for part in PARTS)  # noqa: S324
    assert done["ETag"] == f'"{hashlib.md5(etags).hexdigest()}-3"'  # noqa: S324
    assert done["Key"] == "p"
    found = s3.get_object(Bucket="objects", Key="p")
    assert (found["ContentType"], found["Metadata"]) == ("text/csv", {"of": "x"})
    assert found["Body"].read() == SENT + b"end"
    assert read(s3, "p", Range="bytes=2097150-3145736") == (SENT + b"end")[2097150:3145737]
    assert read(s3, "p", PartNumber=2) == PARTS[1]
    again = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert again["ETag"] == done["ETag"]
    about = s3.get_object_attributes(
        Bucket="objects", Key="p", ObjectAttributes=["ObjectParts", "ObjectSize"]
    )
    assert (about["ObjectSize"], about["ObjectParts"]["TotalPartsCount"]) == (len(SENT) + 3, 3)


def test_the_checksum_of_parts_is_made_of_theirs(s3: Any) -> None:  # noqa: ANN401
    begun, parts = upload(s3, "c", ChecksumAlgorithm="SHA256")
    where = {"Bucket": "objects", "Key": "c", "UploadId": begun}
    done = s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    theirs = b"".join(hashlib.sha256(part).digest() for part in PARTS)
    own = base64.b64encode(hashlib.sha256(theirs).digest()).decode()
    assert (done["ChecksumSHA256"], done["ChecksumType"]) == (f"{own}-3", "COMPOSITE")


def test_a_part_can_be_a_stretch_of_another_object(s3: Any) -> None:  # noqa: ANN401
    s3.put_object(Bucket="objects", Key="source", Body=SENT)
    begun = s3.create_multipart_upload(Bucket="objects", Key="s")["UploadId"]
    where = {"Bucket": "objects", "Key": "s", "UploadId": begun}
    copied = s3.upload_part_copy(
        **where, PartNumber=1, CopySource="objects/source", CopySourceRange="bytes=5-2097156"
    )
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    s3.delete_object(Bucket="objects", Key="source")
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    assert read(s3, "s") == SENT[5:2097157]


def test_an_upload_that_is_not_as_it_says_is_not_completed(s3: Any) -> None:  # noqa: ANN401
    begun, parts = upload(s3, "w", ChecksumAlgorithm="SHA256")
    where = {"Bucket": "objects", "Key": "w", "UploadId": begun}
    first, second, third = parts
    for named, code in (
        ([second, first, third], "InvalidPartOrder"),
        ([first, first], "InvalidPartOrder"),
        ([first, {**second, "ETag": first["ETag"]}], "InvalidPart"),
        ([first, {**second, "ChecksumSHA256": first["ChecksumSHA256"]}], "InvalidPart"),
        ([first, {**third, "PartNumber": 4}], "InvalidPart"),
        ([], "MalformedXML"),
    ):
        with pytest.raises(ClientError, match=code):
            s3.complete_multipart_upload(**where, MultipartUpload={"Parts": named})
    for wrong in (
        {"MpuObjectSize": 5},
        {"ChecksumSHA256": first["ChecksumSHA256"]},
        {"IfMatch": '"none"'},
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    ):
        with pytest.raises(ClientError):
            s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts}, **wrong)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.complete_multipart_upload(**{**where, "Key": "other"}, MultipartUpload={"Parts": parts})
    with pytest.raises(ClientError, match="NoSuchKey"):
        read(s3, "w")


CHUNKED = (
    b"4;chunk-signature=00\r\nrows\r\n5\r\n\r\n\r\nx\r\n0\r\nx-amz-checksum-crc32:AA==\r\n\r\n"
)
IN_CHUNKS = {
    "content-encoding": "aws-chunked, gzip",
    "x-amz-decoded-content-length": "9",
    "x-amz-trailer": "x-amz-checksum-crc32",
}


def receive(
    folder: Path, sent: bytes, headers: dict[str, str], size: int = 1 << 16
) -> bytes | Body:
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)] or [b""]

    async def next_one() -> Message:
        body = pieces.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(pieces)}

    return asyncio.run(received(next_one, headers, folder))


@pytest.mark.parametrize("size", range(1, len(CHUNKED) + 1))
def test_chunks_are_put_together_however_they_arrive(tmp_path: Path, size: int) -> None:
    headers = dict(IN_CHUNKS)
    assert receive(tmp_path, CHUNKED, headers, size) == b"rows\r\n\r\nx"
    assert headers["content-encoding"] == "gzip"
    assert headers["x-amz-checksum-crc32"] == "AA=="


def test_long_chunks_are_put_together_in_a_file(tmp_path: Path) -> None:
    ends = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SENT), SENT)
    found = receive(tmp_path, ends, {"x-amz-decoded-content-length": str(len(SENT))})
    assert isinstance(found, Body)
    assert bytes(found) == SENT
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("sent", "headers"),
    [
        (CHUNKED[:-1], {}),
        (CHUNKED[:-2], {}),
        (CHUNKED[:20], {}),
        (CHUNKED.replace(b"4;", b"3;"), {}),
        (CHUNKED.replace(b"4;", b"-4;"), {}),
        (CHUNKED.replace(b"4;", b";"), {}),
        (CHUNKED.replace(b":AA==", b""), {}),
        (b"4" * 20_000, {}),
        (CHUNKED + b"x" * 20_000, {}),
        (CHUNKED, {"x-amz-decoded-content-length": "10"}),
        (CHUNKED, {"x-amz-trailer": "x-amz-checksum-sha1"}),
        (CHUNKED, {"content-length": "10"}),
    ],
)
def test_chunks_that_are_broken_are_an_incomplete_body(
    tmp_path: Path, sent: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(BadRequest) as refused:
        receive(tmp_path, sent, {**IN_CHUNKS, **headers})
    assert refused.value.code == "IncompleteBody"
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_no_more_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="No such file or directory") as refused:
        receive(tmp_path / "gone", SENT, {})
    assert refused.value.status == 500
