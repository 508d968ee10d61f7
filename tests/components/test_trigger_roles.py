"""The roles that triggers share: what they may, and that it is of their own stack alone."""

import json
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache

import pulumi
import pytest

from components import FargateJob, TriggerRoles, TriggerRolesArgs
from components.names import KINDS, machine_prefix
from tests.components.parts import CLUSTER, allows, names, trusts
from tests.recorder import ACCOUNT, REGION, Json, Recording, deploy, deploy_stack, every, one

GROUP = f"arn:aws:scheduler:{REGION}:{ACCOUNT}:schedule-group/stack"
MACHINES = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:fargate-batch-dev-"
OWN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/job-task-1"
OLD_ROLE = f"arn:aws:iam::{ACCOUNT}:role/job-task-1"


def roles(
    *, uploads: bool = True, pipelines: bool = True, task_role_arns: Sequence[str] = ()
) -> Recording:
    args: TriggerRolesArgs = {
        "uploads": uploads,
        "pipelines": pipelines,
        "schedule_group_arn": GROUP,
        "cluster_arn": CLUSTER,
        "uploaded_task_role_arns": task_role_arns,
        "scheduled_task_role_arns": task_role_arns,
    }
    return deploy(lambda: TriggerRoles("roles", args))


def policy(recording: Recording, name: str) -> Json:
    return one(recording.resources, type="RolePolicy", name=name).document("policy")


def trust(recording: Recording, name: str) -> Json:
    return one(recording.resources, type="Role", name=name).document("assumeRolePolicy")


