"""Roles and their policies, and keys → AWS IAM and KMS."""

from collections.abc import Mapping
from typing import Any

from local.engine.resources.context import Context, document, given, pairs
from local.engine.resources.handler import Handler, Name, put, retag, retagged
from local.engine.state import Created, Properties, Registration, State


def role(context: Context, registration: Registration) -> Created:
    """A role with its trust policy, its inline and its managed policies."""
    inputs, iam = registration.inputs, context.iam
    name: str = inputs["name"]
    made = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=document(inputs["assumeRolePolicy"]),
        **given(
            Path=inputs.get("path"),
            Description=inputs.get("description"),
            MaxSessionDuration=inputs.get("maxSessionDuration"),
            PermissionsBoundary=inputs.get("permissionsBoundary"),
            Tags=pairs(inputs["tags"]) or None,
        ),
    )["Role"]
    _grant(context, name, inputs)
    return Created(name, {"arn": made["Arn"], "name": name, "uniqueId": made["RoleId"]})


def _grant(context: Context, role_name: str, inputs: Properties) -> None:
    managed: list[str] = inputs.get("managedPolicyArns") or []
    for arn in managed:
        context.iam.attach_role_policy(RoleName=role_name, PolicyArn=arn)
    inline: list[Properties] = inputs.get("inlinePolicies") or []
    for policy in inline:
        context.iam.put_role_policy(
            RoleName=role_name, PolicyName=policy["name"], PolicyDocument=document(policy["policy"])
        )


def _update_role(context: Context, registration: Registration, before: State) -> None:
    inputs, old, iam, name = registration.inputs, before.inputs, context.iam, before.id
    iam.update_assume_role_policy(
        RoleName=name, PolicyDocument=document(inputs["assumeRolePolicy"])
    )
    iam.update_role(
        RoleName=name,
        Description=inputs.get("description") or "",
        **given(MaxSessionDuration=inputs.get("maxSessionDuration")),
    )
    boundary = inputs.get("permissionsBoundary")
    if boundary:
        iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary)
    elif old.get("permissionsBoundary"):
        iam.delete_role_permissions_boundary(RoleName=name)
    _grant(context, name, inputs)
    for arn in set(old.get("managedPolicyArns") or []) - set(inputs.get("managedPolicyArns") or []):
        iam.detach_role_policy(RoleName=name, PolicyArn=arn)
    kept = {policy["name"] for policy in inputs.get("inlinePolicies") or []}
    for policy in old.get("inlinePolicies") or []:
        if policy["name"] not in kept:
            iam.delete_role_policy(RoleName=name, PolicyName=policy["name"])
    added, gone = retagged(registration, before)
    if added:
        iam.tag_role(RoleName=name, Tags=pairs(added))
    if gone:
        iam.untag_role(RoleName=name, TagKeys=gone)


def _delete_role(context: Context, state: State) -> None:
    # What the resource itself attached goes with it; what others did makes IAM refuse.
    for arn in state.inputs.get("managedPolicyArns") or []:
        context.iam.detach_role_policy(RoleName=state.id, PolicyArn=arn)
    for policy in state.inputs.get("inlinePolicies") or []:
        context.iam.delete_role_policy(RoleName=state.id, PolicyName=policy["name"])
    context.iam.delete_role(RoleName=state.id)


def role_policy(context: Context, registration: Registration) -> Created:
    """An inline policy of a role."""
    inputs = registration.inputs
    name: str = inputs["name"]
    context.iam.put_role_policy(
        RoleName=inputs["role"], PolicyName=name, PolicyDocument=document(inputs["policy"])
    )
    return Created(f"{inputs['role']}:{name}", {"name": name})


def role_policy_attachment(context: Context, registration: Registration) -> Created:
    """A managed policy attached to a role."""
    role_name, arn = registration.inputs["role"], registration.inputs["policyArn"]
    context.iam.attach_role_policy(RoleName=role_name, PolicyArn=arn)
    return Created(f"{role_name}/{arn}", {})


