"""Every resource type created for real: what AWS's APIs then say of it."""

import io
import json
import zipfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest

from local.cloud import Cloud
from local.engine.deployment import Evaluation
from local.engine.resources import COMPONENTS, HANDLERS, create_stack
from local.engine.resources.containers import digest
from local.engine.resources.functions import zipped
from local.engine.state import EvaluationError
from local.services.ecs.build import Image
from tests.local.engine.read_back import READS, TAKEN_BACK, Recorded
from tests.local.everything import PROGRAM
from tests.local.programs import REGION, STACK_FILE, write_project

TAGS = {"owner": "batch", "stack": "dev"}
TAGGED = STACK_FILE + "  aws:defaultTags: {tags: {owner: batch, stack: dev}}\n"
PAIRS = [{"Key": "owner", "Value": "batch"}, {"Key": "stack", "Value": "dev"}]


@dataclass
class Made:
    cloud: Cloud
    root: Path
    recorded: Recorded
    evaluation: Evaluation

    def out(self, name: str) -> Any:  # noqa: ANN401 -- JSON
        return self.evaluation.outputs[name]

    def api(self, service: str) -> Any:  # noqa: ANN401 -- boto3
        return self.cloud.client(service)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Generator[Made]:
    root = tmp_path_factory.mktemp("everything")
    (root / "image").mkdir()
    (root / "image" / "Dockerfile").write_text(
        'COPY . /app\nENTRYPOINT ["python", "-m", "batch"]\n'
    )
    (root / "function" / "__pycache__").mkdir(parents=True)
    (root / "function" / "handler.py").write_text("def handle(event, context):\n    return 1\n")
    (root / "function" / "__pycache__" / "handler.pyc").write_bytes(b"x")
    project = write_project(root, PROGRAM, TAGGED)
    with Cloud(0, REGION) as cloud:
        recorded = Recorded(cloud)
        evaluation = create_stack(project, recorded, cloud.images.add)
        recorded.stop()
        yield Made(cloud, root, recorded, evaluation)


def sort_pairs(pairs: list[dict[str, str]]) -> list[dict[str, str]]:
    return sorted(pairs, key=lambda pair: pair["Key"])


def refused(root: Path, program: str, cloud: Cloud) -> str:
    with pytest.raises(EvaluationError) as caught:
        create_stack(write_project(root, program), cloud, cloud.images.add)
    return str(caught.value)


def test_the_program_declares_every_type_there_is_a_handler_for(made: Made) -> None:
    assert {one.type for one in made.evaluation.resources} == {*HANDLERS, *COMPONENTS}


@pytest.mark.slow
def test_all_that_was_written_reads_back_as_it_was_written(made: Made) -> None:
    assert {operation for _, operation, _, _ in made.recorded.writes} == {*READS, *TAKEN_BACK}
    assert made.recorded.differences() == []


def test_what_cannot_be_honoured_is_told_once_with_who_asks_for_it(made: Made) -> None:
    assert made.evaluation.not_honoured == (
        "A map run has at most 500 executions at a time (machine)",
        "Alarms stay silent: AWS services publish no metrics here (alarm, simple)",
        "An archive keeps its events until the cloud stops, whatever its retention (archive)",
        "Container Insights collects nothing (cluster)",
        "Dashboards are recorded, there is no console to show them (board)",
        "FARGATE_SPOT interrupts a task only with --fault spot (cluster)",
        "Lifecycle rules expire nothing (files, repo)",
        "Logs are kept until the cloud stops, whatever their retention (logs)",
        "Messages to addresses outside this cloud are not sent (mail)",
        "NAT gateways are not created (net)",
        "Objects are not encrypted: they are files of this user's (files)",
        "The image is not built: its folder runs in this Python (image)",
        "X-Ray traces nothing (machine)",
    )


