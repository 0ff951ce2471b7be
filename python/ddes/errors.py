"""What can go wrong: one class for each exit code of the command `ddes`.

| class | exit code | examples |
|---|---|---|
| RefusedError | 1 | the outbox is in use, its disk is full |
| UsageError | 2 | an integer beyond 64 bits, a closed client, a client of another process |
| ConnectError | 3 | no server there, or it ended the session |
| IdentityError | 4 | the server's key is not the trusted one, ours is not authorized |
| IntegrityError | 5 | a forged message, a ledger that went back, a damaged outbox |
| TimeoutError | 6 | no answer within the timeout |
"""

import builtins
from typing import ClassVar


class Error(Exception):
    """The class of everything that ddes raises, but for TypeError."""

    exit_code: ClassVar[int] = 1
    """The exit code with which the command `ddes` reports the same."""


class RefusedError(Error):
    """The answer was no."""


class UsageError(Error, ValueError):
    """What was asked for makes no sense."""

    exit_code = 2


class ConnectError(Error, ConnectionError):
    """No server was reached, or it ended the session."""

    exit_code = 3


class IdentityError(Error):
    """A key: the server's is not trusted, or ours is not authorized."""

    exit_code = 4


class IntegrityError(Error):
    """A message, a ledger or an outbox is not what it must be."""

    exit_code = 5


class TimeoutError(Error, builtins.TimeoutError):
    """Something took too long."""

    exit_code = 6
