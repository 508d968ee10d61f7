"""`fire`: a schedule fires now, as if its time had come."""

import argparse

from local.commands import stack
from local.commands.hints import command_line
from local.commands.lifetime import Lifetime
from local.commands.screen import screen


def run(options: argparse.Namespace, _lifetime: Lifetime) -> int:
    """Find the schedule in the outputs, and have it fired."""
    running = stack.find(options.port)
    arn = running.schedule_arn(options.name)
    stack.fire(options.port, arn)
    screen().line(f"Fired {arn}: see `{command_line('runs', port=options.port)}`.")
    return 0
