"""From a container image's URI to what a process needs to stand in for its container."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Lock

from local.services.ecs import build_context
from local.services.ecs.build import Image, ImageError, build, with_command
from local.services.ecs.docker import Docker, EngineImage


class UnknownImage(ImageError):  # noqa: N818 - says what happened
    """Nothing stands for the image."""


@dataclass(frozen=True)
class _Context:
    folder: Path
    dockerfile: str


class Images:
    """The images of one cloud: each URI with the build context, or the command, behind it.

    Args:
        commands: commands of this machine that stand for images, by the image's URI, or its
            repository's with any tag.
        folder: where those commands run.
        docker: the container engine that has every image for which a process cannot stand.
    """

    def __init__(
        self,
        commands: dict[str, tuple[str, ...]] | None = None,
        folder: Path | None = None,
        docker: Docker | None = None,
    ) -> None:
        self.docker = docker
        self.lacking: set[str] = set()
        """The images, by name, for which a process cannot stand: an engine has them, or nobody."""
        self.stand_for(commands or {}, folder or Path.cwd())
        self._contexts: dict[str, _Context] = {}
        self._built: dict[_Context, tuple[object, Image | EngineImage]] = {}
        self._lock = Lock()
        self._numbers = count()
        self._builds: Path | None = None

    def stand_for(self, commands: Mapping[str, Sequence[str]], folder: Path) -> None:
        """Have these commands stand for images from now on, and no others."""
        self._commands = {uri: with_command(it, folder) for uri, it in commands.items()}

    def build_in(self, folder: Path) -> None:
        """Build in `folder` from now on, and anew what was built before."""
        with self._lock:
            self._builds = folder
            self._built.clear()

    def add(self, uri: str, context: Path, dockerfile: str = "Dockerfile") -> None:
        """Let `uri`, as a task definition names it, be run from the build context `context`.

        `dockerfile` is a path in it, or an absolute one.
        """
        with self._lock:
            self._contexts[uri] = _Context(context.resolve(), dockerfile)

    def find(self, uri: str) -> Image | EngineImage:
        """The image of `uri`, built again when a file of its context has changed.

        Raises `UnknownImage` for a URI that nothing stands for and `ImageError` for what cannot be
        built here.
        """
        for name in (uri, _repository(uri)):
            if (mapped := self._commands.get(name)) is not None:
                return mapped
        with self._lock:
            context = self._contexts.get(uri)
            if context is None:
                self.lacking.add(uri)
                if self.docker is None:
                    raise UnknownImage(f"{uri}: not found")
                return EngineImage(self.docker, uri)
            state = _state(context)
            known = self._built.get(context)
            if known is None or known[0] != state:
                known = self._built[context] = (state, self._build(uri, context))
            return known[1]

    def _build(self, uri: str, context: _Context) -> Image | EngineImage:
        if self._builds is None:
            raise ImageError(f"{uri}: there is no folder to build it in")
        root = self._builds / str(next(self._numbers))
        docker, name = self.docker, f"{context.folder.name}/{Path(context.dockerfile).name}"
        try:
            found = build(context.folder, root, file=context.dockerfile, whole=docker is not None)
        except ImageError:
            self.lacking.add(name)
            if docker is None:
                raise
            return EngineImage(docker, docker.build(context.folder, context.dockerfile))
        (self.lacking.add if found.notes else self.lacking.discard)(name)
        return found

    def fetch(self, image: EngineImage) -> None:
        """Have the engine pull an image that it does not have; raises `UnknownImage`."""
        try:
            image.docker.fetch(image.reference)
        except ImageError as error:
            raise UnknownImage(str(error)) from None


def _repository(uri: str) -> str:
    """An image's URI without its tag and digest."""
    name = uri.partition("@")[0]
    head, colon, tag = name.rpartition(":")
    return head if colon and "/" not in tag else name


def _state(context: _Context) -> Sequence[tuple[str, int, int]]:
    """What changes when a file of the context does, or its Dockerfile."""
    folder, found = context.folder, list[tuple[str, int, int]]()
    elsewhere = folder / context.dockerfile
    paths = [*build_context.files(folder), *([elsewhere] if elsewhere.is_file() else [])]
    for path in paths:
        status = (folder / path).lstat()
        found.append((path.as_posix(), status.st_mtime_ns, status.st_size))
    return found
