"""The platform as a component of others' programs, on the real engine."""

import pytest

from tests.engine.conftest import Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

BEFORE = """\
import pulumi

import settings
from components.batch_platform import _make

outputs = _make(settings.load(), pulumi.ResourceOptions())
for name, value in outputs.items():
    pulumi.export(name, value)
"""
"""The program before there was a platform: all its components stood by themselves."""


def test_a_stack_of_before_moves_into_the_platform_and_nothing_is_replaced(engine: Engine) -> None:
    program = engine.root / "__main__.py"
    now = program.read_text("utf-8")
    engine.must("stack", "init", "dev")
    program.write_text(BEFORE, "utf-8")
    first = engine.up()
    assert (first.errors, first.status, set(first.counts)) == ([], 0, {"create"}), first.text
    outputs = engine.outputs()

    program.write_text(now, "utf-8")
    moved = engine.up()
    assert (moved.errors, moved.status) == ([], 0), moved.text
    assert moved.of("create") == {("fargate-batch:index:BatchPlatform", "platform")}
    assert moved.counts == {"create": 1, "same": first.counts["create"]}
    assert engine.outputs() == outputs
    assert engine.up().counts == {"same": first.counts["create"] + 1}
    assert set(engine.destroy().counts) == {"delete"}
