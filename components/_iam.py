"""IAM documents as data: a role is whom it trusts and what it is granted."""

import json
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pulumi
import pulumi_aws as aws

from ._documents import joined, json_text, of_known
from ._here import Component, here
from .iam_path import role_path

Statement = dict[str, Any]


def allow(
    actions: str | Sequence[str],
    resource: pulumi.Input[str] | Sequence[pulumi.Input[str]],
    condition: Mapping[str, Any] | None = None,
) -> Statement:
    """One Allow statement; `condition` is the Condition block as AWS writes it."""
    statement: Statement = {
        "Effect": "Allow",
        "Action": actions if isinstance(actions, str) else list(actions),
        "Resource": resource,
    }
    if condition is not None:
        statement["Condition"] = condition
    return statement


def document(statements: Sequence[Statement]) -> pulumi.Output[str]:
    """The JSON text of a policy document."""
    return json_text({"Version": "2012-10-17", "Statement": list(statements)})


def trust(service: str, source: Mapping[str, Any] | None) -> pulumi.Output[str]:
    """A trust policy that lets `service` assume the role only for this account and `source`.

    `source` is a condition block on aws:SourceArn. Without both conditions another account's
    resource could have the service act with this role: see
    https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html. It is None only for a
    service that does not send these keys.
    """
    statement: Statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    if source is not None:
        statement["Condition"] = {"StringEquals": {"aws:SourceAccount": account_id()}, **source}
    return document([statement])


def service_role(
    name: str,
    *,
    service: str,
    source: Mapping[str, Any] | None,
    statements: Sequence[Statement],
    opts: pulumi.ResourceOptions,
    managed_policy_arns: Sequence[pulumi.Input[str]] = (),
    deliveries: bool = False,
    under_way: bool = False,
    path: str = "",
) -> pulumi.Output[str]:
    """The ARN of a role for `service`, with one inline policy of the same name if granted anything.

    The ARN is known once the policy is in place: what acts with the role must not be there before
    what the role is granted. An event that a target may not yet deliver is a dead letter at once.
    So for `deliveries` a policy that changes is replaced: the new one is there before the target
    points elsewhere, and the old one until it does.

    An execution that is under way goes on with the definition that it was started with, and starts
    the task definition in it. So with `under_way` the policy still grants what it did before it
    changed, but for what `at_once` marks: see `still_granting`.
    """
    role = aws.iam.Role(
        name,
        path=role_path() + path,
        assume_role_policy=trust(service, source),
        # Another path is another role, and what runs with the old one would lose it.
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["path"])),
    )
    granted: list[pulumi.Output[str]] = [
        aws.iam.RolePolicyAttachment(
            f"{name}-{number}", role=role.name, policy_arn=policy_arn, opts=opts
        ).id
        for number, policy_arn in enumerate(managed_policy_arns, start=1)
    ]
    if statements:
        replaced = pulumi.ResourceOptions(replace_on_changes=["policy"] if deliveries else None)
        text = document(statements)
        if under_way and isinstance(opts.parent, Component):
            before = opts.parent.was("aws:iam/rolePolicy:RolePolicy", name)
            if before is not None:
                text = of_known([text, before], lambda both: still_granting(*both))
        policy = aws.iam.RolePolicy(
            name,
            role=role.name,
            policy=text,
            opts=pulumi.ResourceOptions.merge(opts, replaced),
        )
        granted.append(policy.id)
    return of_known([role.arn, *granted], lambda known: known[0])


_BEFORE = "Before"
_AT_ONCE = "AtOnce"


def at_once(statements: Sequence[Statement]) -> list[Statement]:
    """Statements that are granted no longer than they are declared, whatever is under way."""
    return [{"Sid": f"{_AT_ONCE}{number}", **one} for number, one in enumerate(statements)]


# White space is not counted: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_POLICY_CHARACTERS = 10_240


def still_granting(policy: str, before: Mapping[str, Any] | None) -> str:
    """A policy, and what the one before it, whose state it is, granted beside that.

    Of what it took over itself only the last is kept, so it does not grow from change to change;
    and no more than IAM has room for.
    """
    if before is None:
        return policy
    after, known = json.loads(policy), json.loads(before["inputs"]["policy"])["Statement"]
    own, earlier = list[Statement](), list[Statement]()
    for one in known:
        sid = one.get("Sid", "")
        if not sid.startswith(_AT_ONCE):
            (earlier if sid.startswith(_BEFORE) else own).append(_without_sid(one))
    granted = [_without_sid(one) for one in after["Statement"]]
    gone = _beyond(own, granted) or _beyond(earlier, granted)
    kept = [{"Sid": f"{_BEFORE}{number}", **one} for number, one in enumerate(gone)]

    def whole() -> dict[str, Any]:
        return {**after, "Statement": [*after["Statement"], *kept]}

    while kept and len(json.dumps(whole(), separators=(",", ":"))) > _POLICY_CHARACTERS:
        kept.pop()
    return json.dumps(whole())


def _without_sid(statement: Statement) -> Statement:
    return {key: value for key, value in statement.items() if key != "Sid"}


def _beyond(statements: Sequence[Statement], granted: Sequence[Statement]) -> list[Statement]:
    """What statements grant that others do not; of several resources those that are in none."""
    found: list[Statement] = []
    for statement in statements:
        resources = statement.get("Resource")
        left = _listed(resources)
        for one in granted:
            if {**one, "Resource": resources} == statement:
                left = [arn for arn in left if arn not in _listed(one["Resource"])]
        if left and isinstance(resources, list):
            found.append({**statement, "Resource": left})
        elif left and statement not in granted:
            found.append(statement)
    return found


