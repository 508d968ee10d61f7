"""Every resource type deployed again into one cloud: unchanged, changed, and no longer declared."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from local.engine.deployment import Counts, Deployment, Evaluation
from local.engine.monitor import update
from local.engine.resources import HANDLERS, CloudProvider
from local.engine.resources.context import Context
from tests.local.everything import PROGRAM
from tests.local.inventory import inventory
from tests.local.programs import REGION, STACK_FILE, write_project

pytestmark = pytest.mark.slow

TAGGED = STACK_FILE + "  aws:defaultTags: {tags: {owner: batch, stack: dev}}\n"
TAGGED_ANEW = STACK_FILE + "  aws:defaultTags: {tags: {owner: data, cost: low}}\n"


@dataclass
class Laptop:
    cloud: Cloud
    root: Path
    deployment: Deployment

    def apply(self, program: str, stack_file: str = TAGGED) -> Evaluation:
        project = write_project(self.root, program, stack_file)
        return update(project, self.deployment, self.provider(project.default_tags))

    def provider(self, tags: dict[str, str]) -> CloudProvider:
        context = Context(self.cloud, self.root, REGION, tags, self.cloud.images.add)
        return CloudProvider(context)

    def api(self, service: str) -> Any:  # noqa: ANN401 -- boto3
        return self.cloud.client(service)


@pytest.fixture
def laptop(tmp_path: Path) -> Generator[Laptop]:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "Dockerfile").write_text('ENTRYPOINT ["python", "-m", "batch"]\n')
    (tmp_path / "function").mkdir()
    (tmp_path / "function" / "handler.py").write_text("def handle(event, context):\n    return 1\n")
    with Cloud(0, REGION) as cloud:
        yield Laptop(cloud, tmp_path, Deployment())


def test_deployed_again_everything_is_there_and_nothing_changes(laptop: Laptop) -> None:
    first = laptop.apply(PROGRAM)
    states = list(laptop.deployment.states.values())
    again = laptop.apply(PROGRAM)
    assert again.counts == Counts(same=len(first.resources))
    assert again.outputs == first.outputs
    provider = laptop.provider({})
    assert all(provider.exists(state) for state in states if state.type in HANDLERS)


def test_new_tags_reach_all_that_has_tags(laptop: Laptop) -> None:
    out = laptop.apply(PROGRAM).outputs
    states = laptop.deployment.states.values()
    taggable = [one for one in states if one.type in HANDLERS and HANDLERS[one.type].tagged]
    counts = laptop.apply(PROGRAM, TAGGED_ANEW).counts
    assert (counts.updated, counts.replaced, counts.deleted) == (len(taggable), 0, 0)
    api, anew = laptop.api, {"owner": "data", "cost": "low"}
    pairs = [
        api("s3").get_bucket_tagging(Bucket=out["bucket"])["TagSet"],
        api("iam").get_role(RoleName=out["roleName"])["Role"]["Tags"],
        api("sns").list_tags_for_resource(ResourceArn=out["topic"])["Tags"],
        api("events").list_tags_for_resource(ResourceARN=out["ruleArn"])["Tags"],
    ]
    assert [{tag["Key"]: tag["Value"] for tag in found} for found in pairs] == [anew] * 4
    lowered = [
        api("ecs").list_tags_for_resource(resourceArn=out["cluster"])["tags"],
        api("ecs").list_tags_for_resource(resourceArn=out["task"])["tags"],
        api("stepfunctions").list_tags_for_resource(resourceArn=out["machine"])["tags"],
    ]
    assert [{tag["key"]: tag["value"] for tag in found} for found in lowered] == [anew] * 3
    assert api("lambda").list_tags(Resource=out["functionArn"])["Tags"] == anew
    assert api("sqs").list_queue_tags(QueueUrl=out["queue"])["Tags"] == anew


def test_no_longer_declared_nothing_of_it_is_left(laptop: Laptop) -> None:
    before = inventory(laptop.cloud)
    laptop.apply(PROGRAM)
    there = inventory(laptop.cloud)
    assert {name for name, found in there.items() if found == before[name]} == set()
    counts = laptop.apply("").counts
    assert counts.deleted > 60
    assert inventory(laptop.cloud) == before
    assert laptop.deployment.states == {}


EDITED = {
    '"value": "enabled"}])': '"value": "disabled"}])',
    "retention_in_days=7": "retention_in_days=14",
    'cpu="512"': 'cpu="1024"',
    'memory="1024"': 'memory="2048"',
    '{"status": "Enabled"}\n': '{"status": "Suspended"}\n',
    'display_name="Alerts"': 'display_name="Alarms"',
    "message_retention_seconds=1209600": "message_retention_seconds=3600",
    '"Type": "Succeed"': '"Type": "Pass", "End": True',
    '["aws.s3"]})': '["aws.ec2"]})',
    "cron(0 10 * * ? *)": "cron(0 11 * * ? *)",
    "memory_size=256": "memory_size=512",
    '"Some_Name": "value"': '"Other_Name": "value"',
    "maximum_retry_attempts=1": "maximum_retry_attempts=2",
    'query_string="fields @message"': 'query_string="fields @timestamp"',
    "evaluation_periods=2": "evaluation_periods=3",
    "from_port=443, to_port=443": "from_port=80, to_port=80",
    '"days_after_initiation": 7': '"days_after_initiation": 3',
}


def test_what_was_edited_reads_back_as_edited(laptop: Laptop) -> None:
    out = laptop.apply(PROGRAM).outputs
    program = PROGRAM
    for old, new in EDITED.items():
        assert old in program
        program = program.replace(old, new)
    (laptop.root / "function" / "handler.py").write_text("def handle(e, c):\n    return 2\n")
    (laptop.root / "image" / "Dockerfile").write_text("ENTRYPOINT []\n")
    after = laptop.apply(program)
    api = laptop.api
    assert after.outputs | {"task": 0, "revision": 0, "image": 0} == out | {
        "task": 0,
        "revision": 0,
        "image": 0,
    }
    [group] = api("logs").describe_log_groups(logGroupNamePrefix=out["logs"])["logGroups"]
    assert group["retentionInDays"] == 14
    task = api("ecs").describe_task_definition(taskDefinition=after.outputs["task"])
    assert (task["taskDefinition"]["cpu"], after.outputs["revision"]) == ("1024", 2)
    assert task["taskDefinition"]["containerDefinitions"][0]["image"] == after.outputs["image"]
    assert after.outputs["image"] != out["image"]
    old = api("ecs").describe_task_definition(taskDefinition=out["task"])["taskDefinition"]
    assert old["status"] == "INACTIVE"
    assert api("s3").get_bucket_versioning(Bucket=out["bucket"])["Status"] == "Suspended"
    topic = api("sns").get_topic_attributes(TopicArn=out["topic"])["Attributes"]
    assert topic["DisplayName"] == "Alarms"
    queue = api("sqs").get_queue_attributes(
        QueueUrl=out["queue"], AttributeNames=["MessageRetentionPeriod"]
    )
    assert queue["Attributes"]["MessageRetentionPeriod"] == "3600"
    machine = api("stepfunctions").describe_state_machine(stateMachineArn=out["machine"])
    assert '"Pass"' in machine["definition"]
    rule = api("events").describe_rule(Name=out["rule"])
    assert "aws.ec2" in rule["EventPattern"]
    assert len(api("events").list_targets_by_rule(Rule=out["rule"])["Targets"]) == 2
    name = out["schedule"].rpartition("/")[2]
    schedule = api("scheduler").get_schedule(GroupName=out["scheduleGroup"], Name=name)
    assert schedule["ScheduleExpression"] == "cron(0 11 * * ? *)"
    function = api("lambda").get_function_configuration(FunctionName=out["function"])
    assert (function["MemorySize"], function["Environment"]["Variables"]) == (
        512,
        {"Other_Name": "value"},
    )
    retries = api("lambda").get_function_event_invoke_config(FunctionName=out["function"])
    assert retries["MaximumRetryAttempts"] == 2
    answer = api("lambda").invoke(FunctionName=out["function"])
    assert answer["Payload"].read() == b"2"
    [query] = api("logs").describe_query_definitions()["queryDefinitions"]
    assert query["queryString"] == "fields @timestamp"
    [alarm] = api("cloudwatch").describe_alarms(AlarmNames=[out["alarm"]])["MetricAlarms"]
    assert alarm["EvaluationPeriods"] == 3
    security = api("ec2").describe_security_groups(GroupIds=[out["group"]])["SecurityGroups"][0]
    assert [p["FromPort"] for p in security["IpPermissionsEgress"]] == [80, 80]


def test_a_retained_repository_is_left_with_its_images_which_no_other_could_be(
    laptop: Laptop,
) -> None:
    program = (
        "import pulumi\nimport pulumi_awsx as awsx\n"
        "kept = pulumi.ResourceOptions(retain_on_delete=KEPT)\n"
        "r = awsx.ecr.Repository('repo', opts=kept)\n"
        "awsx.ecr.Image('image', repository_url=r.url, context='image')\n"
    )
    laptop.apply("KEPT = False\n" + program)
    with pytest.raises(Exception, match="RepositoryNotEmptyException"):
        laptop.apply("")
    laptop.apply("KEPT = True\n" + program)
    laptop.apply("")
    assert len(laptop.api("ecr").describe_repositories()["repositories"]) == 1
    assert laptop.deployment.states == {}


def test_a_container_image_whose_tag_is_made_of_its_path_is_refused_again(laptop: Laptop) -> None:
    program = (
        "import pulumi_awsx as awsx\n"
        "r = awsx.ecr.Repository('repo', image_tag_mutability='IMMUTABLE')\n"
        "awsx.ecr.Image('image', repository_url=r.url, context='image')\n"
    )
    laptop.apply(program)
    (laptop.root / "image" / "Dockerfile").write_text("ENTRYPOINT []\n")
    with pytest.raises(Exception, match="ImageTagAlreadyExistsException"):
        laptop.apply(program)
