"""Log groups, saved queries, alarms and dashboards → Amazon CloudWatch."""

import uuid
from typing import Any

from local.engine.monitor import Created, Properties, Registration
from local.engine.resources.context import Context, Creator, given


def log_group(context: Context, registration: Registration) -> Created:
    """A log group."""
    inputs = registration.inputs
    name = context.name(registration, limit=512)
    context.logs.create_log_group(
        logGroupName=name,
        **given(logGroupClass=inputs.get("logGroupClass"), tags=context.tags(inputs) or None),
    )
    if days := inputs.get("retentionInDays"):
        context.logs.put_retention_policy(logGroupName=name, retentionInDays=days)
        context.not_honoured(
            "Logs are kept until the cloud stops, whatever their retention", registration
        )
    return Created(name, {"arn": context.arn("logs", f"log-group:{name}"), "name": name})


def query_definition(context: Context, registration: Registration) -> Created:
    """A saved query, of which this cloud keeps nothing but the id."""
    context.not_honoured("CloudWatch Logs Insights queries are not saved", registration)
    identity = str(uuid.uuid5(uuid.NAMESPACE_URL, registration.urn))
    return Created(identity, {"queryDefinitionId": identity})


def metric_alarm(context: Context, registration: Registration) -> Created:
    """An alarm."""
    inputs = registration.inputs
    name = context.name(registration, limit=255)
    queries: list[Properties] = inputs.get("metricQueries") or []
    context.cloudwatch.put_metric_alarm(
        AlarmName=name,
        ComparisonOperator=inputs["comparisonOperator"],
        EvaluationPeriods=inputs["evaluationPeriods"],
        **given(
            ActionsEnabled=inputs.get("actionsEnabled"),
            AlarmActions=inputs.get("alarmActions"),
            AlarmDescription=inputs.get("alarmDescription"),
            DatapointsToAlarm=inputs.get("datapointsToAlarm"),
            Dimensions=_dimensions(inputs),
            ExtendedStatistic=inputs.get("extendedStatistic"),
            InsufficientDataActions=inputs.get("insufficientDataActions"),
            MetricName=inputs.get("metricName"),
            Metrics=[_metric_query(query) for query in queries] or None,
            Namespace=inputs.get("namespace"),
            OKActions=inputs.get("okActions"),
            Period=inputs.get("period"),
            Statistic=inputs.get("statistic"),
            Tags=context.pairs(inputs) or None,
            Threshold=inputs.get("threshold"),
            TreatMissingData=inputs.get("treatMissingData"),
            Unit=inputs.get("unit"),
        ),
    )
    context.not_honoured("Alarms stay silent: AWS services publish no metrics here", registration)
    return Created(name, {"arn": context.arn("cloudwatch", f"alarm:{name}"), "name": name})


def _dimensions(of: Properties) -> list[dict[str, str]] | None:
    dimensions: dict[str, str] = of.get("dimensions") or {}
    return [{"Name": key, "Value": value} for key, value in dimensions.items()] or None


def _metric_query(query: Properties) -> dict[str, Any]:
    metric: Properties | None = query.get("metric")
    return given(
        Id=query["id"],
        Expression=query.get("expression"),
        Label=query.get("label"),
        Period=query.get("period"),
        ReturnData=query.get("returnData"),
        MetricStat=metric
        and given(
            Metric=given(
                MetricName=metric["metricName"],
                Namespace=metric.get("namespace"),
                Dimensions=_dimensions(metric),
            ),
            Period=metric["period"],
            Stat=metric["stat"],
            Unit=metric.get("unit"),
        ),
    )


def dashboard(context: Context, registration: Registration) -> Created:
    """A dashboard."""
    inputs = registration.inputs
    name = context.name(registration, limit=255, key="dashboardName")
    context.cloudwatch.put_dashboard(DashboardName=name, DashboardBody=inputs["dashboardBody"])
    context.not_honoured("Dashboards are recorded, there is no console to show them", registration)
    arn = f"arn:aws:cloudwatch::{context.account}:dashboard/{name}"
    return Created(name, {"dashboardArn": arn, "dashboardName": name})


CREATORS: dict[str, Creator] = {
    "aws:cloudwatch/logGroup:LogGroup": log_group,
    "aws:cloudwatch/queryDefinition:QueryDefinition": query_definition,
    "aws:cloudwatch/metricAlarm:MetricAlarm": metric_alarm,
    "aws:cloudwatch/dashboard:Dashboard": dashboard,
}
