"""Arguments and environment → one document fit for a log: what the job's people set, no secrets."""

import re
from collections.abc import Mapping, Sequence

MASK = "***"

# What the base image, the shell, ECS and the SDK put there says nothing about the job. The whole
# of AWS_ and ECS_ goes: task credentials are fetched from the URIs in them.
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
_SURROUNDINGS = re.compile(
    r"(AWS|ECS|PYTHON|LC)_.*|PYTHON.*|PATH|HOME|HOSTNAME|PWD|OLDPWD|SHLVL|TERM|LANG|GPG_KEY"
    r"|VIRTUAL_ENV|_",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSW|PASSPHRASE|PASS$|PWD|CREDENTIAL|KEY|AUTH(?!OR)|SIGNATURE|COOKIE|SESSION"
    r"|PRIVATE|DSN|CONN(ECTION)?_?STR|WEBHOOK|SALT$",
    re.IGNORECASE,
)
_PLAIN_NAMES = frozenset({"OBJECT_KEY"})
_SECRET_PARTS = (
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*", re.DOTALL),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    re.compile(r"\b(?:gh[pousr]_|github_pat_|xox[abprs]-|sk-|sk_live_)[\w-]{16,}"),
    re.compile(r"(?<=://)[^/\s@]+(?=@)"),
    re.compile(
        r"(?<=[?&;])(?:X-Amz-(?:Signature|Credential|Security-Token)|sig|Signature)=[^&\s]+"
    ),
    re.compile(r"(?i)(?<=bearer )[\w.~+/-]+=*"),
)
_SECRET_FLAG = re.compile(
    r"--?[\w-]*(?:secret|token|passw(?:or)?d|passphrase|credential|(?:api|access|private)[-_]?key)[\w-]*",
    re.IGNORECASE,
)
_SECRET_ASSIGNMENT = re.compile(
    r"((?:--?)?[\w-]*(?:secret|token|passw(?:or)?d|passphrase|credential|(?:api|access|private)[-_]?key)"
    r"[\w-]*[=:])(.+)",
    re.IGNORECASE | re.DOTALL,
)


def describe(arguments: Sequence[str], environment: Mapping[str, str]) -> dict[str, object]:
    """Return `{"args": [...], "environment": {...}}` with everything secret masked."""
    return {
        "args": _mask_arguments(arguments),
        "environment": {
            name: MASK if _is_secret(name) and value else _mask_parts(value)
            for name, value in sorted(environment.items())
            if not _SURROUNDINGS.fullmatch(name)
        },
    }


def _is_secret(name: str) -> bool:
    return name not in _PLAIN_NAMES and _SECRET_NAME.search(name) is not None


def _mask_parts(value: str) -> str:
    for pattern in _SECRET_PARTS:
        value = pattern.sub(MASK, value)
    return value


def _mask_arguments(arguments: Sequence[str]) -> list[str]:
    masked: list[str] = []
    after_flag = False
    for argument in arguments:
        if after_flag:
            masked.append(MASK)
            after_flag = False
        elif assignment := _SECRET_ASSIGNMENT.fullmatch(argument):
            masked.append(assignment[1] + MASK)
        else:
            after_flag = _SECRET_FLAG.fullmatch(argument) is not None
            masked.append(_mask_parts(argument))
    return masked
