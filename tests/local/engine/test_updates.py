"""The second update of a deployment: what is created, changed, replaced and deleted, in order."""

import dataclasses
import threading
from pathlib import Path

import pytest

from local.engine.deployment import Counts, Deployment
from local.engine.monitor import DryProvider, UpdateError, update
from local.engine.state import Created, Diff, Properties, Registration, State
from tests.local.programs import REGION, STACK_FILE, write_project

HEAD = "import pulumi\nimport pulumi_aws as aws\n"


class Recorder(DryProvider):
    """Makes nothing, and keeps the order of what it was asked for; what is in `fails` fails.

    A change of an input that begins with "fixed" replaces, as a policy's `arn` does.
    """

    def __init__(self) -> None:
        super().__init__(REGION)
        self.asked: list[str] = []
        self.fails: set[str] = set()
        self._made = 0
        self._lock = threading.Lock()

    def _ask(self, what: str) -> None:
        with self._lock:
            self.asked.append(what)
        if what in self.fails:
            raise ValueError("no")

    def diff(self, before: State, inputs: Properties) -> Diff:
        changed = frozenset(
            key for key in {*before.inputs, *inputs} if before.inputs.get(key) != inputs.get(key)
        )
        replaces = changed & {"arn", "displayName"}
        return Diff(changed, replaces, delete_first=bool(replaces) and "policy" in inputs)

    def create(self, registration: Registration) -> Created:
        self._ask(f"create {registration.name}")
        self._made += 1
        return Created(f"{registration.name}-{self._made}", {"arn": f"arn-{self._made}"})

    def update(self, registration: Registration, before: State) -> Properties:
        self._ask(f"update {registration.name}")
        return before.outputs

    def delete(self, state: State) -> None:
        self._ask(f"delete {state.id}")

    def took(self) -> list[str]:
        """What was asked for since the last look."""
        asked, self.asked = self.asked, []
        return asked


@dataclasses.dataclass
class Laptop:
    root: Path
    provider: Recorder
    deployment: Deployment

    def apply(self, program: str) -> tuple[Counts, list[str]]:
        project = write_project(self.root, HEAD + program, STACK_FILE)
        counts = update(project, self.deployment, self.provider).counts
        return counts, self.provider.took()

    def refusal(self, program: str) -> UpdateError:
        with pytest.raises(UpdateError) as caught:
            self.apply(program)
        return caught.value


@pytest.fixture
def laptop(tmp_path: Path) -> Laptop:
    return Laptop(tmp_path, Recorder(), Deployment())


def urn(kind: str, name: str) -> str:
    return f"urn:pulumi:dev::sample::pulumi:pulumi:Stack${kind}::{name}"


TOPIC, POLICY = "aws:sns/topic:Topic", "aws:sns/topicPolicy:TopicPolicy"
BOTH = "t = aws.sns.Topic('t')\naws.sns.TopicPolicy('p', arn=t.arn, policy='{}')\n"
REPLACING = (
    "t = aws.sns.Topic('t', display_name='x')\n"
    "aws.sns.TopicSubscription('s', topic=t.arn, protocol='sqs', endpoint='q')\n"
)


def test_a_program_that_did_not_change_changes_nothing(laptop: Laptop) -> None:
    assert laptop.apply(BOTH) == (Counts(created=2), ["create t", "create p"])
    assert laptop.apply(BOTH) == (Counts(same=2), [])


def test_a_change_updates_what_it_is_made_in_and_nothing_else(laptop: Laptop) -> None:
    laptop.apply(BOTH)
    changed = BOTH.replace("'{}'", "'[]'")
    assert laptop.apply(changed) == (Counts(updated=1, same=1), ["update p"])


def test_a_replacement_is_there_before_what_it_replaces_goes(laptop: Laptop) -> None:
    laptop.apply(REPLACING)
    counts, asked = laptop.apply(REPLACING.replace("'x'", "'y'"))
    assert asked == ["create t", "update s", "delete t-1"]
    assert counts == Counts(replaced=1, updated=1)


