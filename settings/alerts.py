"""`alerts` and `taskEvents`: who gets messages, and what is logged."""

from typing import Annotated

from pydantic import AfterValidator

from . import defaults
from .values import Section, each_once, matching


class AlertSettings(Section):
    """Who gets messages about failures."""

    emails: Annotated[
        tuple[Annotated[str, matching(r"[^@\s]+@[^@\s]+", "must be an e-mail address")], ...],
        AfterValidator(each_once),
    ] = ()
    https_endpoints: Annotated[
        tuple[Annotated[str, matching(r"https://\S+", "must begin with https://")], ...],
        AfterValidator(each_once),
    ] = ()
    runbook: Annotated[
        str, matching(r"[!#-\[\]-~]+", "must be a path or URL, without blanks and quotes")
    ] = defaults.RUNBOOK


class TaskEventSettings(Section):
    """What the log of task events keeps."""

    keep_event: bool = defaults.KEEP_EVENT
