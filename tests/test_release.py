"""What the release workflow takes from the repository, and how it may take it."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [1.1.0] - 2031-02-03

### Added

- This.

## [1.0.0] - 2030-01-02

- That.

## [0.9.0] - 2029-01-02
"""


@pytest.fixture(scope="module")
def section() -> Callable[[str, str], str]:
    return runpy.run_path(str(ROOT / ".ci" / "changelog.py"))["section"]


@pytest.mark.parametrize(
    ("version", "text"),
    [("1.1.0", "### Added\n\n- This.\n"), ("1.0.0", "- That.\n")],
)
def test_a_releases_text_is_its_section_of_the_changelog(
    section: Callable[[str, str], str], version: str, text: str
) -> None:
    assert section(CHANGELOG, version) == text


@pytest.mark.parametrize("version", ["Unreleased", "1.1", "2.0.0", "1x0.0", "0.9.0"])
def test_what_has_no_dated_section_is_not_released(
    section: Callable[[str, str], str], version: str
) -> None:
    with pytest.raises(LookupError, match=re.escape(f"[{version}] - YYYY-MM-DD")):
        section(CHANGELOG, version)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_of_others_is_pinned_by_its_commit(workflow: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", workflow.read_text("utf-8"))
    assert used
    others = [(action, comment) for action, comment in used if not action.startswith("$/")]
    for action, comment in others:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), f"{action} is of which release?"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_nothing_but_what_each_of_its_jobs_says(workflow: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(workflow.read_text("utf-8"))
    assert document["permissions"] == {}
    may = {name: job["permissions"] for name, job in document["jobs"].items()}
    writing = {name for name, allowed in may.items() if "write" in allowed.values()}
    assert writing == ({"release"} if workflow.stem == "release" else set())
