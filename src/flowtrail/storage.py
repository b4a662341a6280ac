"""The database that the settings name, ready for this release: the embedded one is started and migrated on the way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from flowtrail import database_url, embedded
from flowtrail.database import Database
from flowtrail.errors import ConfigurationError
from flowtrail.revisions import SchemaState, schema_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from flowtrail.database_url import DatabaseUrl
    from flowtrail.settings import Settings


@contextmanager
def located(settings: Settings) -> Iterator[DatabaseUrl]:
    """Where the database is: DATABASE_URL, or the embedded PostgreSQL, which runs as long as the block does.

    Raises ConfigurationError when there is neither.
    """
    if settings.database_url is not None:
        yield database_url.parse(settings.database_url.get_secret_value())
        return
    with embedded.start(settings.data_dir) as postgres:
        yield database_url.parse(postgres.dsn)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """The database, open and of this release's schema or a later one (spec 6.7).

    Raises ConfigurationError when an external one still has to be migrated, Unavailable when it can't be reached.
    """
    location = located(settings)
    url = await asyncio.to_thread(location.__enter__)
    try:
        database = await Database.open(url.dsn, settings, connect_timeout=url.connect_timeout)
        try:
            async with database.read() as read:
                is_behind = await schema_state(read) is SchemaState.BEHIND
            if is_behind and settings.database_url is not None:
                raise ConfigurationError("the database is not at this release's schema: run `flowtrail migrate` first")
            if is_behind:
                from flowtrail import migrate  # loads Alembic and SQLAlchemy, which nothing else here needs

                await migrate.upgrade(url)
            yield database
        finally:
            await database.close()
    finally:
        await asyncio.to_thread(location.__exit__, None, None, None)
