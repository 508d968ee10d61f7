"""One cloud for each test that asks for it, with a small container image to run in it."""

from collections.abc import Generator
from pathlib import Path

import pytest

from local.cloud import Cloud
from local.services.ecs.images import Images
from tests.local.probe import IMAGE, REGION, Stack, make_stack, write_image


@pytest.fixture
def images(tmp_path: Path) -> Images:
    context = tmp_path / "image" / "probe"
    write_image(context)
    found = Images()
    found.add(IMAGE, context)
    return found


@pytest.fixture
def cloud(images: Images) -> Generator[Cloud]:
    with Cloud(0, REGION, images=images) as opened:
        yield opened


@pytest.fixture
def stack(cloud: Cloud) -> Stack:
    return make_stack(cloud)
