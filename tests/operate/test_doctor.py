"""`doctor`: what would fail, each with the way out."""

import json
from datetime import UTC, datetime

import pytest

from operate import doctor
from operate.doctor import Finding
from operate.job_secrets import lets_decrypt
from operate.pauses import Pause
from operate.stack import Stack
from tests.operate.conftest import CommandLine, Deployed, changed, with_tasks

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"


def found(stack: Stack, check: str) -> list[Finding]:
    return [one for one in doctor.look(stack) if one.check == check]


def test_the_doctor_names_what_would_fail_and_the_way_out(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    answer = fargate_batch("doctor", "--json")
    assert [(one["check"], one["status"]) for one in answer.json] == [
        ("service-linked role", "ok"),
        ("vCPU on demand", "ok"),
        ("vCPU on Spot", "ok"),
        ("roles", "ok"),
        ("rules", "ok"),
        ("key", "ok"),
        ("addresses", "ok"),
        ("addresses", "ok"),
        ("zones", "ok"),
        ("route", "ok"),
        ("route", "ok"),
        ("image", "unknown"),
        ("alerts", "warning"),
        ("insights", "ok"),
        ("dead letters", "ok"),
    ]
    [rules] = [one["text"] for one in answer.json if one["check"] == "rules"]
    assert rules == "8 of 300 on the default event bus"
    assert all(one["way_out"] for one in answer.json if one["status"] in {"warning", "failing"})
    queue = deployed.outputs["uploads"]["target"]["deadLetterQueueUrl"]
    deployed.client("sqs").send_message(QueueUrl=queue, MessageBody="{}")
    ill = fargate_batch("doctor")
    assert ill.status == 1
    [row] = [one for one in ill.rows if one["check"] == "dead letters"]
    assert (row["status"], row["what"]) == ("failing", "1 of upload-target")
    assert row["way out"] == "letters list --trigger upload-target"


def test_the_doctor_names_a_key_that_cannot_be_used(
    deployed: Deployed, fargate_batch: CommandLine
) -> None:
    def key() -> dict[str, str]:
        [found] = [one for one in fargate_batch("doctor", "--json").json if one["check"] == "key"]
        return found

    assert key()["status"] == "ok"
    topic = deployed.outputs["alertsTopicArn"]
    attributes = deployed.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    arn = attributes["KmsMasterKeyId"]
    deployed.client("kms").disable_key(KeyId=arn)
    try:
        found = key()
        assert (found["status"], found["way_out"]) == (
            "failing",
            "enable it, or cancel its deletion, in KMS",
        )
        assert "is Disabled" in found["text"]
    finally:
        deployed.client("kms").enable_key(KeyId=arn)


def test_a_secret_that_the_execution_role_cannot_read_is_named_with_the_way_out(
    deployed: Deployed,
) -> None:
    kms, manager, ssm = (deployed.client(one) for one in ("kms", "secretsmanager", "ssm"))
    granted, other = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
    own, foreign, ungranted = (
        manager.create_secret(Name=name, SecretString="x", KmsKeyId=key)["ARN"]
        for name, key in (("own", granted), ("foreign", other), ("ungranted", granted))
    )
    plain, deleted = (
        manager.create_secret(Name=name, SecretString="x")["ARN"] for name in ("plain", "deleted")
    )
    # For 30 days it could be had again.
    manager.delete_secret(SecretId=deleted)
    ssm.put_parameter(Name="/a/b", Value="x", Type="SecureString", KeyId=granted)
    base = own.rpartition(":secret:")[0].replace("secretsmanager", "ssm")
    parameter, gone = f"{base}:parameter/a/b", f"{base}:parameter/gone"
    statements = [
        {"Effect": "Allow", "Action": action, "Resource": resources}
        for action, resources in {
            "secretsmanager:GetSecretValue": [own, foreign, plain, deleted],
            "ssm:GetParameters": [parameter],
            "kms:Decrypt": [granted],
        }.items()
    ]
    iam = deployed.client("iam")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(RoleName="reader", PolicyName="own", PolicyDocument=document)
    # One field of a secret is read as the whole of it.
    arns = (f"{own}:field::", foreign, ungranted, parameter, gone, plain, deleted)
    jobs = with_tasks(deployed, ROLE, "x", {f"S{n}": arn for n, arn in enumerate(arns)})
    stack = changed(deployed, jobs=jobs)

    told = {(one.status, one.text): one.way_out for one in found(stack, "secret")}

    assert told == {
        ("ok", f"{own} can be read"): "",
        ("ok", f"{plain} can be read"): "",
        ("ok", f"{parameter} can be read"): "",
        ("failing", f"reader may not decrypt {foreign} with {other}"): (
            "name the key in the job's `secretsKey`, and deploy"
        ),
        ("failing", f"reader may not read {ungranted}"): (
            "a role was changed by hand: `pulumi refresh`, then `pulumi up`"
        ),
        **{
            ("failing", f"{arn} is gone"): "create it again, or remove it from the job's `secrets`"
            for arn in (gone, deleted)
        },
    }
    kms.disable_key(KeyId=granted)
    assert ("failing", f"{granted}, the key of {own}, is Disabled") in {
        (one.status, one.text) for one in found(stack, "secret")
    }


@pytest.mark.parametrize(
    ("principal", "action", "lets"),
    [
        ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "kms:*", True),
        ({"AWS": [ACCOUNT]}, ["kms:Encrypt", "kms:decrypt"], True),
        ({"AWS": ROLE}, "kms:De*", True),
        ("*", "*", True),
        ({"AWS": ROLE}, "kms:DescribeKey", False),
        ({"AWS": "arn:aws:iam::999999999999:root"}, "kms:*", False),
        ({"Service": "ecs.amazonaws.com"}, "kms:*", False),
    ],
)
def test_a_keys_policy_lets_a_role_or_leaves_it_to_its_account(
    principal: object,
    action: object,
    lets: bool,  # noqa: FBT001 -- of a table
) -> None:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"}
    assert lets_decrypt({"Statement": statement}, ROLE) is lets
    assert not lets_decrypt({"Statement": [{**statement, "Effect": "Deny"}]}, ROLE)


