"""`jobs.NAME.sidecars`: containers beside the job's own."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from . import defaults
from .values import EnvironmentName, Image, Name, SecretArn, Section, Text

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
CONTAINERS = 10

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
Dependencies = dict[Name, Literal["START", "COMPLETE", "SUCCESS", "HEALTHY"]]


class HealthCheckSettings(Section):
    """When a container is healthy.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
    """

    command: Annotated[tuple[Text, ...], Field(min_length=1)]
    interval: Annotated[int, Field(ge=5, le=300)] = defaults.HEALTHCHECK_INTERVAL
    timeout: Annotated[int, Field(ge=2, le=60)] = defaults.HEALTHCHECK_TIMEOUT
    retries: Annotated[int, Field(ge=1, le=10)] = defaults.HEALTHCHECK_RETRIES
    start_period: Annotated[int, Field(ge=0, le=300)] = defaults.HEALTHCHECK_START_PERIOD


class SidecarSettings(Section):
    """One container beside the job's own."""

    image: Image
    essential: bool = defaults.ESSENTIAL
    cpu: Annotated[int, Field(ge=1)] | None = None
    memory: Annotated[int, Field(ge=6)] | None = None
    environment: dict[EnvironmentName, Text] = Field(default_factory=dict)
    secrets: dict[EnvironmentName, SecretArn] = Field(default_factory=dict)
    entry_point: tuple[Text, ...] | None = None
    commands: tuple[Text, ...] | None = None
    depends_on: Dependencies = Field(default_factory=dict)
    health_check: HealthCheckSettings | None = None

    @model_validator(mode="after")
    def _names_each_variable_once(self) -> Self:
        if twice := sorted(self.environment.keys() & self.secrets.keys()):
            raise ValueError(f"{', '.join(twice)} is in both environment and secrets")
        return self


Sidecars = Annotated[dict[Name, SidecarSettings], Field(max_length=CONTAINERS - 1)]


def disagreement(
    sidecars: Mapping[str, SidecarSettings], depends_on: Dependencies, cpu: int, memory: int
) -> str | None:
    """Why ECS would refuse a job of this size with these sidecars, if it would."""
    waits = {"dependsOn": depends_on}
    waits |= {f"sidecars.{name}.dependsOn": one.depends_on for name, one in sidecars.items()}
    found = [problem for key, named in waits.items() for problem in _unmet(key, named, sidecars)]
    if found:
        return found[0]
    try:
        TopologicalSorter({name: one.depends_on for name, one in sidecars.items()}).prepare()
    except CycleError as error:
        return f"sidecars wait for each other in a circle: {' → '.join(error.args[1])}"
    for key, size in (("cpu", cpu), ("memory", memory)):
        taken = sum(getattr(one, key) or 0 for one in sidecars.values())
        if taken >= size:
            return f"sidecars take {key} {taken} of the job's {size}, and leave its own none"
    return None


def _unmet(key: str, named: Dependencies, sidecars: Mapping[str, SidecarSettings]) -> Iterable[str]:
    for name, condition in named.items():
        if name not in sidecars:
            there = ", ".join(sorted(sidecars)) or "none"
            yield f"{key}: there is no sidecar {name!r}; there is {there}"
        elif condition in {"COMPLETE", "SUCCESS"} and sidecars[name].essential:
            yield f"{key}.{name}: {condition} of what is essential would end the task"
        elif condition == "HEALTHY" and sidecars[name].health_check is None:
            yield f"{key}.{name}: HEALTHY needs sidecars.{name}.healthCheck"
