"""The stack's configuration, read and validated before the first resource: `load()`."""

import json
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Annotated, Any, Literal, Self
from zoneinfo import available_timezones

import pulumi
from aws_cron_expression_validator.validator import (
    AWSCronExpressionError,
    AWSCronExpressionValidator,
)
from pulumi.runtime.config import CONFIG, get_config_env
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

PROJECT = "fargate-batch"

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

# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
LOG_RETENTION_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)

# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
RULES_PER_BUS = 300
PATTERN_CHARACTERS = 2048
# The greatest number EventBridge compares:
# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
GREATEST_NUMBER = 5_000_000_000
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskOverride.html
OVERRIDES_CHARACTERS = 8192
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
TASK_DEFINITION_BYTES = 64 * 1024
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_POLICY_CHARACTERS = 10_240
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STATE_MACHINE_NAME_CHARACTERS = 80
DEFINITION_BYTES = 1024 * 1024
# The most that one step takes in a definition, beside its commands and environment.
STEP_BYTES = 2700
# As many as an inline Map state runs at a time, and as a person can follow.
STEPS_SIDE_BY_SIDE = 40

MAXIMUM_TIMEOUT_DAYS = 14

# What the program tells a container, by which it finds its work.
GIVEN_VARIABLES = {"JOB", "BUCKET", "OBJECT_KEY", "RESULTS_BUCKET", "RESULTS_PREFIX"}

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class SettingsError(pulumi.RunError):
    """The configuration is refused; the text has one line for each reason.

    Pulumi prints a RunError without a traceback.
    """


def _matching(pattern: str, meaning: str) -> AfterValidator:
    """A whole text that matches, or the refusal `meaning`."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(meaning)
        return value

    return AfterValidator(check)


def _duration(value: object) -> object:
    """'90s', '15m', '1h' or '1d' in seconds."""
    if isinstance(value, str) and (match := re.fullmatch(r"([1-9]\d*)([smhd])", value)):
        seconds = int(match[1]) * _UNITS[match[2]]
        if seconds > MAXIMUM_TIMEOUT_DAYS * _UNITS["d"]:
            raise ValueError(f"must be at most {MAXIMUM_TIMEOUT_DAYS}d")
        return seconds
    raise ValueError("must be a whole number and s, m, h or d, such as 90s, 15m, 1h or 1d")


def _one_of(allowed: Iterable[int]) -> Callable[[int], int]:
    values = tuple(allowed)

    def check(value: int) -> int:
        if value not in values:
            raise ValueError("must be one of " + ", ".join(map(str, values)))
        return value

    return check


def _schedule_expression(value: str) -> str:
    match = re.fullmatch(r"(cron|rate|at)\((.*)\)", value)
    if match is None:
        raise ValueError(
            "must be cron(minutes hours day-of-month month day-of-week year), "
            "rate(5 minutes) or at(2030-01-31T10:00:00)"
        )
    kind, inner = match.groups()
    {"cron": _check_cron, "rate": _check_rate, "at": _check_at}[kind](inner)
    return value


def _check_cron(fields: str) -> None:
    try:
        AWSCronExpressionValidator.validate(fields)
    except AWSCronExpressionError as error:
        reason = str(error).rstrip(".").replace("'.One", "'; one")
        raise ValueError(
            f"{reason}; AWS counts minutes hours day-of-month month day-of-week year"
        ) from None
    _, _, days, months, _, years = fields.split(" ")
    numbers, calendar = _numbers(days), _numbers(months)
    if (
        numbers
        and calendar
        and not any(day <= _longest(month) for day in numbers for month in calendar)
    ):
        raise ValueError(f"day {days} does not exist in month {months}, so it would never fire")
    in_years = _numbers(years)
    if in_years and max(in_years) < datetime.now(UTC).year:
        raise ValueError(f"the year {years} is over, so it would never fire")


def _numbers(field: str) -> list[int]:
    """The numbers of a field that lists numbers, months' names and ranges of them, else none."""
    for number, name in enumerate(_MONTHS, start=1):
        field = re.sub(name, str(number), field, flags=re.IGNORECASE)
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", field):
        return []
    ends = [part.split("-") for part in field.split(",")]
    return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]


