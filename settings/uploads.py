"""`uploads`: which objects start which job or pipeline."""

import re
from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .tags import Tags
from .values import Name, Section, Text, each_once

# The greatest number EventBridge compares:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
GREATEST_NUMBER = 5_000_000_000
KEY_BYTES = 1024


def _as_list(value: object) -> object:
    """A text alone stands for a list of it."""
    return value if value is None or isinstance(value, list) else [value]


def _wildcard(value: str) -> str:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    unescaped = re.sub(r"\\[\\*]", "", value)
    if "**" in unescaped:
        raise ValueError("EventBridge allows no two * in a row")
    if "\\" in unescaped:
        raise ValueError(r"a \ only stands before * or \, to mean that character itself")
    return value


def _key(value: str) -> str:
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
    if len(value.encode()) > KEY_BYTES:
        raise ValueError(f"must have at most {KEY_BYTES} bytes, as keys have")
    return value


KeyPart = Annotated[Text, Field(min_length=1), AfterValidator(_key)]
KeyParts = Annotated[
    tuple[KeyPart, ...], BeforeValidator(_as_list), AfterValidator(each_once), Field(min_length=1)
]
Wildcards = Annotated[
    tuple[Annotated[KeyPart, AfterValidator(_wildcard)], ...],
    BeforeValidator(_as_list),
    AfterValidator(each_once),
    Field(min_length=1),
]


class UploadSettings(Section):
    """Which uploads start which job or pipeline."""

    job: Name | None = None
    pipeline: Name | None = None
    bucket: Name | None = None
    via: Literal["stateMachine", "task"] = "stateMachine"
    prefix: KeyParts | None = None
    suffix: KeyParts | None = None
    key: KeyParts | None = None
    wildcard: Wildcards | None = None
    exclude: Wildcards | None = None
    min_size: Annotated[int, Field(ge=0, le=GREATEST_NUMBER)] | None = None
    max_size: Annotated[int, Field(ge=0, le=GREATEST_NUMBER)] | None = None
    tags: Tags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _starts_one_thing(self) -> Self:
        if (self.job is None) == (self.pipeline is None):
            raise ValueError("give job, or pipeline: what the upload starts")
        if self.pipeline is not None and self.via == "task":
            raise ValueError("a pipeline is a state machine: via: task is for a job")
        if self.tags and self.via != "task":
            raise ValueError("tags are of a task that the upload starts itself, with via: task")
        return self

    @model_validator(mode="after")
    def _is_one_filter(self) -> Self:
        ways = [self.key, self.wildcard, self.prefix or self.suffix]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give key, or wildcard, or prefix and suffix, not several of them")
        if not any(ways):
            raise ValueError(
                "give prefix, suffix, key or wildcard; wildcard: '*' matches every upload"
            )
        for key in self.key or ():
            if key.endswith("/"):
                raise ValueError(f"key {key!r} is a folder marker, which starts nothing")
        if (self.min_size or 0) > (GREATEST_NUMBER if self.max_size is None else self.max_size):
            raise ValueError(f"minSize {self.min_size} is above maxSize {self.max_size}")
        if (self.min_size or 0) > 1 and self.max_size is None:
            raise ValueError(
                f"minSize {self.min_size} needs maxSize: EventBridge compares numbers up to "
                f"{GREATEST_NUMBER}, so a larger object would start nothing unsaid"
            )
        ends = self.key or self.wildcard or self.suffix or ("*",)
        if self.max_size == 0 and any(end.endswith(("/", "*")) for end in ends):
            raise ValueError("maxSize 0 leaves only folder markers, which start nothing")
        return self

    @model_validator(mode="after")
    def _excludes_what_something_can_look_at(self) -> Self:
        if self.exclude is not None and self.key is not None:
            raise ValueError("exclude is not for key: leave what should start nothing out of it")
        if self.exclude is not None and self.via == "task" and not self.pattern_excludes:
            raise ValueError(
                "exclude is looked at by a state machine, unless wildcard is '*', as no pattern "
                "can say 'this and not that' of a key: leave via: task out"
            )
        return self

    @property
    def pattern_excludes(self) -> bool:
        """Whether the rule's pattern alone says what is excluded: of all keys, it can."""
        return self.exclude is not None and self.wildcard == ("*",)

    @property
    def alternatives(self) -> Iterable[str]:
        """Each condition on the key that its pattern lists, about as long as it is there."""
        for prefix in self.prefix or ("",):
            for suffix in self.suffix or ("",):
                yield f"{prefix}*{suffix}"
        yield from (*(self.key or ()), *(self.wildcard or ()))
        yield from (self.exclude or ()) if self.pattern_excludes else ()

    def may_match_under(self, folder: str) -> bool:
        """Whether the key of an object under `folder` could match."""
        if self.key is not None:
            return any(key.startswith(folder) for key in self.key)
        starts = self.prefix or ("",)
        if self.wildcard is not None:
            literals = (re.match(r"(?:[^*\\]|\\.)*", one) for one in self.wildcard)
            starts = [re.sub(r"\\(.)", r"\1", one[0]) if one else "" for one in literals]
        return any(folder.startswith(start) or start.startswith(folder) for start in starts)
