"""A container image built from a folder into a repository of its own."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_awsx as awsx

from . import defaults


class BatchImageArgs(TypedDict):
    """What is built, and for which processor."""

    context: NotRequired[str]
    """The folder with the Dockerfile. Default: batch."""
    architecture: NotRequired[str]
    """X86_64 or ARM64. Default: X86_64."""
    protect: NotRequired[bool]
    """Whether the repository survives the deletion of the stack. Default: True."""


class BatchImage(pulumi.ComponentResource):
    """An image in Amazon ECR, built where `pulumi up` runs (which takes Docker).

    The repository's tags are immutable and untagged images expire. Storage costs 0.10 USD a
    GB-month.
    """

    image_uri: pulumi.Output[str]
    """The image's URI with its digest: what was built is what runs."""
    repository_arn: pulumi.Output[str]
    """The repository's ARN."""

    def __init__(
        self, name: str, args: BatchImageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:BatchImage", name, dict(args), opts)
        child = pulumi.ResourceOptions(parent=self)

        arm = args.get("architecture", defaults.ARCHITECTURE) == "ARM64"
        repository = awsx.ecr.Repository(
            name,
            image_tag_mutability="IMMUTABLE",
            force_delete=not args.get("protect", defaults.PROTECT),
            lifecycle_policy=awsx.ecr.LifecyclePolicyArgs(
                rules=[
                    awsx.ecr.LifecyclePolicyRuleArgs(
                        maximum_number_of_images=1,
                        tag_status=awsx.ecr.LifecycleTagStatus.UNTAGGED,
                    )
                ]
            ),
            opts=child,
        )
        image = awsx.ecr.Image(
            name,
            repository_url=repository.url,
            context=args.get("context", defaults.CONTEXT),
            platform="linux/arm64" if arm else "linux/amd64",
            opts=child,
        )
        self.image_uri = image.image_uri
        self.repository_arn = repository.repository.apply(lambda made: made.arn)
        self.register_outputs({"image_uri": self.image_uri, "repository_arn": self.repository_arn})
