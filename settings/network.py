"""`network`: a new VPC, or an existing one."""

from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from . import defaults
from .values import Section, each_once, matching


def _cidr(value: str) -> str:
    try:
        network = IPv4Network(value)
    except (AddressValueError, NetmaskValueError, ValueError):
        network = None
    if network is None or not 16 <= network.prefixlen <= 24:
        raise ValueError("must be an IPv4 range from /16 to /24, such as 10.0.0.0/16")
    return value


SubnetId = Annotated[str, matching(r"subnet-[0-9a-f]+", "must be a subnet's id, subnet-…")]


GroupId = Annotated[str, matching(r"sg-[0-9a-f]+", "must be a security group's id, sg-…")]
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html
SubnetIds = Annotated[tuple[SubnetId, ...], Field(min_length=1, max_length=16)]
GroupIds = Annotated[tuple[GroupId, ...], Field(min_length=1, max_length=5)]


class JobNetworkSettings(Section):
    """Where the tasks of one job run, if elsewhere than those of the others."""

    subnet_ids: SubnetIds | None = None
    security_group_ids: GroupIds | None = None
    assign_public_ip: bool | None = None

    @model_validator(mode="after")
    def _says_what_subnets_need(self) -> Self:
        if self.subnet_ids is not None and self.assign_public_ip is None:
            raise ValueError("subnetIds need assignPublicIp: true in public subnets, else false")
        return self


ZoneId = Annotated[
    str, matching(r"[a-z]+\d+-az\d+", "must be an availability zone's id, such as apne1-az1")
]


class NetworkSettings(Section):
    """A new VPC, or the ids of an existing one."""

    zones: (
        Annotated[tuple[ZoneId, ...], Field(min_length=1, max_length=3), AfterValidator(each_once)]
        | None
    ) = None
    cidr: Annotated[str, AfterValidator(_cidr)] = defaults.CIDR
    nat: bool = defaults.NAT
    vpc_id: Annotated[str, matching(r"vpc-[0-9a-f]+", "must be a VPC's id, vpc-…")] | None = None
    subnet_ids: SubnetIds | None = None
    security_group_ids: GroupIds | None = None
    assign_public_ip: bool | None = None

    @model_validator(mode="after")
    def _is_new_or_existing(self) -> Self:
        if (self.vpc_id is None) != (self.subnet_ids is None):
            raise ValueError("an existing network needs both vpcId and subnetIds")
        if self.security_group_ids is not None and self.vpc_id is None:
            raise ValueError("securityGroupIds belong to an existing network: give its vpcId")
        if self.vpc_id is not None and self.model_fields_set & {"cidr", "nat", "zones"}:
            raise ValueError("cidr, nat and zones are for a new network, vpcId for an existing one")
        return self

    @property
    def public_ip(self) -> bool:
        """Whether tasks get a public address: in public subnets they reach nothing without."""
        return not self.nat if self.assign_public_ip is None else self.assign_public_ip
