"""The client for asyncio.

A Client waits on threads, so that the event loop does not: each AsyncClient has at most four, one
for each kind of call. However many tasks wait, they share calls: integers that tasks add while
others are written to the outbox are written together, and tasks that flush meanwhile wait for one
flush. The threads are daemons: no program waits for them at its end.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import queue
import threading
import warnings
from array import array
from collections import deque
from types import TracebackType
from typing import (
    Any,
    Callable,
    Deque,
    Iterable,
    List,
    Optional,
    SupportsIndex,
    Tuple,
    Type,
    TypeVar,
    Union,
)

from ._balance import Balance
from ._ddes import ADD_MAX, Client
from .errors import Error, TimeoutError, UsageError

_T = TypeVar("_T")
_CLOSED = "the client is closed"


class AsyncClient:
    """Counts integers on a server, each exactly once: Client for asyncio.

    It takes the arguments of Client. Use it in an async with statement, or await open() before
    anything else and close() at the end, all on one event loop. Its methods never block the loop.

    A call that is cancelled, or whose timeout is over, takes nothing back: the integers of an add()
    are then taken all, or not at all.

    >>> async def count():
    ...     async with ddes.AsyncClient(server, identity=identity, trust=trust) as client:
    ...         await client.add(42)
    ...         await asyncio.gather(*(client.add(n) for n in range(100)))
    ...         return (await client.flush()).sum
    >>> asyncio.run(count())
    4992
    """

    def __init__(
        self, server: str, *, timeout: Optional[float] = None, **settings: Any
    ) -> None:
        self._make = functools.partial(Client, server, **settings)
        self._timeout = _limit(timeout)
        self._process = os.getpid()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._client: Optional[Client] = None
        self._last: Optional[Balance] = None
        self._is_ended = False
        self._opener, self._adder, self._flusher, self._teller = self._workers = tuple(
            _Worker(f"ddes-{name}") for name in ("open", "add", "flush", "total")
        )
        self._waiting: Deque[Tuple[array[int], asyncio.Future[None]]] = deque()
        self._is_adding = False
        self._flushes = _Shared(self._flusher)
        self._totals = _Shared(self._teller)

    async def open(self) -> AsyncClient:
        """Reads the keys, locks the outbox and begins to connect. Waits for no server."""
        if self._loop is not None:
            raise UsageError("the client was opened before")
        self._loop = asyncio.get_running_loop()
        try:
            self._client = await self._opener.call(self._loop, self._make)
        finally:
            if self._client is None:
                self._end()
        return self

    async def add(
        self,
        values: Union[SupportsIndex, Iterable[SupportsIndex]],
        /,
        *,
        timeout: Optional[float] = None,
    ) -> None:
        """Takes one integer, or an iterable of at most ddes.ADD_MAX: all of them or none."""
        _, loop = self._here()
        taken: asyncio.Future[None] = loop.create_future()
        self._waiting.append((_integers(values), taken))
        if not self._is_adding:
            self._add_next()
        await self._within(timeout, taken)

    async def flush(self, timeout: Optional[float] = None) -> Balance:
        """Waits until every integer is counted whose add() has returned; the Balance then."""
        client, loop = self._here()
        flushed = self._flushes.call(loop, functools.partial(client.flush, math.inf))
        return await self._within(timeout, flushed)

    async def total(self, timeout: Optional[float] = None) -> Balance:
        """The Balance that the server holds, as it stated it last.

        Waits for the first session, but not for integers that are not counted yet.
        """
        client, loop = self._here()
        told = self._totals.call(loop, functools.partial(client.total, math.inf))
        return await self._within(timeout, told)

    async def close(self, timeout: Optional[float] = None) -> Balance:
        """As flush(), and ends the session.

        If it raises TimeoutError, the client is still open. A second call returns the same Balance.
        """
        if self._last is not None:
            return self._last
        client, loop = self._here()
        limit = self._timeout if timeout is None else _limit(timeout)
        wait = math.inf if limit is None else limit
        self._last = await self._opener.call(loop, functools.partial(client.close, wait))
        self._end()
        return self._last

    def leave(self) -> None:
        """Ends the session without waiting for integers that are not counted.

        With an outbox they are kept for the next client; without one they may be lost. Calls that
        wait raise ddes.UsageError.
        """
        if self._client is not None and os.getpid() == self._process:
            self._client.leave()
        self._end()

    async def __aenter__(self) -> AsyncClient:
        return await self.open()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]] = None,
        value: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
        /,
    ) -> None:
        try:
            if kind is None and not self._is_ended:
                await self.close()
        finally:
            self.leave()

    def __repr__(self) -> str:
        shown = "not open" if self._client is None else repr(self._client)
        return f"<ddes.AsyncClient {shown}>"

    def __del__(self) -> None:
        if not getattr(self, "_is_ended", True) and os.getpid() == self._process:
            if self._client is not None:
                warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self)
            self.leave()

    def _here(self) -> Tuple[Client, asyncio.AbstractEventLoop]:
        """The client, on the process and the event loop that it belongs to."""
        if os.getpid() != self._process:
            raise UsageError(
                f"this client is of process {self._process}, and a fork ({os.getpid()}) cannot "
                "use it: make a client in each process"
            )
        if self._is_ended:
            raise UsageError(_CLOSED)
        if self._client is None or self._loop is None:
            raise UsageError("the client is not open: use it in an async with statement")
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError("the client was opened on another event loop")
        return self._client, self._loop

    async def _within(self, timeout: Optional[float], future: asyncio.Future[_T]) -> _T:
        limit = self._timeout if timeout is None else _limit(timeout)
        try:
            return await asyncio.wait_for(future, limit)
        except asyncio.TimeoutError as error:
            # The client's own is one, too.
            if isinstance(error, Error):
                raise
            raise TimeoutError("no answer within the timeout") from None

    def _add_next(self) -> None:
        """Hands over as many of the integers that wait as one call takes."""
        client, loop = self._client, self._loop
        batch, takers = array("q"), []
        while self._waiting:
            values, taken = self._waiting[0]
            # Nobody waits any more for what is done already: it is not taken.
            if not taken.done():
                if len(batch) + len(values) > ADD_MAX:
                    break
                batch.extend(values)
                takers.append(taken)
            self._waiting.popleft()
        self._is_adding = bool(takers)
        if takers and client is not None and loop is not None:
            job = self._adder.call(loop, functools.partial(client.add, batch))
            job.add_done_callback(functools.partial(self._added, takers))

    def _added(self, takers: List[asyncio.Future[None]], job: asyncio.Future[None]) -> None:
        _settle_all(takers, job)
        self._add_next()

    def _end(self) -> None:
        self._is_ended = True
        for worker in self._workers:
            worker.stop()


class _Worker:
    """A thread that makes one call after another; there is none before the first."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Optional[Callable[[], None]]] = queue.SimpleQueue()
        self._name = name
        self._is_started = False
        self._is_stopped = False

    def call(
        self, loop: asyncio.AbstractEventLoop, function: Callable[[], _T]
    ) -> asyncio.Future[_T]:
        """The result of the function, on the loop."""
        future: asyncio.Future[_T] = loop.create_future()
        if self._is_stopped:
            future.set_exception(UsageError(_CLOSED))
            return future
        if not self._is_started:
            arguments = (self._jobs,)
            threading.Thread(target=_work, args=arguments, name=self._name, daemon=True).start()
            self._is_started = True
        self._jobs.put(functools.partial(_carry_out, loop, future, function))
        return future

    def stop(self) -> None:
        """Ends the thread once it has made the calls that it has."""
        self._is_stopped = True
        self._jobs.put(None)


