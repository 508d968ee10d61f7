"""What holds for every file of the repository."""

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from benchmarks.__main__ import AIMS, MODULES, Aim

ROOT = Path(__file__).parents[1]
PROGRAM = (
    "components/",
    "batch/",
    "lambdas/",
    "__main__.py",
    "settings/",
)
REQUIREMENTS = (
    "requirements.txt",
    "requirements-local.txt",
    "requirements-dev.txt",
    "batch/requirements.txt",
    "policy/requirements.txt",
)


def _files() -> dict[str, str]:
    """The text of every file that is, or is about to be, in the repository."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 -- git of PATH
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    texts: dict[str, str] = {}
    for name in names:
        try:
            texts[name] = (ROOT / name).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            continue
    return texts


FILES = _files()


def _holding(pattern: str, among: dict[str, str], flags: int = 0) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in among.items()
        for number, line in enumerate(text.splitlines(), start=1)
        if re.search(pattern, line, flags)
    ]


def test_the_repository_has_files_to_look_at() -> None:
    assert {"LICENSE", "Makefile", "__main__.py", "tests/test_repository.py"} <= FILES.keys()


def test_no_file_names_the_host_of_a_package_registry() -> None:
    names = r"(pyp[i]|pythonhoste[d]|npmj[s]|crate[s])\.(org|io|com)"
    hosts = rf"{names}|proxy\.golang|--(extra-)?index-url"
    others = {name: text for name, text in FILES.items() if name != "tests/test_repository.py"}
    found = _holding(hosts, others)
    assert [line for line in found if "--no-emit-index-url" not in line] == []


def test_no_file_holds_an_absolute_path_of_a_machine() -> None:
    homes = r"(?<![\w.~<$}])/(home|root|Users|work|private/var|tmp/[a-z])/?\w*/"
    others = {name: text for name, text in FILES.items() if name != "tests/test_repository.py"}
    assert _holding(homes, others) == []


def test_no_file_is_a_copy_of_another() -> None:
    # A link is not: what the folders of the package share is written in one of them.
    files = {name: text for name, text in FILES.items() if not (ROOT / name).is_symlink()}
    names: dict[str, list[str]] = {}
    for name, text in files.items():
        names.setdefault(text.strip(), []).append(name)
    assert [copies for text, copies in names.items() if text and len(copies) > 1] == []


def test_there_is_a_licence_and_the_package_names_it() -> None:
    assert "Apache License" in FILES["LICENSE"]
    assert tomllib.loads(FILES["pyproject.toml"])["project"]["license"] == "Apache-2.0"


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_are_pinned_and_hashed_and_name_no_index(name: str) -> None:
    entries = re.sub(r"\\\n\s*", " ", FILES[name]).splitlines()
    entries = [entry for entry in entries if entry and not entry.lstrip().startswith("#")]
    assert entries
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert [entry for entry in entries if entry.startswith("-") or "://" in entry] == []


def test_the_program_knows_of_no_other_cloud_than_aws() -> None:
    program = {name: text for name, text in FILES.items() if name.startswith(PROGRAM)}
    assert len(program) > 20
    # As a word, or as a part of an identifier: local_port, isLocal; but not locale, locally.
    words = r"(?<![a-zA-Z])local(?![a-z])|Local(?![a-z])|ministack"
    python = {name: text for name, text in program.items() if not name.endswith("requirements.txt")}
    assert _holding(words, python) == []
    assert _holding("ministack", python, re.IGNORECASE) == []


def _imported(name: str, modules: dict[str, str]) -> set[str]:
    """The modules that a file imports, wherever it does and for whatever: for types alone too."""
    package = name.removesuffix(".py").split("/")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[name])):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= (inner & modules.keys()) or {module}
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            found |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    return {modules[one] for one in found if one in modules}


def test_no_file_imports_one_that_imports_it() -> None:
    python = [name for name in FILES if name.endswith(".py")]
    modules = {name.removesuffix(".py").replace("/", "."): name for name in python}
    modules |= {name.removesuffix(".__init__"): file for name, file in modules.items()}
    graph = {name: _imported(name, modules) for name in python}
    assert sum(map(len, graph.values())) > 300
    TopologicalSorter(graph).prepare()


def test_no_file_has_the_name_of_a_module_of_the_standard_library() -> None:
    # Run as a script, a file beside it would be imported in its place.
    stems = {name: Path(name).stem for name in FILES if name.endswith(".py")}
    names = sys.stdlib_module_names - {"__main__"}
    assert [name for name, stem in stems.items() if stem in names] == []


def test_the_make_targets_that_the_documents_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", FILES["Makefile"], re.MULTILINE))
    documents = {name: text for name, text in FILES.items() if name.endswith(".md")}
    named: set[str] = set()
    for text in documents.values():
        for block in re.findall(r"```.*?```", text, re.DOTALL):
            named |= set(re.findall(r"^\s*(?:\$ )?make ([a-z]+)", block, re.MULTILINE))
        named |= set(re.findall(r"`make ([a-z]+)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)))
    assert {"demo", "test"} <= named
    assert named - targets == set()


def test_every_benchmark_is_listed_and_every_one_listed_is_there() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("[!_]*.py")}
    assert set(MODULES) == modules


def test_every_aim_is_of_a_benchmark_that_has_a_figure_of_that_name() -> None:
    unknown = [
        (module, label)
        for module, label in AIMS
        if not label.startswith("200 ") and label not in FILES[f"benchmarks/{module}.py"]
    ]
    assert unknown == []


def test_an_aim_looks_at_the_first_number() -> None:
    assert Aim(2.2, "s").met("2.19 s (best 1.9), 93 resources")
    assert not Aim(2.2, "s").met("2.20 s")
    assert Aim(0.8, at_least=True).met("0.80")
    assert not Aim(200, at_least=True).met("199 of 200")
    assert not Aim(1000).met("1,024 MB")
    assert str(Aim(25, "ms")) == "under 25 ms"


def test_ci_runs_what_make_test_runs() -> None:
    assert "make test" in FILES[".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert ".ci/run" in FILES[".github/workflows/test.yml"]
