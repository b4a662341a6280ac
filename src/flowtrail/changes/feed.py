"""The statements of the feed: append, read from a position, prune. Writers only append; there are no locks between them.

The row of an execution is locked before its change is written, so that of one execution the order of `seq` is the order of commits.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

import asyncpg

from flowtrail.changes.position import POSITION_COLUMNS, Position
from flowtrail.database import Database, Read, Write

BATCH = 10_000
"""Changes that one statement reads or deletes, at most."""

_PRUNE_LOCK = 0x70727565  # any number that nothing else in the database locks
_TIMELINE = "left(pg_walfile_name(pg_current_wal_lsn()), 8)"
_SYSTEM = "(SELECT system_identifier FROM pg_control_system())"
_DATABASE = "(SELECT oid::bigint FROM pg_database WHERE datname = current_database())"


class Change(NamedTuple):
    """One step of an execution's life. `kind` is an ExecutionChangeKind, `at` the database's clock."""

    execution_id: uuid.UUID
    flow_id: uuid.UUID | None
    kind: str
    position: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Entry:
    """A change in the feed, with the position of a reader who has seen it."""

    change: Change
    position: Position


class ResyncReason(Enum):
    """Why a position can't be served."""

    TOO_OLD = "TOO_OLD"
    UNKNOWN_POSITION = "UNKNOWN_POSITION"
    DATABASE_REPLACED = "DATABASE_REPLACED"


