"""Exact running totals: integers that count exactly once, over networks that nobody trusts.

Client is for programs and threads, AsyncClient for asyncio. Both take the same arguments. What goes
wrong is an exception of ddes.errors; ddes.Error is the class of them all. What happens to sessions
is logged by the logger "ddes" of Python's logging.
"""

from ._balance import Balance
from ._ddes import ADD_MAX, VERSION as __version__, Client
from .aio import AsyncClient
from .errors import (
    ConnectError,
    Error,
    IdentityError,
    IntegrityError,
    RefusedError,
    TimeoutError,
    UsageError,
)

__all__ = [
    "ADD_MAX",
    "AsyncClient",
    "Balance",
    "Client",
    "ConnectError",
    "Error",
    "IdentityError",
    "IntegrityError",
    "RefusedError",
    "TimeoutError",
    "UsageError",
    "__version__",
]
