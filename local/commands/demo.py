"""`demo`: the stack on a free port, and the tour of it."""

import argparse
from pathlib import Path

from local import project
from local.cloud import HOST
from local.commands import DEFAULT_PORT, stack
from local.commands.errors import CommandError
from local.commands.lifetime import Lifetime
from local.commands.screen import screen
from local.commands.up import aws, create, show
from local.demo import Tour, take

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "orders.csv"


def run(options: argparse.Namespace, lifetime: Lifetime) -> int:
    """Create the stack, take the tour; 0 if all of it was seen."""
    file: Path = options.file or SAMPLE
    if not file.is_file():
        raise CommandError(f"There is no file {file}: give the path of a CSV or JSON Lines file.")
    on = screen()
    on.line(f"Creating the {options.stack} stack on this machine ...")
    running = create(options.root, options.stack, 0, lifetime)
    show(on, running, options.stack)
    tour = Tour(
        stack.find(running.cloud.port),
        running.cloud.port,
        project.load(options.root.resolve(), options.stack),
        file,
        on,
    )
    missing = take(tour)

    on.heading("Keep it running")
    on.line("  python -m local up")
    on.line("and in another terminal:")
    bucket = running.evaluation.outputs.get("uploadBucket", "BUCKET")
    command = aws(f"http://{HOST}:{DEFAULT_PORT}", running.cloud.region)
    on.line(f"  {command} s3 cp {file.name} s3://{bucket}/target/")
    on.line("  python -m local runs")
    on.line()
    if missing:
        on.verdict(f"Not seen: {'; '.join(missing)}.", good=False)
        return 1
    on.verdict("All of it was seen.", good=True)
    return 0
