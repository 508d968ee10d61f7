"""VPCs with what is in them, security groups and their rules → Amazon EC2."""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Any

from local.engine.resources.context import Context, given, pairs
from local.engine.resources.handler import Handler, Name, retagged
from local.engine.state import Created, Make, Properties, Registration, State

_KINDS = ("Private", "Public", "Isolated")


def awsx_vpc(name: str, inputs: Properties, make: Make, zones: Sequence[str]) -> Properties:
    """`awsx:ec2:Vpc`: subnets by zone, internet gateway, routes, endpoints.

    https://www.pulumi.com/registry/packages/awsx/api-docs/ec2/vpc/
    """
    cidr = inputs.get("cidrBlock") or "10.0.0.0/16"
    tags: dict[str, str] = inputs.get("tags") or {}

    def named(what: str) -> Properties:
        return {"tags": {"Name": what} | tags}

    own = {key: inputs.get(key) for key in ("enableDnsSupport", "enableDnsHostnames")}
    vpc = make("aws:ec2/vpc:Vpc", name, given(cidrBlock=cidr, **own) | named(name), ("arn",))
    gateway = make(
        "aws:ec2/internetGateway:InternetGateway", name, {"vpcId": vpc["id"]} | named(name)
    )
    subnets: dict[str, list[Any]] = {kind: [] for kind in _KINDS}
    route_tables: list[Any] = []
    for kind, zone, block in _layout(inputs, zones, cidr):
        called = f"{name}-{kind.lower()}-{len(subnets[kind]) + 1}"
        subnet = make(
            "aws:ec2/subnet:Subnet",
            called,
            {
                "vpcId": vpc["id"],
                "cidrBlock": block,
                "availabilityZone": zone,
                "mapPublicIpOnLaunch": kind == "Public",
                **named(called),
            },
        )
        table = make("aws:ec2/routeTable:RouteTable", called, {"vpcId": vpc["id"]} | named(called))
        make(
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            called,
            {"routeTableId": table["id"], "subnetId": subnet["id"]},
        )
        if kind == "Public":
            make(
                "aws:ec2/route:Route",
                called,
                {
                    "routeTableId": table["id"],
                    "destinationCidrBlock": "0.0.0.0/0",
                    "gatewayId": gateway["id"],
                },
            )
        subnets[kind].append(subnet["id"])
        route_tables.append(table["id"])

    specs: list[Properties] = inputs.get("vpcEndpointSpecs") or []
    for spec in specs:
        kind = spec.get("vpcEndpointType") or "Gateway"
        make(
            "aws:ec2/vpcEndpoint:VpcEndpoint",
            f"{name}-{spec['serviceName'].rpartition('.')[2]}",
            given(
                vpcId=vpc["id"],
                serviceName=spec["serviceName"],
                vpcEndpointType=kind,
                routeTableIds=route_tables if kind == "Gateway" else None,
                policy=spec.get("policy"),
            )
            | named(name),
        )
    return {
        "vpc": vpc,
        "vpcId": vpc["id"],
        "publicSubnetIds": subnets["Public"],
        "privateSubnetIds": subnets["Private"],
        "isolatedSubnetIds": subnets["Isolated"],
    }


def zones_of(context: Context, inputs: Properties) -> list[str]:
    """The availability zones that a VPC is to be in.

    Raises:
        ValueError: the Region has fewer.
    """
    if named := inputs.get("availabilityZoneNames"):
        return named
    described = context.ec2.describe_availability_zones()["AvailabilityZones"]
    wanted: int = int(inputs.get("numberOfAvailabilityZones") or 3)
    zones = [zone.get("ZoneName", "") for zone in described][:wanted]
    if len(zones) < wanted:
        raise ValueError(f"{context.region} has {len(zones)} availability zones, not {wanted}")
    return zones


def note_nat_gateways(context: Context, registration: Registration) -> None:
    """Note that the gateways that a VPC with private subnets asks for are not there."""
    inputs = registration.inputs
    specs: list[Properties] = inputs.get("subnetSpecs") or [{"type": "Private"}]
    strategy = (inputs.get("natGateways") or {}).get("strategy", "OnePerAz")
    if strategy != "None" and any(spec.get("type") == "Private" for spec in specs):
        context.not_honoured("NAT gateways are not created", registration)


