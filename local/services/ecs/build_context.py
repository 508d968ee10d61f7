"""A build context's folder → the files that a build sees: what its .dockerignore leaves.

https://docs.docker.com/build/concepts/context/#dockerignore-files
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def files(folder: Path) -> Iterator[PurePosixPath]:
    """The files of `folder` that are not ignored, by their path in it, sorted; bytecode apart."""
    rules = _rules(folder / ".dockerignore")
    for parent, folders, names in os.walk(folder):
        folders.sort()
        folders[:] = [name for name in folders if name != "__pycache__"]
        inside = PurePosixPath(Path(parent).relative_to(folder).as_posix())
        for name in sorted(names):
            path = inside / name
            if not _ignored(path, rules):
                yield path


def _rules(path: Path) -> list[tuple[re.Pattern[str], bool]]:
    if not path.is_file():
        return []
    rules: list[tuple[re.Pattern[str], bool]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        kept = pattern.startswith("!")
        pattern = os.path.normpath(pattern.removeprefix("!").strip()).strip("/")
        rules.append((_compiled(pattern), not kept))
    return rules


def _compiled(pattern: str) -> re.Pattern[str]:
    """Go's filepath.Match with `**` for any number of folders; what is below matches too."""
    tokens = re.findall(r"\*\*/?|\*|\?|\[\^?[^]]*\]|\\.|.", pattern)
    special = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    text = "".join(
        special.get(token)
        or (token if len(token) > 1 and token[0] == "[" else re.escape(token[-1]))
        for token in tokens
    )
    return re.compile(f"{text}(?:/.*)?", re.DOTALL)


def _ignored(path: PurePosixPath, rules: list[tuple[re.Pattern[str], bool]]) -> bool:
    """The last rule that matches decides."""
    text = path.as_posix()
    return next((ignore for rule, ignore in reversed(rules) if rule.fullmatch(text)), False)
