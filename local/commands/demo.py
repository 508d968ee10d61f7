"""`demo`: the stack on a free port, and the tour of it."""

import argparse
import os
from pathlib import Path

from local.cloud import HOST
from local.commands import stack
from local.commands.errors import CommandError
from local.commands.hints import DEFAULT_PORT, DEFAULT_STACK, SAMPLE, command_line, upload
from local.commands.lifetime import Lifetime
from local.commands.screen import screen
from local.commands.tour import Tour, take
from local.commands.up import create, show
from local.engine import project


def run(options: argparse.Namespace, lifetime: Lifetime) -> int:
    """Create the stack, take the tour; 0 if all of it was seen."""
    file: Path = options.file or SAMPLE
    if not file.is_file():
        raise CommandError(
            f"There is no file {file}: give a CSV, JSON Lines or Excel (.xlsx) file."
        )
    if not os.access(file, os.R_OK):
        raise CommandError(f"{file} cannot be read: permission denied.")
    if file.stat().st_size == 0:
        raise CommandError(
            f"{file} is empty: a rule on a prefix leaves out objects of 0 bytes, which S3's console"
            " makes for folders, so nothing would start."
        )
    on = screen()
    on.line(f"Creating the {options.stack} stack on this machine ...")
    running = create(
        options.root,
        options.stack,
        0,
        lifetime,
        host_names=options.host_names,
        docker=options.docker,
    )
    show(on, running, options.stack)
    loaded = project.load(options.root.resolve(), options.stack)
    tour = Tour(
        stack.find(running.cloud.port),
        running.cloud.port,
        loaded,
        file,
        on,
    )
    missing = take(tour)

    on.heading("Keep it running")
    chosen = [] if options.stack == DEFAULT_STACK else ["--stack", options.stack]
    on.line(f"  {command_line('up', *chosen)}")
    on.line("and in another terminal:")
    bucket = running.evaluation.outputs.get("uploadBucket", "BUCKET")
    endpoint = f"http://{HOST}:{DEFAULT_PORT}"
    on.line(f"  {upload(endpoint, running.cloud.region, file, bucket, loaded)}")
    on.line(f"  {command_line('runs')}")
    on.line()
    if missing:
        on.verdict(f"Not seen: {'; '.join(missing)}.", good=False)
        return 1
    on.verdict("All of it was seen.", good=True)
    return 0
