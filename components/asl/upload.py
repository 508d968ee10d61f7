"""The event of an upload, as the input of an execution, and what its container is told of it."""

import re
from collections.abc import Mapping, Sequence

from .states import States, expression

# No argument and no variable of a process can hold it.
NUL = r'"\u0000"'

# A path reads through lists: [{"a": 1}].a is 1.
IS_UPLOAD = f"""
    $type($states.input) = "object"
    and $states.input.source = "aws.s3"
    and $states.input."detail-type" = "Object Created"
    and $type($states.input.detail) = "object"
    and $type($states.input.detail.bucket) = "object"
    and $type($states.input.detail.object) = "object"
    and $type($states.input.detail.bucket.name) = "string"
    and $type($states.input.detail.object.key) = "string"
    and $not($contains($states.input.detail.bucket.name & $states.input.detail.object.key, {NUL}))
"""

# Variables of the container by where they are below the event's `detail`. All but the first two are
# of digits, letters, hyphens, dots and underscores, and empty where S3 does not say them, as for
# the version in a bucket that keeps none:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
VARIABLES = {
    "BUCKET": ("bucket", "name"),
    "OBJECT_KEY": ("object", "key"),
    "OBJECT_VERSION": ("object", "version-id"),
    "OBJECT_SIZE": ("object", "size"),
    "OBJECT_ETAG": ("object", "etag"),
    "OBJECT_SEQUENCER": ("object", "sequencer"),
}


def variables() -> str:
    """A JSONata object of the variables, from the event that is the input."""
    members = (
        f'"{name}": $states.input.detail.{part}."{member}" & ""'
        for name, (part, member) in VARIABLES.items()
    )
    return f"{{{', '.join(members)}}}"


Exclusions = Mapping[str, Sequence[str]]
"""Keys, with * for any characters, that start nothing, by the name of their upload.

The event of such an upload has its name as `upload`, beside what S3 says.
"""


def is_excluded(exclusions: Exclusions, then: str) -> list[dict[str, str]]:
    """The rules of a Choice that goes to `then` with an upload that is to start nothing."""
    keys = " or ".join(
        f"""($states.input.upload = "{name}"
            and $contains($states.input.detail.object.key & {NUL}, {_matching(patterns)}))"""
        for name, patterns in sorted(exclusions.items())
    )
    return [{"Condition": expression(f"{IS_UPLOAD} and ({keys})"), "Next": then}] if keys else []


def excluded(exclusions: Exclusions, name: str) -> States:
    """The state `name`, in which the execution of such an upload ends."""
    output = {"skipped": True, "upload": expression("$states.input.upload")}
    return {name: {"Type": "Succeed", "Output": output}} if exclusions else {}


def _matching(wildcards: Sequence[str]) -> str:
    """A regular expression of the whole key with NUL after it, which no key has."""
    patterns = [
        "".join(_part(part) for part in re.findall(r"\\[\\*]|.", wildcard, re.DOTALL))
        for wildcard in wildcards
    ]
    # What $ means at a line break differs, so the key has another end.
    return rf"/^(?:{'|'.join(patterns)})\u0000/"


def _part(part: str) -> str:
    if part == "*":
        return r"[\s\S]*"
    character = part[-1]
    # Written so, no character means anything else, be it to this, or white space to `expression`.
    plain = character.isalnum() or character > "\uffff"
    return character if plain else f"\\u{ord(character):04x}"
