"""`jobs`: containers, and how each is run."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from . import defaults, sidecars, volumes
from .containers import LimitSettings, LogSettings, StopTimeout, User
from .exit_codes import ExitCodeSettings
from .ingest import IngestSettings
from .network import JobNetworkSettings
from .outcomes import EXIT_CODES
from .rights import ManagedPolicyArn, StatementSettings
from .sidecars import Dependencies, Sidecars
from .tags import Tags
from .values import (
    EnvironmentName,
    Image,
    KeyArn,
    Name,
    Seconds,
    SecretArn,
    Section,
    Text,
    each_once,
    matching,
    one_of,
)
from .volumes import VolumeSettings

# CPU units to the MiB of memory Fargate pairs with them:
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html#fargate-tasks-size
FARGATE_SIZES: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
}

# What the program sets in a container, which finds its work by it.
UPLOAD_VARIABLES = {
    *("BUCKET", "OBJECT_KEY"),
    *("OBJECT_VERSION", "OBJECT_SIZE", "OBJECT_ETAG", "OBJECT_SEQUENCER"),
}
GIVEN_VARIABLES = {"JOB", "RESULTS_BUCKET", "RESULTS_PREFIX", *UPLOAD_VARIABLES}


def _retryable(exit_code: int) -> int:
    if exit_code in {it.code for it in EXIT_CODES if it.final}:
        raise ValueError("this exit code means that a retry cannot help")
    return exit_code


Path = Annotated[
    Text,
    matching(
        r"(?![/~])(?!.*(^|/)\.\.(/|$)).+",
        "must be a path in the repository, such as etl or etl/Dockerfile",
    ),
]
RepositoryCredentials = Annotated[
    str,
    matching(
        r"arn:[a-z-]+:secretsmanager:[^:]+:\d{12}:secret:[^:]+",
        "must be the ARN of a Secrets Manager secret with username and password",
    ),
]


class JobSettings(Section):
    """One container and how it is run."""

    image: Image | None = None
    context: Path | None = None
    dockerfile: Path | None = None
    cpu: Annotated[int, AfterValidator(one_of(FARGATE_SIZES))] = defaults.CPU
    memory: int = defaults.MEMORY
    ephemeral_storage: Annotated[int, Field(ge=21, le=200)] | None = None
    timeout: Seconds = defaults.TIMEOUT_SECONDS
    environment: dict[EnvironmentName, Text] = Field(default_factory=dict)
    secrets: dict[EnvironmentName, SecretArn] = Field(default_factory=dict)
    secrets_key: KeyArn | None = None
    policies: tuple[StatementSettings, ...] = ()
    managed_policies: Annotated[
        tuple[ManagedPolicyArn, ...], Field(max_length=10), AfterValidator(each_once)
    ] = ()
    network: JobNetworkSettings = JobNetworkSettings()
    entry_point: tuple[Text, ...] | None = None
    user: User | None = None
    readonly_root_filesystem: bool = defaults.READONLY_ROOT_FILESYSTEM
    init_process: bool = defaults.INIT_PROCESS
    ulimits: LimitSettings = LimitSettings()
    stop_timeout: StopTimeout = defaults.STOP_TIMEOUT
    logs: LogSettings = LogSettings()
    repository_credentials: RepositoryCredentials | None = None
    tags: Tags = Field(default_factory=dict)
    sidecars: Sidecars = Field(default_factory=dict)
    depends_on: Dependencies = Field(default_factory=dict)
    volumes: dict[Name, VolumeSettings] = Field(default_factory=dict)
    retries: Annotated[int, Field(ge=0, le=20)] = defaults.RETRIES
    exit_codes: ExitCodeSettings = ExitCodeSettings()
    retry_exit_codes: (
        tuple[Annotated[int, Field(ge=1, le=255), AfterValidator(_retryable)], ...] | None
    ) = None
    max_concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    spot: bool = defaults.SPOT
    ingest: IngestSettings = IngestSettings()
    reads_ingest: bool = False

    @property
    def retried_exit_codes(self) -> tuple[int, ...]:
        """The exit codes after which its task is retried."""
        if self.retry_exit_codes is not None:
            return self.retry_exit_codes
        ends = {*self.exit_codes.codes("success"), *self.exit_codes.codes("warning")}
        contract = [code for code in defaults.RETRY_EXIT_CODES if code not in ends]
        return tuple(sorted({*contract, *self.exit_codes.codes("retry")}))

    @property
    def variables(self) -> Mapping[str, str]:
        """The container's variables: the job's own, and INGEST if it is to read that."""
        told = {"INGEST": self.ingest.document()} if self.declares_ingest else {}
        return {**self.environment, **told}

    @property
    def declares_ingest(self) -> bool:
        """Whether the container is told what its files are."""
        return self.reads_ingest or bool(self.ingest.model_fields_set)

    @model_validator(mode="after")
    def _fits_fargate(self) -> Self:
        allowed = FARGATE_SIZES[self.cpu]
        if self.memory not in allowed:
            raise ValueError(
                f"memory {self.memory} does not go with cpu {self.cpu}; Fargate allows "
                + ", ".join(map(str, allowed))
            )
        if self.retry_exit_codes is not None and self.exit_codes.model_fields_set:
            raise ValueError("retryExitCodes is the old name of exitCodes.retry: use exitCodes")
        if twice := sorted(self.environment.keys() & self.secrets.keys()):
            raise ValueError(f"{', '.join(twice)} is in both environment and secrets")
        if given := sorted(GIVEN_VARIABLES & (self.environment.keys() | self.secrets.keys())):
            raise ValueError(
                f"{', '.join(given)}: the program sets this itself; "
                "a pipeline's step or a schedule may set BUCKET and those of the object"
            )
        if self.declares_ingest and "INGEST" in self.environment.keys() | self.secrets.keys():
            raise ValueError(
                "INGEST is how the container is told ingest: name a variable otherwise"
            )
        secrets = [self.secrets, *(one.secrets for one in self.sidecars.values())]
        if self.secrets_key and not (any(secrets) or self.repository_credentials):
            raise ValueError("secretsKey decrypts secrets, and there are none")
        if self.context is not None and self.image is not None:
            raise ValueError("context is what an image is built from: leave image out")
        if self.dockerfile is not None and self.context is None:
            raise ValueError("dockerfile needs context: the folder that it copies from")
        if self.repository_credentials and self.image is None:
            raise ValueError("repositoryCredentials are for the registry of the job's image")
        problem = sidecars.disagreement(
            self.sidecars, self.depends_on, self.cpu, self.memory
        ) or volumes.disagreement(self.volumes, read_only_root=self.readonly_root_filesystem)
        if problem is not None:
            raise ValueError(problem)
        return self
