"""`apply`: what serves becomes what the edited program declares, and keeps all that it holds."""

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from local import control
from local.cloud import Cloud
from local.engine.deployment import Evaluation
from local.engine.project import Project, load
from local.engine.served import ServedDeployment
from tests.local.command import READY_SECONDS, ended, read_line, run, start
from tests.local.programs import REGION, ROOT, STACK_FILE, write_files

PROGRAM = """
    import pulumi
    import pulumi_aws as aws
    import sample_words

    print("a word of the program's own")
    bucket = aws.s3.Bucket("files")
    topic = aws.sns.Topic("alerts", display_name=sample_words.NAME)
    for name in pulumi.Config().get("queues", "").split():
        aws.sqs.Queue(name)
    pulumi.export("bucket", bucket.id)
    pulumi.export("topic", topic.arn)
"""
WORDS = 'NAME = "{}"\n'


def write(root: Path, name: str = "first", queues: str = "a b", program: str = PROGRAM) -> None:
    write_files(root, program, STACK_FILE + f"  queues: {queues}\n")
    (root / "sample_words.py").write_text(WORDS.format(name))


@dataclass
class Laptop:
    root: Path
    cloud: Cloud
    served: ServedDeployment

    def ask(self, path: str, **query: str) -> tuple[int, Any]:
        return control.answer(path, query)

    def apply(self) -> tuple[int, Any]:
        status, answer = self.ask(control.APPLY, stack="dev")
        while status == 202:
            status, answer = self.ask(control.APPLIED)
        return status, answer

    def queues(self) -> list[str]:
        urls = self.cloud.client("sqs").list_queues().get("QueueUrls", [])
        return sorted(url.rpartition("/")[2].partition("-")[0] for url in urls)

    def display_name(self) -> str:
        topic = self.served.outputs["topic"]
        attributes = self.cloud.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
        return attributes["DisplayName"]


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Laptop]:
    # Another test's program has a module of this name.
    monkeypatch.delitem(sys.modules, "sample_words", raising=False)
    write(tmp_path)
    with Cloud(0, REGION) as cloud:
        served = ServedDeployment(load(tmp_path, "dev"), cloud, cloud.images.add)
        served.create()
        control.serve({"outputs": served.outputs}, served)
        yield Laptop(tmp_path, cloud, served)


def counts(**changed: int) -> dict[str, int]:
    return dict.fromkeys(("created", "updated", "replaced", "deleted", "same"), 0) | changed


def test_an_edit_of_the_stack_file_and_of_a_module_is_applied(laptop: Laptop) -> None:
    before = dict(laptop.served.outputs)
    assert (laptop.queues(), laptop.display_name()) == (["a", "b"], "first")
    write(laptop.root, "the second", "b c d")
    status, answer = laptop.apply()
    assert (status, answer["counts"]) == (
        200,
        counts(created=2, updated=1, deleted=1, same=2),
    )
    assert answer["outputs"] == before
    assert (laptop.queues(), laptop.display_name()) == (["b", "c", "d"], "the second")


def test_applied_again_nothing_changes(laptop: Laptop) -> None:
    assert laptop.apply()[1]["counts"] == counts(same=4)


def test_what_the_cloud_holds_stays(laptop: Laptop) -> None:
    s3, bucket = laptop.cloud.client("s3"), laptop.served.outputs["bucket"]
    s3.put_object(Bucket=bucket, Key="kept", Body=b"x")
    [url, _] = laptop.cloud.client("sqs").list_queues()["QueueUrls"]
    laptop.cloud.client("sqs").send_message(QueueUrl=url, MessageBody="kept")
    write(laptop.root, "the second", "a b c")
    laptop.apply()
    assert s3.get_object(Bucket=bucket, Key="kept")["Body"].read() == b"x"
    messages = laptop.cloud.client("sqs").receive_message(QueueUrl=url)["Messages"]
    assert [message["Body"] for message in messages] == ["kept"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (PROGRAM + "    raise ValueError('no')\n", "__main__.py:13: ValueError: no\n"),
        (PROGRAM + "    aws.sqs.Queue('a')\n", "two resources have this name: rename one.\n"),
    ],
)
def test_a_program_that_is_refused_changes_nothing(
    laptop: Laptop, program: str, reason: str
) -> None:
    write(laptop.root, "the second", "a b c", program)
    status, answer = laptop.apply()
    assert status == 422
    assert reason in answer["message"]
    assert answer["message"].endswith("\nNothing was changed.")
    assert (laptop.queues(), laptop.display_name()) == (["a", "b"], "first")


def test_what_is_protected_is_refused_before_anything_is_changed(laptop: Laptop) -> None:
    protected = PROGRAM.replace('("files")', '("files", opts=pulumi.ResourceOptions(protect=True))')
    write(laptop.root, program=protected)
    laptop.apply()
    gone = protected.replace(
        "bucket = aws.s3.Bucket", "bucket = aws.s3.Bucket if 0 else aws.sqs.Queue"
    )
    write(laptop.root, "the second", "b c", gone)
    status, answer = laptop.apply()
    assert status == 422
    assert answer["message"].endswith(
        "::files: it is no longer declared, and is protected\nNothing was changed."
    )
    assert (laptop.queues(), laptop.display_name()) == (["a", "b"], "first")


