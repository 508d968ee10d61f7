"""Where in IAM a stack's roles are, and how much they may be granted at most."""

import asyncio
from weakref import WeakKeyDictionary

import pulumi

_placed: WeakKeyDictionary[asyncio.AbstractEventLoop, str] = WeakKeyDictionary()


def role_path() -> str:
    """The IAM path of this stack's roles: PROJECT/STACK/ under that of `place_roles`."""
    under = _placed.get(asyncio.get_event_loop(), "/")
    return f"{under}{pulumi.get_project()}/{pulumi.get_stack()}/"


def place_roles(path: str, permissions_boundary: str | None) -> None:
    """Put the roles that the program makes from here on under a path, and give them a boundary.

    Both are for a run of the program, which has an event loop of its own.
    """
    _placed[asyncio.get_event_loop()] = path

    def place(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.type_ != "aws:iam/role:Role":
            return None
        props = {**args.props, "permissions_boundary": permissions_boundary}
        return pulumi.ResourceTransformationResult(props, args.opts)

    if permissions_boundary is not None:
        pulumi.runtime.register_stack_transformation(place)
