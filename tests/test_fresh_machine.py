"""`make demo` and a part of the tests in a clone and an environment that are odd."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOWHERE = "http://127.0.0.1:9"
ODD = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE),
    "AWS_PROFILE": "absent",
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
    "AWS_CA_BUNDLE": "/nonexistent/ca.pem",
    "AWS_ENDPOINT_URL": NOWHERE,
    "AWS_REGION": "eu-north-1",
    "AWS_DEFAULT_REGION": "eu-north-1",
    "AWS_ACCESS_KEY_ID": "odd",
    "REQUESTS_CA_BUNDLE": "/nonexistent/ca.pem",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONSAFEPATH": "1",
}
PIP = {
    "PIP_REQUIRE_HASHES": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_TARGET": "/nonexistent/target",
    "PIP_USER": "1",
}


@pytest.fixture
def names(tmp_path: Path) -> str:
    """A folder with modules of another project that have the names of this one's."""
    folder = tmp_path / "another"
    folder.mkdir()
    for name in ("settings", "local", "batch", "components"):
        (folder / f"{name}.py").write_text("raise ImportError('of another project')\n")
    return str(folder)


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # The make that runs the tests hands its variables down.
    outside = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    return subprocess.run(
        command,
        cwd=folder,
        env=outside | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tour_and_the_operators_command_work_in_an_odd_place_and_an_odd_environment(
    tmp_path: Path, names: str
) -> None:
    # What is committed, in a folder with a blank and non-ASCII letters in its name.
    clone = tmp_path / "日本 語" / "clone"
    git = ["git", "clone", "--quiet", str(ROOT), str(clone)]
    subprocess.run(git, check=True)
    made = run(clone, "make", f"PYTHON={sys.executable}", ".venv/.local", **PIP)
    assert made.returncode == 0, made.stdout + made.stderr
    toured = run(clone, "make", "demo", **ODD, PYTHONPATH=names)
    assert toured.returncode == 0, toured.stdout + toured.stderr
    assert "All of it was seen." in toured.stdout
    assert not list((clone / "components").glob("__pycache__"))
    told = run(tmp_path, str(clone / ".venv" / "bin" / "fargate-batch"), "--version", **ODD)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.strip()
