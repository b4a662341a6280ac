"""How Alembic runs Flowtrail's migrations: on the connection that flowtrail.migrate hands over, or on DATABASE_URL's.

The second is for developers, who call `alembic` itself; `alembic upgrade --sql` needs no database.
"""

import asyncio
import os

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import ischema_names

from flowtrail import database_url, migrate
from flowtrail.models import Base, PgSnapshot, Xid8

ischema_names |= {"xid8": Xid8, "pg_snapshot": PgSnapshot}  # what reflection, and so `alembic check`, can't know


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()


async def run_on_database_url() -> None:
    url = database_url.parse(os.environ.get("DATABASE_URL", ""))
    async with migrate.connection(url) as connection:
        await connection.run_sync(run)


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
elif "connection" in context.config.attributes:
    run(context.config.attributes["connection"])
else:
    asyncio.run(run_on_database_url())
