"""What 1,000 uploads cost by line item, each starting a one-minute job of 0.5 vCPU and 1 GB."""

from benchmarks.burst import DOLLARS_PER_TRANSITION, happy_transitions

UPLOADS = 1_000
TASK_HOURS = 1 / 60
TASK_VCPU = 0.5
TASK_GB = 1.0

# All prices are those of us-east-1 in November 2026, in US dollars.
# https://aws.amazon.com/eventbridge/pricing/
_OPT_IN_EVENT = 1.00 / 1_000_000
# https://aws.amazon.com/fargate/pricing/ (Linux, X86)
_VCPU_HOUR = 0.04048
_GB_HOUR = 0.004445
# https://aws.amazon.com/vpc/pricing/
_PUBLIC_IPV4_HOUR = 0.005
# https://aws.amazon.com/cloudwatch/pricing/
_LOG_GB = 0.50
# https://aws.amazon.com/lambda/pricing/ (Arm)
_REQUEST = 0.20 / 1_000_000
_GB_SECOND = 0.0000133334
# https://aws.amazon.com/cloudtrail/pricing/
_DATA_EVENT = 0.10 / 100_000

# Estimates: what a quiet container writes, ten events of an execution, six states of a task.
_CONTAINER_LOG_BYTES = 2_000
_EXECUTION_LOG_BYTES = 10 * 700
_TASK_STATES = 6
_TASK_STATE_LINE_BYTES = 3_300
_FUNCTION_SECONDS = 0.01
_FUNCTION_GB = 0.125


def line_items() -> dict[str, float]:
    """US dollars for `UPLOADS` uploads through a state machine, by what is paid."""
    log_bytes = _CONTAINER_LOG_BYTES + _EXECUTION_LOG_BYTES + _TASK_STATES * _TASK_STATE_LINE_BYTES
    each = {
        "S3 event": _OPT_IN_EVENT,
        f"Step Functions, {happy_transitions()} transitions": (
            happy_transitions() * DOLLARS_PER_TRANSITION
        ),
        "Fargate vCPU": TASK_VCPU * TASK_HOURS * _VCPU_HOUR,
        "Fargate memory": TASK_GB * TASK_HOURS * _GB_HOUR,
        "public IPv4 address": TASK_HOURS * _PUBLIC_IPV4_HOUR,
        "logs, estimated": log_bytes / 1e9 * _LOG_GB,
        "log of task events, Lambda": _TASK_STATES
        * (_REQUEST + _FUNCTION_SECONDS * _FUNCTION_GB * _GB_SECOND),
    }
    return {item: UPLOADS * dollars for item, dollars in each.items()}


def through_cloudtrail(items: dict[str, float]) -> dict[str, float]:
    """The same with uploads noticed by a trail's data events, of writes only, not by S3's own."""
    others = {item: dollars for item, dollars in items.items() if item != "S3 event"}
    return {"CloudTrail data event": UPLOADS * _DATA_EVENT, **others}


def nested(items: dict[str, float]) -> dict[str, float]:
    """The same with a state machine around the job's, of the one state that starts it."""
    return {**items, "parent, 2 transitions": UPLOADS * 2 * DOLLARS_PER_TRANSITION}


def run() -> list[tuple[str, str]]:
    """Figure (10): label and US dollars for each line item, and the sums of the three ways."""
    items = line_items()
    ours = sum(items.values())
    title = f"{UPLOADS:,} uploads"
    figures = [(f"{title}: {item}", f"{dollars:.4f} USD") for item, dollars in items.items()]
    figures.append((f"{title}: all of it", f"{ours:.4f} USD"))
    for label, other in (
        ("through CloudTrail data events", through_cloudtrail(items)),
        ("with nested state machines", nested(items)),
    ):
        total = sum(other.values())
        figures.append((f"{title}: {label}", f"{total:.4f} USD, {total - ours:+.4f}"))
    return figures


if __name__ == "__main__":
    for label, figure in run():
        print(f"{label:<50} {figure}")