def test_a_vpc_has_subnets_by_zone_routes_and_the_s3_endpoint(made: Made) -> None:
    ec2 = made.api("ec2")
    ours = [{"Name": "vpc-id", "Values": [made.out("vpc")]}]
    subnets = {s["SubnetId"]: s for s in ec2.describe_subnets(Filters=ours)["Subnets"]}
    assert set(subnets) == {*made.out("public"), *made.out("private")}
    assert [
        (subnets[s]["CidrBlock"], subnets[s]["AvailabilityZone"], subnets[s]["MapPublicIpOnLaunch"])
        for s in made.out("public")
    ] == [("10.1.64.0/24", f"{REGION}a", True), ("10.1.192.0/24", f"{REGION}b", True)]
    assert [subnets[s]["CidrBlock"] for s in made.out("private")] == [
        "10.1.0.0/18",
        "10.1.128.0/18",
    ]
    gateways = ec2.describe_internet_gateways()["InternetGateways"]
    mine = [g for g in gateways if g["Attachments"][0]["VpcId"] == made.out("vpc")]
    assert len(mine) == 1
    tables = ec2.describe_route_tables(Filters=ours)["RouteTables"]
    to_world = {
        association["SubnetId"]
        for table in tables
        for association in table["Associations"]
        if association.get("SubnetId")
        and any(r.get("GatewayId") == mine[0]["InternetGatewayId"] for r in table["Routes"])
    }
    assert to_world == set(made.out("public"))
    endpoints = ec2.describe_vpc_endpoints()["VpcEndpoints"]
    assert [
        (e["ServiceName"], e["VpcEndpointType"], len(e["RouteTableIds"]))
        for e in endpoints
        if e["VpcId"] == made.out("vpc")
    ] == [(f"com.amazonaws.{REGION}.s3", "Gateway", 4)]


def test_a_security_group_has_its_rules_and_not_the_one_aws_adds(made: Made) -> None:
    ec2 = made.api("ec2")
    group = ec2.describe_security_groups(GroupIds=[made.out("group")])["SecurityGroups"][0]
    assert (group["Description"], group["VpcId"]) == ("The tasks", made.out("vpc"))
    assert [
        (p["IpProtocol"], [pair["GroupId"] for pair in p["UserIdGroupPairs"]])
        for p in group["IpPermissions"]
    ] == [("-1", [made.out("group")])]
    assert [
        (p["IpProtocol"], p["FromPort"], p["ToPort"], p["IpRanges"], p["PrefixListIds"])
        for p in sorted(group["IpPermissionsEgress"], key=lambda p: len(p["PrefixListIds"]))
    ] == [
        ("tcp", 443, 443, [{"CidrIp": "0.0.0.0/0"}], []),
        ("tcp", 443, 443, [], [{"PrefixListId": "pl-61a54008", "Description": "S3"}]),
    ]
    inline = ec2.describe_security_groups(GroupIds=[made.out("inline")])["SecurityGroups"][0]
    assert [p["IpRanges"] for p in inline["IpPermissions"]] == [[{"CidrIp": "10.0.0.0/8"}]]
    assert inline["IpPermissionsEgress"] == []


def test_a_cluster_has_its_settings_and_capacity_providers(made: Made) -> None:
    cluster = made.api("ecs").describe_clusters(
        clusters=[made.out("cluster")], include=["SETTINGS", "TAGS"]
    )["clusters"][0]
    assert cluster["clusterName"] == made.out("clusterName")
    assert cluster["settings"] == [{"name": "containerInsights", "value": "enabled"}]
    assert cluster["capacityProviders"] == ["FARGATE", "FARGATE_SPOT"]
    [default] = cluster["defaultCapacityProviderStrategy"]
    assert (default["capacityProvider"], default["weight"]) == ("FARGATE_SPOT", 1)
    assert {t["key"]: t["value"] for t in cluster["tags"]} == TAGS


def test_a_task_definition_keeps_its_container_and_its_size(made: Made) -> None:
    task = made.api("ecs").describe_task_definition(taskDefinition=made.out("task"))[
        "taskDefinition"
    ]
    assert made.out("task") == f"{made.out('family')}:{made.out('revision')}"
    assert (task["family"], task["cpu"], task["memory"]) == ("fam", "512", "1024")
    assert task["ephemeralStorage"] == {"sizeInGiB": 30}
    assert task["runtimePlatform"] == {
        "cpuArchitecture": "ARM64",
        "operatingSystemFamily": "LINUX",
    }
    assert task["taskRoleArn"] == made.out("role")
    [container] = task["containerDefinitions"]
    assert container["image"] == made.out("image")
    assert container["command"] == ["a b", "c"]


