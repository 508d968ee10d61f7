"""State machines with the rights they need, and what became of their executions."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.cloud import Cloud
from local.shapes import Json
from tests.local.probe import Stack, ended, eventually

ROLE = "arn:aws:iam::111122223333:role/services"
STATES = "arn:aws:states:ap-northeast-1:111122223333"
TASK = "arn:aws:states:::ecs:runTask.sync"
CHILD = "arn:aws:states:::states:startExecution.sync:2"


def make_role(cloud: Cloud, name: str = "services") -> str:
    """A role that every service may assume and that may do everything."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Service": [
                        f"{service}.amazonaws.com"
                        for service in ("states", "events", "scheduler", "lambda")
                    ]
                },
                "Action": "sts:AssumeRole",
            }
        ],
    }
    rights = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    iam = cloud.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=json.dumps(rights))
    return f"arn:aws:iam::111122223333:role/{name}"


@dataclass
class Machines:
    """Step Functions of one cloud."""

    cloud: Cloud

    def create(self, name: str, states: Mapping[str, Any], **fields: Json) -> str:
        """A JSONata state machine that starts at its first state."""
        definition = {"QueryLanguage": "JSONata", "StartAt": next(iter(states)), "States": states}
        answer = self.cloud.client("stepfunctions").create_state_machine(
            name=name, roleArn=ROLE, definition=json.dumps(definition | fields)
        )
        return answer["stateMachineArn"]

    def start(self, machine: str, data: Json = None) -> str:
        answer = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=machine, input=json.dumps({} if data is None else data)
        )
        return answer["executionArn"]

    def ended(self, execution: str) -> dict[str, Any]:
        return ended(self.cloud, execution)

    def run(self, machine: str, data: Json = None) -> dict[str, Any]:
        return self.ended(self.start(machine, data))

    def outcome(self, states: Mapping[str, Any], data: Json = None, **fields: Json) -> Json:
        """The output of a machine of these states, or its error and cause."""
        name = f"m{time.monotonic_ns()}"
        ended = self.run(self.create(name, states, **fields), data)
        if ended["status"] == "SUCCEEDED":
            return json.loads(ended["output"])
        return ended["status"], ended.get("error"), ended.get("cause")

    def is_gone(self, machine: str) -> bool:
        """Whether a state machine that is deleted is gone, once it is."""
        states = self.cloud.client("stepfunctions")

        def gone() -> bool | None:
            try:
                states.describe_state_machine(stateMachineArn=machine)
            except states.exceptions.StateMachineDoesNotExist:
                return True
            return None

        return eventually(gone)

    def history(self, execution: str) -> list[dict[str, Any]]:
        return self.cloud.client("stepfunctions").get_execution_history(executionArn=execution)[
            "events"
        ]

    def executions(self, machine: str) -> list[dict[str, Any]]:
        return self.cloud.client("stepfunctions").list_executions(stateMachineArn=machine)[
            "executions"
        ]


@dataclass
class Waiting:
    """A state that sends its input to a queue and waits until the test says how it ended."""

    machines: Machines

    def __post_init__(self) -> None:
        sqs = self.machines.cloud.client("sqs")
        self.queue = sqs.create_queue(QueueName="waiting")["QueueUrl"]

    @property
    def states(self) -> dict[str, Any]:
        body = {"item": "{% $states.input %}", "token": "{% $states.context.Task.Token %}"}
        return {
            "Ask": {
                "Type": "Task",
                "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Arguments": {"QueueUrl": self.queue, "MessageBody": body},
                "End": True,
            }
        }

    def before(self, name: str) -> dict[str, Any]:
        """The same, with another state behind it."""
        state = {key: value for key, value in self.states["Ask"].items() if key != "End"}
        return {"Ask": state | {"Next": name}}

    def asked(self) -> tuple[Json, str]:
        """An item that waits now, and its token."""
        sqs = self.machines.cloud.client("sqs")

        def look() -> dict[str, Any] | None:
            for found in sqs.receive_message(QueueUrl=self.queue).get("Messages", []):
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=found["ReceiptHandle"])
                return json.loads(found["Body"])
            return None

        message = eventually(look)
        return message["item"], message["token"]

    def succeed(self) -> Json:
        """Let the next one that waits succeed with its item doubled; the item."""
        item, token = self.asked()
        states = self.machines.cloud.client("stepfunctions")
        states.send_task_success(taskToken=token, output=json.dumps(item * 2))
        return item

    def fail(self) -> Json:
        """Let the next one that waits fail; its item."""
        item, token = self.asked()
        states = self.machines.cloud.client("stepfunctions")
        states.send_task_failure(taskToken=token, error="Bad", cause=str(item))
        return item


def run_task(stack: Stack, definition: str, command: Json, **fields: Json) -> dict[str, Any]:
    """A task state that runs one container to its end."""
    return {
        "Type": "Task",
        "Resource": TASK,
        "Arguments": {
            "Cluster": "batch",
            "TaskDefinition": definition,
            "LaunchType": "FARGATE",
            "NetworkConfiguration": {
                "AwsvpcConfiguration": {"Subnets": [stack.subnet], "SecurityGroups": [stack.group]}
            },
            "Overrides": {"ContainerOverrides": [{"Name": "probe", "Command": command}]},
        },
        "End": True,
    } | fields
