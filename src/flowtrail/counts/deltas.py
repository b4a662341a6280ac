"""Writing counts: recording transactions append deltas, a fold moves them into the tables of counts (spec 2.4).

A counter row that recording transactions update would serialise the commits of a busy flow. Every reader adds up deltas and folded
counts in one statement, so that nothing is counted twice or missed, folded or not (docs/decisions/deltas-for-counts.md). The counts
know no clock: what is overdue is moved from PENDING to ERROR by the readers.
"""

import uuid
from collections import Counter
from datetime import datetime
from typing import NamedTuple

from flowtrail.counts.durations import duration_bin
from flowtrail.counts.tables import FOLD_LOCK, GRAINS, NO_FLOW, TABLES, CountTable
from flowtrail.database import Write

FOLD_BATCH = 20_000
"""Deltas that one transaction folds, at most."""


class Key(NamedTuple):
    """What a delta counts: executions of one flow that started in one minute, and took as long and failed alike if they ended."""

    flow_id: uuid.UUID
    minute: datetime
    status: str
    is_preview: bool
    duration_bin: int | None
    error_group: uuid.UUID | None


def key(
    flow_id: uuid.UUID | None,
    started_at: datetime,
    status: str,
    is_preview: bool,
    ended_at: datetime | None,
    error_group: uuid.UUID | None,
) -> Key:
    """Return what an execution with these columns is counted by."""
    return Key(
        flow_id or NO_FLOW,
        started_at.replace(second=0, microsecond=0),
        status,
        is_preview,
        None if ended_at is None else duration_bin(started_at, ended_at),
        error_group,
    )


async def append(write: Write, deltas: Counter[Key]) -> None:
    """Add deltas in the transaction of the rows they count."""
    changed = [(*key, n) for key, n in deltas.items() if n]
    if not changed:
        return
    await write.execute(
        """INSERT INTO execution_count_delta (flow_id, bucket, status, is_preview, duration_bin, error_group, n)
           SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::boolean[], $5::smallint[], $6::uuid[],
                                $7::bigint[])""",
        *zip(*changed, strict=True),
    )


def _folded(table: CountTable) -> str:
    """SQL that adds what is `gone` from the deltas to a table, as two steps of a WITH."""
    keys = table.key_columns
    return f"""
        of_{table.name} AS (
            SELECT scope.flow_id, grain.name AS grain, grain.bucket, {keys}, sum(made.n) AS n
            FROM gone AS made CROSS JOIN LATERAL {table.scopes} CROSS JOIN LATERAL {GRAINS}
            WHERE {table.deltas}
            GROUP BY scope.flow_id, grain.name, grain.bucket, {keys}
        ), to_{table.name} AS (
            INSERT INTO {table.name} AS kept (flow_id, grain, bucket, {keys}, n)
            SELECT flow_id, grain, bucket, {keys}, n FROM of_{table.name} WHERE n <> 0
            ON CONFLICT (flow_id, grain, bucket, {keys}) DO UPDATE SET n = kept.n + excluded.n
            RETURNING kept.ctid, n
        )"""


_FOLD = f"""
    WITH gone AS (
        DELETE FROM execution_count_delta WHERE id IN (SELECT id FROM execution_count_delta ORDER BY id LIMIT $1)
        RETURNING flow_id, bucket, status, is_preview, duration_bin, error_group, n
    ), {", ".join(_folded(table) for table in TABLES)}
    SELECT (SELECT count(*) FROM gone) AS deltas,
           {", ".join(f"(SELECT array_agg(ctid) FROM to_{table.name} WHERE n = 0) AS {table.name}" for table in TABLES)}"""


async def fold(write: Write) -> int:
    """Move deltas into the counts; returns how many, 0 also when another process is folding."""
    if not await write.fetchval("SELECT pg_try_advisory_xact_lock($1)", FOLD_LOCK):
        return 0
    folded = await write.fetchrow(_FOLD, FOLD_BATCH)
    assert folded is not None  # noqa: S101 (its subqueries always make one row)
    for table in TABLES:
        if emptied := folded[table.name]:
            await write.execute(f"DELETE FROM {table.name} WHERE ctid = ANY($1)", emptied)
    moved: int = folded["deltas"]
    return moved