_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]


def _longest(month: int) -> int:
    return monthrange(2024, month)[1]


def _check_rate(inner: str) -> None:
    match = re.fullmatch(r"(\d+) (minute|hour|day)(s?)", inner)
    if match is None or int(match[1]) == 0:
        raise ValueError("a rate is a whole number above 0 and minutes, hours or days")
    singular = int(match[1]) == 1
    if singular == bool(match[3]):
        right = match[2] if singular else f"{match[2]}s"
        raise ValueError(f"AWS wants rate({match[1]} {right})")


def _check_at(inner: str) -> None:
    try:
        at = datetime.strptime(inner, "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007 its zone is a key of its own
    except ValueError:
        raise ValueError("a moment is at(yyyy-mm-ddThh:mm:ss), and one that exists") from None
    # No zone is more than a day behind UTC.
    if (datetime.now(UTC).replace(tzinfo=None) - at).days >= 1:
        raise ValueError("that moment is over, so it would never fire")


def _timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("must be an IANA time zone, such as Asia/Tokyo or UTC")
    return value


def _moment(value: str) -> str:
    try:
        datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ")  # noqa: DTZ007 it is UTC, and only looked at
    except ValueError:
        raise ValueError("must be a UTC time that exists, as yyyy-mm-ddThh:mm:ssZ") from None
    return value


def _cidr(value: str) -> str:
    try:
        network = IPv4Network(value)
    except (AddressValueError, NetmaskValueError, ValueError):
        network = None
    if network is None or not 16 <= network.prefixlen <= 24:
        raise ValueError("must be an IPv4 range from /16 to /24, such as 10.0.0.0/16")
    return value


def _retryable(exit_code: int) -> int:
    if exit_code in {65, 66, 78}:
        raise ValueError("this exit code means that a retry cannot help")
    return exit_code


def _each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    if twice := [value for number, value in enumerate(values) if value in values[:number]]:
        raise ValueError(f"{twice[0]} is there twice")
    return values


Name = Annotated[
    str,
    _matching(
        r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
        "a name is 1 to 40 of a-z, 0-9 and -, begins with a letter, ends without -",
    ),
]
Seconds = Annotated[int, BeforeValidator(_duration)]
Image = Annotated[
    str, _matching(r"\S+[:@]\S+", "must be an image with its tag or digest, such as batch:1.0")
]
ScheduleExpression = Annotated[str, AfterValidator(_schedule_expression)]
Timezone = Annotated[str, AfterValidator(_timezone)]
Moment = Annotated[str, AfterValidator(_moment)]
Text = Annotated[str, Field(strict=True)]
EnvironmentName = Annotated[
    str,
    _matching(
        r"[A-Za-z_][A-Za-z0-9_]*",
        "a variable's name is letters, digits and _, no digit first",
    ),
]
SecretArn = Annotated[
    str,
    _matching(
        r"arn:[a-z-]+:(secretsmanager|ssm):[^:]+:\d{12}:.+",
        "must be the ARN of a Secrets Manager secret or an SSM parameter",
    ),
]
KeyArn = Annotated[
    str,
    _matching(r"arn:[a-z-]+:kms:[^:]+:\d{12}:key/\S+", "must be the ARN of a KMS key"),
]
LogRetention = Annotated[int, AfterValidator(_one_of(LOG_RETENTION_DAYS))]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=False
    )

    def given(self, *names: str, **more: object) -> Any:  # noqa: ANN401 any component's Args
        """The fields `names`, but for those that are None, and `more`: a component's Args.

        Where a field has another name in the Args, `more` has it.
        """
        return {**self.model_dump(include=set(names), exclude_none=True), **more}


