"""Bringing a database to this release's schema (spec 6.7). The revisions themselves are in `migrations/`."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from flowtrail import revisions
from flowtrail.database_url import DatabaseUrl
from flowtrail.errors import ConfigurationError, TimedOut, Unavailable
from flowtrail.revisions import SchemaState

_ADVISORY_LOCK = 0x666C6F777472  # "flowtr"
_TURN_TIMEOUT = "10min"
"""How long to wait for another process that is migrating."""
_LOCK_TIMEOUT = "10s"
"""How long to wait for a table; whoever queues behind us for it waits as long."""
_OLDEST_SERVER = 14


async def inspect(url: DatabaseUrl) -> tuple[SchemaState, str | None]:
    """Return the state and the revision of the database at `url`; raises Unavailable."""
    connected = await _connect(url)
    try:
        return await revisions.schema_state(connected), await revisions.current_revision(connected)
    finally:
        await connected.close()


async def upgrade(url: DatabaseUrl, revision: str = "head") -> None:
    """Migrate the database forward to `revision`, all of it or nothing.

    Processes that call this at once take turns. Raises TimedOut when others keep a table locked, Unavailable when the
    database can't be reached.
    """
    await _run(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: DatabaseUrl, revision: str) -> None:
    """Migrate the database back to `revision`, `base` for none at all. What later tables hold is lost."""
    await _run(url, lambda config: command.downgrade(config, revision))


def sql(since: str | None = None) -> str:
    """Return what `upgrade` would run on a database of the revision `since` (None: an empty one), as one SQL script."""
    offline = config()
    offline.output_buffer = io.StringIO()
    command.upgrade(offline, f"{since or 'base'}:head", sql=True)
    return offline.output_buffer.getvalue()


@asynccontextmanager
async def connection(url: DatabaseUrl) -> AsyncIterator[AsyncConnection]:
    """A connection for schema changes, whose statements may take as long as they need. Raises Unavailable."""
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: _connect(url), poolclass=NullPool)
    try:
        async with engine.connect() as opened:
            yield opened
    finally:
        await engine.dispose()


def config() -> Config:
    """Return Alembic's configuration for the migrations shipped with this package."""
    found = Config()
    found.set_main_option("script_location", str(revisions.folder()).replace("%", "%%"))
    return found


async def _connect(url: DatabaseUrl) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(
            url.dsn,
            timeout=url.connect_timeout or 60,
            server_settings={"application_name": "flowtrail migrate", "statement_timeout": "0"},
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise Unavailable(f"the database can't be reached: {error or 'no answer'}") from error


async def _run(url: DatabaseUrl, migrate: Callable[[Config], None]) -> None:
    def in_turn(connection: Connection) -> None:
        if (connection.dialect.server_version_info or (0,)) < (_OLDEST_SERVER,):
            raise ConfigurationError(f"Flowtrail needs PostgreSQL {_OLDEST_SERVER} or later")
        connection.execute(text(f"SET LOCAL lock_timeout = '{_TURN_TIMEOUT}'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        online = config()
        online.attributes["connection"] = connection
        migrate(online)

    try:
        async with connection(url) as opened, opened.begin():
            await opened.run_sync(in_turn)
    except DBAPIError as error:
        if isinstance(error.orig and error.orig.__cause__, asyncpg.LockNotAvailableError):
            raise TimedOut(f"other sessions kept a table locked for {_LOCK_TIMEOUT}: nothing was changed") from error
        if error.connection_invalidated:
            raise Unavailable("the connection to the database was lost: nothing was changed") from error
        raise
