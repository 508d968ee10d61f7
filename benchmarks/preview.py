"""`pulumi preview` of two stacks on the real engine, beside as many resources that are bare."""

import shutil
import tempfile
import time
from pathlib import Path

from tests.engine.conftest import Engine, running
from tests.local.programs import write_files

# The dev stack's is over in seconds, and so measured more than once.
STACKS = {"dev": (3, "the dev stack / bare"), "hundred": (1, "the hundred stack / bare")}
HUNDRED = Path(__file__).parent / "stack" / "Pulumi.hundred.yaml"

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
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as engine:
        # As for a user, what was read once is compiled.
        engine.env.pop("PYTHONDONTWRITEBYTECODE", None)
        shutil.copy(HUNDRED, engine.root)
        for stack, (rounds, ratio) in STACKS.items():
            engine.must("stack", "init", stack)
            count, ours = _preview(engine, stack, engine.root, rounds)
            bare = engine.root.parent / f"bare-{stack}"
            write_files(bare, _BARE.format(count=count))
            (bare / "Pulumi.yaml").write_text(
                f"name: bare-{stack}\nruntime: {{name: python, options: {{virtualenv: .venv}}}}\n"
            )
            (bare / ".venv").symlink_to((engine.root / ".venv").readlink())
            engine.must("stack", "init", "dev", root=bare)
            same, least = _preview(engine, "dev", bare, rounds)
            assert same == count
            rows += [
                (f"the {stack} stack", f"{ours:.2f} s, {count} resources"),
                (f"as many as the {stack} stack, bare", f"{least:.2f} s"),
                (ratio, f"{ours / least:.2f}"),
            ]
    return rows


def _preview(engine: Engine, stack: str, root: Path, rounds: int) -> tuple[int, float]:
    """How many resources there are, and the seconds that the fastest of some previews took."""
    seconds, count = list[float](), 0
    for _ in range(rounds):
        began = time.perf_counter()
        count = sum(engine.preview(stack, root=root).must().counts.values())
        seconds.append(time.perf_counter() - began)
    return count, min(seconds)