class NetworkSettings(_Model):
    """A new VPC, or the ids of an existing one."""

    cidr: Annotated[str, AfterValidator(_cidr)] = "10.0.0.0/16"
    nat: bool = False
    vpc_id: Annotated[str, _matching(r"vpc-[0-9a-f]+", "must be a VPC's id, vpc-…")] | None = None
    subnet_ids: (
        Annotated[
            tuple[
                Annotated[str, _matching(r"subnet-[0-9a-f]+", "must be a subnet's id, subnet-…")],
                ...,
            ],
            Field(min_length=1, max_length=16),
        ]
        | None
    ) = None
    assign_public_ip: bool | None = None

    @model_validator(mode="after")
    def _is_new_or_existing(self) -> Self:
        if (self.vpc_id is None) != (self.subnet_ids is None):
            raise ValueError("an existing network needs both vpcId and subnetIds")
        if self.vpc_id is not None and self.model_fields_set & {"cidr", "nat"}:
            raise ValueError("cidr and nat are for a new network, vpcId for an existing one")
        return self

    @property
    def public_ip(self) -> bool:
        """Whether tasks get a public address: in public subnets they reach nothing without."""
        return not self.nat if self.assign_public_ip is None else self.assign_public_ip


class BucketSettings(_Model):
    """A new bucket, or the name of an existing one."""

    bucket: (
        Annotated[
            str,
            _matching(
                r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]",
                "must be 3 to 63 of a-z, 0-9, . and -, with no . or - at its ends",
            ),
        ]
        | None
    ) = None
    retention_days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class ResultsSettings(BucketSettings):
    """Where results go: under PREFIX/JOB/ of a bucket."""

    prefix: Annotated[
        Text,
        Field(max_length=200),
        _matching(r"|[^/].*/", "must be empty, or end with / and not begin with it"),
    ] = ""


class JobSettings(_Model):
    """One container and how it is run."""

    image: Image | None = None
    cpu: Annotated[int, AfterValidator(_one_of(FARGATE_SIZES))] = 512
    memory: int = 1024
    ephemeral_storage: Annotated[int, Field(ge=21, le=200)] | None = None
    timeout: Seconds = 3600
    environment: dict[EnvironmentName, Text] = {}
    secrets: dict[EnvironmentName, SecretArn] = {}
    secrets_key: KeyArn | None = None
    retries: Annotated[int, Field(ge=0, le=20)] = 5
    retry_exit_codes: tuple[
        Annotated[int, Field(ge=1, le=255), AfterValidator(_retryable)], ...
    ] = (75,)
    max_concurrency: Annotated[int, Field(ge=1, le=1000)] | None = None
    spot: bool = False

    @model_validator(mode="after")
    def _fits_fargate(self) -> Self:
        allowed = FARGATE_SIZES[self.cpu]
        if self.memory not in allowed:
            raise ValueError(
                f"memory {self.memory} does not go with cpu {self.cpu}; Fargate allows "
                + ", ".join(map(str, allowed))
            )
        if twice := sorted(self.environment.keys() & self.secrets.keys()):
            raise ValueError(f"{', '.join(twice)} is in both environment and secrets")
        if given := sorted(GIVEN_VARIABLES & (self.environment.keys() | self.secrets.keys())):
            raise ValueError(
                f"{', '.join(given)}: the program sets this itself; "
                "a pipeline's step or a schedule may set BUCKET and OBJECT_KEY"
            )
        if self.secrets_key and not self.secrets:
            raise ValueError("secretsKey decrypts secrets, and there are none")
        return self


