"""All resources of a stack that has something of everything, in `tests/golden/resources.json`.

Definitions of state machines have files of their own. `GOLDEN=write .venv/bin/pytest
tests/components/test_resources.py` writes this one.
"""

import json
import os
from typing import Any

from tests.recorder import ACCOUNT, REGION, ROOT, Json, Resource, deploy_stack

GOLDEN = ROOT / "tests" / "golden" / "resources.json"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t"
ROUTER = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/router:2"
CONFIG: dict[str, Json] = {
    "protect": True,
    "logRetentionDays": 7,
    "backfills": True,
    "alerts": {
        "chat": True,
        "emails": ["a@example.com"],
        "httpsEndpoints": ["https://example.com/alerts"],
        "runbook": "https://example.com/runbook",
    },
    "uploadsBucket": {"retentionDays": 30},
    "buckets": {"more": {"kmsKeyArn": KEY, "allowedOrigins": ["https://app.example.com"]}},
    "jobs": {
        "ingest": {
            "timeout": "2h",
            "maxConcurrency": 3,
            "spot": True,
            "exitCodes": {"success": [3], "warning": [4]},
            "policies": [{"actions": ["dynamodb:GetItem"], "resources": [TABLE]}],
            "managedPolicies": [f"arn:aws:iam::{ACCOUNT}:policy/read"],
        },
        "etl": {
            "image": "ghcr.io/team/etl:1",
            "secrets": {"TOKEN": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/token"},
            "sidecars": {"router": {"image": ROUTER}},
            "volumes": {"data": {"fileSystemId": "fs-01234567", "containerPath": "/data"}},
            "tags": {"cost-center": "42"},
        },
    },
    "uploads": {
        "target": {"job": "ingest", "prefix": "target/"},
        "direct": {
            "job": "etl",
            "bucket": "more",
            "wildcard": "*",
            "exclude": ["tmp/*"],
            "via": "task",
            "tags": {"from": "direct"},
        },
        "done": {"pipeline": "nightly", "suffix": [".done", ".ok"], "maxSize": 9},
    },
    "pipelines": {
        "nightly": {
            "schedule": "cron(0 10 * * ? *)",
            "timezone": "Asia/Tokyo",
            "overlap": "skip",
            "steps": [{"job": "ingest"}, [{"job": "etl"}, {"job": "ingest"}]],
        },
        "off": {"schedule": "rate(1 day)", "enabled": False, "steps": [{"job": "etl"}]},
    },
    "schedules": {
        "hourly": {
            "schedule": "rate(1 hour)",
            "job": "etl",
            "count": 2,
            "flexibleMinutes": 5,
            "commands": ["x", "<scheduledTime>"],
            "environment": {"A": "1"},
        }
    },
}


def shown(value: Any) -> Any:  # noqa: ANN401 JSON
    """What a reviewer reads: documents taken apart, time zones by their names."""
    if isinstance(value, str) and value[:1] in {"{", "["} and value[-1:] in {"}", "]"}:
        try:
            return shown(json.loads(value))
        except ValueError:
            return value
    if isinstance(value, dict):
        return {
            key: sorted(item) if key == "zones" and isinstance(item, dict) else shown(item)
            for key, item in value.items()
            if key != "definition"
        }
    return [shown(item) for item in value] if isinstance(value, list) else value


def test_the_resources_of_a_stack_are_as_they_were_reviewed() -> None:
    def place(one: Resource) -> tuple[str, str]:
        return one.type, one.name

    resources = deploy_stack("dev", **CONFIG).resources
    found = [
        {"type": one.type, "name": one.name, "protect": one.protect, "inputs": shown(one.inputs)}
        for one in sorted(resources, key=place)
        if not one.type.startswith("fargate-batch:")
    ]
    text = json.dumps(found, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    if os.environ.get("GOLDEN") == "write":
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8"), "if it is right: GOLDEN=write pytest, and review it"
