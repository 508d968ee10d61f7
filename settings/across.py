"""What no section of the configuration can tell by itself: a line for each refusal."""

import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain

import pulumi

from . import default_tags
from .names import machine_prefix
from .refusals import PROJECT
from .stack import Settings
from .zones import FARGATE_ZONES

# https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
RULES_PER_BUS = 300
PATTERN_CHARACTERS = 2048
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
TASK_DEFINITION_BYTES = 64 * 1024
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
ROLE_POLICY_CHARACTERS = 10_240
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STATE_MACHINE_NAME_CHARACTERS = 80
# https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
ROLE_PATH_CHARACTERS = 512
DEFINITION_BYTES = 1024 * 1024
# The longest path of a role below the stack's: that of the watcher.
_WATCHER = "watch/"
# What an SSM parameter of the index has room for, beside the upload's name.
EXCLUDED_CHARACTERS = 8000
# The most that one step takes in a definition, beside its commands and environment.
STEP_BYTES = 3300


def disagreements(settings: Settings) -> Iterable[str]:
    """What no part of the configuration can tell by itself."""
    yield from _unknown_jobs(settings)
    yield from _zones(settings)
    yield from _buckets(settings)
    yield from _pipelines_and_their_uploads(settings)
    yield from _same_physical_names(settings)
    yield from _same_containers(settings)
    yield from _own_results(settings)
    yield from _backfills(settings)
    yield from _unread_ingest(settings)
    yield from _quotas(settings)
    yield from _role_policies(settings)
    yield from default_tags.disagreements(settings)


def _unknown_jobs(settings: Settings) -> Iterable[str]:
    named = [(f"uploads.{name}.job", it.job) for name, it in settings.uploads.items() if it.job]
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


def _pipelines_and_their_uploads(settings: Settings) -> Iterable[str]:
    started = {it.pipeline: name for name, it in settings.uploads.items() if it.pipeline}
    for pipeline, name in started.items():
        if pipeline not in settings.pipelines:
            there = ", ".join(sorted(settings.pipelines)) or "none"
            yield (
                f"{PROJECT}:uploads.{name}.pipeline: there is no pipeline {pipeline!r}; "
                f"the pipelines are {there}"
            )
    for name, pipeline in settings.pipelines.items():
        if name in started and "overlap" not in pipeline.model_fields_set:
            yield (
                f"{PROJECT}:pipelines.{name}.overlap: missing; as uploads start it, say allow, or "
                "skip if uploads are to start nothing while a run goes on"
            )
        told = {it for step in chain.from_iterable(pipeline.steps) for it in step.placeholders}
        for placeholder in sorted(told & {"bucket", "key"}):
            if name not in started or pipeline.schedule is not None:
                yield (
                    f"{PROJECT}:pipelines.{name}.steps: <{placeholder}> is known of an upload, and "
                    + ("no upload" if name not in started else "its schedule, too,")
                    + " starts it"
                )
        if name not in started and pipeline.schedule is None:
            yield f"{PROJECT}:pipelines.{name}.schedule: missing; no upload starts it either"


def _zones(settings: Settings) -> Iterable[str]:
    has = FARGATE_ZONES.get(settings.region or "")
    for zone in settings.network.zones or ():
        if has is not None and zone not in has:
            yield (
                f"{PROJECT}:network.zones: there is no Fargate in {zone}; in {settings.region} it "
                f"is in {', '.join(has)}"
            )


