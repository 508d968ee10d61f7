"""`python -m local` as people and scripts run it: output, exit statuses, signals."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Generator
from functools import partial
from itertools import takewhile
from pathlib import Path

import boto3
import psutil
import pytest

from local.commands import main
from local.commands.errors import CommandError
from local.commands.hints import DEFAULT_PORT, command_line
from local.commands.screen import PlainScreen, Screen
from local.commands.stack import Stack
from local.commands.terminal import RichScreen
from local.instance import read_token
from operate import guarded
from tests.local.command import READY_SECONDS, ended, environment, free_port, read_line, run, start
from tests.local.probe import eventually
from tests.local.programs import REGION, ROOT, STACK_FILE, write_files

PROGRAM = """
    import json
    import pulumi
    import pulumi_aws as aws
    import pulumi_awsx as awsx

    from components import StackIndex, TaskEventLogger

    print("a word of the program's own")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": ["ecs-tasks.amazonaws.com", "states.amazonaws.com"]},
            }
        ],
    }
    role = aws.iam.Role("role", assume_role_policy=trust)
    allowed = aws.iam.RolePolicy(
        "role",
        role=role.name,
        policy={
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
        },
    )
    vpc = awsx.ec2.Vpc(
        "net", number_of_availability_zones=1, subnet_specs=[{"type": "Public"}],
    )
    group = aws.ec2.SecurityGroup("tasks", vpc_id=vpc.vpc_id)
    cluster = aws.ecs.Cluster("cluster")
    logs = aws.cloudwatch.LogGroup("job")
    events = TaskEventLogger("task-events", {"cluster_arn": cluster.arn})
    image = awsx.ecr.Image("image", repository_url="example.com/job", context="image")
    task = aws.ecs.TaskDefinition(
        "job",
        family="job",
        cpu="256",
        memory="512",
        network_mode="awsvpc",
        requires_compatibilities=["FARGATE"],
        execution_role_arn=role.arn,
        task_role_arn=role.arn,
        container_definitions=pulumi.Output.json_dumps(
            [
                {
                    "name": "job",
                    "image": image.image_uri,
                    "essential": True,
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": logs.name,
                            "awslogs-region": "ap-northeast-1",
                            "awslogs-stream-prefix": "job",
                        },
                    },
                }
            ]
        ),
    )
    machine = aws.sfn.StateMachine(
        "job",
        name="sample-dev-job-job",
        role_arn=role.arn,
        definition=pulumi.Output.json_dumps(
            {
                "QueryLanguage": "JSONata",
                "StartAt": "Run",
                "States": {
                    "Run": {
                        "Type": "Task",
                        "Resource": "arn:aws:states:::ecs:runTask.sync",
                        "Arguments": {
                            "Cluster": cluster.arn,
                            "TaskDefinition": task.arn,
                            "LaunchType": "FARGATE",
                            "Group": "{% 'execution:' & $states.context.Execution.Name %}",
                            "NetworkConfiguration": {
                                "AwsvpcConfiguration": {
                                    "Subnets": vpc.public_subnet_ids,
                                    "SecurityGroups": [group.id],
                                    "AssignPublicIp": "ENABLED",
                                }
                            },
                            "Overrides": {
                                "ContainerOverrides": [
                                    {"Name": "job", "Command": "{% $states.input.commands %}"}
                                ]
                            },
                        },
                        "End": True,
                    }
                },
            }
        ),
        opts=pulumi.ResourceOptions(depends_on=[allowed]),
    )
    schedules = aws.scheduler.ScheduleGroup("schedules")
    outputs = {
        "clusterArn": cluster.arn,
        "jobs": {
            "job": {
                "taskDefinitionArn": task.arn,
                "stateMachineArn": machine.arn,
                "logGroup": logs.name,
            }
        },
        "uploadBucket": aws.s3.Bucket("uploads").id,
        "taskEventLogGroup": events.log_group_name,
    }
    StackIndex("index", {"outputs": outputs})
    for name, value in outputs.items():
        pulumi.export(name, value)
"""
JOB = """
import os
import sys
import time

if sys.argv[1] == "environments":
    with open(f"/proc/{os.getppid()}/environ", "rb") as file:
        print(*(pair.split(b"=")[0].decode() for pair in file.read().split(b"\\0")))
    sys.exit()
