"""`uploads`: which objects start which job or pipeline."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .values import Name, Section, Text

# The greatest number EventBridge compares:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
GREATEST_NUMBER = 5_000_000_000


class UploadSettings(Section):
    """Which uploads start which job or pipeline."""

    job: Name | None = None
    pipeline: Name | None = None
    bucket: Name | None = None
    via: Literal["stateMachine", "task"] = "stateMachine"
    prefix: Annotated[Text, Field(max_length=1024)] | None = None
    suffix: Annotated[Text, Field(max_length=1024)] | None = None
    key: Annotated[Text, Field(min_length=1, max_length=1024)] | None = None
    wildcard: Annotated[Text, Field(min_length=1, max_length=1024)] | None = None
    min_size: Annotated[int, Field(ge=0, le=GREATEST_NUMBER)] | None = None
    max_size: Annotated[int, Field(ge=0, le=GREATEST_NUMBER)] | None = None

    @model_validator(mode="after")
    def _starts_one_thing(self) -> Self:
        if (self.job is None) == (self.pipeline is None):
            raise ValueError("give job, or pipeline: what the upload starts")
        if self.pipeline is not None and self.via == "task":
            raise ValueError("a pipeline is a state machine: via: task is for a job")
        return self

    @model_validator(mode="after")
    def _is_one_filter(self) -> Self:
        ways = [self.key, self.wildcard, self.prefix or self.suffix]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give key, or wildcard, or prefix and suffix, not several of them")
        if not any((self.key, self.wildcard, self.prefix, self.suffix)):
            raise ValueError(
                "give prefix, suffix, key or wildcard; wildcard: '*' matches every upload"
            )
        if self.key is not None and self.key.endswith("/"):
            raise ValueError(f"key {self.key!r} is a folder marker, which starts nothing")
        if self.wildcard is not None:
            # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
            unescaped = re.sub(r"\\[\\*]", "", self.wildcard)
            if "**" in unescaped:
                raise ValueError("wildcard: EventBridge allows no two * in a row")
            if "\\" in unescaped:
                raise ValueError(
                    r"wildcard: a \ only stands before * or \, to mean that character itself"
                )
        if (self.min_size or 0) > (GREATEST_NUMBER if self.max_size is None else self.max_size):
            raise ValueError(f"minSize {self.min_size} is above maxSize {self.max_size}")
        if (self.min_size or 0) > 1 and self.max_size is None:
            raise ValueError(
                f"minSize {self.min_size} needs maxSize: EventBridge compares numbers up to "
                f"{GREATEST_NUMBER}, so a larger object would start nothing unsaid"
            )
        if self.max_size == 0 and (self.key or self.wildcard or self.suffix or "*").endswith(
            ("/", "*")
        ):
            raise ValueError("maxSize 0 leaves only folder markers, which start nothing")
        return self

    def may_match_under(self, folder: str) -> bool:
        """Whether the key of an object under `folder` could match."""
        if self.key is not None:
            return self.key.startswith(folder)
        start = self.prefix or ""
        if self.wildcard is not None:
            literal = re.match(r"(?:[^*\\]|\\.)*", self.wildcard)
            start = re.sub(r"\\(.)", r"\1", literal[0]) if literal else ""
        return folder.startswith(start) or start.startswith(folder)
