"""Mutants of the program that no test notices: a random sample, within so many minutes.

Usage: mutants.py [--minutes 20] [--seed 1]. It works in a copy of the repository and prints the
diff of each mutant that is still alive, and which test noticed each of the others. Exits with 1
where more than 5 % of the sample are alive.
"""

import argparse
import ast
import difflib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from random import Random
from typing import cast

import parso
import pytest
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.tree import BaseNode, NodeOrLeaf

ROOT = Path(__file__).parents[1]
OF_PROGRAM = (
    "tests/components/test_golden.py",
    "tests/components",
    "tests/settings",
    "tests/test_arguments.py",
    "tests/test_stack.py",
    "tests/test_readme.py",
    "tests/test_policy.py",
)
# What is mutated, and the tests that should notice.
TESTS = {
    "components": OF_PROGRAM,
    "settings": OF_PROGRAM,
    "lambdas": ("tests/lambdas", "tests/components/test_outcomes.py"),
    "batch": ("tests/batch",),
}
# Folders that have links to files of the others, whose tests may be here.
LINKING = {"settings": OF_PROGRAM, "operate": ("tests/operate",)}
MOST_ALIVE = 0.05


class ReplaceText(Operator):
    """A text becomes another, unless it is a docstring."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[object, object]]:
        """The one place of a text."""
        kind = "" if node.parent is None else node.parent.type
        if node.type == "fstring_string":
            yield node.start_pos, node.end_pos
        if node.type == "string" and kind != "simple_stmt" and len(node.get_code().strip()) > 2:
            yield node.start_pos, node.end_pos

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:  # noqa: ARG002 there is one
        """Put an X at its end, before the closing quotes."""
        text: str = node.value  # type: ignore[attr-defined] a string's node is a leaf
        closing = re.search(r'"""$|\'\'\'$|["\']$', text) if node.type == "string" else None
        end = closing.start() if closing else len(text)
        node.value = f"{text[:end]}X{text[end:]}"  # type: ignore[attr-defined]
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """None."""
        return ()


class DropPart(Operator):
    """A part of a list, a call or a dict is left out."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[tuple[object, object]]:
        """The place of each part."""
        yield from ((part.start_pos, part.end_pos) for part in self._parts(node))

    def mutate(self, node: NodeOrLeaf, index: int) -> NodeOrLeaf:
        """Drop the part with its comma."""
        part = self._parts(node)[index]
        siblings = cast("BaseNode", node).children
        at = siblings.index(part)
        of_pair = 3 if siblings[at + 1].get_code().strip() == ":" else 1
        del siblings[at : at + of_pair + 1]
        return node

    def _parts(self, node: NodeOrLeaf) -> list[NodeOrLeaf]:
        """The parts that have a comma after them."""
        if not isinstance(node, BaseNode) or node.type not in {
            "arglist",
            "dictorsetmaker",
            "testlist_comp",
        }:
            return []
        following = list(zip(node.children, node.children[1:], strict=False))
        found = [one for one, after in following if after.get_code().strip() == ","]
        if node.type != "dictorsetmaker":
            return found
        keys = [one for one, after in following if after.get_code().strip() == ":"]
        return keys[:-1]

    @classmethod
    def examples(cls) -> tuple[()]:
        """None."""
        return ()


def _operators() -> list[Operator]:
    kept = [name for name in operator_names() if name not in {"core/NoOp", "core/RemoveDecorator"}]
    classes = [get_operator(name) for name in kept]
    return [ReplaceText(), DropPart(), *(cls() for cls in classes if not cls.arguments())]


@cache
def _mutants(file: Path) -> list[tuple[Operator, int]]:
    """Each operator and each of its occurrences in a file."""
    nodes = list(_nodes(parso.parse(file.read_text("utf-8"))))
    return [
        (operator, number)
        for operator in _operators()
        for number, _ in enumerate(p for node in nodes for p in operator.mutation_positions(node))
    ]


def _nodes(node: NodeOrLeaf) -> Iterator[NodeOrLeaf]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _nodes(child)


def _tests(folder: Path, path: str) -> list[str]:
    """The files of tests, first those that are called after a file, then those that name it."""
    places = next(tests for place, tests in TESTS.items() if path.startswith(place))
    name, stem = Path(path).name, Path(path).stem.strip("_")
    linking = [tests for place, tests in LINKING.items() if (folder / place / name).is_symlink()]
    files = [
        file
        for place in dict.fromkeys((*places, *chain(*linking)))
        for file in ([folder / place] if place.endswith(".py") else (folder / place).iterdir())
        if file.match("test_*.py")
    ]
    names = re.compile(rf"\b_?{stem}\b")

    def likely(file: Path) -> tuple[bool, bool, bool, str]:
        return (
            stem not in file.stem,
            not (path.startswith("components/asl/") and "golden" in file.stem),
            not names.search(file.read_text("utf-8")),
            file.name,
        )

    return [str(file.relative_to(folder)) for file in sorted(set(files), key=likely)]


def _noticed(folder: Path, path: str) -> str | None:
    """What the first test said that failed."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "-p", "no:cacheprovider"]
    command += ["-m", "not slow", *_tests(folder, path)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == pytest.ExitCode.OK:
        return None
    said = re.search(r"^(FAILED|ERROR) .*", done.stdout, re.MULTILINE)
    return said[0] if said else f"pytest ended with {done.returncode}: {done.stdout[-500:]}"


def _copy(folder: Path) -> list[str]:
    """Copy what git knows of, and return its paths."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    paths = [path for path in listed.stdout.splitlines() if (ROOT / path).exists()]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path, follow_symlinks=False)
    return paths


def main() -> int:
    """Run the sample; the exit code says whether too many are alive."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [
            path
            for path in _copy(folder)
            if path.endswith(".py") and path.startswith(tuple(TESTS)) and "/." not in path
            if not (folder / path).is_symlink()
        ]
        sizes = [(folder / path).stat().st_size for path in sources]
        random = Random(options.seed)  # noqa: S311 a sample that can be had again
        tried, alive = 0, 0
        while time.monotonic() < until:
            # To list the mutants of all files takes longer than to try a few.
            [path] = random.choices(sources, sizes)
            file = folder / path
            source = file.read_text("utf-8")
            drawn = random.choice(_mutants(file) or [None])
            mutated = drawn and mutate_code(source, *drawn)
            if not mutated or _meaning(mutated) in {None, _meaning(source)}:
                continue
            file.write_text(mutated, "utf-8")
            tried += 1
            said = _noticed(folder, path)
            alive += said is None
            print(_diff(path, source, mutated), said or "ALIVE", "\n", flush=True)  # noqa: T201
            file.write_text(source, "utf-8")
    sys.stdout.write(f"{alive} alive of {tried} tried (seed {options.seed})\n")
    return int(alive > MOST_ALIVE * tried)


class _WithoutTypes(ast.NodeTransformer):
    """Leaves out what a type checker alone reads."""

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        # Pydantic reads what else is there: bounds and patterns.
        for part in ast.walk(node.annotation):
            if isinstance(part, ast.BinOp):
                part.op = ast.BitOr()
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "cast":
            return self.visit(node.args[-1])
        return self.generic_visit(node)


def _meaning(source: str) -> str | None:
    """A program as it runs; None if it is none."""
    try:
        return ast.dump(_WithoutTypes().visit(ast.parse(source)))
    except SyntaxError:
        return None


def _diff(path: str, before: str, after: str) -> str:
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), path, path, n=2
    )
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
