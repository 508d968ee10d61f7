"""`awsx:ec2:Vpc`, security groups and their rules → Amazon EC2."""

import ipaddress
from typing import Any

from local.engine.monitor import Created, Properties, Registration
from local.engine.resources.context import Context, Creator, given

_KINDS = ("Private", "Public", "Isolated")


def vpc(context: Context, registration: Registration) -> Created:
    """The VPC with what awsx puts in it: subnets by zone, internet gateway, routes, endpoints."""
    inputs, ec2 = registration.inputs, context.ec2
    cidr = inputs.get("cidrBlock") or "10.0.0.0/16"
    vpc_id = ec2.create_vpc(
        CidrBlock=cidr, TagSpecifications=_tagged(context, registration, "vpc")
    )["Vpc"].get("VpcId", "")
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        if inputs.get(attribute) is not None:
            value: Any = {"Value": bool(inputs[attribute])}
            member = attribute[0].upper() + attribute[1:]
            ec2.modify_vpc_attribute(VpcId=vpc_id, **{member: value})

    gateway = ec2.create_internet_gateway(
        TagSpecifications=_tagged(context, registration, "internet-gateway")
    )["InternetGateway"].get("InternetGatewayId", "")
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc_id)

    subnets: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    route_tables: list[str] = []
    for kind, zone, block in _layout(context, inputs, cidr):
        subnet = ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=block,
            AvailabilityZone=zone,
            TagSpecifications=_tagged(context, registration, "subnet"),
        )["Subnet"].get("SubnetId", "")
        table = ec2.create_route_table(
            VpcId=vpc_id, TagSpecifications=_tagged(context, registration, "route-table")
        )["RouteTable"].get("RouteTableId", "")
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        if kind == "Public":
            ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": True})
            ec2.create_route(
                RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
            )
        subnets[kind].append(subnet)
        route_tables.append(table)

    _endpoints(context, registration, vpc_id, route_tables)
    strategy = (inputs.get("natGateways") or {}).get("strategy", "OnePerAz")
    if subnets["Private"] and strategy != "None":
        context.not_honoured("NAT gateways are not created", registration)
    return Created(
        vpc_id,
        {
            "vpcId": vpc_id,
            "publicSubnetIds": subnets["Public"],
            "privateSubnetIds": subnets["Private"],
            "isolatedSubnetIds": subnets["Isolated"],
        },
    )


def _tagged(context: Context, registration: Registration, kind: str) -> list[Any]:
    tags = {"Name": registration.name} | context.tags(registration.inputs)
    return [
        {
            "ResourceType": kind,
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
    ]


def _layout(context: Context, inputs: Properties, cidr: str) -> list[tuple[str, str, str]]:
    """(kind, zone, CIDR) of each subnet: the VPC's range by zones, each zone's by subnets."""
    zones: list[str] = inputs.get("availabilityZoneNames") or []
    if not zones:
        described = context.ec2.describe_availability_zones()["AvailabilityZones"]
        wanted: int = inputs.get("numberOfAvailabilityZones") or 3
        zones = [zone.get("ZoneName", "") for zone in described][:wanted]
        if len(zones) < wanted:
            raise ValueError(f"{context.region} has {len(zones)} availability zones, not {wanted}")
    specs: list[Properties] = inputs.get("subnetSpecs") or [{"type": "Private"}, {"type": "Public"}]
    specs = sorted(specs, key=lambda spec: _KINDS.index(spec.get("type", "Isolated")))

    network = ipaddress.ip_network(cidr)
    by_zone = list(network.subnets(prefixlen_diff=(len(zones) - 1).bit_length()))
    layout: list[tuple[str, str, str]] = []
    for number, zone in enumerate(zones):
        shares = list(by_zone[number].subnets(prefixlen_diff=(len(specs) - 1).bit_length()))
        for spec, share in zip(specs, shares, strict=False):
            blocks: list[str] = spec.get("cidrBlocks") or []
            mask: int = max(spec.get("cidrMask") or 0, share.prefixlen)
            block = blocks[number] if blocks else str(next(share.subnets(new_prefix=mask)))
            layout.append((spec["type"], zone, block))
    return layout


def _endpoints(
    context: Context, registration: Registration, vpc_id: str, route_tables: list[str]
) -> None:
    specs: list[Properties] = registration.inputs.get("vpcEndpointSpecs") or []
    for spec in specs:
        kind: Any = spec.get("vpcEndpointType") or "Gateway"
        tables = route_tables if kind == "Gateway" else None
        context.ec2.create_vpc_endpoint(
            VpcId=vpc_id,
            ServiceName=spec["serviceName"],
            **given(VpcEndpointType=kind, RouteTableIds=tables, PolicyDocument=spec.get("policy")),
        )


def security_group(context: Context, registration: Registration) -> Created:
    """A security group without AWS's own egress rule, which Pulumi takes away likewise."""
    inputs, ec2 = registration.inputs, context.ec2
    name = context.name(registration, limit=255)
    tags = context.pairs(inputs)
    made = ec2.create_security_group(
        GroupName=name,
        Description=inputs.get("description") or "Managed by Pulumi",
        **given(
            VpcId=inputs.get("vpcId"),
            TagSpecifications=[{"ResourceType": "security-group", "Tags": tags}] if tags else None,
        ),
    )
    group = made["GroupId"]
    described = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    standing = described.get("IpPermissionsEgress", [])
    if standing:
        everywhere: Any = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everywhere)
    if ingress := inputs.get("ingress"):
        permissions = [_inline_rule(rule, group) for rule in ingress]
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    if egress := inputs.get("egress"):
        permissions = [_inline_rule(rule, group) for rule in egress]
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=permissions)
    return Created(
        group,
        {
            "arn": context.arn("ec2", f"security-group/{group}"),
            "name": name,
            "ownerId": context.account,
            "vpcId": described.get("VpcId", ""),
        },
    )


