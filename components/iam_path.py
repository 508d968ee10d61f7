"""Where in IAM a stack's roles are, and how much they may be granted at most."""

import contextlib
from collections.abc import Generator
from contextvars import ContextVar

import pulumi

_placed: ContextVar[str] = ContextVar("_placed", default="/")


def role_path() -> str:
    """The IAM path of this stack's roles: PROJECT/STACK/ under that of `place_roles`."""
    return f"{_placed.get()}{pulumi.get_project()}/{pulumi.get_stack()}/"


@contextlib.contextmanager
def place_roles(path: str) -> Generator[None]:
    """Put the roles that are made meanwhile under a path."""
    before = _placed.set(path)
    try:
        yield
    finally:
        _placed.reset(before)


def bounded(
    opts: pulumi.ResourceOptions | None, permissions_boundary: str | None
) -> pulumi.ResourceOptions:
    """A component's options, such that the roles in it get a boundary."""

    def bound(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != "aws:iam/role:Role":
            return None
        props = {**args.props, "permissions_boundary": permissions_boundary}
        return pulumi.ResourceTransformationResult(props, args.opts)

    own = pulumi.ResourceOptions(transformations=[bound] if permissions_boundary else None)
    return pulumi.ResourceOptions.merge(opts, own)
