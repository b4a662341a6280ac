"""Connections to PostgreSQL: kept for the next who needs one, never for nothing, and none left behind (spec 6.5)."""

import asyncio
from typing import Any

import asyncpg
import pytest

from flowtrail.database import Database
from flowtrail.errors import TimedOut
from flowtrail.settings import Settings


@pytest.fixture
async def small(database_url: str) -> Any:
    """A database with two connections for reading."""
    opened = await Database.open(database_url, Settings(database_url=database_url, pool_size=2, statement_timeout=1.0))  # type: ignore[arg-type]
    yield opened
    await opened.close()


async def backend(database: Database, seconds: float = 0.0) -> int:
    """Return the process that answers, after so many seconds."""
    async with database.read() as read:
        found: int = await read.fetchval("SELECT pg_backend_pid() FROM pg_sleep($1)", seconds)
    return found


async def test_one_reader_after_the_other_uses_the_same_connection(small: Database) -> None:
    assert len({await backend(small) for _ in range(20)}) == 1


async def test_many_readers_share_few_connections(small: Database) -> None:
    found = await asyncio.gather(*(backend(small, 0.01) for _ in range(20)))
    assert len(set(found)) == 2


async def test_who_waits_too_long_for_a_connection_is_told(small: Database) -> None:
    async with small.read(), small.read():
        with pytest.raises(TimedOut):
            await backend(small)
    assert await backend(small)


async def test_a_connection_that_was_cut_off_is_not_used_again(small: Database, database_url: str) -> None:
    pid = await backend(small)
    other = await asyncpg.connect(database_url)
    try:
        await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    finally:
        await other.close()
    await asyncio.sleep(0.05)
    assert await backend(small) != pid


async def test_closing_waits_for_what_is_under_way_and_for_nothing_else(database_url: str) -> None:
    opened = await Database.open(database_url, Settings(database_url=database_url))  # type: ignore[arg-type]
    await backend(opened)
    reading = asyncio.create_task(backend(opened, 0.2))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        await opened.close()
    assert await reading
