"""Every refusal of the configuration: one line with the key, what is allowed, the value."""

# ruff: noqa: E501 -- a refusal is one line, here as there

import json
from typing import Any

import pytest

import settings
from components.asl.pipeline import Step, run_pipeline
from settings import Settings, SettingsError, advice
from settings.across import STEP_BYTES
from tests.recorder import deploy, deploy_stack

Config = dict[str, Any]

A_NAME = "a name is 1 to 40 characters of a-z, 0-9 and -, begins with a letter, ends without -"
AN_IMAGE = "must be an image, in lower case, with its tag or digest, such as batch:1.0"
A_RATE = "a rate is a whole number above 0 and minutes, hours or days"
AN_EXPRESSION = (
    "must be cron(minutes hours day-of-month month day-of-week year), rate(5 minutes) or "
    "at(2030-01-31T10:00:00)"
)
A_DURATION = "must be a whole number and s, m, h or d, such as 90s, 15m, 1h or 1d"
A_CIDR = "must be an IPv4 range from /16 to /24, such as 10.0.0.0/16"
A_MOMENT = "a moment is at(yyyy-mm-ddThh:mm:ss), a date and time that exist"
A_UTC_TIME = "must be a UTC time that exists, as yyyy-mm-ddThh:mm:ssZ"
SIX_FIELDS = "AWS counts minutes hours day-of-month month day-of-week year"
ESCAPES = "a \\ only stands before * or \\, to mean that character itself"
NO_FILTER = "give prefix, suffix, key or wildcard; wildcard: '*' matches every upload"
RETENTIONS = (
    "1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, "
    "3288, 3653"
)
NEEDS_BOTH = "network: an existing network needs both vpcId and subnetIds"
WRITES = "uploads.in: the job ingest writes its results to s3://both"
TRIGGERS_ITSELF = (
    "which this filter would match, so each result would start it again; use another bucket, or a "
    "prefix that is not above or below that"
)


def load(config: Config) -> Settings:
    """The settings of a stack with these keys and, unless they say otherwise, one job."""
    values = {"jobs": {"ingest": {}}, **config}
    texts = {f"fargate-batch:{key}": _text(value) for key, value in values.items()}
    loaded: list[Settings] = []
    deploy(lambda: loaded.append(settings.load()), config={"aws:region": "ap-northeast-1", **texts})
    return loaded[0]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def refusal(config: Config) -> str:
    with pytest.raises(SettingsError) as refused:
        load(config)
    return str(refused.value)


def job(**keys: object) -> Config:
    return {"jobs": {"ingest": keys}}


def upload(**keys: object) -> Config:
    return {"uploads": {"in": {"job": "ingest", **keys}}}


def pipeline(**keys: object) -> Config:
    usual = {"schedule": "rate(1 day)", "steps": [{"job": "ingest"}]}
    return {"pipelines": {"nightly": {**usual, **keys}}}


def pipeline_of(name: str) -> Config:
    return {"pipelines": {name: {"schedule": "rate(1 day)", "steps": [{"job": "ingest"}]}}}


def schedule(expression: object = "rate(1 minute)", **keys: object) -> Config:
    return {"schedules": {"hello": {"job": "ingest", "schedule": expression, **keys}}}


def one_bucket(folder: str, **keys: object) -> Config:
    results = {"bucket": "both", "prefix": folder}
    return {**upload(**keys), "uploadsBucket": {"bucket": "both"}, "resultsBucket": results}


def key(region: str) -> str:
    return f"arn:aws:kms:{region}:123456789012:key/1"


def circle(a: str, b: str) -> Config:
    """The results of what `a` starts start `b`, by a pipeline, and the other way round."""
    return {
        "jobs": {"ingest": {}, "load": {}},
        "uploads": {
            a: {"job": "ingest", "prefix": "load/"},
            b: {"pipeline": "nightly", "prefix": "ingest/"},
        },
        "pipelines": {"nightly": {"steps": [{"job": "load"}], "overlap": "allow"}},
        "uploadsBucket": {"bucket": "both"},
        "resultsBucket": {"bucket": "both"},
    }


