"""A job: its container, what its two roles may do, its log."""

import pulumi
import pytest

from components import FargateJob, FargateJobArgs
from tests.components.parts import allows, names, outputs, trusts
from tests.recorder import ACCOUNT, REGION, Recording, deploy, one

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/batch:1"
REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/batch"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/"
LOG = "/fargate-batch/dev/ingest-1a2b3c4"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db-1a2b3c"
PARAMETER = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a/b"

WRITE_LOG = {
    "Effect": "Allow",
    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
    "Resource": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOG}:log-stream:*",
}
FULL: FargateJobArgs = {
    "image": IMAGE,
    "repository_arn": REPOSITORY,
    "cpu": 1024,
    "memory": 4096,
    "ephemeral_storage": 50,
    "architecture": "ARM64",
    "environment": {"Z": "last", "A": '{% 1 %} "quoted" 取込'},
    "secrets": {"KEY": f"{SECRET}:key::", "WHOLE": SECRET, "PARAMETER": PARAMETER},
    "source_bucket_arns": ["arn:aws:s3:::uploads"],
    "results_bucket_name": "results",
    "results_bucket_arn": "arn:aws:s3:::results",
    "results_prefix": "out/ingest/",
    "log_retention_days": 7,
}


def job(args: FargateJobArgs, *, preview: bool = False) -> Recording:
    return deploy(lambda: FargateJob("ingest", args), preview=preview)


def test_the_container_is_what_the_job_says() -> None:
    definition = one(job(FULL).resources, type="TaskDefinition")
    assert definition.document("containerDefinitions") == [
        {
            "name": "ingest",
            "image": IMAGE,
            "essential": True,
            "environment": [
                {"name": "A", "value": '{% 1 %} "quoted" 取込'},
                {"name": "JOB", "value": "ingest"},
                {"name": "RESULTS_BUCKET", "value": "results"},
                {"name": "RESULTS_PREFIX", "value": "out/ingest/"},
                {"name": "Z", "value": "last"},
            ],
            "secrets": [
                {"name": "KEY", "valueFrom": f"{SECRET}:key::"},
                {"name": "PARAMETER", "valueFrom": PARAMETER},
                {"name": "WHOLE", "valueFrom": SECRET},
            ],
            "stopTimeout": 30,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": LOG,
                    "awslogs-region": REGION,
                    "awslogs-stream-prefix": "ingest",
                    "mode": "blocking",
                },
            },
        }
    ]


def test_the_task_is_as_large_as_the_job_says() -> None:
    definition = one(job(FULL).resources, type="TaskDefinition")
    del definition.inputs["containerDefinitions"]
    assert definition.inputs == {
        "tags": {"batch-job": "ingest"},
        "family": "fargate-batch-dev-job-ingest",
        "cpu": "1024",
        "memory": "4096",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "runtimePlatform": {"cpuArchitecture": "ARM64", "operatingSystemFamily": "LINUX"},
        "ephemeralStorage": {"sizeInGib": 50},
        "executionRoleArn": f"{ROLES}ingest-execution-1a2b3c4",
        "taskRoleArn": f"{ROLES}ingest-task-1a2b3c4",
        "skipDestroy": True,
    }


def test_a_job_that_says_nothing_has_the_smallest_useful_size() -> None:
    definition = one(job({"image": IMAGE}).resources, type="TaskDefinition")
    assert (definition.inputs["cpu"], definition.inputs["memory"]) == ("512", "1024")
    assert "ephemeralStorage" not in definition.inputs
    (container,) = definition.document("containerDefinitions")
    assert container["environment"] == [{"name": "JOB", "value": "ingest"}]
    assert container["secrets"] == []


def test_ecs_may_pull_the_image_write_the_log_and_read_whole_secrets() -> None:
    policy = one(job(FULL).resources, type="RolePolicy", name="ingest-execution")
    assert policy.document("policy") == allows(
        WRITE_LOG,
        {"Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": [
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
            ],
            "Resource": REPOSITORY,
        },
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [SECRET]},
        {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": [PARAMETER]},
    )


def test_ecs_may_decrypt_secrets_with_the_key_they_are_encrypted_with() -> None:
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
    recording = job({"image": "python:3.13", "secrets": {"KEY": SECRET}, "secrets_key": key})
    policy = one(recording.resources, type="RolePolicy", name="ingest-execution")
    assert policy.document("policy") == allows(
        WRITE_LOG,
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": [SECRET]},
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": key},
    )


def test_ecs_may_only_write_the_log_of_a_job_with_a_public_image_and_no_secrets() -> None:
    policy = one(job({"image": "python:3.13"}).resources, type="RolePolicy")
    assert policy.name == "ingest-execution"
    assert policy.document("policy") == allows(WRITE_LOG)


