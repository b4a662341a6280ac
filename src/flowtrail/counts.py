"""How many executions there are, at a cost that does not grow with them (spec 2.4).

Recording transactions append deltas instead of updating counters, since a counter row would serialise the commits of a busy flow; a
fold moves them into totals and into days, hours and minutes of the start. Every reader adds up both tables in one statement, so
that nothing is counted twice or missed, folded or not (docs/decisions/deltas-for-counts.md). The counts know no clock: what is
overdue is moved from PENDING to ERROR by the readers.
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from flowtrail.database import Read, Write
from flowtrail.pagination import Position

NO_FLOW = uuid.UUID(int=0)
"""Stands for executions of tools that did not exist."""
ALL_FLOWS = uuid.UUID(int=2**128 - 1)
"""Stands for every execution."""
TOTAL = datetime(1970, 1, 1, tzinfo=UTC)
"""The one bucket of the grain `total`."""

_FOLD_LOCK = 0x666C6F77  # any number that nothing else in the database locks
FOLD_BATCH = 20_000
"""Deltas that one transaction folds, at most."""


class Key(NamedTuple):
    """What a delta counts: executions of one flow that started in one minute."""

    flow_id: uuid.UUID
    minute: datetime
    status: str
    is_preview: bool


def key(flow_id: uuid.UUID | None, started_at: datetime, status: str, is_preview: bool) -> Key:
    return Key(flow_id or NO_FLOW, started_at.replace(second=0, microsecond=0), status, is_preview)


async def append(write: Write, deltas: Counter[Key]) -> None:
    """Add deltas in the transaction of the rows they count."""
    changed = [(key, n) for key, n in deltas.items() if n]
    if not changed:
        return
    await write.execute(
        """INSERT INTO execution_count_delta (flow_id, bucket, status, is_preview, n)
           SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::boolean[], $5::bigint[])""",
        [key.flow_id for key, _ in changed],
        [key.minute for key, _ in changed],
        [key.status for key, _ in changed],
        [key.is_preview for key, _ in changed],
        [n for _, n in changed],
    )


async def fold(write: Write) -> int:
    """Move deltas into the counts; returns how many, 0 also when another process is folding."""
    if not await write.fetchval("SELECT pg_try_advisory_xact_lock($1)", _FOLD_LOCK):
        return 0
    folded = await write.fetch(
        """WITH gone AS (
               DELETE FROM execution_count_delta
               WHERE id IN (SELECT id FROM execution_count_delta ORDER BY id LIMIT $1)
               RETURNING flow_id, bucket, status, is_preview, n
           ), spread AS (
               SELECT scope.flow_id, grain.name AS grain, grain.bucket, gone.status, gone.is_preview, sum(gone.n) AS n
               FROM gone
               CROSS JOIN LATERAL (VALUES (gone.flow_id), ($2::uuid)) AS scope(flow_id)
               CROSS JOIN LATERAL (VALUES
                   ('total', $3::timestamptz),
                   ('day', date_trunc('day', gone.bucket, 'UTC')),
                   ('hour', date_trunc('hour', gone.bucket, 'UTC')),
                   ('minute', gone.bucket)
               ) AS grain(name, bucket)
               GROUP BY 1, 2, 3, 4, 5
           ), counted AS (
               INSERT INTO execution_count AS old (flow_id, grain, bucket, status, is_preview, n)
               SELECT flow_id, grain, bucket, status, is_preview, n FROM spread WHERE n <> 0
               ON CONFLICT (flow_id, grain, bucket, status, is_preview) DO UPDATE SET n = old.n + excluded.n
               RETURNING flow_id, grain, bucket, status, is_preview, n
           )
           SELECT counted.flow_id, counted.grain, counted.bucket, counted.status, counted.is_preview, counted.n,
                  (SELECT count(*) FROM gone) AS deltas
           FROM counted""",
        FOLD_BATCH,
        ALL_FLOWS,
        TOTAL,
    )
    emptied = [row for row in folded if row["n"] == 0]
    if emptied:
        await write.execute(
            """DELETE FROM execution_count
               WHERE n = 0 AND (flow_id, grain, bucket, status, is_preview) IN
                     (SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::boolean[]))""",
            *([row[name] for row in emptied] for name in ("flow_id", "grain", "bucket", "status", "is_preview")),
        )
    return folded[0]["deltas"] if folded else 0


async def totals(read: Read, keys: Sequence[uuid.UUID], is_preview: bool | None) -> dict[uuid.UUID, Counter[str]]:
    """Return how many executions of each status each key has: flows, or ALL_FLOWS. Overdue ones count as ERROR (spec 1.7)."""
    rows = await read.fetch(
        """SELECT scope.key, counted.status, sum(counted.n)::bigint AS n
           FROM unnest($1::uuid[]) AS scope(key)
           CROSS JOIN LATERAL (
               SELECT status, is_preview, n FROM execution_count WHERE flow_id = scope.key AND grain = 'total'
               UNION ALL
               SELECT status, is_preview, n FROM execution_count_delta
               WHERE flow_id = scope.key AND scope.key <> $3
               UNION ALL
               SELECT status, is_preview, n FROM execution_count_delta WHERE scope.key = $3
               UNION ALL
               SELECT moved.status, e.is_preview, moved.n
               FROM execution e CROSS JOIN (VALUES ('PENDING', -1), ('ERROR', 1)) AS moved(status, n)
               WHERE e.status = 'PENDING' AND e.deadline <= now() AND e.flow_id = scope.key AND scope.key <> $3
               UNION ALL
               SELECT moved.status, e.is_preview, moved.n
               FROM execution e CROSS JOIN (VALUES ('PENDING', -1), ('ERROR', 1)) AS moved(status, n)
               WHERE e.status = 'PENDING' AND e.deadline <= now() AND scope.key = $3
           ) AS counted
           WHERE $2::boolean IS NULL OR counted.is_preview = $2
           GROUP BY 1, 2""",
        list(keys),
        is_preview,
        ALL_FLOWS,
    )
    counted: dict[uuid.UUID, Counter[str]] = {key: Counter() for key in keys}
    for row in rows:
        counted[row["key"]][row["status"]] = row["n"]
    return counted


class Grains:
    """Ranks and positions in one flow's executions (or ALL_FLOWS), newest first, from the counts: flat at any depth (spec 2.3).

    `statuses` may not hold PENDING or ERROR while something is overdue: the counts know no clock.
    """

    def __init__(self, read: Read, key: uuid.UUID, statuses: Sequence[str] | None, is_preview: bool | None) -> None:
        self._read = read
        self._arguments = (key, list(statuses) if statuses is not None else None, is_preview)
        self._delta_scope = "true" if key == ALL_FLOWS else "flow_id = $1"
        self._execution_scope = "$1::uuid IS NOT NULL" if key == ALL_FLOWS else "flow_id = $1"

    _MATCH = "($2::text[] IS NULL OR status = ANY($2)) AND ($3::boolean IS NULL OR is_preview = $3)"

    async def has_overdue(self) -> bool:
        """Tell whether the counts of PENDING and ERROR are off by what is overdue and not yet swept."""
        found: bool = await self._read.fetchval(
            f"""SELECT EXISTS (SELECT FROM execution
                               WHERE {self._execution_scope} AND status = 'PENDING' AND deadline <= now())""",
            self._arguments[0],
        )
        return found

    async def total(self) -> int | None:
        """Return how many there are."""
        total: int = await self._read.fetchval(
            f"""SELECT coalesce(sum(n), 0)::bigint FROM (
                    SELECT n FROM execution_count WHERE flow_id = $1 AND grain = 'total' AND {self._MATCH}
                    UNION ALL
                    SELECT n FROM execution_count_delta WHERE {self._delta_scope} AND {self._MATCH}
                ) AS counted""",
            *self._arguments,
        )
        return total

    async def rank(self, position: Position) -> int | None:
        """Return how many are newer than `position`."""
        minute = position.started_at.replace(second=0, microsecond=0)
        hour = minute.replace(minute=0)
        day = hour.replace(hour=0)
        rank: int = await self._read.fetchval(
            f"""SELECT (SELECT coalesce(sum(n), 0)::bigint FROM (
                    SELECT n FROM execution_count
                    WHERE flow_id = $1 AND {self._MATCH} AND (
                        (grain = 'day' AND bucket > $4)
                        OR (grain = 'hour' AND bucket > $5 AND bucket < $4 + interval '1 day')
                        OR (grain = 'minute' AND bucket > $6 AND bucket < $5 + interval '1 hour'))
                    UNION ALL
                    SELECT n FROM execution_count_delta WHERE {self._delta_scope} AND {self._MATCH} AND bucket > $6
                ) AS newer) + (
                    SELECT count(*) FROM execution
                    WHERE {self._execution_scope} AND {self._MATCH}
                          AND (started_at, id) > ($7, $8::uuid) AND started_at < $6::timestamptz + interval '1 minute')""",
            *self._arguments,
            day,
            hour,
            minute,
            position.started_at,
            position.id,
        )
        return rank

    async def positions(self, ranks: Sequence[int]) -> dict[int, Position]:
        """Return where the executions with these ranks stand (0 is the newest); ranks past the end are left out."""
        rows = await self._read.fetch(
            f"""WITH days AS MATERIALIZED (
                    SELECT bucket, n, sum(n) OVER (ORDER BY bucket DESC) - n AS newer FROM (
                        SELECT bucket, sum(n) AS n FROM (
                            SELECT bucket, n FROM execution_count WHERE flow_id = $1 AND grain = 'day' AND {self._MATCH}
                            UNION ALL
                            SELECT date_trunc('day', bucket, 'UTC'), n FROM execution_count_delta
                            WHERE {self._delta_scope} AND {self._MATCH}
                        ) AS counted GROUP BY bucket) AS summed)
                SELECT wanted.rank, e.started_at, e.id
                FROM unnest($4::bigint[]) AS wanted(rank)
                CROSS JOIN LATERAL (
                    SELECT bucket, wanted.rank - newer AS rest FROM days
                    WHERE newer <= wanted.rank AND wanted.rank < newer + n
                ) AS day
                CROSS JOIN LATERAL ({self._inside("day", "hour")}) AS hour
                CROSS JOIN LATERAL ({self._inside("hour", "minute")}) AS minute
                CROSS JOIN LATERAL (
                    SELECT started_at, id FROM execution
                    WHERE {self._execution_scope} AND {self._MATCH}
                          AND started_at >= minute.bucket AND started_at < minute.bucket + interval '1 minute'
                    ORDER BY started_at DESC, id DESC OFFSET minute.rest LIMIT 1
                ) AS e""",
            *self._arguments,
            list(ranks),
        )
        return {row["rank"]: Position(row["started_at"], row["id"]) for row in rows}

    def _inside(self, outer: str, inner: str) -> str:
        """SQL for the bucket of the finer grain in which the rest of a rank falls."""
        span = f"bucket >= {outer}.bucket AND bucket < {outer}.bucket + interval '1 {outer}'"
        return f"""
            SELECT bucket, {outer}.rest - newer AS rest FROM (
                SELECT bucket, n, sum(n) OVER (ORDER BY bucket DESC) - n AS newer FROM (
                    SELECT bucket, sum(n) AS n FROM (
                        SELECT bucket, n FROM execution_count
                        WHERE flow_id = $1 AND grain = '{inner}' AND {self._MATCH} AND {span}
                        UNION ALL
                        SELECT date_trunc('{inner}', bucket, 'UTC'), n FROM execution_count_delta
                        WHERE {self._delta_scope} AND {self._MATCH} AND {span}
                    ) AS counted GROUP BY bucket) AS summed) AS ordered
            WHERE newer <= {outer}.rest AND {outer}.rest < newer + n"""
