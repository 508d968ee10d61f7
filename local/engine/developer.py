"""`local.yaml` and `local.secrets.yaml`: what a developer has in place of a company's own.

Git ignores both; `local/samples/` has a sample of each.
"""

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from local.engine.project import ProjectError

COMMANDS_FILE = "local.yaml"
SECRETS_FILE = "local.secrets.yaml"


@dataclass(frozen=True)
class Developer:
    """What the two files say; without them, nothing.

    `commands` has a command of this machine for an image's URI, with or without its tag. `secrets`
    has the value of a secret or a parameter by its ARN or its name; an object becomes JSON text.
    """

    commands: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    secrets: dict[str, str] = field(default_factory=dict[str, str], repr=False)


def load(root: Path) -> Developer:
    """Read the files of the project in `root`.

    Raises:
        ProjectError: a file is no YAML or says something else than what it is for.
    """
    images = _mapping(root / COMMANDS_FILE).get("images", {})
    if not isinstance(images, dict) or not all(isinstance(v, str) for v in images.values()):
        raise ProjectError(f"{COMMANDS_FILE}: images must map an image to a command, as text.")
    commands: dict[str, tuple[str, ...]] = {}
    for image, command in images.items():
        try:
            commands[str(image)] = tuple(shlex.split(str(command)))
        except ValueError as error:
            raise ProjectError(f"{COMMANDS_FILE}: the command of {image}: {error}") from None
    secrets = _mapping(root / SECRETS_FILE)
    return Developer(
        commands,
        {
            str(name): value
            if isinstance(value, str)
            else json.dumps(value, ensure_ascii=False, default=str)
            for name, value in secrets.items()
        },
    )


def _mapping(path: Path) -> dict[object, object]:
    try:
        value: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # PyYAML's message quotes the line, which may be a secret.
        raise ProjectError(f"{path.name} cannot be read, or is not valid YAML.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ProjectError(f"{path.name} must be a mapping of names to values.")
    return dict(value)
