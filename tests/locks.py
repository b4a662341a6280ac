"""Tables that nobody can read for a while."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg


@asynccontextmanager
async def locked(database_url: str, tables: str = "execution, flow") -> AsyncIterator[Callable[[int], Awaitable[None]]]:
    """Hold a lock that every reader of the tables waits for; yields how to wait until so many statements wait."""
    connection = await asyncpg.connect(database_url)
    watcher = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")

    async def waiting(count: int) -> None:
        async with asyncio.timeout(20):
            while count != await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ):
                await asyncio.sleep(0.02)

    try:
        yield waiting
    finally:
        await transaction.rollback()
        await connection.close()
        await watcher.close()
