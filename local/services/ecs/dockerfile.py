"""A Dockerfile's text → its stages, each a base and its instructions, variables not yet replaced.

https://docs.docker.com/reference/dockerfile/
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Document:
    """A here-document: its name, which a COPY gives to a file, and its text."""

    name: str
    text: str
    expand: bool
    """Whether variables in it are replaced: its name was not in quotes."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: `COPY --from=build a b` has the flag `from` and the text `a b`."""

    keyword: str
    text: str
    flags: Mapping[str, str] = field(default_factory=dict[str, str])
    documents: tuple[Document, ...] = ()

    @property
    def exec_form(self) -> tuple[str, ...] | None:
        """The words of `["program", "argument"]`; None of anything else, which is shell form."""
        try:
            words: object = json.loads(self.text)
        except ValueError:
            return None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return None
        return tuple(str(word) for word in words)


@dataclass(frozen=True)
class Stage:
    """What one FROM begins."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]


def parse(text: str) -> tuple[tuple[Instruction, ...], tuple[Stage, ...]]:
    """The instructions before the first FROM (only ARG may stand there), and the stages.

    A file without FROM is one stage without a base.
    """
    before: list[Instruction] = []
    stages: list[tuple[str, str, list[Instruction]]] = []
    for instruction in _instructions(text):
        if instruction.keyword == "FROM":
            base, name = _from(instruction.text)
            stages.append((base, name, []))
        elif stages:
            stages[-1][2].append(instruction)
        else:
            before.append(instruction)
    if not stages:
        return (), (Stage("", "", tuple(before)),)
    return tuple(before), tuple(Stage(base, name, tuple(found)) for base, name, found in stages)


def _from(text: str) -> tuple[str, str]:
    words = text.split()
    named = len(words) == 3 and words[1].upper() == "AS"
    return (words[0] if words else ""), (words[2].lower() if named else "")


_HEREDOC = re.compile(r"<<-?(['\"]?)([A-Za-z_][\w.]*)\1")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)")
_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*([\\`])\s*", re.IGNORECASE)


def _instructions(text: str) -> list[Instruction]:
    lines = text.removeprefix("\ufeff").splitlines()
    escape = next((match[1] for line in lines[:3] if (match := _DIRECTIVE.fullmatch(line))), "\\")
    found: list[Instruction] = []
    at = 0
    while at < len(lines):
        whole, at = _logical_line(lines, at, escape)
        if not whole:
            continue
        keyword, _, rest = whole.partition(" ")
        flags: dict[str, str] = {}
        rest = rest.lstrip()
        while match := _FLAG.match(rest):
            flags[match[1]] = match[2] or ""
            rest = rest[match.end() :]
        documents: list[Document] = []
        if keyword.upper() in {"RUN", "COPY", "ADD"}:
            for quote, name in _HEREDOC.findall(rest):
                body: list[str] = []
                while at < len(lines) and lines[at].strip() != name:
                    body.append(lines[at])
                    at += 1
                at += 1
                documents.append(Document(name, "".join(f"{line}\n" for line in body), not quote))
        found.append(Instruction(keyword.upper(), rest.strip(), flags, tuple(documents)))
    return found


def _logical_line(lines: list[str], at: int, escape: str) -> tuple[str, int]:
    """An instruction with its continuation lines as one; comments between them are left out."""
    parts: list[str] = []
    while at < len(lines):
        line = lines[at].strip()
        at += 1
        if line.startswith("#") or not line:
            if parts:
                continue
            return "", at
        if not line.endswith(escape):
            parts.append(line)
            break
        parts.append(line[: -len(escape)].strip())
    return " ".join(" ".join(parts).split("\t")), at


_VARIABLE = re.compile(
    r"\\(?P<escaped>[$\\])|\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?::?(?P<how>[-+])(?P<other>[^}]*))?\})"
)


def replaced(text: str, variables: Mapping[str, str]) -> str:
    """`text` with `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` replaced."""

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return match["escaped"]
        found = variables.get(match["plain"] or match["name"], "")
        if match["how"] == "-":
            return found or match["other"]
        if match["how"] == "+":
            return match["other"] if found else ""
        return found

    return _VARIABLE.sub(value, text)
