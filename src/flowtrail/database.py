"""Pools and transactions: `read()` for one statement at a time, `snapshot()` for several that must agree, `write()` to change rows.

Domain functions take the connection they need and never commit; whoever opens `write()` owns the transaction.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import asyncio
import gc
import time
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, NewType, Protocol, Self, TypeAlias

import asyncpg

from flowtrail.errors import TimedOut, Unavailable
from flowtrail.observability import metrics, traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg.pool import PoolConnectionProxy

    from flowtrail.settings import Settings
    from flowtrail.shares import Gate, Share

    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
    _Pooled: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Read = NewType("Read", Connection)
"""A connection that only reads."""
Write = NewType("Write", Connection)
"""A connection inside a transaction that is committed when its `write()` ends well."""


_CONNECT_TIMEOUT = 10.0
"""Seconds an attempt to connect may take, unless the database's URL says."""
_COMMAND_GRACE = 1.0
"""Seconds beyond the statement timeout after which a server that is silent, rather than slow, is given up."""

_KEPT_STATEMENTS = 50
"""Prepared statements of a connection: PostgreSQL keeps 200 to 700 KiB for the plan of one that reads a page."""
_KEPT_SECONDS = 1.0
"""For which a connection that was used is kept for the next who needs one."""


class _Connection(asyncpg.Connection):
    """A connection whose sessions keep no state, so that giving it back costs no round trip.

    But for one: a statement that was cancelled while it was being prepared leaves a transaction open that asyncpg does not know of.
    Any statement, sent as a simple query, ends it.
    """

    _was_cancelled = False

    def note_cancelled(self) -> None:
        """Learn that a statement was given up."""
        self._was_cancelled = True

    def get_reset_query(self) -> str:
        was_cancelled, self._was_cancelled = self._was_cancelled, False
        return "SELECT 1" if was_cancelled else ""

    async def copy_records_to_table(self, *arguments: Any, **options: Any) -> str:
        """Copy records. A connection that was cut off before is given up; asyncpg would hold the COPY to be under way for ever."""
        try:
            return await super().copy_records_to_table(*arguments, **options)
        except asyncpg.InternalClientError:
            # Left behind is the future that the COPY would have waited for, and nobody to hear that it failed.
            for left in gc.get_referents(self._protocol):  # type: ignore[attr-defined]
                if isinstance(left, asyncio.Future):
                    left.add_done_callback(lambda done: done.exception())
            self.terminate()
            raise


async def _trace_statements(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    if traces.is_on():
        connection.add_query_logger(traces.sql)


def pool_of(dsn: str, settings: Settings, connect_timeout: float | None, **server_settings: str) -> asyncpg.Pool[asyncpg.Record]:
    """Return a pool that is not open yet."""
    return asyncpg.create_pool(
        dsn,
        min_size=0,  # asyncpg logs a traceback whenever it can't keep up a minimum
        max_size=settings.pool_size,
        connection_class=_Connection,
        init=_trace_statements,
        statement_cache_size=_KEPT_STATEMENTS,
        timeout=connect_timeout or _CONNECT_TIMEOUT,
        command_timeout=settings.statement_timeout + _COMMAND_GRACE,
        server_settings={
            "application_name": "flowtrail",
            "timezone": "UTC",
            "statement_timeout": f"{settings.statement_timeout * 1000:.0f}",
            "lock_timeout": f"{settings.lock_timeout * 1000:.0f}",
            "idle_in_transaction_session_timeout": "60000",
            **server_settings,
        },
    )


# LIMIT $n keeps PostgreSQL on custom plans, which are planned anew for every page.
READING = {"default_transaction_read_only": "on", "plan_cache_mode": "force_generic_plan"}


_GIVEN_UP = (asyncio.CancelledError, TimeoutError)
_BROKEN = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.SerializationError)


class Replica(Protocol):
    """A standby to read from while it is not too far behind (replica.py)."""

    async def acquire(self) -> _Pooled | None:
        """Return a connection to it; None when it is not to be read from, or none can be had at once."""

    async def release(self, connection: _Pooled) -> None:
        """Give a connection back."""

    def distrust(self) -> None:
        """Learn that a connection broke."""


