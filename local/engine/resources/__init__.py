"""Registrations of the program → resources of the local cloud, a small function for each type."""

from local.engine.monitor import (
    Created,
    Evaluation,
    EvaluationError,
    Properties,
    Registration,
    evaluate,
    who_and_where,
)
from local.engine.project import Project
from local.engine.resources import (
    containers,
    events,
    functions,
    identity,
    messages,
    network,
    observability,
    parameters,
    storage,
)
from local.engine.resources.context import Clients, Context, Creator, RegisterImage

__all__ = ["CREATORS", "create_stack"]

CREATORS: dict[str, Creator] = {
    **containers.CREATORS,
    **events.CREATORS,
    **functions.CREATORS,
    **identity.CREATORS,
    **messages.CREATORS,
    **network.CREATORS,
    **observability.CREATORS,
    **parameters.CREATORS,
    **storage.CREATORS,
}
"""The resource types that the local cloud knows."""


def create_stack(project: Project, cloud: Clients, register_image: RegisterImage) -> Evaluation:
    """Evaluate the program and make all its resources in `cloud`.

    Raises:
        EvaluationError: the program, or the cloud, refused something.
    """
    provider = _CloudProvider(Context(cloud, project, register_image))
    evaluation = evaluate(project, provider)
    return Evaluation(
        evaluation.outputs, evaluation.resources, provider.context.not_honoured_lines()
    )


class _CloudProvider:
    def __init__(self, context: Context) -> None:
        self.context = context

    def create(self, registration: Registration) -> Created:
        if registration.type.startswith("pulumi:providers:"):
            return Created(registration.name, {})
        creator = CREATORS.get(registration.type)
        if creator is None:
            raise EvaluationError(
                f"{registration.urn}: the local cloud cannot make a {registration.type}:"
                " add a function for it to local/engine/resources/."
            )
        return creator(self.context, registration)

    def invoke(self, token: str, arguments: Properties) -> Properties:  # noqa: ARG002 -- as Provider has it
        return who_and_where(token, self.context.account, self.context.region)
