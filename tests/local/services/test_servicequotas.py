"""Quotas are those that AWS gives an account by default."""

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud


def test_a_quota_is_that_of_a_new_account_and_another_is_not_known(cloud: Cloud) -> None:
    quotas = cloud.client("service-quotas")
    found = quotas.get_service_quota(ServiceCode="events", QuotaCode="L-244521F2")["Quota"]
    assert (found["QuotaName"], found["Value"]) == ("Number of rules", 300)
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        quotas.get_service_quota(ServiceCode="events", QuotaCode="L-0")
    with pytest.raises(ClientError, match="NotImplemented"):
        quotas.list_services()
