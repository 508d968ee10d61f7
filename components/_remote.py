"""Resources of awsx and Amazon EC2 by what the engine calls them, with what is used of them here.

Their classes in the SDKs make Python read all of `pulumi_aws.ec2`, AWS's largest module, and of
`pulumi_docker`: a quarter of an evaluation's time, and 30 MiB.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import pulumi


class SecurityGroup(pulumi.CustomResource):
    """A security group without rules."""

    def __init__(
        self,
        name: str,
        *,
        description: str,
        vpc_id: pulumi.Input[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__(
            "aws:ec2/securityGroup:SecurityGroup",
            name,
            {"description": description, "vpcId": vpc_id},
            _of_package("pulumi-aws", opts),
        )


class Vpc(pulumi.ComponentResource):
    """A VPC with its subnets and routes; `args` are those of awsx's schema.

    https://www.pulumi.com/registry/packages/awsx/api-docs/ec2/vpc/
    """

    vpc_id: pulumi.Output[str]
    public_subnet_ids: pulumi.Output[Sequence[str]]
    private_subnet_ids: pulumi.Output[Sequence[str]]

    def __init__(self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        outputs = dict.fromkeys(("vpc_id", "public_subnet_ids", "private_subnet_ids"))
        opts = _of_package("pulumi-awsx", opts)
        super().__init__("awsx:ec2:Vpc", name, {**args, **outputs}, opts, remote=True)

    def translate_output_property(self, prop: str) -> str:
        """The attribute of an output."""
        return {
            "vpcId": "vpc_id",
            "publicSubnetIds": "public_subnet_ids",
            "privateSubnetIds": "private_subnet_ids",
        }.get(prop, prop)


class Repository(pulumi.ComponentResource):
    """A repository with its lifecycle policy; `args` are those of awsx's schema.

    https://www.pulumi.com/registry/packages/awsx/api-docs/ecr/repository/
    """

    url: pulumi.Output[str]

    def __init__(self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions) -> None:
        opts = _of_package("pulumi-awsx", opts)
        super().__init__("awsx:ecr:Repository", name, {**args, "url": None}, opts, remote=True)


def _of_package(package: str, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """With the version that the package's own classes ask for: each has a plugin of its own."""
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(version=version(package)))
