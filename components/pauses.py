"""The schedules that a person paused: an update is not to start them."""

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws


def pauses_path() -> str:
    """What the names of the SSM parameters begin with that say so, each `…/KIND-NAME`."""
    return f"/{pulumi.get_project()}/{pulumi.get_stack()}/paused/"


def paused_schedules(parent: pulumi.Resource | None = None) -> pulumi.Output[Sequence[str]]:
    """The paused schedules of this stack: `pipeline-NAME`, `schedule-NAME`."""
    path = pauses_path()
    found = aws.ssm.get_parameters_by_path_output(
        path=path.rstrip("/"), opts=pulumi.InvokeOutputOptions(parent=parent)
    )
    return found.names.apply(lambda names: [name.removeprefix(path) for name in names])