print("arguments", *sys.argv[1:], flush=True)
if sys.argv[1] == "sleep":
    time.sleep(600)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sample")
    write_files(root, PROGRAM)
    (root / "image").mkdir()
    (root / "image" / "Dockerfile").write_text(
        'WORKDIR /app\nCOPY . image\nENTRYPOINT ["python", "-m", "image"]\n'
    )
    (root / "image" / "__init__.py").touch()
    (root / "image" / "__main__.py").write_text(JOB)
    return root


@pytest.fixture(scope="module")
def served(sample: Path) -> Generator[tuple[int, dict[str, object]]]:
    """`up --json` of the sample program: its port and what it printed."""
    with ended(start("up", "--root", str(sample), "--port", "0", "--json")) as process:
        contract = json.loads(read_line(process))
        yield int(contract["endpoint"].rpartition(":")[2]), contract


def test_json_is_one_line_with_endpoint_region_and_outputs(
    served: tuple[int, dict[str, object]],
) -> None:
    port, contract = served
    assert list(contract) == ["endpoint", "region", "outputs"]
    assert contract["endpoint"] == f"http://127.0.0.1:{port}"
    assert contract["region"] == REGION
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/_fargate-batch/outputs",
        headers={"Authorization": f"Bearer {read_token(port)}"},
        method="POST",
    )
    with urllib.request.urlopen(asked, timeout=120) as answer:  # noqa: S310 - loopback
        assert json.load(answer) == contract


def test_the_cloud_serves_any_client_with_its_access_key(
    served: tuple[int, dict[str, object]],
) -> None:
    _, contract = served
    outputs = contract["outputs"]
    assert isinstance(outputs, dict)
    s3 = boto3.client(
        "s3",
        endpoint_url=str(contract["endpoint"]),
        region_name=REGION,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="any",
    )
    s3.put_object(Bucket=outputs["uploadBucket"], Key="a b/日本.csv", Body=b"x")
    listed = s3.list_objects_v2(Bucket=outputs["uploadBucket"])
    assert [entry.get("Key") for entry in listed.get("Contents", [])] == ["a b/日本.csv"]
    s3.close()


@pytest.mark.slow
def test_start_prints_the_log_and_ends_as_the_container_does(
    served: tuple[int, dict[str, object]],
) -> None:
    port, _ = served
    of = ("--port", str(port))
    arguments = ("--", "7", "--flag", "日 本")
    status, out, err = run("start", "job", "--raw", "--exit-code", *of, *arguments)
    assert out == "arguments 7 --flag 日 本\n"
    assert status == 7
    assert err.endswith("failed: exit code 7: Essential container in task exited\n")
    status, out, _ = run("start", "job", "--raw", *of, "--", "0")
    assert (status, out) == (0, "arguments 0\n")

    status, out, _ = run("logs", "job", "--raw", *of)
    assert status == 0
    assert out.endswith("arguments 7 --flag 日 本\narguments 0\n")

    status, out, _ = run("runs", *of)
    titles, *rows = [line.split("\t") for line in out.splitlines()[:3]]
    assert status == 0
    assert titles[1:5] == ["status", "name", "kind", "started by"]
    assert [row[1:4] for row in rows] == [["succeeded", "job", "job"], ["failed", "job", "job"]]
    assert [row[4].rpartition(", ")[2] for row in rows] == ["by hand"] * 2


@pytest.mark.slow
def test_a_key_in_the_table_of_runs_is_escaped(
    served: tuple[int, dict[str, object]],
) -> None:
    port, contract = served
    outputs = contract["outputs"]
    assert isinstance(outputs, dict)
    states = Stack(str(contract["endpoint"]), REGION, outputs).client("stepfunctions")
    event = {
        "source": "aws.s3",
        "detail": {"bucket": {"name": "b"}, "object": {"key": "t/\n\x1b[2J" + "k" * 999}},
        "commands": ["0"],
    }
    states.start_execution(
        stateMachineArn=outputs["jobs"]["job"]["stateMachineArn"], input=json.dumps(event)
    )

    def told() -> str | None:
        out = run("runs", "--port", str(port))[1]
        ended = (row for row in out.splitlines() if "\tsucceeded\t" in row)
        return next((row for row in ended if "\tupload t/" in row), None)

    assert rf"\tupload t/\n\x1b[2J{'k' * 999}\t".replace(r"\t", "\t") in eventually(told)