def _buckets(settings: Settings) -> Iterable[str]:
    for name, upload in settings.uploads.items():
        if upload.bucket is not None and upload.bucket not in settings.buckets:
            there = ", ".join(sorted(settings.buckets)) or "none besides uploadsBucket"
            yield (
                f"{PROJECT}:uploads.{name}.bucket: there is no bucket {upload.bucket!r}; "
                f"the buckets are {there}"
            )
    places = {"uploadsBucket": settings.uploads_bucket}
    places |= {f"buckets.{name}": bucket for name, bucket in settings.buckets.items()}
    first = dict[str, str]()
    for key, place in places.items():
        if place.bucket is not None and (same := first.setdefault(place.bucket, key)) != key:
            yield (
                f"{PROJECT}:{key}.bucket: is that of {same}, too, and a bucket has one "
                "notification configuration: name it once, and let uploads share it"
            )
    results = settings.results_bucket
    for key, place in {**places, "resultsBucket": results}.items():
        if place.kms_key_arn and place.kms_key_arn.split(":")[3] != settings.region:
            yield (
                f"{PROJECT}:{key}.kmsKeyArn: a bucket of {settings.region} takes a key of that "
                f"Region (is: {place.kms_key_arn})"
            )
        shared = place.bucket is not None and place.bucket == results.bucket
        if shared and place.kms_key_arn != results.kms_key_arn:
            yield (
                f"{PROJECT}:{key}.kmsKeyArn: resultsBucket is the same bucket, with another key; "
                "say the same of both"
            )


def _same_physical_names(settings: Settings) -> Iterable[str]:
    """Pipelines and schedules share the namespace of the stack's schedule group."""
    stack = f"{pulumi.get_project()}-{pulumi.get_stack()}"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", stack):
        # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RegisterTaskDefinition.html
        yield (
            f"the stack {pulumi.get_stack()!r}: with {stack} begin the names of its task "
            "definitions, which ECS lets have letters, digits, - and _ alone; rename it"
        )
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
    limited = [name for name, job in settings.jobs.items() if job.max_concurrency]
    machines = [
        *(f"pipeline-{name}" for name in settings.pipelines),
        *(f"job-{name}" for name in settings.jobs),
        *(f"limit-{name}" for name in limited),
        *(["backfill-backfills"] if settings.backfills else []),
        # Every stack has these.
        *("reaper-task-reaper", "alerts-alerts"),
    ]
    name = f"{machine_prefix()}{max(machines, key=len)}"
    if len(name) > STATE_MACHINE_NAME_CHARACTERS:
        yield (
            f"{PROJECT}:jobs, pipelines: the state machine's name {name} has {len(name)} "
            f"characters, AWS allows {STATE_MACHINE_NAME_CHARACTERS}; shorten the stack's or the "
            "longest of theirs"
        )
    path = f"{settings.role_path}{pulumi.get_project()}/{pulumi.get_stack()}/{_WATCHER}"
    if len(path) > ROLE_PATH_CHARACTERS:
        yield (
            f"{PROJECT}:rolePath: the path of the stack's roles, {path}, has {len(path)} "
            f"characters, IAM allows {ROLE_PATH_CHARACTERS}; shorten it"
        )


def _same_containers(settings: Settings) -> Iterable[str]:
    """A job's own container has the job's name."""
    for name, job in settings.jobs.items():
        if name in job.sidecars:
            yield (
                f"{PROJECT}:jobs.{name}.sidecars.{name}: the job's own container has that name; "
                "call the sidecar something else"
            )


def _own_results(settings: Settings) -> Iterable[str]:
    """Uploads that results of what they start would match, over and over."""
    leads = _leads_to(settings)
    told = set[str]()
    for name in sorted(settings.uploads):
        circle = _circle(leads, name)
        if circle is None or told & set(circle):
            continue
        told |= set(circle)
        last = circle[-1]
        folder = leads[last][name]
        place = f"s3://{settings.results_bucket.bucket}/{folder}"
        if len(circle) == 1:
            which = "this filter would match, so each result would start it again"
        else:
            way = " → ".join([last, *circle])
            which = f"the filter of {name} would match, so they start each other for ever: {way}"
        yield (
            f"{PROJECT}:uploads.{last}: the job {folder.split('/')[-2]} writes its results to "
            f"{place}, which {which}; use another bucket, or a prefix that is not above or below "
            "that"
        )


