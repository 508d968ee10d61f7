"""A Dockerfile and its context → what a process needs to stand in for the container.

COPY, WORKDIR, ENV and the like are carried out in a folder that stands for the image's root. What
`RUN pip install` names goes into an environment of the image's own. No other RUN is carried out, as
it would run on this machine: what that leaves undone is in `Image.notes`.
"""

import compileall
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from local.services.ecs import build_context, dockerfile, python_environment
from local.services.ecs.dockerfile import Instruction
from local.services.ecs.python_environment import Requirements

ROOT = PurePosixPath("/")


class ImageError(Exception):
    """An image that cannot be run here; the message is one line."""


@dataclass(frozen=True)
class Image:
    """What a container of the image is started with.

    `root` has the image's own files: a path of the image is below it, and each container has a copy
    of it. Without one, paths are this machine's. `programs` is the folder whose programs come
    first, `python` among them.
    """

    root: Path | None
    programs: Path
    workdir: PurePosixPath = ROOT
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: tuple[str, ...] = ()


def build(context: Path, root: Path, *, file: str = "Dockerfile", whole: bool = False) -> Image:
    """Carry out `file` of the folder `context`; the image's files go to the empty folder `root`.

    Raises `ImageError` where there is nothing to run, a file to copy is missing, or the Python
    packages cannot be installed; where the image must be `whole`, also for what is left undone.
    """
    path = context / file
    try:
        before, stages = dockerfile.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from None
    arguments = dict(_argument(one, {}) for one in before if one.keyword == "ARG")
    built: dict[str, _Stage] = {}
    last: _Stage | None = None
    for number, stage in enumerate(stages):
        base = dockerfile.replaced(stage.base, arguments)
        last = _Stage(context, root / str(number), base, arguments, built)
        for instruction in stage.instructions:
            last.carry_out(instruction)
        built[stage.name or str(number)] = built[str(number)] = last
    if last is None or not (last.entry_point or last.command):
        raise ImageError(f"{path} has neither ENTRYPOINT nor CMD: say what the container runs")
    if whole and last.notes:
        raise ImageError(f"{path}: {last.notes[0]}")
    try:
        programs = python_environment.programs(last.requirements)
    except python_environment.InstallError as error:
        raise ImageError(f"{path}: {error}") from None
    return Image(
        root=last.root,
        programs=programs,
        workdir=last.workdir,
        entry_point=last.entry_point,
        command=last.command,
        environment=last.environment,
        notes=tuple(dict.fromkeys(last.notes)),
    )


# Bases whose programs a process of this machine has, or that have none.
_AT_HOME = re.compile(
    r"python|pypy|uv|debian|ubuntu|alpine|busybox|scratch|amazonlinux|distroless|chainguard|batch"
)


