"""`pulumi preview` of the dev stack on the real engine, beside as many resources that are bare."""

import tempfile
import time
from pathlib import Path

from tests.engine.conftest import Engine, running
from tests.local.programs import write_files

ROUNDS = 3

# It starts the same plugins. A stack, and what is in a repository, are counted too.
_BARE = """
import pulumi_aws as aws
import pulumi_awsx as awsx
import pulumi_docker_build as docker_build
awsx.ecr.Repository("repository")
docker_build.Image("image", push=False)
for number in range({count} - 5):
    aws.sns.Topic(f"topic-{{number}}")
"""


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value. Needs `pulumi` on PATH."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as engine:
        engine.must("stack", "init", "dev")
        count = sum(engine.preview("dev").must().counts.values())
        ours = _best(engine, engine.root)
        bare = engine.root.parent / "bare"
        write_files(bare, _BARE.format(count=count))
        (bare / "Pulumi.yaml").write_text(
            "name: bare\nruntime: {name: python, options: {virtualenv: .venv}}\n"
        )
        (bare / ".venv").symlink_to((engine.root / ".venv").readlink())
        engine.must("stack", "init", "dev", root=bare)
        assert sum(engine.preview("dev", root=bare).must().counts.values()) == count
        least = _best(engine, bare)
    return [
        ("the dev stack", f"{ours:.2f} s, {count} resources"),
        ("as many resources that are bare", f"{least:.2f} s"),
        ("the dev stack / bare", f"{ours / least:.2f}"),
    ]


def _best(engine: Engine, root: Path) -> float:
    return min(_seconds(engine, root) for _ in range(ROUNDS))


def _seconds(engine: Engine, root: Path) -> float:
    began = time.perf_counter()
    engine.preview("dev", root=root).must()
    return time.perf_counter() - began
