"""Pools and transactions: `read()` for one statement at a time, `snapshot()` for several that must agree, `write()` to change rows.

Domain functions take the connection they need and never commit; whoever opens `write()` owns the transaction.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NewType, Self, TypeAlias

import asyncpg

from flowtrail.errors import TimedOut, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg.pool import PoolConnectionProxy

    from flowtrail.settings import Settings

    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Read = NewType("Read", Connection)
"""A connection that only reads."""
Write = NewType("Write", Connection)
"""A connection inside a transaction that is committed when its `write()` ends well."""


_CONNECT_TIMEOUT = 10.0
"""Seconds an attempt to connect may take, unless the database's URL says."""


class _Connection(asyncpg.Connection):
    """A connection whose sessions keep no state, so that giving it back costs no round trip."""

    def get_reset_query(self) -> str:
        return ""


class Database:
    """The service's connections to one PostgreSQL."""

    def __init__(
        self, dsn: str, reading: asyncpg.Pool[asyncpg.Record], writing: asyncpg.Pool[asyncpg.Record], patience: float
    ) -> None:
        """`patience` is how many seconds to wait for a free connection."""
        self.dsn = dsn
        """Where it is; not to be shown, as it may hold a password."""
        self._reading = reading
        self._writing = writing
        self._patience = patience
        self.news = asyncio.Event()
        """Set after a commit that added to the change feed."""

    @classmethod
    async def open(cls, dsn: str, settings: Settings, *, connect_timeout: float | None = None) -> Self:
        """Open the pools for an asyncpg `dsn`; raises Unavailable when PostgreSQL can't be reached."""

        def pool(**server_settings: str) -> asyncpg.Pool[asyncpg.Record]:
            return asyncpg.create_pool(
                dsn,
                min_size=0,  # asyncpg logs a traceback whenever it can't keep up a minimum
                max_size=settings.pool_size,
                connection_class=_Connection,
                timeout=connect_timeout or _CONNECT_TIMEOUT,
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
        reading = pool(default_transaction_read_only="on", plan_cache_mode="force_generic_plan")
        writing = pool()
        with _expected_errors():
            for opened in (reading, writing):
                await opened
                async with opened.acquire():
                    pass  # a database that is not there is told of now
        return cls(dsn, reading, writing, settings.statement_timeout)

    async def close(self) -> None:
        """Wait for what is under way, then close every connection."""
        await self._reading.close()
        await self._writing.close()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Read]:
        """A connection for single statements, each with a snapshot of its own."""
        with _expected_errors():
            async with self._reading.acquire(timeout=self._patience) as connection:
                yield Read(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Read]:
        """A connection whose statements all see the database as it was at the first of them."""
        with _expected_errors():
            async with (
                self._reading.acquire(timeout=self._patience) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield Read(connection)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Write]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        with _expected_errors():
            async with self._writing.acquire(timeout=self._patience) as connection, connection.transaction():
                yield Write(connection)


class _expected_errors:  # noqa: N801 (reads as a verb where it is used)
    """Turns what PostgreSQL's state explains into expected errors; anything else passes."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        match error:
            case asyncpg.QueryCanceledError() | asyncpg.LockNotAvailableError() | TimeoutError():
                raise TimedOut("the database took too long to answer") from error
            case (
                asyncpg.PostgresConnectionError()
                | asyncpg.CannotConnectNowError()
                | asyncpg.OperatorInterventionError()
                | asyncpg.InsufficientResourcesError()
                | asyncpg.ReadOnlySQLTransactionError()
                | OSError()
            ):
                raise Unavailable("the database is not available at the moment") from error
            case asyncpg.InterfaceError() if "clos" in str(error):  # asyncpg has no type of its own for closed connections
                raise Unavailable("the database is not available at the moment") from error
