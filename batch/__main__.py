"""`python -m batch [KEY]`: the container's entry point; the exit code says what became of it."""

import gc
import os
import sys

from batch.cli import main

if __name__ == "__main__":
    # Hardly anything here is garbage in a circle, but the models of S3 alone are 100,000 objects.
    gc.set_threshold(100_000)
    sys.exit(main(sys.argv[1:], os.environ))