class UploadSettings(_Model):
    """Which uploads start which job."""

    job: Name
    via: Literal["stateMachine", "task"] = "stateMachine"
    prefix: Annotated[Text, Field(max_length=1024)] | None = None
    suffix: Annotated[Text, Field(max_length=1024)] | None = None
    key: Annotated[Text, Field(min_length=1, max_length=1024)] | None = None
    wildcard: Annotated[Text, Field(min_length=1, max_length=1024)] | None = None
    min_size: Annotated[int, Field(ge=0, le=GREATEST_NUMBER)] | None = None
    max_size: Annotated[int, Field(ge=0, le=GREATEST_NUMBER)] | None = None

    @model_validator(mode="after")
    def _is_one_filter(self) -> Self:
        ways = [self.key, self.wildcard, self.prefix or self.suffix]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give key, or wildcard, or prefix and suffix, not several of them")
        if not any((self.key, self.wildcard, self.prefix, self.suffix)):
            raise ValueError("give prefix, suffix, key or wildcard; every upload is wildcard: '*'")
        if self.key is not None and self.key.endswith("/"):
            raise ValueError(f"key {self.key!r} is a folder marker, which starts nothing")
        if self.wildcard is not None:
            # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
            unescaped = re.sub(r"\\[\\*]", "", self.wildcard)
            if "**" in unescaped:
                raise ValueError("wildcard: EventBridge allows no two * in a row")
            if "\\" in unescaped:
                raise ValueError(
                    r"wildcard: a \ only stands before * or \, to mean that character itself"
                )
        if (self.min_size or 0) > (GREATEST_NUMBER if self.max_size is None else self.max_size):
            raise ValueError(f"minSize {self.min_size} is above maxSize {self.max_size}")
        if self.max_size == 0 and (self.key or self.wildcard or self.suffix or "*").endswith(
            ("/", "*")
        ):
            raise ValueError("maxSize 0 leaves only folder markers, which start nothing")
        return self

    def may_match_under(self, folder: str) -> bool:
        """Whether the key of an object under `folder` could match."""
        if self.key is not None:
            return self.key.startswith(folder)
        start = self.prefix or ""
        if self.wildcard is not None:
            literal = re.match(r"(?:[^*\\]|\\.)*", self.wildcard)
            start = re.sub(r"\\(.)", r"\1", literal[0]) if literal else ""
        return folder.startswith(start) or start.startswith(folder)


class StepSettings(_Model):
    """One job of a pipeline."""

    job: Name
    commands: tuple[Text, ...] | None = None
    environment: dict[EnvironmentName, Text] | None = None
    on_failure: Literal["stop", "continue"] = "stop"

    @model_validator(mode="after")
    def _fits_run_task(self) -> Self:
        _check_overrides(self.job, self.commands, self.environment)
        return self


def _check_overrides(
    job: str, commands: tuple[str, ...] | None, environment: Mapping[str, str] | None
) -> None:
    override = {
        "name": job,
        "command": commands,
        "environment": [{"name": k, "value": v} for k, v in (environment or {}).items()],
    }
    characters = len(json.dumps({"containerOverrides": [override]}))
    if characters > OVERRIDES_CHARACTERS:
        raise ValueError(
            f"commands and environment take {characters} characters as JSON; ECS allows "
            f"{OVERRIDES_CHARACTERS}: put the data into an object and pass its key"
        )


class WhenSettings(_Model):
    """When something is started."""

    schedule: ScheduleExpression
    timezone: Timezone = "UTC"
    enabled: bool = True
    flexible_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    start: Moment | None = None
    end: Moment | None = None

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> Self:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self


def _as_steps(value: object) -> object:
    """Every step as the list of what runs side by side in it."""
    if isinstance(value, list):
        return [step if isinstance(step, list) else [step] for step in value]  # pyright: ignore[reportUnknownVariableType] not yet validated
    return value


class PipelineSettings(WhenSettings):
    """Jobs in series, on a schedule."""

    steps: Annotated[
        tuple[
            Annotated[tuple[StepSettings, ...], Field(min_length=1, max_length=STEPS_SIDE_BY_SIDE)],
            ...,
        ],
        BeforeValidator(_as_steps),
        Field(min_length=1, max_length=100),
    ]
    overlap: Literal["skip", "allow"] = "skip"


