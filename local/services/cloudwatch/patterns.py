"""CloudWatch Logs: filter patterns on JSON, which pick lines by what their fields hold.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html. MiniStack
knows patterns of words; one of JSON matches everything there.
"""

import fnmatch
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from local.ministack import internals
from local.ministack.internals import Response
from local.ministack.seam import Refused, Request, serve
from local.runtime import Runtime

Test = Callable[[Any], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>&&|\|\||[()])|(?P<field>\$(?:\.[\w-]+|\["[^"]+"\]|\[\d+\])+)
    |(?P<operator>!=|<=|>=|=|<|>|NOT\s+EXISTS|IS\s+(?:NULL|TRUE|FALSE))
    |(?P<text>"(?:\\.|[^"\\])*")|(?P<word>[^\s()&|=<>!"]+))""",
    re.VERBOSE,
)
_STEP = re.compile(r"\.([\w-]+)|\[\"([^\"]+)\"\]|\[(\d+)\]")
_MISSING = object()


class PatternError(ValueError):
    """The pattern is none that CloudWatch Logs takes."""


def install(cloud: Runtime) -> None:
    """Take patterns on JSON, and refuse what is none, until the cloud closes."""
    internals.filter_pattern.replace(_compiled)
    cloud.on_close(serve("logs", {"FilterLogEvents": _checked}))


def _compiled(raw: str) -> Callable[[str], bool]:
    if raw.strip().startswith("{"):
        return compiled(raw)
    return internals.filter_pattern.original(raw)


async def _checked(request: Request) -> Response:
    try:
        _compiled(str(request.members.get("filterPattern") or ""))
    except PatternError as error:
        raise Refused("InvalidParameterException", f"Invalid filter pattern: {error}") from None
    return await request.pass_on()


def compiled(pattern: str) -> Callable[[str], bool]:
    """Whether a line is JSON of which a pattern `{ … }` holds.

    Raises:
        PatternError: it is not one.
    """
    text = pattern.strip()
    if not (text.startswith("{") and text.endswith("}")):
        raise PatternError(pattern)
    tokens = _tokens(text[1:-1])
    test = _Parser(tokens).whole()

    def matches(line: str) -> bool:
        try:
            return test(json.loads(line))
        except ValueError:
            return False

    return matches


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise PatternError(text[at:])
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


class _Parser:
    """`&&` binds more closely than `||`; parentheses bind most."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens: Iterator[tuple[str, str]] = iter([*tokens, ("end", "")])
        self._next = next(self._tokens)

    def whole(self) -> Test:
        """The whole pattern."""
        test = self._either()
        if self._next[0] != "end":
            raise PatternError(self._next[1])
        return test

    def _take(self) -> tuple[str, str]:
        taken, self._next = self._next, next(self._tokens, ("end", ""))
        return taken

    def _either(self) -> Test:
        tests = [self._both()]
        while self._next == ("mark", "||"):
            self._take()
            tests.append(self._both())
        return lambda line: any(test(line) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._next == ("mark", "&&"):
            self._take()
            tests.append(self._one())
        return lambda line: all(test(line) for test in tests)

    def _one(self) -> Test:
        kind, text = self._take()
        if (kind, text) == ("mark", "("):
            test = self._either()
            if self._take() != ("mark", ")"):
                raise PatternError(text)
            return test
        if kind != "field":
            raise PatternError(text)
        return self._condition(text)

    def _condition(self, field: str) -> Test:
        kind, operator = self._take()
        if kind != "operator":
            raise PatternError(operator)
        operator = " ".join(operator.split())
        constants: dict[str, object] = {"IS NULL": None, "IS TRUE": True, "IS FALSE": False}
        if operator == "NOT EXISTS":
            return lambda line: _at(line, field) is _MISSING
        if operator in constants:
            return lambda line: _at(line, field) is constants[operator]
        kind, value = self._take()
        if kind not in {"text", "word"}:
            raise PatternError(value)
        compare = _comparison(operator, json.loads(value) if kind == "text" else value)
        return lambda line: (found := _at(line, field)) is not _MISSING and compare(found)


def _comparison(operator: str, value: str) -> Test:
    """A text is compared as it is, `*` in it for any text; a number, as a number."""
    if operator in {"=", "!="}:
        pattern = re.compile(fnmatch.translate(value.replace("[", "[[]").replace("?", "[?]")))

        def same(found: object) -> bool:
            if isinstance(found, bool) or found is None or isinstance(found, dict | list):
                return False
            if isinstance(found, str):
                return pattern.match(found) is not None
            return _number(value) == found

        return same if operator == "=" else lambda found: not same(found)
    limit = _number(value)
    if limit is None:
        raise PatternError(value)
    tests: dict[str, Callable[[float], bool]] = {
        "<": lambda found: found < limit,
        "<=": lambda found: found <= limit,
        ">": lambda found: found > limit,
        ">=": lambda found: found >= limit,
    }
    return lambda found: (
        isinstance(found, int | float) and not isinstance(found, bool) and tests[operator](found)
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _at(line: Any, field: str) -> Any:  # noqa: ANN401 -- JSON
    found = line
    for name, quoted, index in _STEP.findall(field):
        try:
            found = found[int(index)] if index else found[name or quoted]
        except (IndexError, KeyError, TypeError):
            return _MISSING
    return found
