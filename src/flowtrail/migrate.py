"""Bringing a database to this release's schema (spec 6.7). The revisions themselves are in `migrations/`."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from flowtrail.database_url import DatabaseUrl
from flowtrail.errors import ConfigurationError, TimedOut, Unavailable

_ADVISORY_LOCK = 0x666C6F777472  # "flowtr"
_TURN_TIMEOUT = "10min"
"""How long to wait for another process that is migrating."""
_LOCK_TIMEOUT = "10s"
"""How long to wait for a table; whoever queues behind us for it waits as long."""
_OLDEST_SERVER = 14


class SchemaState(Enum):
    """How a database stands to this release."""

    CURRENT = "current"
    BEHIND = "behind"
    """It is empty or of an earlier release: this one can't run on it before `flowtrail migrate`."""
    AHEAD = "ahead"
    """It is of a later release; this one still runs on it (spec 6.7)."""


async def schema_state(connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]") -> SchemaState:
    """Compare the database's revision with this release's, in one statement."""
    revision = await current_revision(connection)
    if revision == _revisions()[0]:
        return SchemaState.CURRENT
    return SchemaState.BEHIND if revision is None or revision in _revisions() else SchemaState.AHEAD


async def current_revision(
    connection: "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]",
) -> str | None:
    """Return the database's revision; None when it has none of our tables."""
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return revision


async def inspect(url: DatabaseUrl) -> tuple[SchemaState, str | None]:
    """Return `schema_state` and `current_revision` of the database at `url`; raises Unavailable."""
    connected = await _connect(url)
    try:
        return await schema_state(connected), await current_revision(connected)
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
    here = Path(__file__).parent
    shipped = here / "migrations"
    scripts = shipped if shipped.exists() else here.parents[1] / "migrations"
    found = Config()
    found.set_main_option("script_location", str(scripts).replace("%", "%%"))
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
        raise
    except (
        OSError,
        TimeoutError,
        asyncpg.PostgresConnectionError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ) as error:
        raise Unavailable(f"the database can't be reached: {error or 'no answer'}") from error


@cache
def _revisions() -> tuple[str, ...]:
    """Every revision this release knows, the newest first."""
    return tuple(script.revision for script in ScriptDirectory.from_config(config()).walk_revisions())