REFUSALS: list[tuple[Config, str]] = [
    # The whole
    ({"jobs": {}}, "jobs: must have at least one entry"),
    ({"jobs": []}, "jobs: must be a mapping of keys to values (is: [])"),
    ({"jobs": "ingest"}, 'jobs: must be a mapping of keys to values (is: "ingest")'),
    ({"job": {}}, "job: unknown key; the README lists what there is"),
    ({"region": "us-east-1"}, "region: not a key of this project; use aws:region"),
    ({"uploads": None}, "uploads: must be a mapping of keys to values (is: null)"),
    ({"logRetentionDays": "10"}, f"logRetentionDays: must be one of {RETENTIONS} (is: 10)"),
    ({"architecture": "arm64"}, "architecture: must be 'X86_64' or 'ARM64' (is: \"arm64\")"),
    ({"platformVersion": "1.3.0"}, "platformVersion: must be '1.4.0' or 'LATEST' (is: \"1.3.0\")"),
    (
        {"containerInsights": "on"},
        "containerInsights: must be 'enabled', 'enhanced' or 'disabled' (is: \"on\")",
    ),
    ({"protect": "sure"}, 'protect: must be true or false (is: "sure")'),
    ({"taskEvents": {"keepEvent": 3}}, "taskEvents.keepEvent: must be true or false (is: 3)"),
    (
        {"image": "batch"},
        'image: must be an image, in lower case, with its tag or digest, such as batch:1.0 (is: "batch")',
    ),
    (
        {"image": "会社/画像:1"},
        f'image: {AN_IMAGE} (is: "会社/画像:1")',
    ),
    *(
        ({"image": image}, f'image: {AN_IMAGE} (is: "{image}")')
        for image in (
            *("registry.example:5000/batch", "ghcr.io/Team/batch:1", "Team/batch:1", "a//b:1"),
            *("/batch:1", "batch:1/2", "batch@1.0", "batch:-1"),
        )
    ),
    *(
        ({"alerts": {"emails": [it]}}, f'alerts.emails[0]: must be an e-mail address (is: "{it}")')
        for it in ("a@b.c,d@e.f", "<a@b.c>")
    ),
    (
        {"image": "--privileged:1"},
        'image: must be an image, in lower case, with its tag or digest, such as batch:1.0 (is: "--privileged:1")',
    ),
    ({"alerts": {"emails": ["x"]}}, 'alerts.emails[0]: must be an e-mail address (is: "x")'),
    (
        {"alerts": {"emails": ["a@b.c", "a@b.c"]}},
        'alerts.emails: a@b.c is listed twice (is: ["a@b.c", "a@b.c"])',
    ),
    (
        {"alerts": {"httpsEndpoints": ["http://x"]}},
        (
            "alerts.httpsEndpoints[0]: must be https:// and a host of letters, digits, - and . "
            '(is: "http://x")'
        ),
    ),
    # Networks and buckets
    (
        {"network": {"vpcId": "vpc-1"}},
        NEEDS_BOTH,
    ),
    (
        {"network": {"subnetIds": ["subnet-1"]}},
        NEEDS_BOTH,
    ),
    (
        {"network": {"vpcId": "vpc-1", "subnetIds": []}},
        "network.subnetIds: must have at least one entry",
    ),
    (
        {"network": {"vpcId": "vpc-1", "subnetIds": ["x"]}},
        'network.subnetIds[0]: must be a subnet\'s id, subnet-… (is: "x")',
    ),
    (
        {"network": {"vpcId": "x", "subnetIds": ["subnet-1"]}},
        'network.vpcId: must be a VPC\'s id, vpc-… (is: "x")',
    ),
    (
        {"network": {"vpcId": "vpc-1", "subnetIds": ["subnet-1"], "nat": True}},
        "network: cidr, nat and zones are for a new network, vpcId for an existing one",
    ),
    (
        {"network": {"zones": ["ap-northeast-1a"]}},
        (
            "network.zones[0]: must be an availability zone's id, such as apne1-az1 "
            '(is: "ap-northeast-1a")'
        ),
    ),
    (
        {"network": {"zones": ["apne1-az1", "apne1-az3"]}},
        (
            "network.zones: there is no Fargate in apne1-az3; in ap-northeast-1 it is in "
            "apne1-az1, apne1-az2, apne1-az4"
        ),
    ),
    ({"network": {"cidr": "10.0.0.0/8"}}, f'network.cidr: {A_CIDR} (is: "10.0.0.0/8")'),
    ({"network": {"cidr": "10.0.0.0/25"}}, f'network.cidr: {A_CIDR} (is: "10.0.0.0/25")'),
    ({"network": {"cidr": "10.0.0.1/16"}}, f'network.cidr: {A_CIDR} (is: "10.0.0.1/16")'),
    ({"network": {"cidr": "300.0.0.0/16"}}, f'network.cidr: {A_CIDR} (is: "300.0.0.0/16")'),
    (
        {"uploadsBucket": {"bucket": "Mine"}},
        (
            "uploadsBucket.bucket: must be 3 to 63 characters of a-z, 0-9, . and -, with no . or - at either end "
            '(is: "Mine")'
        ),
    ),
    (
        {"uploadsBucket": {"notifications": "keep"}},
        "uploadsBucket: notifications: keep is for an existing bucket: give its name as bucket",
    ),
    (
        {"resultsBucket": {"bucket": "mine", "retentionDays": 3}},
        "resultsBucket: retentionDays is for a new bucket; an existing one keeps its rules",
    ),
    (
        upload(prefix="a", bucket="partner"),
        (
            "uploads.in.bucket: there is no bucket 'partner'; the buckets are none besides "
            "uploadsBucket"
        ),
    ),
    (
        {"uploadsBucket": {"bucket": "mine"}, "buckets": {"partner": {"bucket": "mine"}}},
        (
            "buckets.partner.bucket: is that of uploadsBucket, too, and a bucket has one "
            "notification configuration: name it once, and let uploads share it"
        ),
    ),
    (
        {"buckets": {"partner": {"kmsKeyArn": key("us-east-1")}}},
        (
            "buckets.partner.kmsKeyArn: a bucket of ap-northeast-1 takes a key of that Region "
            f"(is: {key('us-east-1')})"
        ),
    ),
    (
        {
            "uploadsBucket": {"bucket": "mine"},
            "resultsBucket": {"bucket": "mine", "kmsKeyArn": key("ap-northeast-1")},
        },
        (
            "uploadsBucket.kmsKeyArn: resultsBucket is the same bucket, with another key; say the "
            "same of both"
        ),
    ),
    (
        {"uploadsBucket": {"prefix": "in/"}},
        "uploadsBucket.prefix: unknown key; the README lists what there is",
    ),
    (
        {"uploadsBucket": {"retentionDays": 0}},
        "uploadsBucket.retentionDays: must be at least 1 (is: 0)",
    ),
    *(
        (
            {"uploadsBucket": {"allowedOrigins": [origin]}},
            (
                "uploadsBucket.allowedOrigins[0]: must be an origin, such as "
                f'https://app.example.com or https://*.example.com (is: "{origin}")'
            ),
        )
        for origin in ("*", "app.example.com", "https://app.example.com/", "https://*", "null")
    ),
    (
        {"resultsBucket": {"prefix": "out"}},
        'resultsBucket.prefix: must be empty, or end with / and not begin with it, and have no *, ? and $ (is: "out")',
    ),
    *(
        (
            {"resultsBucket": {"prefix": prefix}},
            (
                "resultsBucket.prefix: must be empty, or end with / and not begin with it, and have "
                f'no *, ? and $ (is: "{prefix}")'
            ),
        )
        for prefix in ("o*t/", "o?t/", "${aws:username}/")
    ),
    (
        {"resultsBucket": {"prefix": "/out/"}},
        'resultsBucket.prefix: must be empty, or end with / and not begin with it, and have no *, ? and $ (is: "/out/")',
    ),
    # Jobs
    (
        job(cpu=500),
        "jobs.ingest.cpu: must be one of 256, 512, 1024, 2048, 4096, 8192, 16384 (is: 500)",
    ),
    (job(cpu="half"), 'jobs.ingest.cpu: must be a whole number (is: "half")'),
    (job(cpu=512.5), "jobs.ingest.cpu: must be a whole number (is: 512.5)"),
    (job(memory="1GB"), 'jobs.ingest.memory: must be a whole number (is: "1GB")'),
    (
        job(memory=900),
        "jobs.ingest: memory 900 does not go with cpu 512; Fargate allows 1024, 2048, 3072, 4096",
    ),
    (
        job(cpu=256, memory=4096),
        "jobs.ingest: memory 4096 does not go with cpu 256; Fargate allows 512, 1024, 2048",
    ),
    (
        job(cpu=8192, memory=17408),
        (
            "jobs.ingest: memory 17408 does not go with cpu 8192; Fargate allows 16384, 20480, 24576, "
            "28672, 32768, 36864, 40960, 45056, 49152, 53248, 57344, 61440"
        ),
    ),
    (job(ram=1), "jobs.ingest.ram: unknown key; the README lists what there is"),
    (job(timeout="1 hour"), f'jobs.ingest.timeout: {A_DURATION} (is: "1 hour")'),
    (job(timeout=60), f"jobs.ingest.timeout: {A_DURATION} (is: 60)"),
    (job(timeout="0s"), f'jobs.ingest.timeout: {A_DURATION} (is: "0s")'),
    (job(timeout="15d"), 'jobs.ingest.timeout: must be at most 14d (is: "15d")'),
    (
        job(environment={"A-B": "x"}),
        (
            "jobs.ingest.environment.A-B: a variable's name is letters, digits and _, no digit "
            'first (is: "A-B")'
        ),
    ),
    (
        job(environment={"A": 1}),
        "jobs.ingest.environment.A: must be text; put it in quotes (is: 1)",
    ),
    (
        job(secrets={"A": "swordfish"}),
        "jobs.ingest.secrets.A: must be the ARN of a Secrets Manager secret or an SSM parameter",
    ),
    (
        job(secrets={"A": "arn:aws:ssm:r:123456789012:parameter/a"}, secretsKey="alias/mine"),
        'jobs.ingest.secretsKey: must be the ARN of a KMS key (is: "alias/mine")',
    ),
    (
        job(secretsKey="arn:aws:kms:r:123456789012:key/a"),
        "jobs.ingest: secretsKey decrypts secrets, and there are none",
    ),
    (
        job(environment={"A": "x"}, secrets={"A": "arn:aws:ssm:r:123456789012:parameter/a"}),
        "jobs.ingest: A is in both environment and secrets",
    ),
    (
        job(environment={"BUCKET": "b", "MINE": "x", "JOB": "j"}),
        (
            "jobs.ingest: BUCKET, JOB: the program sets this itself; "
            "a pipeline's step or a schedule may set BUCKET and those of the object"
        ),
    ),
    *(
        (
            config,
            f'{place}: must have no NUL, which cannot be passed to a process (is: "a\\u0000b")',
        )
        for place, config in (
            ("jobs.ingest.environment.A", job(environment={"A": "a\0b"})),
            ("jobs.ingest.entryPoint[0]", job(entryPoint=["a\0b"])),
            (
                "pipelines.nightly.steps[0].commands[0]",
                pipeline(steps=[{"job": "ingest", "commands": ["a\0b"]}]),
            ),
            ("schedules.hello.environment.A", schedule(environment={"A": "a\0b"})),
        )
    ),
    (job(retries=21), "jobs.ingest.retries: must be at most 20 (is: 21)"),
    (job(maxConcurrency=0), "jobs.ingest.maxConcurrency: must be at least 1 (is: 0)"),
    (job(maxConcurrency=1001), "jobs.ingest.maxConcurrency: must be at most 1000 (is: 1001)"),
    (
        job(retryExitCodes=[75, 65]),
        "jobs.ingest.retryExitCodes[1]: this exit code means that a retry cannot help (is: 65)",
    ),
    (job(retryExitCodes=[256]), "jobs.ingest.retryExitCodes[0]: must be at most 255 (is: 256)"),
    (
        job(retryExitCodes=[3], exitCodes={"success": [4]}),
        "jobs.ingest: retryExitCodes is the old name of exitCodes.retry: use exitCodes",
    ),
    (
        job(exitCodes={"success": [3], "warning": ["1-4"]}),
        "jobs.ingest.exitCodes: 3 is in both success and warning",
    ),
    (
        job(exitCodes={"warning": ["4-75"], "retry": [75]}),
        "jobs.ingest.exitCodes: 75 is in both warning and retry",
    ),
    (
        job(exitCodes={"warning": ["0-9"]}),
        "jobs.ingest.exitCodes: 0 is success, whatever the job",
    ),
    (
        job(exitCodes={"retry": ["9-3"]}),
        (
            "jobs.ingest.exitCodes.retry[0]: an exit code is 0 to 255, and a range goes up "
            '(is: "9-3")'
        ),
    ),
    (
        job(exitCodes={"retry": [256]}),
        "jobs.ingest.exitCodes.retry[0]: an exit code is 0 to 255, and a range goes up (is: 256)",
    ),
    *(
        (
            job(exitCodes={"retry": [code]}),
            (
                "jobs.ingest.exitCodes.retry[0]: must be an exit code, or a range of them such as "
                f"10-19 (is: {json.dumps(code)})"
            ),
        )
        for code in ("3..9", -1, 1.5, True)
    ),
    (
        pipeline(steps=[{"job": "ingest"}, {"job": "ingest", "onFailure": "finish"}]),
        (
            "pipelines.nightly.steps[1]: onFailure finish lets those side by side end, and this is "
            'alone; use stop or continue (is: [{"job": "ingest", "onFailure": "finish"}])'
        ),
    ),
    (job(retryExitCodes=75), "jobs.ingest.retryExitCodes: must be a list (is: 75)"),
    (job(ephemeralStorage=20), "jobs.ingest.ephemeralStorage: must be at least 21 (is: 20)"),
    (job(spot="maybe"), 'jobs.ingest.spot: must be true or false (is: "maybe")'),
    ({"jobs": {"Ingest": {}}}, f'jobs.Ingest: {A_NAME} (is: "Ingest")'),
    ({"jobs": {"in_gest": {}}}, f'jobs.in_gest: {A_NAME} (is: "in_gest")'),
    ({"jobs": {"ingest-": {}}}, f'jobs.ingest-: {A_NAME} (is: "ingest-")'),
    ({"jobs": {"a\n": {}}}, f'jobs.a\\n: {A_NAME} (is: "a\\n")'),
    ({"jobs": {"取込": {}}}, f'jobs.取込: {A_NAME} (is: "取込")'),
    ({"jobs": {"x" * 41: {}}}, f'jobs.{"x" * 41}: {A_NAME} (is: "{"x" * 41}")'),
    ({"jobs": {"ingest": None}}, "jobs.ingest: must be a mapping of keys to values (is: null)"),
    (
        {"jobs": {"task-events": {}}},
        (
            "jobs.task-events: the log of task events has the log group of that name; call the job "
            "something else"
        ),
    ),
    (
        job(environment={"A": "x" * 65_536}),
        (
            "jobs.ingest.environment: takes 65545 bytes, a task definition has room for 65536; put it "
            "into an object or a parameter"
        ),
    ),
    # Uploads
    (upload(), f"uploads.in: {NO_FILTER}"),
    (upload(prefix=""), 'uploads.in.prefix: must not be empty (is: "")'),
    (upload(prefix=[]), "uploads.in.prefix: must have at least one entry"),
    (upload(prefix=["a", 1]), "uploads.in.prefix[1]: must be text; put it in quotes (is: 1)"),
    (
        upload(suffix=[".csv", ".csv"]),
        'uploads.in.suffix: .csv is listed twice (is: [".csv", ".csv"])',
    ),
    (
        upload(key=["a", "b"], exclude="b"),
        "uploads.in: exclude is not for key: leave what should start nothing out of it",
    ),
    (
        upload(prefix="in/", exclude="*.tmp", via="task"),
        (
            "uploads.in: exclude is looked at by a state machine, unless wildcard is '*', as no "
            "pattern can say 'this and not that' of a key: leave via: task out"
        ),
    ),
    (
        {"backfills": True, **upload(prefix="in/", via="task")},
        (
            "backfills: no upload starts the state machine of a job, so there is nothing to run "
            "for objects that are there already; leave it out"
        ),
    ),
    (
        {
            "backfills": True,
            **one_bucket("out/", suffix=".jsonl", job="load"),
            "jobs": {"load": {}},
        },
        (
            "uploads.in: the job load writes its results to s3://both/out/load/, which this filter "
            "would match, so each result would start it again; use another bucket, or a prefix that is "
            "not above or below that\n"
            "fargate-batch:uploads.in: backfills write lists of objects to s3://both/out/_backfills/, "
            "which this filter would match; use another bucket, or a prefix that is not above or below "
            "that"
        ),
    ),
    (
        {"backfills": True, **upload(prefix="in/", exclude=[f"{n}{'x' * 800}" for n in range(10)])},
        (
            "uploads.in.exclude: takes 8050 characters, and with backfills there is room for 8000; "
            "use fewer or shorter ones"
        ),
    ),
    (
        upload(prefix="a/", key="b"),
        "uploads.in: give key, or wildcard, or prefix and suffix, not several of them",
    ),
    (
        upload(wildcard="a**"),
        'uploads.in.wildcard: EventBridge allows no two * in a row (is: "a**")',
    ),
    (upload(wildcard="a\\b*"), f'uploads.in.wildcard: {ESCAPES} (is: "a\\\\b*")'),
    (upload(wildcard=["a", "a\\"]), f'uploads.in.wildcard[1]: {ESCAPES} (is: "a\\\\")'),
    (upload(key="a/"), "uploads.in: key 'a/' is a folder marker, which starts nothing"),
    (upload(key=""), 'uploads.in.key: must not be empty (is: "")'),
    (upload(prefix="a/", minSize=2, maxSize=1), "uploads.in: minSize 2 is above maxSize 1"),
    (
        upload(prefix="a/", maxSize=0),
        "uploads.in: maxSize 0 leaves only folder markers, which start nothing",
    ),
    (
        upload(prefix="a/", minSize=100),
        "uploads.in: minSize 100 needs maxSize: EventBridge compares numbers up to 5000000000, so a larger object would start nothing unsaid",
    ),
    (upload(prefix="a/", minSize=-1), "uploads.in.minSize: must be at least 0 (is: -1)"),
    (
        upload(prefix="a/", via="lambda"),
        "uploads.in.via: must be 'stateMachine' or 'task' (is: \"lambda\")",
    ),
    (
        upload(exclude={"suffix": ".tmp"}),
        "uploads.in.exclude: must be text, no list and no mapping",
    ),
    (upload(prefix=1), "uploads.in.prefix: must be text; put it in quotes (is: 1)"),
    (
        upload(prefix="a", job="other"),
        "uploads.in.job: there is no job 'other'; the jobs are ingest",
    ),
    (
        {"uploads": {"in": {"prefix": "a"}}},
        "uploads.in: give job, or pipeline: what the upload starts",
    ),
    (
        {"uploads": {"in": {"prefix": "a", "job": "ingest", "pipeline": "nightly"}}},
        "uploads.in: give job, or pipeline: what the upload starts",
    ),
    (
        {"uploads": {"in": {"prefix": "a", "pipeline": "nightly", "via": "task"}}},
        "uploads.in: a pipeline is a state machine: via: task is for a job",
    ),
    (
        {"uploads": {"in": {"prefix": "a", "pipeline": "other"}}},
        "uploads.in.pipeline: there is no pipeline 'other'; the pipelines are none",
    ),
    (
        {**upload(prefix="a", job=None, pipeline="nightly"), **pipeline()},
        (
            "pipelines.nightly.overlap: missing; as uploads start it, say allow, or skip if "
            "uploads are to start nothing while a run goes on"
        ),
    ),
    (pipeline(schedule=None), "pipelines.nightly.schedule: missing; no upload starts it either"),
    (
        pipeline(steps=[{"job": "ingest", "commands": ["<key>"]}]),
        "pipelines.nightly.steps: <key> is known of an upload, and no upload starts it",
    ),
    (
        {
            **upload(prefix="a", job=None, pipeline="nightly"),
            **pipeline(steps=[{"job": "ingest", "environment": {"A": "<bucket>"}}], overlap="skip"),
        },
        "pipelines.nightly.steps: <bucket> is known of an upload, and its schedule, too, starts it",
    ),
    (
        pipeline(schedule=None, enabled=False, flexibleMinutes=5),
        "pipelines.nightly: enabled, flexibleMinutes only count with a schedule, and there is none",
    ),
    (
        circle("a", "b"),
        (
            "uploads.b: the job load writes its results to s3://both/load/, which the filter of a "
            "would match, so they start each other for ever: b → a → b; use another bucket, or a "
            "prefix that is not above or below that"
        ),
    ),
    (
        upload(prefix="x" * 1025),
        f'uploads.in.prefix: must have at most 1024 bytes, as keys have (is: "{"x" * 76}...)',
    ),
    (
        upload(wildcard=["取" * 342]),
        f'uploads.in.wildcard[0]: must have at most 1024 bytes, as keys have (is: "{"取" * 76}...)',
    ),
    (
        upload(prefix="x" * 1000, suffix="y" * 1000),
        (
            "uploads.in: its event pattern takes about 2249 characters, EventBridge allows 2048; use "
            "fewer or shorter prefixes, suffixes or keys"
        ),
    ),
    (
        {"uploads": {f"u{n}": {"job": "ingest", "prefix": "a/"} for n in range(301)}},
        (
            "uploads: 301 uploads take 307 rules, an event bus has room for 300; let one upload start "
            "a job for several prefixes"
        ),
    ),
    # Results that would be uploads
    (
        one_bucket("out/", prefix="out/"),
        f"{WRITES}/out/ingest/, {TRIGGERS_ITSELF}",
    ),
    (
        one_bucket("", suffix=".csv"),
        f"{WRITES}/ingest/, {TRIGGERS_ITSELF}",
    ),
    (
        one_bucket("out/", prefix="out/ingest/2030/"),
        f"{WRITES}/out/ingest/, {TRIGGERS_ITSELF}",
    ),
    (
        one_bucket("o\\t/", wildcard="o\\\\t/*"),
        f"{WRITES}/o\\t/ingest/, {TRIGGERS_ITSELF}",
    ),
    # Pipelines
    (pipeline(steps=[]), "pipelines.nightly.steps: must have at least one entry"),
    (pipeline(steps=[[]]), "pipelines.nightly.steps[0]: must have at least one entry"),
    (pipeline(steps=None), "pipelines.nightly.steps: must be a list (is: null)"),
    (
        pipeline(steps=["ingest"]),
        'pipelines.nightly.steps[0]: must be a mapping of keys to values (is: "ingest")',
    ),
    (pipeline(steps=[{}]), "pipelines.nightly.steps[0].job: missing"),
    (
        pipeline(steps=[{"job": "other"}]),
        "pipelines.nightly.steps[0].job: there is no job 'other'; the jobs are ingest",
    ),
    (
        pipeline(steps=[{"job": "ingest"}, [{"job": "ingest"}, {"job": "other"}]]),
        "pipelines.nightly.steps[1][1].job: there is no job 'other'; the jobs are ingest",
    ),
    (
        pipeline(steps=[[{"job": "ingest"}] * 41]),
        "pipelines.nightly.steps[0]: must have at most 40 entries, has 41",
    ),
    (
        pipeline(steps=[{"job": "ingest"}] * 101),
        "pipelines.nightly.steps: must have at most 100 entries, has 101",
    ),
    (
        pipeline(steps=[[{"job": "ingest", "commands": "go"}, {"job": "ingest"}]]),
        'pipelines.nightly.steps[0][0].commands: must be a list (is: "go")',
    ),
    (
        pipeline(steps=[{"job": "ingest", "commands": [1]}]),
        "pipelines.nightly.steps[0].commands[0]: must be text; put it in quotes (is: 1)",
    ),
    (
        pipeline(steps=[{"job": "ingest", "commands": ["a", "<date:%Y%f>"]}]),
        (
            "pipelines.nightly.steps[0].commands[1]: <date:%Y%f>: a pipeline cannot write %f; there "
            "are %Y, %m, %d, %H, %M, %S, %y, %j, %b, %B, %a, %A, %u, %G, %V, %I, %p, %z, %% "
            '(is: "<date:%Y%f>")'
        ),
    ),
    (
        pipeline(steps=[{"job": "ingest", "environment": {"A": "<aws.scheduler.scheduled-time>"}}]),
        (
            "pipelines.nightly.steps[0].environment.A: Scheduler does not replace "
            "<aws.scheduler.scheduled-time> in a step; use <scheduledTime> "
            '(is: "<aws.scheduler.scheduled-time>")'
        ),
    ),
    (
        schedule(commands=["<date:%Y>"]),
        (
            "schedules.hello.commands[0]: a schedule has no <date:…>, as Scheduler formats no dates; "
            'make it a pipeline of one step, or use <scheduledTime> (is: "<date:%Y>")'
        ),
    ),
    (
        schedule(environment={"A": "<scheduleTime>"}),
        (
            "schedules.hello.environment.A: there is no placeholder <scheduleTime>; did you mean "
            '<scheduledTime>, or for the text itself <<scheduleTime> (is: "<scheduleTime>")'
        ),
    ),
    (
        pipeline(steps=[{"job": "ingest", "commands": ["x" * 8192]}]),
        (
            "pipelines.nightly.steps[0]: commands and environment take 8272 characters as JSON; ECS "
            "allows 8192: put the data into an object and pass its key"
        ),
    ),
    (
        pipeline(steps=[{"job": "ingest", "onFailure": "retry"}]),
        "pipelines.nightly.steps[0].onFailure: must be 'stop', 'continue' or 'finish' (is: \"retry\")",
    ),
    (
        pipeline(overlap="queue"),
        "pipelines.nightly.overlap: must be 'skip' or 'allow' (is: \"queue\")",
    ),
    *(
        (
            pipeline(timezone=zone),
            (
                "pipelines.nightly.timezone: must be an IANA time zone, such as Asia/Tokyo or UTC "
                f'(is: "{zone}")'
            ),
        )
        # A machine's own list has these, too.
        for zone in ("localtime", "Factory", "asia/tokyo")
    ),
    (
        pipeline(timezone="Tokyo"),
        (
            "pipelines.nightly.timezone: must be an IANA time zone, such as Asia/Tokyo or UTC "
            '(is: "Tokyo")'
        ),
    ),
    (
        {
            "jobs": {f"j{n}": {} for n in range(40)},
            **pipeline(steps=[{"job": f"j{n}"} for n in range(40)]),
        },
        (
            "pipelines.nightly.steps: 40 different jobs take a role policy of about 11660 characters, "
            "IAM allows 10240; split it"
        ),
    ),
    (
        pipeline(steps=[[{"job": "ingest", "commands": ["x" * 8000]}] * 20] * 5),
        (
            "pipelines.nightly.steps: take a definition of about 1132000 bytes, Step Functions allows "
            "1048576; shorten their commands or split the pipeline"
        ),
    ),
    # Schedules
    (schedule("rate(1 minutes)"), 'S: AWS wants rate(1 minute) (is: "rate(1 minutes)")'),
    (schedule("rate(5 minute)"), 'S: AWS wants rate(5 minutes) (is: "rate(5 minute)")'),
    (schedule("rate(0 minutes)"), f'S: {A_RATE} (is: "rate(0 minutes)")'),
    (schedule("rate(-1 minutes)"), f'S: {A_RATE} (is: "rate(-1 minutes)")'),
    (schedule("rate(05 minutes)"), f'S: {A_RATE} (is: "rate(05 minutes)")'),
    (
        schedule("rate(100001 days)"),
        'S: a rate is at most 100000 minutes, hours or days (is: "rate(100001 days)")',
    ),
    (schedule("rate(1 week)"), f'S: {A_RATE} (is: "rate(1 week)")'),
    (schedule("every day"), f'S: {AN_EXPRESSION} (is: "every day")'),
    (schedule(5), "S: must be text; put it in quotes (is: 5)"),
    (
        schedule("cron(71 * * * ? *)"),
        f"S: Invalid minute value '71'; {SIX_FIELDS} (is: \"cron(71 * * * ? *)\")",
    ),
    (
        schedule("cron(0 25 * * ? *)"),
        f"S: Invalid hour value '25'; {SIX_FIELDS} (is: \"cron(0 25 * * ? *)\")",
    ),
    (
        schedule("cron(0 0 32 * ? *)"),
        f"S: Invalid day-of-month value '32'; {SIX_FIELDS} (is: \"cron(0 0 32 * ? *)\")",
    ),
    (
        schedule("cron(0 0 ? 13 * *)"),
        f"S: Invalid month value '13'; {SIX_FIELDS} (is: \"cron(0 0 ? 13 * *)\")",
    ),
    (
        schedule("cron(0 0 ? * 8 *)"),
        f"S: Invalid day-of-week value '8'; {SIX_FIELDS} (is: \"cron(0 0 ? * 8 *)\")",
    ),
    (
        schedule("cron(0 0 * * ? 1969)"),
        f"S: Invalid year value '1969'; {SIX_FIELDS} (is: \"cron(0 0 * * ? 1969)\")",
    ),
    (
        schedule("cron(0 10 * * ?)"),
        (
            "S: Incorrect number of values in '0 10 * * ?'. 6 required, 5 provided; "
            f'{SIX_FIELDS} (is: "cron(0 10 * * ?)")'
        ),
    ),
    (
        schedule("cron(0 10 * * * *)"),
        (
            "S: Invalid combination of day-of-month '*' and day-of-week '*'; one must be a question "
            f'mark (?); {SIX_FIELDS} (is: "cron(0 10 * * * *)")'
        ),
    ),
    (
        schedule("cron(0 0 30 2 ? *)"),
        'S: day 30 does not exist in month 2, so it would never fire (is: "cron(0 0 30 2 ? *)")',
    ),
    (
        schedule("cron(0 0 31 FEB,APR,jun,SEP,NOV ? *)"),
        (
            "S: day 31 does not exist in month FEB,APR,jun,SEP,NOV, so it would never fire "
            '(is: "cron(0 0 31 FEB,APR,jun,SEP,NOV ? *)")'
        ),
    ),
    (
        schedule("cron(0 0 30-31 2 ? *)"),
        (
            "S: day 30-31 does not exist in month 2, so it would never fire "
            '(is: "cron(0 0 30-31 2 ? *)")'
        ),
    ),
    (schedule("at(2030-02-30T00:00:00)"), f'S: {A_MOMENT} (is: "at(2030-02-30T00:00:00)")'),
    *(
        (schedule(f"at({moment})"), f'S: {A_MOMENT} (is: "at({moment})")')
        for moment in ("2030-1-1T0:0:0", "2030-01-01T00:00:00.5", "2030-01-01T00:00:00Z")
    ),
    (
        schedule(start="2030-1-1T0:0:0Z"),
        f'schedules.hello.start: {A_UTC_TIME} (is: "2030-1-1T0:0:0Z")',
    ),
    (schedule("at(2030-01-01)"), f'S: {A_MOMENT} (is: "at(2030-01-01)")'),
    (schedule(flexibleMinutes=0), "schedules.hello.flexibleMinutes: must be at least 1 (is: 0)"),
    (
        schedule(flexibleMinutes=1441),
        "schedules.hello.flexibleMinutes: must be at most 1440 (is: 1441)",
    ),
    (schedule(start="2030-01-01"), f'schedules.hello.start: {A_UTC_TIME} (is: "2030-01-01")'),
    (
        schedule(end="2030-02-30T00:00:00Z"),
        f'schedules.hello.end: {A_UTC_TIME} (is: "2030-02-30T00:00:00Z")',
    ),
    (
        schedule(start="2030-01-02T00:00:00Z", end="2030-01-01T00:00:00Z"),
        "schedules.hello: start 2030-01-02T00:00:00Z is not before end 2030-01-01T00:00:00Z",
    ),
    (schedule(count=11), "schedules.hello.count: must be at most 10 (is: 11)"),
    (
        schedule(environment={"A": "x" * 8192}),
        (
            "schedules.hello: commands and environment take 8298 characters as JSON; ECS allows 8192: "
            "put the data into an object and pass its key"
        ),
    ),
    (schedule(job="other"), "schedules.hello.job: there is no job 'other'; the jobs are ingest"),
    (
        {**pipeline(), "schedules": {"nightly": {"job": "ingest", "schedule": "rate(1 day)"}}},
        (
            "schedules.nightly: there is a pipeline of that name, and two schedules cannot have one "
            "name; rename either"
        ),
    ),
]


