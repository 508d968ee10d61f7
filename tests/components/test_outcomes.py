"""What an exit code means is said in one table, which the copies of other packages are held to."""

import re
import runpy

import pytest

from components.outcomes import ADVICE, ERRORS, EXIT_CODES, ExitCode
from settings import jobs
from tests.recorder import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_the_function_that_logs_task_events_has_the_same_meanings() -> None:
    handler = runpy.run_path(str(ROOT / "lambdas" / "task_events" / "handler.py"))
    assert handler["EXIT_CODES"] == {it.code: it.meaning for it in EXIT_CODES}


def test_the_container_ends_with_the_codes_that_have_an_error_and_no_other() -> None:
    exits = runpy.run_path(str(ROOT / "batch" / "exits.py"))
    codes = {value for name, value in exits.items() if name.isupper() and isinstance(value, int)}
    # 0 is done, and 1 what Python ends with that raises: it has no error of its own.
    assert {str(code) for code in codes - {0, 1}} == set(ERRORS)


@pytest.mark.parametrize("it", EXIT_CODES, ids=lambda it: str(it.code))
def test_the_readme_says_what_a_code_means_and_what_happens(it: ExitCode) -> None:
    row = re.search(rf"^\| {it.code} \| (.+) \| (.+) \|$", README, re.MULTILINE)
    if it.error == "Batch.Failed":
        assert row is None
        return
    assert row is not None
    assert row[1] == it.meaning
    happens = "fails at once, " if it.final else "retried with backoff, then "
    assert row[2] == f"{happens}`{it.error}`"


def test_a_code_that_no_retry_helps_cannot_be_retried() -> None:
    refused = set[int]()
    for it in EXIT_CODES:
        try:
            jobs.JobSettings.model_validate({"retryExitCodes": [it.code]})
        except ValueError:
            refused.add(it.code)
    assert refused == {it.code for it in EXIT_CODES if it.final}


def test_every_error_of_a_code_has_its_advice() -> None:
    assert set(ERRORS.values()) <= set(ADVICE)


def test_the_errors_that_the_state_machines_know_are_the_errors_that_have_advice() -> None:
    sources = [*(ROOT / "components" / "asl").glob("*.py"), ROOT / "components" / "outcomes.py"]
    text = "\n".join(source.read_text("utf-8") for source in sources)
    known = set(re.findall(r'"((?:Backfill|Batch|Input|Pipeline)\.[A-Z]\w+)"', text))
    assert known - {"Batch.Failed"} == set(ADVICE)
