"""`uploadsBucket`, `buckets` and `resultsBucket`: new buckets, or existing ones."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from . import defaults
from .values import KeyArn, Section, Text, each_once, matching


class BucketSettings(Section):
    """A new bucket, or the name of an existing one."""

    bucket: (
        Annotated[
            str,
            matching(
                r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
                "must be 3 to 63 characters of a-z, 0-9, . and -, with no . or - at either end",
            ),
        ]
        | None
    ) = None
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None
    kms_key_arn: KeyArn | None = None

    @model_validator(mode="after")
    def _leaves_an_existing_one_as_it_is(self) -> Self:
        if self.bucket is not None and self.retention_days is not None:
            raise ValueError("retentionDays is for a new bucket; an existing one keeps its rules")
        return self


class UploadsSettings(BucketSettings):
    """Where uploads arrive, from the pages of these origins too."""

    notifications: Literal["replace", "keep"] = defaults.NOTIFICATIONS

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

    @model_validator(mode="after")
    def _keeps_what_there_is(self) -> Self:
        if self.notifications == "keep" and self.bucket is None:
            raise ValueError(
                "notifications: keep is for an existing bucket: give its name as bucket"
            )
        return self


class ResultsSettings(BucketSettings):
    """Where results go: under PREFIX/JOB/ of a bucket."""

    prefix: Annotated[
        Text,
        Field(max_length=200),
        matching(
            # In a grant these would stand for something else.
            r"|(?!/)[^*?$]*/",
            "must be empty, or end with / and not begin with it, and have no *, ? and $",
        ),
    ] = ""
