"""The folder `settings`, which lies beside this one: in the package it is of the same package."""

try:
    from ..settings import (
        HealthCheckSettings,
        Settings,
        SettingsError,
        SidecarSettings,
        StepSettings,
        UploadSettings,
        VolumeSettings,
        WhenSettings,
        advice,
        validated,
    )
except ImportError:
    from settings import (
        HealthCheckSettings,
        Settings,
        SettingsError,
        SidecarSettings,
        StepSettings,
        UploadSettings,
        VolumeSettings,
        WhenSettings,
        advice,
        validated,
    )

__all__ = [
    "HealthCheckSettings",
    "Settings",
    "SettingsError",
    "SidecarSettings",
    "StepSettings",
    "UploadSettings",
    "VolumeSettings",
    "WhenSettings",
    "advice",
    "validated",
]
