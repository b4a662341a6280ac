"""Which schema a database has, compared with this release's (spec 6.7). Changing it is migrate.py's."""

from __future__ import annotations

from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]


class SchemaState(Enum):
    """How a database stands to this release."""

    CURRENT = "current"
    BEHIND = "behind"
    """It is empty or of an earlier release: this one can't run on it before `flowtrail migrate`."""
    AHEAD = "ahead"
    """It is of a later release; this one still runs on it."""


async def schema_state(connection: Connection) -> SchemaState:
    """Compare the database's revision with this release's, in one statement."""
    revision = await current_revision(connection)
    if revision == known_revisions()[-1]:
        return SchemaState.CURRENT
    return SchemaState.BEHIND if revision is None or revision in known_revisions() else SchemaState.AHEAD


async def current_revision(connection: Connection) -> str | None:
    """Return the database's revision; None when it has none of our tables."""
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    return revision


@cache
def known_revisions() -> tuple[str, ...]:
    """Return this release's revisions, the oldest first.

    The files are named for them, as in `0001_initial.py`: asking Alembic would load it, and SQLAlchemy, at every start.
    """
    return tuple(sorted(path.name.partition("_")[0] for path in (folder() / "versions").glob("*.py")))


def folder() -> Path:
    """Return the folder of the migrations: beside this module when installed, else in the checkout."""
    here = Path(__file__).parent
    shipped = here / "migrations"
    return shipped if shipped.exists() else here.parents[1] / "migrations"
