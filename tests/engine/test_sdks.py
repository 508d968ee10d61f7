"""The SDKs that other languages get of the package, and a program in TypeScript that has one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engine.conftest import ROOT

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("pulumi-sdks") is None, reason="made with Go: make engine"),
]
SCHEMA = ROOT / "tests" / "golden" / "schema.json"


@pytest.fixture(scope="module")
def sdks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdks")
    subprocess.run(["pulumi-sdks", str(SCHEMA), str(folder)], check=True)  # noqa: S607 -- of PATH
    return folder


def test_there_is_an_sdk_for_go_typescript_and_python(sdks: Path) -> None:
    assert (sdks / "go" / "fargatebatch" / "batchPlatform.go").is_file()
    assert (sdks / "nodejs" / "batchPlatform.ts").is_file()
    module = sdks / "python" / "pulumi_fargate_batch" / "batch_platform.py"
    compile(module.read_text("utf-8"), str(module), "exec")


@pytest.mark.skipif(shutil.which("npm") is None, reason="TypeScript's compiler comes by npm")
def test_the_example_in_typescript_compiles_and_one_that_is_misspelt_does_not(
    sdks: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "example"
    shutil.copytree(ROOT / "examples" / "platform-typescript", folder)
    shutil.copytree(sdks / "nodejs", folder / "sdks" / "fargate-batch")

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    installed = run("npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
    assert installed.returncode == 0, installed.stderr
    compiled = run("npx", "--no-install", "tsc")
    assert compiled.returncode == 0, compiled.stdout
    program = folder / "index.ts"
    program.write_text(program.read_text("utf-8").replace("memory: 2048", "memmory: 2048"), "utf-8")
    refused = run("npx", "--no-install", "tsc")
    assert "'memmory' does not exist in type 'PlatformJobArgs" in refused.stdout
