"""The bucket whose uploads start batches: it notifies EventBridge of every object created."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._bucket import hardened_bucket
from ._here import Component, here


class UploadBucketArgs(TypedDict):
    """A new bucket, or an existing one."""

    bucket: NotRequired[str | None]
    """The name of a bucket to use instead of making one. Default: none, a new one."""
    notifications: NotRequired[str]
    """replace: its notification configuration becomes this component's, and whatever it had is
    gone, for S3 keeps only one. keep: it is left to its owner, who lets it notify EventBridge.
    Default: replace."""
    retention_days: NotRequired[int | None]
    """After how many days objects expire. Default: never."""
    allowed_origins: NotRequired[list[str]]
    """The origins of the web pages that may upload, such as `https://app.example.com`. They become
    the bucket's CORS configuration; an existing one is replaced. Default: none."""
    kms_key_arn: NotRequired[pulumi.Input[str] | None]
    """The KMS key that a new bucket is encrypted with. Default: S3's own."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the bucket. Default: True."""


class UploadBucket(Component):
    """A private, encrypted, versioned, TLS-only bucket with EventBridge notifications on.

    EventBridge bills S3 events as 1 USD a million.
    """

    bucket_name: pulumi.Output[str]
    """The bucket's name, known once EventBridge notifications are on."""
    bucket_arn: pulumi.Output[str]
    """The bucket's ARN."""

    def __init__(
        self, name: str, args: UploadBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:UploadBucket", name, opts)
        child = pulumi.ResourceOptions(parent=self)

        existing = args.get("bucket")
        if existing:
            bucket_name: pulumi.Input[str] = existing
            self.bucket_arn = pulumi.Output.format("arn:{0}:s3:::{1}", here().partition, existing)
        else:
            bucket = hardened_bucket(
                name,
                retention_days=args.get("retention_days"),
                protect=args.get("protect", defaults.PROTECT),
                kms_key_arn=args.get("kms_key_arn"),
                opts=child,
            )
            bucket_name = bucket.bucket
            self.bucket_arn = bucket.arn

        origins = args.get("allowed_origins")
        if origins:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/ManageCorsUsing.html
            aws.s3.BucketCorsConfiguration(
                name,
                bucket=bucket_name,
                cors_rules=[
                    {
                        "allowed_origins": origins,
                        "allowed_methods": ["GET", "HEAD", "POST", "PUT"],
                        "allowed_headers": ["*"],
                        # A multipart upload is put together from the tags of its parts.
                        "expose_headers": ["ETag"],
                        "max_age_seconds": 3000,
                    }
                ],
                opts=child,
            )

        # S3 keeps one notification configuration a bucket and replaces it whole:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketNotificationConfiguration.html
        if args.get("notifications", defaults.NOTIFICATIONS) == "replace":
            notification = aws.s3.BucketNotification(
                name, bucket=bucket_name, eventbridge=True, opts=child
            )
            bucket_name = notification.bucket
        self.bucket_name = pulumi.Output.from_input(bucket_name)
        self.register_outputs({"bucket_name": self.bucket_name, "bucket_arn": self.bucket_arn})
