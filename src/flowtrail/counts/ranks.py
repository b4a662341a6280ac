"""Ranks and positions in the order of executions, from the counts: flat at any depth (spec 2.3)."""

import uuid
from collections.abc import Iterable, Mapping, Sequence

from flowtrail.counts.tables import ALL_FLOWS, STATUSES
from flowtrail.database import Read
from flowtrail.pagination import Position


class Ranks:
    """Places in the executions of each of several flows (or of ALL_FLOWS alone), newest first, from 0.

    `statuses` may not hold PENDING or ERROR for flows of which something is overdue: the counts know no clock.
    """

    def __init__(self, read: Read, keys: Sequence[uuid.UUID], statuses: Sequence[str] | None, is_preview: bool | None) -> None:
        self._read = read
        self._keys = list(keys)
        # Constants, since an index of errors alone is used only for them; and nothing for what is not asked, or no index suffices.
        match = [f"status IN ({', '.join(map(_literal, statuses))})"] if statuses is not None else []
        match += [f"is_preview = {is_preview}"] if is_preview is not None else []
        self._match = " AND ".join(match) or "true"
        of_all = self._keys == [ALL_FLOWS]
        self._of_key = "true" if of_all else "flow_id = scope.key"
        """SQL condition for deltas and executions; the counts have rows for ALL_FLOWS, too."""

    async def totals(self) -> dict[uuid.UUID, int]:
        """Return how many there are of each."""
        rows = await self._read.fetch(
            f"""SELECT scope.key, coalesce(sum(counted.n), 0)::bigint AS total
                FROM unnest($1::uuid[]) AS scope(key) LEFT JOIN LATERAL (
                    SELECT n FROM execution_count WHERE flow_id = scope.key AND grain = 'total' AND {self._match}
                    UNION ALL
                    SELECT n FROM execution_count_delta WHERE {self._of_key} AND {self._match}
                ) AS counted ON true GROUP BY scope.key""",
            self._keys,
        )
        return {row["key"]: row["total"] for row in rows}

    async def ranks(self, positions: Mapping[uuid.UUID, Position]) -> dict[uuid.UUID, int]:
        """Return for each flow how many are newer than its position."""
        rows = await self._read.fetch(
            f"""SELECT scope.key, (SELECT coalesce(sum(n), 0)::bigint FROM (
                    SELECT n FROM execution_count
                    WHERE flow_id = scope.key AND {self._match} AND (
                        (grain = 'day' AND bucket > scope.day)
                        OR (grain = 'hour' AND bucket > scope.hour AND bucket < scope.day + interval '1 day')
                        OR (grain = 'minute' AND bucket >= scope.first AND bucket < scope.hour + interval '1 hour'))
                    UNION ALL
                    SELECT n FROM execution_count_delta WHERE {self._of_key} AND {self._match} AND bucket >= scope.first
                ) AS newer) + CASE WHEN scope.is_early THEN -(
                    SELECT count(*) FROM execution
                    WHERE {self._of_key} AND {self._match} AND (started_at, id) <= (scope.started_at, scope.id)
                          AND started_at >= scope.minute
                ) ELSE (
                    SELECT count(*) FROM execution
                    WHERE {self._of_key} AND {self._match} AND (started_at, id) > (scope.started_at, scope.id)
                          AND started_at < scope.minute + interval '1 minute'
                ) END AS rank
                FROM (SELECT key, started_at, id, day, hour, minute, is_early,
                             CASE WHEN is_early THEN minute ELSE minute + interval '1 minute' END AS first
                      FROM (SELECT key, started_at, id, date_trunc('day', started_at, 'UTC') AS day,
                                   date_trunc('hour', started_at, 'UTC') AS hour, date_trunc('minute', started_at, 'UTC') AS minute,
                                   -- A crowded minute is looked at from its nearer end.
                                   extract(second FROM started_at) < 30 AS is_early
                            FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS given(key, started_at, id)) AS split
                     ) AS scope""",
            list(positions),
            [position.started_at for position in positions.values()],
            [position.id for position in positions.values()],
        )
        return {row["key"]: row["rank"] for row in rows}

    async def positions(self, places: Iterable[tuple[uuid.UUID, int]]) -> dict[tuple[uuid.UUID, int], Position]:
        """Return where the executions at these places, of a flow and a rank, stand; those past the end are left out."""
        wanted = sorted(places)
        rows = await self._read.fetch(
            f"""WITH days AS MATERIALIZED (
                    SELECT key, bucket, n, sum(n) OVER (PARTITION BY key ORDER BY bucket DESC) - n AS newer FROM (
                        SELECT scope.key, counted.bucket, sum(counted.n) AS n
                        FROM (SELECT DISTINCT key FROM unnest($1::uuid[]) AS given(key)) AS scope CROSS JOIN LATERAL (
                            SELECT bucket, n FROM execution_count WHERE flow_id = scope.key AND grain = 'day' AND {self._match}
                            UNION ALL
                            SELECT date_trunc('day', bucket, 'UTC'), n FROM execution_count_delta
                            WHERE {self._of_key} AND {self._match}
                        ) AS counted GROUP BY scope.key, counted.bucket) AS summed)
                SELECT scope.key, scope.rank, e.started_at, e.id
                FROM unnest($1::uuid[], $2::bigint[]) AS scope(key, rank)
                JOIN days ON days.key = scope.key AND days.newer <= scope.rank AND scope.rank < days.newer + days.n
                CROSS JOIN LATERAL (SELECT days.bucket, days.n, scope.rank - days.newer AS rest) AS day
                CROSS JOIN LATERAL ({self._inside("day", "hour")}) AS hour
                CROSS JOIN LATERAL ({self._inside("hour", "minute")}) AS minute
                CROSS JOIN LATERAL (
                    ({self._in_minute("minute.rest * 2 <= minute.n", "DESC", "minute.rest")})
                    UNION ALL
                    ({self._in_minute("minute.rest * 2 > minute.n", "ASC", "minute.n - 1 - minute.rest")})
                ) AS e""",
            [key for key, _ in wanted],
            [rank for _, rank in wanted],
        )
        return {(row["key"], row["rank"]): Position(row["started_at"], row["id"]) for row in rows}

    def _inside(self, outer: str, inner: str) -> str:
        """SQL for the bucket of the finer grain in which the rest of a rank falls."""
        span = f"bucket >= {outer}.bucket AND bucket < {outer}.bucket + interval '1 {outer}'"
        return f"""
            SELECT bucket, n, {outer}.rest - newer AS rest FROM (
                SELECT bucket, n, sum(n) OVER (ORDER BY bucket DESC) - n AS newer FROM (
                    SELECT bucket, sum(n) AS n FROM (
                        SELECT bucket, n FROM execution_count
                        WHERE flow_id = scope.key AND grain = '{inner}' AND {self._match} AND {span}
                        UNION ALL
                        SELECT date_trunc('{inner}', bucket, 'UTC'), n FROM execution_count_delta
                        WHERE {self._of_key} AND {self._match} AND {span}
                    ) AS counted GROUP BY bucket) AS summed) AS ordered
            WHERE newer <= {outer}.rest AND {outer}.rest < newer + n"""

    def _in_minute(self, condition: str, direction: str, offset: str) -> str:
        """SQL for the execution that comes after so many of its minute."""
        return f"""
            SELECT started_at, id FROM execution
            WHERE {condition} AND {self._of_key} AND {self._match}
                  AND started_at >= minute.bucket AND started_at < minute.bucket + interval '1 minute'
            ORDER BY started_at {direction}, id {direction} OFFSET {offset} LIMIT 1"""


def _literal(status: str) -> str:
    """Return one of the statuses that there are as SQL."""
    if status not in STATUSES:
        raise ValueError(f"no status: {status!r}")
    return f"'{status}'"


async def overdue(read: Read, keys: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Return those of the flows (or ALL_FLOWS) whose counts of PENDING and ERROR are off by what is overdue and not yet swept."""
    rows = await read.fetch(
        """SELECT scope.key FROM unnest($1::uuid[]) AS scope(key) CROSS JOIN LATERAL (
               SELECT FROM execution WHERE flow_id = scope.key AND status = 'PENDING' AND deadline <= now() LIMIT 1) AS found
           UNION ALL
           SELECT $2::uuid WHERE $2 = ANY($1) AND EXISTS (SELECT FROM execution WHERE status = 'PENDING' AND deadline <= now())""",
        list(keys),
        ALL_FLOWS,
    )
    return {row["key"] for row in rows}