def _layout(inputs: Properties, zones: Sequence[str], cidr: str) -> list[tuple[str, str, str]]:
    """(kind, zone, CIDR) of each subnet: the VPC's range by zones, each zone's by subnets."""
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


def vpc(context: Context, registration: Registration) -> Created:
    """A VPC, empty."""
    inputs = registration.inputs
    made = context.ec2.create_vpc(
        CidrBlock=inputs["cidrBlock"], TagSpecifications=_tagged(inputs, "vpc")
    )["Vpc"]
    identity = made.get("VpcId", "")
    _set_vpc(context, identity, inputs)
    return Created(identity, {"arn": context.arn("ec2", f"vpc/{identity}")})


def _set_vpc(context: Context, identity: str, inputs: Properties) -> None:
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        if inputs.get(attribute) is not None:
            value: Any = {"Value": bool(inputs[attribute])}
            member = attribute[0].upper() + attribute[1:]
            context.ec2.modify_vpc_attribute(VpcId=identity, **{member: value})


def _update_vpc(context: Context, registration: Registration, before: State) -> None:
    _set_vpc(context, before.id, registration.inputs)
    _retag(context, registration, before)


def _tagged(inputs: Properties, kind: str) -> list[Any]:
    tags = inputs["tags"]
    return [{"ResourceType": kind, "Tags": pairs(tags)}] if tags else []


def _retag(context: Context, registration: Registration, before: State) -> None:
    added, gone = retagged(registration, before)
    if added:
        context.ec2.create_tags(Resources=[before.id], Tags=pairs(added))
    if gone:
        context.ec2.delete_tags(Resources=[before.id], Tags=[{"Key": key} for key in gone])


def internet_gateway(context: Context, registration: Registration) -> Created:
    """A gateway, attached to its VPC."""
    inputs = registration.inputs
    identity = context.ec2.create_internet_gateway(
        TagSpecifications=_tagged(inputs, "internet-gateway")
    )["InternetGateway"].get("InternetGatewayId", "")
    context.ec2.attach_internet_gateway(InternetGatewayId=identity, VpcId=inputs["vpcId"])
    return Created(identity, {})


def _delete_internet_gateway(context: Context, state: State) -> None:
    context.ec2.detach_internet_gateway(InternetGatewayId=state.id, VpcId=state.inputs["vpcId"])
    context.ec2.delete_internet_gateway(InternetGatewayId=state.id)


def subnet(context: Context, registration: Registration) -> Created:
    """A subnet in one zone."""
    inputs = registration.inputs
    identity = context.ec2.create_subnet(
        VpcId=inputs["vpcId"],
        CidrBlock=inputs["cidrBlock"],
        AvailabilityZone=inputs["availabilityZone"],
        TagSpecifications=_tagged(inputs, "subnet"),
    )["Subnet"].get("SubnetId", "")
    if inputs.get("mapPublicIpOnLaunch"):
        _map_public_ip(context, identity, inputs)
    return Created(identity, {})


def _map_public_ip(context: Context, identity: str, inputs: Properties) -> None:
    value = bool(inputs.get("mapPublicIpOnLaunch"))
    context.ec2.modify_subnet_attribute(SubnetId=identity, MapPublicIpOnLaunch={"Value": value})


def _update_subnet(context: Context, registration: Registration, before: State) -> None:
    _map_public_ip(context, before.id, registration.inputs)
    _retag(context, registration, before)


def route_table(context: Context, registration: Registration) -> Created:
    """A route table."""
    inputs = registration.inputs
    identity = context.ec2.create_route_table(
        VpcId=inputs["vpcId"], TagSpecifications=_tagged(inputs, "route-table")
    )["RouteTable"].get("RouteTableId", "")
    return Created(identity, {})


def route_table_association(context: Context, registration: Registration) -> Created:
    """A subnet's route table."""
    inputs = registration.inputs
    answer = context.ec2.associate_route_table(
        RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
    )
    return Created(answer["AssociationId"], {})


