"""Arbitrary keys, commands, environments and inputs, thrown at the program as it is deployed.

Every upload goes through S3's HTTP API, the stack's own rules and state machine, to a process that
tells the bytes it got. `HYPOTHESIS_PROFILE=thorough` tries many more.
"""

import dataclasses
import json
import os
import re
from collections.abc import Generator, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from components.asl.job import OVERRIDES_LIMIT, PARENT_EXECUTION
from components.asl.upload import VARIABLES
from local.cloud import Cloud
from local.engine.project import load
from local.engine.resources import create_stack
from local.services.scheduler import schedules
from tests.local.probe import ended, eventually
from tests.recorder import ROOT

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
IMAGE = "registry.example.com/tell:1"


# Prints its arguments and its environment, in hexadecimal.
PROGRAM = """
import json, os, sys
environment = {name.hex(): value.hex() for name, value in os.environb.items()}
print(json.dumps([[os.fsencode(word).hex() for word in sys.argv[1:]], environment]))
"""

# What some language on the way could take for its own.
PECULIAR = [
    "with space",
    " ",
    "a+b",
    "%2F%00%41",
    "\"double\" 'single'",
    'key": "x"}]}, {"y',
    "back\\slash\\u0041\\",
    "$ $HOME ${HOME} $(id) `id` ; id | id && id > x",
    "$states.input $.detail $$.Execution",
    "{% 1 + 1 %}",
    "{%",
    "<key> <bucket> <aws.events.event>",
    "two\nlines\r\n",
    "\t\x0b\x0c\x1b\x7f\x01",
    "受注/取込 データ.csv",
    "😀👩‍👩‍👧",
    "\u2028\u2029\ufeff\u202e\ufffe",
    "e\u0301 \u00e9",
    "../../etc/passwd",
    "/leading//double/./..",
    "folder/",
    "-n --help -- *?[a]",
    "null",
    "true",
    "0",
    "#?&=;:@,",
]
LONG = ["k" * 1024, "漢" * 341, "\x01" * 1024, '"' * 1024, "\\" * 1024, "😀" * 256]


def profile(examples: int) -> settings:
    """The same examples each time, unless more are asked for: those are also made smaller."""
    if THOROUGH:
        return settings(max_examples=50 * examples, deadline=None)
    phases = [Phase.explicit, Phase.generate]
    return settings(max_examples=examples, deadline=None, derandomize=True, phases=phases)


def short(text: str) -> str:
    """The beginning of a text that S3 takes as a key: at most 1,024 bytes."""
    return text.encode()[:1024].decode(errors="ignore")


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
TEXT = ANY_TEXT | st.sampled_from(PECULIAR) | st.lists(st.sampled_from(PECULIAR)).map("".join)
KEYS = st.builds(lambda text, times: short(text * times), TEXT, st.integers(1, 400)).filter(bool)
METADATA = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=80),
    max_size=4,
)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0="), min_size=1, max_size=20
).filter(lambda name: not name.startswith(("LD_", "PYTHON"))) | st.sampled_from(
    ["ENV", "with space", "$x", "{% 1 %}", "a\nb", "受注", '"', "-", "BUCKET", "HOME", "1"]
)


@dataclasses.dataclass(frozen=True)
class Upload:
    key: str
    size: int
    metadata: Mapping[str, str]


UPLOADS = st.builds(Upload, KEYS, st.integers(0, 3) | st.integers(0, 70_000), METADATA)


@dataclasses.dataclass(frozen=True)
class Got:
    """What a container's process was started with."""

    arguments: list[bytes]
    environment: dict[bytes, bytes]

    def variable(self, name: str) -> bytes | None:
        return self.environment.get(name.encode())


