"""Parameters → AWS Systems Manager Parameter Store."""

from local.engine.resources.context import Context, given, pairs
from local.engine.resources.handler import Handler, Name, retagged
from local.engine.state import Created, Registration, State


def parameter(context: Context, registration: Registration) -> Created:
    """A parameter; its id is its name."""
    name: str = registration.inputs["name"]
    _put(context, registration, Tags=pairs(registration.inputs["tags"]))
    return Created(name, {"arn": context.arn("ssm", f"parameter/{name.strip('/')}"), "name": name})


def _put(context: Context, registration: Registration, **more: object) -> None:
    inputs = registration.inputs
    context.ssm.put_parameter(
        Name=inputs["name"],
        Value=inputs["value"],
        Type=inputs["type"],
        **given(
            Description=inputs.get("description"),
            KeyId=inputs.get("keyId"),
            Tier=inputs.get("tier"),
            **more,
        ),
    )


def _update_parameter(context: Context, registration: Registration, before: State) -> None:
    _put(context, registration, Overwrite=True)
    added, gone = retagged(registration, before)
    of = {"ResourceType": "Parameter", "ResourceId": before.id}
    if added:
        context.ssm.add_tags_to_resource(**of, Tags=pairs(added))  # pyright: ignore[reportArgumentType] -- as SSM spells it
    if gone:
        context.ssm.remove_tags_from_resource(**of, TagKeys=gone)  # pyright: ignore[reportArgumentType] -- as SSM spells it


HANDLERS: dict[str, Handler] = {
    "aws:ssm/parameter:Parameter": Handler(
        parameter,
        lambda c, s: c.ssm.delete_parameter(Name=s.id),
        _update_parameter,
        frozenset({"name", "type"}),
        lambda c, s: c.ssm.get_parameter(Name=s.id),
        name=Name(2048),
        tagged=True,
    ),
}
