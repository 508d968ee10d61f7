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


def install(cloud: Runtime) -> None:
    """Answer GetServiceQuota, until the cloud closes."""
    prefixes = internals.iam_prefixes()
    prefixes[_SERVICE] = _SERVICE
    cloud.on_close(lambda: prefixes.pop(_SERVICE))
    cloud.on_close(seam.serve(_SERVICE, {"GetServiceQuota": _get_service_quota}))


async def _get_service_quota(request: seam.Request) -> dict[str, Any]:
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
