"""Statistics of a flow over a range of time: equal to brute force over its rows, overdue executions as errors (spec 2.8)."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flowtrail.database import Read
from flowtrail.executions.filter import FAILED_NODE, OVERDUE
from flowtrail.timeouts import TIMED_OUT_MESSAGE

STATUSES = ("PENDING", "FULFILLED", "ERROR")
MAX_BUCKETS = 60
MAX_ERROR_GROUPS = 100

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_WIDTHS = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY, 36500 * _DAY, 365000 * _DAY)
_ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that buckets of a week begin on one

_ROWS = f"""
    FROM (SELECT e.id, e.started_at, e.flow_id, e.deadline,
                 CASE WHEN {OVERDUE} THEN 'ERROR' ELSE e.status END AS status,
                 CASE WHEN {OVERDUE} THEN e.timeout_at ELSE e.ended_at END AS ended_at
          FROM execution e
          WHERE e.flow_id = ANY($1::uuid[]) AND ($2::timestamptz IS NULL OR e.started_at >= $2)
                AND ($3::timestamptz IS NULL OR e.started_at < $3)) AS e"""


@dataclass(frozen=True, slots=True)
class Range:
    """Executions that started from `start` on, and before `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """How many there were of each status, and how long the ended ones took: in milliseconds, None when none has ended."""

    by_status: Counter[str]
    p50_duration_ms: float | None
    p95_duration_ms: float | None
    p99_duration_ms: float | None

    @property
    def total(self) -> int:
        return self.by_status.total()

    @property
    def error_rate(self) -> float | None:
        """Errors among the ended; None when none has ended."""
        ended = self.by_status["FULFILLED"] + self.by_status["ERROR"]
        return self.by_status["ERROR"] / ended if ended else None


@dataclass(frozen=True, slots=True)
class Bucket:
    start: datetime
    end: datetime
    by_status: Counter[str]


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one kind, node and message; `sample_id` is the newest of them."""

    kind: str
    node_id: str | None
    message: str
    count: int
    last_seen_at: datetime
    sample_id: uuid.UUID


async def summaries(read: Read, flow_ids: Sequence[uuid.UUID], within: Range) -> dict[uuid.UUID, Summary]:
    """Count each flow's executions and sum up their durations."""
    rows = await read.fetch(
        f"""SELECT flow_id, count(*) FILTER (WHERE status = 'PENDING') AS "PENDING",
                   count(*) FILTER (WHERE status = 'FULFILLED') AS "FULFILLED",
                   count(*) FILTER (WHERE status = 'ERROR') AS "ERROR",
                   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                       ORDER BY extract(epoch FROM ended_at - started_at)::float8 * 1000) AS percentiles
            {_ROWS} GROUP BY flow_id""",
        list(flow_ids),
        *_times(within),
    )
    found = {flow_id: Summary(Counter(), None, None, None) for flow_id in flow_ids}
    for row in rows:
        by_status = Counter({status: row[status] for status in STATUSES})
        found[row["flow_id"]] = Summary(by_status, *(row["percentiles"] or (None, None, None)))
    return found


async def histogram(read: Read, flow_id: uuid.UUID, within: Range) -> list[Bucket]:
    """Count by status in at most MAX_BUCKETS spans of equal width, the first and last cut to the range; none without executions."""
    ends = await read.fetchrow(
        f"SELECT min(started_at) AS first, max(started_at) AS last, now() AS now {_ROWS}", [flow_id], *_times(within)
    )
    assert ends is not None  # noqa: S101 (an aggregate always has a row)
    if ends["first"] is None:
        return []
    start = within.start or ends["first"]
    end = within.end or max(ends["now"], ends["last"] + timedelta(microseconds=1))
    width = next(width for width in _WIDTHS if (end - start) / width <= MAX_BUCKETS - 1 or width == _WIDTHS[-1])
    rows = await read.fetch(
        f"SELECT date_bin($4::interval, started_at, $5) AS bucket, status, count(*) AS n {_ROWS} GROUP BY 1, 2",
        [flow_id],
        *_times(within),
        width,
        _ORIGIN,
    )
    counted: dict[datetime, Counter[str]] = {}
    for row in rows:
        counted.setdefault(row["bucket"], Counter())[row["status"]] = row["n"]
    first_number, last_number = (start - _ORIGIN) // width, (end - _ORIGIN - timedelta(microseconds=1)) // width
    buckets = []
    for number in range(first_number, last_number + 1):
        opens = _at(number, width)
        buckets.append(Bucket(max(opens, start), min(_at(number + 1, width), end), counted.get(opens, Counter())))
    return buckets


def _at(number: int, width: timedelta) -> datetime:
    """When a bucket opens, within what a datetime can hold."""
    try:
        return _ORIGIN + number * width
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if number > 0 else datetime.min.replace(tzinfo=UTC)


async def top_errors(read: Read, flow_id: uuid.UUID, within: Range, first: int) -> list[ErrorGroup]:
    """Return the most frequent groups of errors, of equal ones the latest first."""
    rows = await read.fetch(
        f"""SELECT kind, node_id, message, count(*) AS count, max(started_at) AS last_seen_at,
                   (array_agg(id ORDER BY started_at DESC, id DESC))[1] AS sample_id
            FROM (SELECT e.id, e.started_at,
                         CASE WHEN {OVERDUE} THEN 'TIMED_OUT' ELSE e.error_kind END AS kind,
                         CASE WHEN {OVERDUE} THEN failed.node_id ELSE e.failed_node_id END AS node_id,
                         CASE WHEN {OVERDUE} THEN '{TIMED_OUT_MESSAGE}' ELSE e.error_message END AS message
                  FROM execution e {FAILED_NODE}
                  WHERE e.flow_id = $1 AND (e.status = 'ERROR' OR {OVERDUE})
                        AND ($2::timestamptz IS NULL OR e.started_at >= $2)
                        AND ($3::timestamptz IS NULL OR e.started_at < $3)) AS errors
            GROUP BY kind, node_id, message ORDER BY count DESC, last_seen_at DESC LIMIT $4""",
        flow_id,
        *_times(within),
        first,
    )
    return [ErrorGroup(**row) for row in rows]


def _times(within: Range) -> tuple[datetime | None, datetime | None]:
    return within.start, within.end
