"""Things with the ids and ARNs that they have on AWS: MiniStack makes up its own."""

import json
from contextlib import AbstractContextManager

from local.ministack import internals


def rename_vpc(made: str, wanted: str) -> None:
    """Give the VPC `made` of this scope, and what belongs to it, the id `wanted`."""
    _rename(internals.vpcs(), made, wanted, "VpcId")
    for store in (internals.security_groups, internals.route_tables, internals.network_acls):
        for belonging in store().values():
            if belonging["VpcId"] == made:
                belonging["VpcId"] = wanted


def rename_subnet(made: str, wanted: str) -> None:
    """Give the subnet `made` of this scope the id `wanted`."""
    _rename(internals.subnets(), made, wanted, "SubnetId")


def rename_security_group(made: str, wanted: str) -> None:
    """Give the security group `made` of this scope the id `wanted`."""
    _rename(internals.security_groups(), made, wanted, "GroupId")


def _rename(store: internals.Store, made: str, wanted: str, key: str) -> None:
    store[wanted] = store.pop(made) | {key: wanted}


def secret(arn: str, name: str, value: str) -> None:
    """A secret of Secrets Manager with the ARN that it has on AWS, in place of one of before."""
    with _of(arn):
        internals.secrets().pop(name, None)
        internals.create_secret(name, secret_string=value)
        internals.secrets()[name]["ARN"] = arn


def parameter(arn: str, name: str, value: str) -> None:
    """An encrypted parameter of Parameter Store, in the account and Region of its ARN."""
    written = {"Name": name, "Value": value, "Type": "SecureString", "Overwrite": True}
    with _of(arn):
        internals.put_parameter(written)


def key(arn: str) -> None:
    """A symmetric KMS key with the id that it has on AWS."""
    with _of(arn):
        _, _, body = internals.create_kms_key({})
        made, keys = json.loads(body)["KeyMetadata"]["KeyId"], internals.kms_keys()
        wanted = arn.rpartition("/")[2]
        keys[wanted] = keys.pop(made) | {"KeyId": wanted, "Arn": arn}


def knows_policy(arn: str) -> bool:
    """Whether a policy of AWS's own is known here."""
    return arn in internals.aws_policies()


def policy(arn: str, document: str) -> None:
    """A policy of AWS's own, which every account can read."""
    internals.aws_policies()[arn] = internals.aws_policy(arn.partition(":policy/")[2], document, "")


def role_of_ecs() -> None:
    """The role with which ECS attaches network interfaces, made as AWS does with a first cluster.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles-for-clusters.html
    """
    made, name, roles = "AWSServiceRoleForEcs", "AWSServiceRoleForECS", internals.roles()
    if name not in roles:
        internals.create_service_linked_role({"AWSServiceName": "ecs.amazonaws.com"})
        role = roles.pop(made)
        roles[name] = role | {"RoleName": name, "Arn": role["Arn"].replace(made, name)}


def _of(arn: str) -> AbstractContextManager[None]:
    """The account and Region of an ARN."""
    _, _, _, region, account, _ = arn.split(":", 5)
    return internals.request_scope(account, region)
