"""What the program declares → the local cloud: a file a service, a handler for each type."""

import base64
from collections.abc import Callable

from botocore.exceptions import ClientError

from local.engine.deployment import Deployment, Evaluation
from local.engine.monitor import (
    AUTHORIZATION,
    PARAMETERS,
    ZONES,
    update,
    who_and_where,
    zones_by_id,
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
from local.engine.resources.context import Clients, Context, RegisterImage
from local.engine.resources.handler import Handler, checked, difference, is_gone
from local.engine.state import (
    Created,
    Diff,
    EvaluationError,
    Make,
    Properties,
    Registration,
    State,
)

__all__ = ["COMPONENTS", "HANDLERS", "CloudProvider", "create_stack"]

HANDLERS: dict[str, Handler] = {
    **containers.HANDLERS,
    **events.HANDLERS,
    **functions.HANDLERS,
    **identity.HANDLERS,
    **messages.HANDLERS,
    **network.HANDLERS,
    **observability.HANDLERS,
    **parameters.HANDLERS,
    **storage.HANDLERS,
}
"""The resource types that the local cloud knows."""


def _vpc(context: Context, registration: Registration, make: Make) -> Properties:
    network.note_nat_gateways(context, registration)
    zones = network.zones_of(context, registration.inputs)
    return network.awsx_vpc(registration.name, registration.inputs, make, zones)


COMPONENTS: dict[str, Callable[[Context, Registration, Make], Properties]] = {
    "awsx:ec2:Vpc": _vpc,
    "awsx:ecr:Repository": lambda _c, r, make: containers.awsx_repository(r.name, r.inputs, make),
    "awsx:ecr:Image": lambda _c, r, make: containers.awsx_image(r.name, r.inputs, make),
}
"""The remote components, each made of resources of the types above."""


def create_stack(project: Project, cloud: Clients, register_image: RegisterImage) -> Evaluation:
    """Evaluate the program and make all its resources in `cloud`.

    Raises:
        EvaluationError: the program, or the cloud, refused something.
    """
    context = Context(cloud, project.root, project.region, project.default_tags, register_image)
    return update(project, Deployment(), CloudProvider(context))


class CloudProvider:
    """Hands each resource to the functions of its type."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def check(self, registration: Registration, before: Properties | None, seed: str) -> Properties:
        """The inputs with what the program left to the provider."""
        if _is_provider(registration.type):
            return registration.inputs
        handler = _handler(registration.type, registration.urn)
        return checked(handler, self.context, registration, before, seed)

    def diff(self, before: State, inputs: Properties) -> Diff:
        """What it takes for a resource to be as its new inputs say."""
        if _is_provider(before.type):
            return Diff(frozenset())
        return difference(_handler(before.type, before.urn), before.inputs, inputs)

    def create(self, registration: Registration) -> Created:
        """Make a resource; its inputs are checked."""
        if _is_provider(registration.type):
            return Created(registration.name, {})
        return _handler(registration.type, registration.urn).create(self.context, registration)

    def update(self, registration: Registration, before: State) -> Properties:
        """Change a resource, none of whose changed inputs replaces it; answers with its outputs."""
        change = _handler(registration.type, registration.urn).update
        assert change is not None, registration.type  # noqa: S101 -- or `diff` had it replaced
        return before.outputs | (change(self.context, registration, before) or {})

    def delete(self, state: State) -> None:
        """Take a resource away; one that is gone already counts as taken away."""
        if _is_provider(state.type):
            return
        try:
            _handler(state.type, state.urn).delete(self.context, state)
        except ClientError as error:
            if not is_gone(error):
                raise

    def exists(self, state: State) -> bool:
        """Whether the cloud still has a resource."""
        handler = _handler(state.type, state.urn)
        if handler.exists is None:
            return True
        try:
            handler.exists(self.context, state)
        except LookupError:
            return False
        except ClientError as error:
            if not is_gone(error):
                raise
            return False
        return True

    def construct(self, registration: Registration, make: Make) -> Properties:
        """Make what is in a remote component; its outputs."""
        component = COMPONENTS.get(registration.type)
        if component is None:
            raise _unknown(registration.type, registration.urn)
        return component(self.context, registration, make)

    def invoke(self, token: str, arguments: Properties) -> Properties:
        """Answer a function call."""
        if token == AUTHORIZATION:
            answer = self.context.ecr.get_authorization_token()["authorizationData"][0]
            both = base64.b64decode(answer["authorizationToken"]).decode()
            user, _, password = both.partition(":")
            return {"userName": user, "password": password}
        if token == PARAMETERS:
            pages = self.context.ssm.get_paginator("get_parameters_by_path")
            found = [
                one.get("Name", "")
                for page in pages.paginate(Path=arguments["path"])
                for one in page["Parameters"]
            ]
            return {"names": found, "id": arguments["path"]}
        if token == ZONES:
            return zones_by_id(arguments, self.context.region)
        return who_and_where(token, self.context.account, self.context.region)

    def not_honoured(self) -> tuple[str, ...]:
        """What was asked for that this cloud only records."""
        return self.context.not_honoured_lines()


def _is_provider(kind: str) -> bool:
    return kind.startswith("pulumi:providers:")


def _handler(kind: str, urn: str) -> Handler:
    handler = HANDLERS.get(kind)
    if handler is None:
        raise _unknown(kind, urn)
    return handler


def _unknown(kind: str, urn: str) -> EvaluationError:
    return EvaluationError(
        f"{urn}: the local cloud cannot make a {kind}:"
        " add a function for it to local/engine/resources/."
    )
