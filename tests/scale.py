"""Flows with as many executions as wanted, made inside PostgreSQL: for scripts that ask what size costs."""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from flowtrail import counts, flows
from flowtrail.database import Database
from flowtrail.parameters import searched_digest
from flowtrail.settings import Settings

CITIES = ("Oslo", "Rome", "Lima")
NODES = 7
"""Nodes that fail, each with a message of its own."""
SERVER, QUIET_SERVER, ROGUE_SERVER = "orders", "depot", "rogue"
QUIET = 100
"""Executions of a flow that was deleted, on a server of its own, and as many of tools that never were: older than all others."""
RARE_CLIENT, RARE_NODE, SLOW_MS = "night desk", "node-rare", 60_000
"""Of one execution of each flow, which lies nine tenths down its list. It took SLOW_MS; the others took less than three seconds."""
BATCH = 250_000


@dataclass(frozen=True, slots=True)
class Size:
    """A flow to make: the name of its tool, how many executions, and the time between two of them."""

    tool: str
    executions: int
    spacing: timedelta


_EXECUTIONS = f"""
INSERT INTO execution (id, flow_id, server, flow_name, flow_tool_name, status, started_at, ended_at, deadline, timeout_at,
                       initial_params_preview, is_preview, trace_id, client_name, error_kind, error_message, failed_node_id,
                       failed_node_name, error_group, start_hash)
SELECT uuidv7(started_at - clock_timestamp()), $3::uuid, $7, 'Flow', $8, status, started_at,
       CASE WHEN status <> 'PENDING'
            THEN started_at + CASE WHEN is_rare THEN {SLOW_MS} ELSE 100 * exp(3 * random()) END * interval '1 ms' END,
       CASE WHEN status = 'PENDING' THEN now() + interval '1 day' ELSE started_at + interval '5 minutes' END,
       started_at + interval '5 minutes', 'city: ' || ($5::text[])[1 + n % {len(CITIES)}], n % 10000 = 17, md5($8 || n),
       CASE WHEN is_rare THEN '{RARE_CLIENT}' ELSE 'desk' END,
       CASE WHEN is_error THEN 'EXCEPTION' END, CASE WHEN is_error THEN 'Node ' || n % {NODES} || ' broke' END,
       CASE WHEN is_rare THEN '{RARE_NODE}' WHEN is_error THEN 'node-' || n % {NODES} END,
       CASE WHEN is_error THEN 'Node ' || n % {NODES} END, CASE WHEN is_error THEN ($6::uuid[])[1 + n % {NODES}] END, '\\x00'
FROM (SELECT n, timestamptz '2026-11-01 00:00Z' - n * $4::interval AS started_at, n = $9 AS is_rare,
             n % 20 = 7 OR n = $9 AS is_error,
             -- Five are pending, however many there are.
             CASE WHEN n < 50 AND n % 10 = 3 THEN 'PENDING' WHEN n % 20 = 7 OR n = $9 THEN 'ERROR' ELSE 'FULFILLED' END AS status
      FROM generate_series($2::int, $1::int, -1) AS n) AS made"""
_PARAMETERS = """
INSERT INTO execution_parameter (flow_id, digest, started_at, execution_id)
SELECT flow_id, kept.digest, started_at, id FROM execution CROSS JOIN LATERAL (
    -- The city, and an order that no other execution has.
    VALUES (($1::uuid[])[array_position($2::text[], initial_params_preview)]), (gen_random_uuid())
) AS kept(digest) WHERE flow_id IS NOT NULL"""
_INDEXES = """
SELECT 'DROP INDEX ' || indexname AS drop, indexdef AS make FROM pg_indexes
WHERE tablename = ANY($1) AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
UNION ALL
SELECT format('ALTER TABLE execution_parameter DROP CONSTRAINT %I', conname),
       format('ALTER TABLE execution_parameter ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE conrelid = 'execution_parameter'::regclass AND contype = 'p'"""


async def load(dsn: str, sizes: Sequence[Size], say: Callable[[str], None]) -> None:
    """Make flows of SERVER, the quiet ones and their counts in a migrated, empty database; `say` is told how it goes on."""
    direct = await asyncpg.connect(
        dsn,
        server_settings={"synchronous_commit": "off", "maintenance_work_mem": "1GB", "session_replication_role": "replica"},
    )
    database = await Database.open(dsn, Settings(statement_timeout=3600))
    try:
        async with _without_indexes(direct, say):
            for size in sizes:
                await _make(direct, await _registered(database, SERVER, size.tool), SERVER, size)
                say(f"{size.executions} executions of {size.tool}")
            longest = max(size.executions * size.spacing for size in sizes)
            quiet = await _registered(database, QUIET_SERVER, "quiet")
            for flow_id, server in ((quiet, QUIET_SERVER), (None, ROGUE_SERVER)):
                await _make(direct, flow_id, server, Size("quiet", QUIET, timedelta(seconds=1)), longest + timedelta(days=1))
            await direct.execute("UPDATE flow SET deleted_at = now() WHERE id = $1", quiet)
            await direct.execute(
                _PARAMETERS, [searched_digest("/city", city) for city in CITIES], [f"city: {city}" for city in CITIES]
            )
            say("parameters")
        async with database.write() as write:
            await counts.mend(write)
        say("counts")
        await direct.execute("VACUUM ANALYZE")
    finally:
        await database.close()
        await direct.close()


async def _registered(database: Database, server: str, tool: str) -> uuid.UUID:
    async with database.write() as write:
        (flow,) = await flows.register(write, server, [flows.Registration(tool, tool)])
    return flow.id


async def _make(
    direct: asyncpg.Connection[asyncpg.Record],
    flow_id: uuid.UUID | None,
    server: str,
    size: Size,
    age: timedelta = timedelta(),
) -> None:
    groups = [counts.error_group("EXCEPTION", f"node-{number}", f"Node {number} broke") for number in range(NODES)]
    first = int(age / size.spacing)
    for end in range(size.executions - 1, -1, -BATCH):
        await direct.execute(
            *(_EXECUTIONS, first + max(0, end - BATCH + 1), first + end, flow_id, size.spacing, list(CITIES), groups),
            *(server, size.tool, first + size.executions * 9 // 10),
        )


@asynccontextmanager
async def _without_indexes(direct: asyncpg.Connection[asyncpg.Record], say: Callable[[str], None]) -> AsyncIterator[None]:
    """Drop the indexes that are filled faster at once, and make them again."""
    indexes = await direct.fetch(_INDEXES, ["execution", "execution_parameter"])
    for index in indexes:
        await direct.execute(index["drop"])
    yield
    for index in indexes:
        await direct.execute(index["make"])
    say("indexes")