def test_the_container_may_read_uploads_and_write_its_own_results() -> None:
    policy = one(job(FULL).resources, type="RolePolicy", name="ingest-task")
    assert policy.document("policy") == allows(
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": ["arn:aws:s3:::uploads"]},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:GetObjectVersion"],
            "Resource": ["arn:aws:s3:::uploads/*"],
        },
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::results"},
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
            "Resource": "arn:aws:s3:::results/out/ingest/*",
        },
    )


def test_the_container_may_use_the_keys_of_its_buckets_through_s3_alone() -> None:
    keys = [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{number}" for number in range(3)]
    recording = job({**FULL, "source_key_arns": keys[:2], "results_key_arn": keys[2]})
    through_s3 = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    policy = one(recording.resources, type="RolePolicy", name="ingest-task").document("policy")
    assert policy["Statement"][4:] == [
        {
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": keys[:2],
            "Condition": through_s3,
        },
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": keys[2],
            "Condition": through_s3,
        },
    ]


def test_results_go_under_the_jobs_name_unless_told_otherwise() -> None:
    args: FargateJobArgs = {
        "image": IMAGE,
        "results_bucket_name": "results",
        "results_bucket_arn": "arn:aws:s3:::results",
    }
    recording = job(args)
    policy = one(recording.resources, type="RolePolicy", name="ingest-task").document("policy")
    assert policy["Statement"][-1]["Resource"] == "arn:aws:s3:::results/ingest/*"
    (container,) = one(recording.resources, type="TaskDefinition").document("containerDefinitions")
    assert {"name": "RESULTS_PREFIX", "value": "ingest/"} in container["environment"]


@pytest.mark.parametrize("role", ["ingest-execution", "ingest-task"])
def test_only_tasks_of_this_account_may_act_with_its_roles(role: str) -> None:
    made = one(job(FULL).resources, type="Role", name=role)
    assert made.document("assumeRolePolicy") == trusts(
        "ecs-tasks.amazonaws.com",
        ArnLike={"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"},
    )


def test_the_log_is_kept_for_as_long_as_told() -> None:
    assert one(job(FULL).resources, type="LogGroup").inputs == {
        "namePrefix": LOG.removesuffix("1a2b3c4"),
        "retentionInDays": 7,
    }
    assert one(job({"image": IMAGE}).resources, type="LogGroup").inputs["retentionInDays"] == 30


def test_without_an_image_it_builds_one_of_its_own() -> None:
    recording = job({"architecture": "ARM64"})
    assert one(recording.resources, type="Image").inputs["platforms"] == ["linux/arm64"]
    (container,) = one(recording.resources, type="TaskDefinition").document("containerDefinitions")
    assert container["image"] == (
        f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/ingest-1a2b3c4@sha256:{'ab' * 32}"
    )
    policy = one(recording.resources, type="RolePolicy", name="ingest-execution")
    assert policy.document("policy")["Statement"][-1]["Resource"] == (
        f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/ingest-1a2b3c4"
    )


@pytest.mark.parametrize("preview", [False, True])
def test_its_children_are_its_own(*, preview: bool) -> None:
    assert names(job(FULL, preview=preview), "FargateJob") == {
        ("LogGroup", "ingest"),
        ("Role", "ingest-execution"),
        ("Role", "ingest-task"),
        ("RolePolicy", "ingest-execution"),
        ("RolePolicy", "ingest-task"),
        ("TaskDefinition", "ingest"),
    }


def test_what_runs_the_job_is_given_the_revision_and_both_roles() -> None:
    def build() -> None:
        pulumi.export("task", FargateJob("ingest", FULL).task)

    task = deploy(build).exports["task"]
    assert task == {
        "name": "ingest",
        "task_definition_arn": (
            f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-ingest:7"
        ),
        "execution_role_arn": f"{ROLES}ingest-execution-1a2b3c4",
        "task_role_arn": f"{ROLES}ingest-task-1a2b3c4",
        "log_group_name": LOG,
    }


