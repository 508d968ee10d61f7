"""Signatures with the credentials of the README: URLs and forms that S3 takes for a while."""

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


def test_a_presigned_url_is_over_after_its_time(cloud: Cloud) -> None:
    s3 = client(cloud)
    with pytest.MonkeyPatch.context() as patch:
        two_minutes_ago = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=2)
        patch.setattr("botocore.auth.get_current_datetime", lambda: two_minutes_ago)
        where = {"Bucket": BUCKET, "Key": "plain.csv"}
        url = s3.generate_presigned_url("get_object", where, ExpiresIn=60)
    status, body = fetch(url)
    assert (status, b"Request has expired" in body) == (403, True)


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