def test_an_images_uri_leads_to_its_folder_and_changes_with_it(made: Made, tmp_path: Path) -> None:
    repository, _, sha = made.out("image").partition("@sha256:")
    name = made.out("repository").partition(":repository/")[2]
    assert repository == f"111122223333.dkr.ecr.{REGION}.amazonaws.com/{name}"
    image = made.cloud.images.find(made.out("image"))
    assert isinstance(image, Image)
    files = image.root
    assert files is not None
    original = (made.root / "image" / "Dockerfile").read_bytes()
    assert (files / "app" / "Dockerfile").read_bytes() == original
    assert sha == digest(made.root / "image")
    (tmp_path / "Dockerfile").write_bytes((made.root / "image" / "Dockerfile").read_bytes())
    assert digest(tmp_path) == sha
    (tmp_path / "Dockerfile").write_text("changed")
    assert digest(tmp_path) != sha


def test_a_role_has_its_trust_its_policy_and_its_tags(made: Made) -> None:
    iam, name = made.api("iam"), made.out("roleName")
    role = iam.get_role(RoleName=name)["Role"]
    assert role["Arn"] == made.out("role")
    assert role["AssumeRolePolicyDocument"]["Statement"][0]["Action"] == "sts:AssumeRole"
    assert sort_pairs(role["Tags"]) == PAIRS
    [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    document = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    assert document["Statement"] == [{"Effect": "Allow", "Action": "*", "Resource": "*"}]
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["AmazonECSTaskExecutionRolePolicy"]


def test_a_key_turns_and_has_its_alias(made: Made) -> None:
    kms = made.api("kms")
    assert kms.get_key_rotation_status(KeyId=made.out("key"))["KeyRotationEnabled"] is True
    assert kms.describe_key(KeyId="alias/sample")["KeyMetadata"]["Arn"] == made.out("key")


def test_a_bucket_is_as_its_side_resources_say(made: Made) -> None:
    s3, bucket = made.api("s3"), made.out("bucket")
    assert bucket.startswith("files-")
    assert made.out("bucketArn") == f"arn:aws:s3:::{bucket}"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == REGION
    assert sort_pairs(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == PAIRS
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    encryption = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]
    [rule] = encryption["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [
        {
            "AllowedOrigins": ["https://app.example"],
            "AllowedMethods": ["PUT"],
            "ExposeHeaders": ["ETag"],
            "MaxAgeSeconds": 60,
        }
    ]
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    assert policy["Statement"][0]["Action"] == "s3:DeleteBucket"
    unfinished, old = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    # MiniStack adds a size to an "And" that has none.
    del old["Filter"]["And"]["ObjectSizeGreaterThan"]
    assert [unfinished, old] == [
        {
            "ID": "unfinished",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        },
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "a/", "Tags": [{"Key": "kind", "Value": "raw"}]}},
            "Expiration": {"Days": 3},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 30},
        },
    ]
    notification = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert notification["EventBridgeConfiguration"] == {}


def test_a_table_has_its_keys_and_its_time_to_live(made: Made) -> None:
    dynamodb = made.api("dynamodb")
    table = dynamodb.describe_table(TableName=made.out("table"))["Table"]
    assert table["KeySchema"] == [
        {"AttributeName": "id", "KeyType": "HASH"},
        {"AttributeName": "at", "KeyType": "RANGE"},
    ]
    ttl = dynamodb.describe_time_to_live(TableName=made.out("table"))["TimeToLiveDescription"]
    assert ttl == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}


def test_a_queue_is_reached_at_its_url_and_has_its_policy(made: Made) -> None:
    sqs = made.api("sqs")
    found = sqs.get_queue_attributes(QueueUrl=made.out("queue"), AttributeNames=["All"])
    attributes = found["Attributes"]
    assert attributes["QueueArn"] == made.out("queueArn")
    assert attributes["MessageRetentionPeriod"] == "1209600"
    assert json.loads(attributes["Policy"])["Statement"][0]["Resource"] == made.out("queueArn")
    assert made.out("queue").startswith(f"{made.cloud.endpoint}/111122223333/dead-")
    assert made.out("fifo").endswith(".fifo")


def test_a_topic_has_its_policy_and_its_subscriber(made: Made) -> None:
    sns = made.api("sns")
    attributes = sns.get_topic_attributes(TopicArn=made.out("topic"))["Attributes"]
    assert attributes["DisplayName"] == "Alerts"
    assert json.loads(attributes["Policy"])["Statement"][0]["Action"] == "sns:Publish"
    [one] = sns.list_subscriptions_by_topic(TopicArn=made.out("topic"))["Subscriptions"]
    assert (one["Protocol"], one["Endpoint"]) == ("email", "a@example.com")