def test_uploads_may_start_every_job_of_the_stack_and_nothing_else() -> None:
    recording = roles()
    assert policy(recording, "roles-uploads") == allows(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": f"{MACHINES}job-*"}
    )
    rules = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/*"
    assert trust(recording, "roles-uploads") == trusts(
        "events.amazonaws.com", ArnLike={"aws:SourceArn": rules}
    )


def test_uploads_may_start_pipelines_where_one_does() -> None:
    args: TriggerRolesArgs = {
        "uploads": False,
        "uploaded_pipelines": True,
        "pipelines": True,
        "scheduled_pipelines": False,
        "schedule_group_arn": GROUP,
        "cluster_arn": CLUSTER,
    }
    recording = deploy(lambda: TriggerRoles("roles", args))
    assert policy(recording, "roles-uploads") == allows(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": f"{MACHINES}pipeline-*"}
    )
    kinds = {name for kind, name in names(recording, "TriggerRoles") if kind == "Role"}
    assert kinds == {"roles-uploads", "roles-pipelines"}


def test_schedules_may_start_every_pipeline_and_pipelines_every_job() -> None:
    recording = roles()
    assert policy(recording, "roles-pipeline-schedules") == allows(
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": f"{MACHINES}pipeline-*"}
    )
    assert trust(recording, "roles-pipeline-schedules") == trusts(
        "scheduler.amazonaws.com", ArnEquals={"aws:SourceArn": GROUP}
    )
    steps = policy(recording, "roles-pipelines")["Statement"]
    assert [(one["Action"], one["Resource"]) for one in steps[:2]] == [
        ("states:StartExecution", [f"{MACHINES}job-*"]),
        (
            ["states:DescribeExecution", "states:StopExecution"],
            [f"{MACHINES}job-*:*".replace("stateMachine", "execution")],
        ),
    ]
    assert steps[3] == {
        "Effect": "Allow",
        "Action": "states:ListExecutions",
        "Resource": f"{MACHINES}pipeline-*",
    }
    assert trust(recording, "roles-pipelines") == trusts(
        "states.amazonaws.com", ArnLike={"aws:SourceArn": f"{MACHINES}pipeline-*"}
    )


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([OWN_ROLE], f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/*"),
        ([OWN_ROLE, OLD_ROLE], [f"arn:aws:iam::{ACCOUNT}:role/fargate-batch/dev/*", OLD_ROLE]),
    ],
)
def test_tasks_are_started_with_the_roles_of_the_stack_and_those_that_are_elsewhere_by_name(
    given: list[str], passed: object
) -> None:
    recording = roles(task_role_arns=given)
    for name in ("roles-task-schedules", "roles-task-uploads"):
        run, _, pass_role = policy(recording, name)["Statement"]
        family = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/fargate-batch-dev-job-*:*"
        assert run["Resource"] == family
        assert run["Condition"] == {"ArnEquals": {"ecs:cluster": CLUSTER}}
        assert pass_role["Resource"] == passed


def test_what_is_not_there_to_start_has_no_role() -> None:
    assert names(roles(), "TriggerRoles") == {
        (kind, f"roles-{name}")
        for kind in ("Role", "RolePolicy")
        for name in ("uploads", "pipelines", "pipeline-schedules")
    }
    nothing = roles(uploads=False, pipelines=False)
    assert [r.type for r in nothing.resources] == ["fargate-batch:index:TriggerRoles"]


NEIGHBOURS = ("prod", "prod-pipeline", "prod-job-x", "prod-job", "prod-_job", "prod-x")


@cache
def neighbour(stack: str) -> Recording:
    when = {"schedule": "rate(1 day)"}
    return deploy_stack(
        "dev",
        called=stack,
        jobs={"pipeline-x": {"maxConcurrency": 2}, "x": {}},
        uploads={
            "up": {"job": "x", "prefix": "a/"},
            "direct": {"job": "x", "key": "b", "via": "task"},
        },
        pipelines={"x-job-y": {**when, "steps": [{"job": "x"}]}},
        schedules={"hourly": {**when, "job": "x"}},
        alerts={"chat": True},
    )


def patterns(document: Json) -> Iterator[str]:
    """Every text of a document that stands for more than itself."""
    match document:
        case {"prefix": str() as prefix}:
            yield f"{prefix}*"
        case dict():
            for value in document.values():
                yield from patterns(value)
        case list():
            for value in document:
                yield from patterns(value)
        case str() if "*" in document:
            yield document
        case _:
            pass


def allowed(recording: Recording) -> Iterator[str]:
    """The patterns of what a stack may do and is told of; of whom it trusts, its own alone."""
    for resource in recording.resources:
        match resource.type:
            case "aws:iam/rolePolicy:RolePolicy":
                yield from patterns(resource.document("policy"))
            case "aws:cloudwatch/eventRule:EventRule" if "eventPattern" in resource.inputs:
                yield from patterns(resource.document("eventPattern"))
            case "aws:sqs/queue:Queue":
                for statement in resource.document("policy")["Statement"]:
                    yield from patterns(statement.get("Condition"))
            case _:
                pass


def arns(recording: Recording) -> Iterator[str]:
    """What a stack has whose names are patterns' business, and what becomes of it."""
    at = f"{REGION}:{ACCOUNT}"
    for resource in recording.resources:
        name = resource.inputs.get("name", f"{resource.name}-1a2b3c4")
        match resource.type:
            case "aws:sfn/stateMachine:StateMachine":
                yield f"arn:aws:states:{at}:stateMachine:{name}"
                yield f"arn:aws:states:{at}:execution:{name}:1"
            case "aws:ecs/taskDefinition:TaskDefinition":
                yield f"arn:aws:ecs:{at}:task-definition/{resource.inputs['family']}:7"
            case "aws:cloudwatch/logGroup:LogGroup":
                yield f"arn:aws:logs:{at}:log-group:{name}:log-stream:s"
            case "aws:iam/role:Role":
                yield f"arn:aws:iam::{ACCOUNT}:role{resource.inputs['path']}{name}"
            case _:
                pass


# AWS knows no resources for these, or has no other name for all instances of a cluster.
EVERYBODYS = ("*",)


@pytest.mark.slow
@pytest.mark.parametrize("stack", NEIGHBOURS)
def test_no_pattern_of_a_stack_matches_what_another_has(stack: str) -> None:
    mine = set(allowed(neighbour(stack))) - set(EVERYBODYS)
    own = [arn for arn in arns(neighbour(stack)) if any(fnmatchcase(arn, one) for one in mine)]
    assert len(own) > 10
    for other in NEIGHBOURS:
        if other == stack:
            continue
        theirs = [arn for arn in arns(neighbour(other)) for one in mine if fnmatchcase(arn, one)]
        assert theirs == [], f"{stack} would reach {other}"


@pytest.mark.parametrize(
    ("stack", "prefix"),
    [
        ("prod", "fargate-batch-prod-"),
        ("prod-jobs", "fargate-batch-prod-jobs-"),
        ("prod-job", "fargate-batch-prod-_job-"),
        ("prod-_job", "fargate-batch-prod-__job-"),
        ("prod-job-limit-x", "fargate-batch-prod-_job-_limit-x-"),
    ],
)
def test_a_stack_named_like_a_kind_is_told_from_the_kind(stack: str, prefix: str) -> None:
    found = list[str]()
    deploy(lambda: found.append(machine_prefix()), stack=stack)
    assert found == [prefix]
    assert len(KINDS) == 5


def test_roles_lie_under_the_path_of_the_stack_and_keep_a_boundary() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/bound"
    recording = deploy_stack("dev", rolePath="/team/", permissionsBoundary=boundary)
    made = every(recording.resources, type="aws:iam/role:Role")
    assert {role.inputs["permissionsBoundary"] for role in made} == {boundary}
    paths = {role.name: role.inputs["path"] for role in made}
    assert paths.pop("watcher") == "/team/fargate-batch/dev/watch/"
    assert set(paths.values()) == {"/team/fargate-batch/dev/"}
    passed = [
        statement["Resource"]
        for statement in policy(recording, "roles-task-schedules")["Statement"]
        if statement["Action"] == "iam:PassRole"
    ]
    assert passed == [f"arn:aws:iam::{ACCOUNT}:role/team/fargate-batch/dev/*"]


def test_a_job_of_its_own_has_a_role_of_its_own() -> None:
    recording = deploy(lambda: pulumi.export("x", FargateJob("a", {"image": "a:1"}).task_role_arn))
    assert {role.name for role in every(recording.resources, type="Role")} == {
        "a-execution",
        "a-task",
    }
    assert json.dumps(recording.exports)