class Database:
    """The service's connections to one PostgreSQL, and to a standby of it."""

    def __init__(
        self,
        dsn: str,
        reading: asyncpg.Pool[asyncpg.Record],
        writing: asyncpg.Pool[asyncpg.Record],
        patience: float,
    ) -> None:
        """`patience` is how many seconds to wait for a free connection."""
        self.dsn = dsn
        """Where it is; not to be shown, as it may hold a password."""
        self._reading = _Pool(reading, "reading", patience)
        self._writing = _Pool(writing, "writing", patience)
        self._primary = self
        self._replica: Replica | None = None
        self._share: Share | None = None
        self.news = asyncio.Event()
        """Set after a commit that added to the change feed."""

    @classmethod
    async def open(cls, dsn: str, settings: Settings, *, connect_timeout: float | None = None) -> Self:
        """Open the pools for an asyncpg `dsn`; raises Unavailable when PostgreSQL can't be reached."""
        reading = pool_of(dsn, settings, connect_timeout, **READING)
        writing = pool_of(dsn, settings, connect_timeout)
        with _expected_errors():
            for opened in (reading, writing):
                await opened
                async with opened.acquire():
                    pass  # a database that is not there is told of now
        return cls(dsn, reading, writing, settings.statement_timeout)

    def with_replica(self, replica: Replica) -> Database:
        """Return the same database, whose `read()` and `snapshot()` go to `replica` while that is fresh."""
        return self._with(_replica=replica)

    def shared_by(self, share: Share) -> Database:
        """Return the same database for a client, who has no more than a share of its connections."""
        return self._with(_share=share)

    @property
    def primary(self) -> Database:
        """The same database for who must not read what is older than what they know, as those who follow the change feed."""
        return self._primary if self._share is None else self._primary.shared_by(self._share)

    def _with(self, **changes: Any) -> Database:
        other = Database.__new__(Database)  # for every request: `copy` takes several times as long
        vars(other).update(vars(self), **changes)
        return other

    async def close(self) -> None:
        """Wait for what is under way, then close every connection."""
        await self._reading.close()
        await self._writing.close()

    def read(self) -> AbstractAsyncContextManager[Read]:
        """A connection for single statements, each with a snapshot of its own."""
        return _Reading(self._reading, self._replica, None if self._share is None else self._share.reading)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Read]:
        """A connection whose statements all see the database as it was at the first of them."""
        with _expected_errors():
            async with self.read() as read, read.transaction(isolation="repeatable_read", readonly=True):
                yield read

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Write]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        try:
            with _expected_errors():
                async with _writing(self._share), self._writing.acquired() as connection, connection.transaction():
                    yield Write(connection)
        except Unavailable as error:
            if isinstance(error.__cause__, asyncpg.ReadOnlySQLTransactionError):
                # It has become a standby. The next connection goes to whoever the name in the URL stands for by then.
                await self._reading.expire()
                await self._writing.expire()
            raise


class _Reading:
    """Borrows a connection to read from: the replica's while that is fresh. Not a generator, which would take twice as long."""

    __slots__ = ("_connection", "_gate", "_is_replicas", "_lease", "_pool", "_replica")

    def __init__(self, pool: _Pool, replica: Replica | None, gate: Gate | None) -> None:
        self._pool = pool
        self._replica = replica
        self._gate = gate

    async def __aenter__(self) -> Read:
        if self._gate is not None and not self._gate.try_enter():
            await self._gate.enter()
        try:
            with _expected_errors():
                connection = await self._replica.acquire() if self._replica is not None else None
                self._is_replicas = connection is not None
                if connection is None:
                    connection, self._lease = await self._pool.take()
        except BaseException:
            self._leave()
            raise
        self._connection = connection
        return Read(connection)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, _GIVEN_UP):
            _note_given_up(self._connection)
        try:
            with _expected_errors():
                if not self._is_replicas:
                    await self._pool.give_back(self._connection, self._lease, is_clean=error is None)
                elif self._replica is not None:
                    if isinstance(error, (OSError, *_BROKEN)) and not isinstance(error, _GIVEN_UP):
                        self._replica.distrust()
                    await self._replica.release(self._connection)
        finally:
            self._leave()
        _raise_expected(error)

    def _leave(self) -> None:
        if self._gate is not None:
            self._gate.leave()


@asynccontextmanager
async def _writing(share: Share | None) -> AsyncIterator[None]:
    """Be one of those who may write at the same time."""
    if share is None:
        yield
        return
    await share.writing.enter()
    try:
        yield
    finally:
        share.writing.leave()


