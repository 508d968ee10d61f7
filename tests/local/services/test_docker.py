"""What no process can stand for runs in a container engine's containers.

The engine is a fake whose containers are processes; `real` is this machine's own, if one answers.
"""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest

from local.cloud import Cloud
from local.commands.screen import PlainScreen
from local.commands.up import Running, show
from local.services.ecs import docker
from local.services.ecs.build import ImageError
from local.services.ecs.docker import EngineError, EngineImage, InEngine
from local.services.ecs.images import Images, UnknownImage
from local.services.ecs.processes import CannotStart, Process
from tests.local import fake_docker
from tests.local.probe import IMAGE, REGION, Stack, eventually, make_stack

DOCKERFILE = """\
FROM scratch
COPY busybox /bin/sh
COPY busybox /bin/sleep
COPY busybox /bin/wget
ENV PATH=/bin
RUN ["/bin/sh", "-c", "true"]
CMD ["/bin/sh", "-c", "echo $GREETING; echo $PRIVATE; exit 3"]
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the engine that this machine now has."""
    return install(tmp_path / "engine", "docker", monkeypatch)


def install(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / "info").write_text("Operating System: Debian")
    program = folder / name
    script = shlex.join([sys.executable, "-I", "-S", fake_docker.__file__])
    program.write_text(f'#!/bin/sh\nexec {script} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}")
    return folder


def write_context(folder: Path) -> Path:
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "busybox").touch()
    return folder


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.slow)])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Stack]:
    folder = tmp_path_factory.mktemp("docker")
    context = write_context(folder / "Job One")
    with pytest.MonkeyPatch.context() as monkeypatch:
        if request.param == "fake":
            install(folder / "engine", "docker", monkeypatch)
        elif not (busybox := Path("/bin/busybox")).is_file():
            pytest.skip("there is no /bin/busybox to make an image of")
        else:
            shutil.copy(busybox, context)
        try:
            engine = docker.find()
        except EngineError as error:
            pytest.skip(str(error))
        if request.param == "real":
            skip_unless_it_runs(engine, context)
        images = Images(docker=engine)
        images.add(IMAGE, context)
        with Cloud(0, REGION, images=images) as cloud:
            yield make_stack(cloud)


