"""The settings become the components' arguments."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi.provider.experimental.analyzer import Analyzer

import components
from components import arguments, defaults
from components.arguments import repository_arn
from tests.recorder import ROOT, Json, deploy_stack, one

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


def test_each_job_with_a_folder_of_its_own_runs_and_may_pull_the_image_built_from_it() -> None:
    recording = deploy_stack(
        "dev",
        jobs={"ours": {}, "etl": {"context": "etl"}, "load": {"context": "."}},
        image="ghcr.io/team/batch:1",
        uploads={},
        pipelines={},
        schedules={},
    )
    images = {
        name: one(recording.resources, type="aws:ecs/taskDefinition:TaskDefinition", name=name)
        .document("containerDefinitions")[0]["image"]
        .partition("/")[2]
        .partition("@")[0]
        for name in ("ours", "etl", "load")
    }
    assert images == {
        "ours": "team/batch:1",
        "etl": "etl-image-6cc6df0-1a2b3c4",
        "load": "image-436f065-1a2b3c4",
    }
    pulls = one(recording.resources, type="aws:iam/rolePolicy:RolePolicy", name="etl-execution")
    assert pulls.document("policy")["Statement"][2]["Resource"].endswith(
        "/etl-image-6cc6df0-1a2b3c4"
    )


def test_a_configured_image_of_ecr_may_be_pulled_by_its_own_job_only() -> None:
    own = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/own:v1"
    recording = deploy_stack(
        "dev", jobs={"ours": {}, "theirs": {"image": own}}, uploads={}, pipelines={}, schedules={}
    )
    pulls = {
        name: [
            statement["Resource"]
            for statement in one(
                recording.resources, type="aws:iam/rolePolicy:RolePolicy", name=role
            ).document("policy")["Statement"]
            if "ecr:BatchGetImage" in statement["Action"]
        ]
        for name, role in {"ours": "execution", "theirs": "theirs-execution"}.items()
    }
    assert pulls["theirs"] == ["arn:aws:ecr:ap-northeast-1:111122223333:repository/own"]
    assert pulls["ours"] != pulls["theirs"]


SECRETS = "arn:aws:ssm:ap-northeast-1:123456789012:parameter/"
ETL: dict[str, Json] = {
    "image": "public.ecr.aws/team/batch:1",
    "cpu": 1024,
    "memory": 4096,
    "ephemeralStorage": 30,
    "environment": {"A": "1"},
    "secrets": {"B": f"{SECRETS}b"},
    "entryPoint": ["run"],
    "user": "1000",
    "readonlyRootFilesystem": True,
    "initProcess": True,
    "ulimits": {"nofile": 2048},
    "stopTimeout": 90,
    "dependsOn": {"proxy": "HEALTHY"},
    "sidecars": {
        "init": {"image": "public.ecr.aws/team/init:1"},
        "proxy": {
            "image": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/proxy:2",
            "essential": True,
            "cpu": 256,
            "memory": 512,
            "environment": {"C": "3"},
            "secrets": {"D": f"{SECRETS}d"},
            "entryPoint": ["proxy"],
            "commands": ["-v"],
            "dependsOn": {"init": "SUCCESS"},
            "healthCheck": {
                "command": ["check"],
                "interval": 10,
                "timeout": 3,
                "retries": 4,
                "startPeriod": 20,
            },
        },
    },
    "volumes": {
        "data": {
            "fileSystemId": "fs-01234567",
            "accessPointId": "fsap-01234567",
            "containerPath": "/data",
            "readOnly": True,
        },
        "open": {
            "fileSystemId": "fs-76543210",
            "containerPath": "/open",
            "iamAuthorization": False,
            "transitEncryption": False,
        },
    },
}


def test_everything_that_a_job_says_of_its_containers_is_in_the_task_definition() -> None:
    recording = deploy_stack("dev", jobs={"etl": ETL}, uploads={}, pipelines={}, schedules={})
    made = one(recording.resources, type="aws:ecs/taskDefinition:TaskDefinition")
    log = {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": "/fargate-batch/dev/etl",
            "awslogs-region": "ap-northeast-1",
            "awslogs-stream-prefix": "etl",
            "mode": "blocking",
        },
    }
    variables = {"A": "1", "JOB": "etl", "RESULTS_BUCKET": "results-1a2b3c4"}
    variables["RESULTS_PREFIX"] = "etl/"
    assert made.document("containerDefinitions") == [
        {
            "name": "etl",
            "image": "public.ecr.aws/team/batch:1",
            "essential": True,
            "environment": [{"name": name, "value": value} for name, value in variables.items()],
            "secrets": [{"name": "B", "valueFrom": f"{SECRETS}b"}],
            "stopTimeout": 90,
            "logConfiguration": log,
            "dependsOn": [{"containerName": "proxy", "condition": "HEALTHY"}],
            "entryPoint": ["run"],
            "user": "1000",
            "readonlyRootFilesystem": True,
            "mountPoints": [
                {"sourceVolume": "data", "containerPath": "/data", "readOnly": True},
                {"sourceVolume": "open", "containerPath": "/open", "readOnly": False},
                {"sourceVolume": "tmp", "containerPath": "/tmp"},  # noqa: S108 the container's
            ],
            "linuxParameters": {"initProcessEnabled": True},
            "ulimits": [{"name": "nofile", "softLimit": 2048, "hardLimit": 2048}],
        },
        {
            "name": "init",
            "image": "public.ecr.aws/team/init:1",
            "essential": False,
            "environment": [],
            "secrets": [],
            "stopTimeout": 90,
            "logConfiguration": log,
        },
        {
            "name": "proxy",
            "image": "123456789012.dkr.ecr.ap-northeast-1.amazonaws.com/proxy:2",
            "essential": True,
            "environment": [{"name": "C", "value": "3"}],
            "secrets": [{"name": "D", "valueFrom": f"{SECRETS}d"}],
            "stopTimeout": 90,
            "logConfiguration": log,
            "dependsOn": [{"containerName": "init", "condition": "SUCCESS"}],
            "cpu": 256,
            "memory": 512,
            "entryPoint": ["proxy"],
            "command": ["-v"],
            "healthCheck": {
                "command": ["CMD", "check"],
                "interval": 10,
                "timeout": 3,
                "retries": 4,
                "startPeriod": 20,
            },
        },
    ]
    size = ("cpu", "memory", "ephemeralStorage")
    assert [made.inputs[key] for key in size] == ["1024", "4096", {"sizeInGib": 30}]
    assert made.inputs["volumes"] == [
        {
            "name": "data",
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-01234567",
                "authorizationConfig": {"iam": "ENABLED", "accessPointId": "fsap-01234567"},
                "transitEncryption": "ENABLED",
            },
        },
        {
            "name": "open",
            "efsVolumeConfiguration": {
                "fileSystemId": "fs-76543210",
                "authorizationConfig": {"iam": "DISABLED"},
                "transitEncryption": "DISABLED",
            },
        },
        {"name": "tmp"},
    ]
    # It has secrets, so its execution role is its own, and there is no other to share one with.
    roles = {one.name for one in recording.resources if one.type == "aws:iam/role:Role"}
    assert "etl-execution" in roles
    assert "execution" not in roles
    pulls = one(recording.resources, type="aws:iam/rolePolicy:RolePolicy", name="etl-execution")
    [repository] = [
        statement["Resource"]
        for statement in pulls.document("policy")["Statement"]
        if "ecr:BatchGetImage" in statement["Action"]
    ]
    assert repository == "arn:aws:ecr:ap-northeast-1:123456789012:repository/proxy"


# The Args of components, and the keys among them that a stack's file does not set.
OF_PACKAGE_ALONE = {
    # What is of a log of a component's own: a stack has one for all, which `BatchPlatform` makes.
    **{
        f"{name}Args": {"log_retention_days"}
        for name in ("Backfills", "FailureAlerts", "ScheduledPipeline", "TaskReaper")
    },
    "BatchStateMachineArgs": {"log_retention_days", "spot_interruptions"},
    "ScheduleArgs": {"retries", "maximum_age_seconds"},
}


def _given() -> dict[str, set[str]]:
    """The keys in the dicts of each function of arguments.py, by the Args it returns."""
    given: dict[str, set[str]] = {}
    functions = ast.parse(inspect.getsource(arguments)).body
    for function in functions:
        if not isinstance(function, ast.FunctionDef) or function.returns is None:
            continue
        for node in ast.walk(function):
            name = ast.unparse(function.returns)
            if isinstance(node, ast.AnnAssign):
                name = ast.unparse(node.annotation)
            value = node.value if isinstance(node, ast.AnnAssign | ast.Return) else None
            if isinstance(value, ast.Dict) and name.startswith("c."):
                keys = {key.value for key in value.keys if isinstance(key, ast.Constant)}
                given.setdefault(name.removeprefix("c."), set()).update(map(str, keys))
    return given


def test_every_key_of_the_components_arguments_is_given_or_is_of_the_package_alone() -> None:
    given = _given()
    assert {"FargateJobArgs", "UploadFilterArgs", "StepArgs", "ScheduleArgs"} <= given.keys()
    for name, keys in given.items():
        declared = set(getattr(components, name).__annotations__)
        assert keys == declared - OF_PACKAGE_ALONE.get(name, set()), name


def docstrings(args: type) -> Iterator[tuple[str, str]]:
    """The docstring of each key, as the package's schema takes them."""
    analyzer = Analyzer("fargate-batch")
    for key in args.__annotations__:
        yield key, analyzer.get_docstring(args, key) or ""


