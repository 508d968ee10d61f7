"""The whole platform as one component, in a program that is somebody else's."""

from collections import Counter
from typing import Any

import pulumi
import pytest
from pulumi_aws import Provider

from components import BatchPlatform, BatchPlatformArgs, ExecutionRole, FargateJob
from components._keys import NOT_PLAIN, as_configured
from fargate_batch import wire
from settings import SettingsError
from tests.recorder import UNKNOWN, Recording, deploy, every, one, the_stack

ARGS: BatchPlatformArgs = {
    "protect": False,
    "log_retention_days": 14,
    "network": {"cidr": "10.1.0.0/16"},
    "jobs": {
        "ingest": {
            "timeout": "2h",
            "environment": {"SOME_NAME": "value"},
            "readonly_root_filesystem": True,
            "ingest": {"schema": {"order_id": "BIGINT"}, "date_format": "%Y%m%d"},
        }
    },
    "uploads": {"orders": {"job": "ingest", "prefix": "orders/", "max_size": 1000}},
    "pipelines": {
        "nightly": {
            "schedule": "rate(1 day)",
            "steps": [
                [{"job": "ingest", "on_failure": "continue"}],
                [{"job": "ingest", "environment": {"A_B": "c"}}],
            ],
        }
    },
    "schedules": {"hourly": {"job": "ingest", "schedule": "rate(1 hour)"}},
}


def platform(args: BatchPlatformArgs = ARGS, *, preview: bool = False) -> Recording:
    def program() -> None:
        made = BatchPlatform("batches", args)
        for name in BatchPlatform.__annotations__:
            pulumi.export(name, getattr(made, name))

    return deploy(program, config={"aws:region": "ap-northeast-1"}, preview=preview)


def test_the_keys_of_arguments_become_those_of_a_stacks_file_and_names_stay() -> None:
    configured = as_configured(ARGS, BatchPlatformArgs)
    assert configured["logRetentionDays"] == 14
    assert configured["jobs"]["ingest"] == {
        "timeout": "2h",
        "environment": {"SOME_NAME": "value"},
        "readonlyRootFilesystem": True,
        "ingest": {"schema": {"order_id": "BIGINT"}, "dateFormat": "%Y%m%d"},
    }
    assert configured["pipelines"]["nightly"]["steps"] == [
        [{"job": "ingest", "onFailure": "continue"}],
        [{"job": "ingest", "environment": {"A_B": "c"}}],
    ]
    assert as_configured(configured, BatchPlatformArgs) == configured


def test_a_stacks_file_and_the_same_arguments_make_the_same() -> None:
    stack = the_stack("dev")
    args: BatchPlatformArgs = {
        "region": "ap-northeast-1",
        "network": {"cidr": "10.0.0.0/16"},
        "protect": False,
        "log_retention_days": 14,
        "uploads_bucket": {"retention_days": 30},
        "results_bucket": {"retention_days": 30},
        "jobs": {
            "ingest": {
                "cpu": 512,
                "memory": 1024,
                "timeout": "1h",
                "environment": {"ENV": "Original env value."},
            }
        },
        "uploads": {
            "target": {"job": "ingest", "prefix": "target/"},
            "complete": {"job": "ingest", "key": "test/aaa/complete.txt", "via": "task"},
        },
        "pipelines": {
            "nightly": {
                "schedule": "cron(0 10 * * ? *)",
                "timezone": "Asia/Tokyo",
                "enabled": False,
                "steps": [
                    [
                        {
                            "job": "ingest",
                            "commands": [f"from{n}", f"object{n}"],
                            "environment": {"ENV": f"Start Execution input{n}"},
                        }
                    ]
                    for n in (1, 2)
                ],
            }
        },
        "schedules": {"hello": {"job": "ingest", "schedule": "rate(1 minute)", "enabled": False}},
    }
    found = {r.urn.replace("::batches", "::platform"): r for r in platform(args).resources}
    assert found.keys() == {r.urn for r in stack.resources}
    for resource in stack.resources:
        if resource.type != "fargate-batch:index:BatchPlatform":
            assert found[resource.urn].inputs == resource.inputs


