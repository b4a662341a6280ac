"""Comparing the counts with the rows they count, and mending what is off, while recording goes on.

Whoever records changes rows and deltas in one transaction. So the difference between the two that one statement sees is a mistake,
and stays the same however much is recorded until it is added to the counts.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from flowtrail.counts.tables import ALL_FLOWS, FOLD_LOCK, GRAINS, NO_FLOW, TABLES, CountTable
from flowtrail.database import Read, Write


@dataclass(frozen=True, slots=True)
class Finding:
    """Counts of one table, flow (or NO_FLOW, ALL_FLOWS) and grain that are off: how many, and what those add up to."""

    table: str
    flow_id: uuid.UUID
    grain: str
    wrong: int
    counted: int
    recorded: int


async def compare(read: Read, flow_ids: Sequence[uuid.UUID] | None = None) -> list[Finding]:
    """Return what is off, of all or of some flows; nothing is changed. Reads every execution of them.

    With `flow_ids`, the counts across all flows are compared with what the flows' add up to once those of `flow_ids` are right.
    """
    findings = []
    for table in TABLES:
        rows = await read.fetch(f"WITH {_off(table, flow_ids)} {_FINDINGS}", *_arguments(flow_ids))
        findings += [Finding(table.name, **row) for row in rows]
    return findings


async def mend(write: Write, flow_ids: Sequence[uuid.UUID] | None = None) -> list[Finding]:
    """Correct what `compare` finds, and return what it was. Nothing is folded until the transaction ends."""
    await write.execute("SELECT pg_advisory_xact_lock($1)", FOLD_LOCK)
    findings = []
    for table in TABLES:
        keys = table.key_columns
        rows = await write.fetch(
            f"""WITH {_off(table, flow_ids)}, mended AS (
                    INSERT INTO {table.name} AS kept (flow_id, grain, bucket, {keys}, n)
                    SELECT flow_id, grain, bucket, {keys}, recorded - counted FROM off
                    ON CONFLICT (flow_id, grain, bucket, {keys}) DO UPDATE SET n = kept.n + excluded.n)
                {_FINDINGS}""",
            *_arguments(flow_ids),
        )
        if rows:
            await write.execute(f"DELETE FROM {table.name} WHERE n = 0")
        findings += [Finding(table.name, **row) for row in rows]
    return findings


_FINDINGS = """
    SELECT flow_id, grain, count(*) AS wrong, sum(counted)::bigint AS counted, sum(recorded)::bigint AS recorded
    FROM off GROUP BY flow_id, grain ORDER BY flow_id, array_position(ARRAY['total', 'day', 'hour', 'minute'], grain)"""


def _off(table: CountTable, flow_ids: Sequence[uuid.UUID] | None) -> str:
    """SQL for the steps of a WITH whose last, `off`, has each count that differs from the rows."""
    keys = table.key_columns
    named = ", ".join(f"{value} AS {name}" for name, value in zip(table.keys, table.keys_of_execution, strict=True))
    of_flows = "true" if flow_ids is None else "flow_id = ANY($1)"
    spread = f"CROSS JOIN LATERAL {table.scopes} CROSS JOIN LATERAL {GRAINS}"
    across_flows = f"UNION ALL {_off_across_flows(keys)}" if flow_ids is not None and table.counts_all_flows else ""
    return f"""
        made_by_rows AS MATERIALIZED (
            SELECT coalesce(e.flow_id, '{NO_FLOW}') AS flow_id, date_trunc('minute', e.started_at, 'UTC') AS bucket, {named},
                   count(*) AS n
            FROM execution e WHERE {table.executions} AND {of_flows}
            GROUP BY {", ".join(str(number) for number in range(1, 3 + len(table.keys)))}
        ), entries AS (
            SELECT scope.flow_id, grain.name AS grain, grain.bucket, {keys}, made.n AS recorded, 0 AS counted
            FROM made_by_rows AS made {spread}
            UNION ALL
            SELECT scope.flow_id, grain.name, grain.bucket, {keys}, 0, made.n
            FROM execution_count_delta AS made {spread} WHERE {table.deltas}
            UNION ALL
            SELECT flow_id, grain, bucket, {keys}, 0, n FROM {table.name}
        ), off_by_rows AS (
            SELECT flow_id, grain, bucket, {keys}, sum(recorded) AS recorded, sum(counted) AS counted
            FROM entries WHERE {of_flows} GROUP BY flow_id, grain, bucket, {keys} HAVING sum(recorded) <> sum(counted)
        ), off AS (SELECT * FROM off_by_rows {across_flows})"""


def _off_across_flows(keys: str) -> str:
    """SQL for the counts of ALL_FLOWS that differ from what the flows' add up to; what is not folded is in neither."""
    return f"""
        SELECT '{ALL_FLOWS}'::uuid, grain, bucket, {keys}, sum(recorded), sum(counted) FROM (
            SELECT grain, bucket, {keys}, n AS recorded, 0 AS counted FROM execution_count WHERE flow_id <> '{ALL_FLOWS}'
            UNION ALL
            SELECT grain, bucket, {keys}, 0, n FROM execution_count WHERE flow_id = '{ALL_FLOWS}'
            UNION ALL
            SELECT grain, bucket, {keys}, recorded - counted, 0 FROM off_by_rows
        ) AS of_flows GROUP BY grain, bucket, {keys} HAVING sum(recorded) <> sum(counted)"""


def _arguments(flow_ids: Sequence[uuid.UUID] | None) -> list[Sequence[uuid.UUID]]:
    return [] if flow_ids is None else [flow_ids]
