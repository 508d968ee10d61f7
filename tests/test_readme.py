"""What the README says of configuration and outputs is what the code has."""

import json
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest
from annotated_types import BaseMetadata, Ge, Le, MaxLen, MinLen
from pydantic.fields import FieldInfo

import components
from local.engine import monitor as engine
from local.engine import project
from tests.settings.keys import KEYS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def _section(name: str) -> str:
    match = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
    assert match, f"the README has no section {name}"
    return match[1]


def _rows(name: str) -> dict[str, list[str]]:
    """The rows of a table by the code in their first cell."""
    rows = [line.strip("| ").split(" | ") for line in _section(name).splitlines()[2:]]
    return {cells[0].strip("`"): [cell.strip() for cell in cells[1:]] for cells in rows}


def test_the_configuration_table_has_every_key_and_no_other() -> None:
    assert sorted(_rows("configuration")) == sorted(KEYS)


@pytest.mark.parametrize(("key", "field"), KEYS.items())
def test_a_default_in_the_configuration_table_is_the_default(key: str, field: FieldInfo) -> None:
    default = _rows("configuration")[key][1] if len(_rows("configuration")[key]) > 1 else ""
    if field.is_required():
        assert default == "required"
    elif key == "jobs.NAME.timeout":
        assert (default, field.default) == ("`1h`", 3600)
    elif default.startswith("`"):
        value = field.default
        shown = value if isinstance(value, str) else json.dumps(value)
        assert default == f"`{shown}`"
    else:
        # What is not in the table as code has no default of its own: it is left out, or empty.
        assert field.get_default(call_default_factory=True) in (None, "", (), {})


def _limits(annotation: object) -> Iterator[BaseMetadata]:
    if isinstance(annotation, FieldInfo):
        yield from chain.from_iterable(map(_limits, (*annotation.metadata, annotation.annotation)))
    elif isinstance(annotation, BaseMetadata):
        yield annotation
    else:
        yield from chain.from_iterable(map(_limits, get_args(annotation)))


def _as_said(field: FieldInfo) -> str:
    """How a table says from what to what a value goes, or how many it may have."""
    limits = {type(one): one for one in _limits(field)}
    match limits.get(Ge), limits.get(Le), limits.get(MinLen), limits.get(MaxLen):
        case Ge(least), Le(most), _, _:
            return f"{least} to {most}"
        case Ge(least), _, _, _:
            return f"at least {least}"
        case _, _, _, MaxLen(most):
            return f"(at most|1 to) {most}"
        case _:
            return ""


@pytest.mark.parametrize(
    ("key", "said"), [(key, said) for key, field in KEYS.items() if (said := _as_said(field))]
)
def test_the_configuration_table_says_what_is_too_little_and_too_much(key: str, said: str) -> None:
    # A key of several sections is told of once: "as of a pipeline".
    rows = _rows("configuration")
    name = key.split(".")[-1:]
    same = [cells[0] for other, cells in rows.items() if other.split(".")[-1:] == name]
    assert re.search(rf"\b{said}\b", "; ".join(same))


@cache
def _dev() -> engine.Evaluation:
    return engine.evaluate_dry(project.load(ROOT, "dev"))


def test_the_outputs_table_has_every_output_and_no_other() -> None:
    assert sorted(_rows("outputs")) == sorted(_dev().outputs)


@pytest.mark.parametrize("name", ["jobs", "pipelines", "uploads"])
def test_the_outputs_table_names_what_an_entry_has(name: str) -> None:
    described = re.findall(r"`(\w+)`", _rows("outputs")[name][0])
    entries = _dev().outputs[name].values()
    assert entries
    assert all(sorted(entry) == sorted(described) for entry in entries)


def test_the_readme_lists_every_component() -> None:
    listed = set(re.findall(r"`([A-Z]\w+)`", README.split("## Components")[1])) - {
        "ComponentResource"
    }
    assert listed == {name for name in components.__all__ if not name.endswith("Args")}


def test_every_make_target_the_readme_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", README)) <= targets


def test_every_file_the_readme_links_to_exists() -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []
