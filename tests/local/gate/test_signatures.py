"""Signatures with the credentials of the README: URLs and forms that S3 takes for a while."""

import base64
import datetime as dt
import json
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local.cloud import Cloud
from local.services.iam import iam
from tests.local.gate.conftest import BUCKET
from tests.local.gate.raw import fetch, form
from tests.local.probe import REGION

KEYS = [
    "plain.csv",
    "a b+c.csv",
    "of%2Fthree/日本 é.csv",
    'it\'s (1) & "2"#?.csv',
    "/a//b/",
    "~-._!*'()",
]


def client(cloud: Cloud, *, style: str = "path", version: str = "s3v4") -> Any:  # noqa: ANN401 - boto3's
    endpoint = f"http://localhost:{cloud.port}" if style == "virtual" else cloud.endpoint
    make: Any = boto3.Session("test", "test", region_name=REGION).client
    addressing: Any = {"addressing_style": style}
    config = Config(signature_version=version, s3=addressing, proxies={})
    return make("s3", endpoint_url=endpoint, config=config)


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("key", KEYS)
def test_a_presigned_url_puts_and_gets_its_object(cloud: Cloud, key: str, style: str) -> None:
    s3 = client(cloud, style=style)
    where = {"Bucket": BUCKET, "Key": f"{style}/{key}"}
    put = s3.generate_presigned_url("put_object", where, ExpiresIn=60)
    assert ("uploads.localhost" in put) == (style == "virtual")
    assert "X-Amz-Signature" in put
    assert fetch(put, "PUT", key.encode())[0] == 200
    assert cloud.client("s3").get_object(**where)["Body"].read() == key.encode()
    assert fetch(s3.generate_presigned_url("get_object", where)) == (200, key.encode())
    assert fetch(put)[0] == 403, "of another method"
    assert fetch(put.replace(style, "other"), "PUT", b"x")[0] == 403, "of another key"


def test_a_presigned_url_of_signature_version_2_works_too(cloud: Cloud) -> None:
    s3 = client(cloud, version="s3")
    where = {"Bucket": BUCKET, "Key": "version 2"}
    put = s3.generate_presigned_url("put_object", where)
    assert "AWSAccessKeyId=test" in put
    assert fetch(put, "PUT", b"2")[0] == 200
    assert fetch(s3.generate_presigned_url("get_object", where)) == (200, b"2")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_url_is_over_after_its_time(cloud: Cloud, version: str) -> None:
    s3 = client(cloud, version=version)
    with pytest.MonkeyPatch.context() as patch:
        two_minutes_ago = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
        patch.setattr("botocore.auth.get_current_datetime", lambda: two_minutes_ago)
        patch.setattr("time.time", two_minutes_ago.timestamp)
        where = {"Bucket": BUCKET, "Key": "plain.csv"}
        url = s3.generate_presigned_url("get_object", where, ExpiresIn=60)
    status, body = fetch(url)
    assert (status, b"Request has expired" in body) == (403, True)


def test_a_signature_that_can_be_none_is_told_as_such(cloud: Cloud) -> None:
    where = f"{cloud.endpoint}/{BUCKET}/plain.csv"
    url = client(cloud).generate_presigned_url("get_object", {"Bucket": BUCKET, "Key": "plain.csv"})
    _, _, signature = url.rpartition("=")
    version_2 = f"{where}?AWSAccessKeyId=test&Signature=a"
    urls = [
        url.replace(signature, "%E6%97%A5"),
        url.replace("Expires=3600", "Expires=%C2%B2"),
        version_2,
        f"{version_2}&Expires=soon",
        f"{version_2}&Expires=nan",
        f"{version_2}&Expires=%D9%A3%D9%A3",
    ]
    for one in urls:
        status, body = fetch(one)
        assert (status, b"<Error><Code>" in body) == (403, True), one
    signed = f"AWS4-HMAC-SHA256 Credential=test/20260401/{REGION}/s3/aws4_request"
    status, body = fetch(where, Authorization=f"{signed}, SignedHeaders=host, Signature=\xe9")
    assert (status, b"SignatureDoesNotMatch" in body) == (403, True)


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize("key", KEYS)
def test_a_form_with_a_policy_posts_its_object(cloud: Cloud, key: str, style: str) -> None:
    post = client(cloud, style=style).generate_presigned_post(BUCKET, f"form/{style}/{key}")
    assert form(post["url"], post["fields"], b"rows")[0] == 204
    found = cloud.client("s3").get_object(Bucket=BUCKET, Key=f"form/{style}/{key}")
    assert found["Body"].read() == b"rows"
    other = {**post["fields"], "key": "another"}
    assert form(post["url"], other, b"rows")[0] == 403


def test_a_form_without_a_signature_is_refused(cloud: Cloud) -> None:
    url = f"{cloud.endpoint}/{BUCKET}"
    for fields in (
        {"key": "a"},
        {"key": "a", "policy": "e30="},
        {"key": "a", "acl": "public-read"},
    ):
        status, body = form(url, fields, b"rows")
        assert (status, b"AccessDenied" in body) == (403, True)


def test_a_form_of_any_number_of_bytes_is_told_what_is_wrong(cloud: Cloud) -> None:
    policy = {
        "expiration": "2099-01-01T00:00:00Z",
        "conditions": [["content-length-range", 0, float("inf")]],
    }
    document = json.dumps(policy).replace("Infinity", "1e999").encode()
    fields = {
        "key": "a",
        "policy": base64.b64encode(document).decode(),
        "x-amz-signature": "0" * 64,
    }
    status, body = form(f"{cloud.endpoint}/{BUCKET}", fields, b"rows")
    assert (status, b"InvalidPolicyDocument" in body) == (400, True)


@pytest.mark.parametrize("value", ["a%0D%0ASet-Cookie:%20a=b", "a%00", "%0B"])
def test_an_answer_has_no_header_that_is_none(cloud: Cloud, value: str) -> None:
    cloud.client("s3").put_object(Bucket=BUCKET, Key="headers", Body=b"rows")
    url = f"{cloud.endpoint}/{BUCKET}/headers?response-content-type={value}"
    signed = f"AWS4-HMAC-SHA256 Credential=test/20260401/{REGION}/s3/aws4_request"
    status, body = fetch(url, Authorization=f"{signed}, SignedHeaders=host, Signature=0")
    assert (status, b"InvalidArgument" in body) == (400, True)


def test_a_presigned_url_of_a_task_does_what_the_task_may(cloud: Cloud) -> None:
    roles = cloud.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    grant = {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/mine/*",
    }
    roles.create_role(
        RoleName="signer",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )
    roles.put_role_policy(
        RoleName="signer",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [grant]}),
    )
    arn = f"arn:aws:iam::{cloud.account}:role/signer"
    session = iam.start_session(arn, "ecs-tasks.amazonaws.com", "task")
    make: Any = boto3.Session(
        session.access_key_id, session.secret_access_key, session.session_token, region_name=REGION
    ).client
    config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
    s3 = make("s3", endpoint_url=cloud.endpoint, config=config)
    own = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "mine/a"})
    others = s3.generate_presigned_url("put_object", {"Bucket": BUCKET, "Key": "others/a"})
    assert fetch(own, "PUT", b"x")[0] == 200
    assert fetch(others, "PUT", b"x")[0] == 403
    post = s3.generate_presigned_post(BUCKET, "others/b")
    assert form(post["url"], post["fields"], b"x")[0] == 403