def _inline_rule(rule: Properties, group: str) -> Any:  # noqa: ANN401 -- an IpPermission
    groups: list[str] = [
        *(rule.get("securityGroups") or []),
        *([group] if rule.get("self") else []),
    ]
    return {
        "IpProtocol": str(rule["protocol"]),
        "FromPort": rule["fromPort"],
        "ToPort": rule["toPort"],
        "IpRanges": [{"CidrIp": cidr} for cidr in rule.get("cidrBlocks") or []],
        "Ipv6Ranges": [{"CidrIpv6": cidr} for cidr in rule.get("ipv6CidrBlocks") or []],
        "PrefixListIds": [{"PrefixListId": one} for one in rule.get("prefixListIds") or []],
        "UserIdGroupPairs": [{"GroupId": one} for one in groups],
    }


def ingress_rule(context: Context, registration: Registration) -> Created:
    """One rule that lets traffic in."""
    answer = context.ec2.authorize_security_group_ingress(
        GroupId=registration.inputs["securityGroupId"],
        IpPermissions=[_rule(registration.inputs)],
    )
    return _created_rule(context, answer["SecurityGroupRules"][0].get("SecurityGroupRuleId", ""))


def egress_rule(context: Context, registration: Registration) -> Created:
    """One rule that lets traffic out."""
    answer = context.ec2.authorize_security_group_egress(
        GroupId=registration.inputs["securityGroupId"],
        IpPermissions=[_rule(registration.inputs)],
    )
    return _created_rule(context, answer["SecurityGroupRules"][0].get("SecurityGroupRuleId", ""))


def _created_rule(context: Context, rule: str) -> Created:
    arn = context.arn("ec2", f"security-group-rule/{rule}")
    return Created(rule, {"arn": arn, "securityGroupRuleId": rule})


def _rule(inputs: Properties) -> Any:  # noqa: ANN401 -- an IpPermission
    peers = {
        "IpRanges": ("CidrIp", inputs.get("cidrIpv4")),
        "Ipv6Ranges": ("CidrIpv6", inputs.get("cidrIpv6")),
        "PrefixListIds": ("PrefixListId", inputs.get("prefixListId")),
        "UserIdGroupPairs": ("GroupId", inputs.get("referencedSecurityGroupId")),
    }
    description = inputs.get("description")
    return given(
        IpProtocol=str(inputs["ipProtocol"]),
        FromPort=inputs.get("fromPort"),
        ToPort=inputs.get("toPort"),
    ) | {
        member: [given(**{key: value}, Description=description)]
        for member, (key, value) in peers.items()
        if value is not None
    }


CREATORS: dict[str, Creator] = {
    "awsx:ec2:Vpc": vpc,
    "aws:ec2/securityGroup:SecurityGroup": security_group,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": ingress_rule,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": egress_rule,
}