TABLE = "arn:aws:dynamodb:ap-northeast-1:123456789012:table/orders"
PARAMETER = "arn:aws:ssm:r:123456789012:parameter/"
ROLE = "arn:aws:iam::123456789012:role/other"
KEY = "arn:aws:kms:ap-northeast-1:123456789012:key/12345678-1234-1234-1234-12345678"


def may(*actions: str, on: str = TABLE, **more: Any) -> Config:  # noqa: ANN401 -- YAML
    return job(policies=[{"actions": list(actions), "resources": [on], **more}])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (may("dynamodb:*"), "policies[0].actions[0]: an action is service:Name"),
        (may("*"), "policies[0].actions[0]: an action is service:Name"),
        (may("dynamodb:GetItem", on="*"), "policies[0].resources[0]: must be an ARN"),
        (may("s3:GetObject", on="arn:aws:*:::x"), "must be an ARN, with * only in its last part"),
        (may("s3:GetObject", on="arn:aws:s3:*:*:x"), "* may stand only in the last part"),
        (may("iam:PassRole", on=f"{ROLE}*"), "iam:PassRole on a pattern"),
        (may("iam:PassRole", on=ROLE), "needs the condition StringEquals iam:PassedToService"),
        (may(), "policies[0].actions"),
        (
            may("s3:GetObject", conditions={"StringEqual": {"a": "b"}}),
            "policies[0].conditions.StringEqual: must be an operator of IAM's conditions",
        ),
        (
            may("s3:GetObject", conditions={"Bool": {"aws:SecureTransport": True}}),
            "policies[0].conditions.Bool.aws:SecureTransport: must be text; put it in quotes",
        ),
        (
            job(policies=[{"actions": ["sqs:SendMessage"], "resources": [TABLE]}] * 90),
            (
                "jobs.ingest.policies: take a role policy of about 14921 characters, IAM allows "
                "10240; use managedPolicies"
            ),
        ),
        (
            {
                **job(),
                "buckets": {f"b{n}": {"kmsKeyArn": f"{KEY}{n:04}"} for n in range(40)},
                "uploads": {
                    f"u{n}": {"job": "ingest", "bucket": f"b{n}", "prefix": "a/"} for n in range(40)
                },
            },
            (
                "jobs.ingest: its buckets and volumes take a role policy of about 10882 "
                "characters, IAM allows 10240; let several jobs share them"
            ),
        ),
        (
            job(
                volumes={
                    f"v{n}": {"fileSystemId": f"fs-{n:040}", "containerPath": f"/{n}"}
                    for n in range(25)
                }
            ),
            "jobs.ingest: its buckets and volumes take a role policy of about 10362 characters",
        ),
        (
            job(secrets={f"S{number}": f"{PARAMETER}{number:050}" for number in range(101)}),
            (
                "jobs.ingest.secrets: 101 take a role policy of about 10290 characters, IAM allows "
                "10240; put several values into one secret"
            ),
        ),
        (job(secrets={"A": f"{PARAMETER}*"}), "jobs.ingest.secrets.A: must be the ARN of a"),
        (job(secrets={"A": PARAMETER.replace("parameter", "document")}), "must be the ARN of a"),
        (
            job(secrets={"A": PARAMETER}, secretsKey="arn:aws:kms:r:123456789012:key/*"),
            "jobs.ingest.secretsKey: must be the ARN of a KMS key",
        ),
        (
            job(managedPolicies=["arn:aws:iam::aws:policy/AmazonS3FullAccess"]),
            "managedPolicies[0]: must be the ARN of a managed policy, and none that grants",
        ),
        (job(network={"subnetIds": ["subnet-1"]}), "network: subnetIds need assignPublicIp"),
        (job(network={"securityGroupIds": ["x"]}), "must be a security group's id, sg-…"),
        (job(stopTimeout=121), "stopTimeout: "),
        (job(ulimits={"nofile": 1}), "ulimits.nofile: "),
        (job(logs={"bufferSize": "25m"}), "logs: bufferSize is for mode: non-blocking"),
        (job(logs={"mode": "non-blocking", "bufferSize": "25 MB"}), "must be a size in k or m"),
        (job(user="-x"), "user: must be a user, or user:group"),
        (
            job(repositoryCredentials="arn:aws:secretsmanager:x:123456789012:secret:r-1"),
            "repositoryCredentials are for the registry of the job's image",
        ),
        (job(context="etl", image="etl:1"), "context is what an image is built from"),
        (job(dockerfile="etl/Dockerfile"), "dockerfile needs context"),
        (job(context="/etl"), "must be a path in the repository"),
        (job(context="etl/../../x"), "must be a path in the repository"),
        (
            job(context="etl", ingest={"header": True}),
            "the image built from etl is not known to read it",
        ),
    ],
)
def test_what_a_job_may_not_say_of_its_container_is_refused(config: Config, reason: str) -> None:
    assert reason in refusal(config)


