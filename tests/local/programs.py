"""Small Pulumi projects, written to a folder."""

import re
import shutil
import sys
import textwrap
from pathlib import Path

from local.engine.project import Project, load

ROOT = Path(__file__).parents[2]
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


def copy_program(folder: Path, source: Path = ROOT) -> None:
    """A copy of what of this repository, or of another checkout, a deployment takes."""
    folder.mkdir()
    for path in sorted(source.iterdir()):
        if path.is_dir() and path.name in {"batch", "components", "lambdas", "policy", "settings"}:
            leaving = shutil.ignore_patterns("__pycache__", "venv")
            shutil.copytree(path, folder / path.name, ignore=leaving)
        elif path.suffix == ".py" or re.fullmatch(r"Pulumi\..*yaml", path.name):
            shutil.copy(path, folder)
    (folder / ".venv").symlink_to(Path(sys.prefix))