@dataclasses.dataclass
class Deployed:
    """The program in the laptop's cloud, with two uploads that take every key of the bucket."""

    cloud: Cloud
    outputs: dict[str, Any]
    seen: set[str] = dataclasses.field(default_factory=set[str])

    @property
    def job(self) -> dict[str, str]:
        return self.outputs["jobs"]["ingest"]

    def put(self, upload: Upload) -> None:
        self.cloud.client("s3").put_object(
            Bucket=self.outputs["uploadBucket"],
            Key=upload.key,
            Body=b"x" * upload.size,
            Metadata=dict(upload.metadata),
        )

    def started(self, count: int) -> list[Got]:
        """What the next `count` containers, and any beside them, told."""
        logs = self.cloud.client("logs")
        pages = logs.get_paginator("filter_log_events")

        def look() -> dict[str, str] | None:
            found = {
                event["logStreamName"]: event["message"]
                for page in pages.paginate(logGroupName=self.job["logGroup"])
                for event in page["events"]
                if event["logStreamName"] not in self.seen
            }
            return found if len(found) >= count else None

        found = eventually(look) if count else (look() or {})
        self.seen |= set(found)
        return [got(message) for message in found.values()]

    def start(self, data: object, machine: str | None = None) -> str:
        answer = self.cloud.client("stepfunctions").start_execution(
            stateMachineArn=machine or self.job["stateMachineArn"], input=json.dumps(data)
        )
        return answer["executionArn"]

    def ended(self, execution: str) -> dict[str, Any]:
        return ended(self.cloud, execution)

    def told(self, output: Mapping[str, str]) -> Got:
        """What the container of a successful execution told."""
        self.seen.add(output["logStream"])
        [event] = self.cloud.client("logs").get_log_events(
            logGroupName=output["logGroup"], logStreamName=output["logStream"], startFromHead=True
        )["events"]
        return got(event["message"])

    def dead_letters(self) -> list[dict[str, Any]]:
        sqs = self.cloud.client("sqs")
        return [
            message
            for upload in self.outputs["uploads"].values()
            for message in sqs.receive_message(
                QueueUrl=upload["deadLetterQueueUrl"], MessageAttributeNames=["All"]
            ).get("Messages", [])
        ]


def got(message: str) -> Got:
    arguments, environment = json.loads(message)
    return Got(
        [bytes.fromhex(word) for word in arguments],
        {bytes.fromhex(name): bytes.fromhex(value) for name, value in environment.items()},
    )


def as_text(word: str) -> str:
    """How a step or a schedule says a word that is to hold no placeholder."""
    return re.sub("<(?=[A-Za-z])", "<<", word)


PECULIAR_ENVIRONMENT = {f"V{number}": text for number, text in enumerate(PECULIAR)}


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployed]:
    context = tmp_path_factory.mktemp("tell")
    program = context / "tell.py"
    program.write_text(PROGRAM)
    (context / "Dockerfile").write_text(f'ENTRYPOINT ["python", "-S", "-E", "{program}"]\n')
    project = load(ROOT, "dev")
    given_words = {
        "job": "ingest",
        "commands": [as_text(word) for word in PECULIAR],
        "environment": {name: as_text(word) for name, word in PECULIAR_ENVIRONMENT.items()},
    }
    once = {"schedule": "rate(1 day)", "enabled": False}
    config = {
        "image": IMAGE,
        "uploads": json.dumps(
            {
                "machine": {"job": "ingest", "wildcard": "*"},
                "direct": {"job": "ingest", "wildcard": "*", "via": "task"},
            }
        ),
        "pipelines": json.dumps(
            {"peculiar": {**once, "steps": [given_words, [given_words, given_words]]}}
        ),
        "schedules": json.dumps({"peculiar-task": {**once, **given_words}}),
    }
    config = {f"{project.name}:{key}": value for key, value in config.items()}
    with Cloud(0, project.region, wait_scale=0.01) as cloud:
        cloud.images.add(IMAGE, context)
        changed = dataclasses.replace(project, config=project.config | config)
        evaluation = create_stack(changed, cloud, cloud.images.add)
        yield Deployed(cloud, evaluation.outputs)


def length(override: Mapping[str, Any]) -> int:
    """Characters of the overrides as JSON: all but control characters as themselves."""
    whole = {"containerOverrides": [override]}
    return len(json.dumps(whole, ensure_ascii=False, separators=(",", ":")))


OF_OBJECT = {
    b"OBJECT_VERSION": b"v" * 36,
    b"OBJECT_SIZE": b"1",
    b"OBJECT_ETAG": b"e" * 32,
    b"OBJECT_SEQUENCER": b"0" * 18,
}


def key_as_variable(got: Got) -> bytes | None:
    """OBJECT_KEY, which is left out where it would not fit beside the argument."""
    [key] = got.arguments
    told = {name: (got.variable(name) or b"").decode() for name in VARIABLES}
    told["OBJECT_KEY"] = key.decode()
    variables = [{"Name": name, "Value": value} for name, value in told.items()]
    override = {"Name": "ingest", "Command": [key.decode()], "Environment": variables}
    return key if length(override) <= OVERRIDES_LIMIT else None


