"""What the components share: JSON texts of documents with outputs, and where the program runs."""

import ast
import importlib
import json
from collections.abc import Iterator
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components._documents import as_output, json_text
from components._here import here
from components._iam import still_granting
from tests.recorder import ACCOUNT, REGION, ROOT, UNKNOWN, deploy, one

ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"


def _two_policies() -> None:
    role = aws.iam.Role("role", assume_role_policy="{}")
    document = {
        "known": [1, 2.5, True, None, 'a "quote"', {}, []],
        "outputs": {"twice": [role.arn, role.arn], "list": pulumi.Output.all(role.name, "x")},
    }
    aws.iam.RolePolicy("with-outputs", role=role.name, policy=json_text(document))
    aws.iam.RolePolicy("without", role=role.name, policy=json_text({"a": ["b"]}))


def test_a_document_with_outputs_becomes_what_json_makes_of_their_values() -> None:
    recording = deploy(_two_policies)
    texts = {
        name: one(recording.resources, type=POLICY, name=name).inputs["policy"]
        for name in ("with-outputs", "without")
    }
    document = json.loads(texts["with-outputs"])
    (arn, again) = document["outputs"]["twice"]
    assert document["known"] == [1, 2.5, True, None, 'a "quote"', {}, []]
    assert arn == again
    assert arn.startswith("arn:aws:iam::")
    assert document["outputs"]["list"][1] == "x"
    assert texts["without"] == '{"a": ["b"]}'


def test_a_document_waits_for_the_resources_whose_outputs_it_holds() -> None:
    recording = deploy(_two_policies)
    role = one(recording.resources, type=ROLE).urn
    assert role in one(recording.resources, type=POLICY, name="with-outputs").depends_on


def test_a_document_is_unknown_in_a_preview_while_an_output_in_it_is() -> None:
    recording = deploy(_two_policies, preview=True)
    policy = one(recording.resources, type=POLICY, name="with-outputs").inputs["policy"]
    assert policy == pulumi.runtime.rpc.UNKNOWN
    assert one(recording.resources, type=POLICY, name="without").inputs["policy"] == '{"a": ["b"]}'


def _three_roles() -> list[aws.iam.Role]:
    return [aws.iam.Role(name, assume_role_policy="{}") for name in ("a", "b", "c")]


def test_a_document_depends_on_what_comes_after_an_unknown_output_of_it_as_well() -> None:
    def program() -> None:
        arns = [role.arn for role in _three_roles()]
        aws.iam.RolePolicy("policy", role="role", policy=json_text(arns))

    policy = one(deploy(program, preview=True).resources, type=POLICY)
    assert {urn.rpartition("::")[2] for urn in policy.depends_on} == {"a", "b", "c"}


def test_an_output_in_the_value_of_another_is_known_too() -> None:
    def program() -> None:
        [role, *_] = _three_roles()
        within = role.name.apply(lambda name: {"name": name, "arns": [role.arn]})
        aws.iam.RolePolicy("policy", role="role", policy=json_text(within))

    document = json.loads(one(deploy(program).resources, type=POLICY).inputs["policy"])
    assert document["arns"][0].startswith("arn:aws:iam::")


def test_a_document_is_one_output_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    track = pulumi.Output._track  # pyright: ignore[reportPrivateUsage]

    def counting(output: pulumi.Output[Any]) -> None:
        nonlocal made
        made += 1
        track(output)

    def program() -> None:
        arns = [role.arn for role in _three_roles()]
        with monkeypatch.context() as patch:
            patch.setattr(pulumi.Output, "_track", counting)
            json_text({"arns": arns})

    deploy(program)
    assert made == 1


def test_what_is_known_of_a_document_stays_known_where_the_rest_is_not() -> None:
    def program() -> None:
        [role, *_] = _three_roles()
        whole = as_output({"name": "known", "arn": role.arn})
        aws.iam.RolePolicy("policy", role=whole["name"], policy=whole["arn"])

    policy = one(deploy(program, preview=True).resources, type=POLICY)
    assert (policy.inputs["role"], policy.inputs["policy"]) == ("known", UNKNOWN)


