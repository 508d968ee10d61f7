"""Whose an access key is: a session's that lives, a user's, or nobody's, which is the developer's.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
"""

import hmac
import re
import time

from local.ministack import internals

_TEMPORARY = "ASIA"
_UNKNOWN = ("UnrecognizedClientException", "The security token included in the request is invalid.")
_EXPIRED = ("ExpiredTokenException", "The security token included in the request is expired")
_WRONG_TOKEN = ("InvalidToken", "The provided token is malformed or otherwise invalid.")

# Keys of users that were seen, in capitals: one that was deleted is nobody's ever after.
_issued: set[str] = set()


_account: list[str] = []


def install(account: str) -> None:
    """Take keys for a cloud of one account, and forget those of an earlier one."""
    _issued.clear()
    _account[:] = [account]


def problem(key: str, token: str) -> tuple[str, str] | None:
    """What is wrong with a key and the session token sent along: a code and a message of AWS's."""
    session = internals.sessions().get(key)
    if session is not None:
        if time.time() > session.get("Expiration", float("inf")):
            return _EXPIRED
        expected = str(session.get("SessionToken", ""))
        if hmac.compare_digest(expected.encode(), token.encode()):
            return None
        return _WRONG_TOKEN if token else _UNKNOWN
    if key in _users_keys():
        return _WRONG_TOKEN if token else None
    if _is_another_account(key):
        return _UNKNOWN[0], f"This cloud has no account {key}: it has {_account[0]} alone."
    return _UNKNOWN if token or not is_developers(key) else None


def is_developers(key: str) -> bool:
    """Whether a key stands for the account itself: whoever reaches loopback may, by any name.

    A key that looks temporary never does, nor one that is a user's or was, in whichever letters,
    nor the number of another account, in which MiniStack would act.
    """
    if _is_another_account(key) or key in internals.sessions() or key in _users_keys():
        return False
    capitals = key.upper()
    return not capitals.startswith(_TEMPORARY) and capitals not in _issued


def _is_another_account(key: str) -> bool:
    return re.fullmatch("[0-9]{12}", key) is not None and key not in _account


def _users_keys() -> set[str]:
    keys = {key for _, key in internals.access_keys().to_dict()}
    _issued.update(key.upper() for key in keys)
    return keys