def test_where_two_cannot_be_at_once_the_old_one_goes_first(laptop: Laptop) -> None:
    laptop.apply("aws.sns.TopicPolicy('p', arn='a', policy='{}')\n")
    _, asked = laptop.apply("aws.sns.TopicPolicy('p', arn='b', policy='{}')\n")
    assert asked == ["delete p-1", "create p"]


def test_what_a_change_is_to_replace_is_replaced(laptop: Laptop) -> None:
    queue = "aws.sqs.Queue('q', delay_seconds=1, opts=opts)\n"
    replacing = "opts = pulumi.ResourceOptions(replace_on_changes=['delaySeconds'])\n" + queue
    laptop.apply(replacing)
    _, asked = laptop.apply(replacing.replace("=1", "=2"))
    assert asked == ["create q", "delete q-1"]


def test_what_is_no_longer_declared_goes_last_dependents_first(laptop: Laptop) -> None:
    laptop.apply(BOTH)
    counts, asked = laptop.apply("aws.sqs.Queue('q')\n")
    assert asked == ["create q", "delete p-2", "delete t-1"]
    assert counts == Counts(created=1, deleted=2)


def test_an_update_that_fails_keeps_what_was_done_and_the_next_goes_on(laptop: Laptop) -> None:
    laptop.apply("aws.sqs.Queue('q')\n")
    laptop.provider.fails = {"create p"}
    error = laptop.refusal(BOTH)
    assert str(error) == f"{urn(POLICY, 'p')}: no"
    assert error.done == (f"created {TOPIC} t",)
    assert laptop.provider.took() == ["create t", "create p"]
    laptop.provider.fails = set()
    counts, asked = laptop.apply(BOTH)
    assert asked == ["create p", "delete q-1"]
    assert counts == Counts(created=1, same=1, deleted=1)


def test_a_delete_that_fails_is_tried_again_by_the_next_update(laptop: Laptop) -> None:
    laptop.apply(REPLACING)
    laptop.provider.fails = {"delete t-1"}
    assert str(laptop.refusal(REPLACING.replace("'x'", "'y'"))) == f"{urn(TOPIC, 't')}: no"
    laptop.provider.took()
    laptop.provider.fails = set()
    _, asked = laptop.apply(REPLACING.replace("'x'", "'y'"))
    assert asked == ["delete t-1"]


def test_an_update_that_failed_is_done_by_the_next(laptop: Laptop) -> None:
    laptop.apply(BOTH)
    changed = BOTH.replace("'{}'", "'[]'")
    laptop.provider.fails = {"update p"}
    laptop.refusal(changed)
    laptop.provider.took()
    laptop.provider.fails = set()
    assert laptop.apply(changed) == (Counts(updated=1, same=1), ["update p"])


def test_a_program_that_fails_deletes_nothing(laptop: Laptop) -> None:
    laptop.apply(BOTH)
    laptop.refusal("raise ValueError('no')\n")
    assert laptop.provider.took() == []
    assert laptop.apply(BOTH) == (Counts(same=2), [])


@pytest.mark.parametrize("after", ["", "aws.sns.Topic('t', display_name='y', opts=protected)\n"])
def test_what_is_protected_is_neither_deleted_nor_replaced(laptop: Laptop, after: str) -> None:
    protected = "protected = pulumi.ResourceOptions(protect=True)\n"
    laptop.apply(protected + "aws.sqs.Queue('q')\naws.sns.Topic('t', opts=protected)\n")
    laptop.provider.took()
    assert "protected" in str(laptop.refusal(protected + after))
    assert laptop.provider.took() == []


def test_what_is_retained_stays_in_the_cloud(laptop: Laptop) -> None:
    laptop.apply("aws.sqs.Queue('q', opts=pulumi.ResourceOptions(retain_on_delete=True))\n")
    assert laptop.apply("") == (Counts(deleted=1), [])
    assert laptop.deployment.states == {}


