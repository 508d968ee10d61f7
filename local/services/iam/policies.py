"""Policy statements as MiniStack stores them, through its evaluator, to the decisions kept.

Every statement has an identity that survives from its policy to the decision it made, so that it
can be withheld for a while to see who needs it.
"""

import contextlib
import dataclasses
import functools
import json
import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Any, cast

from local.ministack import internals

Context = Mapping[str, str | list[str]]
"""Condition keys of one request, such as `{"ecs:cluster": "arn:…"}`."""

TRUST = "trust policy"
RESOURCE = "resource policy"
KEPT_DECISIONS = 20_000


@dataclass(frozen=True, slots=True, order=True)
class Statement:
    """One statement: the role or resource that has it, its policy, its place in it.

    `policy` is an inline policy's name, a managed one's ARN, `trust policy` or `resource policy`.
    """

    owner: str
    policy: str
    index: int
    sid: str = field(default="", compare=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def actions(self) -> list[str]:
        """The actions it lists, as it writes them."""
        named: str | list[str] = json.loads(self.text).get("Action", [])
        return [named] if isinstance(named, str) else named


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer, and the statement that allowed or expressly denied: None when none spoke."""

    principal: str
    action: str
    resource: str
    allowed: bool
    matched_statement: Statement | None


@dataclass(frozen=True, slots=True)
class Match:
    """What one evaluation found: `outcome` is Allow, Deny or ImplicitDeny."""

    principal: str
    outcome: str
    statement: Statement | None


_decisions: deque[Decision] = deque(maxlen=KEPT_DECISIONS)
_withheld: set[tuple[Statement, str | None]] = set()
_matches: ContextVar[list[Match] | None] = ContextVar("matches", default=None)
_of_any: ContextVar[bool] = ContextVar("of_any", default=False)


def decisions() -> list[Decision]:
    """The latest decisions, oldest first, at most `KEPT_DECISIONS`."""
    return list(_decisions)


def forget() -> None:
    """Drop the decisions kept so far."""
    _decisions.clear()


def keep(decision: Decision) -> None:
    """Add a decision to those kept."""
    _decisions.append(decision)


@contextlib.contextmanager
def without(statement: Statement, action: str | None = None) -> Generator[None]:
    """Decide as if the statement were not in its policy, for requests of every thread.

    With `action`, as the statement writes it, as if only that one were not in its list.
    """
    withheld = (statement, action)
    _withheld.add(withheld)
    try:
        yield
    finally:
        _withheld.discard(withheld)


def _is_withheld(statement: Statement | None, action: str) -> bool:
    return any(
        one == statement and (only is None or fnmatch(action.lower(), only.lower()))
        for one, only in tuple(_withheld)
    )


def account_of(arn: str) -> str:
    """The account in an ARN; S3's have none and belong to the cloud's own."""
    return arn.split(":", 5)[4] or internals.account()


def _raw_statements(document: object) -> list[dict[str, Any]]:
    parsed: object = json.loads(document) if isinstance(document, str) and document else document
    if not isinstance(parsed, dict):
        return []
    found = cast("dict[str, Any]", parsed).get("Statement", [])
    return [found] if isinstance(found, dict) else list(found)


def _located(owner: str, policy: str, document: object) -> list[tuple[Statement, dict[str, Any]]]:
    return [
        (Statement(owner, policy, index, raw.get("Sid", ""), json.dumps(raw, sort_keys=True)), raw)
        for index, raw in enumerate(_raw_statements(document))
    ]


def role(role_arn: str) -> dict[str, Any] | None:
    """MiniStack's record of a role, or None."""
    roles = internals.roles()
    found: dict[str, Any] | None = roles.get_scoped(
        account_of(role_arn), None, role_arn.rsplit("/", 1)[-1]
    )
    return found if found and found["Arn"] == role_arn else None


def identity_statements(role_arn: str) -> list[tuple[Statement, dict[str, Any]]]:
    """The statements of a role's inline and attached policies, with their JSON."""
    record = role(role_arn) or {}
    managed = internals.managed_policy
    documents = [
        *dict(record.get("InlinePolicies") or {}).items(),
        *((arn, managed(arn, account_of(role_arn))) for arn in record.get("AttachedPolicies", [])),
    ]
    return [pair for name, document in documents for pair in _located(role_arn, name, document)]


def trust_statements(role_arn: str) -> list[tuple[Statement, dict[str, Any]]]:
    """The statements of a role's trust policy, with their JSON."""
    return _located(role_arn, TRUST, (role(role_arn) or {}).get("AssumeRolePolicyDocument"))


def resource_statements(arn: str) -> list[tuple[Statement, dict[str, Any]]]:
    """The statements of the own policy of a queue, topic, bucket or function, with their JSON.

    For a role that is its trust policy.
    """
    if ":role/" in arn:
        return trust_statements(arn)
    owner = ":".join(arn.split("/", 1)[:1]) if arn.startswith("arn:aws:s3:::") else arn
    lookup = internals.resource_policy
    found = in_scope(arn, lambda: lookup(arn.split(":")[2], arn))
    return _located(owner, RESOURCE, found[0]) if found else []


def in_scope(arn: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - the call's own result
    """Run `call` with the account and Region of an ARN as those of the request."""
    account, region = account_of(arn), arn.split(":", 5)[3]

    def scoped() -> Any:  # noqa: ANN401
        internals.set_account(account)
        if region:
            internals.set_region(region)
        return call()

    return copy_context().run(scoped)


def _owners() -> list[str]:
    roles = [record["Arn"] for _, record in internals.roles().to_dict().items()]
    queues = [q["attributes"]["QueueArn"] for _, q in internals.queues().all_items()]
    topics = [topic["arn"] for _, topic in internals.topics().all_items()]
    buckets = [f"arn:aws:s3:::{key[-1]}" for key, _ in internals.buckets().to_dict().items()]
    functions = [f["config"]["FunctionArn"] for _, f in internals.functions().all_items()]
    keys = [key["Arn"] for _, key in internals.kms_keys().all_items()]
    return [*roles, *queues, *topics, *buckets, *functions, *keys]


def statements(owners: Sequence[str] | None = None) -> list[Statement]:
    """Every statement of these roles and resources (ARNs), or of all there are."""
    found: list[Statement] = []
    for owner in sorted(owners if owners is not None else _owners()):
        if ":role/" in owner:
            pairs = [*trust_statements(owner), *identity_statements(owner)]
        else:
            pairs = resource_statements(owner)
        found += [statement for statement, _ in pairs]
    return found


def parsed(pairs: Iterable[tuple[Statement, dict[str, Any]]]) -> list[Any]:
    """Statements as MiniStack's evaluator takes them, each with its identity as `origin`."""
    parse = internals.parse_policy
    found: list[Any] = []
    for statement, raw in pairs:
        for one in parse({"Statement": [raw]}):
            one.origin = statement
            found.append(one)
    return found


def _origin(statement: Any, resource: str) -> Statement | None:  # noqa: ANN401 - MiniStack's ParsedStatement
    # A resource's policy reaches the evaluator without its origin, so it is found again by content.
    known: Statement | None = getattr(statement, "origin", None)
    if known or not resource.startswith("arn:"):
        return known
    return next(
        (one.origin for one in parsed(resource_statements(resource)) if one == statement), None
    )


def evaluate(ctx: Any, policies: list[list[Any]], *limits: list[list[Any]]) -> Any:  # noqa: ANN401
    """MiniStack's `evaluate` without the withheld statements, noting which statement matched."""
    layers = (
        [
            [
                [
                    one
                    for one in policy
                    if not _is_withheld(_origin(one, ctx.resource_arn), ctx.action)
                ]
                for policy in layer
            ]
            for layer in (policies, *limits)
        ]
        if _withheld
        else [policies, *limits]
    )
    if _of_any.get():
        layers = [[[_wide(one) for one in policy] for policy in layer] for layer in layers]
    result = internals.evaluate.original(ctx, *layers)
    noted = _matches.get()
    if noted is not None:
        speaking = layers if result.decision == "Deny" else layers[:1]
        match = internals.first_match(
            ctx, [one for layer in speaking for policy in layer for one in policy], result.decision
        )
        statement = _origin(match, ctx.resource_arn) if match else None
        noted.append(Match(ctx.principal_arn, result.decision, statement))
    return result


def _wide(statement: Any) -> Any:  # noqa: ANN401 - MiniStack's ParsedStatement
    if statement.effect != "Deny":
        return statement
    wide = dataclasses.replace(statement, resources=["*"], not_resources=[])
    wide.origin = getattr(statement, "origin", None)
    return wide


@contextlib.contextmanager
def matches(*, of_any: bool = False) -> Generator[list[Match]]:
    """What `evaluate` finds in this thread or task, in order.

    With `of_any` the request may be for any resource, so a Deny of one denies it.
    """
    found: list[Match] = []
    token, wide = _matches.set(found), _of_any.set(of_any)
    try:
        yield found
    finally:
        _matches.reset(token)
        _of_any.reset(wide)


def _role_policies(role_name: str, account_id: str) -> list[list[Any]]:
    roles = internals.roles()
    record: dict[str, Any] | None = roles.get_scoped(account_id, None, role_name)
    return [parsed(identity_statements(record["Arn"]))] if record else []


def _condition_key(key: str, ctx: Any) -> Any:  # noqa: ANN401 - MiniStack's EvalContext
    # For a role session the key holds the role's ARN, not the session's:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    if key.lower() == "aws:principalarn" and ":assumed-role/" in ctx.principal_arn:
        name = ctx.principal_arn.split("/")[1]
        found: dict[str, Any] | None = internals.roles().get_scoped(
            ctx.principal_account, None, name
        )
        return found["Arn"] if found else None
    return internals.condition_key.original(key, ctx)


def _wildcards(pattern: str, ignore_case: bool) -> re.Pattern[str]:  # noqa: FBT001 - MiniStack's signature
    # An object's key may have line breaks, and * stands for any characters:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    parts = {"*": ".*", "?": "."}
    text = "".join(parts.get(character) or re.escape(character) for character in pattern)
    return re.compile(rf"{text}\Z", re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def install() -> None:
    """Put the functions above into MiniStack's evaluator until the cloud closes."""
    internals.evaluate.replace(evaluate)
    internals.role_policies.replace(_role_policies)
    internals.condition_key.replace(_condition_key)
    internals.wildcards.replace(functools.lru_cache(4096)(_wildcards))
    # What no request from outside led to is AWS's own call, and those have TLS.
    own: ContextVar[tuple[str, bool]] = ContextVar("request_origin", default=("", True))
    internals.request_origin.replace(own)
