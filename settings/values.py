"""What the sections of the configuration have in common: their base, and the values of keys."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
OVERRIDES_CHARACTERS = 8192

MAXIMUM_TIMEOUT_DAYS = 14

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Section(BaseModel):
    """A part of the configuration: its keys are camelCase there, and there are no others."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
    )


def matching(pattern: str, meaning: str) -> AfterValidator:
    """A whole text that matches, or the refusal `meaning`."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(meaning)
        return value

    return AfterValidator(check)


def one_of(allowed: Iterable[int]) -> Callable[[int], int]:
    """A check that a number is one of those."""
    values = tuple(allowed)

    def check(value: int) -> int:
        if value not in values:
            raise ValueError("must be one of " + ", ".join(map(str, values)))
        return value

    return check


def each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """A check that no text is in a list twice."""
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{twice[0]} is listed twice")
    return values


def check_overrides(
    job: str, commands: tuple[str, ...] | None, environment: Mapping[str, str] | None
) -> None:
    """Refuse what ECS would not take as the overrides of a task."""
    override = {
        "name": job,
        "command": commands,
        "environment": [{"name": k, "value": v} for k, v in (environment or {}).items()],
    }
    characters = len(json.dumps({"containerOverrides": [override]}, ensure_ascii=False))
    if characters > OVERRIDES_CHARACTERS:
        raise ValueError(
            f"commands and environment take {characters} characters as JSON; ECS allows "
            f"{OVERRIDES_CHARACTERS}: put the data into an object and pass its key"
        )


def _duration(value: object) -> object:
    """'90s', '15m', '1h' or '1d' in seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9]\d*)([smhd])", value)):
        seconds = int(match[1]) * _UNITS[match[2]]
        if seconds > MAXIMUM_TIMEOUT_DAYS * _UNITS["d"]:
            raise ValueError(f"must be at most {MAXIMUM_TIMEOUT_DAYS}d")
        return seconds
    raise ValueError("must be a whole number and s, m, h or d, such as 90s, 15m, 1h or 1d")


Name = Annotated[
    str,
    matching(
        r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
        "a name is 1 to 40 characters of a-z, 0-9 and -, begins with a letter, ends without -",
    ),
]
# NUL ends a variable or an argument of a process, so there can be none in it.
Text = Annotated[str, Field(strict=True, pattern=r"^[^\x00]*$")]
Seconds = Annotated[int, BeforeValidator(_duration)]
_REGISTRY = r"(?=[^/]*[.:]|localhost/)[A-Za-z0-9][A-Za-z0-9.-]*(:\d+)?"
_PART = "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
_DIGEST = "@[a-z0-9]+:[0-9a-f]{32,}"
Image = Annotated[
    str,
    matching(
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
        # https://github.com/distribution/reference/blob/main/reference.go
        rf"(?=.{{1,255}}$)({_REGISTRY}/)?{_PART}(/{_PART})*"
        rf"(:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}({_DIGEST})?|{_DIGEST})",
        "must be an image, in lower case, with its tag or digest, such as batch:1.0",
    ),
]
EnvironmentName = Annotated[
    str,
    matching(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "a variable's name is letters, digits and _, no digit first",
    ),
]
KeyArn = Annotated[
    str,
    matching(r"arn:[a-z-]+:kms:[^:]+:\d{12}:key/[\w-]+", "must be the ARN of a KMS key"),
]
SecretArn = Annotated[
    str,
    matching(
        r"arn:[a-z-]+:(secretsmanager:[^:]+:\d{12}:secret:|ssm:[^:]+:\d{12}:parameter/)[^\s*?]+",
        "must be the ARN of a Secrets Manager secret or an SSM parameter",
    ),
]
