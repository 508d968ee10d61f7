"""What the names of a stack's state machines and task definitions begin with."""

import re

import pulumi

# What they have after the stack's name. Of backfills there is one, which no pattern matches: a
# stack may be called so.
KINDS = ("job", "pipeline", "limit", "reaper", "alerts")


def machine_prefix() -> str:
    """What the names of all state machines and task definitions of this stack begin with.

    PROJECT-STACK-, followed by what kind it is. Where that could be read as another stack's, an
    underscore tells them apart: the pattern PROJECT-prod-pipeline-* of the stack prod must match
    nothing of the stack prod-pipeline, which is called PROJECT-prod-_pipeline- here.
    """
    stack = f"{pulumi.get_project()}-{pulumi.get_stack()}"
    return re.sub(rf"-(_*(?:{'|'.join(KINDS)}))(?=-|$)", r"-_\1", stack) + "-"
