"""What is used of MiniStack is on one list, which is held to the installed one."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from local.cloud import Cloud
from local.ministack import internals
from local.ministack.pinned import Function, Members, Pinned, PinnedInternalMoved
from tests.local.probe import REGION

ROOT = Path(__file__).parents[3]
SEAM = ROOT / "local/ministack"
LIST = SEAM / "internals.py"
FILES = {path: path.read_text(encoding="utf-8") for path in (ROOT / "local").rglob("*.py")}
TESTS = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}


def listed(found: object) -> list[Pinned]:
    match found:
        case Pinned():
            return [found]
        case tuple():
            return [one for item in found for one in listed(item)]
        case dict():
            return [one for item in found.values() for one in listed(item)]
        case _:
            return []


PINNED = {name: found for name, value in vars(internals).items() if (found := listed(value))}


def texts(tree: ast.AST) -> Iterable[ast.Constant]:
    """The texts of a file that are not its prose."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def dotted(node: ast.AST) -> str:
    return ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""


def named(path: Path, source: str) -> list[str]:
    """Where a file names MiniStack, or gets at what the list does not give."""
    found: list[tuple[int, str]] = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom():
                names = [node.module or ""]
            case ast.Call() if path.name != "pinned.py":
                names = [] if _harmless(node) else ["ministack"]
            case ast.Attribute() if path.name != "pinned.py":
                past = dotted(node).startswith("internals.") and node.attr == "now"
                names = ["ministack"] if past else []
            case _:
                names = []
        found += [
            (getattr(node, "lineno", 0), name)
            for name in names
            if name.partition(".")[0] == "ministack"
        ]
    if path.parent != SEAM:
        found += [
            (node.lineno, str(node.value))
            for node in texts(tree)
            if re.search("ministack|localstack", str(node.value), re.IGNORECASE)
        ]
    elif path != LIST:
        found += [
            (node.lineno, str(node.value))
            for node in texts(tree)
            if re.match(r"(ministack|services|core|app)\.\w", str(node.value))
        ]
    return [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in found]


def _harmless(call: ast.Call) -> bool:
    """Whether a call imports nothing, one of this project's, or what its text says."""
    if dotted(call.func).rpartition(".")[2] not in {"import_module", "__import__"}:
        return True
    match call.args[0]:
        case ast.Constant():
            return True
        case ast.JoinedStr(values=[ast.Constant(value=str() as begins), *_]):
            return begins.startswith("local.")
        case _:
            return False


def test_nothing_but_the_list_names_ministack() -> None:
    assert LIST in FILES
    assert [where for path, source in FILES.items() for where in named(path, source)] == []


@pytest.mark.parametrize(
    "source",
    [
        "from ministack.services import sqs",
        "import ministack.app",
        'import_module("ministack.app")',
        'importlib.import_module(f"ministack.{name}")',
        "importlib.import_module(name)",
        "__import__(name)",
        'sys.modules["ministack.app"]',
        "internals.queues.now()",
        'x = "ministack.services.sqs"',
        'os.environ["MINISTACK_HOST"]',
    ],
)
def test_whatever_way_it_is_named_is_found(source: str) -> None:
    assert named(ROOT / "local/services/sqs.py", source) != []


def test_a_path_into_ministack_is_found_beside_the_list_too() -> None:
    assert len(named(SEAM / "front.py", 'x = Function("services.sqs._queues")')) == 1
    assert named(LIST, 'x = Function("services.sqs._queues")') == []


def test_all_on_the_list_is_used_and_all_used_is_on_the_list() -> None:
    used: set[str] = set()
    for path, source in {**FILES, **TESTS}.items():
        if path not in {LIST, Path(__file__)}:
            used |= {
                node.attr
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.Attribute) and dotted(node.value) == "internals"
            }
    assert PINNED.keys() - used == {"members"}
    assert {name for name in used if not hasattr(internals, name)} == set()


def test_every_internal_is_as_it_was_pinned(cloud: Cloud) -> None:
    assert cloud.port
    every = [one for found in PINNED.values() for one in found]
    assert len(every) > 100
    assert [what for one in every if (what := one.problem())] == []
    package = Path(str(internals.application.owner().__file__)).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    constants = [
        *internals.CONSTANTS_OF_HOST,
        *internals.CONSTANTS_OF_PORT,
        *internals.CONSTANTS_OF_REGION,
    ]
    assigned = set(re.findall(r"^(\w+)(?:: \w+)? = ", sources, re.MULTILINE))
    assert [name for name in constants if name not in assigned] == []


def test_an_internal_that_moved_is_named() -> None:
    module = "ministack.services.ecs"
    gone: Function[..., Any] = Function("services.ecs._no_such")
    assert gone.problem() == f"{module}._no_such is gone"
    other: Function[..., Any] = Function("services.ecs._run_task", "request")
    assert other.problem() == f"{module}._run_task takes ('data',), not ('request',)"
    less = Members("services.eventbridge._EventView", "envelope", "letter")
    assert less.problem() == "ministack.services.eventbridge._EventView has no letter"
    with pytest.raises(PinnedInternalMoved, match=r"ecs\._no_such is gone: .*pip install"):
        gone.check()


def test_what_is_replaced_says_why() -> None:
    reasons = [getattr(one, "reason", "") for found in PINNED.values() for one in found]
    assert len([reason for reason in reasons if reason]) > 20
    assert [reason for reason in reasons if reason and not reason.endswith(".")] == []


def test_closing_puts_every_original_back() -> None:
    def state() -> list[object]:
        replaced = [one for found in PINNED.values() for one in found if hasattr(one, "reason")]
        return [one.now() for one in replaced]

    handlers = internals.service_handlers()
    before, handled = state(), dict(handlers)
    with Cloud(0, REGION):
        during = state()
        assert handlers["ecs"] is not handled["ecs"]
    assert len(before) > 20
    assert [one for one, then in zip(before, during, strict=True) if one is then] == []
    assert (state(), handlers) == (before, handled)


def test_a_module_is_no_way_past_the_list() -> None:
    values = [getattr(internals, name) for name in dir(internals)]
    assert [value for value in values if isinstance(value, ModuleType)] == []
