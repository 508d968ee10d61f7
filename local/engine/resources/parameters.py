"""Parameters → AWS Systems Manager Parameter Store."""

from local.engine.monitor import Created, Registration
from local.engine.resources.context import Context, Creator, given


def parameter(context: Context, registration: Registration) -> Created:
    """A parameter; its id is its name."""
    inputs = registration.inputs
    name = context.name(registration, limit=2048)
    context.ssm.put_parameter(
        Name=name,
        Value=inputs["value"],
        Type=inputs["type"],
        Tags=context.pairs(inputs),  # pyright: ignore[reportArgumentType] -- as SSM spells them
        **given(
            Description=inputs.get("description"),
            KeyId=inputs.get("keyId"),
            Tier=inputs.get("tier"),
        ),
    )
    return Created(name, {"arn": context.arn("ssm", f"parameter/{name.strip('/')}"), "name": name})


CREATORS: dict[str, Creator] = {"aws:ssm/parameter:Parameter": parameter}
