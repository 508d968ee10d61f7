"""The rules of `policy/` on both stacks, and what only these stacks promise beyond them."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from policy import rules
from tests.recorder import ACCOUNT, REGION, Recording, Resource, deploy_stack, every, the_stack

Statement = dict[str, Any]
STACKS = ["dev", "prod"]

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


def broken(recording: Recording) -> list[rules.Violation]:
    return rules.violations(
        [rules.Resource(r.type, r.name, r.urn, r.inputs, r.depends_on) for r in recording.resources]
    )


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize("name", STACKS)
def test_every_resource_keeps_every_rule(name: str, *, preview: bool) -> None:
    assert broken(the_stack(name, preview=preview)) == []


def test_a_job_that_waits_for_its_turn_keeps_every_rule() -> None:
    recording = deploy_stack("dev", jobs={"ingest": {"maxConcurrency": 2}})
    assert any(r.type.endswith(":ConcurrencyLimit") for r in recording.resources)
    assert broken(recording) == []


def test_a_stack_with_backfills_keeps_every_rule() -> None:
    recording = deploy_stack("dev", backfills=True)
    assert any(r.type.endswith(":Backfills") for r in recording.resources)
    assert broken(recording) == []


def test_every_bucket_has_the_refusal_without_tls_and_no_other_policy(stack: Recording) -> None:
    for policy in every(stack.resources, type="BucketPolicy"):
        (denied,) = policy.document("policy")["Statement"]
        assert (denied["Effect"], denied["Action"]) == ("Deny", "s3:*")


def test_every_queue_has_the_key_of_sqs_and_refuses_first(stack: Recording) -> None:
    for queue in every(stack.resources, type="Queue"):
        assert queue.inputs["sqsManagedSseEnabled"] is True
        first = queue.document("policy")["Statement"][0]
        assert (first["Effect"], first["Principal"], first["Action"]) == ("Deny", "*", "sqs:*")


def test_every_topic_is_encrypted_with_a_key_of_the_stack(stack: Recording) -> None:
    assert every(stack.resources, type="Key")
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
    for topic in every(stack.resources, type="Topic"):
        assert topic.inputs["kmsMasterKeyId"] == key


def test_every_log_is_kept_for_a_time_that_the_stack_says(stack: Recording) -> None:
    kept = {group.inputs["retentionInDays"] for group in every(stack.resources, type="LogGroup")}
    assert len(kept) == 1
    assert kept < {14, 365}


def test_every_function_has_a_short_timeout_and_a_size(stack: Recording) -> None:
    for function in every(stack.resources, type="Function"):
        # The watcher, which comes every five minutes, has most of them.
        assert 1 <= function.inputs["timeout"] <= (240 if function.name == "watcher" else 60)
        assert function.inputs["memorySize"] >= 128


def test_every_target_and_schedule_keeps_what_it_could_not_deliver_in_a_queue_of_the_stack(
    stack: Recording,
) -> None:
    queues = {
        f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue.name}-1a2b3c4"
        for queue in every(stack.resources, type="Queue")
    }
    for target in every(stack.resources, type="EventTarget"):
        if target.name == "watcher":
            # The next look is better than a late one.
            assert target.inputs["retryPolicy"]["maximumEventAgeInSeconds"] < 300
            continue
        assert target.inputs["deadLetterConfig"]["arn"] in queues, target.urn
        # EventBridge writes dead letters as itself, so the queue must let it.
        assert any("sqs/queue:Queue" in urn for urn in target.depends_on), target.urn
    for schedule in every(stack.resources, type="Schedule"):
        assert schedule.inputs["target"]["deadLetterConfig"]["arn"] in queues, schedule.urn


def test_nothing_is_reached_from_outside_the_network(stack: Recording) -> None:
    for rule in every(stack.resources, type="SecurityGroupIngressRule"):
        assert "cidrIpv4" not in rule.inputs
        assert "cidrIpv6" not in rule.inputs
        assert rule.inputs["referencedSecurityGroupId"] == rule.inputs["securityGroupId"]
    for group in every(stack.resources, type="SecurityGroup"):
        assert "ingress" not in group.inputs


def test_what_is_allowed_on_all_is_what_aws_knows_no_resources_for(stack: Recording) -> None:
    on_all = {
        action
        for resource, statement in statements(stack)
        if "*" in as_list(statement.get("Resource"))
        and not resource.type.endswith((":Key", ":Queue"))
        for action in as_list(statement["Action"])
    }
    assert on_all == rules.WITHOUT_RESOURCE.keys()
    assert all(
        page.startswith("https://docs.aws.amazon.com/") for page in rules.WITHOUT_RESOURCE.values()
    )


def test_the_account_that_may_do_all_with_a_key_is_the_stack_s(stack: Recording) -> None:
    whole = [s for _, s in statements(stack) if any("*" in a for a in as_list(s["Action"]))]
    allowed = [s["Principal"] for s in whole if s["Effect"] == "Allow"]
    assert allowed == [{"AWS": f"arn:aws:iam::{ACCOUNT}:root"}]


PASSED = {
    "ecs-tasks.amazonaws.com": r"(\*$|ingest-|execution-)",
    # A paused schedule is updated, which passes its role again.
    "scheduler.amazonaws.com": r"roles-(pipeline|task)-schedules-",
}


def test_every_role_that_is_passed_is_the_job_s_or_the_schedules_and_goes_to_its_service(
    stack: Recording,
) -> None:
    passing = [
        statement
        for _, statement in statements(stack)
        if "iam:PassRole" in as_list(statement["Action"])
    ]
    assert len(passing) >= 4
    for statement in passing:
        service = statement["Condition"]["StringEquals"]["iam:PassedToService"]
        assert statement["Condition"] == {"StringEquals": {"iam:PassedToService": service}}
        for arn in as_list(statement["Resource"]):
            assert re.search(rf":role/fargate-batch/(dev|prod)/{PASSED[service]}", arn), arn


def test_tasks_are_run_in_three_ways_at_least(stack: Recording) -> None:
    actions = [as_list(statement["Action"]) for _, statement in statements(stack)]
    assert sum("ecs:RunTask" in some for some in actions) >= 3


def test_every_service_but_lambda_may_act_only_for_this_account_and_region(
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


def test_functions_are_called_by_rules_only(stack: Recording) -> None:
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