class ResyncRequired(Exception):
    """What came after the reader's position is not in the feed, or not any more: read everything anew."""

    def __init__(self, reason: ResyncReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class EpochChanged(Exception):
    """The database is not the one, or not in the life, that the feed's epoch was made for."""


async def append(write: Write, changes: Sequence[Change]) -> None:
    """Add changes to the feed in their order; the rows of their executions are locked by this transaction."""
    if changes:
        await write.copy_records_to_table("execution_change", records=changes, columns=Change._fields)


_STATE = f"""
    (SELECT {POSITION_COLUMNS}, pg_snapshot_xmax(pg_current_snapshot())::text AS present, floor.xid::text AS floor_xid,
            EXISTS (SELECT FROM unnest($2::text[]::xid8[]) AS unseen(xid)
                    WHERE unseen.xid <= floor.xid AND pg_visible_in_snapshot(unseen.xid, floor.snapshot)) AS has_gap,
            (SELECT timeline = {_TIMELINE} AND system_identifier = {_SYSTEM} AND database_oid = {_DATABASE}
             FROM feed_epoch) AS is_current
     FROM feed_floor AS floor) AS state"""
_READ = f"""
    SELECT state.*, c.seq, c.execution_id, c.flow_id, c.kind, c.position, c.at
    FROM {_STATE} LEFT JOIN LATERAL (
        SELECT seq, execution_id, flow_id, kind, position, at FROM execution_change
        WHERE (xid >= $1::text::xid8 OR xid = ANY($2::text[]::xid8[])) %s
        LIMIT $3
    ) AS c ON true ORDER BY c.seq"""
# The index on seq must not tempt a poll, which would walk all of it to find nothing; within a batch it keeps each piece cheap.
_READ_UNSEEN = _READ % "ORDER BY seq + 0"
_READ_BATCH = _READ % "AND pg_visible_in_snapshot(xid, $4::text::pg_snapshot) AND seq > $5 ORDER BY seq"


async def read_after(read: Read, position: Position, limit: int = BATCH) -> tuple[list[Entry], Position]:
    """Return the next changes, and the position after them.

    From a position at rest (in no batch) that is everything visible now; from inside a batch, the rest of that batch. The position
    returned is inside a batch as long as there is more of it. Raises ResyncRequired for a position that can't be served,
    EpochChanged when the epoch must be made anew first.
    """
    seen, batch = position.seen, position.batch
    unseen = (str(seen.xmax), [str(xid) for xid in seen.xip], limit)
    rows = await (read.fetch(_READ_BATCH, *unseen, str(batch), position.seq) if batch else read.fetch(_READ_UNSEEN, *unseen))
    _check(rows[0], position)
    here = Position.of(rows[0])
    ends_at = batch or here.seen
    entries = [
        Entry(
            Change(row["execution_id"], row["flow_id"], row["kind"], row["position"], row["at"]),
            position.inside(ends_at, row["seq"]),
        )
        for row in rows
        if row["seq"] is not None
    ]
    if len(entries) == limit:
        return entries, entries[-1].position
    return entries, position.after_batch() if batch else here


def _check(state: asyncpg.Record, position: Position) -> None:
    if not state["is_current"]:
        raise EpochChanged
    if state["feed_epoch"] != position.epoch:
        raise ResyncRequired(ResyncReason.DATABASE_REPLACED)
    newest = (position.batch or position.seen).xmax
    if newest > int(state["present"]):
        raise ResyncRequired(ResyncReason.UNKNOWN_POSITION)
    if position.seen.xmax <= int(state["floor_xid"]) or state["has_gap"]:
        raise ResyncRequired(ResyncReason.TOO_OLD)


async def position_now(read: Read) -> Position:
    """Return the position of a reader who has seen everything; raises EpochChanged when the epoch must be made anew first."""
    _, position = await read_after(read, await _newest(read), limit=1)
    return position


async def _newest(read: Read) -> Position:
    row = await read.fetchrow(f"SELECT {POSITION_COLUMNS}")
    assert row is not None  # noqa: S101 (a SELECT without FROM has one row)
    return Position.of(row)


async def prune(write: Write, older_than: timedelta) -> int:
    """Delete a batch of the oldest changes, and say in the same transaction up to where; returns how many.

    A change that lies further ahead than `older_than` reaches back was written while the clock was wrong. It goes too: the oldest
    would wait for a year otherwise, and with them what was written since.
    """
    if not await write.fetchval("SELECT pg_try_advisory_xact_lock($1)", _PRUNE_LOCK):
        return 0
    row = await write.fetchrow(
        """WITH gone AS (
               DELETE FROM execution_change
               WHERE (xid, seq) IN (SELECT xid, seq FROM execution_change
                                    WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY xid, seq LIMIT $2)
                     AND (at < clock_timestamp() - $1::interval OR at > clock_timestamp() + $1::interval)
               RETURNING xid
           )
           SELECT count(*) AS n, (SELECT xid::text FROM gone ORDER BY xid DESC LIMIT 1) AS highest FROM gone""",
        older_than,
        BATCH,
    )
    if row is None or not row["n"]:
        return 0
    await write.execute(
        """UPDATE feed_floor SET snapshot = pg_current_snapshot(),
                  xid = CASE WHEN xid < $1::text::xid8 THEN $1::text::xid8 ELSE xid END""",
        row["highest"],
    )
    pruned: int = row["n"]
    return pruned


async def ensure_epoch(database: Database) -> None:
    """Make sure that the feed's epoch is that of this very database; for another, or a later life of it, start the feed anew.

    A restored or promoted database may hand out transaction numbers that cursors out there already count as seen.
    """
    async with database.write() as write:
        await write.execute("LOCK TABLE feed_epoch IN EXCLUSIVE MODE")
        identity = await write.fetchrow(
            f"SELECT {_SYSTEM} AS system_identifier, {_TIMELINE} AS timeline, {_DATABASE} AS database_oid"
        )
        assert identity is not None  # noqa: S101 (a SELECT without FROM has one row)
        if await write.fetchrow("SELECT system_identifier, timeline, database_oid FROM feed_epoch") == identity:
            return
        await _start_anew(write, identity)


async def reset(database: Database) -> None:
    """Start the feed anew, as after a rollback of the storage below PostgreSQL, which nothing in the database can tell."""
    async with database.write() as write:
        await write.execute("LOCK TABLE feed_epoch IN EXCLUSIVE MODE")
        identity = await write.fetchrow("SELECT system_identifier, timeline, database_oid FROM feed_epoch")
        if identity is not None:
            await _start_anew(write, identity)


async def _start_anew(write: Write, identity: asyncpg.Record) -> None:
    await write.execute("DELETE FROM feed_epoch")
    await write.execute("TRUNCATE execution_change")
    await write.execute("INSERT INTO feed_epoch (system_identifier, timeline, database_oid) VALUES ($1, $2, $3)", *identity)
    await write.execute("UPDATE feed_floor SET xid = pg_current_xact_id(), snapshot = pg_current_snapshot()")