def test_it_puts_out_what_a_stack_exports_and_a_preview_knows_it_is_there() -> None:
    exports = platform().exports
    assert set(exports["jobs"]) == {"ingest"}
    assert exports["jobs"]["ingest"].keys() == the_stack("dev").exports["jobs"]["ingest"].keys()
    assert exports["uploads"]["orders"]["deadLetterQueueUrl"].startswith("https://sqs.")
    assert set(exports["pipelines"]["nightly"]) == {"stateMachineArn", "scheduleArn"}
    assert exports["schedules"]["hourly"].startswith("arn:aws:scheduler:")
    preview = platform(preview=True)
    assert preview.exports.keys() == exports.keys()
    assert preview.exports["upload_bucket"] == UNKNOWN
    assert preview.exports["jobs"]["ingest"] == {
        **dict.fromkeys(exports["jobs"]["ingest"], UNKNOWN),
        "logGroup": "/fargate-batch/dev/ingest",
    }


def test_what_is_refused_is_told_in_the_lines_of_a_stacks_file_and_nothing_is_made() -> None:
    wrong: Any = {
        "jobs": {"ingest": {"cpu": 500, "stop_timeout": 1}},
        "uploads": {"orders": {"job": "ingest", "prefx": "orders/"}},
    }
    resources: list[str] = []

    def program() -> None:
        with pytest.raises(SettingsError) as refused:
            BatchPlatform("batches", wrong)
        resources.extend(str(refused.value).splitlines())

    assert deploy(program, config={"aws:region": "ap-northeast-1"}).resources == ()
    sizes = "256, 512, 1024, 2048, 4096, 8192, 16384"
    assert resources == [
        f"fargate-batch:jobs.ingest.cpu: must be one of {sizes} (is: 500)",
        "fargate-batch:jobs.ingest.stopTimeout: must be at least 2 (is: 1)",
        "fargate-batch:uploads.orders.prefx: unknown key; the README lists what there is",
    ]


def test_a_secret_or_an_output_is_refused_by_its_place_and_not_shown() -> None:
    lines: list[str] = []

    def program() -> None:
        token = pulumi.Output.secret("s3cret")
        wrong: Any = {
            "jobs": {"ingest": {"environment": {"TOKEN": token}, "cpu": token}},
            "network": {"subnet_ids": [token]},
        }
        with pytest.raises(SettingsError) as refused:
            BatchPlatform("batches", wrong)
        lines.extend(str(refused.value).splitlines())

    assert deploy(program, config={"aws:region": "ap-northeast-1"}).resources == ()
    places = ("jobs.ingest.environment.TOKEN", "jobs.ingest.cpu", "network.subnetIds[0]")
    assert lines == [f"fargate-batch:{place}: {NOT_PLAIN}" for place in places]
    assert "s3cret" not in str(lines)


def test_roles_are_placed_and_bounded_in_the_platform_alone() -> None:
    boundary = "arn:aws:iam::123456789012:policy/boundary"

    def program() -> None:
        BatchPlatform(
            "batches",
            {**ARGS, "role_path": "/batch/", "permissions_boundary": boundary},
            pulumi.ResourceOptions(parent=pulumi.ComponentResource("team:index:Own", "own")),
        )
        ExecutionRole("mine", {})

    recording = deploy(program, config={"aws:region": "ap-northeast-1"})
    roles = {r.name: r.inputs for r in every(recording.resources, type="aws:iam/role:Role")}
    mine = roles.pop("mine")
    assert (mine["path"], mine.get("permissionsBoundary")) == ("/fargate-batch/dev/", None)
    assert len(roles) > 5
    assert {inputs["permissionsBoundary"] for inputs in roles.values()} == {boundary}
    assert {
        inputs["path"].startswith("/batch/fargate-batch/dev/") for inputs in roles.values()
    } == {True}
    assert one(recording.resources, type="BatchPlatform").parent.endswith("team:index:Own::own")


def test_its_provider_is_asked_where_it_deploys_to_and_makes_what_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []
    invoke = wire.Monitor.Invoke

    def record(monitor: wire.Monitor, request: Any) -> Any:  # noqa: ANN401 - gRPC's
        asked.append((request.tok.rpartition(":")[2], request.provider.split("::")[-2:][0]))
        return invoke(monitor, request)

    monkeypatch.setattr(wire.Monitor, "Invoke", record)

    def program() -> None:
        for stack, region in (("", "eu-west-1"), ("-of-two", "us-east-1")):
            aws = Provider(f"aws{stack}", region=region)
            FargateJob(f"job{stack}", {}, pulumi.ResourceOptions(providers={"aws": aws}))
        FargateJob("here", {})

    deploy(program)
    # A child of the image's repository is asked for of the engine, not of a provider.
    found = Counter(it for it in asked if it[0] != "getResource")
    assert found == {
        (function, provider): 1
        for function in ("getRegion", "getPartition", "getCallerIdentity", "getAuthorizationToken")
        for provider in ("aws", "aws-of-two", "")
    }
