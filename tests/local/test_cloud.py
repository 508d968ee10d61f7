"""The server itself: where it listens, how it starts, and that nothing of it is left."""

import contextlib
import logging
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from local.cloud import HOST, Cloud, CloudError, PortInUse
from local.ministack import pinned
from local.ministack.pinned import PinnedInternalMoved
from local.services.ecs.images import Images
from tests.local.gate.raw import form
from tests.local.probe import REGION, Stack, eventually, make_stack


@dataclass(frozen=True)
class Here:
    """This process, but for the servers that other tests of it have running."""

    sockets: frozenset[tuple[str, int]]
    processes: frozenset[psutil.Process]

    def listening(self) -> list[tuple[str, int]]:
        return sorted(_listening() - self.sockets)

    def children(self) -> list[psutil.Process]:
        found = psutil.Process().children(recursive=True)
        return [child for child in found if child not in self.processes]


def _listening() -> set[tuple[str, int]]:
    found = psutil.Process().net_connections("inet")
    return {(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN}


@pytest.fixture
def here() -> Here:
    return Here(frozenset(_listening()), frozenset(psutil.Process().children(recursive=True)))


def test_it_listens_on_loopback_only_whatever_is_used(here: Here, cloud: Cloud) -> None:
    cloud.client("s3").list_buckets()
    cloud.client("sqs").create_queue(QueueName="queue")
    cloud.client("iam").list_roles()
    cloud.client("events").list_rules()
    assert here.listening() == [("127.0.0.1", cloud.port)]


def test_every_client_talks_to_this_cloud(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "of-this-machine")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    topics = cloud.client("sns").list_topics()["Topics"]
    identity = cloud.client("sts").get_caller_identity()
    assert topics == []
    assert identity["Account"] == cloud.account == "111122223333"
    assert cloud.client("sns").meta.region_name == cloud.region == "ap-northeast-1"


def test_the_next_cloud_starts_empty_and_answers_with_its_own_address_region_and_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Cloud(0, REGION) as first:
        first.client("s3").create_bucket(
            Bucket="left-over", CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        first.client("sqs").create_queue(QueueName="left-over")
        assert len(first.client("s3").list_buckets()["Buckets"]) == 1
    # As of what is imported while no cloud is open.
    for module in pinned.loaded():
        if hasattr(module, "DEFAULT_HOST"):
            monkeypatch.setattr(module, "DEFAULT_HOST", "localhost")
    with Cloud(0, "eu-west-1", account="444455556666") as second:
        s3 = second.client("s3")
        assert s3.list_buckets()["Buckets"] == []
        assert not second.client("sqs").list_queues().get("QueueUrls")
        url = second.client("sqs").create_queue(QueueName="new")["QueueUrl"]
        topic = second.client("sns").create_topic(Name="new")["TopicArn"]
        s3.create_bucket(
            Bucket="new", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        # Whose it is, no header says.
        post = s3.generate_presigned_post("new", "key")
        assert form(post["url"], post["fields"], b"rows") == (204, b"")
    assert url == f"http://127.0.0.1:{second.port}/444455556666/new"
    assert topic == "arn:aws:sns:eu-west-1:444455556666:new"


def test_two_clouds_at_once_are_refused(cloud: Cloud) -> None:
    with pytest.raises(CloudError, match="another cloud is open in this process"):
        Cloud(0)
    assert cloud.client("sts").get_caller_identity()["Account"] == cloud.account


def test_a_port_in_use_is_one_line_that_names_the_option() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            Cloud(port)
    assert str(caught.value) == (
        f"port {port} is in use: choose another with --port, or stop what listens there"
    )
    with Cloud(port, REGION) as opened:
        assert opened.endpoint == f"http://127.0.0.1:{port}"


def test_without_ministack_one_line_says_what_to_install(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "ministack"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ministack", None)
    with pytest.raises(CloudError) as caught:
        Cloud(0)
    assert str(caught.value) == (
        "MiniStack is not installed: run `make demo`, or `pip install -r requirements-local.txt`"
    )
    assert here.listening() == []


def test_the_environment_of_the_process_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("DOCKER_HOST", "unix:///mine.sock")
    before = dict(os.environ)
    with Cloud(0, REGION):
        assert "AWS_PROFILE" not in os.environ
        assert os.environ["DOCKER_HOST"] != "unix:///mine.sock"
    assert dict(os.environ) == before


@pytest.mark.slow
def test_close_does_not_wait_for_what_is_stubborn(here: Here, images: Images) -> None:
    with Cloud(0, REGION, images=images, max_tasks=20) as opened:
        stack = make_stack(opened)
        # As long as ECS waits at most; the test is over before.
        definition = stack.define(containers=[{"stopTimeout": 120}])
        arns = [
            task["taskArn"]
            for _ in range(2)
            for task in opened.client("ecs").run_task(
                **stack.request(definition, "stubborn", count=10)
            )["tasks"]
        ]
        queued = stack.run(definition, "stubborn")["taskArn"]
        for arn in arns:
            eventually(lambda arn=arn: stack.log(arn) or None)
        assert stack.task(queued)["lastStatus"] == "PROVISIONING"
        children = here.children()
        begun = time.monotonic()
    assert time.monotonic() - begun < 100
    assert len(children) == 20 + 1, "the tasks, and what ends them if this process is killed"
    assert [child for child in children if child.is_running()] == []
    assert here.children() == []


def test_a_request_under_way_as_the_cloud_closes_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    credential = f"test/20260401/{REGION}/s3/aws4_request"
    signed = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00"
    with contextlib.ExitStack() as connections, Cloud(0, REGION) as opened:
        lines = ["PUT /b/k HTTP/1.1", f"Host: {HOST}:{opened.port}", f"Authorization: {signed}"]
        # The body of none of them comes.
        head = "\r\n".join([*lines, "Content-Length: 9", "Expect: 100-continue", "", ""])
        for _ in range(3):
            one = connections.enter_context(socket.create_connection((HOST, opened.port)))
            one.sendall(head.encode())
            assert one.recv(1000).startswith(b"HTTP/1.1 100 ")
        opened.close()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_close_leaves_no_listener_thread_or_scratch_directory(here: Here, images: Images) -> None:
    ran = threading.Event()
    with Cloud(0, REGION, images=images) as opened:
        opened.on_close(ran.set)
        stack = make_stack(opened)
        task = stack.run(stack.define(), "show")["taskArn"]
        stack.stopped(task)
        (line,) = stack.log(task)
    opened.close()
    assert ran.is_set()
    assert here.listening() == []
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"cloud", "ecs-task", "ecs-events", "container", "container-log"}
    home = line.partition('"HOME": "')[2].partition('"')[0]
    assert not Path(bytes.fromhex(home).decode()).parent.exists()


def test_a_part_that_fails_to_install_leaves_nothing_open(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_cloud: Cloud) -> None:
        raise PinnedInternalMoved("ministack.services.x.y is gone")

    monkeypatch.setattr("local.services.ecs.ecs.install", fail)
    with pytest.raises(PinnedInternalMoved, match=r"x\.y is gone"):
        Cloud(0)
    monkeypatch.undo()
    assert here.listening() == []
    with Cloud(0, REGION) as opened:
        assert opened.client("s3").list_buckets()["Buckets"] == []


def test_a_request_is_answered_here_or_passed_on_whoever_sends_it(
    cloud: Cloud, stack: Stack
) -> None:
    definition = stack.define()
    task = stack.run(definition, "show")["taskArn"]
    assert stack.stopped(task)["stopCode"] == "EssentialContainerExited"
    assert cloud.client("ecs").describe_clusters(clusters=["batch"])["clusters"]
    with pytest.raises(cloud.client("ecs").exceptions.ClusterNotFoundException) as refused:
        cloud.client("ecs").stop_task(cluster="none", task=task)
    assert refused.value.response["Error"]["Message"] == "Cluster not found."
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
