"""Everything that a stack's file says under `fargate-batch:`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from . import defaults
from .alerts import AlertSettings, TaskEventSettings
from .buckets import ResultsSettings, UploadsSettings
from .jobs import JobSettings
from .network import NetworkSettings
from .pipelines import PipelineSettings, ScheduleSettings
from .uploads import UploadSettings
from .values import Image, Name, Section, matching, one_of

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)


class Settings(Section):
    """Everything that `Pulumi.STACK.yaml` says under `fargate-batch:`."""

    network: NetworkSettings = NetworkSettings()
    uploads_bucket: UploadsSettings = UploadsSettings()
    buckets: dict[Name, UploadsSettings] = Field(default_factory=dict)
    results_bucket: ResultsSettings = ResultsSettings()
    image: Image | None = None
    architecture: Literal["X86_64", "ARM64"] = defaults.ARCHITECTURE
    platform_version: Literal["1.4.0", "LATEST"] = defaults.PLATFORM_VERSION
    container_insights: Literal["enabled", "enhanced", "disabled"] = defaults.CONTAINER_INSIGHTS
    launches_per_second: Annotated[int, Field(ge=1, le=1000)] = defaults.LAUNCHES_PER_SECOND
    log_retention_days: Annotated[int, AfterValidator(one_of(LOG_RETENTION_DAYS))] = (
        defaults.LOG_RETENTION_DAYS
    )
    protect: bool = defaults.PROTECT
    role_path: Annotated[
        str, matching(r"/([!-.0-~]+/)*", "must be an IAM path, such as / or /batch/")
    ] = "/"
    permissions_boundary: (
        Annotated[
            str,
            matching(
                r"arn:[a-z-]+:iam::(\d{12}|aws):policy/\S+", "must be the ARN of a managed policy"
            ),
        ]
        | None
    ) = None
    jobs: Annotated[dict[Name, JobSettings], Field(min_length=1)]
    uploads: dict[Name, UploadSettings] = Field(default_factory=dict)
    pipelines: dict[Name, PipelineSettings] = Field(default_factory=dict)
    schedules: dict[Name, ScheduleSettings] = Field(default_factory=dict)
    alerts: AlertSettings = AlertSettings()
    backfills: bool = defaults.BACKFILLS
    task_events: TaskEventSettings = TaskEventSettings()

    region: (
        Annotated[
            str, matching(r"[a-z]{2}(-[a-z]+)+-\d", "must be a Region, such as ap-northeast-1")
        ]
        | None
    ) = None
    """Not of this namespace: `aws:region`."""

    def jobs_of(self, upload: UploadSettings) -> list[str]:
        """The jobs that an upload starts, itself or by its pipeline."""
        if upload.job is not None:
            return [upload.job]
        pipeline = self.pipelines.get(upload.pipeline or "")
        steps = pipeline.steps if pipeline else ()
        return list(dict.fromkeys(step.job for members in steps for step in members))

    def exclusions(
        self, *, job: str | None = None, pipeline: str | None = None
    ) -> dict[str, tuple[str, ...]]:
        """What its state machine leaves out of the uploads that start it, by the upload's name."""
        return {
            name: it.exclude
            for name, it in self.uploads.items()
            if it.exclude and not it.pattern_excludes and (it.job, it.pipeline) == (job, pipeline)
        }

    def bucket_of(self, upload: UploadSettings) -> UploadsSettings:
        """The bucket that an upload arrives in."""
        if upload.bucket is None:
            return self.uploads_bucket
        return self.buckets.get(upload.bucket, UploadsSettings())

    def sources_of(self, job: str) -> list[str | None]:
        """The buckets that a job reads: `uploadsBucket`, as None, and its uploads' others."""
        named = {it.bucket for it in self.uploads.values() if it.bucket and job in self.jobs_of(it)}
        return [None, *sorted(named)]

    @property
    def builds_image(self) -> bool:
        """Whether some job's image is to be built from `batch/`."""
        return self.image is None and any(
            job.image is None and job.context is None for job in self.jobs.values()
        )
