"""What the server holds."""

from typing import NamedTuple


class Balance(NamedTuple):
    """What the server has counted of an identity, over the account's whole life.

    Both are exact, however large.
    """

    # In place of the method of tuples, which two numbers do not need.
    count: int  # type: ignore[assignment]
    """How many integers."""
    sum: int
    """Their sum."""