def route(context: Context, registration: Registration) -> Created:
    """Where a range of addresses is reached."""
    inputs = registration.inputs
    table, block = inputs["routeTableId"], inputs["destinationCidrBlock"]
    context.ec2.create_route(
        RouteTableId=table, DestinationCidrBlock=block, GatewayId=inputs["gatewayId"]
    )
    return Created(f"{table}_{block}", {})


def _delete_route(context: Context, state: State) -> None:
    context.ec2.delete_route(
        RouteTableId=state.inputs["routeTableId"],
        DestinationCidrBlock=state.inputs["destinationCidrBlock"],
    )


def vpc_endpoint(context: Context, registration: Registration) -> Created:
    """An AWS service inside the VPC."""
    inputs = registration.inputs
    made = context.ec2.create_vpc_endpoint(
        VpcId=inputs["vpcId"],
        ServiceName=inputs["serviceName"],
        TagSpecifications=_tagged(inputs, "vpc-endpoint"),
        **given(
            VpcEndpointType=inputs.get("vpcEndpointType"),
            RouteTableIds=inputs.get("routeTableIds"),
            PolicyDocument=inputs.get("policy"),
        ),
    )["VpcEndpoint"]
    return Created(made.get("VpcEndpointId", ""), {})


def _update_endpoint(context: Context, registration: Registration, before: State) -> None:
    new = registration.inputs.get("routeTableIds") or []
    old = before.inputs.get("routeTableIds") or []
    context.ec2.modify_vpc_endpoint(
        VpcEndpointId=before.id,
        **given(
            AddRouteTableIds=[one for one in new if one not in old] or None,
            RemoveRouteTableIds=[one for one in old if one not in new] or None,
            PolicyDocument=registration.inputs.get("policy"),
        ),
    )
    _retag(context, registration, before)


def security_group(context: Context, registration: Registration) -> Created:
    """A security group without AWS's own egress rule, which Pulumi takes away likewise."""
    inputs, ec2 = registration.inputs, context.ec2
    name: str = inputs["name"]
    made = ec2.create_security_group(
        GroupName=name,
        Description=inputs.get("description") or "Managed by Pulumi",
        TagSpecifications=_tagged(inputs, "security-group"),
        **given(VpcId=inputs.get("vpcId")),
    )
    group = made["GroupId"]
    described = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    standing = described.get("IpPermissionsEgress", [])
    if standing:
        everywhere: Any = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everywhere)
    _authorize(context, group, inputs)
    return Created(
        group,
        {
            "arn": context.arn("ec2", f"security-group/{group}"),
            "name": name,
            "ownerId": context.account,
            "vpcId": described.get("VpcId", ""),
        },
    )


def _authorize(context: Context, group: str, inputs: Properties) -> None:
    if ingress := [_inline_rule(rule, group) for rule in inputs.get("ingress") or []]:
        context.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=ingress)
    if egress := [_inline_rule(rule, group) for rule in inputs.get("egress") or []]:
        context.ec2.authorize_security_group_egress(GroupId=group, IpPermissions=egress)


def _update_group(context: Context, registration: Registration, before: State) -> None:
    inputs, old, group = registration.inputs, before.inputs, before.id
    if any(inputs.get(key) != old.get(key) for key in ("ingress", "egress")):
        if ingress := [_inline_rule(rule, group) for rule in old.get("ingress") or []]:
            context.ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=ingress)
        if egress := [_inline_rule(rule, group) for rule in old.get("egress") or []]:
            context.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=egress)
        _authorize(context, group, inputs)
    _retag(context, registration, before)


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
    return _created_rule(context, registration, context.ec2.authorize_security_group_ingress)


def egress_rule(context: Context, registration: Registration) -> Created:
    """One rule that lets traffic out."""
    return _created_rule(context, registration, context.ec2.authorize_security_group_egress)


