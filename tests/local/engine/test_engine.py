"""The stack file as Pulumi reads it, and the program evaluated by a provider of the test's own."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from local.engine.deployment import Resource
from local.engine.monitor import DryProvider, evaluate, evaluate_dry, who_and_where
from local.engine.project import ProjectError, load
from local.engine.state import Created, EvaluationError, Properties, Registration
from tests.local.programs import REGION, ROOT, STACK_FILE, write_files, write_project
from tests.local.threads import taking_turns


class Recorder(DryProvider):
    """Makes nothing, and keeps what it was asked to make."""

    def __init__(self) -> None:
        super().__init__(REGION)
        self.asked: list[Registration] = []
        self._lock = threading.Lock()

    def create(self, registration: Registration) -> Created:
        with self._lock:
            self.asked.append(registration)
        return Created(f"{registration.name}-id", {"arn": f"arn:{registration.name}"})

    def invoke(self, token: str, arguments: Properties) -> Properties:  # noqa: ARG002 -- as Provider
        return who_and_where(token, "111122223333", REGION)


def refusal(root: Path, program: str, stack_file: str = STACK_FILE) -> str:
    with pytest.raises(EvaluationError) as caught:
        evaluate(write_project(root, program, stack_file), Recorder())
    return str(caught.value)


def stack_refusal(root: Path, stack_file: str) -> str:
    write_files(root, "", stack_file)
    with pytest.raises(ProjectError) as caught:
        load(root, "dev")
    return str(caught.value)


def test_scalars_are_the_text_as_written_and_objects_are_json(tmp_path: Path) -> None:
    project = write_project(
        tmp_path,
        "",
        """\
config:
  aws:region: ap-northeast-1
  word: yes
  sample:number: 010
  float: 1.50
  flag: true
  nothing:
  sample:object: {a: 1, on: yes, t: 1:30, day: 2026-01-31, none: null, list: [1.5, "x", true]}
  other:text: 日本
