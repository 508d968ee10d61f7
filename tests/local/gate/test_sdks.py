"""The AWS CLI and the AWS SDK for JavaScript, with the credentials of the README."""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from local.cloud import Cloud
from tests.local.gate.conftest import BUCKET
from tests.local.probe import REGION

JAVASCRIPT = Path(__file__).with_name("javascript")
NPM, NODE, AWS = map(shutil.which, ("npm", "node", "aws"))
KEYS = ["plain.csv", "a b+c.csv", "of%2Fthree/日本 é.csv", 'it\'s (1) & "2"#?.csv']

pytestmark = pytest.mark.slow


def without_aws() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "NO_PROXY": "127.0.0.1,localhost"}


@pytest.mark.skipif(NPM is None or NODE is None, reason="there is no Node.js here")
def test_the_sdk_for_javascript_uploads_reads_and_signs(cloud: Cloud, tmp_path: Path) -> None:
    for file in JAVASCRIPT.iterdir():
        shutil.copy(file, tmp_path)
    install = [NPM or "", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(install, cwd=tmp_path, check=True, capture_output=True, timeout=240)
    ran = subprocess.run(
        [NODE or "", "sdk.mjs", cloud.endpoint, REGION, BUCKET, json.dumps(KEYS)],
        cwd=tmp_path,
        env=without_aws(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    assert told["found"] == {key: [key, 200, key, 204] for key in KEYS}
    assert told["listed"] == len(KEYS)
    assert told["queue"].endswith("/of-the-sdk")


@pytest.mark.skipif(AWS is None, reason="there is no AWS CLI here")
@pytest.mark.parametrize("key", KEYS)
def test_the_aws_cli_copies_and_signs(cloud: Cloud, tmp_path: Path, key: str) -> None:
    def aws(*arguments: str) -> str:
        common = [AWS or "", "--endpoint-url", cloud.endpoint, "--region", REGION]
        environment = {
            **without_aws(),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CONFIG_FILE": os.devnull,
        }
        ran = subprocess.run(
            [*common, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    (tmp_path / "long").write_bytes(os.urandom(9 << 20))
    where = f"s3://{BUCKET}/cli/{key}"
    aws("s3", "cp", "long", where)
    aws("s3", "cp", where, "back")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "long").read_bytes()
    url = aws("s3", "presign", where).strip()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=240) as answer:
        assert answer.read() == (tmp_path / "long").read_bytes()
    assert "cli/" in aws("s3", "ls", f"s3://{BUCKET}/")
    aws("s3", "rm", where)
