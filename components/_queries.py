"""CloudWatch Logs Insights queries over the lines that the task event logger writes.

Syntax: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html. A saved query
has no time range of its own: the range chosen where it is run says what "today" is. EventBridge may
deliver an event twice, so each query counts a task once; nothing but `limit` may follow `dedup`.
"""

QUERIES: dict[str, str] = {
    "failed-today": """\
fields @timestamp, job, outcome, exitCode, message, trigger.kind, trigger.name, taskId
| filter outcome in ["failed", "timed-out", "never-started", "interrupted"]
| sort @timestamp desc
| dedup taskId
| limit 1000
""",
    "task-waits": """\
filter lastStatus = "STOPPED" and waitedSeconds >= 0
| stats max(waitedSeconds) as waited, max(pulledSeconds) as pulled by job, taskId
| stats count(*) as tasks, avg(waited) as averageWait, pct(waited, 50) as medianWait,
    pct(waited, 95) as p95Wait, max(waited) as longestWait, avg(pulled) as averagePull by job
| sort p95Wait desc
""",
    "never-started": """\
fields @timestamp, job, stopCode, stoppedReason, containers.0.reason, trigger.kind, trigger.name,
    taskId
| filter outcome = "never-started"
| sort @timestamp desc
| dedup taskId
| limit 1000
""",
}
"""Query name to query text: what failed, how long tasks wait (in seconds), which never started."""