def check_uploads(deployed: Deployed, uploads: Iterable[Upload]) -> None:
    """Each upload starts one task through the state machine and one directly, byte for byte."""
    bucket = deployed.outputs["uploadBucket"].encode()
    expected: list[tuple[bool, bytes, bytes, bytes]] = []
    for upload in uploads:
        deployed.put(upload)
        # An empty object may be a folder marker.
        if upload.size > 0:
            told = upload.key.encode(), bucket, str(upload.size).encode()
            expected.extend([(False, *told), (True, *told)])
    found: list[tuple[bool, bytes | None, bytes | None, bytes | None]] = []
    for got in deployed.started(len(expected)):
        key = got.variable("OBJECT_KEY")
        if got.arguments:
            assert key == key_as_variable(got)
            key = got.arguments[0]
        found.append(
            (bool(got.arguments), key, got.variable("BUCKET"), got.variable("OBJECT_SIZE"))
        )
    assert sorted(found, key=repr) == sorted(expected, key=repr)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [PECULIAR, LONG], ids=["peculiar", "long"])
def test_such_keys_reach_the_container_byte_for_byte(deployed: Deployed, keys: list[str]) -> None:
    check_uploads(deployed, [Upload(key, 1, {}) for key in keys])
    assert deployed.dead_letters() == []


def test_a_key_too_long_to_be_told_twice_is_the_argument_alone() -> None:
    assert [
        key_as_variable(Got([key.encode()], {b"BUCKET": b"b" * 63, **OF_OBJECT})) is None
        for key in LONG
    ] == [*(False, False, True, False, False, False)]


@pytest.mark.slow
@profile(6)
@given(st.lists(UPLOADS, min_size=8, max_size=14, unique_by=lambda upload: upload.key))
def test_any_upload_reaches_the_container_byte_for_byte(
    deployed: Deployed, uploads: list[Upload]
) -> None:
    check_uploads(deployed, uploads)
    assert deployed.dead_letters() == []


def test_the_state_machine_gets_the_size_and_the_key_that_were_uploaded(deployed: Deployed) -> None:
    upload = Upload("\x01受注 {% 1 %}", 4321, {"made-by": '{"a": "<key>"}'})
    check_uploads(deployed, [upload])
    states = deployed.cloud.client("stepfunctions")
    last = states.list_executions(stateMachineArn=deployed.job["stateMachineArn"], maxResults=1)
    execution = states.describe_execution(executionArn=last["executions"][0]["executionArn"])
    detail = json.loads(execution["input"])["detail"]
    assert detail["bucket"]["name"] == deployed.outputs["uploadBucket"]
    assert (detail["object"]["key"], detail["object"]["size"]) == (upload.key, upload.size)


def test_a_key_that_no_process_can_be_told_fails_loudly_on_both_paths(deployed: Deployed) -> None:
    """NUL ends an argument; S3 takes it in a key all the same."""
    states, ecs = deployed.cloud.client("stepfunctions"), deployed.cloud.client("ecs")
    machine, cluster = deployed.job["stateMachineArn"], deployed.outputs["clusterArn"]
    deployed.put(Upload("a\0b", 1, {}))

    def refused() -> dict[str, Any] | None:
        found = states.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"]
        ended = [states.describe_execution(executionArn=run["executionArn"]) for run in found]
        return next((run for run in ended if '"a\\u0000b"' in run["input"]), None)

    def not_started() -> dict[str, Any] | None:
        pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, desiredStatus="STOPPED")
        for page in pages:
            for task in ecs.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]:
                if task.get("stopCode") == "TaskFailedToStart":
                    return task
        return None

    assert eventually(refused)["error"] == "Input.Invalid"
    [container] = eventually(not_started)["containers"]
    assert "has a NUL" in container["reason"]
    assert deployed.started(0) == []


@dataclasses.dataclass(frozen=True)
class Request:
    commands: list[str] | None
    environment: dict[str, str] | None

    @property
    def data(self) -> dict[str, Any]:
        fields = {"commands": self.commands, "environment": self.environment}
        return {name: value for name, value in fields.items() if value is not None}


REQUESTS = st.builds(
    Request,
    st.none() | st.lists(TEXT, max_size=6),
    st.none() | st.dictionaries(NAMES, TEXT, max_size=6),
)


def check_told(got: Got, commands: list[str], environment: Mapping[str, str]) -> None:
    assert got.arguments == [word.encode() for word in commands]
    expected = {name.encode(): value.encode() for name, value in environment.items()}
    assert {name: got.environment.get(name) for name in expected} == expected


