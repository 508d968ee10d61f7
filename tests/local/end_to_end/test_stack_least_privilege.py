"""Every scenario of the real program passes, and each of its grants is needed by one of them."""

import pytest

from tests.local.end_to_end.privileges import Grant, deployed, prove

# What AWS demands though nothing here can fail without it, by its owner and action, with the page
# that says so.
DEMANDED_BY_AWS = {
    # Here a state that times out stops its task itself; AWS does not promise it.
    ("/ingest-job-", "ecs:ListTasks"): (
        "https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync"
    ),
    # A large list of what became of objects is written in parts there.
    **{
        ("/backfills-backfill-", f"s3:{action}"): (
            "https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html"
        )
        for action in ("ListMultipartUploadParts", "AbortMultipartUpload")
    },
    # Who may mount a file system is asked here, and who writes to one is not.
    ("/ingest-task-", "elasticfilesystem:ClientWrite"): (
        "https://docs.aws.amazon.com/efs/latest/ug/iam-access-control-nfs-efs.html"
    ),
}


def _excuse(grant: Grant) -> tuple[str, str] | None:
    return next(
        (
            (owner, action)
            for owner, action in DEMANDED_BY_AWS
            if owner in grant.statement.owner and action == grant.action
        ),
        None,
    )


# Some 500 scenarios, most of them a second or less.
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_scenario_passes_and_every_grant_of_the_program_is_needed() -> None:
    with deployed() as on:
        proof = prove(on)
    assert len({grant.statement for grant in proof.used}) >= 80
    unused = [grant for grant, scenarios in proof.used.items() if not scenarios]
    assert [grant for grant in unused if _excuse(grant) is None] == []
    assert {_excuse(grant) for grant in unused} == DEMANDED_BY_AWS.keys()
    survivors = [str(grant) for grant in proof.survivors if _excuse(grant) is None]
    assert survivors == [], "no scenario fails without:\n" + "\n".join(survivors)
