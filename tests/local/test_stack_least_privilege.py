"""Every scenario of the real program passes, and each of its grants is needed by one of them."""

import pytest

from tests.local.privileges import deployed, prove

# What AWS demands though nothing here can fail without it, by action, with the page that says so.
DEMANDED_BY_AWS = {
    # Here a state that times out stops its task itself; AWS does not promise it.
    "ecs:ListTasks": (
        "https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-sync"
    ),
}


# Some 300 times a scenario, most of them a second or less.
@pytest.mark.timeout(300)
def test_every_grant_of_the_program_is_needed() -> None:
    with deployed() as on:
        proof = prove(on)
    survivors = [str(grant) for grant in proof.survivors if grant.action not in DEMANDED_BY_AWS]
    assert survivors == [], "no scenario fails without:\n" + "\n".join(survivors)
    unproved = {grant.action for grant in proof.survivors}
    assert DEMANDED_BY_AWS.keys() == unproved, "these are proved needed, so need no excuse"
    assert proof.statements(proof.grants) >= 80
