"""`jobs.NAME.volumes`: file systems that exist, in the job's container."""

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import model_validator

from . import defaults
from .values import Section, matching

# What readonlyRootFilesystem leaves a container to write to.
WRITABLE_NAME, WRITABLE_PATH = "tmp", "/tmp"  # noqa: S108 -- the container's


class VolumeSettings(Section):
    """An Amazon EFS file system, and where the container has it."""

    file_system_id: Annotated[
        str, matching(r"fs-[0-9a-f]{8,40}", "must be a file system's id, fs-…")
    ]
    access_point_id: (
        Annotated[str, matching(r"fsap-[0-9a-f]{8,40}", "must be an access point's id, fsap-…")]
        | None
    ) = None
    container_path: Annotated[
        str, matching(r"(/[\w.@+-]+)+", "must be a path from the root, without / at its end")
    ]
    read_only: bool = defaults.READ_ONLY
    iam_authorization: bool = defaults.IAM_AUTHORIZATION
    transit_encryption: bool = defaults.TRANSIT_ENCRYPTION

    @model_validator(mode="after")
    def _is_encrypted_where_it_must_be(self) -> Self:
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EFSVolumeConfiguration.html
        if not self.transit_encryption and (self.iam_authorization or self.access_point_id):
            raise ValueError(
                "transitEncryption: false goes neither with an access point nor with IAM: "
                "set iamAuthorization: false, or remove it"
            )
        return self


def disagreement(volumes: Mapping[str, VolumeSettings], *, read_only_root: bool) -> str | None:
    """Why no container could have all of these volumes, if none could."""
    paths = Counter(PurePosixPath(volume.container_path) for volume in volumes.values())
    if read_only_root:
        paths[PurePosixPath(WRITABLE_PATH)] += 1
    if WRITABLE_NAME in volumes:
        return f"volumes.{WRITABLE_NAME}: readonlyRootFilesystem makes one of that name; rename it"
    twice = sorted(str(path) for path, count in paths.items() if count > 1)
    return f"volumes: two are at containerPath {twice[0]}" if twice else None