def _work(jobs: queue.SimpleQueue[Optional[Callable[[], None]]]) -> None:
    while True:
        job = jobs.get()
        if job is None:
            return
        job()


def _carry_out(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[_T], function: Callable[[], _T]
) -> None:
    settle: Callable[[], None]
    try:
        settle = functools.partial(_settle, future, function(), None)
    except BaseException as error:
        settle = functools.partial(_settle, future, None, error)
    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        # The loop is closed: nobody waits.
        pass


def _settle(
    future: asyncio.Future[Any], outcome: Any, error: Optional[BaseException]
) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(outcome)
    else:
        future.set_exception(error)


def _settle_all(futures: Iterable[asyncio.Future[_T]], job: asyncio.Future[_T]) -> None:
    error = job.exception()
    for future in futures:
        if error is None:
            _settle(future, job.result(), None)
        else:
            # Each task raises an exception of its own.
            _settle(future, None, type(error)(*error.args))


class _Shared:
    """Calls without arguments: those that come while one is made share the next one."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._waiting: List[asyncio.Future[Balance]] = []
        self._is_busy = False

    def call(
        self, loop: asyncio.AbstractEventLoop, function: Callable[[], Balance]
    ) -> asyncio.Future[Balance]:
        future: asyncio.Future[Balance] = loop.create_future()
        self._waiting.append(future)
        if not self._is_busy:
            self._next(loop, function)
        return future

    def _next(self, loop: asyncio.AbstractEventLoop, function: Callable[[], Balance]) -> None:
        waiting = [future for future in self._waiting if not future.done()]
        self._waiting = []
        self._is_busy = bool(waiting)
        if waiting:
            job = self._worker.call(loop, function)
            job.add_done_callback(functools.partial(self._done, loop, function, waiting))

    def _done(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Balance],
        waiting: List[asyncio.Future[Balance]],
        job: asyncio.Future[Balance],
    ) -> None:
        _settle_all(waiting, job)
        self._next(loop, function)


def _integers(given: Union[SupportsIndex, Iterable[SupportsIndex]]) -> array[int]:
    """Exact, or an error."""
    values = array("q")
    items = iter(given) if isinstance(given, Iterable) else iter((given,))
    for item in items:
        if len(values) == ADD_MAX:
            raise UsageError(f"at most {ADD_MAX} integers are taken at once")
        try:
            values.append(item)  # type: ignore[arg-type]
        except OverflowError:
            place = len(values)
            text = f"integer {place} is not within 64 bits (-2**63 to 2**63 - 1)"
            raise UsageError(text) from None
    return values


def _limit(timeout: Optional[float]) -> Optional[float]:
    """Seconds, or None without a limit."""
    if timeout is None or timeout == math.inf:
        return None
    if not timeout >= 0:
        raise UsageError("timeout is a number of seconds, 0 or more")
    return timeout
