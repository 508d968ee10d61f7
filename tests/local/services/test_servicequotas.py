"""Quotas are those that AWS gives an account by default."""

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud

RULES = {"ServiceCode": "events", "QuotaCode": "L-244521F2"}
SPOT = {"ServiceCode": "fargate", "QuotaCode": "L-36FBB829"}


def test_a_quota_is_that_of_a_new_account_and_another_is_not_known(cloud: Cloud) -> None:
    quotas = cloud.client("service-quotas")
    found = [
        quotas.get_aws_default_service_quota(**RULES)["Quota"],
        quotas.get_aws_default_service_quota(**SPOT)["Quota"],
        quotas.get_service_quota(**SPOT)["Quota"],
    ]
    assert [(one["QuotaName"], one["Value"]) for one in found] == [
        ("Number of rules", 300),
        ("Fargate Spot vCPU resource count", 6),
        ("Fargate Spot vCPU resource count", 6),
    ]
    for ask, unknown in (
        (quotas.get_service_quota, RULES),
        (quotas.get_service_quota, {**SPOT, "QuotaCode": "L-0"}),
        (quotas.get_aws_default_service_quota, {**SPOT, "QuotaCode": "L-0"}),
    ):
        with pytest.raises(ClientError, match="NoSuchResourceException"):
            ask(**unknown)
    with pytest.raises(ClientError, match="NotImplemented"):
        quotas.list_services()