def test_the_container_has_what_it_asks_for_of_its_surroundings() -> None:
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:registry-1a2b3c"
    recording = job(
        {
            "image": "registry.example/etl:1",
            "entry_point": ["python", "-u"],
            "user": "1000:1000",
            "readonly_root_filesystem": True,
            "init_process": True,
            "open_files": 4096,
            "stop_timeout": 120,
            "log_mode": "non-blocking",
            "log_buffer_size": "25m",
            "log_multiline_pattern": "^INFO",
            "repository_credentials": secret,
        }
    )
    definition = one(recording.resources, type="TaskDefinition")
    assert definition.inputs["volumes"] == [{"name": "tmp"}]
    (container,) = definition.document("containerDefinitions")
    options = container.pop("logConfiguration")["options"]
    assert container == {
        "name": "ingest",
        "image": "registry.example/etl:1",
        "essential": True,
        "environment": [{"name": "JOB", "value": "ingest"}],
        "secrets": [],
        "entryPoint": ["python", "-u"],
        "user": "1000:1000",
        "readonlyRootFilesystem": True,
        "mountPoints": [{"sourceVolume": "tmp", "containerPath": "/tmp"}],  # noqa: S108 -- the container's
        "linuxParameters": {"initProcessEnabled": True},
        "ulimits": [{"name": "nofile", "softLimit": 4096, "hardLimit": 4096}],
        "stopTimeout": 120,
        "repositoryCredentials": {"credentialsParameter": secret},
    }
    assert options == {
        "awslogs-group": LOG,
        "awslogs-region": REGION,
        "awslogs-stream-prefix": "ingest",
        "mode": "non-blocking",
        "max-buffer-size": "25m",
        "awslogs-multiline-pattern": "^INFO",
    }
    execution = one(recording.resources, type="RolePolicy", name="ingest-execution")
    assert execution.document("policy") == allows(
        WRITE_LOG,
        {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": secret},
    )


def test_the_container_may_do_what_the_job_says_besides() -> None:
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"
    condition = {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["a"]}}
    recording = job(
        {
            "image": "python:3.13",
            "policies": [
                {"actions": ["dynamodb:GetItem", "dynamodb:Query"], "resources": [table]},
                {
                    "actions": ["dynamodb:PutItem"],
                    "resources": [table],
                    "conditions": condition,
                },
            ],
            "managed_policy_arns": [f"arn:aws:iam::{ACCOUNT}:policy/read-rates"],
        }
    )
    policy = one(recording.resources, type="RolePolicy", name="ingest-task")
    assert policy.document("policy") == allows(
        {
            "Sid": "AtOnce0",
            "Effect": "Allow",
            "Action": ["dynamodb:GetItem", "dynamodb:Query"],
            "Resource": [table],
        },
        {
            "Sid": "AtOnce1",
            "Effect": "Allow",
            "Action": ["dynamodb:PutItem"],
            "Resource": [table],
            "Condition": condition,
        },
    )
    attachment = one(recording.resources, type="RolePolicyAttachment")
    assert attachment.name == "ingest-task-1"
    assert attachment.inputs == {
        "role": "ingest-task-1a2b3c4",
        "policyArn": f"arn:aws:iam::{ACCOUNT}:policy/read-rates",
    }


def test_sidecars_run_beside_the_jobs_container_and_have_streams_of_their_own() -> None:
    recording = job(
        {
            **FULL,
            "secrets": {},
            "stop_timeout": 60,
            "log_multiline_pattern": "^INFO",
            "sidecars": {
                "proxy": {
                    "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/proxy:1",
                    "repository_arn": f"{REPOSITORY}-proxy",
                    "essential": True,
                    "cpu": 128,
                    "memory": 256,
                    "environment": {"B": "2", "A": "1"},
                    "secrets": {"KEY": f"{SECRET}:key::"},
                    "entry_point": ["envoy"],
                    "commands": ["-c", "x"],
                    "depends_on": {"fetch": "SUCCESS"},
                    "health_check": {"command": ["curl", "-f", "http://localhost:1/"]},
                },
                "fetch": {"image": "public.ecr.aws/fetch:1"},
            },
            "depends_on": {"proxy": "HEALTHY"},
        }
    )
    own, fetch, proxy = one(recording.resources, type="TaskDefinition").document(
        "containerDefinitions"
    )
    assert own["essential"] is True
    assert own["dependsOn"] == [{"containerName": "proxy", "condition": "HEALTHY"}]
    log = {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": LOG,
            "awslogs-region": REGION,
            "awslogs-stream-prefix": "ingest",
            "mode": "blocking",
        },
    }
    assert fetch == {
        "name": "fetch",
        "image": "public.ecr.aws/fetch:1",
        "essential": False,
        "environment": [],
        "secrets": [],
        "stopTimeout": 60,
        "logConfiguration": log,
    }
    assert proxy == {
        "name": "proxy",
        "image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/proxy:1",
        "essential": True,
        "cpu": 128,
        "memory": 256,
        "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "secrets": [{"name": "KEY", "valueFrom": f"{SECRET}:key::"}],
        "entryPoint": ["envoy"],
        "command": ["-c", "x"],
        "dependsOn": [{"containerName": "fetch", "condition": "SUCCESS"}],
        "healthCheck": {
            "command": ["CMD", "curl", "-f", "http://localhost:1/"],
            "interval": 30,
            "timeout": 5,
            "retries": 3,
            "startPeriod": 0,
        },
        "stopTimeout": 60,
        "logConfiguration": log,
    }
    execution = one(recording.resources, type="RolePolicy", name="ingest-execution")
    by_action = {
        str(it["Action"]): it["Resource"] for it in execution.document("policy")["Statement"]
    }
    assert by_action["secretsmanager:GetSecretValue"] == [SECRET]
    pulls = next(resource for action, resource in by_action.items() if "BatchGetImage" in action)
    assert pulls == [REPOSITORY, f"{REPOSITORY}-proxy"]


