"""What an image's `pip install` names → the folder of programs of an environment that has it.

Where the running environment has all of it already, that is taken; else one is made, once, and kept
beside the running one.
"""

import contextlib
import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Self

from packaging.requirements import InvalidRequirement, Requirement

# Options of pip that say which packages. From which index is this machine's pip configuration, and
# where they go is left out.
_KEPT_WITH_A_VALUE = {
    *("-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-f", "--find-links"),
    *("--only-binary", "--no-binary"),
}
_KEPT = {*_KEPT_WITH_A_VALUE, "--require-hashes", "--no-deps", "--no-index", "--pre"}
_LEFT_OUT_WITH_A_VALUE = {
    *("-i", "--prefix", "-t", "--target", "--root", "--cache-dir", "--trusted-host", "--python"),
    *("--timeout", "--retries", "--root-user-action", "-p", "--progress-bar"),
}
_OF_FILES = {"-r", "--requirement", "-c", "--constraint"}
_TOOLS = {"pip", "setuptools", "wheel", "uv"}


class InstallError(Exception):
    """What an image requires cannot be installed; the message is one line."""


@dataclass(frozen=True)
class PipInstall:
    """The arguments of one `pip install`, those that say only where it goes left out."""

    arguments: tuple[str, ...]

    def read(self, folder: Path, root: Path) -> "Requirements":
        """With each file and folder it names as a path of this machine, and what is in them."""
        placed: list[str] = []
        content = hashlib.sha256()
        words = iter(self.arguments)
        for word in words:
            if word in _OF_FILES or word in {"-e", "--editable"} or _is_path(word):
                named = word if _is_path(word) else next(words, "")
                bare, bracket, extras = named.partition("[")
                path = root / bare.lstrip("/") if bare.startswith("/") else folder / bare
                if word in _OF_FILES:
                    placed.append(word)
                placed.append(f"{path}{bracket}{extras}")
                for each in [path] if path.is_file() else sorted(path.rglob("*")):
                    if each.is_file():
                        content.update(each.read_bytes())
            else:
                placed.append(word)
                if word in _KEPT_WITH_A_VALUE:
                    placed.append(next(words, ""))
        return Requirements(((tuple(placed), " ".join(self.arguments) + content.hexdigest()),))


@dataclass(frozen=True)
class Requirements:
    """What several `pip install` name, in their order, and a text that changes with it."""

    installs: tuple[tuple[tuple[str, ...], str], ...] = ()

    def __add__(self, other: Self) -> "Requirements":
        return Requirements(tuple(dict.fromkeys((*self.installs, *other.installs))))

    def __bool__(self) -> bool:
        return bool(self.installs)


def pip_install(command: Sequence[str]) -> PipInstall | None:
    """The packages a command installs: `pip install …`, `python -m pip install …`, `uv pip …`."""
    words = list(command)
    name = PurePosixPath(words[0]).name
    if re.fullmatch(r"python[\d.]*", name) and "-m" in words[:4]:
        words = words[words.index("-m") + 1 :]
        name = words[0] if words else ""
    elif name == "uv" and words[1:2] == ["pip"]:
        words = words[1:]
        name = "pip"
    if not re.fullmatch(r"pip[\d.]*", name) or "install" not in words:
        return None
    kept: list[str] = []
    rest = iter(words[words.index("install") + 1 :])
    for word in rest:
        option, has_value, value = word.partition("=") if word.startswith("-") else (word, "", "")
        if option.startswith("-"):
            found = [value] if has_value else []
            if _takes_a_value(option) and not has_value:
                found = [next(rest, "")]
            elif option[:2] in _OF_FILES and len(option) > 2 and option[1] != "-":
                option, found = option[:2], [option[2:]]
            if option in _KEPT:
                kept += [option, *found]
        elif re.split(r"[<>=!~\[;]", option)[0] not in _TOOLS:
            kept.append(word)
    return PipInstall(tuple(kept)) if kept else None


def _takes_a_value(option: str) -> bool:
    return option in _KEPT_WITH_A_VALUE | _LEFT_OUT_WITH_A_VALUE or option.endswith("-url")


def _is_path(word: str) -> bool:
    return not word.startswith("-") and (
        word.startswith((".", "/")) or "/" in word.split("[", maxsplit=1)[0]
    )


def own_programs() -> Path:
    """The folder of the running Python's programs."""
    return Path(sys.executable).parent


def programs(requirements: Requirements) -> Path:
    """The folder of programs of an environment that has what is required.

    Raises `InstallError` with the last line of pip where it fails.
    """
    if all(_is_met(arguments) for arguments, _ in requirements.installs):
        return own_programs()
    key = hashlib.sha256(repr((sys.version, [text for _, text in requirements.installs])).encode())
    folder = Path(sys.prefix) / "images" / key.hexdigest()[:16]
    with _alone(folder):
        if not (folder / "complete").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            sys.stderr.write("Installing what the image requires (once) ...\n")
            sys.stderr.flush()
            _call([sys.executable, "-m", "venv", str(folder)])
            python = str(folder / "bin" / "python")
            for arguments, _ in requirements.installs:
                _call([python, "-m", "pip", "install", "--no-input", "--quiet", *arguments])
            (folder / "complete").touch()
    return folder / "bin"


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = (lines or done.stderr.splitlines() or ["no reason given"])[-1]
        raise InstallError(f"pip install {' '.join(command[5:])} failed: {reason}")


@contextlib.contextmanager
def _alone(folder: Path) -> Generator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_met(arguments: Sequence[str]) -> bool:
    """Whether the running environment has it all; hashes are what it was installed with."""
    words = iter(arguments)
    for word in words:
        if word in {"-r", "--requirement"}:
            if not _file_is_met(Path(next(words, ""))):
                return False
        elif word in _KEPT_WITH_A_VALUE:
            next(words, None)
            if word not in {"--only-binary", "--no-binary"}:
                return False
        elif not word.startswith("-") and (_is_path(word) or not _one_is_met(word)):
            return False
    return True


def _file_is_met(path: Path) -> bool:
    if not path.is_file():
        return False
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    for line in text.splitlines():
        wanted = re.split(r"\s--hash|\s#", line)[0].strip()
        if not wanted or wanted.startswith("#"):
            continue
        if wanted.startswith("-") or not _one_is_met(wanted):
            return False
    return True


def _one_is_met(wanted: str) -> bool:
    try:
        requirement = Requirement(wanted)
        if requirement.marker is not None and not requirement.marker.evaluate():
            return True
        version = metadata.version(requirement.name)
    except (InvalidRequirement, metadata.PackageNotFoundError):
        return False
    return requirement.url is None and requirement.specifier.contains(version, prereleases=True)