def beside(depends_on: Config | None = None, **sidecars: Config) -> Config:
    made = {name: {"image": "ghcr.io/team/x:1", **keys} for name, keys in sidecars.items()}
    return job(sidecars=made, dependsOn=depends_on or {})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (job(sidecars={"a": {}}), "jobs.ingest.sidecars.a.image: missing"),
        (beside(a={"healthCheck": {}}), "sidecars.a.healthCheck.command: missing"),
        (
            beside(ingest={}),
            "jobs.ingest.sidecars.ingest: the job's own container has that name",
        ),
        (
            beside({"b": "START"}, a={}),
            "jobs.ingest: dependsOn: there is no sidecar 'b'; there is a",
        ),
        (
            beside(a={"dependsOn": {"b": "START"}}),
            "sidecars.a.dependsOn: there is no sidecar 'b'; there is a",
        ),
        (
            beside({"a": "SUCCESS"}, a={"essential": True}),
            "dependsOn.a: SUCCESS of what is essential would end the task",
        ),
        (beside({"a": "HEALTHY"}, a={}), "dependsOn.a: HEALTHY needs sidecars.a.healthCheck"),
        (
            beside(a={"dependsOn": {"b": "START"}}, b={"dependsOn": {"a": "START"}}),
            "jobs.ingest: sidecars wait for each other in a circle",
        ),
        (
            beside(a={"memory": 512}, b={"memory": 512}),
            "jobs.ingest: sidecars take memory 1024 of the job's 1024, and leave its own none",
        ),
        (beside(a={"cpu": 512}), "sidecars take cpu 512 of the job's 512"),
        (
            beside(
                a={
                    "environment": {"K": "v"},
                    "secrets": {"K": "arn:aws:ssm:r:123456789012:parameter/a"},
                }
            ),
            "jobs.ingest.sidecars.a: K is in both environment and secrets",
        ),
        (beside(**{f"s{n}": {} for n in range(10)}), "jobs.ingest.sidecars: "),
    ],
)
def test_sidecars_that_ecs_would_refuse_are_refused(config: Config, reason: str) -> None:
    assert reason in refusal(config)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (job(tags={"aws:x": "a"}), "jobs.ingest.tags.aws:x: a tag's name is 1 to 128"),
        (job(tags={"AWS:x": "a"}), "a tag's name is 1 to 128"),
        (job(tags={"batch-job": "a"}), "and not aws:…, batch-job or batch-trigger"),
        (job(tags={"a;b": "a"}), "a tag's name is 1 to 128"),
        (job(tags={"a": "x" * 257}), "jobs.ingest.tags.a: a tag's value is at most 256"),
        (
            job(tags={f"t{n}": "" for n in range(21)}),
            "jobs.ingest.tags: must have at most 20 entries, has 21",
        ),
        (schedule(tags={"a": "*"}), "schedules.hello.tags.a: a tag's value is at most 256"),
        (
            upload(prefix="in/", tags={"a": "b"}),
            "uploads.in: tags are of a task that the upload starts itself, with via: task",
        ),
    ],
)
def test_tags_that_a_task_cannot_have_are_refused(config: Config, reason: str) -> None:
    assert reason in refusal(config)


