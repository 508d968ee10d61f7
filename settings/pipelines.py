"""`pipelines` and `schedules`: what is started when."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic.alias_generators import to_camel

from . import defaults, placeholders
from .expressions import Moment, ScheduleExpression, Timezone
from .tags import Tags
from .values import EnvironmentName, Name, Seconds, Section, Text, check_overrides

# As many as an inline Map state runs at a time, and as a person can follow.
STEPS_SIDE_BY_SIDE = 40


def _step_text(value: str) -> str:
    placeholders.check_step(value)
    return value


def _schedule_text(value: str) -> str:
    placeholders.check_schedule(value)
    return value


StepText = Annotated[Text, AfterValidator(_step_text)]
ScheduleText = Annotated[Text, AfterValidator(_schedule_text)]


class WhenSettings(Section):
    """When something is started, beside its schedule."""

    timezone: Timezone = defaults.TIMEZONE
    enabled: bool = defaults.ENABLED
    flexible_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    start: Moment | None = None
    end: Moment | None = None
    grace: Seconds = Field(default=f"{defaults.GRACE_SECONDS // 60}m", validate_default=True)

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self


class StepSettings(Section):
    """One job of a pipeline."""

    job: Name
    commands: tuple[StepText, ...] | None = None
    environment: dict[EnvironmentName, StepText] | None = None
    on_failure: Literal["stop", "continue", "finish"] = defaults.ON_FAILURE
    on_warning: Literal["stop", "continue"] = defaults.ON_WARNING

    @model_validator(mode="after")
    def _fits_run_task(self) -> Self:
        check_overrides(self.job, self.commands, self.environment)
        return self

    @property
    def placeholders(self) -> set[str]:
        """The placeholders in what it is given."""
        texts = (*(self.commands or ()), *(self.environment or {}).values())
        parts = (part for text in texts for part in placeholders.parts(text))
        return {part.name for part in parts if isinstance(part, placeholders.Placeholder)}


def _finish_with_others(members: tuple[StepSettings, ...]) -> tuple[StepSettings, ...]:
    if len(members) == 1 and members[0].on_failure == "finish":
        raise ValueError(
            "onFailure finish lets those side by side end, and this is alone; use stop or continue"
        )
    return members


def _as_steps(value: object) -> object:
    """Every step as the list of what runs side by side in it."""
    if isinstance(value, list):
        return [step if isinstance(step, list) else [step] for step in value]  # pyright: ignore[reportUnknownVariableType] not yet validated
    return value


class PipelineSettings(WhenSettings):
    """Jobs in series, on a schedule or started by uploads."""

    schedule: ScheduleExpression | None = None
    steps: Annotated[
        tuple[
            Annotated[
                tuple[StepSettings, ...],
                Field(min_length=1, max_length=STEPS_SIDE_BY_SIDE),
                AfterValidator(_finish_with_others),
            ],
            ...,
        ],
        BeforeValidator(_as_steps),
        Field(min_length=1, max_length=100),
    ]
    overlap: Literal["skip", "allow"] = defaults.OVERLAP
    tags: Tags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_when_it_has_a_schedule(self) -> Self:
        about = {"enabled", "flexible_minutes", "start", "end", "grace"} & self.model_fields_set
        if self.schedule is None and about:
            keys = ", ".join(to_camel(key) for key in sorted(about))
            raise ValueError(f"{keys} only count with a schedule, and there is none")
        return self


class ScheduleSettings(WhenSettings):
    """A job's task, on a schedule."""

    job: Name
    schedule: ScheduleExpression
    count: Annotated[int, Field(ge=1, le=10)] = defaults.COUNT
    commands: tuple[ScheduleText, ...] | None = None
    environment: dict[EnvironmentName, ScheduleText] | None = None
    tags: Tags = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_run_task(self) -> Self:
        check_overrides(self.job, self.commands, self.environment)
        return self
