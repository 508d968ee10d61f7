"""The locks install as they are, whatever has been released since they were made.

A folder of packages stands in for the index: each package of the locks at its version, with the
requirements that the installed one has, and a newer release of it beside that. The files inside are
not the real ones, so their hashes take the place of the locks' own.
"""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = (
    "requirements.txt",
    "requirements-local.txt",
    "requirements-dev.txt",
    "batch/requirements.txt",
    "policy/requirements.txt",
)
# All of the others are in it.
FULL = "requirements-dev.txt"
LATER = "9999"


def _entries(lock: str) -> dict[str, Requirement]:
    """The requirements of a lock by their names."""
    text = re.sub(r"\\\n.*", "", (ROOT / lock).read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    found = [Requirement(line) for line in lines if not line.lstrip().startswith("--hash")]
    names = [canonicalize_name(one.name) for one in found]
    # With one version for each Python, the container's would not be the one that it is tested with.
    assert len(names) == len(set(names)), f"{lock} has a package twice"
    return dict(zip(names, found, strict=True))


def _here(lock: str) -> dict[str, str]:
    """The versions that a lock has for this Python on this system, by name."""
    return {
        name: str(one.specifier).removeprefix("==")
        for name, one in _entries(lock).items()
        if one.marker is None or one.marker.evaluate()
    }


def _requires(name: str, extras: set[str]) -> list[Requirement]:
    """What an installed package requires here, with these extras."""
    found = [Requirement(text) for text in metadata.requires(name) or []]
    return [
        one
        for one in found
        if one.marker is None
        or any(one.marker.evaluate({"extra": extra}) for extra in {"", *extras})
    ]


def _wheel(folder: Path, name: str, version: str) -> str:
    """Put a package with nothing in it into a folder, and return its hash."""
    try:
        installed = metadata.metadata(name)
        lines = [
            *(f"Requires-Dist: {one}" for one in installed.get_all("Requires-Dist") or []),
            *(f"Provides-Extra: {one}" for one in installed.get_all("Provides-Extra") or []),
        ]
    except metadata.PackageNotFoundError:  # not for this Python or system
        lines = []
    snake = name.replace("-", "_")
    info = f"{snake}-{version}.dist-info"
    files = {
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records: list[str] = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        records.append(f"{path},sha256={digest.decode()},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*records, f"{info}/RECORD,,", ""])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    (folder / f"{snake}-{version}-py3-none-any.whl").write_bytes(packed.getvalue())
    return hashlib.sha256(packed.getvalue()).hexdigest()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `index/`, the newer releases in it, and each lock beside the project's file."""
    root = tmp_path_factory.mktemp("locks")
    packages = root / "index"
    packages.mkdir()
    for name in set(chain.from_iterable(map(_entries, LOCKS))):
        _wheel(packages, name, LATER)
    for lock in LOCKS:
        lines: list[str] = []
        for name, one in _entries(lock).items():
            marker = f" ; {one.marker}" if one.marker else ""
            extras = f"[{','.join(sorted(one.extras))}]" if one.extras else ""
            digest = _wheel(packages, name, str(one.specifier).removeprefix("=="))
            lines.append(f"{name}{extras}{one.specifier}{marker} --hash=sha256:{digest}\n")
        (root / lock).parent.mkdir(exist_ok=True)
        (root / lock).write_text("".join(lines), "utf-8")
    (root / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    return root


def _run(arguments: list[str], folder: Path) -> str:
    """What an installer prints, with none of this machine's settings for it."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))
    }
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


# `pulumi install` resolves: it knows of no `--no-deps`.
@pytest.mark.slow
@pytest.mark.parametrize("resolving", [["--no-deps"], []], ids=["complete", "resolving"])
@pytest.mark.parametrize("lock", LOCKS)
def test_later_releases_change_nothing_for_pip(
    index: Path, lock: str, resolving: list[str]
) -> None:
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "install"]
    flags = ["--dry-run", "--quiet", "--ignore-installed", "--report", "-", "--require-hashes"]
    offline = ["--no-index", "--find-links", "index"]
    report = json.loads(_run([*pip, *flags, *resolving, *offline, "-r", lock], index))
    chosen = {
        canonicalize_name(one["metadata"]["name"]): one["metadata"]["version"]
        for one in report["install"]
    }
    assert chosen == _here(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_later_releases_change_nothing_for_uv(index: Path, lock: str) -> None:
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--python", sys.executable]
    flags = ["--dry-run", "--require-hashes", "--target", "nowhere", "--no-cache", "--offline"]
    printed = _run([*uv, *flags, "--no-index", "--find-links", "index", "-r", lock], index)
    chosen = dict(re.findall(r"^ \+ (\S+)==(\S+)$", printed, re.MULTILINE))
    assert chosen == _here(lock)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_complete_and_keeps_the_extras(lock: str) -> None:
    locked, here = _entries(lock), _here(lock)
    for name in here:
        for required in _requires(name, locked[name].extras):
            found = canonicalize_name(required.name)
            assert found in here, f"{name} requires {required}, which is not in {lock}"
            assert required.specifier.contains(here[found], prereleases=True), f"{name}: {required}"
            assert required.extras <= locked[found].extras, f"{name} requires {required}"


def test_the_locks_agree_on_every_version() -> None:
    everything = _entries(FULL)
    differing = [
        f"{lock}: {one}"
        for lock in LOCKS
        for name, one in _entries(lock).items()
        if str(one.specifier) != str(everything[name].specifier)
    ]
    assert differing == []
