"""A bucket as AWS's security baseline wants it: private, encrypted, versioned, TLS only."""

from typing import Any

import pulumi
import pulumi_aws as aws

from ._documents import joined
from ._iam import document


def hardened_bucket(
    name: str,
    *,
    retention_days: int | None,
    protect: bool,
    kms_key_arn: pulumi.Input[str] | None = None,
    opts: pulumi.ResourceOptions,
) -> aws.s3.Bucket:
    """A bucket and the resources that harden it.

    `retention_days` is after how many days an object, and an overwritten version of one, expires
    (None keeps the objects, and overwritten versions for 30 days). With `protect`, Pulumi
    refuses to delete the bucket; without, it deletes it together with its objects. Without
    `kms_key_arn` S3's own key encrypts it.
    """
    encryption: Any = {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
    if kms_key_arn is not None:
        encryption = {
            "apply_server_side_encryption_by_default": {
                "sse_algorithm": "aws:kms",
                "kms_master_key_id": kms_key_arn,
            },
            # KMS is asked once in a while instead of for each object:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-key.html
            "bucket_key_enabled": True,
        }
    bucket = aws.s3.Bucket(
        name,
        force_destroy=not protect,
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=protect)),
    )
    aws.s3.BucketPublicAccessBlock(
        name,
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=opts,
    )
    aws.s3.BucketOwnershipControls(
        name, bucket=bucket.id, rule={"object_ownership": "BucketOwnerEnforced"}, opts=opts
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        name,
        bucket=bucket.id,
        rules=[encryption],
        opts=opts,
    )
    aws.s3.BucketVersioning(
        name, bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=opts
    )
    aws.s3.BucketLifecycleConfiguration(
        name, bucket=bucket.id, rules=_lifecycle(retention_days), opts=opts
    )
    aws.s3.BucketPolicy(
        name,
        bucket=bucket.id,
        policy=document(
            [
                {
                    "Sid": "TlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [bucket.arn, joined(bucket.arn, "/*")],
                    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                }
            ]
        ),
        opts=opts,
    )
    return bucket


def _lifecycle(retention_days: int | None) -> list[Any]:
    rules: list[Any] = [
        {
            "id": "abort-incomplete-uploads",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        },
        {
            "id": "expire-overwritten-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": retention_days or 30},
        },
    ]
    if retention_days is not None:
        rules.append(
            {
                "id": "expire-objects",
                "status": "Enabled",
                "filter": {"prefix": ""},
                "expiration": {"days": retention_days},
            }
        )
    return rules
