"""Every key of a stack's file takes a value, which changes what the stack registers."""

import copy
import json
import re
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from settings import validated
from tests.recorder import REGION, deploy_stack
from tests.settings.keys import KEYS

ACCOUNT = "111122223333"
KEY = f"arn:aws:kms:ap-northeast-1:{ACCOUNT}:key/1"
SECRETS = {"PASSWORD": f"arn:aws:ssm:ap-northeast-1:{ACCOUNT}:parameter/p"}
EXISTING = {"vpcId": "vpc-1", "subnetIds": ["subnet-1"]}
TABLE = f"arn:aws:dynamodb:ap-northeast-1:{ACCOUNT}:table/t"
STATEMENT = {"actions": ["dynamodb:GetItem"], "resources": [TABLE]}

PIPELINE = {"schedule": "rate(1 day)", "steps": [{"job": "a"}]}

BASE: dict[str, Any] = {
    "protect": True,
    "network": {},
    "uploadsBucket": {},
    "resultsBucket": {},
    "buckets": {"more": {}},
    "jobs": {"a": {}, "b": {"image": "ghcr.io/team/b:1"}},
    "uploads": {"in": {"job": "a", "prefix": "in/"}},
    "pipelines": {"nightly": PIPELINE},
    "schedules": {"when": {"job": "a", "schedule": "rate(1 day)"}},
    "alerts": {},
    "taskEvents": {},
}
ENTRIES = {
    "buckets": "more",
    "sidecars": "router",
    "volumes": "shared",
    "jobs": "a",
    "uploads": "in",
    "pipelines": "nightly",
    "schedules": "when",
}

# Another value than the key has in BASE, by the last parts of its path.
VALUES: dict[str, Any] = {
    "network.cidr": "10.7.0.0/16",
    "network.zones": ["apne1-az2"],
    "network.nat": True,
    "network.vpcId": "vpc-2",
    "network.subnetIds": ["subnet-2"],
    "network.assignPublicIp": False,
    "bucket": "existing",
    "uploads.NAME.bucket": "more",
    "notifications": "keep",
    "kmsKeyArn": KEY,
    "retentionDays": 7,
    "allowedOrigins": ["https://app.example.com"],
    "resultsBucket.prefix": "out/",
    "image": "ghcr.io/team/other:2",
    "rolePath": "/team/",
    "permissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/bound",
    "grace": "2h",
    "chat": True,
    "context": "batch",
    "dockerfile": "batch/Dockerfile",
    "architecture": "ARM64",
    "platformVersion": "LATEST",
    "containerInsights": "enhanced",
    "launchesPerSecond": 100,
    "logRetentionDays": 7,
    "protect": False,
    "cpu": 256,
    "memory": 2048,
    "ephemeralStorage": 50,
    "timeout": "2h",
    "environment": {"MODE": "full"},
    "secrets": SECRETS,
    "secretsKey": KEY,
    "retries": 1,
    "retryExitCodes": [3],
    "exitCodes.success": [3],
    "exitCodes.warning": ["3-5"],
    "exitCodes.retry": [3],
    "onWarning": "stop",
    "maxConcurrency": 2,
    "spot": True,
    "ingest.schema": {"day": "DATE"},
    "ingest.nullValues": ["-"],
    "ingest.dateFormat": "%Y%m%d",
    "ingest.decimal": ",",
    "ingest.encoding": "cp932",
    "ingest.delimiter": ";",
    "ingest.header": True,
    "ingest.schemaDrift": "allow",
    "ingest.rejectedShare": 0.5,
    "readsIngest": True,
    "job": "b",
    "uploads.NAME.pipeline": "nightly",
    "via": "task",
    "uploads.NAME.prefix": "other/",
    "suffix": ".csv",
    "exclude": "in/tmp/*",
    "key": "in/one",
    "wildcard": "in/*/x",
    "minSize": 5,
    "maxSize": 9,
    "schedule": "rate(2 days)",
    "timezone": "Asia/Tokyo",
    "enabled": False,
    "flexibleMinutes": 5,
    "start": "2098-01-01T00:00:00Z",
    "end": "2099-01-01T00:00:00Z",
    "overlap": "allow",
    "commands": ["x"],
    "onFailure": "continue",
    "count": 2,
    "emails": ["a@example.com"],
    "httpsEndpoints": ["https://example.com/x"],
    "runbook": "https://example.com/runbook",
    "backfills": True,
    "keepEvent": False,
    "network.securityGroupIds": ["sg-2"],
    "jobs.NAME.network.subnetIds": ["subnet-3"],
    "actions": ["dynamodb:Query"],
    "resources": [f"{TABLE}2"],
    "conditions": {"Bool": {"aws:SecureTransport": "true"}},
    "managedPolicies": [f"arn:aws:iam::{ACCOUNT}:policy/read"],
    "entryPoint": ["python"],
    "user": "1000",
    "readonlyRootFilesystem": True,
    "initProcess": True,
    "nofile": 4096,
    "stopTimeout": 60,
    "mode": "non-blocking",
    "bufferSize": "25m",
    "multilinePattern": "^x",
    "sidecars.NAME.memory": 256,
    "tags": {"cost-center": "42"},
    "dependsOn": {"other": "START"},
    "healthCheck.command": ["check"],
    "healthCheck.interval": 60,
    "healthCheck.timeout": 9,
    "healthCheck.retries": 5,
    "healthCheck.startPeriod": 9,
    "essential": True,
    "fileSystemId": "fs-11111111",
    "accessPointId": "fsap-11111111",
    "containerPath": "/mnt/other",
    "readOnly": True,
    "iamAuthorization": False,
    "transitEncryption": False,
    "repositoryCredentials": f"arn:aws:secretsmanager:ap-northeast-1:{ACCOUNT}:secret:r-1a2b3c",
}
# What a key takes to be there as well, or instead, before it is set.
B = BASE["jobs"]["b"]
SIDECAR = {"image": "ghcr.io/team/router:1"}
SIDECARS = {"router": SIDECAR, "other": SIDECAR}
VOLUME = {"fileSystemId": "fs-00000000", "containerPath": "/mnt/shared"}
HEALTHY = {**SIDECAR, "healthCheck": {"command": ["true"]}}
BEFORE: dict[str, dict[str, Any]] = {
    "network.securityGroupIds": {"network": EXISTING},
    "uploadsBucket.notifications": {"uploadsBucket": {"bucket": "existing"}},
    "buckets.NAME.notifications": {"buckets": {"more": {"bucket": "existing"}}},
    "jobs.NAME.network.subnetIds": {
        "jobs": {"a": {"network": {"assignPublicIp": True}}, "b": B},
    },
    **{
        f"jobs.NAME.policies[].{key}": {"jobs": {"a": {"policies": [STATEMENT]}, "b": B}}
        for key in ("actions", "resources", "conditions")
    },
    "jobs.NAME.logs.bufferSize": {"jobs": {"a": {"logs": {"mode": "non-blocking"}}, "b": B}},
    "jobs.NAME.repositoryCredentials": {"jobs": {"a": B, "b": B}},
    **{
        key: {"jobs": {"a": {"volumes": {"shared": VOLUME}}, "b": B}}
        for key in KEYS
        if key.startswith("jobs.NAME.volumes.NAME.")
    },
    "jobs.NAME.volumes.NAME.transitEncryption": {
        "jobs": {"a": {"volumes": {"shared": {**VOLUME, "iamAuthorization": False}}}, "b": B}
    },
    "uploads.NAME.tags": {"uploads": {"in": {"job": "a", "prefix": "in/", "via": "task"}}},
    "jobs.NAME.dependsOn": {"jobs": {"a": {"sidecars": SIDECARS}, "b": B}},
    **{
        key: {"jobs": {"a": {"sidecars": {"router": HEALTHY, "other": SIDECAR}}, "b": B}}
        for key in KEYS
        if key.startswith("jobs.NAME.sidecars.NAME.")
    },
    "network.vpcId": {"network": EXISTING},
    "network.subnetIds": {"network": EXISTING},
    "jobs.NAME.dockerfile": {"jobs": {"a": {"context": "batch"}, "b": B}},
    "jobs.NAME.secretsKey": {"jobs": {"a": {"secrets": SECRETS}, "b": B}},
    "uploads.NAME.minSize": {"uploads": {"in": {"job": "a", "prefix": "in/", "maxSize": 9}}},
    "uploads.NAME.pipeline": {
        "uploads": {"in": {"prefix": "in/"}},
        "pipelines": {"nightly": {**PIPELINE, "overlap": "allow"}},
    },
    "uploads.NAME.key": {"uploads": {"in": {"job": "a"}}},
    "uploads.NAME.wildcard": {"uploads": {"in": {"job": "a"}}},
}