def _leads_to(settings: Settings) -> Mapping[str, Mapping[str, str]]:
    """Which uploads each upload's results may match, and the folder those are in."""
    results = settings.results_bucket
    found: dict[str, dict[str, str]] = {name: {} for name in settings.uploads}
    if results.bucket is None:
        return found
    for name, upload in settings.uploads.items():
        for job in settings.jobs_of(upload):
            folder = f"{results.prefix}{job}/"
            for other, its in settings.uploads.items():
                if settings.bucket_of(its).bucket == results.bucket and its.may_match_under(folder):
                    found[name].setdefault(other, folder)
    return found


def _circle(leads: Mapping[str, Mapping[str, str]], start: str) -> list[str] | None:
    """The shortest way from an upload back to itself, without its end."""
    ways = [[start]]
    seen = {start}
    for way in ways:
        for then in leads[way[-1]]:
            if then == start:
                return way
            if then not in seen:
                seen.add(then)
                ways.append([*way, then])
    return None


def _backfills(settings: Settings) -> Iterable[str]:
    """What keeps an operator from running jobs for many objects."""
    if not settings.backfills:
        return
    started = {name: it for name, it in settings.uploads.items() if it.via == "stateMachine"}
    if not any(it.job for it in started.values()):
        yield (
            f"{PROJECT}:backfills: no upload starts the state machine of a job, so there is "
            "nothing to run for objects that are there already; leave it out"
        )
    folder = f"{settings.results_bucket.prefix}_backfills/"
    for name, upload in settings.uploads.items():
        bucket = settings.bucket_of(upload).bucket
        if bucket and bucket == settings.results_bucket.bucket and upload.may_match_under(folder):
            yield (
                f"{PROJECT}:uploads.{name}: backfills write lists of objects to "
                f"s3://{bucket}/{folder}, which this filter would match; use another bucket, or a "
                "prefix that is not above or below that"
            )
    for name, upload in started.items():
        characters = len(json.dumps(upload.exclude or ()))
        if upload.job and not upload.pattern_excludes and characters > EXCLUDED_CHARACTERS:
            yield (
                f"{PROJECT}:uploads.{name}.exclude: takes {characters} characters, and with "
                f"backfills there is room for {EXCLUDED_CHARACTERS}; use fewer or shorter ones"
            )


def _unread_ingest(settings: Settings) -> Iterable[str]:
    """Declarations that only the program's own container is known to read."""
    for name, job in settings.jobs.items():
        built = None if job.context is None else f"built from {job.context}"
        image = job.image or built or settings.image
        if job.ingest.model_fields_set and image and not job.reads_ingest:
            yield (
                f"{PROJECT}:jobs.{name}.ingest: the image {image} is not known to read it; "
                f"set jobs.{name}.readsIngest: true if it reads the variable INGEST, or take "
                "ingest away"
            )


def _sent(document: object) -> str:
    """A document as the program sends it, Japanese as it is."""
    return json.dumps(document, ensure_ascii=False)


