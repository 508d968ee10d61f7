"""`jobs.NAME`: how the job's container is set up, besides its image, size and environment."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from . import defaults
from .values import Section, Text, matching


class LogSettings(Section):
    """How the container's output gets to its log.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
    """

    mode: Literal["blocking", "non-blocking"] = defaults.LOG_MODE
    buffer_size: (
        Annotated[str, matching(r"[1-9]\d*[km]", "must be a size in k or m, such as 25m")] | None
    ) = None
    multiline_pattern: Annotated[Text, Field(min_length=1, max_length=1024)] | None = None

    @model_validator(mode="after")
    def _buffers_what_does_not_block(self) -> Self:
        if self.buffer_size is not None and self.mode == "blocking":
            raise ValueError("bufferSize is for mode: non-blocking")
        return self


class LimitSettings(Section):
    """What the container may have at once: on Fargate, open files alone can be set.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Ulimit.html
    """

    nofile: Annotated[int, Field(ge=1024, le=1_048_576)] | None = None


# On Fargate at most 120 seconds:
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
StopTimeout = Annotated[int, Field(ge=2, le=120)]
User = Annotated[
    str,
    matching(
        r"[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?",
        "must be a user, or user:group, by name or number",
    ),
]
