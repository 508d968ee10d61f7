"""A message as a mail, and as Amazon Q Developer shows it in a chat."""

import json

from lambdas.watch.tell import Message, chat, mail

MESSAGE = Message(
    "queue/upload-target", "failure", "1 dead letter of upload-target", ["Error: X"], ["Mend it."]
)
ABOUT = {"project": "fargate-batch", "stack": "prod"}


def test_a_mail_says_what_happened_where_and_what_to_do() -> None:
    subject, text = mail(MESSAGE, **ABOUT, runbook="https://wiki/ops")
    assert subject == "1 dead letter of upload-target (fargate-batch prod)"
    assert text.split("\n") == [
        "1 dead letter of upload-target",
        "Error: X",
        "Stack: fargate-batch prod",
        "",
        "What to do: Mend it.",
        "More: https://wiki/ops#a-message-came",
    ]


def test_a_mails_subject_is_what_sns_takes() -> None:
    long = Message("s", "failure", "é" * 300, [])
    subject, text = mail(long, **ABOUT, runbook="r")
    assert len(subject) == 100
    assert subject.isascii()
    assert "What to do" not in text


def test_a_long_mail_is_cut_below_what_sns_takes() -> None:
    _, text = mail(Message("s", "failure", "t", ["x" * 300_000]), **ABOUT, runbook="r")
    assert len(text) < 262_144
    assert text.endswith("... (cut)")


def test_half_a_character_hinders_no_mail() -> None:
    _, text = mail(Message("s", "failure", "t", ["a\ud800"]), **ABOUT, runbook="r")
    assert "a\\ud800\n" in text


def test_a_chat_gets_a_custom_notification_in_a_thread_of_its_subject() -> None:
    assert json.loads(chat(MESSAGE, **ABOUT)) == {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": ":warning: 1 dead letter of upload-target",
            "description": "Error: X",
            "nextSteps": ["Mend it."],
            "keywords": ["fargate-batch", "prod", "failure"],
        },
        "metadata": {
            "threadId": "fargate-batch/prod/queue/upload-target",
            "summary": "1 dead letter of upload-target",
            "eventType": "failure",
            "relatedResources": ["queue/upload-target"],
        },
    }


def test_failure_and_recovery_are_one_thread_with_signs_of_their_own() -> None:
    shown = [
        json.loads(chat(Message("s", state, "t", []), **ABOUT))
        for state in ("failure", "retry", "recovery")
    ]
    assert len({one["metadata"]["threadId"] for one in shown}) == 1
    assert len({one["content"]["title"] for one in shown}) == 3
    assert all(one["content"]["description"] for one in shown)