class ScheduleSettings(WhenSettings):
    """A job's task, on a schedule."""

    job: Name
    count: Annotated[int, Field(ge=1, le=10)] = 1
    commands: tuple[Text, ...] | None = None
    environment: dict[EnvironmentName, Text] | None = None

    @model_validator(mode="after")
    def _fits_run_task(self) -> Self:
        _check_overrides(self.job, self.commands, self.environment)
        return self


class AlertSettings(_Model):
    """Who is told of failures."""

    emails: Annotated[
        tuple[Annotated[str, _matching(r"[^@\s]+@[^@\s]+", "must be an e-mail address")], ...],
        AfterValidator(_each_once),
    ] = ()
    https_endpoints: Annotated[
        tuple[Annotated[str, _matching(r"https://\S+", "must begin with https://")], ...],
        AfterValidator(_each_once),
    ] = ()
    runbook: Annotated[
        str, _matching(r"[!#-\[\]-~]+", "must be a path or URL, without blanks and quotes")
    ] = "docs/operations.md"


class TaskEventSettings(_Model):
    """What the log of task events keeps."""

    keep_event: bool = True


class Settings(_Model):
    """Everything that `Pulumi.STACK.yaml` says under `fargate-batch:`."""

    network: NetworkSettings = NetworkSettings()
    uploads_bucket: BucketSettings = BucketSettings()
    results_bucket: ResultsSettings = ResultsSettings()
    image: Image | None = None
    architecture: Literal["X86_64", "ARM64"] = "X86_64"
    platform_version: Literal["1.4.0", "LATEST"] = "1.4.0"
    container_insights: Literal["enabled", "enhanced", "disabled"] = "enabled"
    log_retention_days: LogRetention = 30
    protect: bool = True
    jobs: Annotated[dict[Name, JobSettings], Field(min_length=1)]
    uploads: dict[Name, UploadSettings] = {}
    pipelines: dict[Name, PipelineSettings] = {}
    schedules: dict[Name, ScheduleSettings] = {}
    alerts: AlertSettings = AlertSettings()
    task_events: TaskEventSettings = TaskEventSettings()

    region: Annotated[
        str, _matching(r"[a-z]{2}(-[a-z]+)+-\d", "must be a Region, such as ap-northeast-1")
    ]
    """Not of this namespace: `aws:region`."""

    @property
    def builds_image(self) -> bool:
        """Whether some job's image is to be built from `batch/`."""
        return self.image is None and any(job.image is None for job in self.jobs.values())


def load() -> Settings:
    """Reads the configuration of the stack that is evaluated.

    Raises `SettingsError` with a line for each key that is refused: key, value, what is allowed.
    """
    if misspelt := _misspelt_namespace():
        raise SettingsError(f"{misspelt}: unknown namespace; the one of this project is {PROJECT}")
    config = pulumi.Config(PROJECT)
    values: dict[str, Any] = {}
    for key in _configured_keys():
        try:
            values[key] = config.get_object(key)
        except pulumi.ConfigTypeError:
            # A scalar, such as the name of a Region, is its own text.
            values[key] = config.get(key)
    if "region" in values:
        raise SettingsError(f"{PROJECT}:region: not a key of this project; use aws:region")
    region = pulumi.Config("aws").get("region")
    if region is None:
        raise SettingsError("aws:region: missing; set it, such as aws:region: ap-northeast-1")
    try:
        settings = Settings.model_validate({**values, "region": region})
    except ValidationError as error:
        raise SettingsError("\n".join(_lines(error, values))) from None
    if refusals := list(_across(settings)):
        raise SettingsError("\n".join(refusals))
    return settings


def _configured() -> Iterable[tuple[str, str]]:
    """Namespace and key of everything that is configured, for providers too."""
    for key in sorted({**get_config_env(), **CONFIG.get()}):
        namespace, _, name = key.partition(":")
        yield namespace, name


def _configured_keys() -> list[str]:
    return [name for namespace, name in _configured() if namespace == PROJECT]


def _misspelt_namespace() -> str | None:
    """A key whose namespace is nearly this project's: nobody else would read it."""
    for namespace, name in _configured():
        if namespace != PROJECT and get_close_matches(namespace, [PROJECT], cutoff=0.8):
            return f"{namespace}:{name}"
    return None


