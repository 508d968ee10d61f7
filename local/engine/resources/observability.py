"""Log groups, saved queries, alarms and dashboards → Amazon CloudWatch."""

from typing import Any

from local.engine.resources.context import Context, given, pairs
from local.engine.resources.handler import Handler, Name, put, retag
from local.engine.state import Created, Properties, Registration, State


def log_group(context: Context, registration: Registration) -> Created:
    """A log group."""
    inputs = registration.inputs
    name: str = inputs["name"]
    context.logs.create_log_group(
        logGroupName=name,
        **given(logGroupClass=inputs.get("logGroupClass"), tags=inputs["tags"] or None),
    )
    _retain(context, registration)
    return Created(name, {"arn": context.arn("logs", f"log-group:{name}"), "name": name})


def _retain(context: Context, registration: Registration) -> None:
    name: str = registration.inputs["name"]
    if days := registration.inputs.get("retentionInDays"):
        context.logs.put_retention_policy(logGroupName=name, retentionInDays=days)
        context.not_honoured(
            "Logs are kept until the cloud stops, whatever their retention", registration
        )
    else:
        context.logs.delete_retention_policy(logGroupName=name)


def _update_log_group(context: Context, registration: Registration, before: State) -> None:
    _retain(context, registration)
    retag(registration, before, context.logs, dict, resourceArn=before.outputs["arn"])


def _delete_log_group(context: Context, state: State) -> None:
    if not state.inputs.get("skipDestroy"):
        context.logs.delete_log_group(logGroupName=state.id)


def _log_group_exists(context: Context, state: State) -> object:
    return context.logs.list_tags_for_resource(resourceArn=state.outputs["arn"])


def query_definition(context: Context, registration: Registration) -> Created:
    """A saved query."""
    identity = _put_query(context, registration)
    return Created(identity, {"queryDefinitionId": identity})


def _update_query(context: Context, registration: Registration, before: State) -> None:
    _put_query(context, registration, queryDefinitionId=before.id)


def _put_query(context: Context, registration: Registration, **which: Any) -> str:  # noqa: ANN401 -- the query that there is
    inputs = registration.inputs
    return context.logs.put_query_definition(
        name=inputs["name"],
        queryString=inputs["queryString"],
        **given(logGroupNames=inputs.get("logGroupNames")),
        **which,
    )["queryDefinitionId"]


def _query_exists(context: Context, state: State) -> None:
    found = context.logs.describe_query_definitions(queryDefinitionNamePrefix=state.inputs["name"])
    if state.id not in {one.get("queryDefinitionId") for one in found["queryDefinitions"]}:
        raise LookupError(state.id)


def metric_alarm(context: Context, registration: Registration) -> Created:
    """An alarm."""
    inputs = registration.inputs
    name: str = inputs["name"]
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
            Tags=pairs(inputs["tags"]) or None,
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
    name: str = inputs["dashboardName"]
    context.cloudwatch.put_dashboard(DashboardName=name, DashboardBody=inputs["dashboardBody"])
    context.not_honoured("Dashboards are recorded, there is no console to show them", registration)
    arn = f"arn:aws:cloudwatch::{context.account}:dashboard/{name}"
    return Created(name, {"dashboardArn": arn, "dashboardName": name})


def _delete_dashboard(context: Context, state: State) -> None:
    context.cloudwatch.delete_dashboards(DashboardNames=[state.inputs["dashboardName"]])


def _update_alarm(context: Context, registration: Registration, before: State) -> None:
    # Tags that are given to PutMetricAlarm count only for a new alarm.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    metric_alarm(context, registration)
    retag(registration, before, context.cloudwatch, pairs, ResourceARN=before.outputs["arn"])


def _alarm_exists(context: Context, state: State) -> None:
    if not context.cloudwatch.describe_alarms(AlarmNames=[state.id])["MetricAlarms"]:
        raise LookupError(state.id)


HANDLERS: dict[str, Handler] = {
    "aws:cloudwatch/logGroup:LogGroup": Handler(
        log_group,
        _delete_log_group,
        _update_log_group,
        frozenset({"name", "namePrefix", "logGroupClass"}),
        _log_group_exists,
        name=Name(512),
        tagged=True,
    ),
    "aws:cloudwatch/queryDefinition:QueryDefinition": Handler(
        query_definition,
        lambda c, s: c.logs.delete_query_definition(queryDefinitionId=s.id),
        _update_query,
        exists=_query_exists,
        name=Name(255),
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": Handler(
        metric_alarm,
        lambda c, s: c.cloudwatch.delete_alarms(AlarmNames=[s.id]),
        _update_alarm,
        frozenset({"name", "namePrefix"}),
        _alarm_exists,
        name=Name(255),
        tagged=True,
    ),
    "aws:cloudwatch/dashboard:Dashboard": Handler(
        dashboard,
        _delete_dashboard,
        put(dashboard),
        frozenset({"dashboardName"}),
        lambda c, s: c.cloudwatch.get_dashboard(DashboardName=s.inputs["dashboardName"]),
        name=Name(255, key="dashboardName"),
    ),
}
