"""Migrations on a real PostgreSQL: forward, back, in turn, and told apart from other releases' schemas."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory

from flowtrail import database_url, migrate
from flowtrail.errors import TimedOut, Unavailable
from flowtrail.revisions import SchemaState, known_revisions, schema_state
from support import Postgres

_EXECUTION = """
    INSERT INTO execution (id, server, flow_name, flow_tool_name, status, started_at, deadline, timeout_at,
                           initial_params_preview, is_preview, start_hash)
    VALUES (gen_random_uuid(), 'orders', 'Ship', 'ship', 'PENDING', now(), now(), now(), '', false, '\\x00')
"""


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """A database without tables, as a libpq URL."""
    async with postgres.fresh_database(migrated=False) as dsn:
        yield dsn


async def _fetch(dsn: str, statement: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(statement)]
    finally:
        await connection.close()


async def _state(dsn: str) -> SchemaState:
    connection = await asyncpg.connect(dsn)
    try:
        return await schema_state(connection)
    finally:
        await connection.close()


_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"


async def test_up_down_and_up_again_with_data_in_the_tables(empty: str) -> None:
    url = database_url.parse(empty)
    assert await _state(empty) is SchemaState.BEHIND
    await migrate.upgrade(url)
    assert await _state(empty) is SchemaState.CURRENT
    await _fetch(empty, _EXECUTION)

    await migrate.downgrade(url, "base")
    assert await _fetch(empty, _TABLES) == []
    assert await _state(empty) is SchemaState.BEHIND

    await migrate.upgrade(url)
    await _fetch(empty, _EXECUTION)
    assert await _fetch(empty, "SELECT count(*) FROM execution") == [1]


async def test_a_new_database_has_pruned_nothing_from_its_feed(database_url: str) -> None:
    assert await _fetch(database_url, "SELECT xid::text FROM feed_floor") == ["0"]


async def test_several_processes_migrate_in_turn(empty: str) -> None:
    url = database_url.parse(empty)
    await asyncio.gather(*(migrate.upgrade(url) for _ in range(4)))
    assert await _state(empty) is SchemaState.CURRENT


async def test_models_and_migrations_agree(empty: str) -> None:
    """What `alembic check` says: no revision is missing."""
    url = database_url.parse(empty)
    await migrate.upgrade(url)

    def check(connection: Any) -> None:
        config = migrate.config()
        config.attributes["connection"] = connection
        command.check(config)

    async with migrate.connection(url) as connection:
        await connection.run_sync(check)


def test_files_are_named_for_their_revisions_in_order() -> None:
    scripts = ScriptDirectory.from_config(migrate.config()).walk_revisions()
    assert known_revisions() == tuple(reversed([script.revision for script in scripts]))


async def test_the_sql_script_makes_the_same_tables(empty: str, database_url: str) -> None:
    connection = await asyncpg.connect(empty)
    await connection.execute(migrate.sql())
    await connection.close()
    assert await _state(empty) is SchemaState.CURRENT
    columns = """
        SELECT table_name || '.' || column_name || ' ' || udt_name || coalesce(column_default, '') AS name
        FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1
    """
    assert await _fetch(empty, columns) == await _fetch(database_url, columns)


async def test_the_sql_script_of_a_current_database_is_empty_but_for_its_frame(database_url: str) -> None:
    assert "CREATE" not in migrate.sql((await _fetch(database_url, "SELECT version_num FROM alembic_version"))[0])


async def test_the_schema_of_a_later_release_is_left_alone(database_url: str) -> None:
    await _fetch(database_url, "UPDATE alembic_version SET version_num = '9999' RETURNING 1")
    assert await _state(database_url) is SchemaState.AHEAD


async def test_a_locked_table_is_waited_for_only_so_long(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT", "50ms")
    url = database_url.parse(empty)
    await migrate.upgrade(url)
    async with migrate.connection(url) as other, other.begin():
        await other.exec_driver_sql("LOCK TABLE execution")
        with pytest.raises(TimedOut, match="nothing was changed"):
            await migrate.downgrade(url, "base")
    assert await _state(empty) is SchemaState.CURRENT


@pytest.mark.parametrize(
    "unreachable",
    ["postgresql://someone:secret@127.0.0.1:1/flowtrail", "postgresql://someone:secret@/flowtrail?host=/nonexistent"],
)
async def test_a_database_that_does_not_answer_is_unavailable(unreachable: str) -> None:
    with pytest.raises(Unavailable, match="can't be reached") as caught:
        await migrate.upgrade(database_url.parse(unreachable))
    assert "secret" not in str(caught.value)


async def test_a_database_that_does_not_exist_is_named(postgres: Postgres) -> None:
    with pytest.raises(Unavailable, match="flowtrail_nowhere"):
        await migrate.upgrade(database_url.parse(postgres.dsn_of("flowtrail_nowhere")))