def test_a_file_system_is_mounted_as_the_job_says() -> None:
    recording = job(
        {
            "image": "python:3.13",
            "readonly_root_filesystem": True,
            "volumes": {
                "shared": {
                    "file_system_id": "fs-1",
                    "access_point_id": "fsap-1",
                    "container_path": "/mnt/shared",
                },
                "rates": {
                    "file_system_id": "fs-2",
                    "container_path": "/mnt/rates",
                    "read_only": True,
                },
                "open": {
                    "file_system_id": "fs-3",
                    "container_path": "/mnt/open",
                    "iam_authorization": False,
                    "transit_encryption": False,
                },
            },
        }
    )
    definition = one(recording.resources, type="TaskDefinition")

    def efs(number: int, encryption: str, **authorization: str) -> dict[str, object]:
        return {
            "fileSystemId": f"fs-{number}",
            "transitEncryption": encryption,
            "authorizationConfig": authorization,
        }

    assert definition.inputs["volumes"] == [
        {"name": "open", "efsVolumeConfiguration": efs(3, "DISABLED", iam="DISABLED")},
        {"name": "rates", "efsVolumeConfiguration": efs(2, "ENABLED", iam="ENABLED")},
        {
            "name": "shared",
            "efsVolumeConfiguration": efs(1, "ENABLED", iam="ENABLED", accessPointId="fsap-1"),
        },
        {"name": "tmp"},
    ]
    (container,) = definition.document("containerDefinitions")
    assert container["mountPoints"] == [
        {"sourceVolume": "open", "containerPath": "/mnt/open", "readOnly": False},
        {"sourceVolume": "rates", "containerPath": "/mnt/rates", "readOnly": True},
        {"sourceVolume": "shared", "containerPath": "/mnt/shared", "readOnly": False},
        {"sourceVolume": "tmp", "containerPath": "/tmp"},  # noqa: S108 -- the container's
    ]
    prefix = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}"
    policy = one(recording.resources, type="RolePolicy", name="ingest-task")
    assert policy.document("policy") == allows(
        {
            "Effect": "Allow",
            "Action": ["elasticfilesystem:ClientMount"],
            "Resource": f"{prefix}:file-system/fs-2",
        },
        {
            "Effect": "Allow",
            "Action": ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"],
            "Resource": f"{prefix}:file-system/fs-1",
            "Condition": {
                "StringEquals": {
                    "elasticfilesystem:AccessPointArn": f"{prefix}:access-point/fsap-1"
                }
            },
        },
    )


def test_it_puts_out_the_revision_the_log_and_the_role() -> None:
    assert outputs(job(FULL), "FargateJob") == {
        "task_definition_arn": (
            f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-ingest:7"
        ),
        "log_group_name": LOG,
        "task_role_arn": f"{ROLES}ingest-task-1a2b3c4",
        "execution_role_arn": f"{ROLES}ingest-execution-1a2b3c4",
        "task": {
            "name": "ingest",
            "task_definition_arn": (
                f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-ingest:7"
            ),
            "execution_role_arn": f"{ROLES}ingest-execution-1a2b3c4",
            "task_role_arn": f"{ROLES}ingest-task-1a2b3c4",
            "log_group_name": LOG,
        },
    }


def test_grants_are_ascii_as_iam_wants_them_and_the_rest_is_sent_as_it_is() -> None:
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_PutRolePolicy.html
    args: FargateJobArgs = {
        "image": "python:3.13",
        "environment": {"WHAT": "取込"},
        "results_bucket_name": "results",
        "results_bucket_arn": "arn:aws:s3:::results",
        "results_prefix": "取込/",
    }
    recording = job(args)
    policy = one(recording.resources, type="RolePolicy", name="ingest-task")
    assert policy.inputs["policy"].isascii()
    assert "arn:aws:s3:::results/取込/*" in str(policy.document("policy"))
    assert "取込" in one(recording.resources, type="TaskDefinition").inputs["containerDefinitions"]
