"""What happens without a recorder: overdue executions are written down as TIMED_OUT, and old ones purged when somebody says so."""

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

from flowtrail import counts
from flowtrail.database import Write
from flowtrail.recording import store
from flowtrail.recording.machine import Batch
from flowtrail.sql import Arguments

SWEEP_BATCH = 500
"""Overdue executions that one transaction settles, at most."""


async def settle_overdue(write: Write, limit: int = SWEEP_BATCH) -> int:
    """Make up to `limit` overdue executions TIMED_OUT for good, with their changes; returns how many (spec 1.7).

    Readers show them as such before; this is what subscribers wait for. Rows that a recorder holds are left to it.
    """
    states = await store.lock_overdue(write, limit)
    if not states:
        return 0
    now: datetime = await write.fetchval("SELECT clock_timestamp()")
    await store.load_nodes(write, states, set(), list(states))
    batch = Batch(states, now)
    for state in states.values():
        batch.time_out(state)
    await store.write_batch(write, batch)
    return len(states)


async def ago(write: Write, age: timedelta, here: datetime | None = None) -> datetime:
    """Return the moment that lies `age` back, by the database's clock or by this process's (`here`), whichever is behind.

    What is purged is gone for good: that one of two clocks has stepped ahead must not be enough.
    """
    moment: datetime = await write.fetchval(
        "SELECT least(clock_timestamp(), $1::timestamptz) - $2::interval", here or datetime.now(UTC), age
    )
    return moment


async def purge_batch(
    write: Write,
    *,
    before: datetime | None = None,
    flow_id: uuid.UUID | None = None,
    execution_id: uuid.UUID | None = None,
    limit: int = 1000,
) -> int:
    """Delete up to `limit` executions that match all that is given, oldest first; returns how many (spec 1.11).

    What is still pending stays, unless it is named by its id, and so does what a recorder writes to at this moment. The changes
    stay too: their listeners learn that it is gone.
    """
    arguments = Arguments()
    match = _purgeable(arguments, before, flow_id, execution_id)
    rows = await write.fetch(
        f"""DELETE FROM execution WHERE id IN (
                SELECT id FROM execution WHERE {match}
                ORDER BY started_at, id LIMIT {arguments.add(limit)} FOR UPDATE SKIP LOCKED)
            RETURNING flow_id, started_at, status, is_preview, ended_at, error_group""",
        *arguments,
    )
    gone: Counter[counts.Key] = Counter()
    for row in rows:
        gone[counts.key(**row)] -= 1
    await counts.append(write, gone)
    return len(rows)


async def count_purgeable(
    write: Write,
    *,
    before: datetime | None = None,
    flow_id: uuid.UUID | None = None,
    execution_id: uuid.UUID | None = None,
) -> int:
    """Return how many executions `purge_batch` would delete in all."""
    arguments = Arguments()
    match = _purgeable(arguments, before, flow_id, execution_id)
    count: int = await write.fetchval(f"SELECT count(*) FROM execution WHERE {match}", *arguments)
    return count


def _purgeable(arguments: Arguments, before: datetime | None, flow_id: uuid.UUID | None, execution_id: uuid.UUID | None) -> str:
    conditions = ["status <> 'PENDING'"] if execution_id is None else []
    for value, condition in (
        (before, "started_at < {}::timestamptz"),
        (flow_id, "flow_id = {}::uuid"),
        (execution_id, "id = {}::uuid"),
    ):
        if value is not None:
            conditions.append(condition.format(arguments.add(value)))
    return " AND ".join(conditions)
