"""What an alarm tells a topic, and only one whose policy lets it."""

import json

import pytest

from local.cloud import ACCOUNT, Cloud
from local.services.iam import iam
from tests.local.probe import REGION

TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"


def allow(service: str, action: str, resource: str, source: str) -> str:
    """A policy that lets a service act on a resource for another."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": action,
        "Resource": resource,
        "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.mark.parametrize(("alarm", "told"), [("watched", ["watched"]), ("other", [])])
def test_an_alarm_tells_a_topic_only_if_its_policy_says_so(
    cloud: Cloud, alarm: str, told: list[str]
) -> None:
    sns, sqs, cloudwatch = (cloud.client(name) for name in ("sns", "sqs", "cloudwatch"))
    sns.create_topic(Name="alerts")
    arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:seen"
    from_topic = allow("sns.amazonaws.com", "sqs:SendMessage", arn, TOPIC)
    queue = sqs.create_queue(QueueName="seen", Attributes={"Policy": from_topic})["QueueUrl"]
    sns.subscribe(TopicArn=TOPIC, Protocol="sqs", Endpoint=arn)
    watched = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:watched"
    policy = allow("cloudwatch.amazonaws.com", "sns:Publish", TOPIC, watched)
    sns.set_topic_attributes(TopicArn=TOPIC, AttributeName="Policy", AttributeValue=policy)
    cloudwatch.put_metric_alarm(
        AlarmName=alarm,
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        AlarmActions=[TOPIC],
    )
    cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="a test")
    messages = sqs.receive_message(QueueUrl=queue).get("Messages", [])
    found = [json.loads(json.loads(one["Body"])["Message"])["AlarmName"] for one in messages]
    assert found == told
    published = [one.allowed for one in iam.decisions() if one.action == "sns:Publish"]
    assert published == [bool(told)]


def test_an_alarm_on_several_metrics_reads_back_as_it_was_written(cloud: Cloud) -> None:
    cloudwatch = cloud.client("cloudwatch")
    stat = {"Metric": {"Namespace": "N", "MetricName": "M"}, "Period": 300, "Stat": "Sum"}
    queries = [
        {"Id": "a", "MetricStat": stat, "ReturnData": False},
        {"Id": "all", "Expression": "a * 2", "ReturnData": True},
    ]
    written = {
        "AlarmName": "several",
        "Metrics": queries,
        "EvaluationPeriods": 1,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    cloudwatch.put_metric_alarm(**written)
    [alarm] = cloudwatch.describe_alarms(AlarmNames=["several"])["MetricAlarms"]
    assert {key: alarm[key] for key in written} == written
    assert not {"Statistic", "Period"} & alarm.keys()