def test_the_provider_is_asked_once_in_a_run_and_again_in_the_next() -> None:
    asked: list[bool] = []

    def program() -> None:
        first = here()
        asked.append(here() is first)
        place = json_text([first.partition, first.region, first.account_id])
        aws.iam.RolePolicy("policy", role="role", policy=place)

    for _ in range(2):
        recording = deploy(program)
        policy = one(recording.resources, type=POLICY).inputs["policy"]
        assert policy == json.dumps(["aws", REGION, ACCOUNT])
    assert asked == [True, True]


def _granting(policy: str) -> list[str]:
    """The actions of a policy's statements, those that it took over marked."""
    statements = json.loads(policy)["Statement"]
    return [one.get("Sid", "")[:6] + one["Action"] for one in statements]


def test_a_state_machines_policy_still_grants_what_the_one_before_it_did_and_no_older_ones() -> (
    None
):
    def next_one(before: str, *actions: str) -> str:
        after = {"Statement": [{"Action": one} for one in actions]}
        return still_granting(json.dumps(after), {"inputs": {"policy": before}})

    first = json.dumps({"Statement": [{"Action": "run:1"}, {"Action": "log"}]})
    second = next_one(first, "run:2", "log")
    assert _granting(second) == ["run:2", "log", "Beforerun:1"]
    assert next_one(second, "run:2", "log") == second
    more = next_one(second, "run:2", "log", "more")
    assert _granting(more) == ["run:2", "log", "more", "Beforerun:1"]
    third = next_one(more, "run:3", "log")
    assert _granting(third) == ["run:3", "log", "Beforerun:2", "Beforemore"]
    assert _granting(next_one(third, "run:2", "log")) == ["run:2", "log", "Beforerun:3"]
    assert still_granting(first, None) == first


def test_of_a_list_a_policy_still_grants_what_is_gone_if_there_is_room() -> None:
    def policy(*resources: str, action: str = "start") -> str:
        return json.dumps({"Statement": [{"Action": action, "Resource": resources}]})

    def next_one(before: str, after: str) -> list[dict[str, Any]]:
        statements = json.loads(still_granting(after, {"inputs": {"policy": before}}))["Statement"]
        return statements[1:]

    gone = {"Sid": "Before0", "Action": "start", "Resource": ["a"]}
    assert next_one(policy("a", "b"), policy("b", "c")) == [gone]
    assert next_one(policy("a"), policy("b", "a")) == []
    # One resource may be said without its list, and begin as another does.
    alone = json.dumps({"Statement": [{"Action": "start", "Resource": "ab"}]})
    assert next_one(policy("a", "ab"), alone) == [gone]
    assert next_one(alone, policy("ab", "b")) == []
    assert next_one(policy("a"), policy("a", action="stop")) == [gone]
    # IAM allows 10,240 characters.
    assert next_one(policy("a" * 5000), policy("b" * 5000)) != []
    assert next_one(policy("a" * 5200), policy("b" * 5200)) == []


def _read(function: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    """The Args of a function's parameters, and the keys that it reads of them."""
    args = {
        one.arg: one.annotation.id
        for one in [*function.args.args, *function.args.kwonlyargs]
        if isinstance(one.annotation, ast.Name) and one.annotation.id.endswith("Args")
    }
    for node in ast.walk(function):
        match node:
            case (
                ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key)))
                | ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="get"),
                    args=[ast.Constant(value=str(key)), *_],
                )
            ) if name in args:
                yield args[name], key
            case _:
                pass


def test_a_component_reads_no_argument_that_it_does_not_have() -> None:
    """A type checker lets `args.get` ask for any key: one that nobody can give is its default."""
    read = [
        (module.relative_to(ROOT).with_suffix(""), kind, key)
        for module in (ROOT / "components").rglob("*.py")
        for function in ast.walk(ast.parse(module.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef)
        for kind, key in _read(function)
    ]
    unknown = [
        f"{path}: {kind}.{key}"
        for path, kind, key in read
        if key not in getattr(importlib.import_module(".".join(path.parts)), kind).__annotations__
    ]
    assert len(read) > 200
    assert unknown == []