def skip_unless_it_runs(engine: docker.Docker, context: Path) -> None:
    """In a sandbox an engine may answer, build and yet start nothing."""
    try:
        image = engine.build(context, "Dockerfile")
    except ImageError:
        pytest.skip(f"{engine} builds no image here")
    tried = subprocess.run(
        [engine.program, "run", "--rm", "--network", "host", image, "/bin/sh", "-c", "exit 0"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        pytest.skip(f"{engine} starts no container here: {tried.stderr.strip()}")


def folder_of(stack: Stack) -> Path:
    """That of the fake."""
    engine = stack.cloud.images.docker
    assert engine is not None
    return Path(engine.program).parent


def commands(folder: Path, name: str) -> list[list[str]]:
    lines = (folder / "commands.jsonl").read_text().splitlines()
    return [words for words in map(json.loads, lines) if words[0] == name]


def exit_codes(task: dict[str, Any]) -> list[int | None]:
    return [container.get("exitCode") for container in task["containers"]]


def test_a_task_runs_in_a_container_of_the_image(stack: Stack) -> None:
    secret = stack.cloud.client("secretsmanager").create_secret(
        Name="private", SecretString="two\nlines"
    )
    definition = stack.define(
        containers=[
            {
                "environment": [{"name": "GREETING", "value": "こんにちは = 'x'"}],
                "secrets": [{"name": "PRIVATE", "valueFrom": secret["ARN"]}],
            }
        ]
    )
    task = stack.stopped(stack.run(definition)["taskArn"])
    assert (task["stopCode"], exit_codes(task)) == ("EssentialContainerExited", [3])
    assert stack.log(task["taskArn"]) == ["こんにちは = 'x'", "two lines"]
    assert containers_left(stack) == ""


def containers_left(stack: Stack) -> str:
    engine = stack.cloud.images.docker
    assert engine is not None
    if (folder_of(stack) / "commands.jsonl").exists():
        return "".join(path.name for path in folder_of(stack).glob("container-*"))
    return engine.ask("ps", "--all", "--quiet", "--filter", "label=fargate-batch")


@pytest.mark.parametrize(
    ("trap", "seconds", "code"),
    [("trap 'echo bye; exit 9' TERM", 120, 9), ("trap 'echo no' TERM", 1, 137)],
)
def test_a_stopped_task_has_its_stop_timeout_to_end(
    stack: Stack, trap: str, seconds: int, code: int
) -> None:
    script = f"{trap}; echo up; while :; do sleep 0.1; done"
    container = {"command": ["/bin/sh", "-c", script], "stopTimeout": seconds}
    definition = stack.define(containers=[container])
    arn = stack.run(definition)["taskArn"]
    eventually(lambda: stack.log(arn) or None)
    stack.cloud.client("ecs").stop_task(cluster="batch", task=arn)
    task = stack.stopped(arn)
    assert (task["stopCode"], exit_codes(task)) == ("UserInitiated", [code])


def test_containers_of_a_task_wait_for_each_others_health(stack: Stack) -> None:
    depends = [{"containerName": "agent", "condition": "HEALTHY"}]
    agent = {
        "name": "agent",
        "essential": False,
        "command": ["/bin/sh", "-c", "echo agent; sleep 60"],
        "healthCheck": {"command": ["CMD-SHELL", "true"], "interval": 60, "timeout": 60},
        "stopTimeout": 1,
    }
    job = {"command": ["/bin/sh", "-c", "echo job"], "dependsOn": depends}
    task = stack.stopped(stack.run(stack.define(containers=[job, agent]))["taskArn"])
    assert exit_codes(task)[0] == 0
    assert stack.log(task["taskArn"]) == ["job"]


def test_a_program_that_the_image_has_not_cannot_start(stack: Stack) -> None:
    task = stack.stopped(stack.run(stack.define(), "no-such-program")["taskArn"])
    assert task["stopCode"] == "TaskFailedToStart"
    [container] = task["containers"]
    assert container["reason"].startswith("CannotStartContainerError: ")
    assert "no-such-program" in container["reason"]
    assert containers_left(stack) == ""


def test_an_image_that_the_engine_cannot_pull_is_told_as_ecs_does(stack: Stack) -> None:
    image = "registry.invalid/team/etl:1"
    task = stack.stopped(stack.run(stack.define(containers=[{"image": image}]))["taskArn"])
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(
        "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to "
        f"resolve ref {image}: "
    )


@pytest.mark.parametrize("stack", [pytest.param("real", marks=pytest.mark.slow)], indirect=True)
def test_a_container_reaches_the_cloud_on_loopback(stack: Stack) -> None:
    script = "wget -q -O - $AWS_ENDPOINT_URL/ 2>&1"
    arn = stack.run(stack.define(), "/bin/sh", "-c", script)["taskArn"]
    stack.stopped(arn)
    assert "refused" not in (said := "\n".join(stack.log(arn)))
    assert said


@pytest.mark.parametrize("stack", ["fake"], indirect=True)
def test_a_container_is_made_as_its_definition_says(stack: Stack) -> None:
    point = {"sourceVolume": "shared", "containerPath": "/mnt/shared", "readOnly": True}
    container = {
        "command": ["-c", "exit 99"],
        "entryPoint": ["/bin/sh", "-e"],
        "environment": [{"name": "GREETING", "value": "hello"}],
        "linuxParameters": {"initProcessEnabled": True},
        "mountPoints": [point, {**point, "containerPath": "/mnt/own", "readOnly": False}],
        "readonlyRootFilesystem": True,
        "stopTimeout": 7,
        "ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": 2048}],
        "user": "1000:1000",
    }
    efs = {"fileSystemId": "fs-12345678", "transitEncryption": "ENABLED"}
    definition = stack.define(
        containers=[container], volumes=[{"name": "shared", "efsVolumeConfiguration": efs}]
    )
    task = stack.stopped(stack.run(definition)["taskArn"])
    created = commands(folder_of(stack), "create")[-1]
    named = f"fargate-batch-{task['taskArn'].rpartition('/')[2][:12]}-probe"
    volume, writable = (word for word in created if word.startswith("--mount="))
    [[_, _, image, *_]] = commands(folder_of(stack), "build")
    variables = sorted(word for word in created if word.startswith("--env="))
    assert [word for word in created if word not in variables] == [
        *("create", "--name", named, "--label", "fargate-batch", "--network", "host"),
        *("--stop-timeout", "7", "--memory", "512m", "--memory-swap", "512m"),
        *("--user", "1000:1000", "--read-only", "--init", "--ulimit=nofile=1024:2048"),
        *(volume, writable, "--entrypoint", "/bin/sh", image, "-e", "-c", "exit 99"),
    ]
    assert image.startswith("fargate-batch/job-one-")
    assert volume.endswith("/fs-12345678/root,target=/mnt/shared,readonly")
    assert writable.endswith("/fs-12345678/root,target=/mnt/own")
    # No value is on the command line, which others can read.
    assert variables == [
        f"--env={name}"
        for name in (
            *("AWS_ACCESS_KEY_ID", "AWS_CONFIG_FILE", "AWS_DEFAULT_REGION"),
            *("AWS_EC2_METADATA_DISABLED", "AWS_ENDPOINT_URL", "AWS_EXECUTION_ENV", "AWS_REGION"),
            *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE"),
            *("ECS_CONTAINER_METADATA_URI_V4", "GREETING"),
        )
    ]
    [ended] = task["containers"]
    assert (ended["exitCode"], ended["reason"]) == (
        99,
        "OutOfMemoryError: Container killed due to memory usage",
    )


