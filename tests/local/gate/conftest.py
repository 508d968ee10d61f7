"""A cloud in which nothing runs, with a bucket: what is let in, and how it is signed."""

from collections.abc import Iterator

import pytest

import local.cloud
from local.cloud import Cloud
from local.services.iam import iam
from tests.local.probe import REGION

BUCKET = "uploads"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local.cloud, "_PARTS", (iam,))
        with Cloud(0, REGION) as opened:
            opened.client("s3").create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            yield opened
