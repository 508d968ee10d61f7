"""What AWS's APIs are asked to write, and what they say of it when they are asked to read it."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.model import OperationModel

from local.cloud import Cloud

Json = Any
Read = Callable[[Any, Json, Json], Json]
"""The service's API, a request that wrote, and its answer → what is read."""


class Recorded:
    """A cloud whose writing requests are kept: service, operation, request and answer."""

    def __init__(self, cloud: Cloud) -> None:
        self.account = cloud.account
        self.images = cloud.images
        self.writes: list[tuple[str, str, Json, Json]] = []
        self._cloud = cloud
        self._heard: set[str] = set()
        self._over = False

    def stop(self) -> None:
        """Keep no more: what a test itself asks the cloud to write is not looked at."""
        self._over = True

    def client(self, service: str, /) -> Any:  # noqa: ANN401 -- boto3
        client = self._cloud.client(service)
        if service not in self._heard:
            self._heard.add(service)
            events = client.meta.events
            events.register_first("before-parameter-build.*.*", _keep)
            events.register_last("after-call.*.*", lambda **of: self._wrote(service, **of))
        return client

    def _wrote(
        self, service: str, *, model: OperationModel, context: Json, parsed: Json, **_of: object
    ) -> None:
        if not self._over and not model.name.startswith(("BatchGet", "Describe", "Get", "List")):
            self.writes.append((service, model.name, context["written"], parsed))

    def differences(self) -> list[str]:
        """A line for each value that was written and is not read."""
        found: list[str] = []
        for service, operation, written, answer in self.writes:
            if operation in TAKEN_BACK:
                continue
            read = READS[operation](self._cloud.client(service), written, answer)
            known = set(_leaves(read))
            asked = {name: it for name, it in written.items() if name not in NEVER_READ}
            found += [
                f"{service} {operation}: {name} is {value}"
                for name, value in _leaves(asked)
                if (name, value) not in known
            ]
        return found


def _keep(params: Json, context: Json, **_of: object) -> None:
    context["written"] = {name: it for name, it in params.items() if name != "Code"}


def _leaves(value: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """Each scalar with its member's name, however the API writes it, in JSON texts, too."""
    match value:
        case Mapping():
            lower = {str(key).lower().removeprefix("tag"): it for key, it in value.items()}
            for key, it in (("key", "value"), ("attributename", "attributevalue")):
                if it in lower and key in lower and (key != "key" or len(lower) == len((key, it))):
                    yield from _leaves(lower[it], str(lower[key]).lower())
                    return
            for key, it in value.items():
                yield from _leaves(it, str(key).lower())
        case list() | tuple():
            for it in value:
                yield from _leaves(it, name)
        case str() if value[:1] in {"{", "["}:
            try:
                yield from _leaves(json.loads(value), name)
            except ValueError:
                yield name, value
        case bool():
            yield name, str(value).lower()
        case int() | float():
            yield name, f"{value:g}"
        case _:
            yield name, str(value)


TAKEN_BACK = {"RevokeSecurityGroupEgress"}
# Idempotency, and what says how the answer is to be.
NEVER_READ = {"ReturnSubscriptionArn", "StatementId"}


def _ec2(describe: str, ids: str, key: str) -> Read:
    """What a resource is described as, by its id in the answer or the request."""

    def read(ec2: Json, written: Json, answer: Json) -> Json:
        inside = (one for one in answer.values() if isinstance(one, dict))
        found = next(one[key] for one in (answer, *inside, written) if key in one)
        many: Json = getattr(ec2, describe)(**{ids: [found]})
        tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [found]}])["Tags"]
        return many, [{"Key": tag["Key"], "Value": tag["Value"]} for tag in tags], _KINDS

    return read


# Which kind is tagged is told by the id.
_KINDS = [
    {"ResourceType": kind}
    for kind in ("vpc", "subnet", "internet-gateway", "route-table", "vpc-endpoint")
] + [{"ResourceType": kind} for kind in ("security-group", "security-group-rule")]
_group = _ec2("describe_security_groups", "GroupIds", "GroupId")
_table = _ec2("describe_route_tables", "RouteTableIds", "RouteTableId")


def _rules(ec2: Json, written: Json, answer: Json) -> Json:
    ids = [one["SecurityGroupRuleId"] for one in answer["SecurityGroupRules"]]
    rules = ec2.describe_security_group_rules(SecurityGroupRuleIds=ids)
    return _group(ec2, written, {}), rules


def _function(functions: Json, written: Json, _answer: Json) -> Json:
    return functions.get_function(FunctionName=written["FunctionName"])