def _key_pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """As KMS spells them."""
    return [{"TagKey": name, "TagValue": value} for name, value in tags.items()]


def key(context: Context, registration: Registration) -> Created:
    """A key that encrypts."""
    inputs = registration.inputs
    policy = inputs.get("policy")
    tags = _key_pairs(inputs["tags"])
    made = context.kms.create_key(
        **given(
            Description=inputs.get("description"),
            KeySpec=inputs.get("customerMasterKeySpec"),
            KeyUsage=inputs.get("keyUsage"),
            MultiRegion=inputs.get("multiRegion"),
            Policy=None if policy is None else document(policy),
            Tags=tags or None,
        )
    )["KeyMetadata"]
    if inputs.get("enableKeyRotation"):
        context.kms.enable_key_rotation(KeyId=made["KeyId"])
    return Created(made["KeyId"], {"arn": made["Arn"], "keyId": made["KeyId"]})


def key_alias(context: Context, registration: Registration) -> Created:
    """A name of a key."""
    inputs = registration.inputs
    name: str = inputs["name"]
    context.kms.create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
    return Created(name, {"arn": context.arn("kms", name), "name": name})


def _update_key(context: Context, registration: Registration, before: State) -> None:
    inputs, kms, key_id = registration.inputs, context.kms, before.id
    kms.update_key_description(KeyId=key_id, Description=inputs.get("description") or "")
    if inputs.get("policy") is not None:
        kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=document(inputs["policy"]))
    rotate = (
        kms.enable_key_rotation if inputs.get("enableKeyRotation") else kms.disable_key_rotation
    )
    rotate(KeyId=key_id)
    retag(registration, before, kms, _key_pairs, KeyId=key_id)


def _delete_key(context: Context, state: State) -> None:
    days = state.inputs.get("deletionWindowInDays") or 30
    context.kms.schedule_key_deletion(KeyId=state.id, PendingWindowInDays=days)


def _point_alias(context: Context, registration: Registration, before: State) -> None:
    target = registration.inputs["targetKeyId"]
    context.kms.update_alias(AliasName=before.id, TargetKeyId=target)


def _key_exists(context: Context, state: State) -> Any:  # noqa: ANN401 -- an answer of KMS
    return context.kms.describe_key(KeyId=state.id)


HANDLERS: dict[str, Handler] = {
    "aws:iam/role:Role": Handler(
        role,
        _delete_role,
        _update_role,
        frozenset({"name", "namePrefix", "path"}),
        lambda c, s: c.iam.get_role(RoleName=s.id),
        name=Name(64),
        tagged=True,
    ),
    "aws:iam/rolePolicy:RolePolicy": Handler(
        role_policy,
        lambda c, s: c.iam.delete_role_policy(
            RoleName=s.inputs["role"], PolicyName=s.inputs["name"]
        ),
        put(role_policy),
        frozenset({"name", "namePrefix", "role"}),
        lambda c, s: c.iam.get_role_policy(RoleName=s.inputs["role"], PolicyName=s.inputs["name"]),
        name=Name(128),
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": Handler(
        role_policy_attachment,
        lambda c, s: c.iam.detach_role_policy(
            RoleName=s.inputs["role"], PolicyArn=s.inputs["policyArn"]
        ),
        exists=lambda c, s: c.iam.get_role(RoleName=s.inputs["role"]),
    ),
    "aws:kms/key:Key": Handler(
        key,
        _delete_key,
        _update_key,
        frozenset({"customerMasterKeySpec", "keyUsage", "multiRegion"}),
        _key_exists,
        tagged=True,
    ),
    "aws:kms/alias:Alias": Handler(
        key_alias,
        lambda c, s: c.kms.delete_alias(AliasName=s.id),
        _point_alias,
        frozenset({"name", "namePrefix"}),
        _key_exists,
        name=Name(256, prefix="alias/"),
    ),
}
