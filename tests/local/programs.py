"""Small Pulumi projects, written to a folder."""

import textwrap
from pathlib import Path

from local.engine.project import Project, load

REGION = "ap-northeast-1"
STACK_FILE = f"config:\n  aws:region: {REGION}\n"


def write_project(root: Path, program: str, stack_file: str = STACK_FILE) -> Project:
    """A project `sample` with the stack `dev`, loaded."""
    write_files(root, program, stack_file)
    return load(root, "dev")


def write_files(root: Path, program: str, stack_file: str = STACK_FILE) -> None:
    root.mkdir(exist_ok=True)
    (root / "Pulumi.yaml").write_text("name: sample\nruntime: python\n")
    (root / "Pulumi.dev.yaml").write_text(stack_file, encoding="utf-8")
    (root / "__main__.py").write_text(textwrap.dedent(program), encoding="utf-8")
