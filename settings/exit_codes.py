"""`jobs.NAME.exitCodes`: what the exit codes of an image mean that has meanings of its own."""

import re
from typing import Annotated, Self

from pydantic import BeforeValidator, model_validator

from .values import Section


def _range(value: object) -> object:
    """A number, or two such as 10-19, as the first and the last exit code."""
    match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", str(value))
    if match is None or isinstance(value, bool):
        raise ValueError("must be an exit code, or a range of them such as 10-19")
    first, last = int(match[1]), int(match[2] or match[1])
    if not first <= last <= 255:
        raise ValueError("an exit code is 0 to 255, and a range goes up")
    return first, last


ExitCodeRanges = tuple[Annotated[tuple[int, int], BeforeValidator(_range)], ...]


class ExitCodeSettings(Section):
    """What exit codes mean; the contract's meanings hold for those that are not here.

    0 is success, said or not.
    """

    success: ExitCodeRanges = ()
    warning: ExitCodeRanges = ()
    retry: ExitCodeRanges = ()

    @model_validator(mode="after")
    def _mean_one_thing(self) -> Self:
        if 0 in {*self.codes("warning"), *self.codes("retry")}:
            raise ValueError("0 is success, whatever the job")
        for one, other in (("success", "warning"), ("success", "retry"), ("warning", "retry")):
            if both := set(self.codes(one)) & set(self.codes(other)):
                raise ValueError(f"{min(both)} is in both {one} and {other}")
        return self

    def codes(self, meaning: str) -> tuple[int, ...]:
        """Those that have this meaning, one by one."""
        ranges: ExitCodeRanges = getattr(self, meaning)
        named = {code for first, last in ranges for code in range(first, last + 1)}
        return tuple(sorted(named - {0} if meaning == "success" else named))
