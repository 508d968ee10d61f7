"""Roles and their policies, and keys → AWS IAM and KMS."""

from local.engine.monitor import Created, Properties, Registration
from local.engine.resources.context import Context, Creator, document, given


def role(context: Context, registration: Registration) -> Created:
    """A role with its trust policy, its inline and its managed policies."""
    inputs, iam = registration.inputs, context.iam
    name = context.name(registration, limit=64)
    made = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=document(inputs["assumeRolePolicy"]),
        **given(
            Path=inputs.get("path"),
            Description=inputs.get("description"),
            MaxSessionDuration=inputs.get("maxSessionDuration"),
            PermissionsBoundary=inputs.get("permissionsBoundary"),
            Tags=context.pairs(inputs) or None,
        ),
    )["Role"]
    managed: list[str] = inputs.get("managedPolicyArns") or []
    for arn in managed:
        iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    inline: list[Properties] = inputs.get("inlinePolicies") or []
    for policy in inline:
        iam.put_role_policy(
            RoleName=name, PolicyName=policy["name"], PolicyDocument=document(policy["policy"])
        )
    return Created(name, {"arn": made["Arn"], "name": name, "uniqueId": made["RoleId"]})


def role_policy(context: Context, registration: Registration) -> Created:
    """An inline policy of a role."""
    inputs = registration.inputs
    name = context.name(registration, limit=128)
    context.iam.put_role_policy(
        RoleName=inputs["role"], PolicyName=name, PolicyDocument=document(inputs["policy"])
    )
    return Created(f"{inputs['role']}:{name}", {"name": name})


def role_policy_attachment(context: Context, registration: Registration) -> Created:
    """A managed policy attached to a role."""
    role_name, arn = registration.inputs["role"], registration.inputs["policyArn"]
    context.iam.attach_role_policy(RoleName=role_name, PolicyArn=arn)
    return Created(f"{role_name}/{arn}", {})


def key(context: Context, registration: Registration) -> Created:
    """A key that encrypts."""
    inputs = registration.inputs
    policy = inputs.get("policy")
    tags = [{"TagKey": name, "TagValue": value} for name, value in context.tags(inputs).items()]
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
    name = inputs.get("name") or f"alias/{context.name(registration, limit=250)}"
    context.kms.create_alias(AliasName=name, TargetKeyId=inputs["targetKeyId"])
    return Created(name, {"arn": context.arn("kms", name), "name": name})


CREATORS: dict[str, Creator] = {
    "aws:kms/alias:Alias": key_alias,
    "aws:kms/key:Key": key,
    "aws:iam/role:Role": role,
    "aws:iam/rolePolicy:RolePolicy": role_policy,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": role_policy_attachment,
}
