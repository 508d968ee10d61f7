"""File systems that a job's container mounts: arguments, definition and what the mounts take."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_aws as aws

from . import defaults
from ._documents import joined
from ._iam import Statement, allow, arn


class VolumeArgs(TypedDict):
    """An Amazon EFS file system that exists, in the job's container.

    Its mount targets are in the zones of the tasks' subnets, and let these in on TCP port 2049.
    """

    file_system_id: pulumi.Input[str]
    """The file system's id, of this account and Region."""
    access_point_id: NotRequired[pulumi.Input[str] | None]
    """The access point that it is entered by, if by any; it says which folder and user is used.
    Default: none."""
    container_path: str
    """Where the container has it."""
    read_only: NotRequired[bool]
    """Whether the container cannot write to it. Default: False."""
    iam_authorization: NotRequired[bool]
    """Whether the task's role is what lets it in, which is then granted that. Default: True."""
    transit_encryption: NotRequired[bool]
    """Whether what is on the way is encrypted, as an access point and IAM demand. Default: True."""


def definition(name: str, args: VolumeArgs) -> aws.ecs.TaskDefinitionVolumeArgsDict:
    """The volume of a task definition.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html
    """
    iam = args.get("iam_authorization", defaults.IAM_AUTHORIZATION)
    encrypted = args.get("transit_encryption", defaults.TRANSIT_ENCRYPTION)
    access_point_id = args.get("access_point_id")
    authorization: aws.ecs.TaskDefinitionVolumeEfsVolumeConfigurationAuthorizationConfigArgsDict
    authorization = {"iam": "ENABLED" if iam else "DISABLED"}
    if access_point_id is not None:
        authorization["access_point_id"] = access_point_id
    return {
        "name": name,
        "efs_volume_configuration": {
            "file_system_id": args["file_system_id"],
            "transit_encryption": "ENABLED" if encrypted else "DISABLED",
            "authorization_config": authorization,
        },
    }


def mount_point(name: str, args: VolumeArgs) -> dict[str, Any]:
    """Where a container definition has the volume."""
    return {
        "sourceVolume": name,
        "containerPath": args["container_path"],
        "readOnly": args.get("read_only", defaults.READ_ONLY),
    }


def statements(volumes: Mapping[str, VolumeArgs]) -> list[Statement]:
    """What the task's role must be granted for its mounts.

    https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html
    """
    return [
        allow(
            _ACTIONS[:1] if args.get("read_only", defaults.READ_ONLY) else _ACTIONS,
            arn("elasticfilesystem", joined("file-system/", args["file_system_id"])),
            _through(args.get("access_point_id")),
        )
        for _, args in sorted(volumes.items())
        if args.get("iam_authorization", defaults.IAM_AUTHORIZATION)
    ]


_ACTIONS = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]


def _through(access_point_id: pulumi.Input[str] | None) -> dict[str, Any] | None:
    if access_point_id is None:
        return None
    # https://docs.aws.amazon.com/efs/latest/ug/access-points-iam-policy.html
    access_point = arn("elasticfilesystem", joined("access-point/", access_point_id))
    return {"StringEquals": {"elasticfilesystem:AccessPointArn": access_point}}
