"""From a container image's URI to the build context it came from, and what its Dockerfile runs."""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock


class ImageError(Exception):
    """An image that cannot be run here; the message is one line."""


class UnknownImage(ImageError):  # noqa: N818 - says what happened
    """No build context is registered for the image."""


@dataclass(frozen=True)
class Image:
    """What one Dockerfile runs: the exec-form entry point and command, and its `ENV` lines."""

    context: Path
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict[str, str])


class Images:
    """The images of one cloud: each URI with the build context behind it."""

    def __init__(self) -> None:
        self._contexts: dict[str, Path] = {}
        self._read: dict[tuple[Path, int], Image] = {}
        self._lock = Lock()

    def add(self, uri: str, context: Path) -> None:
        """Let `uri`, as a task definition names it, be run from the build context `context`."""
        with self._lock:
            self._contexts[uri] = context.resolve()

    def find(self, uri: str) -> Image:
        """The image of `uri`, its Dockerfile read again when it has changed.

        Raises `UnknownImage` for a URI never added and `ImageError` for a Dockerfile that is
        missing or has no exec-form entry point or command.
        """
        with self._lock:
            context = self._contexts.get(uri)
        if context is None:
            raise UnknownImage(f"{uri}: not found")
        dockerfile = context / "Dockerfile"
        try:
            changed = dockerfile.stat().st_mtime_ns
            with self._lock:
                if (known := self._read.get((context, changed))) is not None:
                    return known
            image = read_dockerfile(dockerfile)
        except OSError as error:
            raise ImageError(f"{uri}: {error.strerror}: {dockerfile}") from None
        with self._lock:
            self._read[context, changed] = image
        return image


def read_dockerfile(path: Path) -> Image:
    """Read `ENTRYPOINT`, `CMD` and `ENV` of a Dockerfile's last stage.

    Only the exec form is understood, as it is the only one that receives signals and arguments
    unchanged: https://docs.docker.com/reference/dockerfile/#shell-and-exec-form
    """
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    for keyword, rest in _instructions(path.read_text(encoding="utf-8")):
        match keyword:
            case "FROM":
                entry_point, command, environment = (), (), {}
            case "ENTRYPOINT":
                entry_point, command = _exec_form(path, keyword, rest), ()
            case "CMD":
                command = _exec_form(path, keyword, rest)
            case "ENV":
                environment.update(_env(rest))
            case _:
                pass
    if not entry_point and not command:
        raise ImageError(f"{path} has neither ENTRYPOINT nor CMD")
    return Image(path.parent, entry_point, command, environment)


def _instructions(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    pending = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#") or (not stripped and not pending):
            continue
        if stripped.endswith("\\"):
            pending += stripped[:-1] + " "
            continue
        keyword, _, rest = (pending + stripped).strip().partition(" ")
        pending = ""
        found.append((keyword.upper(), rest.strip()))
    return found


def _exec_form(path: Path, keyword: str, rest: str) -> tuple[str, ...]:
    try:
        words: object = json.loads(rest)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ImageError(f'{path}: {keyword} {rest} is not in exec form: ["program", "argument"]')
    return tuple(str(word) for word in words)


def _env(rest: str) -> dict[str, str]:
    first = rest.split(maxsplit=1)[0]
    if "=" not in first:
        name, _, value = rest.partition(" ")
        return {name: value.strip()}
    pairs = (word.partition("=") for word in shlex.split(rest))
    return {name: value for name, _, value in pairs}
