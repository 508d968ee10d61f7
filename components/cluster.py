"""The ECS cluster the tasks run in."""

from typing import NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._here import Component


class BatchClusterArgs(TypedDict):
    """A cluster has one knob."""

    container_insights: NotRequired[str]
    """Container Insights: enabled, enhanced or disabled. Default: enabled, which CloudWatch bills
    as custom metrics."""


class BatchCluster(Component):
    """An ECS cluster that runs tasks on Fargate and Fargate Spot. Costs nothing while empty.

    With it comes a table of one item, in which executions that RunTask refuses take turns.
    """

    cluster_arn: pulumi.Output[str]
    """The cluster's ARN, known once its capacity providers are in place."""
    cluster_name: pulumi.Output[str]
    """The cluster's name."""
    launch_table_name: pulumi.Output[str]
    """The name of the table for `BatchStateMachineArgs.launch_table_name`."""

    def __init__(
        self, name: str, args: BatchClusterArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("fargate-batch:index:BatchCluster", name, opts)
        child = pulumi.ResourceOptions(parent=self)

        cluster = aws.ecs.Cluster(
            name,
            settings=[
                {
                    "name": "containerInsights",
                    "value": args.get("container_insights", defaults.CONTAINER_INSIGHTS),
                }
            ],
            opts=child,
        )
        providers = aws.ecs.ClusterCapacityProviders(
            name,
            cluster_name=cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            opts=child,
        )
        # Encrypted as every table is. Without a backup: it holds when the next turn is.
        table = aws.dynamodb.Table(
            f"{name}-launches",
            billing_mode="PAY_PER_REQUEST",
            hash_key="queue",
            attributes=[{"name": "queue", "type": "S"}],
            opts=child,
        )
        self.cluster_arn = pulumi.Output.all(cluster.arn, providers.id).apply(lambda v: v[0])
        self.cluster_name = cluster.name
        self.launch_table_name = table.name
        self.register_outputs(
            {
                "cluster_arn": self.cluster_arn,
                "cluster_name": self.cluster_name,
                "launch_table_name": self.launch_table_name,
            }
        )
