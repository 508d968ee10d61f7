"""A stack with a configuration of a test's own in a cloud of its own."""

import json
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.engine.deployment import Evaluation
from local.engine.project import load
from local.engine.resources import create_stack
from tests.local.probe import REGION
from tests.local.programs import ROOT

IMAGE = "docker.io/library/probe:1"
"""Of no repository in ECR, so a job needs no right to pull it."""


@contextmanager
def deployed(
    config: Mapping[str, object],
    context: Path,
    **options: Any,  # noqa: ANN401 - those of the cloud
) -> Generator[tuple[Cloud, Evaluation]]:
    """The program with nothing of the dev stack's but its provider; its image is in `context`."""
    project = load(ROOT, "dev")
    provider = {key: value for key, value in project.config.items() if key.startswith("aws:")}
    given = {
        f"fargate-batch:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
    }
    with Cloud(0, REGION, **options) as cloud:
        cloud.images.add(str(config["image"]), context)
        changed = replace(project, config=provider | given)
        yield cloud, create_stack(changed, cloud, cloud.images.add)
