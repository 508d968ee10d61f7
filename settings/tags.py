"""`tags`: of a job's tasks, for the bill."""

from typing import Annotated

from pydantic import Field

from .values import Text, matching

_CHARACTERS = r"[\w .:/=+@-]"
# https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html#id_tags_naming_best_practices
TagName = Annotated[
    str,
    matching(
        rf"(?!(?i:aws:))(?!batch-(job|trigger)$)(?! ){_CHARACTERS}{{1,128}}(?<! )",
        "a tag's name is 1 to 128 letters, digits, spaces and . : / = + - @ _, and not aws:…, "
        "batch-job or batch-trigger",
    ),
]
TagValue = Annotated[
    Text,
    matching(
        rf"{_CHARACTERS}{{0,256}}",
        "a tag's value is at most 256 letters, digits, spaces and . : / = + - @ _",
    ),
]
# A task has at most 50, those of the stack and of what started it among them:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-using-tags.html
Tags = Annotated[dict[TagName, TagValue], Field(max_length=20)]