def mounting(name: str = "data", **keys: object) -> Config:
    usual = {"fileSystemId": "fs-12345678", "containerPath": "/mnt/data"}
    return job(volumes={name: {**usual, **keys}})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (job(volumes={"data": {}}), "jobs.ingest.volumes.data.fileSystemId: missing"),
        (mounting(fileSystemId="efs"), "volumes.data.fileSystemId: must be a file system's id"),
        (mounting(accessPointId="fs-1"), "data.accessPointId: must be an access point's id"),
        (mounting(containerPath="mnt"), "containerPath: must be a path from the root"),
        (mounting(containerPath="/mnt/"), "containerPath: must be a path from the root"),
        (mounting(containerPath="/"), "containerPath: must be a path from the root"),
        (
            mounting(transitEncryption=False),
            "jobs.ingest.volumes.data: transitEncryption: false goes neither with",
        ),
        (
            mounting(
                transitEncryption=False, iamAuthorization=False, accessPointId="fsap-12345678"
            ),
            "jobs.ingest.volumes.data: transitEncryption: false goes neither with",
        ),
        (mounting("tmp"), "jobs.ingest: volumes.tmp: readonlyRootFilesystem makes one"),
        (
            job(
                readonlyRootFilesystem=True,
                volumes={"a": {"fileSystemId": "fs-12345678", "containerPath": "/tmp"}},  # noqa: S108 -- the container's
            ),
            "jobs.ingest: volumes: two are at containerPath /tmp",
        ),
        (
            job(
                volumes={
                    name: {"fileSystemId": "fs-12345678", "containerPath": "/mnt/a"}
                    for name in ("a", "b")
                }
            ),
            "jobs.ingest: volumes: two are at containerPath /mnt/a",
        ),
    ],
)
def test_volumes_that_no_container_could_have_are_refused(config: Config, reason: str) -> None:
    assert reason in refusal(config)


