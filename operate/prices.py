"""What Fargate costs, in USD an hour, on demand on Linux: one table.

https://aws.amazon.com/fargate/pricing/. Where a Region is not in it, us-east-1 stands in. Spot's
prices move; its discount here is the usual 70 %.
"""

from dataclasses import dataclass

_PER_HOUR = {
    # Region: (a vCPU, a GB) of X86_64
    "us-east-1": (0.04048, 0.004445),
    "us-east-2": (0.04048, 0.004445),
    "us-west-2": (0.04048, 0.004445),
    "eu-west-1": (0.04048, 0.004445),
    "ap-northeast-1": (0.05056, 0.00553),
}
_ARM = 0.8
_SPOT = 0.3
PUBLIC_ADDRESS = 0.005
A_KEY = 1.0
"""A month of a KMS key: https://aws.amazon.com/kms/pricing/."""
A_DASHBOARD = 3.0
A_METRIC_OF_AN_ALARM = 0.1
A_METRIC_OF_INSIGHTS = {"enabled": 0.3, "enhanced": 0.07}
"""A month of CloudWatch's: https://aws.amazon.com/cloudwatch/pricing/."""
A_TRANSITION = 0.000025
"""A state transition of a standard execution: https://aws.amazon.com/step-functions/pricing/."""
LEAST_SECONDS = 60
"""Fargate bills by the second, from the pull of the image to the end, and at least a minute."""


@dataclass(frozen=True)
class Size:
    """What a task has: CPU units (1024 a vCPU), MiB, and how it runs."""

    cpu: int
    memory: int
    spot: bool = False
    arm: bool = False


def of_task(region: str, size: Size, seconds: float) -> float:
    """What a task of this size costs for so many seconds, in USD."""
    vcpu, gigabyte = _PER_HOUR.get(region, _PER_HOUR["us-east-1"])
    hour = vcpu * size.cpu / 1024 + gigabyte * size.memory / 1024
    hour *= (_ARM if size.arm else 1) * (_SPOT if size.spot else 1)
    return (hour + PUBLIC_ADDRESS) * max(seconds, LEAST_SECONDS) / 3600
