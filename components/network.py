"""The network of the tasks: a VPC of two zones, or an existing one, and their security group."""

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._here import Component, known_region
from ._remote import SecurityGroup, Vpc
from .zones import FARGATE_ZONES

ZONES = 2


class NetworkArgs(TypedDict):
    """Either `cidr` (a new VPC) or `vpc_id` and `subnet_ids` (an existing one)."""

    region: NotRequired[str | None]
    """The Region a new VPC is in: its S3 endpoint is named after it. Default: the one of the AWS
    provider."""
    cidr: NotRequired[str]
    """The IPv4 range of the new VPC, a /16 to /24. Default: 10.0.0.0/16."""
    zones: NotRequired[Sequence[str] | None]
    """The ids of the availability zones of the new VPC, such as apne1-az1. Default: two that have
    Fargate."""
    nat: NotRequired[bool]
    """Whether tasks run in private subnets behind one NAT gateway, at about 45 USD a month and
    0.045 USD a GB, instead of in public subnets with a public address each. Default: False."""
    vpc_id: NotRequired[pulumi.Input[str] | None]
    """An existing VPC to use instead of making one. Default: none, a new one."""
    subnet_ids: NotRequired[pulumi.Input[Sequence[str]] | None]
    """The existing VPC's subnets for the tasks. Needs `vpc_id`. Default: none, new ones."""
    security_group_ids: NotRequired[pulumi.Input[Sequence[str]] | None]
    """The existing VPC's security groups for the tasks, at most 5. Default: one that lets nothing
    in but from itself and everything out."""


class Network(Component):
    """A VPC with public subnets in two zones and an S3 gateway endpoint, or an existing VPC.

    Costs nothing by itself; a running task's public IPv4 address costs 0.005 USD an hour.
    """

    vpc_id: pulumi.Output[str]
    """The VPC's id."""
    subnet_ids: pulumi.Output[Sequence[str]]
    """The ids of the subnets tasks run in."""
    security_group_id: pulumi.Output[str]
    """The id of the tasks' security group: in from itself only, out to anywhere. Of groups that
    were given, the first."""
    security_group_ids: pulumi.Output[Sequence[str]]
    """The ids of all security groups of the tasks."""

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:Network", name, opts)
        child = pulumi.ResourceOptions(parent=self)

        vpc_id, subnet_ids = args.get("vpc_id"), args.get("subnet_ids")
        if vpc_id is not None and subnet_ids is not None:
            self.vpc_id = pulumi.Output.from_input(vpc_id)
            self.subnet_ids = pulumi.Output.from_input(subnet_ids)
        else:
            region = args.get("region") or known_region(self)
            vpc = _new_vpc(name, region, args, _zones(self, region, args.get("zones")), child)
            self.vpc_id = vpc.vpc_id
            nat = args.get("nat", defaults.NAT)
            self.subnet_ids = vpc.private_subnet_ids if nat else vpc.public_subnet_ids

        given = args.get("security_group_ids")
        if given is None:
            self.security_group_id = _tasks_group(name, self.vpc_id, child)
            self.security_group_ids = self.security_group_id.apply(lambda group: [group])
        else:
            self.security_group_ids = pulumi.Output.from_input(given)
            self.security_group_id = self.security_group_ids[0]
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "subnet_ids": self.subnet_ids,
                "security_group_id": self.security_group_id,
                "security_group_ids": self.security_group_ids,
            }
        )


def _tasks_group(
    name: str, vpc_id: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """The id of a group that lets nothing in but from itself, and everything out."""
    group = SecurityGroup(
        f"{name}-tasks",
        description="Tasks of fargate-batch: in from each other only, out to anywhere",
        vpc_id=vpc_id,
        opts=opts,
    )
    aws.vpc.SecurityGroupIngressRule(
        f"{name}-tasks-from-each-other",
        security_group_id=group.id,
        referenced_security_group_id=group.id,
        ip_protocol="-1",
        description="Tasks of this stack reach each other",
        opts=opts,
    )
    aws.vpc.SecurityGroupEgressRule(
        f"{name}-tasks-to-anywhere",
        security_group_id=group.id,
        cidr_ipv4="0.0.0.0/0",
        ip_protocol="-1",
        description="Tasks pull their image and reach AWS and the internet",
        opts=opts,
    )
    return group.id


def _zones(component: Component, region: str, ids: Sequence[str] | None) -> Sequence[str] | None:
    """The names of a new VPC's zones in this account; None if any two will do."""
    wanted = ids or FARGATE_ZONES.get(region)
    if wanted is None:
        return None
    found = aws.get_availability_zones(
        state="available",
        filters=[{"name": "zone-id", "values": list(wanted)}],
        opts=pulumi.InvokeOptions(parent=component),
    )
    names = dict(zip(found.zone_ids, found.names, strict=True))
    if ids is None:
        # As they would be taken, were there no others.
        return sorted(names.values())[:ZONES]
    if unknown := [zone for zone in ids if zone not in names]:
        raise pulumi.RunError(
            f"network.zones: this account has no zone {', '.join(unknown)} in {region}: "
            "`aws ec2 describe-availability-zones` lists the ids of those it has"
        )
    return [names[zone] for zone in ids]


def _new_vpc(
    name: str,
    region: str,
    args: NetworkArgs,
    zones: Sequence[str] | None,
    opts: pulumi.ResourceOptions,
) -> Vpc:
    nat = args.get("nat", defaults.NAT)
    given = (
        {"numberOfAvailabilityZones": ZONES} if zones is None else {"availabilityZoneNames": zones}
    )
    return Vpc(
        name,
        {
            "cidrBlock": args.get("cidr", defaults.CIDR),
            "enableDnsHostnames": True,
            **given,
            "subnetStrategy": "Auto",
            "subnetSpecs": [{"type": "Public"}, *([{"type": "Private"}] if nat else [])],
            "natGateways": {"strategy": "Single" if nat else "None"},
            # "Auto" adds the endpoint to every route table: S3 traffic passes neither NAT nor
            # internet.
            "vpcEndpointStrategy": "Auto",
            "vpcEndpointSpecs": [
                {
                    "serviceName": f"com.amazonaws.{region}.s3",
                    "vpcEndpointType": "Gateway",
                }
            ],
        },
        opts,
    )