def test_a_state_machine_has_its_definition_role_and_logging(made: Made) -> None:
    machine = made.api("stepfunctions").describe_state_machine(stateMachineArn=made.out("machine"))
    assert json.loads(machine["definition"])["StartAt"] == "A"
    assert machine["roleArn"] == made.out("role")
    destination = {"cloudWatchLogsLogGroup": {"logGroupArn": f"{made.out('logsArn')}:*"}}
    assert machine["loggingConfiguration"] == {
        "level": "ERROR",
        "includeExecutionData": True,
        "destinations": [destination],
    }


def test_a_rule_has_its_two_targets(made: Made) -> None:
    events = made.api("events")
    rule = events.describe_rule(Name=made.out("rule"))
    assert (rule["Arn"], rule["State"]) == (made.out("ruleArn"), "ENABLED")
    assert json.loads(rule["EventPattern"]) == {"source": ["aws.s3"]}
    targets = events.list_targets_by_rule(Rule=made.out("rule"))["Targets"]
    task, machine = sorted(targets, key=lambda target: target["Id"] != "task")
    assert task == {
        "Id": "task",
        "Arn": made.out("cluster"),
        "RoleArn": made.out("role"),
        "InputTransformer": {
            "InputPathsMap": {"key": "$.detail.object.key"},
            "InputTemplate": '{"key": <key>}',
        },
        "EcsParameters": {
            "TaskDefinitionArn": made.out("task"),
            "TaskCount": 1,
            "LaunchType": "FARGATE",
            "PlatformVersion": "1.4.0",
            "PropagateTags": "TASK_DEFINITION",
            "NetworkConfiguration": {
                "awsvpcConfiguration": {
                    "Subnets": made.out("public"),
                    "SecurityGroups": [made.out("group")],
                    "AssignPublicIp": "ENABLED",
                }
            },
        },
    }
    assert machine["Arn"] == made.out("machine")
    assert machine["DeadLetterConfig"] == {"Arn": made.out("queueArn")}
    assert machine["RetryPolicy"] == {
        "MaximumEventAgeInSeconds": 3600,
        "MaximumRetryAttempts": 5,
    }


def test_a_schedule_has_its_time_and_its_task(made: Made) -> None:
    group, name = made.out("schedule").rpartition(":schedule/")[2].split("/")
    assert group == made.out("scheduleGroup")
    schedule = made.api("scheduler").get_schedule(GroupName=group, Name=name)
    assert schedule["ScheduleExpression"] == "cron(0 10 * * ? *)"
    assert schedule["ScheduleExpressionTimezone"] == "Asia/Tokyo"
    assert schedule["State"] == "DISABLED"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15}
    assert schedule["Target"]["Arn"] == made.out("cluster")
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": made.out("queueArn")}
    assert schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
    parameters = schedule["Target"]["EcsParameters"]
    assert parameters["TaskDefinitionArn"] == made.out("task")
    assert parameters["TaskCount"] == 2
    assert parameters["Tags"] == [{"key": "by", "value": "schedule"}]
    assert parameters["CapacityProviderStrategy"] == [{"capacityProvider": "FARGATE", "weight": 1}]
    assert parameters["NetworkConfiguration"]["awsvpcConfiguration"]["AssignPublicIp"] == "ENABLED"


def test_a_function_has_its_settings_and_its_code_from_disk(made: Made) -> None:
    functions = made.api("lambda")
    found = functions.get_function(FunctionName=made.out("function"))
    configuration = found["Configuration"]
    assert configuration["FunctionArn"] == made.out("functionArn")
    assert configuration["Handler"] == "lib.handler.handle"
    assert (configuration["MemorySize"], configuration["Timeout"]) == (256, 9)
    assert configuration["Architectures"] == ["arm64"]
    assert configuration["Environment"] == {"Variables": {"Some_Name": "value"}}
    assert configuration["LoggingConfig"]["LogGroup"] == made.out("logs")
    assert found["Concurrency"] == {"ReservedConcurrentExecutions": 2}
    assert found["Tags"] == TAGS
    retries = functions.get_function_event_invoke_config(FunctionName=made.out("function"))
    assert retries["MaximumRetryAttempts"] == 1
    policy = json.loads(functions.get_policy(FunctionName=made.out("function"))["Policy"])
    [statement] = policy["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"]["ArnLike"]["AWS:SourceArn"] == made.out("ruleArn")