class _Stage:
    """One stage of a Dockerfile while it is carried out."""

    def __init__(
        self,
        context: Path,
        root: Path,
        base: str,
        arguments: Mapping[str, str],
        built: Mapping[str, "_Stage"],
    ) -> None:
        self.root = root
        self.workdir = ROOT
        self.entry_point: tuple[str, ...] = ()
        self.command: tuple[str, ...] = ()
        self.environment: dict[str, str] = {}
        self.requirements = Requirements()
        self.notes: list[str] = []
        self._context = context
        self._arguments = arguments
        self._variables: dict[str, str] = {}
        self._shell: tuple[str, ...] = ("/bin/sh", "-c")
        self._built = built
        root.mkdir(parents=True)
        if (earlier := built.get(base.lower())) is not None:
            shutil.copytree(earlier.root, root, symlinks=True, dirs_exist_ok=True)
            self.workdir, self.environment = earlier.workdir, dict(earlier.environment)
            self.entry_point, self.command = earlier.entry_point, earlier.command
            self.requirements, self.notes = earlier.requirements, list(earlier.notes)
        elif base and not _AT_HOME.search(re.split("[:@]", base.rpartition("/")[2])[0]):
            self.notes.append(f"FROM {base}: programs of this machine run in place of the image's")

    def carry_out(self, instruction: Instruction) -> None:
        text = instruction.text
        match instruction.keyword:
            case "ENV":
                self.environment.update(self._pairs(text))
            case "ARG":
                name, value = _argument(instruction, self._known())
                self._variables[name] = value or self._arguments.get(name, "")
            case "WORKDIR":
                self.workdir = self._inside(self._replaced(text))
                self._on_disk(self.workdir).mkdir(parents=True, exist_ok=True)
            case "COPY" | "ADD":
                self._copy(instruction)
            case "RUN":
                self._run(instruction)
            case "SHELL":
                self._shell = instruction.exec_form or self._shell
            case "ENTRYPOINT":
                self.entry_point, self.command = self._words(instruction), ()
            case "CMD":
                self.command = self._words(instruction)
            case _:
                pass

    def _known(self) -> dict[str, str]:
        return {**self._variables, **self.environment}

    def _replaced(self, text: str) -> str:
        return dockerfile.replaced(text, self._known())

    def _inside(self, path: str) -> PurePosixPath:
        return PurePosixPath(os.path.normpath(self.workdir / path))

    def _on_disk(self, path: PurePosixPath) -> Path:
        return self.root / path.relative_to("/")

    def _words(self, instruction: Instruction) -> tuple[str, ...]:
        return instruction.exec_form or (*self._shell, instruction.text)

    def _pairs(self, text: str) -> dict[str, str]:
        if "=" not in text.split(maxsplit=1)[0]:
            name, _, value = text.partition(" ")
            return {name: self._replaced(value.strip())}
        pairs = (word.partition("=") for word in shlex.split(text))
        return {name: self._replaced(value) for name, _, value in pairs}

    # COPY and ADD

    def _copy(self, instruction: Instruction) -> None:
        words = list(instruction.exec_form or shlex.split(self._replaced(instruction.text)))
        *sources, to = [self._replaced(word) for word in words]
        whole = f"{instruction.keyword} {instruction.text}"
        destination = self._on_disk(self._inside(to))
        into = to.endswith("/") or len(sources) > 1 or destination.is_dir()

        def target(name: str) -> Path:
            return destination / name if into else destination

        documents = {document.name: document for document in instruction.documents}
        for source in sources:
            heredoc = re.fullmatch(r"<<-?['\"]?([\w.]+)['\"]?", source)
            if heredoc is not None:
                document = documents[heredoc[1]]
                text = self._replaced(document.text) if document.expand else document.text
                target(document.name).parent.mkdir(parents=True, exist_ok=True)
                target(document.name).write_text(text, encoding="utf-8")
            elif re.match(r"https?://|git@", source):
                self.notes.append(f"{whole}: not downloaded")
            elif (origin := instruction.flags.get("from")) is not None:
                self._copy_from(self._replaced(origin).lower(), source, target, whole)
            else:
                self._copy_context(source, destination, target, whole)

    def _copy_from(
        self, origin: str, source: str, target: Callable[[str], Path], whole: str
    ) -> None:
        stage = self._built.get(origin)
        if stage is None:
            self.notes.append(f"{whole}: another image's files are not here")
            return
        # What pip installed there has no files in the stage: it comes along as requirements.
        self.requirements += stage.requirements
        found = sorted(stage.root.glob(source.strip("/") or "."))
        if not found:
            if not stage.requirements:
                self.notes += [*stage.notes, f"{whole}: not there, as its RUN is not carried out"]
            return
        for path in found:
            if path.is_dir():
                shutil.copytree(path, target("."), symlinks=True, dirs_exist_ok=True)
            else:
                _place(path, target(path.name))

    def _copy_context(
        self, source: str, destination: Path, target: Callable[[str], Path], whole: str
    ) -> None:
        pattern = os.path.normpath(source).lstrip("/")
        matched = False
        for path in build_context.files(self._context):
            inside = _below(path, pattern)
            if inside is None:
                continue
            matched = True
            _place(
                self._context / path, destination / inside if inside.parts else target(path.name)
            )
        if not matched and not any(self._context.glob(pattern)):
            raise ImageError(f"{self._context / 'Dockerfile'}: {whole}: no such file in its folder")

    # RUN

    def _run(self, instruction: Instruction) -> None:
        script = " ; ".join(document.text for document in instruction.documents)
        words = instruction.exec_form
        script = shlex.join(words) if words else script or instruction.text
        folder = self.workdir
        for command in _commands(self._replaced(script)):
            name = PurePosixPath(command[0]).name
            if name == "cd" and len(command) == 2:
                folder = PurePosixPath(os.path.normpath(folder / command[1]))
            elif name == "mkdir":
                for made in command[1:]:
                    if not made.startswith("-"):
                        path = PurePosixPath(os.path.normpath(folder / made))
                        self._on_disk(path).mkdir(parents=True, exist_ok=True)
            elif name == "chmod" and len(command) > 2:
                self._make_executable(folder, command)
            elif (wanted := python_environment.pip_install(command)) is not None:
                self.requirements += wanted.read(self._on_disk(folder), self.root)
            elif "compileall" in command:
                # What is compiled once need not be in each container.
                compileall.compile_dir(self.root, quiet=2)
            elif name not in _WITHOUT_EFFECT and not _only_looks_after_python(command):
                self.notes.append(f"RUN {shlex.join(command)} is not carried out")

    def _make_executable(self, folder: PurePosixPath, command: Sequence[str]) -> None:
        mode, *paths = [word for word in command[1:] if not word.startswith("-")]
        for word in paths:
            path = self._on_disk(PurePosixPath(os.path.normpath(folder / word)))
            if path.is_file() and re.search(r"[+=].*x|[1357]", mode):
                path.chmod(path.stat().st_mode | 0o111)


