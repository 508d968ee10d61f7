"""The settings become the components' arguments."""

import pytest

from arguments import repository_arn
from tests.recorder import deploy_stack, one

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "arn"),
    [
        (
            "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/team/batch:v1",
            "arn:aws:ecr:ap-northeast-1:111122223333:repository/team/batch",
        ),
        (
            f"111122223333.dkr.ecr.us-gov-west-1.amazonaws.com/batch@{DIGEST}",
            "arn:aws-us-gov:ecr:us-gov-west-1:111122223333:repository/batch",
        ),
        (
            "111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn/batch:v1",
            "arn:aws-cn:ecr:cn-north-1:111122223333:repository/batch",
        ),
        ("public.ecr.aws/docker/library/busybox:1.37", None),
        ("ghcr.io/team/batch:v1", None),
        ("evil.example/111122223333.dkr.ecr.us-east-1.amazonaws.com/batch:v1", None),
    ],
)
def test_a_job_may_pull_from_the_repository_that_its_image_names(
    image: str, arn: str | None
) -> None:
    assert repository_arn(image) == arn


def test_a_configured_image_of_ecr_may_be_pulled_by_its_own_job_only() -> None:
    own = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/own:v1"
    recording = deploy_stack(
        "dev", jobs={"ours": {}, "theirs": {"image": own}}, uploads={}, pipelines={}, schedules={}
    )
    pulls = {
        name: [
            statement["Resource"]
            for statement in one(
                recording.resources, type="aws:iam/rolePolicy:RolePolicy", name=f"{name}-execution"
            ).document("policy")["Statement"]
            if "ecr:BatchGetImage" in statement["Action"]
        ]
        for name in ("ours", "theirs")
    }
    assert pulls["theirs"] == ["arn:aws:ecr:ap-northeast-1:111122223333:repository/own"]
    assert pulls["ours"] != pulls["theirs"]