def _listed(resources: Any) -> list[Any]:  # noqa: ANN401 -- JSON
    return resources if isinstance(resources, list) else [resources]


def own_or_shared(
    of: pulumi.Resource | None,
    name: str,
    own: Callable[[], pulumi.Output[str]],
    shared: pulumi.Input[str] | None,
) -> pulumi.Output[str]:
    """The ARN of the shared role; of a component's own where none is shared, or it has one already.

    A component that has a role of its own keeps it: what is under way runs with it, and would be
    without a role in the midst of its work. Whether it has one only the engine knows, which tells
    when the component is registered, in a preview too. So this is never unknown, and a resource
    can be made inside its `apply`.
    """
    if shared is None:
        return own()
    before = of.was("aws:iam/role:Role", name) if isinstance(of, Component) else None
    if before is None:
        return pulumi.Output.from_input(shared)
    return before.apply(lambda state: shared if state is None else own())


def account_id() -> pulumi.Output[str]:
    """The account that is deployed to, 12 digits."""
    return here().account_id


def arn(service: str, resource: pulumi.Input[str]) -> pulumi.Output[str]:
    """An ARN of this account and Region, for what exists only after the role that names it."""
    return of_known(
        [here().all, resource],
        lambda known: "arn:{}:{service}:{}:{}:{}".format(*known[0], known[1], service=service),
    )


def run_task(
    *,
    task_definition_arn: pulumi.Input[str],
    cluster_arn: pulumi.Input[str],
    role_arns: pulumi.Input[str] | Sequence[pulumi.Input[str]],
) -> list[Statement]:
    """What starting one task takes: RunTask in one cluster, its tags, and its two roles.

    Any revision of the family may be run: an execution under way while a deploy registers another
    one, and grants before it points at it, still runs the one that it was defined with.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/CWE_IAM_role.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/supported-iam-actions-tagging.html
    """
    in_cluster = {"ArnEquals": {"ecs:cluster": cluster_arn}}
    return [
        allow("ecs:RunTask", revisions_of(task_definition_arn), in_cluster),
        allow(
            "ecs:TagResource",
            tasks_of(cluster_arn),
            {"StringEquals": {"ecs:CreateAction": "RunTask"}},
        ),
        allow(
            "iam:PassRole",
            role_arns,
            {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        ),
    ]


def revisions_of(task_definition_arn: pulumi.Input[str]) -> pulumi.Output[str]:
    """The ARN pattern of every revision of a task definition's family."""
    return of_known(task_definition_arn, lambda arn: arn.rpartition(":")[0] + ":*")


def run_any_task(
    *,
    families: pulumi.Input[str],
    cluster_arn: pulumi.Input[str],
    role_arns: Sequence[pulumi.Input[str]],
) -> list[Statement]:
    """What starting a task of any of a stack's jobs takes; `families` is a pattern of them.

    The roles are passed by the path that those of the stack are under; one that is elsewhere, as
    those of before are, by its name.
    """
    under = role_arns_under()
    others = of_known(
        [under, *role_arns],
        lambda arns: [arns[0], *sorted({a for a in arns[1:] if not fnmatchcase(a, arns[0])})],
    )
    any_of = arn("ecs", joined("task-definition/", families, ":*"))
    passed: Any = others.apply(lambda arns: arns[0] if len(arns) == 1 else arns)
    return run_task(task_definition_arn=any_of, cluster_arn=cluster_arn, role_arns=passed)


def role_arns_under(path: str = "") -> pulumi.Output[str]:
    """The ARN pattern of the stack's roles, or of those under a path below theirs."""
    path = role_path() + path
    return here().all.apply(lambda known: f"arn:{known[0]}:iam::{known[2]}:role{path}*")


def tasks_of(cluster_arn: pulumi.Input[str]) -> pulumi.Output[str]:
    """The ARN pattern of every task of a cluster."""
    return of_known(cluster_arn, lambda arn: arn.replace(":cluster/", ":task/", 1) + "/*")


def instances_of(cluster_arn: pulumi.Input[str]) -> pulumi.Output[str]:
    """The ARN pattern of every container instance of a cluster; on Fargate there is none."""
    return of_known(
        cluster_arn, lambda arn: arn.replace(":cluster/", ":container-instance/", 1) + "/*"
    )


def managed_rule(rule: str) -> Statement:
    """The rule by which Step Functions learns that what a `.sync` state started has ended.

    https://docs.aws.amazon.com/step-functions/latest/dg/service-integration-iam-templates.html
    """
    return allow(
        ["events:PutTargets", "events:PutRule", "events:DescribeRule"],
        arn("events", f"rule/{rule}"),
    )


def through_s3() -> dict[str, Any]:
    """The condition that a KMS key is used by S3 alone.

    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    """
    return {
        "StringEquals": {
            "kms:ViaService": here().region.apply(lambda region: f"s3.{region}.amazonaws.com")
        }
    }


def log_delivery() -> Statement:
    """What a state machine needs to write its execution log."""
    return allow(
        [
            "logs:CreateLogDelivery",
            "logs:GetLogDelivery",
            "logs:UpdateLogDelivery",
            "logs:DeleteLogDelivery",
            "logs:ListLogDeliveries",
            "logs:PutResourcePolicy",
            "logs:DescribeResourcePolicies",
            "logs:DescribeLogGroups",
        ],
        # These actions know no resources:
        # https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html#cloudwatch-iam-policy
        "*",
    )