""",
    )
    assert project.config == {
        "aws:region": "ap-northeast-1",
        "sample:word": "yes",
        "sample:number": "010",
        "sample:float": "1.50",
        "sample:flag": "true",
        "sample:nothing": "",
        "sample:object": (
            '{"a":1,"on":"yes","t":"1:30","day":"2026-01-31T00:00:00Z","none":null,'
            '"list":[1.5,"x",true]}'
        ),
        "other:text": "日本",
    }


def test_default_tags_come_from_the_aws_namespace(tmp_path: Path) -> None:
    tagged = STACK_FILE + "  aws:defaultTags: {tags: {owner: batch, cost: 7, own: true}}\n"
    assert write_project(tmp_path, "", tagged).default_tags == {
        "owner": "batch",
        "cost": "7",
        "own": "true",
    }


def test_a_secret_is_refused_with_the_key_and_a_way_out(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, STACK_FILE + "  sample:password: {secure: AAABAK=}\n")
    assert told == (
        "Pulumi.dev.yaml: sample:password has a `secure:` value, which only Pulumi can decrypt:"
        " give a plain one in a stack of your own."
    )


def test_a_secret_deep_in_an_object_is_refused(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, STACK_FILE + "  o: {a: [{b: {secure: AAABAK=}}]}\n")
    assert "sample:o has a `secure:` value" in told


def test_a_key_given_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, STACK_FILE + "  schedules:\n    a: 1\n    b: 2\n    a: 3\n")
    assert told == "Pulumi.dev.yaml is not valid YAML: the key 'a' is there twice (line 6)."


def test_a_merge_key_brings_what_is_not_said(tmp_path: Path) -> None:
    shared = (
        "  sample:x: &x {a: 1, b: {c: 2}}\n"
        "  sample:y: {<<: *x, a: 3}\n"
        "  sample:z: {a: 4, <<: [{d: 5}, *x]}\n"
    )
    config = write_project(tmp_path, "", STACK_FILE + shared).config
    assert [json.loads(config[f"sample:{key}"]) for key in "xyz"] == [
        {"a": 1, "b": {"c": 2}},
        {"a": 3, "b": {"c": 2}},
        {"a": 4, "b": {"c": 2}, "d": 5},
    ]


def test_half_of_a_character_is_refused_with_its_place(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, STACK_FILE + '  o: {a: "\\ud83d"}\n')
    assert told == (
        "Pulumi.dev.yaml is not valid YAML: line 3, column 10: an escape that is no character."
    )


def test_a_key_given_with_and_without_its_namespace_is_refused(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, STACK_FILE + "  jobs: {}\n  sample:jobs: {}\n")
    assert told == "Pulumi.dev.yaml: sample:jobs is there twice: keep one."


def test_a_stack_file_that_is_not_yaml_is_refused_with_its_place(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, "config:\n  a: [1\n  b: 2\n")
    assert told.startswith("Pulumi.dev.yaml is not valid YAML: line 3, column 4: ")
    assert "\n" not in told


def test_a_stack_file_that_is_a_list_is_refused(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, "- a\n")
    assert told == "Pulumi.dev.yaml must be a mapping with `config:` at its top."


def test_a_stack_without_a_region_is_refused(tmp_path: Path) -> None:
    told = stack_refusal(tmp_path, "config: {}\n")
    assert told == "Pulumi.dev.yaml: aws:region is missing: add it under `config`."


def test_an_unknown_stack_is_refused_with_the_ones_there_are(tmp_path: Path) -> None:
    write_files(tmp_path, "")
    with pytest.raises(ProjectError) as caught:
        load(tmp_path, "prod")
    assert str(caught.value) == (
        "There is no stack 'prod' (Pulumi.prod.yaml is missing): choose one of: dev."
    )


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is not a Pulumi project: run this in its folder"):
        load(tmp_path, "dev")


def test_inputs_arrive_plain_and_outputs_come_back(tmp_path: Path) -> None:
    recorder = Recorder()
    found = evaluate(
        write_project(
            tmp_path,
            """
            import pulumi
            import pulumi_aws as aws

            tags = {"Some_Key": pulumi.Output.secret("v")}
            queue = aws.sqs.Queue("q", delay_seconds=5, tags=tags)
            pulumi.export("arn", queue.arn)
            pulumi.export("delay", queue.delay_seconds)
            pulumi.export("id", queue.id)
            pulumi.export("nested", {"a": [queue.arn, 1, None]})
            pulumi.export("secret", pulumi.Output.secret("s"))
            """,
        ),
        recorder,
    )
    urn = "urn:pulumi:dev::sample::pulumi:pulumi:Stack$aws:sqs/queue:Queue::q"
    inputs = {"delaySeconds": 5, "tags": {"Some_Key": "v"}}
    assert recorder.asked == [Registration("aws:sqs/queue:Queue", "q", urn, inputs)]
    assert isinstance(recorder.asked[0].inputs["delaySeconds"], int)
    assert found.outputs == {
        "arn": "arn:q",
        "delay": 5,
        "id": "q-id",
        "nested": {"a": ["arn:q", 1, None]},
        "secret": "s",
    }
    assert found.resources == (Resource("aws:sqs/queue:Queue", "q", urn, "q-id"),)


def test_a_component_of_the_program_is_counted_and_not_created(tmp_path: Path) -> None:
    recorder = Recorder()
    found = evaluate(
        write_project(
            tmp_path,
            """
            import pulumi
            import pulumi_aws as aws

            class Thing(pulumi.ComponentResource):
                def __init__(self, name):
                    super().__init__("sample:index:Thing", name)
                    aws.sns.Topic(name, opts=pulumi.ResourceOptions(parent=self))
                    self.register_outputs({})

            Thing("one")
            """,
        ),
        recorder,
    )
    assert [one.type for one in recorder.asked] == ["aws:sns/topic:Topic"]
    assert {(one.type, one.id) for one in found.resources} == {
        ("sample:index:Thing", ""),
        ("aws:sns/topic:Topic", "one-id"),
    }
    assert recorder.asked[0].urn == (
        "urn:pulumi:dev::sample::sample:index:Thing$aws:sns/topic:Topic::one"
    )


def test_the_program_learns_who_and_where_it_is(tmp_path: Path) -> None:
    program = """
        import pulumi
        import pulumi_aws as aws

        pulumi.export("account", aws.get_caller_identity_output().account_id)
        pulumi.export("region", aws.get_region().region)
        pulumi.export("partition", aws.get_partition_output().partition)
    """
    assert evaluate(write_project(tmp_path, program), Recorder()).outputs == {
        "account": "111122223333",
        "region": "ap-northeast-1",
        "partition": "aws",
    }


def test_a_call_that_has_no_answer_is_named(tmp_path: Path) -> None:
    told = refusal(tmp_path, "import pulumi_aws as aws\naws.ec2.get_vpc(default=True)\n")
    assert told == (
        "The program calls aws:ec2/getVpc:getVpc, which the local engine does not answer:"
        " add it to who_and_where in local/engine/monitor.py."
    )


def test_two_resources_of_one_name_are_refused(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        "import pulumi_aws as aws\naws.sns.Topic('t')\naws.sns.Topic('t')\n",
    )
    assert told == (
        "urn:pulumi:dev::sample::pulumi:pulumi:Stack$aws:sns/topic:Topic::t:"
        " two resources have this name: rename one."
    )


def test_a_provider_that_fails_is_reported_once_with_the_urn(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Failing(Recorder):
        def create(self, registration: Registration) -> Created:
            raise ValueError(f"no {registration.name}\n  for you")

    program = """
        import pulumi_aws as aws
        topic = aws.sns.Topic("t")
        aws.sns.TopicPolicy("p", arn=topic.arn, policy="{}")
    """
    with pytest.raises(EvaluationError) as caught:
        evaluate(write_project(tmp_path, program), Failing())
    assert str(caught.value) == (
        "urn:pulumi:dev::sample::pulumi:pulumi:Stack$aws:sns/topic:Topic::t: no t for you"
    )
    assert capfd.readouterr() == ("", "")


def test_the_programs_own_refusal_is_told_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "sample_settings.py").write_text("class SettingsError(Exception): pass\n")
    told = refusal(
        tmp_path,
        """
        import sample_settings
        raise sample_settings.SettingsError("jobs: one line\\nuploads: another")
        """,
    )
    assert told == "jobs: one line\nuploads: another"


def test_a_missing_configuration_value_is_told_in_pulumis_words(tmp_path: Path) -> None:
    told = refusal(tmp_path, "import pulumi\npulumi.Config().require('jobs')\n")
    assert told.startswith("Missing required configuration variable 'sample:jobs'")


def test_an_error_in_the_program_is_told_with_its_place(tmp_path: Path) -> None:
    told = refusal(tmp_path, "\n\nvalues = {}\nprint(values['absent'])\n")
    assert told == "__main__.py:4: KeyError: 'absent'"


def test_an_error_inside_an_apply_is_told_with_its_place(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        "import pulumi_aws as aws\naws.sns.Topic('t').arn.apply(lambda arn: arn['x'])\n",
    )
    assert told.startswith("__main__.py:2: TypeError: string indices must be integers")


def test_exporting_a_whole_resource_is_refused(tmp_path: Path) -> None:
    told = refusal(
        tmp_path,
        "import pulumi, pulumi_aws as aws\npulumi.export('t', aws.sns.Topic('t'))\n",
    )
    assert told == "The program exports a Topic: export its id, ARN or name instead."


def test_reading_a_resource_that_exists_elsewhere_is_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path, "import pulumi_aws as aws\naws.s3.Bucket.get('b', 'their-bucket')\n")
    assert told == (
        "The program reads aws:s3/bucket:Bucket 'their-bucket', which is not in the local cloud:"
        " let it create what it needs."
    )


def test_one_evaluation_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    program = "import pulumi\npulumi.export('n', pulumi.Config().get('n'))\n"
    first = write_project(tmp_path / "a", program, STACK_FILE + "  n: 1\n")
    second = write_project(tmp_path / "b", program)
    path = list(sys.path)
    assert evaluate(first, Recorder()).outputs == {"n": "1"}
    assert evaluate(second, Recorder()).outputs == {"n": None}
    assert sys.path == path


def test_a_dry_evaluation_makes_up_what_a_cloud_would_answer(tmp_path: Path) -> None:
    found = evaluate_dry(
        write_project(
            tmp_path,
            """
            import pulumi
            import pulumi_aws as aws
            import pulumi_awsx as awsx

            vpc = awsx.ec2.Vpc("net")
            repository = awsx.ecr.Repository("repo")
            topic = aws.sns.Topic("t", name="fixed")
            pulumi.export("subnets", vpc.public_subnet_ids.apply(len))
            pulumi.export("repository", repository.repository.apply(lambda made: made.arn))
            pulumi.export("topic", topic.name)
            """,
        )
    )
    assert found.outputs["subnets"] == 2
    assert found.outputs["topic"] == "fixed"
    assert found.outputs["repository"].startswith("arn:aws:ecr:ap-northeast-1:123456789012:")
    # Of the repository, what is in it counts as well.
    assert len(found.resources) == 4


def test_a_dry_evaluation_imports_no_cloud(tmp_path: Path) -> None:
    write_files(tmp_path, "import pulumi_aws as aws\naws.sns.Topic('t')\n")
    script = (
        "import sys; from pathlib import Path; from local.engine.monitor import evaluate_dry;"
        "from local.engine.project import load; evaluate_dry(load(Path(sys.argv[1]), 'dev'));"
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'boto3', 'ministack'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "[]\n"


def test_children_of_remote_components_that_are_made_at_once_are_each_found(
    tmp_path: Path,
) -> None:
    program = """
        import pulumi
        import pulumi_awsx as awsx
        for number in range(40):
            made = awsx.ecr.Repository(f"r{number}")
            pulumi.export(f"r{number}", made.repository.apply(lambda one: one.arn))
        """
    with taking_turns():
        outputs = evaluate(write_project(tmp_path, program), Recorder()).outputs
    assert outputs == {f"r{number}": f"arn:r{number}" for number in range(40)}
