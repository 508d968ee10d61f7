"""What is asked of the key of a bucket, topic or queue: each right both ways, over HTTP."""

import contextlib
import json
import uuid
from collections.abc import Callable, Generator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.services.iam import iam
from tests.local.probe import REGION

BUCKET, PLAIN, OTHER = "encrypted", "plain", "moved"
S3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
THROUGH_S3 = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
Use = Callable[[Any], object]


@pytest.fixture(scope="module")
def cloud() -> Generator[Cloud]:
    with Cloud(0, REGION) as opened:
        yield opened


@pytest.fixture(scope="module")
def key(cloud: Cloud) -> str:
    """The key of the two encrypted buckets, each with an object `there`."""
    arn: str = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    s3 = cloud.client("s3")
    rule = {
        "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": arn}
    }
    place = {"LocationConstraint": REGION}
    for name in (BUCKET, PLAIN, OTHER):
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)
        if name != PLAIN:
            s3.put_bucket_encryption(
                Bucket=name, ServerSideEncryptionConfiguration={"Rules": [rule]}
            )
        s3.put_object(Bucket=name, Key="there", Body=b"x")
    return arn


def begin(s3: Any) -> dict[str, str]:  # noqa: ANN401 - a boto3 client
    place = {"Bucket": BUCKET, "Key": "parts"}
    return {**place, "UploadId": s3.create_multipart_upload(**place)["UploadId"]}


def in_parts(s3: Any) -> None:  # noqa: ANN401 - a boto3 client
    upload = begin(s3)
    tag = s3.upload_part(**upload, PartNumber=1, Body=b"x")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": tag}]}
    s3.complete_multipart_upload(**upload, MultipartUpload=parts)


def copy(s3: Any) -> None:  # noqa: ANN401 - a boto3 client
    s3.copy_object(Bucket=PLAIN, Key="copy", CopySource={"Bucket": BUCKET, "Key": "there"})


USES: dict[str, tuple[Use, set[str]]] = {
    "reading": (lambda s3: s3.get_object(Bucket=BUCKET, Key="there")["Body"].read(), {"Decrypt"}),
    "writing": (
        lambda s3: s3.put_object(Bucket=BUCKET, Key="new", Body=b"x"),
        {"GenerateDataKey"},
    ),
    "writing in parts": (in_parts, {"Decrypt", "GenerateDataKey"}),
    "copying from it": (copy, {"Decrypt"}),
    "copying within": (
        lambda s3: s3.copy_object(
            Bucket=OTHER, Key="copy", CopySource={"Bucket": BUCKET, "Key": "there"}
        ),
        {"Decrypt", "GenerateDataKey"},
    ),
    "its checksum": (
        lambda s3: s3.head_object(Bucket=BUCKET, Key="there", ChecksumMode="ENABLED"),
        {"Decrypt"},
    ),
    "its size": (lambda s3: s3.list_objects_v2(Bucket=BUCKET), set()),
    "its tags": (lambda s3: s3.get_object_tagging(Bucket=BUCKET, Key="there"), set()),
    "a bucket without a key": (
        lambda s3: s3.put_object(Bucket=PLAIN, Key="new", Body=b"x"),
        set(),
    ),
}


@contextlib.contextmanager
def acting(cloud: Cloud, *statements: object, service: str = "s3") -> Generator[Any]:
    """A client whose role may do this."""
    roles, name = cloud.client("iam"), f"acting-{uuid.uuid4().hex[:8]}"
    trust = {
        "Effect": "Allow",
        "Principal": {"Service": "ecs-tasks.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = roles.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]
    roles.put_role_policy(RoleName=name, PolicyName="grants", PolicyDocument=_document(*statements))
    with cloud.scope():
        session = iam.start_session(role["Arn"], "ecs-tasks.amazonaws.com", "acting")
    make: Callable[..., Any] = boto3.Session().client
    client = make(
        service,
        region_name=REGION,
        endpoint_url=cloud.endpoint,
        aws_access_key_id=session.access_key_id,
        aws_secret_access_key=session.secret_access_key,
        aws_session_token=session.session_token,
    )
    with contextlib.closing(client):
        yield client


def _document(*statements: object) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _key_statement(key: str, actions: set[str], **more: object) -> dict[str, object]:
    named = [f"kms:{action}" for action in sorted(actions)]
    return {"Effect": "Allow", "Action": named, "Resource": key, **more}


@pytest.mark.slow
@pytest.mark.parametrize("name", USES)
def test_a_use_takes_just_these_rights_to_the_key(cloud: Cloud, key: str, name: str) -> None:
    use, needed = USES[name]
    allowed = [_key_statement(key, needed, Condition=THROUGH_S3)] if needed else []
    with acting(cloud, S3, *allowed) as s3:
        use(s3)
    for missing in sorted(needed):
        rest = [_key_statement(key, needed - {missing})] if needed - {missing} else []
        with (
            acting(cloud, S3, *rest) as s3,
            pytest.raises(ClientError, match=f"kms:{missing}|Forbidden"),
        ):
            use(s3)


def test_the_key_is_used_through_s3_of_its_region(cloud: Cloud, key: str) -> None:
    elsewhere = {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}
    statement = _key_statement(key, {"Decrypt"}, Condition=elsewhere)
    with acting(cloud, S3, statement) as s3, pytest.raises(ClientError, match="kms:Decrypt"):
        s3.get_object(Bucket=BUCKET, Key="there")


def test_the_keys_own_policy_must_let_the_account_decide(cloud: Cloud, key: str) -> None:
    kms = cloud.client("kms")
    before = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    other = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::444455556666:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=_document(other))
    try:
        with (
            acting(cloud, S3, _key_statement(key, {"Decrypt"})) as s3,
            pytest.raises(ClientError, match="kms:Decrypt"),
        ):
            s3.get_object(Bucket=BUCKET, Key="there")
    finally:
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=before)


def test_sending_to_a_topic_or_queue_takes_both_rights_to_its_key(cloud: Cloud, key: str) -> None:
    sealed = {"Attributes": {"KmsMasterKeyId": key}}
    topic = cloud.client("sns").create_topic(Name="sealed", **sealed)["TopicArn"]
    queue = cloud.client("sqs").create_queue(QueueName="sealed", **sealed)["QueueUrl"]
    uses: dict[str, Use] = {
        "sns": lambda sns: sns.publish(TopicArn=topic, Message="x"),
        "sqs": lambda sqs: sqs.send_message(QueueUrl=queue, MessageBody="x"),
    }
    both = {"Decrypt", "GenerateDataKey"}
    for service, use in uses.items():
        send = {"Effect": "Allow", "Action": f"{service}:*", "Resource": "*"}
        with acting(cloud, send, _key_statement(key, both), service=service) as client:
            use(client)
        for missing in sorted(both):
            with (
                acting(
                    cloud, send, _key_statement(key, both - {missing}), service=service
                ) as client,
                pytest.raises(ClientError, match=f"kms:{missing}"),
            ):
                use(client)