def test_the_key_of_a_sidecars_secrets_may_be_said() -> None:
    secret = {"K": "arn:aws:ssm:r:123456789012:parameter/a"}
    key = "arn:aws:kms:r:123456789012:key/a"
    config = job(secretsKey=key, sidecars={"a": {"image": "x:1", "secrets": secret}})
    assert load(config).jobs["ingest"].secrets_key == key


def test_rights_that_name_what_is_used_are_taken() -> None:
    passed = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    for config in (
        may("dynamodb:GetItem", on=f"{TABLE}/index/*"),
        may("s3:GetObject", on="arn:aws:s3:::partner/*"),
        may("iam:PassRole", on=ROLE, conditions=passed),
        job(managedPolicies=["arn:aws:iam::123456789012:policy/read-rates"]),
    ):
        load(config)


def test_uploads_may_hand_on_to_one_another_without_a_circle() -> None:
    config = circle("a", "b")
    config["uploads"]["b"]["prefix"] = "other/"
    assert load(config).uploads["b"].pipeline == "nightly"


def test_two_ways_to_one_upload_are_no_circle() -> None:
    config = circle("a", "b")
    config["jobs"]["end"] = {}
    config["uploads"] = {
        "a": {"job": "ingest", "key": "first"},
        "b": {"job": "load", "prefix": "ingest/"},
        "c": {"job": "load", "prefix": "ingest/a/"},
        "d": {"job": "end", "prefix": "load/"},
    }
    del config["pipelines"]
    assert load(config).uploads.keys() == {"a", "b", "c", "d"}


