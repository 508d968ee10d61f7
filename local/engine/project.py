"""`Pulumi.yaml` and `Pulumi.<stack>.yaml` → the configuration, as Pulumi reads it."""

import json
import re
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml


class ProjectError(Exception):
    """One line: which file, what is wrong with it, what to do."""


@dataclass(frozen=True)
class Project:
    """One stack of the project in `root`.

    `config` holds what `pulumi.Config` reads: `namespace:key` → text, where a mapping or a list in
    the stack file is JSON text and a scalar is the text as it was written.
    """

    root: Path
    name: str
    stack: str
    region: str
    config: dict[str, str]
    default_tags: dict[str, str]


class _Loader(yaml.SafeLoader):
    """YAML as Pulumi's parser takes it: 1.2 scalars, and a key given twice is an error.

    PyYAML follows YAML 1.1, in which `yes` is a boolean and `1:30` the number 90.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 -- as the base class has it

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:  # noqa: ANN401 -- as the base class
        if isinstance(node.value, str) and re.search("[\ud800-\udfff]", node.value):
            raise yaml.MarkedYAMLError(
                problem="an escape that is no character", problem_mark=node.start_mark
            )
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 -- the base class's signature
        seen: set[str] = set()
        for key, _ in node.value:
            text = key.value if isinstance(key, yaml.ScalarNode) else ""
            if text in seen:
                line = key.start_mark.line + 1
                raise yaml.MarkedYAMLError(problem=f"the key {text!r} is there twice (line {line})")
            seen.add(text)
        # In place, and a node may be constructed again: what a merge brought, once.
        self.flatten_mapping(node)
        node.value = list({_identity(key): (key, value) for key, value in node.value}.values())
        return super().construct_mapping(node, deep=deep)


def _identity(key: yaml.Node) -> object:
    return key.value if isinstance(key, yaml.ScalarNode) else id(key)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"null|Null|NULL|~|", ["n", "N", "~", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    (
        "timestamp",
        r"\d{4}-\d\d-\d\d([Tt ]\d\d?:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d(:\d\d)?)?)?",
        "0123456789",
    ),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )


def load(root: Path, stack: str) -> Project:
    """Read a stack's configuration.

    Raises:
        ProjectError: a file is missing, is not YAML, or says something that cannot be honoured.
    """
    about = _mapping(
        root / "Pulumi.yaml", f"{root} is not a Pulumi project: run this in its folder."
    )
    name = about.get("name")
    if not isinstance(name, str) or not name:
        raise ProjectError("Pulumi.yaml has no name: add `name: <project>`.")

    path = root / f"Pulumi.{stack}.yaml"
    others = sorted(p.name[7:-5] for p in root.glob("Pulumi.*.yaml"))
    way_out = f"choose one of: {', '.join(others)}." if others else f"create {path.name}."
    entries = _entries(path, f"There is no stack {stack!r} ({path.name} is missing): {way_out}")

    config: dict[str, str] = {}
    for key, node in entries:
        full = key if ":" in key else f"{name}:{key}"
        if full in config:
            raise ProjectError(f"{path.name}: {full} is there twice: keep one.")
        config[full] = _text(node, full, path.name)

    region = config.get("aws:region", "")
    if not region:
        raise ProjectError(f"{path.name}: aws:region is missing: add it under `config`.")
    return Project(
        root=root,
        name=name,
        stack=stack,
        region=region,
        config=config,
        default_tags=_default_tags(config, path.name),
    )


def _compose(path: Path, missing: str) -> yaml.Node | None:
    try:
        return yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise ProjectError(missing) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path.name} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ProjectError(_not_yaml(path.name, error)) from None


def _construct(node: yaml.Node, file: str) -> Any:  # noqa: ANN401 -- YAML can hold anything
    loader = _Loader("")
    try:
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ProjectError(_not_yaml(file, error)) from None
    except ValueError as error:
        raise ProjectError(f"{file}: line {node.start_mark.line + 1}: {error}.") from None
    finally:
        loader.dispose()


def _not_yaml(file: str, error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"{file} is not YAML: {' '.join(str(error).split())}"
    mark = error.problem_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{file} is not valid YAML: {where}{error.problem}."


def _mapping(path: Path, missing: str) -> dict[str, Any]:
    node = _compose(path, missing)
    value = None if node is None else _construct(node, path.name)
    if not isinstance(value, dict):
        raise ProjectError(f"{path.name} must be a mapping of keys to values.")
    return value


def _entries(path: Path, missing: str) -> list[tuple[str, yaml.Node]]:
    """The keys and values under `config`, unparsed: a scalar's text counts as it was written."""
    root = _compose(path, missing)
    if root is None:
        return []
    if not isinstance(root, yaml.MappingNode):
        raise ProjectError(f"{path.name} must be a mapping with `config:` at its top.")
    _construct(root, path.name)  # refuses a key given twice, wherever it is
    config = next((value for key, value in root.value if key.value == "config"), None)
    if config is None:
        return []
    if not isinstance(config, yaml.MappingNode):
        raise ProjectError(f"{path.name}: `config` must be a mapping of keys to values.")
    return [(str(key.value), value) for key, value in config.value]


def _text(node: yaml.Node, key: str, file: str) -> str:
    if isinstance(node, yaml.ScalarNode):
        return "" if node.tag.endswith(":null") else str(node.value)
    value = _construct(node, file)
    if _has_secret(value):
        raise ProjectError(
            f"{file}: {key} has a `secure:` value, which only Pulumi can decrypt:"
            " give a plain one in a stack of your own."
        )
    return json.dumps(value, default=_rfc3339, separators=(",", ":"), ensure_ascii=False)


def _has_secret(value: object) -> bool:
    match value:
        case {"secure": str(), **rest} if not rest:
            return True
        case dict():
            return any(_has_secret(item) for item in value.values())
        case list():
            return any(_has_secret(item) for item in value)
        case _:
            return False


def _rfc3339(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    raise TypeError(type(value).__name__)


def _default_tags(config: dict[str, str], file: str) -> dict[str, str]:
    try:
        tags: object = json.loads(config.get("aws:defaultTags", "{}"))["tags"]
    except KeyError:
        return {}
    except (ValueError, TypeError):
        tags = None
    if not isinstance(tags, dict):
        raise ProjectError(f"{file}: aws:defaultTags must be `{{tags: {{name: value}}}}`.")
    return {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in tags.items()
    }
