"""The grants of the real stack, each taken away in turn to see who needs it."""

from tests.local.end_to_end.privileges import deployed, prove


def run() -> list[tuple[str, str]]:
    """Measure and return rows of label and value."""
    with deployed() as on:
        proof = prove(on)
    survivors = proof.statements(proof.survivors)
    count = proof.statements(proof.used)
    return [
        ("IAM statements", str(count)),
        ("of them proved necessary", str(count - survivors)),
        ("of them without a proof", str(survivors)),
        ("actions that they grant", str(len(proof.used))),
        ("actions proved necessary, one by one", str(len(proof.used) - len(proof.survivors))),
    ]
