"""A standby to read from, as long as it is known not to be too far behind (spec 6.6).

How far behind it is can't be asked of it: a standby that has replayed everything looks like one whose connection is cut. So
the primary's place in the log is noted with the time, over and over; the standby is as old as the latest of these places that
it has reached. When either can't be asked, its age grows, and past the bound reads go to the primary.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Self

import asyncpg
import structlog

from flowtrail.database import READING, pool_of
from flowtrail.observability import metrics

if TYPE_CHECKING:
    from flowtrail.database import Database
    from flowtrail.database_url import DatabaseUrl
    from flowtrail.settings import Settings

log = structlog.get_logger()

_CHECKS_IN_A_BOUND = 5
_PATIENCE = 1.0
"""Seconds to wait for one of its connections, before the primary is asked instead."""
_PRIMARY = "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn AS place, (SELECT epoch FROM feed_epoch)"
_STANDBY = """
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn AS place,
           (SELECT epoch FROM feed_epoch)"""


class StandbyReplica:
    """A pool of connections to a standby, and what is known of its age. `bound` is in seconds."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], bound: float) -> None:
        self._pool = pool
        self._bound = bound
        self._places: deque[tuple[float, int]] = deque(maxlen=1000)
        self._fresh_until = 0.0
        self._was_fresh: bool | None = None

    @classmethod
    async def open(cls, url: DatabaseUrl, settings: Settings) -> Self:
        """Open the pool; a standby that can't be reached now may come later."""
        pool = pool_of(url.dsn, settings, url.connect_timeout, **READING)
        await pool
        return cls(pool, settings.read_staleness)

    async def close(self) -> None:
        await self._pool.close()

    @property
    def is_fresh(self) -> bool:
        """Whether what it shows is no older than the bound."""
        return time.monotonic() < self._fresh_until

    async def acquire(self) -> asyncpg.pool.PoolConnectionProxy[asyncpg.Record] | None:
        """Return a connection to it; None when it is not to be read from, or none can be had at once."""
        if not self.is_fresh:
            return None
        try:
            connection = await self._pool.acquire(timeout=_PATIENCE)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.distrust()
            return None
        metrics.connections.labels("replica").inc()
        return connection

    async def release(self, connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
        """Give a connection back."""
        metrics.connections.labels("replica").dec()
        await self._pool.release(connection)

    def distrust(self) -> None:
        """Read from the primary until the standby has shown anew that it can be read from."""
        self._fresh_until = 0.0

    async def keep_watching(self, primary: Database) -> None:
        """Find out its age over and over, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._bound):
                    await self._look(primary)
            except Exception as error:
                log.debug("the replica's age can't be found out", error=str(error))
            self._tell()
            await asyncio.sleep(self._bound / _CHECKS_IN_A_BOUND)

    async def _look(self, primary: Database) -> None:
        now = time.monotonic()
        async with primary.read() as read:
            ahead = await read.fetchrow(_PRIMARY)
        async with self._pool.acquire(timeout=self._bound) as connection:
            behind = await connection.fetchrow(_STANDBY)
        assert ahead is not None  # noqa: S101 (one row, always)
        assert behind is not None  # noqa: S101
        if ahead["epoch"] != behind["epoch"]:
            self._fresh_until = 0.0
            return
        self._places.append((now, int(ahead["place"])))
        self._fresh_until = self._reached(int(behind["place"])) + self._bound

    def _reached(self, place: int) -> float:
        """Return when the primary was where the standby is now."""
        return max((at for at, passed in self._places if passed <= place), default=-self._bound)

    def _tell(self) -> None:
        if self.is_fresh is not self._was_fresh:
            self._was_fresh = self.is_fresh
            if self.is_fresh:
                log.info("the replica is read from")
            else:
                log.warning("the replica is too far behind, or away: the primary is read from", bound_seconds=self._bound)