def test_steps_of_a_pipeline_that_uploads_alone_start_may_name_the_object() -> None:
    steps = [{"job": "ingest", "commands": ["<bucket>", "<key>"]}]
    loaded = load(
        {
            "uploads": {"in": {"pipeline": "nightly", "prefix": "in/"}},
            "pipelines": {"nightly": {"steps": steps, "overlap": "allow"}},
        }
    )
    assert loaded.pipelines["nightly"].steps[0][0].placeholders >= {"bucket", "key"}


def test_a_task_may_be_started_by_all_uploads_but_some() -> None:
    loaded = load(upload(wildcard="*", exclude=["tmp/*", "*.tmp"], via="task")).uploads["in"]
    assert loaded.pattern_excludes


def test_japanese_text_counts_as_it_is_sent() -> None:
    def commands(text: str) -> Config:
        step = {"job": "ingest", "commands": [text]}
        return {"pipelines": {"nightly": {"schedule": "rate(1 day)", "steps": [step]}}}

    load(commands("取" * 8000))
    assert "commands and environment take" in refusal(commands("取" * 8192))


def test_japanese_keys_count_as_they_are_sent_in_a_pattern() -> None:
    assert load(upload(prefix=["取" * 340 + end for end in "abcde"]))
    assert "its event pattern takes about 2390 characters" in refusal(
        upload(prefix=["取" * 340 + end for end in "abcdef"])
    )


def test_what_may_be_one_of_two_kinds_is_refused_in_one_line() -> None:
    told = refusal(may("s3:GetObject", conditions={"Bool": {"aws:SecureTransport": True}}))
    assert told == (
        "fargate-batch:jobs.ingest.policies[0].conditions.Bool.aws:SecureTransport: must be text; "
        "put it in quotes (is: true)"
    )


def test_security_groups_need_the_network_they_are_of() -> None:
    config = {"network": {"securityGroupIds": ["sg-1"]}}
    assert "securityGroupIds belong to an existing network: give its vpcId" in refusal(config)


@pytest.mark.parametrize(("config", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_a_refusal_is_one_line_with_the_key_what_is_allowed_and_the_value(
    config: Config, reason: str
) -> None:
    if reason.startswith("S: "):
        reason = "schedules.hello.schedule" + reason.removeprefix("S")
    assert refusal(config) == f"fargate-batch:{reason}"


def test_every_refusal_of_one_configuration_is_told_at_once() -> None:
    assert refusal({**job(cpu=500), **upload(prefix=1), "protct": "true"}).splitlines() == [
        (
            "fargate-batch:jobs.ingest.cpu: must be one of 256, 512, 1024, 2048, 4096, 8192, 16384 "
            "(is: 500)"
        ),
        "fargate-batch:uploads.in.prefix: must be text; put it in quotes (is: 1)",
        "fargate-batch:protct: unknown key; the README lists what there is",
    ]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "aws:region: missing; set it, such as aws:region: ap-northeast-1"),
        (
            {"aws:region": "Tokyo", "fargate-batch:jobs": '{"ingest": {}}'},
            'aws:region: must be a Region, such as ap-northeast-1 (is: "Tokyo")',
        ),
        ({"aws:region": "ap-northeast-1"}, "fargate-batch:jobs: missing"),
        (
            {"aws:region": "ap-northeast-1", "fargate-btach:protect": "false"},
            "fargate-btach:protect: unknown namespace; the one of this project is fargate-batch",
        ),
        (
            {"aws:region": "ap-northeast-1", "fargate-batch:jobs": "{not json"},
            'fargate-batch:jobs: must be a mapping of keys to values (is: "{not json")',
        ),
    ],
)
def test_a_stack_without_what_it_cannot_do_without_is_refused(
    config: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        deploy(settings.load, config=config)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("stack", "more", "name"),
    [
        # The underscore tells a stack from what another has: components/names.py.
        *((f"{'s' * (of - 33)}", {}, f"{'s' * (of - 33)}-reaper-task-reaper") for of in (80, 81)),
        (f"x-pipeline-{'s' * 36}", {}, f"x-_pipeline-{'s' * 36}-reaper-task-reaper"),
        ("s" * 60, {"jobs": {"j" * 30: {}}}, f"{'s' * 60}-job-{'j' * 30}"),
        ("s" * 60, {"jobs": {"j" * 30: {"maxConcurrency": 1}}}, f"{'s' * 60}-limit-{'j' * 30}"),
        ("s" * 60, pipeline_of("p" * 30), f"{'s' * 60}-pipeline-{'p' * 30}"),
    ],
)
def test_a_stack_name_that_makes_a_state_machine_name_too_long_is_refused(
    stack: str, more: Config, name: str
) -> None:
    values = {"jobs": {"ingest": {}}, **more}
    texts = {f"fargate-batch:{key}": json.dumps(value) for key, value in values.items()}

    def loaded() -> None:
        deploy(settings.load, config={"aws:region": "ap-northeast-1", **texts}, stack=stack)

    name = f"fargate-batch-{name}"
    if len(name) <= 80:
        loaded()
        return
    with pytest.raises(SettingsError) as refused:
        loaded()
    assert str(refused.value) == (
        f"fargate-batch:jobs, pipelines: the state machine's name {name} has {len(name)} "
        "characters, AWS allows 80; shorten the stack's or the longest of theirs"
    )


def test_a_path_that_no_role_could_have_is_refused() -> None:
    longest = f"/{'x' * (512 - len('//fargate-batch/dev/watch/'))}/"
    assert load({"rolePath": longest}).role_path == longest
    told = refusal({"rolePath": f"/x{longest[1:]}"})
    assert told.startswith("fargate-batch:rolePath: the path of the stack's roles, /xx")
    assert told.endswith("/watch/, has 513 characters, IAM allows 512; shorten it")


def tagged(tags: object, config: Config) -> str | None:
    """What is refused of a stack whose file has these `aws:defaultTags`."""
    values = {"jobs": {"ingest": {}}, **config}
    texts = {f"fargate-batch:{key}": json.dumps(value) for key, value in values.items()}
    given = {"aws:region": "ap-northeast-1", "aws:defaultTags": _text(tags), **texts}
    try:
        deploy(settings.load, config=given)
    except SettingsError as error:
        return str(error)
    return None


def many(count: int) -> Config:
    return {f"tag{number}": "x" for number in range(count)}


A_TAG_NAME = (
    "a tag's name is 1 to 128 letters, digits, spaces and . : / = + - @ _, and not aws:…, "
    "batch-job or batch-trigger"
)


@pytest.mark.parametrize(
    ("tags", "config", "reason"),
    [
        ({"tags": {"owner": "データ", "cost": 7, "own": True, **many(45)}}, {}, None),
        ({}, {}, None),
        ("owner", {}, 'aws:defaultTags: must be a mapping of keys to values (is: "owner")'),
        (
            {"owner": "x"},
            {},
            "aws:defaultTags.owner: unknown key; the README lists what there is",
        ),
        (
            {"tags": {"aws:x": "y"}},
            {},
            f'aws:defaultTags.tags.aws:x: {A_TAG_NAME} (is: "aws:x")',
        ),
        (
            {"tags": {"a": "x;y"}},
            {},
            (
                "aws:defaultTags.tags.a: a tag's value is at most 256 letters, digits, spaces and "
                '. : / = + - @ _ (is: "x;y")'
            ),
        ),
        (
            {"tags": {"a": None}},
            {},
            "aws:defaultTags.tags.a: must be text; put it in quotes (is: null)",
        ),
        ({"tags": many(51)}, {}, "aws:defaultTags.tags: must have at most 50 entries, has 51"),
        (
            {"tags": many(40)},
            job(tags={f"own{number}": "" for number in range(9)}),
            (
                "fargate-batch:jobs.ingest.tags: with aws:defaultTags a task would have 51 tags, "
                "ECS allows 50; use fewer"
            ),
        ),
        ({"tags": many(40)}, job(tags=many(20)), None),
        (
            {"tags": many(20)},
            {
                "jobs": {"a": {}, "b": {"tags": {f"b{number}": "" for number in range(19)}}},
                **pipeline(
                    steps=[[{"job": "a"}, {"job": "b"}]],
                    tags={f"p{number}": "" for number in range(10)},
                ),
            },
            (
                "fargate-batch:pipelines.nightly.tags: with aws:defaultTags a task would have 51 "
                "tags, ECS allows 50; use fewer"
            ),
        ),
        (
            {"tags": many(40)},
            schedule(tags={f"own{number}": "" for number in range(9)}),
            (
                "fargate-batch:schedules.hello.tags: with aws:defaultTags a task would have 51 "
                "tags, ECS allows 50; use fewer"
            ),
        ),
    ],
)
def test_tags_of_everything_that_aws_would_refuse_are_refused(
    tags: object, config: Config, reason: str | None
) -> None:
    assert tagged(tags, config) == reason


