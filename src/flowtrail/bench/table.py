"""A table of the size to measure on, made inside PostgreSQL: executions of some flows over a month, with payloads and nodes."""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg

from flowtrail import counts
from flowtrail.database import Database
from flowtrail.errors import ConfigurationError
from flowtrail.flows import Registration, register
from flowtrail.settings import Settings

SERVER = "bench"
NODES = 10
"""Nodes of every execution that has any: one in NODES_EVERY."""
NODES_EVERY = 20
_BATCH = 20_000
_SPAN = timedelta(days=30)
_PATIENCE = 3600.0

# Ids are made of numbers, so that every statement knows those of the others.
_ID = "md5('execution ' || n)::uuid"
_NUMBERS = "generate_series($1::int, $2::int) AS n"
_EXECUTIONS = f"""
INSERT INTO execution (id, flow_id, server, flow_name, flow_tool_name, status, started_at, ended_at, deadline, timeout_at,
                       initial_params_preview, node_count, is_preview, client_name, error_kind, error_message, failed_node_id,
                       failed_node_name, error_group, start_hash)
SELECT {_ID}, ($3::uuid[])[tool], '{SERVER}', 'Tool ' || tool, 'tool-' || tool, status, started_at,
       CASE WHEN status <> 'PENDING' THEN started_at + (50 + n % 1950 * 7919 % 1950) * interval '1 millisecond' END,
       CASE WHEN status = 'PENDING' THEN now() + interval '1 day' ELSE started_at + interval '5 minutes' END,
       started_at + interval '5 minutes', 'city: Oslo ' || n, CASE WHEN n % {NODES_EVERY} = 0 THEN {NODES} ELSE 0 END, n % 10 = 1,
       'desk', CASE WHEN is_error THEN 'EXCEPTION' END, CASE WHEN is_error THEN 'The card was declined' END,
       CASE WHEN is_error THEN 'charge' END, CASE WHEN is_error THEN 'Charge card' END, CASE WHEN is_error THEN $5::uuid END,
       '\\x00'
FROM (SELECT n, 1 + n % cardinality($3::uuid[]) AS tool, $6::timestamptz - n * $4::interval AS started_at,
             n % 20 = 7 AS is_error,
             CASE WHEN n < 50 AND n % 10 = 3 THEN 'PENDING' WHEN n % 20 = 7 THEN 'ERROR' ELSE 'FULFILLED' END AS status
      FROM {_NUMBERS}) AS made"""
_PAYLOADS = f"""
INSERT INTO execution_payload (execution_id, initial_params, initial_params_size, initial_params_sha256,
                               initial_params_truncated, result, result_size, result_sha256, result_truncated)
SELECT {_ID}, params::json, octet_length(params), sha256(convert_to(params, 'UTF8')), false,
       result::json, octet_length(result), sha256(convert_to(result, 'UTF8')), false
FROM (SELECT n, '{{"city":"Oslo ' || n || '","order":' || n || ',"express":true}}' AS params,
             '{{"tracking":"' || md5(n::text) || '","parcels":[1,2,3]}}' AS result FROM {_NUMBERS}) AS made"""
_NODES = f"""
INSERT INTO node_execution (execution_id, position, node_id, node_name, node_type, status, started_at, ended_at, input_data,
                            input_size, input_sha256, input_truncated, output_data, output_size, output_sha256, output_truncated,
                            start_hash)
SELECT e.id, position, 'step-' || position, 'Step ' || position, 'step', 'COMPLETED', e.started_at + position * interval '1 ms',
       e.started_at + (position + 1) * interval '1 ms', value::json, octet_length(value), hash, false, value::json,
       octet_length(value), hash, false, '\\x00'
FROM (SELECT {_ID} AS id, n FROM {_NUMBERS}) AS chosen
JOIN execution e USING (id)
CROSS JOIN generate_series(0, {NODES - 1}) AS position
CROSS JOIN LATERAL (SELECT '{{"n":' || n || ',"position":' || position || ',"text":"' || md5(n::text) || '"}}' AS value) AS made
CROSS JOIN LATERAL (SELECT sha256(convert_to(value, 'UTF8')) AS hash) AS hashed
WHERE n % {NODES_EVERY} = 0"""


@dataclass(frozen=True, slots=True)
class Table:
    """What was loaded: the flows, and executions that have NODES nodes."""

    executions: int
    newest: datetime
    flow_ids: tuple[uuid.UUID, ...]
    detailed_ids: tuple[uuid.UUID, ...]

    def start_of(self, rank: int) -> datetime:
        """Return when the execution of this rank among all started."""
        return self.newest - rank * (_SPAN / self.executions)


async def load(dsn: str, executions: int, flows: int, advance: Callable[[int], None]) -> Table:
    """Fill an empty, migrated database with so many executions; `advance` is told how many more there are.

    Raises ConfigurationError when there are executions already: what is there may be somebody's record.
    """
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC", "synchronous_commit": "off"})
    database = await Database.open(dsn, Settings(statement_timeout=_PATIENCE))
    try:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM execution)"):
            raise ConfigurationError("this database has executions already: name an empty one in DATABASE_URL, or none")
        tools = [Registration(f"tool-{number}", f"Tool {number}") for number in range(1, flows + 1)]
        async with database.write() as write:
            flow_ids = [flow.id for flow in await register(write, SERVER, tools)]
        newest = datetime.now(UTC).replace(microsecond=1) - timedelta(hours=1)
        group = counts.error_group("EXCEPTION", "charge", "The card was declined")
        for begin in range(0, executions, _BATCH):
            end = min(begin + _BATCH, executions) - 1
            await connection.execute(_EXECUTIONS, begin, end, flow_ids, _SPAN / executions, group, newest)
            await connection.execute(_PAYLOADS, begin, end)
            await connection.execute(_NODES, begin, end)
            advance(end - begin + 1)
        async with database.write() as write:
            await counts.mend(write)
        await connection.execute("VACUUM (ANALYZE)")
        # Not the newest, which the pages keep in memory anyway.
        detailed = await connection.fetch(
            f"SELECT {_ID} FROM {_NUMBERS} WHERE n % {NODES_EVERY} = 0", executions // 2, executions - 1
        )
        return Table(executions, newest, tuple(flow_ids), tuple(id_ for (id_,) in detailed[:1000]))
    finally:
        await database.close()
        await connection.close()


async def server_version(dsn: str) -> str:
    """Return PostgreSQL's version."""
    connection = await asyncpg.connect(dsn)
    try:
        version: str = await connection.fetchval("SHOW server_version")
        return version
    finally:
        await connection.close()
