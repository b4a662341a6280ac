"""LISTEN and NOTIFY between the processes of the service: that there may be something new in the feed, never what.

The hint goes out after the commit, from a connection of its own: inside the transaction it would serialise the commits of all
recorders.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from flowtrail.database import Database

log = structlog.get_logger()

CHANNEL = "flowtrail_changes"
_APART = 0.01
"""Seconds between two hints of a process, at least."""
_RECONNECT_AFTER = 0.5
"""Seconds; until then the tail's own tick finds what is new."""

Connect = Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]]


class Hints:
    """The hints that one process sends and takes; both work until cancelled, each on a connection of its own."""

    def __init__(self, database: Database, wake: Callable[[], None], connect: Connect) -> None:
        """`wake` is called when the feed should be looked at."""
        self._database = database
        self._wake = wake
        self._connect = connect
        self._origin = uuid.uuid4().hex

    async def keep_sending(self) -> None:
        """After each commit that added to the feed, as `database.news` tells, look at it here, and send the others a hint."""
        while True:
            connection = await self._connected()
            try:
                while not connection.is_closed():
                    await self._database.news.wait()
                    self._database.news.clear()
                    self._wake()
                    await connection.execute(f"NOTIFY {CHANNEL}, '{self._origin}'")
                    await asyncio.sleep(_APART)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.info("the notifying connection was lost", error=str(error))
            finally:
                connection.terminate()

    async def keep_listening(self) -> None:
        """Look at the feed at every hint of another process, and once after each time the connection was lost."""
        while True:
            connection = await self._connected()
            lost = asyncio.Event()
            connection.add_termination_listener(lambda *_, lost=lost: lost.set())
            try:
                await connection.add_listener(CHANNEL, self._take)
                self._wake()
                await lost.wait()
                log.info("the listening connection was lost")
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.info("the listening connection was lost", error=str(error))
            finally:
                connection.terminate()

    def _take(self, _connection: object, _process: int, _channel: str, origin: object) -> None:
        if origin != self._origin:  # this process did not wait for its own hint
            self._wake()

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        while True:
            try:
                return await self._connect()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
                log.debug("no connection for hints", error=str(error))
                await asyncio.sleep(_RECONNECT_AFTER)
