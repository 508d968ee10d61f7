"""What AWS, or the way to it, failed at → one line for whoever asked."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ProfileNotFound,
)
from botocore.exceptions import (
    ConnectionError as NotConnectedError,
)

from .errors import NOT_ALLOWED, WRONG_USE, OperateError
from .policies import policy_with

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "AuthorizationErrorException",
    "UnauthorizedOperation",
    "AccessDeniedFault",
}
_NO_CREDENTIALS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
}


def explained(error: BotoCoreError | ClientError | HTTPClientError) -> OperateError:
    """A failure of AWS's as one line; a missing right with the policy that has it."""
    if isinstance(error, ClientError):
        return _of_client(error)
    if isinstance(error, ProfileNotFound | NoRegionError | InvalidRegionError):
        return OperateError(str(error), WRONG_USE)
    if isinstance(error, NoCredentialsError):
        return OperateError(
            "no AWS credentials: give --profile, or log in (`aws sso login`, `aws configure`)",
            NOT_ALLOWED,
        )
    if isinstance(error, NotConnectedError):
        return OperateError(f"AWS does not answer: {error}", NOT_ALLOWED)
    return OperateError(str(error), NOT_ALLOWED)


def _of_client(error: ClientError) -> OperateError:
    details: dict[str, str] = error.response.get("Error", {})  # pyright: ignore[reportAssignmentType]
    code, message = details.get("Code", ""), details.get("Message", "")
    if code in _NO_CREDENTIALS:
        return OperateError(f"AWS refused the credentials: {message or code}", NOT_ALLOWED)
    if code in _DENIED:
        return OperateError(
            f"not allowed: {error.operation_name}: {message} ({policy_with(error.operation_name)})",
            NOT_ALLOWED,
        )
    return OperateError(f"{error.operation_name}: {code}: {message}", 1)
