"""The network: a new VPC or an existing one, and who reaches the tasks."""

import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pulumi
import pulumi_aws
import pulumi_awsx
import pytest

from components import Network
from tests.components.parts import names, outputs
from tests.recorder import REGION, ROOT, Recording, deploy, every, one

GROUP = {
    ("SecurityGroup", "network-tasks"),
    ("SecurityGroupEgressRule", "network-tasks-to-anywhere"),
    ("SecurityGroupIngressRule", "network-tasks-from-each-other"),
}


def network(*, preview: bool = False, **args: Any) -> Recording:  # noqa: ANN401 any key of the Args
    return deploy(lambda: Network("network", args), preview=preview)  # pyright: ignore[reportArgumentType] a test may give any


def test_a_new_vpc_has_two_zones_public_subnets_and_an_endpoint_for_s3() -> None:
    vpc = one(network(region="ap-northeast-1", cidr="10.9.0.0/16").resources, type="Vpc")
    assert vpc.inputs == {
        "cidrBlock": "10.9.0.0/16",
        "enableDnsHostnames": True,
        "availabilityZoneNames": ["ap-northeast-1a", "ap-northeast-1c"],
        "subnetStrategy": "Auto",
        "subnetSpecs": [{"type": "Public"}],
        "natGateways": {"strategy": "None"},
        "vpcEndpointStrategy": "Auto",
        "vpcEndpointSpecs": [
            {"serviceName": "com.amazonaws.ap-northeast-1.s3", "vpcEndpointType": "Gateway"}
        ],
    }


def test_zones_that_have_fargate_are_found_by_their_ids() -> None:
    def zones(**args: Any) -> Any:  # noqa: ANN401 any key of the Args, JSON
        vpc = one(network(**args).resources, type="Vpc").inputs
        assert ("numberOfAvailabilityZones" in vpc) is ("availabilityZoneNames" not in vpc)
        return vpc.get("availabilityZoneNames", vpc.get("numberOfAvailabilityZones"))

    assert zones(region="us-east-1") == 2
    # Of the three in Tokyo, the first two by name; az3 is none of them.
    assert zones(region=REGION) == [f"{REGION}a", f"{REGION}c"]
    assert zones(region=REGION, zones=["apne1-az2", "apne1-az4"]) == [f"{REGION}d", f"{REGION}a"]
    with pytest.raises(pulumi.RunError, match=r"this account has no zone apne1-az9 in us-east-1"):
        network(region="us-east-1", zones=["apne1-az1", "apne1-az9"])


def test_with_nat_tasks_run_in_private_subnets_behind_one_gateway() -> None:
    recording = network(region="ap-northeast-1", nat=True)
    vpc = one(recording.resources, type="Vpc")
    assert vpc.inputs["subnetSpecs"] == [{"type": "Public"}, {"type": "Private"}]
    assert vpc.inputs["natGateways"] == {"strategy": "Single"}
    assert outputs(recording, "Network")["subnet_ids"] == ["subnet-333", "subnet-444"]


def test_tasks_are_reached_by_each_other_only() -> None:
    resources = network(region="ap-northeast-1").resources
    (ingress,) = every(resources, type="SecurityGroupIngressRule")
    assert ingress.inputs == {
        "securityGroupId": "sg-0a1b2c3d",
        "referencedSecurityGroupId": "sg-0a1b2c3d",
        "ipProtocol": "-1",
        "description": "Tasks of this stack reach each other",
    }
    (egress,) = every(resources, type="SecurityGroupEgressRule")
    assert egress.inputs == {
        "securityGroupId": "sg-0a1b2c3d",
        "cidrIpv4": "0.0.0.0/0",
        "ipProtocol": "-1",
        "description": "Tasks pull their image and reach AWS and the internet",
    }
    group = one(resources, type="SecurityGroup")
    assert group.inputs["vpcId"] == "vpc-0a1b2c3d"
    assert not {"ingress", "egress"} & set(group.inputs)


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(network(preview=preview, region="ap-northeast-1"), "Network") == (
        GROUP | {("Vpc", "network")}
    )


def test_an_existing_network_is_used_as_it_is() -> None:
    recording = network(vpc_id="vpc-9", subnet_ids=["subnet-9"])
    assert names(recording, "Network") == GROUP
    assert one(recording.resources, type="SecurityGroup").inputs["vpcId"] == "vpc-9"
    assert outputs(recording, "Network") == {
        "vpc_id": "vpc-9",
        "subnet_ids": ["subnet-9"],
        "security_group_id": "sg-0a1b2c3d",
        "security_group_ids": ["sg-0a1b2c3d"],
    }


def test_it_puts_out_its_ids() -> None:
    assert outputs(network(region="ap-northeast-1"), "Network") == {
        "vpc_id": "vpc-0a1b2c3d",
        "subnet_ids": ["subnet-111", "subnet-222"],
        "security_group_id": "sg-0a1b2c3d",
        "security_group_ids": ["sg-0a1b2c3d"],
    }


def test_given_security_groups_are_used_and_none_is_made() -> None:
    groups = ["sg-1", "sg-2"]
    recording = network(vpc_id="vpc-9", subnet_ids=["subnet-9"], security_group_ids=groups)
    assert [it.type for it in recording.resources] == ["fargate-batch:index:Network"]
    found = outputs(recording, "Network")
    assert (found["security_group_id"], found["security_group_ids"]) == ("sg-1", groups)


def test_what_has_no_class_of_the_sdk_has_the_same_provider_as_what_has_one() -> None:
    for package, sdk in (("pulumi-aws", pulumi_aws), ("pulumi-awsx", pulumi_awsx)):
        assert version(package) == sdk._utilities.get_version()


# Much of an evaluation's time and memory was the reading of these.
@pytest.mark.slow
def test_evaluating_the_dev_stack_reads_neither_all_of_ec2_nor_docker() -> None:
    program = (
        "import sys, pathlib; from local.engine.monitor import evaluate_dry\n"
        "from local.engine.project import load\n"
        "assert evaluate_dry(load(pathlib.Path.cwd(), 'dev')).resources\n"
        "print({'pulumi_aws.ec2.instance', 'pulumi_docker.image'} & sys.modules.keys())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout == "set()\n"


def test_a_new_network_is_in_the_region_of_its_provider_where_none_is_said() -> None:
    (endpoint,) = one(network().resources, type="awsx:ec2:Vpc").inputs["vpcEndpointSpecs"]
    assert endpoint["serviceName"] == f"com.amazonaws.{REGION}.s3"