def _bucket(operation: str) -> Read:
    return lambda s3, w, _a: [getattr(s3, operation)(Bucket=w["Bucket"]), {"Bucket": w["Bucket"]}]


READS: Mapping[str, Read] = {
    "AddPermission": lambda c, w, _a: [c.get_policy(FunctionName=w["FunctionName"]), w],
    "AssociateRouteTable": _table,
    "AttachInternetGateway": _ec2(
        "describe_internet_gateways", "InternetGatewayIds", "InternetGatewayId"
    ),
    "AttachRolePolicy": lambda c, w, _a: [
        c.list_attached_role_policies(RoleName=w["RoleName"]),
        {"RoleName": w["RoleName"]},
    ],
    "AuthorizeSecurityGroupEgress": _rules,
    "AuthorizeSecurityGroupIngress": _rules,
    "CreateAlias": lambda c, w, _a: c.list_aliases(KeyId=w["TargetKeyId"]),
    "CreateArchive": lambda c, w, _a: c.describe_archive(ArchiveName=w["ArchiveName"]),
    "CreateBucket": _bucket("get_bucket_location"),
    "CreateCluster": lambda c, w, _a: c.describe_clusters(
        clusters=[w["clusterName"]], include=["SETTINGS", "TAGS", "CONFIGURATIONS"]
    ),
    "CreateFunction": lambda c, w, a: [_function(c, w, a), {"Publish": w.get("Publish")}],
    "CreateInternetGateway": _ec2(
        "describe_internet_gateways", "InternetGatewayIds", "InternetGatewayId"
    ),
    "CreateKey": lambda c, _w, a: [
        c.describe_key(KeyId=a["KeyMetadata"]["KeyId"]),
        c.list_resource_tags(KeyId=a["KeyMetadata"]["KeyId"]),
    ],
    "CreateLogGroup": lambda c, w, _a: [
        c.describe_log_groups(logGroupNamePrefix=w["logGroupName"]),
        c.list_tags_log_group(logGroupName=w["logGroupName"]),
    ],
    "CreateQueue": lambda c, _w, a: [
        c.get_queue_attributes(QueueUrl=a["QueueUrl"], AttributeNames=["All"]),
        c.list_queue_tags(QueueUrl=a["QueueUrl"]),
        {"QueueName": a["QueueUrl"].rpartition("/")[2]},
    ],
    "CreateRepository": lambda c, w, a: [
        c.describe_repositories(repositoryNames=[w["repositoryName"]]),
        c.list_tags_for_resource(resourceArn=a["repository"]["repositoryArn"]),
    ],
    "CreateRole": lambda c, w, _a: c.get_role(RoleName=w["RoleName"]),
    "CreateRoute": _table,
    "CreateRouteTable": _table,
    "CreateSchedule": lambda c, w, _a: c.get_schedule(Name=w["Name"], GroupName=w["GroupName"]),
    "CreateScheduleGroup": lambda c, w, a: [
        c.get_schedule_group(Name=w["Name"]),
        c.list_tags_for_resource(ResourceArn=a["ScheduleGroupArn"]),
    ],
    "CreateSecurityGroup": _group,
    "CreateStateMachine": lambda c, _w, a: [
        c.describe_state_machine(stateMachineArn=a["stateMachineArn"]),
        c.list_tags_for_resource(resourceArn=a["stateMachineArn"]),
    ],
    "CreateSubnet": _ec2("describe_subnets", "SubnetIds", "SubnetId"),
    "CreateTable": lambda c, w, a: [
        c.describe_table(TableName=w["TableName"]),
        c.list_tags_of_resource(ResourceArn=a["TableDescription"]["TableArn"]),
    ],
    "CreateTopic": lambda c, _w, a: [
        c.get_topic_attributes(TopicArn=a["TopicArn"]),
        c.list_tags_for_resource(ResourceArn=a["TopicArn"]),
        {"Name": a["TopicArn"].rpartition(":")[2]},
    ],
    "CreateVpc": _ec2("describe_vpcs", "VpcIds", "VpcId"),
    "CreateVpcEndpoint": _ec2("describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpointId"),
    "EnableKeyRotation": lambda c, w, _a: [c.get_key_rotation_status(KeyId=w["KeyId"]), w],
    "ModifySubnetAttribute": lambda c, w, _a: [
        {"value": one["MapPublicIpOnLaunch"], "SubnetId": one["SubnetId"]}
        for one in c.describe_subnets(SubnetIds=[w["SubnetId"]])["Subnets"]
    ],
    "ModifyVpcAttribute": lambda c, w, _a: [
        c.describe_vpc_attribute(VpcId=w["VpcId"], Attribute=name[0].lower() + name[1:])
        for name in w
        if name != "VpcId"
    ],
    "PutBucketCors": _bucket("get_bucket_cors"),
    "PutBucketEncryption": _bucket("get_bucket_encryption"),
    "PutBucketLifecycleConfiguration": _bucket("get_bucket_lifecycle_configuration"),
    "PutBucketNotificationConfiguration": _bucket("get_bucket_notification_configuration"),
    "PutBucketOwnershipControls": _bucket("get_bucket_ownership_controls"),
    "PutBucketPolicy": _bucket("get_bucket_policy"),
    "PutBucketTagging": _bucket("get_bucket_tagging"),
    "PutBucketVersioning": _bucket("get_bucket_versioning"),
    "PutClusterCapacityProviders": lambda c, w, _a: [
        c.describe_clusters(clusters=[w["cluster"]]),
        {"cluster": w["cluster"]},
    ],
    "PutDashboard": lambda c, w, _a: c.get_dashboard(DashboardName=w["DashboardName"]),
    "PutFunctionConcurrency": lambda c, w, _a: [
        c.get_function_concurrency(FunctionName=w["FunctionName"]),
        {"FunctionName": w["FunctionName"]},
    ],
    "PutFunctionEventInvokeConfig": lambda c, w, _a: [
        c.get_function_event_invoke_config(FunctionName=w["FunctionName"]),
        {"FunctionName": w["FunctionName"]},
    ],
    "PutImage": lambda c, w, _a: c.batch_get_image(
        repositoryName=w["repositoryName"], imageIds=[{"imageDigest": w["imageDigest"]}]
    ),
    "PutLifecyclePolicy": lambda c, w, _a: c.get_lifecycle_policy(
        repositoryName=w["repositoryName"]
    ),
    "PutMetricAlarm": lambda c, w, _a: [
        c.describe_alarms(AlarmNames=[w["AlarmName"]]),
        c.list_tags_for_resource(
            ResourceARN=c.describe_alarms(AlarmNames=[w["AlarmName"]])["MetricAlarms"][0][
                "AlarmArn"
            ]
        ),
    ],
    "PutParameter": lambda c, w, _a: [
        c.get_parameter(Name=w["Name"], WithDecryption=True),
        c.describe_parameters(
            ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": [w["Name"]]}]
        ),
        c.list_tags_for_resource(ResourceType="Parameter", ResourceId=w["Name"]),
    ],
    "PutPublicAccessBlock": _bucket("get_public_access_block"),
    "PutQueryDefinition": lambda c, w, _a: c.describe_query_definitions(
        queryDefinitionNamePrefix=w["name"]
    ),
    "PutRetentionPolicy": lambda c, w, _a: c.describe_log_groups(
        logGroupNamePrefix=w["logGroupName"]
    ),
    "PutRolePolicy": lambda c, w, _a: c.get_role_policy(
        RoleName=w["RoleName"], PolicyName=w["PolicyName"]
    ),
    "PutRule": lambda c, w, a: [
        c.describe_rule(Name=w["Name"]),
        c.list_tags_for_resource(ResourceARN=a["RuleArn"]),
    ],
    "PutTargets": lambda c, w, _a: [
        c.list_targets_by_rule(Rule=w["Rule"]),
        {"Rule": w["Rule"]},
    ],
    "RegisterTaskDefinition": lambda c, _w, a: c.describe_task_definition(
        taskDefinition=a["taskDefinition"]["taskDefinitionArn"], include=["TAGS"]
    ),
    "SetQueueAttributes": lambda c, w, _a: [
        c.get_queue_attributes(QueueUrl=w["QueueUrl"], AttributeNames=["All"]),
        {"QueueUrl": w["QueueUrl"]},
    ],
    "SetTopicAttributes": lambda c, w, _a: c.get_topic_attributes(TopicArn=w["TopicArn"]),
    "Subscribe": lambda c, w, a: [
        c.list_subscriptions_by_topic(TopicArn=w["TopicArn"]),
        {"Attributes": a},
    ],
    "UpdateTimeToLive": lambda c, w, _a: [
        {"Enabled": one["TimeToLiveStatus"] == "ENABLED", **one, "TableName": w["TableName"]}
        for one in [c.describe_time_to_live(TableName=w["TableName"])["TimeToLiveDescription"]]
    ],
}
