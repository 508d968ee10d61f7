"""The cluster and what its tasks may be placed with."""

import pulumi_aws as aws
import pytest

from components import BatchCluster
from tests.components.parts import names, outputs
from tests.recorder import ACCOUNT, REGION, deploy, one


@pytest.mark.parametrize("insights", ["enabled", "enhanced", "disabled"])
def test_it_has_both_fargate_providers_and_the_insights_asked_for(insights: str) -> None:
    resources = deploy(lambda: BatchCluster("batch", {"container_insights": insights})).resources
    assert one(resources, type="Cluster").inputs == {
        "settings": [{"name": "containerInsights", "value": insights}]
    }
    assert one(resources, type="ClusterCapacityProviders").inputs == {
        "clusterName": "batch-1a2b3c4",
        "capacityProviders": ["FARGATE", "FARGATE_SPOT"],
    }


def test_insights_are_on_unless_told_otherwise() -> None:
    cluster = one(deploy(lambda: BatchCluster("batch", {})).resources, type="Cluster")
    assert cluster.inputs["settings"] == [{"name": "containerInsights", "value": "enabled"}]


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(deploy(lambda: BatchCluster("batch", {}), preview=preview), "BatchCluster") == {
        ("Cluster", "batch"),
        ("ClusterCapacityProviders", "batch"),
        ("Table", "batch-launches"),
    }


def test_whoever_uses_the_cluster_waits_for_its_capacity_providers() -> None:
    def build() -> None:
        cluster = BatchCluster("batch", {})
        aws.ssm.Parameter("cluster", type="String", value=cluster.cluster_arn)

    resources = deploy(build).resources
    providers = one(resources, type="ClusterCapacityProviders")
    assert providers.urn in one(resources, type="Parameter").depends_on


def test_it_puts_out_its_arn_and_names() -> None:
    assert outputs(deploy(lambda: BatchCluster("batch", {})), "BatchCluster") == {
        "cluster_arn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/batch-1a2b3c4",
        "cluster_name": "batch-1a2b3c4",
        "launch_table_name": "batch-launches-1a2b3c4",
    }
