"""What this machine is set to is nothing to a test: one that is about it sets it for itself."""

import functools
import gc
import os
from itertools import pairwise

import pulumi.runtime.resource
import pytest
from botocore.loaders import JSONFileLoader
from pulumi.runtime.proto import source_pb2

# A profile that is not there, a Region, a bundle of certificates.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
# Package indexes may be behind a proxy, which clouds and stand-ins on loopback are not.
LOOPBACK = "127.0.0.1,localhost,::1"
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))

# What a program does a few times and its tests some thousand times: botocore reads the models of
# the services for each session, and Pulumi makes an address of each file on the stack, with all
# of pytest's, for each resource.
_model = functools.cache(functools.partial(JSONFileLoader.load_file, JSONFileLoader()))
setattr(JSONFileLoader, "load_file", lambda _loader, path: _model(path))  # noqa: B010
setattr(pulumi.runtime.resource, "_get_stack_trace", source_pb2.StackTrace)  # noqa: B010


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each worker have its share of what may take the longest near the beginning of its part.

    Otherwise one has them all, and the others nothing left to do. The engine's go by file.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    longest = [
        item
        for item in items
        if item.get_closest_marker("timeout") and not item.get_closest_marker("engine")
    ]
    others = [item for item in items if item not in longest]
    ends = [worker * len(others) // workers for worker in range(workers + 1)]
    parts = [others[start:end] for start, end in pairwise(ends)]
    for worker, part in enumerate(parts):
        part[2:2] = longest[worker::workers]
    items[:] = [item for part in parts for item in part]


def pytest_collection_finish() -> None:
    """Keep what the tests import out of what the garbage collector goes through, and call it less.

    It took a third of their time.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_unconfigure() -> None:
    """Let go of everything at the end: DuckDB tells what is still there as leaked."""
    gc.unfreeze()
