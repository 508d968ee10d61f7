"""A deployment that a cloud serves, and how it becomes what the edited program declares."""

import contextlib
import copy
import dataclasses
import importlib
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local.engine.deployment import Deployment, Evaluation
from local.engine.monitor import DryProvider, UpdateError, forget_program, update
from local.engine.project import Project, ProjectError, load
from local.engine.resources import CloudProvider
from local.engine.resources.context import Clients, Context, RegisterImage
from local.engine.state import EvaluationError

Answer = tuple[int, Mapping[str, Any]]
"""An HTTP status and a JSON body."""


class ServedDeployment:
    """One stack in one cloud. At most one update of it is under way."""

    def __init__(
        self,
        project: Project,
        cloud: Clients,
        register_image: RegisterImage,
        prepare: Callable[[Project], Sequence[str]] = lambda _: (),
    ) -> None:
        """`prepare` makes what an edited program expects to exist: a line about each."""
        self._project = project
        self._cloud = cloud
        self._register_image = register_image
        self._prepare = prepare
        self._deployment = Deployment()
        self._lock = threading.Lock()
        self._under_way = False
        self._result: Answer = (404, {"message": "no update was asked for"})
        self.outputs: dict[str, Any] = {}

    def create(self) -> Evaluation:
        """Make the stack for the first time.

        Raises:
            UpdateError: the program, or the cloud, refused something.
        """
        return self.update(self._project)

    def begin(self, stack: str) -> Answer:
        """Begin to make the stack what its edited program declares: 202, or why not."""
        if stack != self._project.stack:
            message = f"The stack {self._project.stack!r} runs here, not {stack!r}: give --stack."
            return 409, {"message": message}
        with self._lock:
            if self._under_way:
                return 409, {"message": "An update is under way: wait until it has ended."}
            self._under_way = True
            self._result = (202, {"state": "under way"})
        threading.Thread(target=self._apply, name="apply", daemon=True).start()
        return self._result

    def result(self) -> Answer:
        """202 while the update is under way, 200 with what it did, or 422 with why it failed."""
        return self._result

    def _apply(self) -> None:
        try:
            self._result = self._applied()
        except (ProjectError, EvaluationError) as error:
            done = error.done if isinstance(error, UpdateError) else ()
            self._result = 422, {"message": _failed(error, done), "done": done}
        except BaseException as error:
            self._result = 500, {"message": f"{type(error).__name__}: {error}"}
            raise
        finally:
            self._under_way = False

    def _applied(self) -> Answer:
        project = load(self._project.root, self._project.stack)
        for what in ("name", "region"):
            old, new = getattr(self._project, what), getattr(project, what)
            if old != new:
                raise ProjectError(
                    f"The {what} is {new!r} now, and what runs has {old!r}: stop it and start anew."
                )
        forget_program(project.root)
        importlib.invalidate_caches()
        # What the program prints is no answer to anybody.
        with contextlib.redirect_stdout(sys.stderr):
            try:
                # What is protected is refused as well, before anything is changed.
                update(project, copy.deepcopy(self._deployment), DryProvider(project.region))
            except UpdateError as error:
                raise EvaluationError(str(error)) from error
            prepared = self._prepare(project)
            evaluation = self.update(project)
        self._project = project
        return 200, {
            "prepared": prepared,
            "counts": dataclasses.asdict(evaluation.counts),
            "done": evaluation.done,
            "outputs": evaluation.outputs,
        }

    def update(self, project: Project) -> Evaluation:
        """Make the stack what a project declares.

        Raises:
            UpdateError: the program, or the cloud, refused something.
        """
        context = Context(
            self._cloud,
            project.root,
            project.region,
            project.default_tags,
            self._register_image,
        )
        evaluation = update(project, self._deployment, CloudProvider(context))
        self.outputs.clear()
        self.outputs.update(evaluation.outputs)
        return evaluation


def _failed(error: Exception, done: tuple[str, ...]) -> str:
    if not done:
        return f"{error}\nNothing was changed."
    steps = "".join(f"\n  {step}" for step in done)
    return f"{error}\nDone before that, and kept:{steps}\nMend it and apply again."
