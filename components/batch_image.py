"""A container image built from a folder into a repository of its own."""

from pathlib import Path
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws
import pulumi_docker_build as docker_build

from . import defaults
from ._documents import joined
from ._here import Component
from ._iam import arn
from ._remote import Repository

# How many images stay: what the revisions of as many deploys run, and may still start.
IMAGES = 50


class BatchImageArgs(TypedDict):
    """What is built, and for which processor."""

    context: NotRequired[str]
    """The folder with the Dockerfile. Default: `batch/`, which comes with the components."""
    dockerfile: NotRequired[str | None]
    """The Dockerfile, by its path from where Pulumi runs. Default: that of the folder."""
    architecture: NotRequired[str]
    """X86_64 or ARM64. Default: X86_64."""
    protect: NotRequired[bool]
    """Whether the repository survives the deletion of the stack. Default: True."""


class BatchImage(Component):
    """An image in Amazon ECR, built where `pulumi up` runs (which takes Docker).

    It is pushed by its digest, which says all of its contents, and without a tag: an immutable tag
    would refuse what a failed deploy has pushed already, and what an earlier one was made from. The
    last 50 images stay. Storage costs 0.10 USD a GB-month.
    """

    image_uri: pulumi.Output[str]
    """The image's URI with its digest: what was built is what runs."""
    repository_arn: pulumi.Output[str]
    """The repository's ARN."""

    def __init__(
        self, name: str, args: BatchImageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:BatchImage", name, opts)
        child = pulumi.ResourceOptions(parent=self)

        protect = args.get("protect", defaults.PROTECT)
        arm = args.get("architecture", defaults.ARCHITECTURE) == "ARM64"
        rule = {"maximumNumberOfImages": IMAGES, "tagStatus": "untagged"}
        repository = Repository(
            name,
            {
                "imageTagMutability": "IMMUTABLE",
                "forceDelete": not protect,
                "lifecyclePolicy": {"rules": [rule]},
            },
            # AWS deletes no repository with images in it, and executions under way take them.
            pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(retain_on_delete=protect)),
        )
        # An awsx.ecr.Image made it before, without a platform around it: deleting that would take
        # its image away.
        before = pulumi.create_urn(name, "awsx:ecr:Image", parent=self)
        alone = before.apply(lambda urn: urn.replace("fargate-batch:index:BatchPlatform$", ""))
        token = aws.ecr.get_authorization_token_output(opts=pulumi.InvokeOutputOptions(parent=self))
        dockerfile = args.get("dockerfile")
        image = docker_build.Image(
            name,
            dockerfile=None if dockerfile is None else {"location": dockerfile},
            context={"location": args.get("context") or _batch()},
            platforms=[
                docker_build.Platform.LINUX_ARM64 if arm else docker_build.Platform.LINUX_AMD64
            ],
            push=False,
            exports=[
                {
                    # https://docs.docker.com/build/exporters/image-registry/
                    "image": {
                        "names": [repository.url],
                        "name_canonical": True,
                        "push": True,
                        "push_by_digest": True,
                    }
                }
            ],
            registries=[
                {
                    "address": repository.url,
                    "username": token.user_name,
                    "password": token.password,
                }
            ],
            opts=pulumi.ResourceOptions.merge(
                child,
                pulumi.ResourceOptions(aliases=[pulumi.Alias(parent=it) for it in (before, alone)]),
            ),
        )
        self.image_uri = joined(repository.url, "@", image.digest)
        # ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME
        repository_name = repository.url.apply(lambda url: url.partition("/")[2])
        self.repository_arn = arn("ecr", joined("repository/", repository_name))
        self.register_outputs({"image_uri": self.image_uri, "repository_arn": self.repository_arn})


def _batch() -> str:
    """The folder of our own container, by a path that is the same wherever the program lies."""
    folder = Path(__file__).parent.parent / "batch"
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)