WITHOUT_WHICH_REFUSED = ("uploads.NAME.key", "uploads.NAME.wildcard", "uploads.NAME.pipeline")


def _value(key: str) -> Any:  # noqa: ANN401 any value of a key
    parts = key.split(".")
    endings = [".".join(parts[start:]) for start in range(len(parts))]
    found = [VALUES[ending] for ending in endings if ending in VALUES]
    assert found, f"{key} is new: give it a value in VALUES, other than it has in BASE"
    return found[0]


def _set(config: dict[str, Any], key: str) -> dict[str, Any]:
    """The configuration with another value under the key."""
    config = copy.deepcopy(config)
    place: Any = config
    *path, last = re.sub(r"\[\]", ".0", key).split(".")
    for before, part in pairwise(["", *path]):
        if isinstance(place, list):
            place = place[int(part)]
        elif part == "NAME":
            place = place[ENTRIES[before]]
        else:
            place = place.setdefault(part, {})
    place[last] = _value(key)
    return config


def _registered(config: dict[str, Any]) -> dict[str, Any]:
    return _deployed(json.dumps(config))


@cache
def _deployed(config: str) -> dict[str, Any]:
    """What AWS is asked for; the inputs of our own components are nobody's but ours."""
    resources = deploy_stack("dev", **json.loads(config)).resources
    others = (r for r in resources if not r.type.startswith("fargate-batch:"))
    return {r.urn: (r.inputs, r.protect) for r in others}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_takes_a_value(key: str) -> None:
    taken = validated({"region": REGION, **_set({**BASE, **BEFORE.get(key, {})}, key)})
    assert taken != validated({"region": REGION, **BASE})


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_key_changes_what_is_registered(key: str) -> None:
    before = {**BASE, **BEFORE.get(key, {})}
    # An upload without a filter, or of nothing that is started, is refused.
    compared = BASE if key in WITHOUT_WHICH_REFUSED else before
    assert _registered(_set(before, key)) != _registered(compared)