class _Pool:
    """Connections that are kept for a moment after their use: to give one back to asyncpg's pool costs as much as a statement."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], name: str, patience: float) -> None:
        self._pool = pool
        self._patience = patience
        self._spare: list[_Pooled] = []
        self._waiting = 0
        self._expired = 0
        self._is_closing = False
        self._returning: asyncio.Task[None] | None = None
        self._waits = metrics.connection_waits.labels(name)
        self._in_use = metrics.connections.labels(name)

    @asynccontextmanager
    async def acquired(self) -> AsyncIterator[_Pooled]:
        """A connection. Raises TimeoutError when none is free for too long."""
        connection, lease = await self.take()
        is_clean = False
        try:
            yield connection
            is_clean = True
        except _GIVEN_UP:
            _note_given_up(connection)
            raise
        finally:
            await self.give_back(connection, lease, is_clean=is_clean)

    async def take(self) -> tuple[_Pooled, int]:
        """Return a connection, and what `give_back` wants to know; raises TimeoutError when none is free for too long."""
        connection = await self._taken()
        self._in_use.inc()
        return connection, self._expired

    async def give_back(self, connection: _Pooled, lease: int, *, is_clean: bool) -> None:
        """Keep a connection for the next, unless something went wrong with it."""
        self._in_use.dec()
        if is_clean and lease == self._expired and not self._waiting and not self._is_closing and _is_open(connection):
            self._keep(connection)
        else:
            await self._pool.release(connection)

    async def expire(self) -> None:
        """Make sure that every connection is made anew before it is used again."""
        self._expired += 1
        await self._pool.expire_connections()
        await self._return()

    async def close(self) -> None:
        """Wait for what is under way, then close every connection."""
        self._is_closing = True
        if self._returning is not None:
            self._returning.cancel()
        await self._return()
        await self._pool.close()

    async def _taken(self) -> _Pooled:
        while self._spare:
            connection = self._spare.pop()
            if _is_open(connection):
                self._waits.observe(0.0)
                return connection
            await self._pool.release(connection)
        began = time.perf_counter()
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._patience)
        finally:
            self._waiting -= 1
            self._waits.observe(time.perf_counter() - began)

    def _keep(self, connection: _Pooled) -> None:
        self._spare.append(connection)
        if self._returning is None:
            self._returning = asyncio.create_task(self._return_later())

    async def _return_later(self) -> None:
        await asyncio.sleep(_KEPT_SECONDS)
        self._returning = None
        await self._return()

    async def _return(self) -> None:
        while self._spare:
            await self._pool.release(self._spare.pop())


def _is_open(connection: _Pooled) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # asyncpg has closed it by now, and the proxy stands for nothing
        return False


def _note_given_up(connection: _Pooled) -> None:
    with suppress(AttributeError):  # likewise
        connection.note_cancelled()  # type: ignore[attr-defined]  # a proxy of a _Connection


class _expected_errors:  # noqa: N801 (reads as a verb where it is used)
    """Turns what PostgreSQL's state explains into expected errors; anything else passes."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            _raise_expected(error)


def _raise_expected(error: BaseException | None) -> None:
    """Raise the expected error that this one stands for, if any."""
    match error:
        case asyncpg.QueryCanceledError() | asyncpg.LockNotAvailableError() | TimeoutError():
            metrics.database_errors.labels(TimedOut.code).inc()
            raise TimedOut("the database took too long to answer") from error
        case (
            asyncpg.PostgresConnectionError()
            | asyncpg.CannotConnectNowError()
            | asyncpg.OperatorInterventionError()
            | asyncpg.InsufficientResourcesError()
            | asyncpg.ReadOnlySQLTransactionError()
            | asyncpg.ObjectNotInPrerequisiteStateError()  # a standby is asked what only a primary knows
            | asyncpg.InternalClientError()  # a connection that was given up half-way is not usable again
            | OSError()
        ):
            raise _unavailable() from error
        case asyncpg.SerializationError() if "recovery" in str(error):  # a standby gave up a statement that held it up
            raise _unavailable() from error
        case asyncpg.InterfaceError() if "clos" in str(error):  # asyncpg has no type of its own for closed connections
            raise _unavailable() from error


def _unavailable() -> Unavailable:
    metrics.database_errors.labels(Unavailable.code).inc()
    return Unavailable("the database is not available at the moment")
