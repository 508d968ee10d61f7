"""Each rule of the policy pack on a program that breaks it, as the real engine hands it over."""

import pytest

from policy.rules import RULES, STACK_RULES
from tests.engine.conftest import Engine
from tests.local.programs import write_files

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# One resource for each rule, called as the rule is. What is not said breaks those on buckets.
PROGRAM = """
import json
import pulumi_aws as aws
import pulumi_awsx as awsx

ASSUMED = {"Service": "ecs-tasks.amazonaws.com"}
BY_ACCOUNT = {"StringEquals": {"aws:SourceAccount": "111122223333"},
              "ArnLike": {"aws:SourceArn": "arn:aws:ecs:ap-northeast-1:111122223333:*"}}
HANGS = {"StartAt": "Run", "States": {"Run": {
    "Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "End": True}}}


def document(**statement):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


role = aws.iam.Role("role", assume_role_policy=document(
    Action="sts:AssumeRole", Principal=ASSUMED, Condition=BY_ACCOUNT))
tls = json.dumps({"Version": "2012-10-17", "Statement": [{
    "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": "*",
    "Condition": {"Bool": {"aws:SecureTransport": "false"}}}]})

aws.sqs.Queue("queues-encrypted", policy=tls)
aws.sns.Topic("topics-encrypted")
logs = aws.cloudwatch.LogGroup("log-groups-expire")
aws.lambda_.Function("functions-time-out", role=role.arn, runtime="python3.13", handler="a.b",
                     s3_bucket="code", s3_key="code.zip", logging_config={
                         "log_format": "Text", "log_group": logs.name})
aws.sfn.StateMachine("tasks-time-out", role_arn=role.arn, definition=json.dumps(HANGS))
aws.vpc.SecurityGroupIngressRule("no-public-ingress", security_group_id="sg-1",
                                 ip_protocol="tcp", cidr_ipv4="0.0.0.0/0")
aws.ecs.TaskDefinition("images-pinned", family="f", container_definitions=json.dumps(
    [{"name": "a", "image": "ghcr.io/team/a:latest"}]))
awsx.ecr.Repository("tags-immutable", image_tag_mutability="MUTABLE")
aws.iam.RolePolicy("grants-narrow", role=role.id, policy=document(
    Action="s3:*", Resource="arn:aws:s3:::bucket"))
aws.iam.RolePolicy("passed-roles-bound", role=role.id, policy=document(
    Action="iam:PassRole", Resource="arn:aws:iam::111122223333:role/f"))
aws.iam.RolePolicy("runs-bound", role=role.id, policy=document(
    Action="ecs:RunTask", Resource="arn:aws:ecs:ap-northeast-1:111122223333:task-definition/f:*"))
aws.iam.Role("services-bound", assume_role_policy=document(
    Action="sts:AssumeRole", Principal=ASSUMED))
aws.kms.Key("keys-rotated")
aws.cloudwatch.EventTarget("deliveries-kept", rule="rule", arn=role.arn)
aws.s3.Bucket("buckets")
aws.sqs.Queue("queues-tls-only", sqs_managed_sse_enabled=True)
aws.lambda_.Function("functions-log", role=role.arn, runtime="python3.13", handler="a.b",
                     s3_bucket="code", s3_key="code.zip", timeout=10)
"""
PULUMI = "name: sample\nruntime: {name: python, options: {virtualenv: .venv}}\n"


def test_each_rule_refuses_what_breaks_it_and_nothing_else(engine: Engine) -> None:
    root = engine.root.parent / "breaking"
    write_files(root, PROGRAM)
    (root / "Pulumi.yaml").write_text(PULUMI)
    (root / ".venv").symlink_to((engine.root / ".venv").readlink())
    engine.must("stack", "init", "dev", root=root)
    refused = engine.preview("dev", "--policy-pack", str(engine.root / "policy"), root=root)
    assert refused.status != 0
    rules = {rule.name for rule in (*RULES, *STACK_RULES)}
    buckets = {rule for rule in rules if rule.startswith("buckets-")}
    found = {(rule, name) for rule, name in refused.violations}
    assert found == {
        *((rule, "buckets") for rule in buckets),
        *((rule, rule) for rule in rules - buckets),
    }
    assert engine.left() == {}
