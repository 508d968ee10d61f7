"""Service Quotas: an account's quotas, which here are those that AWS gives by default.

https://docs.aws.amazon.com/servicequotas/2019-06-24/apireference/API_GetServiceQuota.html
"""

from typing import Any

from local.ministack import internals, seam
from local.runtime import Runtime

_SERVICE = "servicequotas"
# https://docs.aws.amazon.com/general/latest/gr/ecs-service.html and …/ev.html
_DEFAULTS = {
    ("fargate", "L-3032A538"): ("Fargate On-Demand vCPU resource count", 6.0),
    ("fargate", "L-36FBB829"): ("Fargate Spot vCPU resource count", 6.0),
    ("events", "L-244521F2"): ("Number of rules", 300.0),
}
# Of EventBridge no account's own value is told, be it raised: https://github.com/aws/aws-cli/issues/6629
_DEFAULTS_ALONE = {"events"}


def install(cloud: Runtime) -> None:
    """Answer GetServiceQuota and GetAWSDefaultServiceQuota, until the cloud closes."""
    prefixes = internals.iam_prefixes()
    prefixes[_SERVICE] = _SERVICE
    cloud.on_close(lambda: prefixes.pop(_SERVICE))
    operations = {
        "GetServiceQuota": _handle_get,
        "GetAWSDefaultServiceQuota": _handle_get_default,
    }
    cloud.on_close(seam.serve(_SERVICE, operations))


async def _handle_get(request: seam.Request) -> dict[str, Any]:
    if request.members.get("ServiceCode") in _DEFAULTS_ALONE:
        raise seam.Refused("NoSuchResourceException", "The request failed: no value is applied.")
    return await _handle_get_default(request)


async def _handle_get_default(request: seam.Request) -> dict[str, Any]:
    service, code = request.members.get("ServiceCode", ""), request.members.get("QuotaCode", "")
    if (service, code) not in _DEFAULTS:
        raise seam.Refused("NoSuchResourceException", f"The request failed: no quota {code} here.")
    name, value = _DEFAULTS[service, code]
    quota = {
        "ServiceCode": service,
        "QuotaCode": code,
        "QuotaName": name,
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return {"Quota": quota}