def _quotas(settings: Settings) -> Iterable[str]:
    # One rule each for the log of task events, the watcher and each job that has a
    # limit, two each for the alerts and the reaper.
    limited = sum(job.max_concurrency is not None for job in settings.jobs.values())
    rules = len(settings.uploads) + limited + 6
    if rules > RULES_PER_BUS:
        yield (
            f"{PROJECT}:uploads: {len(settings.uploads)} uploads take {rules} rules, an event bus "
            f"has room for {RULES_PER_BUS}; let one upload start a job for several prefixes"
        )
    for name, upload in settings.uploads.items():
        # A bucket's name has at most 63 characters, the pattern around it about 120.
        keys = list(upload.alternatives)
        characters = 230 + len(_sent([{"wildcard": key} for key in keys]))
        if characters > PATTERN_CHARACTERS:
            yield (
                f"{PROJECT}:uploads.{name}: its event pattern takes about {characters} characters, "
                f"EventBridge allows {PATTERN_CHARACTERS}; use fewer or shorter prefixes, suffixes "
                "or keys"
            )
    for name, job in settings.jobs.items():
        given = [
            one.model_dump(include={"environment", "secrets", "entry_point", "commands"})
            for one in job.sidecars.values()
        ]
        given.append({**job.variables, **job.secrets})
        size = sum(len(_sent(one).encode()) for one in given)
        if size > TASK_DEFINITION_BYTES - 4096:
            yield (
                f"{PROJECT}:jobs.{name}.environment: takes {size} bytes, a task definition has "
                f"room for {TASK_DEFINITION_BYTES}; put it into an object or a parameter"
            )
    for name, pipeline in settings.pipelines.items():
        steps = [step for members in pipeline.steps for step in members]
        given = [
            step.model_dump(include={"commands", "environment"}, exclude_none=True)
            for step in steps
        ]
        size = len(_sent(given).encode()) + STEP_BYTES * len(steps)
        if size > DEFINITION_BYTES:
            yield (
                f"{PROJECT}:pipelines.{name}.steps: take a definition of about {size} bytes, Step "
                f"Functions allows {DEFINITION_BYTES}; shorten their commands or split the pipeline"
            )


def _role_policies(settings: Settings) -> Iterable[str]:
    """Roles of which IAM would refuse what they are granted."""
    for name, job in settings.jobs.items():
        own = [
            {
                "Sid": f"AtOnce{number}",
                "Effect": "Allow",
                "Action": one.actions,
                "Resource": one.resources,
                "Condition": one.conditions,
            }
            for number, one in enumerate(job.policies)
        ]
        # A bucket is listed and read, by ARNs of 80 characters at most; so are the results.
        characters = 1000 + 160 * len(settings.sources_of(name))
        characters += sum(len(arn) + 3 for arn in _keys_of(settings, name))
        # A volume's statement names its file system, and in its condition the access point.
        characters += sum(
            325 + len(volume.file_system_id) + len(volume.access_point_id or "")
            for volume in job.volumes.values()
            if volume.iam_authorization
        )
        characters += len(json.dumps(own, separators=(",", ":")))
        if own:
            place, what, advice = f"jobs.{name}.policies", "take", "use managedPolicies"
        else:
            place, what = f"jobs.{name}", "its buckets and volumes take"
            advice = "let several jobs share them"
        yield from _too_large(place, what, characters, advice)
        containers = (job, *job.sidecars.values())
        secrets = {arn for container in containers for arn in container.secrets.values()}
        characters = 1200 + sum(len(arn) + 3 for arn in secrets)
        advice = "put several values into one secret"
        yield from _too_large(f"jobs.{name}.secrets", f"{len(secrets)} take", characters, advice)
    for name, pipeline in settings.pipelines.items():
        jobs = {step.job for members in pipeline.steps for step in members}
        # Each job's state machine and its executions' pattern are named in the role's policy.
        characters = 2000 + sum(2 * (80 + len(f"fargate-batch-job-{job}") + 20) for job in jobs)
        what = f"{len(jobs)} different jobs take"
        yield from _too_large(f"pipelines.{name}.steps", what, characters, "split it")


def _keys_of(settings: Settings, job: str) -> set[str]:
    sources = settings.sources_of(job)
    of = [settings.uploads_bucket if one is None else settings.buckets.get(one) for one in sources]
    return {one.kms_key_arn for one in (*of, settings.results_bucket) if one and one.kms_key_arn}


def _too_large(place: str, what: str, characters: int, advice: str) -> Iterable[str]:
    if characters > ROLE_POLICY_CHARACTERS:
        yield (
            f"{PROJECT}:{place}: {what} a role policy of about {characters} characters, IAM allows "
            f"{ROLE_POLICY_CHARACTERS}; {advice}"
        )
