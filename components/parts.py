"""The parts a batch platform is made of, each usable on its own."""

from ._schedule import ScheduleArgs
from ._sidecars import HealthCheckArgs, SidecarArgs
from ._task import ExitCodesArgs, PlacementArgs, TaskArgs
from ._volumes import VolumeArgs
from .backfills import Backfills, BackfillsArgs
from .batch_image import BatchImage, BatchImageArgs
from .batch_state_machine import BatchStateMachine, BatchStateMachineArgs
from .cluster import BatchCluster, BatchClusterArgs
from .concurrency import ConcurrencyLimit, ConcurrencyLimitArgs
from .execution_role import ExecutionRole, ExecutionRoleArgs
from .failure_alerts import FailureAlerts, FailureAlertsArgs
from .fargate_job import FargateJob, FargateJobArgs
from .network import Network, NetworkArgs
from .results_bucket import ResultsBucket, ResultsBucketArgs
from .scheduled_pipeline import ScheduledPipeline, ScheduledPipelineArgs, StepArgs
from .scheduled_task import ScheduledTask, ScheduledTaskArgs
from .stack_index import StackIndex, StackIndexArgs
from .task_event_logger import TaskEventLogger, TaskEventLoggerArgs
from .task_reaper import TaskReaper, TaskReaperArgs
from .trigger_roles import TriggerRoles, TriggerRolesArgs
from .upload_bucket import UploadBucket, UploadBucketArgs
from .upload_trigger import UploadFilterArgs, UploadTrigger, UploadTriggerArgs
from .watcher import WatchedScheduleArgs, Watcher, WatcherArgs

__all__ = [
    "Backfills",
    "BackfillsArgs",
    "BatchCluster",
    "BatchClusterArgs",
    "BatchImage",
    "BatchImageArgs",
    "BatchStateMachine",
    "BatchStateMachineArgs",
    "ConcurrencyLimit",
    "ConcurrencyLimitArgs",
    "ExecutionRole",
    "ExecutionRoleArgs",
    "ExitCodesArgs",
    "FailureAlerts",
    "FailureAlertsArgs",
    "FargateJob",
    "FargateJobArgs",
    "HealthCheckArgs",
    "Network",
    "NetworkArgs",
    "PlacementArgs",
    "ResultsBucket",
    "ResultsBucketArgs",
    "ScheduleArgs",
    "ScheduledPipeline",
    "ScheduledPipelineArgs",
    "ScheduledTask",
    "ScheduledTaskArgs",
    "SidecarArgs",
    "StackIndex",
    "StackIndexArgs",
    "StepArgs",
    "TaskArgs",
    "TaskEventLogger",
    "TaskEventLoggerArgs",
    "TaskReaper",
    "TaskReaperArgs",
    "TriggerRoles",
    "TriggerRolesArgs",
    "UploadBucket",
    "UploadBucketArgs",
    "UploadFilterArgs",
    "UploadTrigger",
    "UploadTriggerArgs",
    "VolumeArgs",
    "WatchedScheduleArgs",
    "Watcher",
    "WatcherArgs",
]
