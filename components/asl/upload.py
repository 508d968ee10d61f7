"""The event of an upload, as the input of an execution, and what its container is told of it."""

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
