"""`alerts` and `taskEvents`: who gets messages, and what is logged."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from . import defaults
from .values import Section, each_once, matching


def _confirms(url: str) -> str:
    # https://docs.aws.amazon.com/sns/latest/dg/SendMessageToHttp.confirm.html
    if (urlsplit(url).hostname or "").startswith("hooks.slack"):
        raise ValueError(
            "a Slack webhook cannot confirm the subscription, so it would never get a message; "
            "use chat: true, or the channel's e-mail address"
        )
    return url


class AlertSettings(Section):
    """Who gets messages about failures."""

    emails: Annotated[
        tuple[
            Annotated[str, matching(r"[^@\s<>,;]+@[^@\s<>,;]+", "must be an e-mail address")], ...
        ],
        AfterValidator(each_once),
    ] = ()
    https_endpoints: Annotated[
        tuple[
            Annotated[
                str,
                # The host as it is looked up, or a webhook of Slack could be written otherwise.
                matching(
                    r"https://([!-.0-~]+@)?[A-Za-z0-9.-]+(:\d+)?([/?#][!-~]*)?",
                    "must be https:// and a host of letters, digits, - and .",
                ),
                AfterValidator(_confirms),
            ],
            ...,
        ],
        AfterValidator(each_once),
    ] = ()
    chat: bool = defaults.CHAT
    runbook: Annotated[
        str, matching(r"[!#-\[\]-~]+", "must be a path or URL, without blanks and quotes")
    ] = defaults.RUNBOOK

    @property
    def nobody(self) -> bool:
        """Whether nobody gets a message."""
        return not (self.emails or self.https_endpoints or self.chat)


class TaskEventSettings(Section):
    """What the log of task events keeps."""

    keep_event: bool = defaults.KEEP_EVENT