def _lines(error: ValidationError, values: Mapping[str, Any]) -> Iterable[str]:
    """A line for each refusal: the key as one writes it, what is allowed, and the value."""
    for refusal in error.errors(include_url=False):
        kind, value = refusal["type"], refusal["input"]
        if kind == "too_short" and value:
            # Its members were refused, each in a line of its own.
            continue
        # "[key]" marks the name of an entry, such as a job's: the name itself is what is wrong.
        path = _as_written([part for part in refusal["loc"] if part != "[key]"], values)
        reason = _REASONS.get(kind, refusal["msg"]).format(**refusal.get("ctx", {}))
        # Whoever took a secret's value for its ARN should not read it in a build's log.
        hidden = kind in _WITHOUT_VALUE or _is_whole(value) or "secrets" in path
        shown = "" if hidden else f" (is: {_shown(value)})"
        yield f"{_key(path)}: {reason.removeprefix('Value error, ')}{shown}"


_REASONS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "extra_forbidden": "unknown key; the README lists what there is",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "missing": "missing",
    "model_type": "must be a mapping of keys to values",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be text; put it in quotes",
    "too_long": "must have at most {max_length} entries, has {actual_length}",
    "too_short": "must have at least one entry",
    "tuple_type": "must be a list",
    "value_error": "{error}",
}
_WITHOUT_VALUE = {"missing", "extra_forbidden", "too_long", "too_short"}


def _is_whole(value: object) -> bool:
    """Whether it is a mapping whose parts were right: the reason says which do not go together."""
    return isinstance(value, dict)


def _as_written(path: list[int | str], values: Mapping[str, Any]) -> list[int | str]:
    """The path without the index of a step's only member, which nobody wrote as a list."""
    match path:
        case ["pipelines", name, "steps", int(number), int(), *rest]:
            step = values["pipelines"][name]["steps"][number]
            return path if isinstance(step, list) else [*path[:4], *rest]
        case _:
            return path


def _key(path: Iterable[int | str]) -> str:
    """jobs, ingest, cpu -> fargate-batch:jobs.ingest.cpu, and an index as [0]."""
    text = ""
    for part in path:
        text += (
            f"[{part}]"
            if isinstance(part, int)
            else "." + json.dumps(part, ensure_ascii=False).strip('"')
        )
    if text == ".region":
        return "aws:region"
    return f"{PROJECT}:{text.removeprefix('.')}"


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _across(settings: Settings) -> Iterable[str]:
    """What no part of the configuration can tell by itself."""
    yield from _unknown_jobs(settings)
    yield from _same_physical_names(settings)
    yield from _own_results(settings)
    yield from _quotas(settings)


def _unknown_jobs(settings: Settings) -> Iterable[str]:
    named = [(f"uploads.{name}.job", upload.job) for name, upload in settings.uploads.items()]
    named += [(f"schedules.{name}.job", it.job) for name, it in settings.schedules.items()]
    for name, pipeline in settings.pipelines.items():
        for number, members in enumerate(pipeline.steps):
            for member, step in enumerate(members):
                place = f"[{number}]" if len(members) == 1 else f"[{number}][{member}]"
                named.append((f"pipelines.{name}.steps{place}.job", step.job))
    for key, job in named:
        if job not in settings.jobs:
            jobs = ", ".join(sorted(settings.jobs))
            yield f"{PROJECT}:{key}: there is no job {job!r}; the jobs are {jobs}"