def test_log_groups_and_alarms_are_as_declared(made: Made) -> None:
    [group] = made.api("logs").describe_log_groups(logGroupNamePrefix=made.out("logs"))["logGroups"]
    assert group["retentionInDays"] == 7
    assert made.out("logsArn") == f"arn:aws:logs:{REGION}:111122223333:log-group:{made.out('logs')}"
    alarms = made.api("cloudwatch").describe_alarms(
        AlarmNames=[made.out("alarm"), made.out("simple")]
    )["MetricAlarms"]
    by_name = {alarm["AlarmName"]: alarm for alarm in alarms}
    assert by_name[made.out("alarm")]["AlarmActions"] == [made.out("topic")]
    assert by_name[made.out("alarm")]["EvaluationPeriods"] == 2
    simple = by_name[made.out("simple")]
    assert (simple["Statistic"], simple["TreatMissingData"]) == ("Maximum", "notBreaching")


def test_zipped_code_has_no_bytecode_and_is_the_same_each_time(made: Made) -> None:
    archive = pulumi.AssetArchive(
        {
            "lib": pulumi.FileArchive("function"),
            "one.txt": pulumi.FileAsset("image/Dockerfile"),
            "two.txt": pulumi.StringAsset("二"),
        }
    )
    first = zipped(archive, made.root)
    with zipfile.ZipFile(io.BytesIO(first)) as files:
        assert files.namelist() == ["lib/handler.py", "one.txt", "two.txt"]
        assert files.read("two.txt").decode() == "二"
    assert zipped(archive, made.root) == first


def test_code_that_is_elsewhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the code is a RemoteArchive: give files of the project"):
        zipped(pulumi.RemoteArchive("https://example.com/a.zip"), tmp_path)
    with pytest.raises(FileNotFoundError, match="which is not a folder"):
        zipped(pulumi.FileArchive("absent"), tmp_path)


def test_an_unknown_type_is_named_with_its_urn_and_the_place_to_add_it(
    tmp_path: Path, made: Made
) -> None:
    told = refused(tmp_path, "import pulumi_aws as aws\naws.ec2.Eip('address')\n", made.cloud)
    assert told == (
        "urn:pulumi:dev::sample::pulumi:pulumi:Stack$aws:ec2/eip:Eip::address:"
        " the local cloud cannot make a aws:ec2/eip:Eip:"
        " add a function for it to local/engine/resources/."
    )


def test_what_aws_refuses_is_told_with_the_urn(tmp_path: Path, made: Made) -> None:
    program = """
        import pulumi_aws as aws
        aws.iam.RolePolicy("p", role="absent", policy={"Version": "2012-10-17", "Statement": []})
    """
    told = refused(tmp_path, program, made.cloud)
    assert told.startswith("urn:pulumi:dev::sample::pulumi:pulumi:Stack$aws:iam/rolePolicy:")
    assert "RolePolicy::p: An error occurred (NoSuchEntity) when calling the PutRolePolicy" in told


def test_a_name_longer_than_aws_allows_is_refused(tmp_path: Path, made: Made) -> None:
    told = refused(
        tmp_path,
        f"import pulumi_aws as aws\naws.cloudwatch.EventRule('{'r' * 60}', event_pattern='{{}}')\n",
        made.cloud,
    )
    assert told.endswith("has 68 characters, AWS allows 64: shorten it")


def test_a_context_that_is_not_there_is_refused(tmp_path: Path, made: Made) -> None:
    program = """
        import pulumi_awsx as awsx
        awsx.ecr.Image("i", repository_url="r", context="nowhere")
    """
    told = refused(tmp_path, program, made.cloud)
    assert told.endswith(f"the image's build context {tmp_path / 'nowhere'} is not a folder")


def test_the_endpoint_is_on_loopback(made: Made) -> None:
    assert made.cloud.endpoint.startswith("http://127.0.0.1:")


def test_a_parameter_is_read_by_its_path(made: Made) -> None:
    ssm = made.api("ssm")
    [found] = ssm.get_parameters_by_path(Path="/everything")["Parameters"]
    assert (found["Name"], found["Type"]) == ("/everything/note", "String")
    assert found["Value"] == made.out("queue").rpartition("/")[2]
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/everything/note")
    assert sort_pairs(tags["TagList"]) == PAIRS
