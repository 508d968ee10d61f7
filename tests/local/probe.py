"""A small container image, and the stack a task of it needs, for tests with real processes."""

import json
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from local.cloud import Cloud

T = TypeVar("T")

IMAGE = "111122223333.dkr.ecr.ap-northeast-1.amazonaws.com/probe:1"
LOG_GROUP = "/probe"
REGION = "ap-northeast-1"
ROLE = "arn:aws:iam::111122223333:role/probe"

# What the container can be told to do, by its first argument.
PROGRAM = """
import json, os, signal, sys, time

def main(command, *arguments):
    if command == "exit":
        raise SystemExit(int(arguments[0]))
    if command == "say":
        for line in arguments:
            print(line)
    if command == "show":
        found = {
            "arguments": [os.fsencode(word).hex() for word in sys.argv[1:]],
            "environment": {
                name.decode(): value.hex() for name, value in os.environb.items()
            },
        }
        print(json.dumps(found))
    if command == "both":
        for number in range(50):
            stream = sys.stderr if number % 2 else sys.stdout
            print(f"line {number}", file=stream, flush=True)
    if command == "bytes":
        sys.stdout.buffer.write(bytes.fromhex(arguments[0]))
    if command == "kill":
        os.kill(os.getpid(), int(arguments[0]))
    if command == "wait":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        print("waiting", flush=True)
        time.sleep(600)
    if command == "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
        print("waiting", flush=True)
        for _ in range(6000):
            time.sleep(0.1)
    if command == "parent":
        if os.fork() == 0:
            time.sleep(60)
        print("parent gone", flush=True)
    if command == "write":
        os.makedirs(os.path.dirname(arguments[0]), exist_ok=True)
        with open(arguments[0], "w") as file:
            file.write(arguments[1])
    if command == "read":
        with open(arguments[0]) as file:
            print(file.read())
    if command == "ask":
        import urllib.request
        uri = os.environ["ECS_CONTAINER_METADATA_URI_V4"]
        found = {}
        while found.get("KnownStatus") != "RUNNING":
            found = json.load(urllib.request.urlopen(uri + "/task"))
        print(uri)
        for path in arguments:
            print(urllib.request.urlopen(uri + path).read().decode())

main(*sys.argv[1:])
"""


def write_image(context: Path) -> None:
    """A build context whose program does what its first argument says."""
    context.mkdir(parents=True)
    (context / "__init__.py").write_text("")
    (context / "__main__.py").write_text(PROGRAM)
    (context / "Dockerfile").write_text(
        textwrap.dedent("""\
        FROM python:3.13-slim
        ENV FROM_IMAGE=yes \\
            PATH=/opt/bin:$PATH
        WORKDIR /app
        COPY . /app/probe
        ENTRYPOINT ["python", "-m", "probe"]
        CMD ["exit", "3"]
        """)
    )


