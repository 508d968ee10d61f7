"""The bucket that batches write their results to; nothing is started from it."""

from typing import NotRequired, TypedDict

import pulumi

from . import defaults
from ._bucket import hardened_bucket
from ._here import Component, here


class ResultsBucketArgs(TypedDict):
    """A new bucket, or an existing one."""

    bucket: NotRequired[str | None]
    """The name of a bucket to use, unchanged, instead of making one. Default: none, a new one."""
    retention_days: NotRequired[int | None]
    """After how many days objects expire. Default: never."""
    kms_key_arn: NotRequired[pulumi.Input[str] | None]
    """The KMS key that a new bucket is encrypted with. Default: S3's own."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the bucket. Default: True."""


class ResultsBucket(Component):
    """A private, encrypted, versioned, TLS-only bucket without notifications."""

    bucket_name: pulumi.Output[str]
    """The bucket's name."""
    bucket_arn: pulumi.Output[str]
    """The bucket's ARN."""

    def __init__(
        self, name: str, args: ResultsBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:ResultsBucket", name, opts)

        existing = args.get("bucket")
        if existing:
            self.bucket_name = pulumi.Output.from_input(existing)
            self.bucket_arn = pulumi.Output.format("arn:{0}:s3:::{1}", here().partition, existing)
        else:
            bucket = hardened_bucket(
                name,
                retention_days=args.get("retention_days"),
                protect=args.get("protect", defaults.PROTECT),
                kms_key_arn=args.get("kms_key_arn"),
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.bucket_name = bucket.bucket
            self.bucket_arn = bucket.arn
        self.register_outputs({"bucket_name": self.bucket_name, "bucket_arn": self.bucket_arn})
