"""What Pulumi runs of the package: `pulumi package add` finds it by PulumiPlugin.yaml."""

import sys
import tomllib
from pathlib import Path

from pulumi.provider import main

from fargate_batch.plugin import Package

PROJECT = Path(__file__).parent.parent / "pyproject.toml"

if __name__ == "__main__":
    version = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["version"]
    main(Package(version), sys.argv[1:])
