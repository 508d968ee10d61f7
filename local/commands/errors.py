"""What ends a command with a line for its user."""


class CommandError(Exception):
    """One or more one-line messages that say what to do, and the exit status."""

    def __init__(self, message: str, status: int = 2) -> None:
        super().__init__(message)
        self.status = status
