"""The sample of a company's stack, as the README has it: from its files to what its job made."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.cloud import HOST
from local.commands.stack import Stack
from tests.local.command import READY_SECONDS, ended, environment, read_line
from tests.local.probe import eventually
from tests.local.programs import ROOT, copy_program

SAMPLE = ROOT / "local" / "samples" / "company"


def readme() -> list[list[str]]:
    """The commands of the README, as words."""
    text = (ROOT / "README.md").read_text("utf-8")
    match = re.search("<!-- company -->\n(.*?)<!-- /company -->", text, re.DOTALL)
    assert match
    return [line.partition("    #")[0].split() for line in match[1].splitlines()]


def local(folder: Path, words: list[str], *more: str) -> subprocess.Popen[str]:
    assert words[:3] == [".venv/bin/python", "-m", "local"]
    return subprocess.Popen(
        [sys.executable, *words[1:], *more],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_the_commands_of_the_readme_lead_to_a_run_of_the_companys_stack(tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    copy_program(folder)
    for name in ("local", "operate"):
        shutil.copytree(ROOT / name, folder / name)
    install, copy, up, start = readme()
    assert install == ["make", ".venv/.local"]
    assert copy == ["cp", f"{SAMPLE.relative_to(ROOT)}/*.yaml", "."]
    shutil.copy(ROOT / "Pulumi.yaml", folder)
    for path in SAMPLE.glob("*.yaml"):
        shutil.copy(path, folder)
    with ended(local(folder, up, "--port", "0", "--json")) as serving:
        contract = json.loads(read_line(serving))
        stack = Stack(contract["endpoint"], contract["region"], contract["outputs"])
        assert stack.endpoint.startswith(f"http://{HOST}:")
        port = stack.endpoint.rpartition(":")[2]
        place = start.index("--")
        with local(folder, [*start[:place], "--port", port, *start[place:]]) as started:
            out, err = started.communicate(timeout=READY_SECONDS)
        assert (started.returncode, out.split("  ")[-1]) == (0, "対象 2026年4月\n"), err

        s3 = stack.client("s3")
        s3.upload_file(str(SAMPLE / "nyukin.csv"), "yamada-nyukin", "入金/4月.csv")

        def result() -> bytes | None:
            try:
                answer = s3.get_object(Bucket="yamada-kekka", Key="nyukin/入金/4月.csv.json")
            except s3.exceptions.NoSuchKey:
                return None
            return answer["Body"].read()

        assert json.loads(eventually(result)) == {
            "カ）ヤマダシヨウジ": 160_000,
            "鈴木商店": 54_000,
            "不明": 800,
        }
