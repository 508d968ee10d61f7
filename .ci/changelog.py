"""Prints CHANGELOG.md's section for the version in pyproject.toml, or with --version its number."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def section(changelog: str, version: str) -> str:
    """What a changelog says of a version that is released: its heading has a date.

    Raises:
        LookupError: there is no such section, or nothing in it.
    """
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)"
    found = re.search(heading, changelog, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise LookupError(f'CHANGELOG.md has nothing under "## [{version}] - YYYY-MM-DD"')
    return found[1].strip() + "\n"


def main(arguments: list[str]) -> None:
    """Print what was asked for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    if "--version" in arguments:
        sys.stdout.write(project["version"])
    else:
        changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
        sys.stdout.write(section(changelog, project["version"]))


if __name__ == "__main__":
    main(sys.argv[1:])
