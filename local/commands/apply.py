"""`apply`: the running cloud becomes what the edited program declares, while batches run."""

import argparse
import json
import sys
import time

from local.commands import stack
from local.commands.lifetime import Lifetime
from local.commands.screen import screen


def run(options: argparse.Namespace, _lifetime: Lifetime) -> int:
    """Ask for the update, wait for its end, tell what was done."""
    began = time.monotonic()
    answer = stack.apply(options.port, options.stack)
    counts: dict[str, int] = answer["counts"]
    if options.json:
        contract = {**counts, "outputs": answer["outputs"]}
        sys.stdout.write(f"{json.dumps(contract, ensure_ascii=False)}\n")
        sys.stdout.flush()
        return 0
    on = screen()
    on.heading(f"The {options.stack} stack, updated in {time.monotonic() - began:.1f} s:")
    for line in answer["prepared"]:
        on.line(f"  stand-in: {line}")
    for step in answer["done"]:
        on.line(f"  {step}")
    on.line(", ".join(f"{number} {what}" for what, number in counts.items()))
    return 0
