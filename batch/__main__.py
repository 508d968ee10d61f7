"""`python -m batch [KEY]`: the container's entry point; the exit code says what became of it."""

import os
import sys

from batch.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