def _created_rule(
    context: Context, registration: Registration, authorize: Callable[..., Any]
) -> Created:
    inputs = registration.inputs
    answer = authorize(
        GroupId=inputs["securityGroupId"],
        IpPermissions=[_rule(inputs)],
        TagSpecifications=_tagged(inputs, "security-group-rule"),
    )
    rule: str = answer["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    arn = context.arn("ec2", f"security-group-rule/{rule}")
    return Created(rule, {"arn": arn, "securityGroupRuleId": rule})


def _update_rule(context: Context, registration: Registration, before: State) -> None:
    inputs = registration.inputs
    request = given(
        IpProtocol=str(inputs["ipProtocol"]),
        FromPort=inputs.get("fromPort"),
        ToPort=inputs.get("toPort"),
        CidrIpv4=inputs.get("cidrIpv4"),
        CidrIpv6=inputs.get("cidrIpv6"),
        PrefixListId=inputs.get("prefixListId"),
        ReferencedGroupId=inputs.get("referencedSecurityGroupId"),
        Description=inputs.get("description"),
    )
    rules: Any = [{"SecurityGroupRuleId": before.id, "SecurityGroupRule": request}]
    context.ec2.modify_security_group_rules(
        GroupId=inputs["securityGroupId"], SecurityGroupRules=rules
    )
    _retag(context, registration, before)


def _rule_exists(context: Context, state: State) -> object:
    return context.ec2.describe_security_group_rules(SecurityGroupRuleIds=[state.id])


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


HANDLERS: dict[str, Handler] = {
    "aws:ec2/vpc:Vpc": Handler(
        vpc,
        lambda c, s: c.ec2.delete_vpc(VpcId=s.id),
        _update_vpc,
        frozenset({"cidrBlock"}),
        lambda c, s: c.ec2.describe_vpcs(VpcIds=[s.id]),
        tagged=True,
    ),
    "aws:ec2/internetGateway:InternetGateway": Handler(
        internet_gateway,
        _delete_internet_gateway,
        _retag,
        frozenset({"vpcId"}),
        lambda c, s: c.ec2.describe_internet_gateways(InternetGatewayIds=[s.id]),
        tagged=True,
    ),
    "aws:ec2/subnet:Subnet": Handler(
        subnet,
        lambda c, s: c.ec2.delete_subnet(SubnetId=s.id),
        _update_subnet,
        frozenset({"availabilityZone", "cidrBlock", "vpcId"}),
        lambda c, s: c.ec2.describe_subnets(SubnetIds=[s.id]),
        tagged=True,
    ),
    "aws:ec2/routeTable:RouteTable": Handler(
        route_table,
        lambda c, s: c.ec2.delete_route_table(RouteTableId=s.id),
        _retag,
        frozenset({"vpcId"}),
        lambda c, s: c.ec2.describe_route_tables(RouteTableIds=[s.id]),
        tagged=True,
    ),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": Handler(
        route_table_association,
        lambda c, s: c.ec2.disassociate_route_table(AssociationId=s.id),
    ),
    "aws:ec2/route:Route": Handler(route, _delete_route),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Handler(
        vpc_endpoint,
        lambda c, s: c.ec2.delete_vpc_endpoints(VpcEndpointIds=[s.id]),
        _update_endpoint,
        frozenset({"serviceName", "vpcEndpointType", "vpcId"}),
        lambda c, s: c.ec2.describe_vpc_endpoints(VpcEndpointIds=[s.id]),
        tagged=True,
    ),
    "aws:ec2/securityGroup:SecurityGroup": Handler(
        security_group,
        lambda c, s: c.ec2.delete_security_group(GroupId=s.id),
        _update_group,
        frozenset({"name", "namePrefix", "description", "vpcId"}),
        lambda c, s: c.ec2.describe_security_groups(GroupIds=[s.id]),
        name=Name(255),
        tagged=True,
    ),
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": Handler(
        ingress_rule,
        lambda c, s: c.ec2.revoke_security_group_ingress(
            GroupId=s.inputs["securityGroupId"], SecurityGroupRuleIds=[s.id]
        ),
        _update_rule,
        frozenset({"securityGroupId"}),
        _rule_exists,
        tagged=True,
    ),
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": Handler(
        egress_rule,
        lambda c, s: c.ec2.revoke_security_group_egress(
            GroupId=s.inputs["securityGroupId"], SecurityGroupRuleIds=[s.id]
        ),
        _update_rule,
        frozenset({"securityGroupId"}),
        _rule_exists,
        tagged=True,
    ),
}
