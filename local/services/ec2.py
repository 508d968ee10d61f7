"""EC2: the prefix lists that a security group's rules name, which MiniStack does not read.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
"""

from collections.abc import Mapping
from itertools import count
from typing import Any

from local.ministack import internals
from local.runtime import Runtime


def install(cloud: Runtime) -> None:  # noqa: ARG001 - as every part
    """Read rules whole until the cloud closes."""
    internals.ip_permissions.replace(_with_prefix_lists)


def _with_prefix_lists(params: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    rules = internals.ip_permissions.original(params, prefix)
    for number, rule in enumerate(rules, 1):
        for place in count(1):
            at = f"{prefix}.{number}.PrefixListIds.{place}"
            if f"{at}.PrefixListId" not in params:
                break
            named = {
                member: params[f"{at}.{member}"][0]
                for member in ("PrefixListId", "Description")
                if f"{at}.{member}" in params
            }
            rule["PrefixListIds"].append(named)
    return rules
