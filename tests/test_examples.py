"""What the examples say of themselves holds."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.recorder import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"


def test_a_program_of_others_is_tested_with_the_recorder_alone(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null"),
            *("-o", f"pythonpath={ROOT / 'package'}", EXAMPLES / "consumer" / "test_orders.py"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_every_example_has_a_readme_which_says_how_far_it_was_run() -> None:
    folders = [path for path in EXAMPLES.iterdir() if (path / "Pulumi.yaml").is_file()]
    assert len(folders) >= 4
    for folder in folders:
        assert "What was run" in (folder / "README.md").read_text("utf-8"), folder.name


def test_a_platform_in_yaml_is_ten_lines() -> None:
    program = (EXAMPLES / "platform-yaml" / "Pulumi.yaml").read_text("utf-8")
    assert len(program.splitlines()) == 10
    platform = yaml.safe_load(program)["resources"]["platform"]["properties"]
    assert (list(platform["jobs"]), list(platform["uploads"])) == (["ingest"], ["orders"])