@pytest.mark.slow
def test_asking_for_what_the_stack_has_not_says_what_it_has(
    served: tuple[int, dict[str, object]],
) -> None:
    port, _ = served
    assert run("logs", "absent", "--port", str(port)) == (
        2,
        "",
        "no such run or job: absent (there are: job)\n",
    )
    assert run("fire", "absent", "--port", str(port)) == (
        2,
        "",
        "no such schedule or pipeline: absent (the stack has none)\n",
    )


def test_a_port_in_use_is_refused_at_once(
    served: tuple[int, dict[str, object]], sample: Path
) -> None:
    port, _ = served
    assert run("up", "--root", str(sample), "--port", str(port)) == (
        2,
        "",
        f"port {port} is in use: choose another with --port, or stop what listens there\n",
    )


@pytest.mark.parametrize("command", [["runs"], ["logs", "job"], ["fire", "a"], ["start", "job"]])
def test_asking_where_nothing_runs_says_how_to_start_it(command: list[str]) -> None:
    port = free_port()
    assert run(*command, "--port", str(port)) == (
        2,
        "",
        (
            f"Nothing runs at http://127.0.0.1:{port}: start it with"
            f" `{command_line('up', port=port)}`, or give its --port.\n"
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stack_file", "message"),
    [
        (
            "config: [\n",
            r"Pulumi\.dev\.yaml is not valid YAML: line 2, column 1: .+",
        ),
        ("- a\n", r"Pulumi\.dev\.yaml must be a mapping with `config:` at its top\."),
        ("", r"Pulumi\.dev\.yaml: aws:region is missing: add it under `config`\."),
    ],
)
def test_a_bad_stack_file_is_one_line(tmp_path: Path, stack_file: str, message: str) -> None:
    write_files(tmp_path, "", stack_file)
    status, out, err = run("up", "--root", str(tmp_path), "--port", "0")
    assert (status, out) == (2, "")
    assert re.fullmatch(message + r"\n", err)


def wrong(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """A command that is refused before anything is done, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guarded, "install", lambda: None)
        status = main(arguments)
    written = capsys.readouterr()
    return status, written.out, written.err


@pytest.mark.parametrize("name", ["../x", "", "a/b", "a\n"])
def test_a_stack_name_is_no_path(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = wrong(capsys, "up", "--stack", name)
    assert (status, out) == (2, "")
    assert err.endswith("up: argument --stack: a stack's name is letters, digits, - _ .\n")


@pytest.mark.parametrize("last", ["0", "10001", "many"])
def test_a_number_of_runs_that_cannot_be_is_a_wrong_use(
    last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = wrong(capsys, "runs", "--last", last)
    assert (status, out) == (2, "")
    assert err.endswith(f"argument --last: {last} is no number from 1 to 10000\n")


@pytest.mark.parametrize(
    ("executable", "printed"),
    [
        (".venv/bin/python", ".venv/bin/python -m local runs"),
        ("my env/bin/python", "'my env/bin/python' -m local runs"),
        ("/opt/python/bin/python3", "/opt/python/bin/python3 -m local runs"),
    ],
)
def test_a_command_to_copy_names_the_interpreter_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, executable: str, printed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / executable))
    assert command_line("runs", port=DEFAULT_PORT) == printed
    assert command_line("runs", port=4000) == f"{printed} --port 4000"


@pytest.mark.parametrize("screen", [PlainScreen, RichScreen])
def test_control_characters_are_shown_as_escapes(
    screen: type[Screen], capsys: pytest.CaptureFixture[str]
) -> None:
    key, shown = "a\n\x1b[31m\tb\x01\u202e 日本.csv", r"a\n\x1b[31m\tb\x01\u202e 日本.csv"
    on = screen()
    on.heading(key)
    on.line(key)
    on.event("rule", key)
    on.verdict(key, good=False)
    on.table(("key",), [(key,)])
    out = capsys.readouterr().out
    assert out.count(shown) == 5
    assert {one for one in out if not one.isprintable()} == {"\n"}


@pytest.mark.slow
def test_an_unknown_stack_is_one_line(tmp_path: Path) -> None:
    write_files(tmp_path, "")
    assert run("demo", "--stack", "prod", "--root", str(tmp_path)) == (
        2,
        "Creating the prod stack on this machine ...\n",
        "There is no stack 'prod' (Pulumi.prod.yaml is missing): choose one of: dev.\n",
    )


@pytest.mark.slow
def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    absent = tmp_path / "absent.csv"
    assert run("demo", str(absent)) == (
        2,
        "",
        f"There is no file {absent}: give a CSV, JSON Lines or Excel (.xlsx) file.\n",
    )


@pytest.mark.slow
def test_what_the_program_refuses_is_told_without_a_traceback(tmp_path: Path) -> None:
    write_files(tmp_path, "import pulumi\nraise pulumi.RunError('one: line\\ntwo: line')\n")
    assert run("up", "--root", str(tmp_path), "--port", "0") == (1, "", "one: line\ntwo: line\n")


@pytest.mark.slow
def test_without_ministack_it_says_how_to_install_it(tmp_path: Path) -> None:
    write_files(tmp_path, "")
    script = textwrap.dedent(
        f"""
        import sys

        sys.modules["ministack"] = None
        from local.commands import main

        sys.exit(main(["up", "--root", {str(tmp_path)!r}, "--port", "0"]))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"MiniStack is not installed: run `make demo`.*\n", done.stderr)


@pytest.mark.slow
def test_docker_without_an_engine_is_one_line(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run("up", "--root", str(sample), "--port", "0", "--docker") == (
        2,
        "",
        "There is neither docker nor podman in the PATH: install one, or leave --docker out.\n",
    )


def test_no_command_shows_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = wrong(capsys)
    assert (status, out) == (2, "")
    assert err == "python -m local: the following arguments are required: COMMAND\n"


@pytest.mark.slow
def test_up_tells_what_there_is_and_how_to_use_it(sample: Path) -> None:
    with ended(start("up", "--root", str(sample), "--port", "0")) as process:
        lines = list(takewhile("Stop with Ctrl-C.\n".__ne__, iter(partial(read_line, process), "")))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=READY_SECONDS)
    text = "".join(lines)
    assert re.search(r"^The dev stack: 34 resources in \d+\.\d s$", text, re.MULTILINE)
    assert re.search(r"^  jobs\.job\.logGroup +job-[0-9a-f]{7}$", text, re.MULTILINE)
    copy = re.search(
        r"aws --endpoint-url http://127\.0\.0\.1:\d+ .* s3 cp (\S+) s3://\S+/orders\.csv$",
        text,
        re.MULTILINE,
    )
    assert copy is not None
    assert (ROOT / copy[1]).is_file()
    assert "  - NAT gateways" not in text
    assert (process.returncode, out) == (130, "")
    assert err == "a word of the program's own\n"


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_a_signal_ends_the_cloud_and_its_running_task(
    sample: Path, number: signal.Signals, status: int
) -> None:
    with ended(start("up", "--root", str(sample), "--port", "0", "--json")) as process:
        contract = json.loads(read_line(process))
        port = contract["endpoint"].rpartition(":")[2]
        with ended(start("start", "job", "--port", port, "--", "sleep")) as waiting:
            assert read_line(waiting).endswith("  arguments sleep\n")
            tasks = children(process)
            assert len(tasks) >= 1
            process.send_signal(number)
            assert process.wait(READY_SECONDS) == status
        _, still = psutil.wait_procs(tasks, timeout=READY_SECONDS)
        assert still == []
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_what_pip_reads_is_handed_over_apart_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "local" / "commands").mkdir(parents=True)
    shutil.copy(ROOT / "local" / "__main__.py", tmp_path / "local")
    (tmp_path / "local" / "commands" / "__init__.py").write_text(
        "import os\n"
        "def main(arguments):\n"
        "    names = ('PIP_INDEX_URL', 'https_proxy', 'DOCKER_HOST', 'AWS_PROFILE', 'SECRET')\n"
        "    print(*(os.environ.get(name) for name in names), *arguments)\n"
        "    print(b'packages.example' in open('/proc/self/environ', 'rb').read())\n"
        "    return 0\n"
    )
    ran = subprocess.run(
        [sys.executable, "-m", "local", "a b"],
        cwd=tmp_path,
        env={
            **environment(),
            "https_proxy": "http://proxy.example",
            "DOCKER_HOST": "tcp://engine",
            "SECRET": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    told = (
        "https://someone:secret@packages.example/simple http://proxy.example tcp://engine "
        "None None a b"
    )
    assert (ran.stdout.splitlines(), ran.stderr) == ([told, "False"], "")


HOSTILE = "\x1b]0;title\x07\x1b]52;c;Y2xpcA==\x07\x1b[2J\x9b2J\rback\u202e"


def on_a_terminal(*arguments: str) -> bytes:
    """What a command writes to a terminal, both its output and its errors."""
    primary, secondary = pty.openpty()
    command = [sys.executable, "-m", "local", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**environment(), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=secondary,
        stderr=secondary,
    ) as process:
        os.close(secondary)
        written = b""
        # Linux tells the end of a terminal as an error.
        with contextlib.suppress(OSError):
            while chunk := os.read(primary, 65536):
                written += chunk
        os.close(primary)
        process.wait(READY_SECONDS)
    return written


def assert_harmless(written: bytes) -> None:
    assert b"\x1b]" not in written
    assert b"\x07" not in written
    assert b"\x1b[2J" not in written
    assert b"\xc2\x9b" not in written
    assert b"\rback" not in written
    assert "\u202e".encode() not in written


@pytest.mark.slow
def test_what_a_task_writes_does_nothing_to_a_terminal_and_is_the_same_in_a_pipe(
    served: tuple[int, dict[str, object]],
) -> None:
    port = str(served[0])
    written = on_a_terminal("start", "job", "--port", port, "--", "0", HOSTILE)
    assert_harmless(written)
    assert b"\\x1b]0;title\\x07" in written
    assert_harmless(on_a_terminal("logs", "job", "--port", port))
    assert_harmless(on_a_terminal("logs", HOSTILE, "--port", port))
    assert_harmless(on_a_terminal("up", "--fault", HOSTILE))
    assert_harmless(on_a_terminal("runs", "--limit", HOSTILE))
    assert_harmless(on_a_terminal("runs", "--port", port))
    assert_harmless(on_a_terminal("logs", "job", "--raw", "--port", port))
    assert_harmless(on_a_terminal("logs", "job", "--json", "--port", port))
    status, out, _ = run("logs", "job", "--raw", "--port", port)
    assert (status, HOSTILE.replace("\r", "\n") in out.replace("\r", "\n")) == (0, True)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="there is no /proc here")
def test_a_task_finds_nothing_of_the_developers_environment_in_its_parents(
    served: tuple[int, dict[str, object]],
) -> None:
    port, _ = served
    status, out, _ = run("start", "job", "--port", str(port), "--", "environments")
    names = out.split()
    assert status == 0
    assert "PATH" in names
    outside = ("AWS_", "HTTP", "GITHUB_", "PIP_")
    assert [name for name in names if name.startswith(outside)] == []


@pytest.mark.slow
def test_kill_9_leaves_no_task_and_no_folder(sample: Path) -> None:
    with ended(start("up", "--root", str(sample), "--port", "0", "--json")) as process:
        port = int(json.loads(read_line(process))["endpoint"].rpartition(":")[2])
        with ended(start("start", "job", "--port", str(port), "--", "sleep")) as follower:
            assert read_line(follower).endswith("arguments sleep\n")
            children = psutil.Process(process.pid).children(recursive=True)
            homes = [child.cwd() for child in children if "image" in child.cmdline()]
            assert len(homes) == 1
            scratch = next(one for one in Path(homes[0]).parents if one.name == "tasks").parent
            process.kill()
            process.wait()
            gone, alive = psutil.wait_procs(children, timeout=READY_SECONDS)
            assert len(gone) >= 2, "the task and what ends it"
            assert alive == []
    assert not scratch.exists()
    assert read_token(port) is None


@pytest.mark.slow
@pytest.mark.parametrize("command", [["logs", "job", "--follow"], ["start", "job", "--", "sleep"]])
def test_the_end_of_the_stack_ends_a_command_in_one_line(sample: Path, command: list[str]) -> None:
    with ended(start("up", "--root", str(sample), "--port", "0", "--json")) as serving:
        endpoint = json.loads(read_line(serving))["endpoint"]
        port = endpoint.rpartition(":")[2]
        since = ("--since", "1h") if command[0] == "logs" else ()
        if command[0] == "logs":
            assert run("start", "job", "--port", port, "--", "0")[0] == 0
        with ended(start(*command[:2], "--port", port, *since, *command[2:])) as asking:
            assert "  arguments " in read_line(asking)
            serving.send_signal(signal.SIGINT)
            assert serving.wait(READY_SECONDS) == 130
            _, err = asking.communicate(timeout=READY_SECONDS)
    assert asking.returncode == 1
    assert err.splitlines()[-1] == f"The stack at {endpoint} has stopped."
    assert "Traceback" not in err


def test_a_client_does_not_ask_again_where_nothing_listens() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    client = Stack(endpoint, REGION, {}).client("logs")
    asked: list[object] = []
    client.meta.events.register("before-send.logs.*", lambda request, **_: asked.append(request))
    with pytest.raises(CommandError, match=f"^The stack at {endpoint} has stopped\\.$") as raised:
        client.describe_log_streams(logGroupName="any")
    assert len(asked) == 1
    assert raised.value.status == 1


def wait_until_it_catches_signals(process: subprocess.Popen[str]) -> None:
    """Python itself catches SIGINT from its start, SIGTERM only the program does."""
    deadline = time.monotonic() + READY_SECONDS
    bit = 1 << (signal.SIGTERM - 1)
    while time.monotonic() < deadline:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        assert caught is not None
        if int(caught[1], 16) & bit:
            return
        time.sleep(0.005)
    pytest.fail("the program did not start in time")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads which signals are caught from /proc")
@pytest.mark.parametrize("delay", [0.0, 0.15, 0.4, 0.8, 1.3, 1.9, 2.6])
def test_ctrl_c_at_any_moment_leaves_nothing(sample: Path, delay: float) -> None:
    with ended(start("demo", "--root", str(sample))) as process:
        wait_until_it_catches_signals(process)
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=READY_SECONDS)
        # 0: the tour was over.
        assert process.returncode in {130, *([0] if delay else [])}
        assert "Traceback" not in err