THING = """
class Thing(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("sample:index:Thing", name, {}, opts)
        for queue, kept in (("a", None), ("b", False)):
            own = pulumi.ResourceOptions(parent=self, retain_on_delete=kept)
            aws.sqs.Queue(f"{name}-{queue}", opts=own)
        self.register_outputs({})
"""


def test_what_is_in_a_retained_component_is_retained_unless_it_says_otherwise(
    laptop: Laptop,
) -> None:
    kept = "pulumi.ResourceOptions(retain_on_delete=True)"
    laptop.apply(THING + f"Thing('kept', {kept})\nThing('gone')\n")
    laptop.provider.took()
    counts, asked = laptop.apply("")
    assert counts == Counts(deleted=6)
    # Nothing says which of them is registered first.
    assert sorted(what.rpartition("-")[0] for what in asked) == [
        *("delete gone-a", "delete gone-b", "delete kept-b"),
    ]


@pytest.mark.parametrize(
    "alias",
    ["pulumi.Alias(name='q')", f"'{urn('aws:sqs/queue:Queue', 'q')}'"],
)
def test_a_resource_is_known_by_its_alias(laptop: Laptop, alias: str) -> None:
    laptop.apply("aws.sqs.Queue('q')\n")
    renamed = f"aws.sqs.Queue('r', opts=pulumi.ResourceOptions(aliases=[{alias}]))\n"
    assert laptop.apply(renamed) == (Counts(same=1), [])
    assert list(laptop.deployment.states) == [urn("aws:sqs/queue:Queue", "r")]


def test_the_children_of_a_renamed_component_are_known_by_its_alias(laptop: Laptop) -> None:
    thing = """
class Thing(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("sample:index:Thing", name, {}, opts)
        aws.sns.Topic("t", opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({})
"""
    laptop.apply(thing + "Thing('a')\n")
    aliases = "pulumi.ResourceOptions(aliases=[pulumi.Alias(name='a')])"
    assert laptop.apply(thing + f"Thing('b', {aliases})\n") == (Counts(same=2), [])


def test_ignored_changes_are_left_as_they_are(laptop: Laptop) -> None:
    ignoring = "opts = pulumi.ResourceOptions(ignore_changes=['policy'])\n"
    policy = "aws.sns.TopicPolicy('p', arn='a', policy='{}', opts=opts)\n"
    laptop.apply(ignoring + policy)
    assert laptop.apply(ignoring + policy.replace("{}", "[]")) == (Counts(same=1), [])
    assert laptop.apply(ignoring + policy.replace("{}", "[]").replace(", opts=opts", "")) == (
        Counts(updated=1),
        ["update p"],
    )


def test_what_is_ignored_stays_as_it_is_when_something_else_changes(laptop: Laptop) -> None:
    ignoring = "opts = pulumi.ResourceOptions(ignore_changes=['name', 'name_prefix'])\n"
    group = "aws.cloudwatch.LogGroup('g', name='a', retention_in_days=7, opts=opts)\n"
    laptop.apply(ignoring + group)
    changed = group.replace("name='a'", "name_prefix='b-'").replace("7", "14")
    assert laptop.apply(ignoring + changed)[0] == Counts(updated=1)
    [state] = laptop.deployment.states.values()
    assert state.inputs["name"] == "a"
    assert "namePrefix" not in state.inputs


def test_how_long_a_deletion_may_take_is_kept(laptop: Laptop) -> None:
    timeouts = "pulumi.CustomTimeouts(delete='1h30m10s')"
    laptop.apply(f"aws.sqs.Queue('q', opts=pulumi.ResourceOptions(custom_timeouts={timeouts}))\n")
    [state] = laptop.deployment.states.values()
    assert state.delete_seconds == 5410


def test_a_resource_remembers_what_must_be_deleted_after_it(laptop: Laptop) -> None:
    laptop.apply(BOTH)
    [topic, policy] = laptop.deployment.states.values()
    assert (topic.name, policy.name) == ("t", "p")
    assert topic.urn in policy.depends_on
    assert policy.urn not in topic.depends_on
