"""A message: as a mail that a person can read, and as what a chat channel shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

# https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
SUBJECT_CHARACTERS = 100
# SNS takes 256 KiB; nobody reads more than this.
TEXT_CHARACTERS = 60_000
# What Amazon Q Developer shows of each field:
# https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
TITLE_CHARACTERS, DESCRIPTION_CHARACTERS, STEP_CHARACTERS = 250, 8000, 350


@dataclass(frozen=True)
class Message:
    """What is told of one subject. `state` is failure, retry or recovery."""

    subject: str
    """What it is about, such as `queue/upload-target`: a thread in a chat."""
    state: str
    title: str
    lines: Sequence[str]
    """What happened, line by line."""
    steps: Sequence[str] = ()
    """What to do."""


def mail(message: Message, *, project: str, stack: str, runbook: str) -> tuple[str, str]:
    """The subject, of printable ASCII, and the text."""
    subject = f"{message.title} ({project} {stack})".encode("ascii", "replace").decode()
    parts = [message.title, *message.lines, f"Stack: {project} {stack}"]
    if message.steps:
        parts += ["", f"What to do: {' '.join(message.steps)}"]
    text = "\n".join([*parts, f"More: {runbook}#a-message-came"])
    # Half a character, which a JSON text may have, is none of a request.
    text = text.encode(errors="backslashreplace").decode()
    return _cut(subject, SUBJECT_CHARACTERS), _cut(text, TEXT_CHARACTERS)


def chat(message: Message, *, project: str, stack: str) -> str:
    """The JSON of a custom notification: failure and recovery of a subject are one thread.

    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    sign = {"failure": ":warning:", "recovery": ":white_check_mark:"}.get(message.state, ":repeat:")
    title = f"{sign} {message.title}"
    return json.dumps(
        {
            "version": "1.0",
            "source": "custom",
            "content": {
                "textType": "client-markdown",
                "title": _cut(title, TITLE_CHARACTERS),
                "description": _cut("\n".join(message.lines) or title, DESCRIPTION_CHARACTERS),
                "nextSteps": [_cut(step, STEP_CHARACTERS) for step in message.steps],
                "keywords": [project, stack, message.state],
            },
            "metadata": {
                "threadId": f"{project}/{stack}/{message.subject}",
                "summary": _cut(message.title, TITLE_CHARACTERS),
                "eventType": message.state,
                "relatedResources": [message.subject],
            },
        }
    )


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: characters - 10]} ... (cut)"[:characters]
