"""The package's schema: what programs in other languages see of the components."""

import functools
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fargate_batch.plugin import Package
from tests.recorder import ROOT

GOLDEN = Path(__file__).parent / "golden" / "schema.json"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
Schema = dict[str, Any]
Property = tuple[str, dict[str, Any], bool]
UNITS = (
    r"(?i)\b(seconds|minutes|days|bytes|MiB|GiB|CPU units|how (many|often)|exit codes"
    r"|share)\b"
)


@functools.cache
def schema() -> Schema:
    return json.loads(Package(VERSION).schema or "")


def properties(of: str) -> Iterator[Property]:
    """Each property of the resources and types, as `Type.name`, and whether it may be left out."""
    for token, resource in schema()["resources"].items():
        name = token.rpartition(":")[2]
        if of == "outputs":
            required = resource["required"]
            for key, it in resource["properties"].items():
                yield f"{name}.{key}", it, key not in required
        else:
            for key, it in resource.get("inputProperties", {}).items():
                yield f"{name}.{key}", it, key not in resource.get("requiredInputs", [])
    if of == "inputs":
        for token, type_ in schema()["types"].items():
            name = token.rpartition(":")[2]
            for key, it in type_.get("properties", {}).items():
                optional = key not in type_.get("required", []) and not name.endswith("Outputs")
                yield f"{name}.{key}", it, optional


def inputs() -> list[Property]:
    return list(properties("inputs"))


def untold(before: Schema, after: Schema, changelog: str) -> list[str]:
    """What breaks programs and is not named by the changelog's first section."""
    section = changelog.split("\n## ")[1]
    return [it for it in breaking(before, after) if f"`{it.partition(':')[0]}`" not in section]


def test_the_schema_is_the_one_that_was_reviewed_and_the_changelog_names_what_it_breaks() -> None:
    """GOLDEN=write writes it anew, once the changelog has what breaks programs."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert untold(json.loads(GOLDEN.read_text("utf-8")), schema(), changelog) == []
    text = json.dumps(schema(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), "if it is right: GOLDEN=write pytest, and review it"


def test_a_change_that_breaks_programs_has_to_be_in_the_changelog() -> None:
    after = json.loads(json.dumps(schema()))
    del after["resources"]["fargate-batch:index:FargateJob"]["inputProperties"]["memory"]
    heading = "# Changelog\n\n## [Unreleased]\n"
    assert untold(schema(), after, heading) == ["FargateJob.memory: is gone"]
    assert untold(schema(), after, heading + "- `FargateJob.memory` is of `cpu` now.\n") == []
    older = f"{heading}\n## [0.1.0]\n\n- `FargateJob.memory` is new.\n"
    assert untold(schema(), after, older) == ["FargateJob.memory: is gone"]


def test_everything_in_it_is_described() -> None:
    assert len(inputs()) > 200
    assert len(list(properties("outputs"))) > 40
    assert [
        name for name, it, _ in [*inputs(), *properties("outputs")] if not it.get("description")
    ] == []
    described = {**schema()["resources"], **schema()["types"]}
    assert [token for token, it in described.items() if not it.get("description")] == []


def test_what_may_be_left_out_says_what_it_is_then() -> None:
    says = re.compile("Default: |Without it: ")
    silent = [name for name, it, may in inputs() if may and not says.search(_line(it))]
    assert silent == []


def test_a_number_says_its_unit() -> None:
    numbers = [(name, it) for name, it, _ in inputs() if _is_number(it)]
    assert len(numbers) > 30
    assert [name for name, it in numbers if not re.search(UNITS, _line(it))] == []


def test_no_argument_of_the_platform_is_anything_but_plain_and_of_one_type() -> None:
    def odd(it: dict[str, Any]) -> bool:
        inner = [it[key] for key in ("items", "additionalProperties") if key in it]
        return "oneOf" in it or not it.get("plain") or any(map(odd, inner))

    found = [it for it in inputs() if it[0].startswith(("BatchPlatform.", "Platform"))]
    assert len(found) > 80
    assert [name for name, it, _ in found if odd(it)] == []


def _line(it: dict[str, Any]) -> str:
    return " ".join(it["description"].split()) + " "


def _is_number(it: dict[str, Any]) -> bool:
    inner = it.get("items") or it.get("additionalProperties") or it
    return inner.get("type") in {"integer", "number"}


def breaking(before: Schema, after: Schema) -> list[str]:
    """What programs that go by the schema of before would trip over."""
    found: list[str] = []
    for kind in ("resources", "types"):
        for token, old in before.get(kind, {}).items():
            name = token.rpartition(":")[2]
            new = after.get(kind, {}).get(token)
            if new is None:
                found.append(f"{name}: is gone")
                continue
            for part in ("inputProperties", "properties"):
                for key, was in old.get(part, {}).items():
                    now = new.get(part, {}).get(key)
                    if now is None:
                        found.append(f"{name}.{key}: is gone")
                    elif _shape(was) != _shape(now):
                        found.append(f"{name}.{key}: is of another type")
            required = "requiredInputs" if kind == "resources" else "required"
            added = set(new.get(required, [])) - set(old.get(required, []))
            found += [f"{name}.{key}: is required" for key in sorted(added)]
    return found


def _shape(it: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    inner = {key: _shape(it[key]) for key in ("items", "additionalProperties") if key in it}
    return {key: it.get(key) for key in ("type", "$ref", "plain")} | inner


def test_what_breaks_programs_is_told_apart_from_what_does_not() -> None:
    job = "fargate-batch:index:FargateJob"
    after = json.loads(json.dumps(schema()))
    after["resources"][job]["inputProperties"]["new"] = {"type": "string", "description": "New."}
    after["resources"][job]["inputProperties"]["cpu"]["description"] = "Other words."
    assert breaking(schema(), after) == []
    del after["resources"][job]["inputProperties"]["memory"]
    after["resources"][job]["inputProperties"]["cpu"]["type"] = "string"
    after["resources"][job]["requiredInputs"] = ["new"]
    del after["resources"]["fargate-batch:index:Network"]
    assert breaking(schema(), after) == [
        "FargateJob.cpu: is of another type",
        "FargateJob.memory: is gone",
        "FargateJob.new: is required",
        "Network: is gone",
    ]
