"""The project as others install it: a wheel with one package in it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
FOLDERS = ("batch", "components", "lambdas", "operate", "settings")
PROGRAM = """
import sys
from fargate_batch import components, settings
from fargate_batch.components import task_event_logger

assert components.__file__.startswith(sys.argv[1]), components.__file__
assert task_event_logger._HANDLER.is_file()
assert settings.Settings
print(*sorted({"components", "settings", "lambdas", "local", "policy"} & sys.modules.keys()))
"""


def _run(*arguments: str, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel puts into site-packages."""
    folder = tmp_path_factory.mktemp("installed")
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    _run("-m", "pip", "install", *offline, "--target", str(folder), str(ROOT), folder=folder)
    return folder


@pytest.mark.slow
def test_nothing_but_the_one_package_is_put_beside_others(installed: Path) -> None:
    names = {path.name for path in installed.iterdir() if path.name != "bin"}
    assert names == {"fargate_batch", f"fargate_batch-{VERSION}.dist-info"}


def test_the_wheel_has_every_file_of_its_folders_and_no_other(installed: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],  # noqa: S607 -- git of PATH
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    package = installed / "fargate_batch"
    found = [str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()]
    assert len(tracked) > 40
    assert sorted(name for name in found if "__pycache__" not in name) == sorted(
        ["__init__.py", "plugin.py", "testing.py", "wire.py", *tracked]
    )


@pytest.mark.slow
def test_the_components_work_where_no_clone_is(installed: Path, tmp_path: Path) -> None:
    printed = _run("-c", PROGRAM, str(installed), folder=tmp_path, PYTHONPATH=str(installed))
    assert printed.split() == []


def test_the_operators_command_is_installed(installed: Path, tmp_path: Path) -> None:
    command = str(installed / "bin" / "fargate-batch")
    printed = _run(command, "--version", folder=tmp_path, PYTHONPATH=str(installed))
    assert VERSION in printed
