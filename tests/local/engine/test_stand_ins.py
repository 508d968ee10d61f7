"""A company's stack, which names a network, buckets, secrets and keys of its own, on the laptop."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from local.cloud import Cloud
from local.engine import developer, stand_ins
from local.engine.project import Project, ProjectError
from local.engine.resources import create_stack
from local.engine.stand_ins import StandIns
from local.services.ecs.images import Images
from tests.local.probe import eventually
from tests.local.programs import ROOT

ACCOUNT, REGION = "123456789012", "ap-northeast-1"
ARN = f"{REGION}:{ACCOUNT}"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/etl"
SECRET = f"arn:aws:secretsmanager:{ARN}:secret:prod/database-AbC123"
PARAMETER = f"arn:aws:ssm:{ARN}:parameter/prod/token"
OTHER = f"arn:aws:ssm:{ARN}:parameter/prod/other"
KEY = f"arn:aws:kms:{ARN}:key/11111111-2222-3333-4444-555555555555"
RESULTS_KEY = f"arn:aws:kms:{ARN}:key/11111111-2222-3333-4444-000000000000"
POLICIES = [
    f"arn:aws:iam::{ACCOUNT}:policy/team/boundary",
    "arn:aws:iam::aws:policy/service-role/AWSBatchServiceRole",
    "arn:aws:iam::aws:policy/AWSXRayDaemonWriteAccess",
]
SUBNETS = ["subnet-0123456789abcdef0", "subnet-0fedcba9876543210"]
CONFIG = {
    "aws:region": REGION,
    "fargate-batch:network": {
        "vpcId": "vpc-0123456789abcdef0",
        "subnetIds": SUBNETS,
        "assignPublicIp": False,
    },
    "fargate-batch:uploadsBucket": {"bucket": "acme-uploads"},
    "fargate-batch:resultsBucket": {"bucket": "acme-results", "kmsKeyArn": RESULTS_KEY},
    "fargate-batch:buckets": {"partner": {"bucket": "partner-exports", "notifications": "keep"}},
    "fargate-batch:image": f"{IMAGE}:1.4",
    "fargate-batch:permissionsBoundary": POLICIES[0],
    "fargate-batch:jobs": {
        "etl": {
            "secrets": {
                "PASSWORD": f"{SECRET}:password::",
                "TOKEN": PARAMETER,
                "OTHER": OTHER,
            },
            "secretsKey": KEY,
            "managedPolicies": POLICIES[1:],
        }
    },
    "fargate-batch:uploads": {
        "in": {"job": "etl", "prefix": "in/"},
        "partner": {"job": "etl", "prefix": "out/", "bucket": "partner"},
    },
}
PROJECT = Project(
    ROOT,
    "fargate-batch",
    "acme",
    REGION,
    {key: value if isinstance(value, str) else json.dumps(value) for key, value in CONFIG.items()},
    {},
)
PROGRAM = """\
import os, sys
print(sys.argv[1], os.environ["PASSWORD"], os.environ["TOKEN"], os.environ["OTHER"])
"""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cloud]:
    folder = tmp_path_factory.mktemp("developer")
    (folder / "etl.py").write_text(PROGRAM)
    images = Images({IMAGE: ("python", "etl.py")}, folder)
    account = stand_ins.account(PROJECT)
    assert account == ACCOUNT
    with Cloud(0, REGION, images=images, account=account) as opened:
        yield opened


@pytest.fixture(scope="module")
def lines(cloud: Cloud) -> tuple[str, ...]:
    secrets = {"prod/database": json.dumps({"password": "open sesame"}), "/prod/token": "t-1"}
    return StandIns(cloud).make(PROJECT, secrets)


def test_an_upload_runs_the_companys_image_with_its_secrets(
    cloud: Cloud, lines: tuple[str, ...]
) -> None:
    outputs = create_stack(PROJECT, cloud, cloud.images.add).outputs
    assert outputs["vpcId"] == "vpc-0123456789abcdef0"
    assert outputs["subnetIds"] == SUBNETS
    for bucket, key in (("acme-uploads", "in/a b.csv"), ("partner-exports", "out/c.csv")):
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    logs = cloud.client("logs")

    def messages() -> list[str] | None:
        events = logs.filter_log_events(logGroupName=outputs["jobs"]["etl"]["logGroup"])["events"]
        return sorted(event["message"] for event in events) if len(events) > 1 else None

    assert eventually(messages) == [
        f"{key} open sesame t-1 stand-in" for key in ("in/a b.csv", "out/c.csv")
    ]
    assert len(lines) == 11


def test_each_stand_in_is_listed_without_its_value(lines: tuple[str, ...]) -> None:
    assert lines == (
        f"The network vpc-0123456789abcdef0, {', '.join(SUBNETS)}: tasks run on this machine",
        f"The key {RESULTS_KEY}: nothing is encrypted with it, but its use must be allowed",
        f"The key {KEY}: nothing is encrypted with it, but its use must be allowed",
        *(
            f"The policy {arn}: what it says is not known here, it allows everything"
            for arn in POLICIES[:2]
        ),
        "The bucket acme-uploads, empty",
        "The bucket acme-results, empty",
        "The bucket partner-exports, empty, telling EventBridge of uploads",
        "The secret prod/database: its value is from local.secrets.yaml",
        "The parameter /prod/token: its value is from local.secrets.yaml",
        "The parameter /prod/other: its value is 'stand-in'; give it one in local.secrets.yaml",
    )


@pytest.mark.usefixtures("lines")
def test_a_stand_in_answers_as_the_real_thing_would(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    found = ec2.describe_subnets(SubnetIds=SUBNETS)["Subnets"]
    assert {subnet["VpcId"] for subnet in found} == {"vpc-0123456789abcdef0"}
    assert len({subnet["AvailabilityZone"] for subnet in found}) == 2
    groups = ec2.describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": ["vpc-0123456789abcdef0"]}]
    )
    assert "default" in {group["GroupName"] for group in groups["SecurityGroups"]}
    assert cloud.client("secretsmanager").describe_secret(SecretId="prod/database")["ARN"] == SECRET
    assert cloud.client("kms").describe_key(KeyId=KEY)["KeyMetadata"]["Arn"] == KEY
    [rule] = cloud.client("s3").get_bucket_encryption(Bucket="acme-results")[
        "ServerSideEncryptionConfiguration"
    ]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": RESULTS_KEY,
    }


def test_what_an_edited_stack_names_as_well_is_made_and_what_was_there_stays(
    cloud: Cloud, lines: tuple[str, ...]
) -> None:
    assert lines
    account = PROJECT.config["fargate-batch:permissionsBoundary"].split(":")[4]
    others = StandIns(cloud)

    def edited(jobs: object, **config: object) -> Project:
        texts = {f"fargate-batch:{key}": json.dumps(value) for key, value in config.items()}
        return Project(
            ROOT,
            "fargate-batch",
            "acme",
            REGION,
            {"aws:region": REGION, "fargate-batch:jobs": json.dumps(jobs), **texts},
            {},
        )

    secret, parameter = f"{SECRET[:-15]}rotated-AbC123", f"{PARAMETER}-rotated"
    jobs = {"etl": {"secrets": {"A": f"{secret}:a::", "B": parameter}}}
    bucket = {"bucket": f"rotated-{account}"}
    vpc, subnets = "vpc-1111111111111111", ["subnet-1111111111111111", "subnet-2222222222222222"]
    network = {"vpcId": vpc, "subnetIds": subnets[:1]}
    first = edited(jobs, uploadsBucket=bucket, network=network)
    assert len(others.make(first, {})) == 4
    assert others.make(first, {}) == ()

    s3, secrets = cloud.client("s3"), cloud.client("secretsmanager")
    s3.put_object(Bucket=bucket["bucket"], Key="kept", Body=b"x")
    secrets.put_secret_value(SecretId=secret, SecretString='{"a": "by hand"}')
    jobs["etl"]["secrets"] |= {"C": f"{secret}:c::"}
    second = edited(
        jobs,
        uploadsBucket={**bucket, "notifications": "keep", "kmsKeyArn": RESULTS_KEY},
        network={**network, "subnetIds": subnets},
    )
    told = others.make(second, {parameter: "rotated"})
    assert [line.split()[1] for line in told] == ["network", "key", "secret", "parameter"]
    assert subnets[0] not in told[0]
    assert cloud.client("ec2").describe_subnets(SubnetIds=subnets)["Subnets"][1]["VpcId"] == vpc
    assert s3.get_object(Bucket=bucket["bucket"], Key="kept")["Body"].read() == b"x"
    assert "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(
        Bucket=bucket["bucket"]
    )
    [rule] = s3.get_bucket_encryption(Bucket=bucket["bucket"])["ServerSideEncryptionConfiguration"][
        "Rules"
    ]
    assert rule["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == RESULTS_KEY
    value = secrets.get_secret_value(SecretId=secret)["SecretString"]
    assert json.loads(value) == {"a": "stand-in", "c": "stand-in"}
    found = cloud.client("ssm").get_parameter(Name="/prod/token-rotated", WithDecryption=True)
    assert found["Parameter"]["Value"] == "rotated"


def test_what_is_of_another_account_takes_another_cloud(cloud: Cloud) -> None:
    secret = SECRET.replace(ACCOUNT, "999999999999")
    jobs = json.dumps({"etl": {"secrets": {"A": secret}}})
    config = {"aws:region": REGION, "fargate-batch:jobs": jobs}
    with pytest.raises(ProjectError) as refused:
        StandIns(cloud).make(Project(ROOT, "fargate-batch", "acme", REGION, config, {}), {})
    assert str(refused.value) == (
        f"What the stack names is of the account 999999999999 now, and what runs has {ACCOUNT}: "
        "stop it and start anew."
    )


def test_a_stack_with_nothing_of_its_own_needs_no_stand_in() -> None:
    config = {"aws:region": REGION, "fargate-batch:jobs": '{"etl": {"environment": {"A": "b"}}}'}
    project = Project(ROOT, "fargate-batch", "dev", REGION, config, {})
    assert stand_ins.account(project) is None


def test_the_developers_files_say_commands_and_secrets(tmp_path: Path) -> None:
    assert developer.load(tmp_path) == developer.Developer()
    samples = ROOT / "local" / "samples"
    for name in (developer.COMMANDS_FILE, developer.SECRETS_FILE):
        (tmp_path / name).write_text((samples / name).read_text())
    own = developer.load(tmp_path)
    assert [command[0] for command in own.commands.values()] == ["python"]
    assert json.loads(own.secrets["prod/database"])["username"] == "batch"
    assert "only-on-this-machine" not in repr(own)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("local.yaml", "images: [a]", "local.yaml: images must map an image to a command"),
        ("local.yaml", "images: {a: 'b \"c'}", "the command of a: No closing quotation"),
        ("local.secrets.yaml", "- hidden", "must be a mapping"),
        ("local.secrets.yaml", "a: [hidden", "cannot be read, or is not valid YAML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ProjectError, match=reason) as refusal:
        developer.load(tmp_path)
    assert "hidden" not in str(refusal.value)