def test_only_what_no_process_can_do_is_built_by_the_engine(fake: Path, tmp_path: Path) -> None:
    context = write_context(tmp_path / "Job One")
    images = Images(docker=docker.find())
    images.build_in(tmp_path / "builds")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "Dockerfile").write_text("FROM python:3.13\nCMD python -V\n")
    images.add("plain:1", plain)
    images.add("job:1", context)
    assert not isinstance(images.find("plain:1"), EngineImage)
    built = images.find("job:1")
    assert isinstance(built, EngineImage)
    assert images.find("job:1") is built
    assert [(words[4], words[5]) for words in commands(fake, "build")] == [
        (str(context / "Dockerfile"), str(context))
    ]
    assert images.lacking == {"Job One/Dockerfile"}


def told(images: Images, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `up` says of a stack of nothing but images."""
    evaluation = Mock(resources=[], not_honoured=())
    show(PlainScreen(), Running(Mock(images=images), evaluation, 0.1, Mock()), "dev")
    return capsys.readouterr().out.splitlines()[2:]


def test_up_lists_what_runs_in_containers(
    fake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fake / "info").write_text("Operating System: Docker Desktop")
    images = Images(docker=docker.find())
    assert told(images, capsys) == []
    images.build_in(tmp_path / "builds")
    images.add("job:1", write_context(tmp_path / "Job One"))
    for uri in ("job:1", "registry.example/etl:1"):
        images.find(uri)
    assert told(images, capsys) == [
        "Run in containers, by docker 99.0:",
        "  - Job One/Dockerfile",
        "  - registry.example/etl:1",
        "Containers reach this cloud only with host networking enabled in Docker Desktop",
    ]
    without = Images()
    with pytest.raises(UnknownImage):
        without.find("registry.example/etl:1")
    assert told(without, capsys) == [
        "With --docker, images that no process can stand for run in containers."
    ]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ('{"Status": "exited", "ExitCode": 4}', 4),
        # Its command line was killed, or lost the engine: the container is killed, too.
        ('{"Status": "running", "ExitCode": 0}', 137),
    ],
)
def test_a_container_whose_command_line_ends_at_once_is_seen_to_end(state: str, code: int) -> None:
    """It may be gone, and waited for, before the engine is asked how the container is."""
    engine, client, ended = (
        Mock(),
        subprocess.Popen(["/bin/sh", "-c", ":"], stdout=subprocess.PIPE),
        Event(),
    )
    client.wait()
    engine.ask.side_effect = ["id", state, state]
    engine.start.return_value, engine.removal.return_value = client, ["/bin/sh", "-c", ":"]
    container = InEngine(EngineImage(engine, "image"), "name", {}, [], {}, {}, None, Mock())
    process = Process(container, Mock(), Mock(), lambda _: ended.set())
    assert (ended.wait(120), process.exit_code) == (True, code)


def test_an_engine_that_does_not_answer_is_a_reason_like_another(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Mock(side_effect=subprocess.TimeoutExpired("docker", 60))
    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(EngineError) as caught:
        docker.find()
    assert "(docker: it did not answer within 60 seconds)" in str(caught.value)
    with pytest.raises(CannotStart, match="it did not answer"):
        docker.Docker(str(fake / "docker"), {}).ask("inspect")


@pytest.mark.parametrize("stack", ["fake"], indirect=True)
def test_a_value_that_the_command_line_itself_would_read_is_not_in_its_environment(
    stack: Stack,
) -> None:
    host = [{"name": "DOCKER_HOST", "value": "tcp://nowhere"}, {"name": "PATH", "value": "/bin"}]
    definition = stack.define(containers=[{"environment": host}])
    script = "echo $DOCKER_HOST $PATH"
    task = stack.stopped(stack.run(definition, "/bin/sh", "-c", script)["taskArn"])
    assert stack.log(task["taskArn"]) == ["tcp://nowhere /bin"]
    assert "--env=DOCKER_HOST=tcp://nowhere" in commands(folder_of(stack), "create")[-1]


def test_the_engine_that_answers_is_taken(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (str(docker.find()), docker.find().limit) == ("docker 99.0", None)
    assert docker.find().removal("c")[-5:] == [
        str(fake / "docker"),
        *("rm", "--force", "--volumes", "c"),
    ]
    (fake / "info").write_text("Operating System: Docker Desktop")
    assert docker.find().limit == (
        "Containers reach this cloud only with host networking enabled in Docker Desktop"
    )
    (fake / "info").unlink()
    with pytest.raises(EngineError) as caught:
        docker.find()
    assert str(caught.value) == (
        "No container engine answers (docker: Cannot connect to the Docker daemon. Is the docker "
        "daemon running?): start it, or leave --docker out."
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="neither docker nor podman in the PATH"):
        docker.find()
    install(tmp_path / "other", "podman", monkeypatch)
    podman = docker.find()
    assert str(podman) == "podman 99.0"
    assert podman.removal("c")[-6:] == ["rm", "--force", "--time", "0", "--volumes", "c"]
