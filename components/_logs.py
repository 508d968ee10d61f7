"""Log groups that people know by name, and that may outlive what wrote to them."""

import pulumi
import pulumi_aws as aws


def log_group(
    resource_name: str,
    name: str,
    *,
    retention_days: int,
    protect: bool,
    opts: pulumi.ResourceOptions,
) -> aws.cloudwatch.LogGroup:
    """A log group called `name`, or `name-SUFFIX` with `protect`: then Pulumi never deletes it.

    Without the suffix one that was left behind would be in the way of the next of its name. Once
    made, it keeps its name.
    """
    kept = pulumi.ResourceOptions(retain_on_delete=protect, ignore_changes=["name", "name_prefix"])
    return aws.cloudwatch.LogGroup(
        resource_name,
        name=None if protect else name,
        name_prefix=f"{name}-" if protect else None,
        retention_in_days=retention_days,
        opts=pulumi.ResourceOptions.merge(opts, kept),
    )
