"""How a job may end: what its exit codes mean, its errors, and what to do about each.

The state machine's, the alerts' and the README's words are made of, or held to, these tables; so
are the copies in `batch/` and `lambdas/`, which are packages of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class ExitCode:
    """What an exit code means, and the error of an execution that ends with it."""

    code: int
    meaning: str
    error: str = "Batch.Failed"
    final: bool = False
    """Whether a retry cannot help."""


# After sysexits.h, and what a shell makes of SIGKILL and SIGTERM.
EXIT_CODES = (
    ExitCode(65, "bad data", "Batch.BadData", final=True),
    ExitCode(66, "object gone", "Batch.ObjectGone", final=True),
    ExitCode(75, "try again later", "Batch.TryAgainLater"),
    ExitCode(78, "misconfigured", "Batch.Misconfigured", final=True),
    ExitCode(137, "killed, or out of memory"),
    ExitCode(143, "terminated by SIGTERM"),
)

MEANINGS: Mapping[str, str] = {str(it.code): it.meaning for it in EXIT_CODES}
"""The meaning of an exit code, by the code as text: so JSONata looks it up."""
ERRORS: Mapping[str, str] = {
    str(it.code): it.error for it in EXIT_CODES if it.error != "Batch.Failed"
}
"""The error of an exit code that has one of its own."""

PERMANENT_REASONS = (
    *("not found", "does not exist", "access denied", "AccessDenied", "not authorized"),
    *("unauthorized", "exec format error", "descriptor matching platform", "no space left"),
)
"""Of why a task never started: what stays so until somebody changes something."""
TRANSIENT_REASONS = (
    *("Timeout waiting for network interface provisioning", "InsufficientFreeAddresses"),
    *("Timeout waiting for EphemeralStorage provisioning", "enough free addresses"),
    *("Unexpected EC2 error while attempting to Create Network Interface", "RequestLimitExceeded"),
    *("Capacity is unavailable", "Rate exceeded", "ThrottlingException", "toomanyrequests"),
    *("Too Many Requests", "Internal Server Error", "Bad Gateway", "Service Unavailable"),
    *("Gateway Timeout", "TLS handshake timeout", "i/o timeout", "connection reset by peer"),
    *("context deadline exceeded", "EOF"),
)
"""Of why a task never started: what passes by itself, so that it is started anew.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_cannot_pull_image.html
"""

ADVICE: Mapping[str, str] = {
    "Batch.BadData": "Correct the data and upload it again; a retry would not help.",
    "Batch.ObjectGone": "Upload the object again if it is still needed; a retry would not help.",
    "Batch.TryAgainLater": "Start it again once what it depends on is available.",
    "Batch.Misconfigured": "Correct the job's configuration, deploy, then start it again.",
    "Batch.NeverStarted": "Remove the reason above, then start it again.",
    "Batch.Interrupted": "Start it again, or run the job without Spot.",
    "Batch.Stopped": "The task was stopped on request. If that was a mistake, start it again.",
    "Batch.TimedOut": "Give the job a longer timeout or smaller input, then start it again.",
    "Batch.NoPermit": "Raise the job's maxConcurrency or start it less often, then start it again.",
    "Input.Invalid": "Start it with an input as described above.",
    "Batch.Warned": "It ended well all the same. See in its log what it warns of.",
    "Pipeline.StepWarned": "See in its log what it warns of; to go on, begin with the next step.",
    "Backfill.ObjectsFailed": "See why with `fargate-batch runs --backfill`, then continue it.",
    "Pipeline.StepFailed": "Fix what made the step fail, then start the pipeline again.",
}
"""What to do about an execution or task that ended with an error."""
OTHERWISE = "Fix the first problem that the log names, then start it again."
"""What to do about any other."""

OUT_OF_MEMORY = "Give the job more memory or smaller input, then start it again."
"""What to do about a container that needed more memory than its task has."""

WHAT_TO_DO = " What to do: "
"""Before the advice at the end of a cause: a message that has the advice itself cuts it off."""
