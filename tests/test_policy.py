"""What holds for every resource of every stack, whichever component made it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.recorder import ACCOUNT, REGION, Recording, Resource, every, the_stack

Statement = dict[str, Any]
STACKS = ["dev", "prod"]

# What AWS knows no resources for: the components have the link beside each.
ANY_RESOURCE = {
    "cloudwatch:DescribeAlarms",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
}
# What may stand for any action: a Deny, and the account in the policy of a key.
CONDITION_OPERATORS = {"ArnEquals", "ArnLike", "Bool", "StringEquals", "StringLike"}


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Recording:
    return the_stack(request.param)


def documents(recording: Recording) -> Iterator[tuple[Resource, dict[str, Any]]]:
    for resource in recording.resources:
        for key in ("policy", "assumeRolePolicy"):
            if key in resource.inputs:
                yield resource, resource.document(key)


def statements(recording: Recording) -> Iterator[tuple[Resource, Statement]]:
    for resource, document in documents(recording):
        for statement in document["Statement"]:
            yield resource, statement


def as_list(value: Any) -> list[Any]:  # noqa: ANN401 JSON
    return value if isinstance(value, list) else [value]


def beside(recording: Recording, resource: Resource, kind: str) -> Resource:
    """The one resource of this kind with the same parent and name."""
    (found,) = (
        other
        for other in recording.resources
        if other.type.endswith(f":{kind}")
        and (other.parent, other.name) == (resource.parent, resource.name)
    )
    return found


def test_every_bucket_is_private_encrypted_versioned_and_tls_only(stack: Recording) -> None:
    for bucket in every(stack.resources, type="Bucket"):
        blocked = beside(stack, bucket, "BucketPublicAccessBlock").inputs
        assert [value for key, value in blocked.items() if key != "bucket"] == [True] * 4
        encrypted = beside(stack, bucket, "BucketServerSideEncryptionConfiguration").inputs
        assert encrypted["rules"][0]["applyServerSideEncryptionByDefault"]
        versioned = beside(stack, bucket, "BucketVersioning").inputs["versioningConfiguration"]
        assert versioned == {"status": "Enabled"}
        (denied,) = beside(stack, bucket, "BucketPolicy").document("policy")["Statement"]
        assert (denied["Effect"], denied["Action"]) == ("Deny", "s3:*")
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_queue_is_encrypted_and_refuses_what_comes_without_tls(stack: Recording) -> None:
    for queue in every(stack.resources, type="Queue"):
        assert queue.inputs["sqsManagedSseEnabled"] is True
        last = beside(stack, queue, "QueuePolicy").document("policy")["Statement"][-1]
        assert (last["Effect"], last["Principal"], last["Action"]) == ("Deny", "*", "sqs:*")
        assert last["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_every_topic_is_encrypted_with_a_key_that_is_rotated(stack: Recording) -> None:
    keys = {f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"}
    for topic in every(stack.resources, type="Topic"):
        assert topic.inputs["kmsMasterKeyId"] in keys
    assert all(key.inputs["enableKeyRotation"] for key in every(stack.resources, type="Key"))


def test_every_log_is_kept_for_a_time_that_the_stack_says(stack: Recording) -> None:
    kept = {group.inputs["retentionInDays"] for group in every(stack.resources, type="LogGroup")}
    assert len(kept) == 1
    assert kept < {14, 365}


def test_every_function_has_a_timeout_a_size_and_a_log_that_is_there(stack: Recording) -> None:
    logs = {group.inputs["name"] for group in every(stack.resources, type="LogGroup")}
    for function in every(stack.resources, type="Function"):
        assert 1 <= function.inputs["timeout"] <= 60
        assert function.inputs["memorySize"] >= 128
        assert function.inputs["loggingConfig"]["logGroup"] in logs


def test_every_target_and_schedule_keeps_what_it_could_not_deliver(stack: Recording) -> None:
    queues = {
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.name}-1a2b3c4"
        for queue in every(stack.resources, type="Queue")
    }
    for target in every(stack.resources, type="EventTarget"):
        assert target.inputs["deadLetterConfig"]["arn"] in queues, target.urn
        # EventBridge writes dead letters as itself, so the queue must let it.
        assert any(":sqs/queuePolicy:" in urn for urn in target.depends_on), target.urn
    for schedule in every(stack.resources, type="Schedule"):
        assert schedule.inputs["target"]["deadLetterConfig"]["arn"] in queues, schedule.urn


def test_nothing_is_reached_from_outside_the_network(stack: Recording) -> None:
    for rule in every(stack.resources, type="SecurityGroupIngressRule"):
        assert "cidrIpv4" not in rule.inputs
        assert "cidrIpv6" not in rule.inputs
        assert rule.inputs["referencedSecurityGroupId"] == rule.inputs["securityGroupId"]
    for group in every(stack.resources, type="SecurityGroup"):
        assert "ingress" not in group.inputs


def test_only_what_aws_knows_no_resources_for_is_allowed_on_all(stack: Recording) -> None:
    for resource, statement in statements(stack):
        on_all = "*" in as_list(statement.get("Resource", []))
        in_key_policy = resource.type.endswith(":Key")
        if statement["Effect"] == "Allow" and on_all and not in_key_policy:
            assert set(as_list(statement["Action"])) <= ANY_RESOURCE, resource.urn


def test_no_action_is_allowed_by_wildcard_but_to_the_account_on_its_key(stack: Recording) -> None:
    for resource, statement in statements(stack):
        if statement["Effect"] == "Allow" and any("*" in a for a in as_list(statement["Action"])):
            assert resource.type.endswith(":Key"), resource.urn
            assert statement["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


def test_every_role_that_is_passed_is_passed_to_ecs_tasks_only(stack: Recording) -> None:
    passing = [
        (resource, statement)
        for resource, statement in statements(stack)
        if "iam:PassRole" in as_list(statement["Action"])
    ]
    assert len(passing) >= 3
    for resource, statement in passing:
        assert statement["Condition"] == {
            "StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
        }, resource.urn
        assert all(":role/ingest-" in arn for arn in as_list(statement["Resource"]))


def test_every_task_that_may_be_run_is_one_revision_in_one_cluster(stack: Recording) -> None:
    running = [
        statement
        for _, statement in statements(stack)
        if "ecs:RunTask" in as_list(statement["Action"])
    ]
    assert len(running) >= 3
    for statement in running:
        for arn in as_list(statement["Resource"]):
            assert re.fullmatch(r"arn:aws:ecs:.+:task-definition/[\w-]+:\d+", arn)
        (cluster,) = as_list(statement["Condition"]["ArnEquals"]["ecs:cluster"])
        assert re.fullmatch(r"arn:aws:ecs:.+:cluster/[\w-]+", cluster)


def test_every_service_but_lambda_may_act_only_for_this_account_and_source(
    stack: Recording,
) -> None:
    for role in every(stack.resources, type="Role"):
        (statement,) = role.document("assumeRolePolicy")["Statement"]
        if statement["Principal"] == {"Service": "lambda.amazonaws.com"}:
            continue
        condition = statement["Condition"]
        assert condition["StringEquals"] == {"aws:SourceAccount": ACCOUNT}, role.urn
        (source,) = (condition[key] for key in ("ArnEquals", "ArnLike") if key in condition)
        for arn in as_list(source["aws:SourceArn"]):
            assert re.match(rf"arn:aws:\w+:{REGION}:{ACCOUNT}:.", arn), role.urn


def test_every_service_a_resource_lets_in_is_held_to_a_source(stack: Recording) -> None:
    for resource, statement in statements(stack):
        if statement["Effect"] == "Allow" and "Service" in statement.get("Principal", {}):
            if "lambda.amazonaws.com" in as_list(statement["Principal"]["Service"]):
                continue
            keys = {key for block in statement["Condition"].values() for key in block}
            assert keys & {"aws:SourceArn", "aws:SourceAccount"}, resource.urn
    for permission in every(stack.resources, type="Permission"):
        assert permission.inputs["sourceArn"].startswith("arn:aws:events:")


def test_every_policy_is_one_that_iam_takes(stack: Recording) -> None:
    for resource, document in documents(stack):
        is_role_policy = resource.type.endswith(":RolePolicy")
        is_trust = resource.type.endswith(":Role")
        assert document.keys() == {"Version", "Statement"}
        assert document["Version"] == "2012-10-17"
        assert len(json.dumps(document)) <= (2048 if is_trust else 10_240), resource.urn
        names = [statement["Sid"] for statement in document["Statement"] if "Sid" in statement]
        assert len(set(names)) == len(names)
        for statement in document["Statement"]:
            needed = {"Effect", "Action"} | (set() if is_trust else {"Resource"})
            needed |= set() if is_role_policy else {"Principal"}
            assert needed <= set(statement) <= needed | {"Sid", "Condition"}, resource.urn
            assert statement["Effect"] in {"Allow", "Deny"}
            assert re.fullmatch(r"[A-Za-z0-9]*", statement.get("Sid", ""))
            assert as_list(statement["Action"])
            for action in as_list(statement["Action"]):
                assert re.fullmatch(r"[a-z0-9-]+:(\*|[A-Z][A-Za-z]+)", action), action
            for arn in as_list(statement.get("Resource", [])):
                assert arn == "*" or re.fullmatch(r"arn:aws:[a-z0-9-]+:[^:]*:\d*:.+", arn), arn
            assert set(statement.get("Condition", {})) <= CONDITION_OPERATORS, resource.urn