def test_what_an_edited_program_expects_to_exist_is_made_before_it_runs(tmp_path: Path) -> None:
    write(tmp_path)
    asked = list[str]()

    def prepare(project: Project) -> list[str]:
        asked.append(project.config["sample:queues"])
        return ["The secret x: made"]

    with Cloud(0, REGION) as cloud:
        served = ServedDeployment(load(tmp_path, "dev"), cloud, cloud.images.add, prepare)
        served.create()
        control.serve({"outputs": served.outputs}, served)
        laptop = Laptop(tmp_path, cloud, served)
        write(tmp_path, queues="c")
        assert laptop.apply()[1]["prepared"] == ["The secret x: made"]
        assert asked == ["c"]
        write(tmp_path, queues="d", program="raise ValueError('no')\n")
        assert laptop.apply()[0] == 422
        assert asked == ["c"]


def test_an_update_that_fails_tells_what_was_done_and_the_next_goes_on(laptop: Laptop) -> None:
    before = dict(laptop.served.outputs)
    bad = (
        PROGRAM
        + "    late = aws.sqs.Queue('late')\n"
        + "    aws.iam.RolePolicy('p', role=late.id.apply(lambda _: 'absent'), policy='{}')\n"
    )
    write(laptop.root, "the second", "b", bad)
    status, answer = laptop.apply()
    assert status == 422
    assert "NoSuchEntity" in answer["message"]
    assert "created aws:sqs/queue:Queue late" in answer["done"]
    assert "  created aws:sqs/queue:Queue late" in answer["message"]
    assert laptop.queues() == ["a", "b", "late"]
    assert laptop.served.outputs == before
    write(laptop.root, "the third one", "b", PROGRAM + "    aws.sqs.Queue('late')\n")
    status, answer = laptop.apply()
    assert status == 200
    assert (laptop.queues(), laptop.display_name()) == (["b", "late"], "the third one")


def test_a_stack_that_does_not_run_here_is_named(laptop: Laptop) -> None:
    status, answer = laptop.ask(control.APPLY, stack="prod")
    assert (status, answer["message"]) == (
        409,
        "The stack 'dev' runs here, not 'prod': give --stack.",
    )


@pytest.mark.slow
def test_one_update_at_a_time(laptop: Laptop, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, update = threading.Event(), laptop.served.update

    def held(project: Project) -> Evaluation:
        assert asked.wait(240)
        return update(project)

    monkeypatch.setattr(laptop.served, "update", held)
    assert laptop.ask(control.APPLY, stack="dev")[0] == 202
    assert laptop.ask(control.APPLY, stack="dev")[0] == 409
    asked.set()
    while laptop.ask(control.APPLIED)[0] == 202:
        pass
    assert laptop.apply()[0] == 200


def test_another_region_takes_another_cloud(laptop: Laptop) -> None:
    write_files(laptop.root, PROGRAM, STACK_FILE.replace(REGION, "us-east-1"))
    status, answer = laptop.apply()
    assert status == 422
    assert "The region is 'us-east-1' now, and what runs has 'ap-northeast-1'" in answer["message"]


@pytest.mark.slow
def test_the_command_tells_what_changed(tmp_path: Path) -> None:
    write(tmp_path)
    with ended(start("up", "--root", str(tmp_path), "--port", "0", "--json")) as process:
        contract = json.loads(read_line(process))
        port = contract["endpoint"].rpartition(":")[2]
        write(tmp_path, "the second", "a c")
        status, out, err = run("apply", "--port", port)
        assert (status, err) == (0, "")
        assert sorted(out.splitlines()[2:-1]) == [
            "  created aws:sqs/queue:Queue c",
            "  deleted aws:sqs/queue:Queue b",
            "  updated aws:sns/topic:Topic alerts",
        ]
        assert out.splitlines()[-1] == "1 created, 1 updated, 0 replaced, 1 deleted, 2 same"
        status, out, err = run("apply", "--port", port, "--json")
        assert (status, err) == (0, "")
        assert json.loads(out.splitlines()[-1]) == {
            **counts(same=4),
            "outputs": contract["outputs"],
        }
        (tmp_path / "__main__.py").write_text("raise ValueError('no')\n")
        status, out, err = run("apply", "--port", port, "--json")
        assert (status, out) == (1, "")
        assert err == "__main__.py:1: ValueError: no\nNothing was changed.\n"
        (tmp_path / "Pulumi.dev.yaml").write_text("- no\n")
        status, out, err = run("apply", "--port", port)
        assert (status, out) == (1, "")
        assert err.startswith("Pulumi.dev.yaml must be a mapping")
        client: Any = boto3.client(
            "sqs",
            endpoint_url=contract["endpoint"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        assert len(client.list_queues()["QueueUrls"]) == 2
        client.close()
    done = subprocess.run(
        [sys.executable, "-m", "local", "apply", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert f"Nothing runs at http://127.0.0.1:{port}" in done.stderr