@pytest.mark.slow
@profile(6)
@given(st.lists(REQUESTS, min_size=8, max_size=14))
@example([Request(PECULIAR, PECULIAR_ENVIRONMENT)])
def test_any_commands_and_environment_reach_the_container_byte_for_byte(
    deployed: Deployed, requests: list[Request]
) -> None:
    executions = [(request, deployed.start(request.data)) for request in requests]
    for request, execution in executions:
        ended = deployed.ended(execution)
        if not is_request(request.data):
            assert ended["error"] == "Input.Invalid"
            continue
        assert ended["status"] == "SUCCEEDED", ended.get("cause")
        told = deployed.told(json.loads(ended["output"]))
        check_told(told, request.commands or [], request.environment or {})


def test_peculiar_words_of_a_pipeline_reach_its_containers_byte_for_byte(
    deployed: Deployed,
) -> None:
    machine = deployed.outputs["pipelines"]["peculiar"]["stateMachineArn"]
    ended = deployed.ended(deployed.start({}, machine))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    first, beside = json.loads(ended["output"])["steps"]
    for step in (first, *beside):
        check_told(deployed.told(step["output"]), PECULIAR, PECULIAR_ENVIRONMENT)


def test_peculiar_words_of_a_schedule_reach_its_container_byte_for_byte(deployed: Deployed) -> None:
    schedules.fire(deployed.outputs["schedules"]["peculiar-task"])
    [told] = deployed.started(1)
    check_told(told, PECULIAR, PECULIAR_ENVIRONMENT)


JSON_KEYS = st.sampled_from(
    ["commands", "environment", "source", "detail-type", "detail", "bucket", "object", "name"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(PECULIAR),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            JSON_KEYS | st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4
        )
    ),
    max_leaves=12,
)
NEARLY_REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "commands": st.lists(TEXT | JSON, max_size=3) | JSON,
        "environment": st.dictionaries(TEXT | st.just("A=B"), TEXT | JSON, max_size=3) | JSON,
        PARENT_EXECUTION: JSON,
    },
)
NEARLY_DETAILS = st.fixed_dictionaries(
    {
        "bucket": st.fixed_dictionaries({"name": TEXT | JSON}) | JSON,
        "object": st.fixed_dictionaries({"key": KEYS | JSON}) | JSON,
    }
)
NEARLY_UPLOADS = st.fixed_dictionaries(
    {
        "source": st.just("aws.s3") | JSON,
        "detail-type": st.just("Object Created") | JSON,
        "detail": NEARLY_DETAILS | st.lists(NEARLY_DETAILS, max_size=2) | JSON,
    }
)


def is_request(data: object) -> bool:
    match data:
        case dict():
            commands, environment = data.get("commands", []), data.get("environment", {})
        case _:
            return False
    override: dict[str, Any] = {"Name": "ingest"}
    if "commands" in data:
        override["Command"] = commands
    if "environment" in data:
        if not isinstance(environment, dict):
            return False
        override["Environment"] = [{"Name": k, "Value": v} for k, v in environment.items()]
    return (
        data.keys() <= {"commands", "environment", PARENT_EXECUTION}
        and isinstance(commands, list)
        and all(isinstance(word, str) and "\0" not in word for word in commands)
        and all(isinstance(value, str) and "\0" not in value for value in environment.values())
        and all(name and not set("=\0") & set(name) for name in environment)
        and length(override) <= OVERRIDES_LIMIT
    )


def is_upload(data: object) -> bool:
    match data:
        case {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": str(bucket)}, "object": {"key": str(key)}},
        }:
            variables = [{"Name": "BUCKET", "Value": bucket}]
            override = {"Name": "ingest", "Command": [key], "Environment": variables}
            return "\0" not in key + bucket and length(override) <= OVERRIDES_LIMIT
        case _:
            return False


@pytest.mark.slow
@profile(6)
@given(st.lists(JSON | NEARLY_REQUESTS | NEARLY_UPLOADS, min_size=8, max_size=24))
@example(
    [
        {"commands": ["x" * OVERRIDES_LIMIT]},
        {"environment": {"": "x"}},
        {"environment": {"a=b": ""}},
    ]
)
@example([{"commands": ["\0"]}, {"environment": {"a\0": ""}}, {"environment": {"a": "\0"}}])
def test_any_input_ends_in_success_or_is_refused_as_invalid(
    deployed: Deployed, inputs: list[object]
) -> None:
    executions = [deployed.start(data) for data in inputs]
    for data, execution in zip(inputs, executions, strict=True):
        ended = deployed.ended(execution)
        if is_request(data) or is_upload(data):
            assert ended["status"] == "SUCCEEDED", ended.get("cause")
            deployed.told(json.loads(ended["output"]))
        else:
            assert (ended["status"], ended.get("error")) == ("FAILED", "Input.Invalid")