def test_ctrl_c_as_a_command_begins_anew_waits_until_it_is_heard() -> None:
    """With less of an environment: nothing hears it in between but Python itself."""
    code = (
        "import os, signal\n"
        "import local.__main__ as command\n"
        "os.execve = lambda *_: print(*sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))\n"
        "command._begin_with_little()\n"
    )
    begun = [sys.executable, "-c", code]
    held = subprocess.run(begun, cwd=ROOT, env=environment(), capture_output=True, check=True)
    assert held.stdout.split() == [b"2", b"15"]
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = start("runs")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=READY_SECONDS)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_command_begins_anew_with_its_own_variables_however_much_it_hands_over() -> None:
    code = (
        "import os\n"
        "import local.__main__ as command\n"
        "os.execve = lambda _, __, kept: print(*sorted(kept))\n"
        "command._begin_with_little()\n"
    )
    own = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", "PYTHON_GIL": "1"}
    secret = dict.fromkeys(("PYTHON_TOKEN", "PYTHONS_API_TOKEN", "LC_A_B", "COVERAGE_TOKEN"), "x")
    handed = {"PIP_INDEX_URL": "x", "DOCKER_AUTH_CONFIG": "x" * 100_000}
    begun = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**own, **secret, **handed},
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=True,
    )
    assert begun.stdout.split() == sorted([*own, "_FARGATE_BATCH_ENVIRONMENT"])


@pytest.mark.slow
def test_a_reader_that_goes_away_ends_the_command_quietly(sample: Path) -> None:
    process = start("up", "--root", str(sample), "--port", "0")
    assert process.stdout is not None
    process.stdout.close()
    with ended(process):
        assert process.wait(READY_SECONDS) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "a word of the program's own\n"


@pytest.mark.slow
def test_the_stack_file_is_the_only_source_of_the_region(tmp_path: Path) -> None:
    write_files(
        tmp_path,
        "import os\nprint(sorted(k for k in os.environ if k == 'AWS_PROFILE'))\n",
        STACK_FILE,
    )
    with ended(start("up", "--root", str(tmp_path), "--port", "0", "--json")) as process:
        assert json.loads(read_line(process))["region"] == REGION
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=READY_SECONDS)
    assert err == "[]\n"