def _argument(instruction: Instruction, known: Mapping[str, str]) -> tuple[str, str]:
    name, _, value = instruction.text.partition("=")
    return name.strip(), dockerfile.replaced(value.strip().strip("\"'"), known)


def _below(path: PurePosixPath, pattern: str) -> PurePosixPath | None:
    """The rest of `path` below the part of it that `pattern` names; None where it names another."""
    if pattern == ".":
        return path
    parts = PurePosixPath(pattern).parts
    heads = path.parts[: len(parts)]
    if len(heads) < len(parts) or not all(map(fnmatchcase, heads, parts)):
        return None
    return PurePosixPath(*path.parts[len(parts) :])


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


# What these do, a process on this machine has no use for.
_WITHOUT_EFFECT = {
    *("set", "export", "true", ":", "echo", "rm", "useradd", "adduser", "groupadd", "addgroup"),
    *("usermod", "chown", "test", "[", "if", "then", "fi", "else", "locale-gen", "ldconfig"),
}
_PREPARES_ONLY = {"update", "upgrade", "clean", "autoremove"}


def _only_looks_after_python(command: Sequence[str]) -> bool:
    """Whether it compiles, clears a cache, makes a virtual environment or only refreshes lists."""
    name = PurePosixPath(command[0]).name
    if name in {"apt-get", "apt", "apk", "dnf", "yum"}:
        words = [word for word in command[1:] if not word.startswith("-")]
        return bool(words) and words[0] in _PREPARES_ONLY
    if name in {"pip", "pip3"}:
        return True
    if re.fullmatch(r"python[\d.]*", name) and "-m" in command:
        module = command[command.index("-m") + 1]
        return module in {"venv", "virtualenv", "pip", "ensurepip"}
    return name == "virtualenv" or (name == "uv" and command[1:2] in (["venv"], ["cache"]))


def _commands(script: str) -> Iterator[list[str]]:
    """The simple commands of a shell script, as words; redirections stay among them."""
    text = re.sub(r"(?m)(^|\s)#.*$", "", script).replace("\\\n", " ").replace("\n", " ; ")
    lexer = shlex.shlex(text, posix=True, punctuation_chars=";&|()<>")
    lexer.whitespace_split = True
    lexer.commenters = ""
    command: list[str] = []
    try:
        for word in lexer:
            if set(word) <= set(";&|()"):
                if command:
                    yield command
                command = []
            elif command or not re.fullmatch(r"\w+=.*", word):
                command.append(word)
    except ValueError:
        command = [*command, "…"]
    if command:
        yield command


def within(root: Path, text: str) -> str:
    """`text` with each path of an image that is there as the path below `root`, the copy of it."""

    def placed(match: re.Match[str]) -> str:
        path = match[0].rstrip("/")
        return f"{root}{match[0]}" if path and os.path.lexists(f"{root}{path}") else match[0]

    return re.sub(r"(?<![\w./:@-])/[\w./@+~-]+", placed, text)


def with_command(command: Sequence[str], folder: Path) -> Image:
    """An image that a developer maps to a command of this machine, run in `folder`."""
    programs = python_environment.own_programs()
    return Image(None, programs, PurePosixPath(folder), entry_point=tuple(command))
