"""`uploadsBucket` and `resultsBucket`: new buckets, or existing ones."""

from typing import Annotated

from pydantic import AfterValidator, Field

from .values import Section, Text, each_once, matching


class BucketSettings(Section):
    """A new bucket, or the name of an existing one."""

    bucket: (
        Annotated[
            str,
            matching(
                r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
                "must be 3 to 63 of a-z, 0-9, . and -, with no . or - at its ends",
            ),
        ]
        | None
    ) = None
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class UploadsSettings(BucketSettings):
    """Where uploads arrive, from the pages of these origins too."""

    allowed_origins: Annotated[
        tuple[
            Annotated[
                str,
                matching(
                    r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?",
                    "must be an origin, such as https://app.example.com or https://*.example.com",
                ),
            ],
            ...,
        ],
        Field(max_length=100),
        AfterValidator(each_once),
    ] = ()


class ResultsSettings(BucketSettings):
    """Where results go: under PREFIX/JOB/ of a bucket."""

    prefix: Annotated[
        Text,
        Field(max_length=200),
        matching(r"|[^/].*/", "must be empty, or end with / and not begin with it"),
    ] = ""