DOCUMENTED = [
    (name, key, match[1])
    for name in components.__all__
    if name.endswith("Args")
    for key, text in docstrings(getattr(components, name))
    if (match := re.search(r"Default:\s+(.+?)(?:,|:|\.(?:\s|$))", text, re.DOTALL))
]


def test_the_docstrings_name_defaults() -> None:
    assert len(DOCUMENTED) > 30
    constants = {name for name in vars(defaults) if name.isupper()}
    assert constants <= {word for name, key, _ in DOCUMENTED for word in _constants(name, key)}


def _constants(args: str, key: str) -> list[str]:
    return [f"{args.removesuffix('Args')}_{key}".upper(), key.upper()]


@pytest.mark.parametrize(("name", "key", "default"), DOCUMENTED)
def test_a_default_in_a_docstring_is_the_default(name: str, key: str, default: str) -> None:
    values = [getattr(defaults, word, None) for word in _constants(name, key)]
    value = next((value for value in values if value is not None), None)
    if value is None:
        # What has no constant is left out, and the docstring says what that means.
        assert not re.fullmatch(r"[\d.]+|True|False", default), (name, key)
    else:
        assert default == (str(value[0]) if isinstance(value, tuple) else str(value))


@pytest.mark.parametrize("name", ["defaults.py", "outcomes.py", "placeholders.py", "zones.py"])
def test_what_settings_and_components_both_say_is_written_once(name: str) -> None:
    assert (ROOT / "settings" / name).readlink() == Path("..", "components", name)
