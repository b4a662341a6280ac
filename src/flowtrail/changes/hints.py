"""LISTEN and NOTIFY between the processes of the service: that there may be something new in the feed, never what.

The hint goes out after the commit, from a connection of its own: inside the transaction it would serialise the commits of all
recorders.
"""

import asyncio
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


async def keep_notifying(database: Database, connect: Connect) -> None:
    """Send a hint after each commit that added to the feed, as `database.news` tells; until cancelled."""
    while True:
        connection = await _connected(connect)
        try:
            while not connection.is_closed():
                await database.news.wait()
                database.news.clear()
                await connection.execute(f"NOTIFY {CHANNEL}")
                await asyncio.sleep(_APART)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.info("the notifying connection was lost", error=str(error))
        finally:
            connection.terminate()


async def keep_listening(wake: Callable[[], None], connect: Connect) -> None:
    """Call `wake` at every hint, and once after each time the connection was lost; until cancelled."""
    while True:
        connection = await _connected(connect)
        lost = asyncio.Event()
        connection.add_termination_listener(lambda *_, lost=lost: lost.set())
        try:
            await connection.add_listener(CHANNEL, lambda *_: wake())
            wake()
            await lost.wait()
            log.info("the listening connection was lost")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            log.info("the listening connection was lost", error=str(error))
        finally:
            connection.terminate()


async def _connected(connect: Connect) -> "asyncpg.Connection[asyncpg.Record]":
    while True:
        try:
            return await connect()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            log.debug("no connection for hints", error=str(error))
            await asyncio.sleep(_RECONNECT_AFTER)