@dataclass
class Stack:
    """What a task needs around it: cluster, network, roles, log group."""

    cloud: Cloud
    subnet: str
    group: str

    def define(
        self, family: str = "probe", containers: Sequence[Mapping[str, Any]] = (), **fields: object
    ) -> str:
        own = [{"name": "probe", **container} for container in containers or [{}]]
        answer = self.cloud.client("ecs").register_task_definition(
            family=family,
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            executionRoleArn=ROLE,
            **{"taskRoleArn": ROLE} | fields,
            containerDefinitions=[
                {
                    "image": IMAGE,
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": LOG_GROUP,
                            "awslogs-region": REGION,
                            "awslogs-stream-prefix": "probe",
                        },
                    },
                    **container,
                }
                for container in own
            ],
        )
        return answer["taskDefinition"]["taskDefinitionArn"]

    def request(self, task_definition: str, *command: str, **fields: object) -> dict[str, Any]:
        overrides = [{"name": "probe", "command": list(command)}] if command else []
        return {
            "cluster": "batch",
            "taskDefinition": task_definition,
            "launchType": "FARGATE",
            "networkConfiguration": {
                "awsvpcConfiguration": {"subnets": [self.subnet], "securityGroups": [self.group]}
            },
            "overrides": {"containerOverrides": overrides},
        } | fields

    def run(self, task_definition: str, *command: str, **fields: object) -> dict[str, Any]:
        """Start one task over HTTP and return it as RunTask answers."""
        answer = self.cloud.client("ecs").run_task(
            **self.request(task_definition, *command, **fields)
        )
        assert answer["failures"] == []
        return answer["tasks"][0]

    def task(self, arn: str) -> dict[str, Any]:
        return self.cloud.client("ecs").describe_tasks(cluster="batch", tasks=[arn])["tasks"][0]

    def stopped(self, arn: str) -> dict[str, Any]:
        """The task once it has stopped."""
        ecs = self.cloud.client("ecs")
        return eventually(
            lambda: next(
                (
                    task
                    for task in ecs.describe_tasks(cluster="batch", tasks=[arn])["tasks"]
                    if task["lastStatus"] == "STOPPED"
                ),
                None,
            )
        )

    def running(self, arn: str) -> list[str]:
        """What the container of a task wrote, once it has, and the task is RUNNING.

        Either may come first.
        """

        def look() -> list[str] | None:
            return (self.task(arn)["lastStatus"] == "RUNNING" and self.log(arn)) or None

        return eventually(look)

    def log(self, arn: str, container: str = "probe") -> list[str]:
        stream = f"probe/{container}/{arn.rsplit('/', 1)[-1]}"
        logs = self.cloud.client("logs")
        try:
            answer = logs.get_log_events(
                logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True
            )
        except logs.exceptions.ResourceNotFoundException:
            # The container has not begun.
            return []
        return [event["message"] for event in answer["events"]]


def eventually(look: Callable[[], T | None], seconds: float = 120) -> T:
    """What `look` finds once it finds something, or a failure at the deadline."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if (found := look()) is not None:
            return found
        pause_between_looks(waited)
    raise AssertionError(f"nothing within {seconds} seconds")


def pause_between_looks(waited: float) -> None:
    """Longer the longer was waited: looking takes time from what is waited for."""
    time.sleep(min(max(waited / 5, 0.02), 0.25))


def make_queue(
    cloud: Cloud, name: str, service: str = "events", **condition: Mapping[str, str]
) -> tuple[str, str]:
    """A queue that a service, on a condition, may send to: its URL and ARN."""
    sqs = cloud.client("sqs")
    arn = f"arn:aws:sqs:{cloud.region}:{cloud.account}:{name}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"{service}.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": condition,
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return sqs.create_queue(QueueName=name, Attributes={"Policy": policy})["QueueUrl"], arn


def subscriber(cloud: Cloud, topic: str, name: str) -> str:
    """The URL of a new queue that gets what is published to a topic."""
    url, arn = make_queue(cloud, name, "sns", ArnEquals={"aws:SourceArn": topic})
    cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def make_stack(cloud: Cloud) -> Stack:
    ec2, iam = cloud.client("ec2"), cloud.client("iam")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(VpcId=vpc, GroupName="tasks", Description="tasks")["GroupId"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    rights = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    iam.create_role(RoleName="probe", AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName="probe", PolicyName="all", PolicyDocument=json.dumps(rights))
    cloud.client("ecs").create_cluster(
        clusterName="batch", capacityProviders=["FARGATE", "FARGATE_SPOT"]
    )
    cloud.client("logs").create_log_group(logGroupName=LOG_GROUP)
    return Stack(cloud, subnet, group)


def ended(cloud: Cloud, execution: str) -> dict[str, Any]:
    """What DescribeExecution says of an execution once it has ended."""
    states = cloud.client("stepfunctions")

    def look() -> dict[str, Any] | None:
        found = states.describe_execution(executionArn=execution)
        return None if found["status"] == "RUNNING" else found

    return eventually(look)