def test_a_refused_stack_registers_nothing() -> None:
    # The status by which a program tells Pulumi that it has said itself why it ends.
    with pytest.raises(SystemExit, match="32") as caught:
        deploy_stack("dev", jobs={})
    refusal = caught.value.__cause__
    assert isinstance(refusal, SettingsError)
    assert "jobs: must have at least one entry" in str(refusal)


def test_pulumi_shows_a_refusal_without_a_traceback() -> None:
    import pulumi

    assert issubclass(SettingsError, pulumi.RunError)


@pytest.mark.parametrize(
    "config",
    [
        job(cpu="512", memory="1024"),
        job(cpu=16384, memory=122_880, ephemeralStorage=200, timeout="14d"),
        job(secrets={"A": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:a-1b2c3d:k::"}),
        job(network={"securityGroupIds": ["sg-0a"]}, logs={"multilinePattern": "^"}),
        job(policies=[{"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::a/b"]}]),
        job(ephemeralStorage=21, retries=20, maxConcurrency=1, stopTimeout=2),
        job(retries=0, maxConcurrency=1000, stopTimeout=120, ulimits={"nofile": 1024}),
        schedule(count=10, flexibleMinutes=1440),
        schedule(count=1, flexibleMinutes=1),
        {"jobs": {"a": {}, "a-b-9": {}, "x" * 40: {}}},
        upload(key="x/y.csv", minSize=5, maxSize=5),
        upload(prefix="a*", suffix="*b", maxSize=0),
        upload(wildcard="a\\**\\\\"),
        upload(suffix=".csv", maxSize=0),
        one_bucket("out/", prefix="in/"),
        one_bucket("out/", key="out/ingest"),
        one_bucket("", prefix="in/", suffix=".csv"),
        pipeline(steps=[[{"job": "ingest"}] * 40] * 2),
        pipeline(steps=[{"job": "ingest", "commands": ["x" * 8112]}]),
        schedule("rate(1 hour)"),
        schedule("cron(0/15 8-18 ? * MON-FRI *)"),
        schedule("cron(0 0 29 2 ? *)"),
        schedule("cron(0 0 31 4,5 ? *)"),
        schedule("cron(0 0 L * ? *)"),
        schedule("cron(0 0 ? * 6#3 *)"),
        schedule("at(2099-12-31T23:59:59)", timezone="America/Argentina/Buenos_Aires"),
        {"network": {"vpcId": "vpc-0a", "subnetIds": ["subnet-0a"], "assignPublicIp": False}},
        {"uploads": {f"u{n}": {"job": "ingest", "prefix": "a/"} for n in range(294)}},
    ],
    ids=lambda config: json.dumps(config)[:60],
)
def test_what_aws_allows_is_allowed(config: Config) -> None:
    load(config)


@pytest.mark.parametrize("unit", [("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400)])
def test_a_timeout_is_read_in_its_unit(unit: tuple[str, int]) -> None:
    text, seconds = unit
    assert load(job(timeout=text)).jobs["ingest"].timeout == seconds


def test_what_is_not_said_has_the_defaults_of_the_documentation() -> None:
    loaded = load({})
    ingest = loaded.jobs["ingest"]
    assert (ingest.cpu, ingest.memory, ingest.timeout, ingest.retries) == (512, 1024, 3600, 5)
    assert (ingest.retried_exit_codes, ingest.spot, ingest.image) == ((75,), False, None)
    assert (loaded.protect, loaded.log_retention_days, loaded.architecture) == (True, 30, "X86_64")
    assert (loaded.network.cidr, loaded.network.nat, loaded.network.public_ip) == (
        "10.0.0.0/16",
        False,
        True,
    )
    assert load({"network": {"nat": True}}).network.public_ip is False


@pytest.mark.parametrize(
    ("given", "retried"),
    [
        ({}, (75,)),
        ({"retryExitCodes": [3]}, (3,)),
        ({"retryExitCodes": []}, ()),
        ({"exitCodes": {"retry": [3, "10-12"]}}, (3, 10, 11, 12, 75)),
        ({"exitCodes": {"success": ["70-80"], "retry": [3]}}, (3,)),
        ({"exitCodes": {"success": [0, 75]}}, ()),
        ({"exitCodes": {"warning": [75]}}, ()),
        ({"exitCodes": {"retry": [65]}}, (65, 75)),
    ],
    ids=str,
)
def test_what_exit_codes_are_silent_on_is_retried_as_the_contract_says(
    given: dict[str, Any], retried: tuple[int, ...]
) -> None:
    assert load(job(**given)).jobs["ingest"].retried_exit_codes == retried


def test_that_zero_is_success_may_be_said() -> None:
    ingest = load(job(exitCodes={"success": [0, "2-3"]})).jobs["ingest"]
    assert ingest.exit_codes.codes("success") == (2, 3)


@pytest.mark.parametrize("section", ["pipelines", "schedules"])
def test_times_that_the_clocks_skip_are_told_of_what_fires(section: str) -> None:
    def told(**when: object) -> list[str]:
        make = pipeline if section == "pipelines" else schedule
        given = {"schedule": "cron(30 2 * * ? *)", "timezone": "Europe/Berlin", **when}
        return list(advice(load({**make(**given), "protect": False})))

    assert len(told()) == 2
    name = "nightly" if section == "pipelines" else "hello"
    assert told()[0].startswith(f"fargate-batch:{section}.{name}.schedule: cron(30 2 * * ? *) ")
    assert not told(enabled=False)
    assert not told(schedule="rate(1 day)")
    assert not told(timezone="Asia/Tokyo")


def test_a_stack_whose_name_no_task_definition_can_have_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"the stack 'prod\.eu': with fargate-batch-prod\.eu begin"
    ):
        deploy(
            settings.load,
            stack="prod.eu",
            config={"aws:region": "ap-northeast-1", "fargate-batch:jobs": '{"a": {}}'},
        )


def test_the_old_name_of_exit_codes_is_taken_with_advice() -> None:
    [line] = advice(load({**job(retryExitCodes=[3]), "protect": False}))
    assert line.startswith("fargate-batch:jobs.ingest.retryExitCodes: is exitCodes.retry from")
    assert not list(advice(load({**job(exitCodes={"retry": [3]}), "protect": False})))


@pytest.mark.parametrize("side_by_side", [1, 40])
@pytest.mark.parametrize("on_failure", ["stop", "continue", "finish"])
@pytest.mark.parametrize("on_warning", ["stop", "continue"])
def test_no_step_takes_more_of_a_definition_than_is_counted_for_it(
    side_by_side: int, on_failure: str, on_warning: str
) -> None:
    machine = f"arn:aws:states:ap-northeast-1:123456789012:stateMachine:{'x' * 80}"
    step = Step("x" * 40, machine, None, None, on_failure, on_warning)

    def size(steps: int) -> int:
        definition = run_pipeline("nightly", [[step] * side_by_side] * steps, skip_overlap=True)
        return len(json.dumps(definition))

    assert (size(20) - size(10)) / (10 * side_by_side) <= STEP_BYTES
