"""`aws:defaultTags`: tags of everything, which Pulumi's AWS provider reads, and nobody checks."""

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Annotated

import pulumi
from pydantic import BeforeValidator, Field, ValidationError

from .refusals import PROJECT, lines
from .stack import Settings
from .tags import TagName, TagValue
from .values import Section

# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html#id_tags_naming_best_practices
TAGS = 50
# What a task has from this program: batch-job and batch-trigger.
_OWN = 2


def _as_text(value: object) -> object:
    """A number or a truth value as the provider writes it."""
    return json.dumps(value) if isinstance(value, bool | int | float) else value


class DefaultTagSettings(Section):
    """Tags of everything that the stack makes."""

    tags: Annotated[
        dict[TagName, Annotated[TagValue, BeforeValidator(_as_text)]], Field(max_length=TAGS)
    ] = Field(default_factory=dict)


def disagreements(settings: Settings) -> Iterable[str]:
    """What AWS would refuse of these tags, alone or with those of tasks."""
    config = pulumi.Config("aws")
    try:
        values = config.get_object("defaultTags") or {}
    except pulumi.ConfigTypeError:
        values = config.get("defaultTags")
    try:
        tags = DefaultTagSettings.model_validate(values).tags
    except ValidationError as error:
        yield from lines(error, {"defaultTags": values}, ("defaultTags",))
        return
    for place, own in _tasks(settings):
        if (count := len(tags.keys() | own.keys()) + _OWN) > TAGS:
            yield (
                f"{PROJECT}:{place}: with aws:defaultTags a task would have {count} tags, ECS "
                f"allows {TAGS}; use fewer"
            )


def _tasks(settings: Settings) -> Iterable[tuple[str, Mapping[str, str]]]:
    """The tags of the tasks of each job, and of those that something starts, by where they are."""
    jobs = settings.jobs
    for name, job in jobs.items():
        yield f"jobs.{name}.tags", job.tags
    for section, started in (("uploads", settings.uploads), ("schedules", settings.schedules)):
        for name, it in started.items():
            if it.tags and it.job in jobs:
                yield f"{section}.{name}.tags", {**jobs[it.job].tags, **it.tags}
    for name, pipeline in settings.pipelines.items():
        steps = [step for step in chain.from_iterable(pipeline.steps) if step.job in jobs]
        if pipeline.tags and steps:
            most = max((jobs[step.job].tags for step in steps), key=len)
            yield f"pipelines.{name}.tags", {**most, **pipeline.tags}