def test_a_subnet_without_a_way_out_takes_an_endpoint_for_all_that_a_task_takes(
    deployed: Deployed,
) -> None:
    ec2, vpc = deployed.client("ec2"), deployed.outputs["vpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.250.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    role = deployed.outputs["jobs"]["ingest"]["executionRoleArn"]
    jobs = with_tasks(deployed, role, f"{ACCOUNT}.dkr.ecr.ap-northeast-1.amazonaws.com/x:1", {})
    stack = changed(deployed, jobs=jobs, subnetIds=[subnet])
    # The network's own endpoint is that of S3.
    missing = "ecr.api, ecr.dkr, logs"
    way = f"add a NAT gateway, or endpoints for {missing}"
    text = f"{subnet} cannot reach {missing}"

    def of_subnet(stack: Stack) -> list[Finding]:
        """What is found of it; the job's own two, which its state machine names, are well."""
        others, ours = [], []
        for one in found(stack, "route"):
            (ours if one.text.startswith(subnet) else others).append(one)
        assert {one.text.partition(" ")[0] for one in others} == {*deployed.outputs["subnetIds"]}
        assert {one.status for one in others} == {"ok"}
        return ours

    assert of_subnet(stack) == [Finding("route", "failing", text, way)]
    for service in missing.split(", "):
        ec2.create_vpc_endpoint(
            VpcId=vpc,
            ServiceName=f"com.amazonaws.ap-northeast-1.{service}",
            VpcEndpointType="Interface",
        )
    text = f"{subnet} has endpoints for all that a task needs"
    assert of_subnet(stack) == [Finding("route", "ok", text)]
    # Public registries have no endpoint.
    public = changed(
        deployed, jobs=with_tasks(deployed, role, "r.example.com/x", {}), subnetIds=[subnet]
    )
    [only] = of_subnet(public)
    assert (only.status, only.text) == ("failing", f"{subnet} cannot reach r.example.com")


def test_an_internet_gateway_is_no_way_out_for_tasks_without_public_addresses(
    deployed: Deployed,
) -> None:
    role = deployed.outputs["jobs"]["ingest"]["executionRoleArn"]
    jobs = with_tasks(deployed, role, "r.example.com/x", {})
    stack = changed(deployed, jobs=jobs)
    events = stack.aws.client("stepfunctions").meta.events

    def without_addresses(parsed: dict[str, str], **_: object) -> None:
        told, instead = (f'"AssignPublicIp": "{it}"' for it in ("ENABLED", "DISABLED"))
        assert told in parsed["definition"]
        parsed["definition"] = parsed["definition"].replace(told, instead)

    assert {one.status for one in found(stack, "route")} == {"ok"}
    events.register("after-call.sfn.DescribeStateMachine", without_addresses)
    try:
        told = found(changed(deployed, stack.aws, jobs=jobs), "route")
    finally:
        events.unregister("after-call.sfn.DescribeStateMachine", without_addresses)
    assert {(one.status, one.text.partition(" ")[0]) for one in told} == {
        ("failing", subnet) for subnet in deployed.outputs["subnetIds"]
    }
    way = "`assignPublicIp: true`, or add a NAT gateway, or endpoints for "
    assert all(one.way_out.startswith(way) for one in told)


@pytest.mark.parametrize(
    ("value", "status", "dollars", "way"),
    [
        ("disabled", "ok", None, ""),
        ("enabled", "warning", "12.00", "`containerInsights: disabled` costs nothing"),
        ("enhanced", "ok", "2.80", ""),
    ],
)
def test_container_insights_are_told_with_what_their_metrics_cost(
    deployed: Deployed, value: str, status: str, dollars: str | None, way: str
) -> None:
    ecs, cluster = deployed.client("ecs"), deployed.outputs["clusterArn"]
    dimensions = [{"Name": "ClusterName", "Value": cluster.rpartition("/")[2]}]
    for start in range(0, 40, 20):
        deployed.client("cloudwatch").put_metric_data(
            Namespace="ECS/ContainerInsights",
            MetricData=[
                {"MetricName": f"M{start + n}", "Dimensions": dimensions, "Value": 1}
                for n in range(20)
            ],
        )
    ecs.update_cluster_settings(
        cluster=cluster, settings=[{"name": "containerInsights", "value": value}]
    )
    rate = "40 metrics in the last three hours, at that rate"
    text = f"Container Insights is {value}"
    told = f"{text}: {rate} {dollars} USD a month" if dollars else text
    assert found(deployed.stack(), "insights") == [Finding("insights", status, told, way)]


@pytest.mark.parametrize(("protect", "status"), [(True, "failing"), (False, "warning")])
def test_alerts_that_nobody_has_confirmed_reach_nobody(
    deployed: Deployed,
    protect: bool,  # noqa: FBT001 -- of a table
    status: str,
) -> None:
    stack = changed(deployed, protect=protect)
    pending = {
        "SubscriptionArn": "PendingConfirmation",
        "Protocol": "email",
        "Endpoint": "ops@example.com",
    }
    # The laptop's cloud takes every address for confirmed.
    stack.aws.client("sns").meta.events.register(
        "after-call.sns.ListSubscriptionsByTopic",
        lambda parsed, **_: parsed.update(Subscriptions=[pending]),
    )
    told = found(stack, "alerts")
    text = "ops@example.com has not confirmed, so it receives nothing"
    way = "set `alerts.emails`, and confirm by the link in the mail"
    assert told == [
        Finding("alerts", "warning", text, "open the link in the mail that AWS sent to it"),
        Finding("alerts", status, "nobody is told of failures", way),
    ]


def test_a_pause_that_outlived_its_schedule_is_named(deployed: Deployed) -> None:
    stack, ssm = deployed.stack(), deployed.client("ssm")
    arns = {
        "schedule-hello": stack.schedules["hello"].schedule_arn or "",
        "pipeline-nightly": "arn:aws:scheduler:::schedule/earlier/nightly",
        "schedule-gone": "arn:aws:scheduler:::schedule/earlier/gone",
    }
    path = "/fargate-batch/dev/paused/"
    for label, arn in arns.items():
        pause = Pause(arn, "ana", "the source is down", datetime.now(UTC))
        ssm.put_parameter(Name=f"{path}{label}", Value=pause.text, Type="String")
    try:
        assert {one.text: (one.status, one.way_out) for one in found(stack, "pauses")} == {
            "schedule-hello was paused by ana: the source is down": ("ok", ""),
            "pipeline-nightly was paused by ana before its schedule was made anew": (
                "warning",
                "schedules resume nightly",
            ),
            "schedule-gone is paused, and the stack has no such schedule": (
                "warning",
                f"aws ssm delete-parameter --name {path}schedule-gone",
            ),
        }
    finally:
        ssm.delete_parameters(Names=[f"{path}{label}" for label in arns])
