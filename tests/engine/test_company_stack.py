"""A stack on an existing network with a given image, and another team's program on that stack."""

import shutil

import pytest

from tests.engine.conftest import REGION, ROOT, Engine

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

IMAGE = f"111122223333.dkr.ecr.{REGION}.amazonaws.com/team/batch:1.4"
STACK = """\
config:
  aws:region: ap-northeast-1
  fargate-batch:protect: false
  fargate-batch:image: {image}
  fargate-batch:network: {{vpcId: {vpc}, subnetIds: [{subnet}]}}
  fargate-batch:jobs: {{ingest: {{}}}}
  fargate-batch:uploads: {{target: {{job: ingest, prefix: target/}}}}
"""
FILE = "Pulumi.company.yaml"


@pytest.fixture(scope="module")
def company(engine: Engine) -> Engine:
    ec2 = engine.api("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    engine.cloud.images.add(IMAGE, engine.root / "batch")
    text = STACK.format(image=IMAGE, vpc=vpc, subnet=subnet)
    (engine.root / FILE).write_text(text, encoding="utf-8")
    created = engine.create("company", "--policy-pack", "policy")
    assert not {kind for kind, _ in created.of("create") if kind.startswith(("awsx:", "docker"))}
    outputs = engine.outputs("company")
    assert (outputs["vpcId"], outputs["subnetIds"]) == (vpc, [subnet])
    return engine


def test_an_upload_runs_the_given_image_in_the_existing_network(company: Engine) -> None:
    assert company.result("target/orders.csv", "company").startswith("ingest/")


def test_another_teams_uploads_start_the_job_and_a_job_that_is_gone_is_told_in_a_line(
    company: Engine,
) -> None:
    root = company.root.parent / "consumer"
    shutil.copytree(ROOT / "examples" / "consumer", root)
    (root / ".venv").symlink_to((company.root / ".venv").readlink())
    project = (root / "Pulumi.yaml").read_text().replace("../../.venv", ".venv")
    (root / "Pulumi.yaml").write_text(project)
    company.must("stack", "init", "dev", root=root)
    for key, value in (("aws:region", REGION), ("platform", PLATFORM)):
        company.must("config", "set", key, value, root=root)
    company.up("dev", root=root).must()
    assert company.result("orders/a.csv", "company").startswith("ingest/orders/")
    assert set(company.up("dev", root=root).must().counts) == {"same"}

    company.edit("ingest", "intake", FILE)
    company.up("company").must()
    for refused in (company.preview("dev", root=root), company.up("dev", root=root)):
        assert refused.status != 0
        gone = f"{PLATFORM} has no job ingest; there are: intake"
        assert [error for error in refused.errors if "no job" in error] == [gone]
        assert not [error for error in refused.errors if "Traceback" in error]

    company.must("destroy", "--yes", "--skip-preview", "-s", "dev", root=root)
    company.destroy("company").must()
    # The queue of the other team's dead letters, for which protect is the default.
    assert set(company.left()) == {"queues", "task definitions", "vpcs"}


PLATFORM = "organization/fargate-batch/company"
