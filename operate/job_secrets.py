"""A secret of a job: is it there, and may the role that starts the job's tasks read it?

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specifying-sensitive-data.html
"""

import json
from collections.abc import Collection, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from botocore.exceptions import ClientError

from .aws import Aws, code_of

_AGAIN = "create it again, or remove it from the job's `secrets`"
_BY_HAND = "a role was changed by hand: `pulumi refresh`, then `pulumi up`"
_NAME_KEY = "name the key in the job's `secretsKey`, and deploy"


def problems(aws: Aws, secret: str, roles: Collection[str]) -> Iterator[tuple[str, str]]:
    """Why roles cannot read a secret, each with the way out; nothing if they can.

    Args:
        aws: where it is.
        secret: its ARN, of Secrets Manager or Parameter Store.
        roles: the ARNs of the roles that read it.
    """
    found = (_managed if ":secretsmanager:" in secret else _parameter)(aws, secret)
    if found is None:
        yield f"{secret} is gone", _AGAIN
        return
    action, key_id = found
    for role in roles:
        if not _may(aws, role, action, secret):
            yield f"{_name(role)} may not read {secret}", _BY_HAND
    if key_id is not None:
        yield from _key_problems(aws, secret, key_id, roles)


def own_arn(value_from: str) -> str:
    """A secret's ARN, without what says which field and version of it."""
    return ":".join(value_from.split(":")[:7])


def _managed(aws: Aws, secret: str) -> tuple[str, str | None] | None:
    try:
        found = aws.client("secretsmanager").describe_secret(SecretId=secret)
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        return None
    if "DeletedDate" in found:
        return None
    return "secretsmanager:GetSecretValue", found.get("KmsKeyId")


def _parameter(aws: Aws, secret: str) -> tuple[str, str | None] | None:
    path = secret.partition(":parameter")[2] or secret
    # The ARN of the parameter `name` is that of `/name`.
    names = [path] if path.count("/") > 1 else [path, path.lstrip("/")]
    chosen = [{"Key": "Name", "Option": "Equals", "Values": names}]
    found = aws.client("ssm").describe_parameters(ParameterFilters=chosen)["Parameters"]
    return ("ssm:GetParameters", found[0].get("KeyId")) if found else None


def _key_problems(
    aws: Aws, secret: str, key_id: str, roles: Collection[str]
) -> Iterator[tuple[str, str]]:
    kms = aws.client("kms")
    key = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    if key.get("KeyManager") == "AWS":
        # Everybody of the account may use it through the service that it is of.
        return
    arn: str = key["Arn"]
    if key["KeyState"] != "Enabled":
        yield (
            f"{arn}, the key of {secret}, is {key['KeyState']}",
            "enable it, or cancel its deletion, in KMS",
        )
    policy = json.loads(kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    for role in roles:
        if not _may(aws, role, "kms:Decrypt", arn):
            yield f"{_name(role)} may not decrypt {secret} with {arn}", _NAME_KEY
        if not lets_decrypt(policy, role):
            way = "let it, or the account, use the key in the key policy"
            yield (
                f"the policy of {arn}, the key of {secret}, does not let {_name(role)} use it",
                way,
            )


def _may(aws: Aws, role: str, action: str, resource: str) -> bool:
    """Whether a role's own policies and its boundary let it."""
    answer = aws.client("iam").simulate_principal_policy(
        PolicySourceArn=role, ActionNames=[action], ResourceArns=[resource]
    )
    return all(one["EvalDecision"] == "allowed" for one in answer["EvaluationResults"])


def lets_decrypt(policy: Mapping[str, Any], role: str) -> bool:
    """Whether a key's policy lets a role decrypt, or leaves it to the policies of its account.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
    """
    partition, account = role.split(":")[1], role.split(":")[4]
    let = {"*", account, role, f"arn:{partition}:iam::{account}:root"}
    for statement in _list(policy.get("Statement")):
        principal = statement.get("Principal")
        named = _list(principal.get("AWS") if isinstance(principal, dict) else principal)
        actions = [one.lower() for one in _list(statement.get("Action"))]
        if (
            statement.get("Effect") == "Allow"
            and let.intersection(named)
            and any(fnmatchcase("kms:decrypt", one) for one in actions)
        ):
            return True
    return False


def _list(value: Any) -> list[Any]:  # noqa: ANN401 -- JSON: one, or a list of them
    return value if isinstance(value, list) else [] if value is None else [value]


def _name(role: str) -> str:
    return role.rpartition("/")[2]
