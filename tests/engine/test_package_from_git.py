"""The package from a tag of a Git repository, as `pulumi package add` takes it."""

import json
import shutil
import subprocess
from collections.abc import Generator

import pytest

from tests.engine.conftest import ROOT, Engine
from tests.engine.git_server import serving

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="it makes the certificate"),
]


@pytest.fixture(scope="module")
def tag(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Where the package of the tag v0.1.0 is, which is the commit that is checked out."""
    folder = tmp_path_factory.mktemp("git")
    repository = folder / "owner" / "fargate-batch.git"
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    san = "subjectAltName=DNS:localhost"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    request += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    for command in (
        ["git", "clone", "--quiet", "--bare", str(ROOT), str(repository)],
        ["git", "-C", str(repository), "tag", "--force", "v0.1.0", "HEAD"],
        [*request, "-addext", san],
    ):
        subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    # Go asks no other authority then, and the command line needs none.
    engine.env["SSL_CERT_FILE"] = str(certificate)
    with serving(folder, both) as url:
        yield f"{url}/owner/fargate-batch/package"


def test_the_command_line_clones_a_tag_and_runs_the_package_in_it(engine: Engine, tag: str) -> None:
    of_tag = json.loads(engine.must("package", "get-schema", f"{tag}@0.1.0"))
    of_folder = json.loads(engine.must("package", "get-schema", str(ROOT / "package")))
    parts = ("name", "version", "resources", "types")
    assert [of_tag[part] for part in parts] == [of_folder[part] for part in parts]
    assert of_tag["pluginDownloadURL"] == tag.replace("https:", "git:")
