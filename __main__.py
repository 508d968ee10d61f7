"""The stack: what its file says becomes a platform, whose outputs others read."""

import pulumi

import settings
from components import BatchPlatform

platform = BatchPlatform("platform", settings.load_or_end())
for name, value in platform.outputs.items():
    pulumi.export(name, value)
