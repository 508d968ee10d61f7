"""The image: what is built, for which processor, and where it is kept."""

from typing import Any

import pytest

from components import BatchImage
from tests.components.parts import names, outputs
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

REGISTRY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"


def image(*, preview: bool = False, **args: Any) -> Recording:  # noqa: ANN401 any key of the Args
    return deploy(lambda: BatchImage("batch", args), preview=preview)  # pyright: ignore[reportArgumentType] a test may give any


@pytest.mark.parametrize(
    ("architecture", "platform"), [("X86_64", "linux/amd64"), ("ARM64", "linux/arm64")]
)
def test_the_image_is_built_for_its_processor(architecture: str, platform: str) -> None:
    made = one(image(architecture=architecture, context="other").resources, type="Image")
    assert (made.inputs["context"], made.inputs["platforms"]) == ({"location": "other"}, [platform])


def test_the_image_may_be_built_by_a_dockerfile_of_elsewhere() -> None:
    made = one(image(context=".", dockerfile="docker/etl.Dockerfile").resources, type="Image")
    assert made.inputs["context"] == {"location": "."}
    assert made.inputs["dockerfile"] == {"location": "docker/etl.Dockerfile"}


def test_the_image_is_pushed_by_its_digest_without_a_tag() -> None:
    made = one(image().resources, type="Image")
    exported = {"nameCanonical": True, "push": True, "pushByDigest": True}
    assert made.inputs == {
        "context": {"location": "batch"},
        "platforms": ["linux/amd64"],
        "push": False,
        # The provider's own defaults.
        "buildOnPreview": True,
        "network": "default",
        "exports": [{"image": {"names": [f"{REGISTRY}/batch-1a2b3c4"], **exported}}],
        "registries": [
            {
                "address": f"{REGISTRY}/batch-1a2b3c4",
                "username": "AWS",
                "password": "of-twelve-hours",
            }
        ],
    }


@pytest.mark.parametrize("protect", [True, False])
def test_tags_are_immutable_and_only_an_unprotected_repository_goes_with_its_images(
    *, protect: bool
) -> None:
    made = one(image(protect=protect).resources, type="Repository")
    assert made.inputs == {
        "imageTagMutability": "IMMUTABLE",
        "forceDelete": not protect,
        "lifecyclePolicy": {"rules": [{"maximumNumberOfImages": 50, "tagStatus": "untagged"}]},
    }
    # AWS deletes none that has images, and Pulumi would try again with every update.
    assert made.retain_on_delete == protect


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(image(preview=preview), "BatchImage") == {
        ("Image", "batch"),
        ("Repository", "batch"),
    }


def test_it_puts_out_the_uri_with_the_digest_and_the_repository() -> None:
    assert outputs(image(), "BatchImage") == {
        "image_uri": f"{REGISTRY}/batch-1a2b3c4@sha256:{'ab' * 32}",
        "repository_arn": f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/batch-1a2b3c4",
    }
