"""`schedules pause` and `resume`: what a person paused, nothing starts but that person or time."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Generator
from typing import Any

import pytest

from local.cloud import Cloud
from local.engine.project import Project, load
from local.engine.served import ServedDeployment
from operate import policies, schedules
from operate.errors import OperateError
from tests.local.probe import REGION
from tests.operate.conftest import IMAGE, CommandLine, Deployed
from tests.operate.test_policies import User, user
from tests.recorder import ROOT

pytestmark = pytest.mark.slow

__all__ = ["user"]
CRON = "cron(0 10 1 1 ? 2190)"


@dataclasses.dataclass
class Firing(Deployed):
    """The dev stack with its schedules enabled, which can be deployed again."""

    served: ServedDeployment
    project: Project

    def deploy(self, **changes: Any) -> None:  # noqa: ANN401 -- YAML
        """Deploy it with changes to the pipeline nightly."""
        key = f"{self.project.name}:pipelines"
        pipelines = json.loads(self.project.config[key])
        pipelines["nightly"] |= changes
        config = {**self.project.config, key: json.dumps(pipelines)}
        self.project = dataclasses.replace(self.project, config=config)
        self.served.update(self.project)

    def schedule(self) -> dict[str, Any]:
        _, group, name = self.outputs["pipelines"]["nightly"]["scheduleArn"].split("/")
        return self.client("scheduler").get_schedule(GroupName=group, Name=name)

    def watch(self) -> None:
        """Have the watcher look once."""
        functions = self.client("lambda").list_functions()["Functions"]
        [name] = [
            one["FunctionName"] for one in functions if one["FunctionName"].startswith("watcher")
        ]
        answer = self.client("lambda").invoke(FunctionName=name, Payload=b"{}")
        assert "FunctionError" not in answer, self._log()

    def _log(self) -> list[str]:
        group = "/fargate-batch/dev/function/watcher"
        events = self.client("logs").filter_log_events(logGroupName=group)["events"]
        return [one["message"] for one in events][-4:]


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Firing]:
    project = load(ROOT, "dev")
    config = dict(project.config)
    config[f"{project.name}:image"] = IMAGE
    for key in ("pipelines", "schedules"):
        found = json.loads(config[f"{project.name}:{key}"])
        for one in found.values():
            one |= {"enabled": True, "schedule": CRON}
        config[f"{project.name}:{key}"] = json.dumps(found)
    project = dataclasses.replace(project, config=config)
    with Cloud(0, REGION) as cloud:
        served = ServedDeployment(project, cloud, cloud.images.add)
        outputs = served.create().outputs
        none = tmp_path_factory.mktemp("none") / "none"
        yield Firing(cloud, outputs, none, none, served, project)


@pytest.fixture(autouse=True)
def resumed(deployed: Firing) -> Generator[None]:
    """Each test begins with a schedule that fires."""
    deployed.deploy(enabled=True)
    assert deployed.schedule()["State"] == "ENABLED"
    yield
    with contextlib.suppress(OperateError):
        schedules.resume(deployed.stack(), "nightly")


def nightly(fargate_batch: CommandLine) -> dict[str, Any]:
    found = fargate_batch("schedules", "--json").json
    [one] = [one for one in found if one["name"] == "nightly"]
    return one


def test_a_later_deployment_does_not_start_what_a_person_paused(
    deployed: Firing, fargate_batch: CommandLine
) -> None:
    before = deployed.schedule()
    assert fargate_batch("schedules", "pause", "nightly", "--reason", "bad data").status == 0
    paused = deployed.schedule()
    assert paused.pop("State") == "DISABLED"
    unchanged = {"ScheduleExpression", "ScheduleExpressionTimezone", "Target", "FlexibleTimeWindow"}
    assert {name: paused[name] for name in unchanged} == {name: before[name] for name in unchanged}
    told = nightly(fargate_batch)
    assert (told["enabled"], told["next"]) == (False, [])
    assert (told["paused"]["reason"], told["paused"]["until"]) == ("bad data", None)
    assert told["paused"]["by"]

    deployed.deploy(schedule="cron(0 11 1 1 ? 2190)")
    assert deployed.schedule()["ScheduleExpression"] == "cron(0 11 1 1 ? 2190)"
    assert deployed.schedule()["State"] == "DISABLED"
    deployed.watch()
    assert deployed.schedule()["State"] == "DISABLED"
    row = next(one for one in fargate_batch("schedules").rows if one["schedule"] == "nightly")
    assert row["state"] == "paused"
    assert row["paused"].startswith("bad data (")

    assert fargate_batch("schedules", "resume", "nightly").status == 0
    assert deployed.schedule()["State"] == "ENABLED"
    assert nightly(fargate_batch)["paused"] is None
    deployed.deploy(schedule=CRON)
    assert deployed.schedule()["State"] == "ENABLED"
    assert fargate_batch("schedules", "resume", "nightly").status == 1


def test_the_watcher_ends_a_pause_at_its_time_and_not_before(
    deployed: Firing, fargate_batch: CommandLine
) -> None:
    pause = ("schedules", "pause", "nightly", "--reason", "x", "--until")
    assert fargate_batch(*pause, "1h").status == 0
    deployed.watch()
    assert deployed.schedule()["State"] == "DISABLED"
    assert nightly(fargate_batch)["paused"]["until"]
    # A pause of before is changed.
    assert fargate_batch(*pause, "1s").status == 0
    time.sleep(1.1)
    deployed.watch()
    assert deployed.schedule()["State"] == "ENABLED"
    assert nightly(fargate_batch)["paused"] is None


def test_what_was_enabled_by_hand_is_paused_again_by_the_watcher(
    deployed: Firing, fargate_batch: CommandLine
) -> None:
    assert fargate_batch("schedules", "pause", "nightly", "--reason", "x").status == 0
    found = deployed.schedule()
    names = ("Name", "GroupName", "ScheduleExpression", "FlexibleTimeWindow", "Target")
    deployed.client("scheduler").update_schedule(
        State="ENABLED", **{name: found[name] for name in names}
    )
    deployed.watch()
    assert deployed.schedule()["State"] == "DISABLED"


def test_a_resume_does_not_start_what_its_configuration_has_disabled(
    deployed: Firing, fargate_batch: CommandLine
) -> None:
    assert fargate_batch("schedules", "pause", "nightly", "--reason", "x").status == 0
    deployed.deploy(enabled=False)
    assert fargate_batch("schedules", "resume", "nightly").status == 0
    assert deployed.schedule()["State"] == "DISABLED"
    refused = fargate_batch("schedules", "pause", "nightly", "--reason", "x")
    assert (refused.status, "disabled" in refused.err) == (1, True)

    deployed.deploy(enabled=True)
    assert (
        fargate_batch("schedules", "pause", "nightly", "--reason", "x", "--until", "1s").status == 0
    )
    deployed.deploy(enabled=False)
    time.sleep(1.1)
    deployed.watch()
    assert deployed.schedule()["State"] == "DISABLED"
    assert nightly(fargate_batch)["paused"] is None


def test_wrong_use_is_refused_before_anything_is_paused(
    deployed: Firing, fargate_batch: CommandLine
) -> None:
    for arguments in (
        ("nightly",),
        ("nightly", "nihgtly", "--reason", "x"),
        ("nightly", "--reason", "x", "--until", "2020-01-01"),
        ("nightly", "--reason", "x", "--until", "tomorrow"),
    ):
        answer = fargate_batch("schedules", "pause", *arguments)
        assert (answer.status, answer.err.count("\n")) == (2, 1), answer.err
    dry = fargate_batch("schedules", "pause", "nightly", "--reason", "x", "--dry-run")
    assert (dry.status, dry.out) == (0, "nightly  would be paused\n")
    assert deployed.schedule()["State"] == "ENABLED"
    assert nightly(fargate_batch)["paused"] is None


def test_the_acting_policy_pauses_and_resumes_and_the_reading_one_does_not(
    deployed: Firing, fargate_batch: CommandLine, user: User
) -> None:
    pause = ("schedules", "pause", "nightly", "--reason", "x")
    reading = user(policies.reading(deployed.stack()))
    refused = fargate_batch(*pause, aws=reading)
    assert (refused.status, "`fargate-batch policy acting`" in refused.err) == (4, True)
    acting = user(policies.acting(deployed.stack()))
    assert fargate_batch(*pause, aws=acting).status == 0
    assert fargate_batch("schedules", "resume", "nightly", aws=acting).status == 0
