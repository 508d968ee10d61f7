"""What a service may ask of the cloud that it runs in. Every service imports this file."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from local.faults import Faults
from local.instance import Instance
from local.services.ecs.images import Images
from local.services.ecs.metadata import Endpoint


@dataclass(frozen=True, slots=True)
class Credentials:
    """The temporary credentials of one role session."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)


class Runtime(Protocol):
    """One open cloud, as its services see it."""

    @property
    def account(self) -> str:
        """The account that everything belongs to."""
        ...

    @property
    def region(self) -> str:
        """The Region of everything that names none."""
        ...

    @property
    def endpoint(self) -> str:
        """The URL at which the cloud answers AWS's requests."""
        ...

    @property
    def images(self) -> Images:
        """The container images that tasks can run."""
        ...

    @property
    def metadata(self) -> Endpoint:
        """What containers ask about their tasks."""
        ...

    @property
    def instance(self) -> Instance:
        """Its folder on disk, and what ends when it ends."""
        ...

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        ...

    @property
    def max_tasks(self) -> int:
        """How many tasks run at a time; more wait in PROVISIONING."""
        ...

    @property
    def wait_scale(self) -> float:
        """Seconds that a wait or a retry's interval lasts per second of AWS's."""
        ...

    def scope(self) -> AbstractContextManager[None]:
        """This cloud's account and Region for calls from a thread of a service's own."""
        ...

    def client(self, service: str, session: Credentials | None = None) -> Any:  # noqa: ANN401 - a type for each service
        """A boto3 client that talks to this cloud: as the account itself, or a role's session."""
        ...

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the cloud closes, last registered first, before the server stops."""
        ...