def _same_physical_names(settings: Settings) -> Iterable[str]:
    """Pipelines and schedules share the namespace of the stack's schedule group."""
    if "task-events" in settings.jobs:
        yield (
            f"{PROJECT}:jobs.task-events: the log of task events has the log group of that name; "
            "call the job something else"
        )
    for name in sorted(settings.pipelines.keys() & settings.schedules.keys()):
        yield (
            f"{PROJECT}:schedules.{name}: there is a pipeline of that name, and two schedules "
            "cannot have one name; rename either"
        )
    longest = max((f"pipeline-{name}" for name in settings.pipelines), key=len, default="")
    longest = max([longest, *(f"job-{name}" for name in settings.jobs)], key=len)
    limited = [name for name, job in settings.jobs.items() if job.max_concurrency]
    longest = max([longest, *(f"limit-{name}" for name in limited)], key=len)
    name = f"{pulumi.get_project()}-{pulumi.get_stack()}-{longest}"
    if len(name) > STATE_MACHINE_NAME_CHARACTERS:
        yield (
            f"{PROJECT}:jobs, pipelines: the state machine's name {name} has {len(name)} "
            f"characters, AWS allows {STATE_MACHINE_NAME_CHARACTERS}; shorten either"
        )


def _own_results(settings: Settings) -> Iterable[str]:
    """Uploads that a job's own results would match, over and over."""
    bucket, results = settings.uploads_bucket.bucket, settings.results_bucket
    if bucket is None or bucket != results.bucket:
        return
    for name, upload in settings.uploads.items():
        folder = f"{results.prefix}{upload.job}/"
        if upload.may_match_under(folder):
            yield (
                f"{PROJECT}:uploads.{name}: the job {upload.job} writes its results to "
                f"s3://{bucket}/{folder}, which this filter would match, so each result would "
                "start it again; use another bucket, or a prefix that is not above or below that"
            )


def _quotas(settings: Settings) -> Iterable[str]:
    # One rule each for the log of task events and the reaper, two for the alerts and for each job
    # that has a limit.
    limited = sum(job.max_concurrency is not None for job in settings.jobs.values())
    rules = len(settings.uploads) + 2 * limited + 4
    if rules > RULES_PER_BUS:
        yield (
            f"{PROJECT}:uploads: {len(settings.uploads)} uploads take {rules} rules, an event bus "
            f"has room for {RULES_PER_BUS}; let one upload start a job for several prefixes"
        )
    for name, upload in settings.uploads.items():
        # A bucket's name has at most 63 characters, the pattern around it about 120.
        parts = (upload.prefix, upload.suffix, upload.key, upload.wildcard)
        characters = 250 + len(json.dumps([part for part in parts if part]))
        if characters > PATTERN_CHARACTERS:
            yield (
                f"{PROJECT}:uploads.{name}: its event pattern takes about {characters} characters, "
                f"EventBridge allows {PATTERN_CHARACTERS}; use a shorter prefix, suffix or key"
            )
    for name, job in settings.jobs.items():
        size = len(json.dumps({**job.environment, **job.secrets}).encode())
        if size > TASK_DEFINITION_BYTES - 4096:
            yield (
                f"{PROJECT}:jobs.{name}.environment: takes {size} bytes, a task definition has "
                f"room for {TASK_DEFINITION_BYTES}; put it into an object or a parameter"
            )
    for name, pipeline in settings.pipelines.items():
        steps = [step for members in pipeline.steps for step in members]
        given = [step.given("commands", "environment") for step in steps]
        size = len(json.dumps(given).encode()) + STEP_BYTES * len(steps)
        if size > DEFINITION_BYTES:
            yield (
                f"{PROJECT}:pipelines.{name}.steps: take a definition of about {size} bytes, Step "
                f"Functions allows {DEFINITION_BYTES}; shorten their commands or split the pipeline"
            )
        jobs = {step.job for members in pipeline.steps for step in members}
        # Each job's state machine and its executions' pattern are named in the role's policy.
        characters = 2000 + sum(2 * (80 + len(f"fargate-batch-job-{job}") + 20) for job in jobs)
        if characters > ROLE_POLICY_CHARACTERS:
            yield (
                f"{PROJECT}:pipelines.{name}.steps: {len(jobs)} different jobs take a role policy "
                f"of about {characters} characters, IAM allows {ROLE_POLICY_CHARACTERS}; split it"
            )
