"""The stack's configuration, read and validated before the first resource.

`defaults.py` and `outcomes.py` are links to those of the components, because `components` has
another name in the package than in a clone.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import ValidationError

from .across import disagreements
from .advice import advice
from .alerts import AlertSettings
from .buckets import BucketSettings, ResultsSettings, UploadsSettings
from .jobs import JobSettings
from .network import NetworkSettings
from .pipelines import PipelineSettings, ScheduleSettings, StepSettings, WhenSettings
from .refusals import PROJECT, SettingsError, end_program, lines
from .sidecars import HealthCheckSettings, SidecarSettings
from .stack import Settings
from .uploads import UploadSettings
from .volumes import VolumeSettings

__all__ = [
    "AlertSettings",
    "BucketSettings",
    "HealthCheckSettings",
    "JobSettings",
    "NetworkSettings",
    "PipelineSettings",
    "ResultsSettings",
    "ScheduleSettings",
    "Settings",
    "SettingsError",
    "SidecarSettings",
    "StepSettings",
    "UploadSettings",
    "UploadsSettings",
    "VolumeSettings",
    "WhenSettings",
    "advice",
    "load",
    "validated",
]


def load_or_end() -> Any:  # noqa: ANN401 - the shape is what is checked
    """What the stack's file says, such that `load` takes it; else the program ends."""
    try:
        values = _configured_values()
        validated(values)
    except SettingsError as error:
        end_program(error)
    return values


def load() -> Settings:
    """Reads the configuration of the stack that is evaluated.

    Raises `SettingsError` with a line for each key that is refused: key, value, what is allowed.
    """
    return validated(_configured_values())


def _configured_values() -> Mapping[str, Any]:
    if misspelt := _misspelt_namespace():
        raise SettingsError(f"{misspelt}: unknown namespace; the one of this project is {PROJECT}")
    config = pulumi.Config(PROJECT)
    values: dict[str, Any] = {}
    for key in _configured_keys():
        try:
            values[key] = config.get_object(key)
        except pulumi.ConfigTypeError:
            # A scalar, such as the name of a Region, is its own text.
            values[key] = config.get(key)
    if "region" in values:
        raise SettingsError(f"{PROJECT}:region: not a key of this project; use aws:region")
    region = pulumi.Config("aws").get("region")
    if region is None:
        raise SettingsError("aws:region: missing; set it, such as aws:region: ap-northeast-1")
    return {**values, "region": region}


def validated(values: Mapping[str, Any]) -> Settings:
    """The settings of a stack whose file has these keys, or of a platform with these arguments.

    Raises `SettingsError` as `load` does.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(lines(error, values))) from None
    if refusals := list(disagreements(settings)):
        raise SettingsError("\n".join(refusals))
    return settings


def _configured() -> Iterable[tuple[str, str]]:
    """Namespace and key of everything that is configured, for providers too."""
    for key in sorted({**get_config_env(), **CONFIG.get()}):
        namespace, _, name = key.partition(":")
        yield namespace, name


def _configured_keys() -> list[str]:
    return [name for namespace, name in _configured() if namespace == PROJECT]


def _misspelt_namespace() -> str | None:
    """A key whose namespace is nearly this project's: nobody else would read it."""
    for namespace, name in _configured():
        if namespace != PROJECT and get_close_matches(namespace, [PROJECT], cutoff=0.8):
            return f"{namespace}:{name}"
    return None
