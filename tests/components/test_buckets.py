"""The two buckets: how they are hardened, what tells EventBridge, what an existing one keeps."""

from typing import Any

import pulumi_aws as aws
import pytest

from components import ResultsBucket, UploadBucket
from tests.components.parts import allows, names, outputs
from tests.recorder import Recording, deploy, one

KINDS = [UploadBucket, ResultsBucket]
ENCRYPTION = "BucketServerSideEncryptionConfiguration"
HARDENED = {
    ("Bucket", "files"),
    ("BucketLifecycleConfiguration", "files"),
    ("BucketOwnershipControls", "files"),
    ("BucketPolicy", "files"),
    ("BucketPublicAccessBlock", "files"),
    ("BucketServerSideEncryptionConfiguration", "files"),
    ("BucketVersioning", "files"),
}


def bucket(kind: Any, *, preview: bool = False, **args: Any) -> Recording:  # noqa: ANN401 one of KINDS, its Args
    return deploy(lambda: kind("files", args), preview=preview)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_is_private_encrypted_versioned_and_tls_only(kind: type) -> None:
    resources = bucket(kind).resources
    assert one(resources, type="BucketPublicAccessBlock").inputs == {
        "bucket": "files-1a2b3c4",
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }
    assert one(resources, type="BucketServerSideEncryptionConfiguration").inputs == {
        "bucket": "files-1a2b3c4",
        "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
    }
    assert one(resources, type="BucketVersioning").inputs == {
        "bucket": "files-1a2b3c4",
        "versioningConfiguration": {"status": "Enabled"},
    }
    assert one(resources, type="BucketOwnershipControls").inputs == {
        "bucket": "files-1a2b3c4",
        "rule": {"objectOwnership": "BucketOwnerEnforced"},
    }
    policy = one(resources, type="BucketPolicy")
    assert policy.inputs["bucket"] == "files-1a2b3c4"
    assert policy.document("policy") == allows(
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": ["arn:aws:s3:::files-1a2b3c4", "arn:aws:s3:::files-1a2b3c4/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )


def rules(**args: Any) -> dict[str, Any]:  # noqa: ANN401 any key of the Args
    made = one(bucket(UploadBucket, **args).resources, type="BucketLifecycleConfiguration")
    assert all(r["status"] == "Enabled" for r in made.inputs["rules"])
    assert all(r["filter"] == {"prefix": ""} for r in made.inputs["rules"])
    kept = {"id", "status", "filter"}
    return {
        rule["id"]: {key: value for key, value in rule.items() if key not in kept}
        for rule in made.inputs["rules"]
    }


def test_objects_overwritten_versions_and_unfinished_uploads_expire() -> None:
    assert rules(retention_days=90) == {
        "abort-incomplete-uploads": {"abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}},
        "expire-overwritten-versions": {"noncurrentVersionExpiration": {"noncurrentDays": 90}},
        "expire-objects": {"expiration": {"days": 90}},
    }


def test_objects_are_kept_unless_told_otherwise() -> None:
    assert rules() == {
        "abort-incomplete-uploads": {"abortIncompleteMultipartUpload": {"daysAfterInitiation": 7}},
        "expire-overwritten-versions": {"noncurrentVersionExpiration": {"noncurrentDays": 30}},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_protected_bucket_is_never_emptied(kind: type) -> None:
    protected = one(bucket(kind).resources, type="Bucket")
    assert (protected.protect, protected.inputs) == (True, {"forceDestroy": False})
    unprotected = one(bucket(kind, protect=False).resources, type="Bucket")
    assert (unprotected.protect, unprotected.inputs) == (False, {"forceDestroy": True})


@pytest.mark.parametrize("preview", [False, True])
def test_only_the_upload_bucket_tells_eventbridge(*, preview: bool) -> None:
    recording = bucket(UploadBucket, preview=preview)
    assert names(recording, "UploadBucket") == HARDENED | {("BucketNotification", "files")}
    assert one(recording.resources, type="BucketNotification").inputs["eventbridge"] is True
    assert names(bucket(ResultsBucket, preview=preview), "ResultsBucket") == HARDENED


def test_an_existing_upload_bucket_only_gets_notifications() -> None:
    recording = bucket(UploadBucket, bucket="mine")
    assert names(recording, "UploadBucket") == {("BucketNotification", "files")}
    assert one(recording.resources, type="BucketNotification").inputs == {
        "bucket": "mine",
        "eventbridge": True,
    }


def test_an_existing_buckets_notifications_may_be_kept() -> None:
    recording = bucket(UploadBucket, bucket="mine", notifications="keep")
    assert names(recording, "UploadBucket") == set()
    assert outputs(recording, "UploadBucket")["bucket_name"] == "mine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_bucket_is_encrypted_with_the_key_that_is_given(kind: type) -> None:
    key = "arn:aws:kms:ap-northeast-1:123456789012:key/1"
    made = one(bucket(kind, kms_key_arn=key).resources, type=ENCRYPTION)
    assert made.inputs["rules"] == [
        {
            "applyServerSideEncryptionByDefault": {
                "sseAlgorithm": "aws:kms",
                "kmsMasterKeyId": key,
            },
            "bucketKeyEnabled": True,
        }
    ]
    existing = bucket(kind, kms_key_arn=key, bucket="mine")
    assert (ENCRYPTION, "files") not in names(existing, kind.__name__)


def test_the_pages_of_allowed_origins_may_upload() -> None:
    origins = ["https://app.example", "https://*.example.com"]
    for existing, name in ((None, "files-1a2b3c4"), ("mine", "mine")):
        recording = bucket(UploadBucket, allowed_origins=origins, bucket=existing)
        assert one(recording.resources, type="BucketCorsConfiguration").inputs == {
            "bucket": name,
            "corsRules": [
                {
                    "allowedOrigins": origins,
                    "allowedMethods": ["GET", "HEAD", "POST", "PUT"],
                    "allowedHeaders": ["*"],
                    "exposeHeaders": ["ETag"],
                    "maxAgeSeconds": 3000,
                }
            ],
        }
    recording = bucket(UploadBucket, allowed_origins=[])
    assert ("BucketCorsConfiguration", "files") not in names(recording, "UploadBucket")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bucket_puts_out_its_name_and_arn(kind: type) -> None:
    assert outputs(bucket(kind), kind.__name__) == {
        "bucket_name": "files-1a2b3c4",
        "bucket_arn": "arn:aws:s3:::files-1a2b3c4",
    }
    existing = bucket(kind, bucket="mine")
    assert outputs(existing, kind.__name__) == {
        "bucket_name": "mine",
        "bucket_arn": "arn:aws:s3:::mine",
    }
    assert names(bucket(ResultsBucket, bucket="mine"), "ResultsBucket") == set()


def test_whoever_uses_the_bucket_waits_until_it_tells_eventbridge() -> None:
    def build() -> None:
        made = UploadBucket("files", {})
        aws.s3.BucketObjectv2("first", bucket=made.bucket_name, key="first")

    resources = deploy(build).resources
    first = one(resources, type="BucketObjectv2")
    assert one(resources, type="BucketNotification").urn in first.depends_on
