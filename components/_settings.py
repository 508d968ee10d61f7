"""The folder `settings`, which lies beside this one: in the package it is of the same package."""

try:
    from ..settings import Settings, StepSettings, WhenSettings, validated
except ImportError:
    from settings import Settings, StepSettings, WhenSettings, validated

__all__ = ["Settings", "StepSettings", "WhenSettings", "validated"]
