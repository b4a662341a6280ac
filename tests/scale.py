"""Flows with as many executions as wanted, made inside PostgreSQL: for scripts that ask what size costs."""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

from datetime import timedelta
from typing import Any

import asyncpg

from flowtrail import counts
from flowtrail.database import Database
from flowtrail.parameters import searched_digest
from flowtrail.settings import Settings
from recorder import register
from support import Service

CITIES = ("Oslo", "Rome", "Lima")
NODES = 7
"""Nodes that fail, each with a message of its own."""
BATCH = 100_000

_EXECUTIONS = """
INSERT INTO execution (id, flow_id, server, flow_name, flow_tool_name, status, started_at, ended_at, deadline, timeout_at,
                       initial_params_preview, is_preview, trace_id, client_name, error_kind, error_message, failed_node_id,
                       failed_node_name, error_group, start_hash)
SELECT gen_random_uuid(), $3::uuid, 'orders', 'Flow', 'tool', status, started_at,
       CASE WHEN status <> 'PENDING' THEN started_at + exp(3 * random()) * interval '0.1 seconds' END,
       CASE WHEN status = 'PENDING' THEN now() + interval '1 day' ELSE started_at + interval '5 minutes' END,
       started_at + interval '5 minutes', 'city: ' || ($5::text[])[1 + n % 3], n % 10 = 0, md5($3::uuid::text || n), 'desk',
       CASE WHEN is_error THEN 'EXCEPTION' END, CASE WHEN is_error THEN 'Node ' || n % $7::int || ' broke' END,
       CASE WHEN is_error THEN 'node-' || n % $7::int END, CASE WHEN is_error THEN 'Node ' || n % $7::int END,
       CASE WHEN is_error THEN ($6::uuid[])[1 + n % $7::int] END, '\\x00'
FROM (SELECT n, timestamptz '2026-11-01 00:00Z' - n * $4::interval AS started_at, n % 20 = 7 AS is_error,
             -- Five are pending, however many there are.
             CASE WHEN n < 50 AND n % 10 = 3 THEN 'PENDING' WHEN n % 20 = 7 THEN 'ERROR' ELSE 'FULFILLED' END AS status
      FROM generate_series($1::int, $2::int) AS n) AS made"""
_PARAMETERS = """
INSERT INTO execution_parameter (flow_id, digest, started_at, execution_id)
SELECT flow_id, kept.digest, started_at, id FROM execution CROSS JOIN LATERAL (
    -- The city, and an order and all parameters together that no other execution has.
    VALUES (($2::uuid[])[array_position($3::text[], initial_params_preview)]), (gen_random_uuid()), (gen_random_uuid())
) AS kept(digest) WHERE flow_id = $1"""


async def grow(
    service: Service, direct: asyncpg.Connection[asyncpg.Record], tool: str, executions: int, spacing: timedelta
) -> dict[str, Any]:
    """Make a flow with so many executions, `spacing` apart, and return it. Its counts are made by `count_all`."""
    (flow,) = await register(service, {"toolName": tool})
    groups = [counts.error_group("EXCEPTION", f"node-{number}", f"Node {number} broke") for number in range(NODES)]
    for begin in range(0, executions, BATCH):
        end = min(begin + BATCH, executions) - 1
        await direct.execute(_EXECUTIONS, begin, end, flow["uuid"], spacing, list(CITIES), groups, NODES)
    digests = [searched_digest("/city", city) for city in CITIES]
    await direct.execute(_PARAMETERS, flow["uuid"], digests, [f"city: {city}" for city in CITIES])
    return flow


async def count_all(service: Service, direct: asyncpg.Connection[asyncpg.Record]) -> None:
    """Make the counts of everything that `grow` made, and let PostgreSQL know its tables."""
    database = await Database.open(service.database.dsn, Settings(statement_timeout=3600))
    async with database.write() as write:
        await counts.mend(write)
    await database.close()
    await direct.execute("VACUUM ANALYZE")
