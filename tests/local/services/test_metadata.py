"""What a container is told of its task when it asks."""

import json
from datetime import datetime
from typing import Any

from local.cloud import Cloud
from local.services.ecs.metadata import PREFIX, Known
from tests.local.gate.raw import Answer, request, send
from tests.local.probe import IMAGE, LOG_GROUP, REGION, Stack

LEFT = {"name": "left", "essential": False, "command": ["exit", "0"]}
AFTER = {"dependsOn": [{"containerName": "left", "condition": "COMPLETE"}], "memory": 128}


def asked(stack: Stack, *paths: str) -> tuple[dict[str, Any], str, list[dict[str, Any]]]:
    """A task with two containers, the URI of its second, and what that was answered."""
    definition = stack.define(containers=[LEFT, {"name": "probe", "cpu": 64, **AFTER}])
    tags = [{"key": "team", "value": "経理"}]
    arn = stack.run(definition, "ask", *paths, tags=tags)["taskArn"]
    task = stack.stopped(arn)
    uri, *answers = stack.log(arn)
    return task, uri, [json.loads(answer) for answer in answers]


def described(task: dict[str, Any], name: str) -> dict[str, Any]:
    """A container as the endpoint says, but for its status, limits and times."""
    (record,) = (one for one in task["containers"] if one["name"] == name)
    family, _, revision = task["taskDefinitionArn"].rpartition("/")[2].partition(":")
    return {
        "DockerId": record["runtimeId"],
        "Name": name,
        "DockerName": name,
        "Image": IMAGE,
        "Labels": {
            "com.amazonaws.ecs.cluster": task["clusterArn"],
            "com.amazonaws.ecs.container-name": name,
            "com.amazonaws.ecs.task-arn": task["taskArn"],
            "com.amazonaws.ecs.task-definition-family": family,
            "com.amazonaws.ecs.task-definition-version": revision,
        },
        "DesiredStatus": "RUNNING",
        "Type": "NORMAL",
        "LogDriver": "awslogs",
        "LogOptions": {
            "awslogs-group": LOG_GROUP,
            "awslogs-region": REGION,
            "awslogs-stream": f"probe/{name}/{task['taskArn'].rpartition('/')[2]}",
        },
        "ContainerARN": record["containerArn"],
        "Networks": [
            {
                "NetworkMode": "awsvpc",
                "IPv4Addresses": [record["networkInterfaces"][0]["privateIpv4Address"]],
                "AttachmentIndex": 0,
                "IPv4SubnetCIDRBlock": "10.0.1.0/24",
            }
        ],
    }


def without_times(found: dict[str, Any]) -> dict[str, Any]:
    """It without its times, once they are times."""
    for name in [name for name in found if name.endswith("At")]:
        assert datetime.fromisoformat(found.pop(name)).utcoffset() is not None
    return found


def test_a_container_is_told_of_itself_and_of_its_task(stack: Stack) -> None:
    task, _, (own, whole, tagged) = asked(stack, "", "/task", "/taskWithTags")
    assert {"CreatedAt", "StartedAt"} < own.keys()
    assert {"PullStartedAt", "PullStoppedAt"} < whole.keys()
    probe = described(task, "probe") | {
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 64, "Memory": 128},
    }
    left = described(task, "left") | {
        "KnownStatus": "STOPPED",
        "ExitCode": 0,
        "Limits": {"CPU": 0},
    }
    assert without_times(own) == probe
    assert tagged.pop("TaskTags") == {"team": "経理"}
    assert tagged == whole
    assert [without_times(one) for one in whole.pop("Containers")] == [left, probe]
    assert without_times(whole) == {
        "Cluster": task["clusterArn"],
        "TaskARN": task["taskArn"],
        "Family": "probe",
        "Revision": task["taskDefinitionArn"].rpartition(":")[2],
        "DesiredStatus": "RUNNING",
        "KnownStatus": "RUNNING",
        "Limits": {"CPU": 0.25, "Memory": 512},
        "AvailabilityZone": f"{REGION}a",
        "LaunchType": "FARGATE",
    }


def ask(cloud: Cloud, uri: str, method: str = "GET", **headers: str) -> Answer:
    path = uri.removeprefix(cloud.endpoint)
    return send(cloud.port, request(method, path, {"Host": f"127.0.0.1:{cloud.port}", **headers}))


def test_nobody_is_told_of_a_task_that_has_ended(stack: Stack) -> None:
    _, uri, _ = asked(stack)
    assert uri.startswith(f"{stack.cloud.endpoint}{PREFIX}")
    assert ask(stack.cloud, uri).status == 404


def known() -> Known:
    detail = {"clusterArn": "c", "taskArn": "t/1", "desiredStatus": "RUNNING"}
    definition = {"family": "f", "revision": 1, "containerDefinitions": [{"name": "n"}]}
    return Known(detail, definition, None, [], {})


def test_each_container_has_a_uri_that_nobody_guesses(cloud: Cloud) -> None:
    uris = {cloud.metadata.open("t/1", "n", known) for _ in range(100)}
    assert len(uris) == 100
    assert min(len(uri.rpartition("/")[2]) for uri in uris) >= 32
    for path in (PREFIX, f"{PREFIX}v4", f"{PREFIX}n", f"{PREFIX}../outputs", PREFIX.rstrip("/")):
        assert ask(cloud, path).status in {403, 404}, path


def test_a_page_or_a_foreign_name_is_not_answered_with_the_uri_either(cloud: Cloud) -> None:
    uri = cloud.metadata.open("t/1", "n", known)
    assert ask(cloud, f"{uri}/stats").status == 404
    assert ask(cloud, f"{uri}/task/stats").status == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
        assert ask(cloud, uri, method).status == 405
    for foreign in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": f"evil.example:{cloud.port}"},
        {"Host": "127.0.0.1"},
    ):
        assert ask(cloud, f"{uri}/stats", **foreign).status == 403
