"""The stack: what its file says becomes a platform, whose outputs others read."""

import os

import pulumi

import settings
from components import BatchPlatform

# What awsx makes in a VPC would come as resources, each of them asked for anew: none is used here.
# https://github.com/pulumi/pulumi/pull/5905
os.environ.setdefault("PULUMI_DISABLE_RESOURCE_REFERENCES", "true")

platform = BatchPlatform("platform", settings.load_or_end())
for name, value in platform.outputs.items():
    pulumi.export(name, value)
