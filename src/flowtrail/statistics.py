"""Statistics of flows over a range of time: equal to brute force over their rows, overdue executions as errors (spec 2.8).

Everything is added up from the counts, so that what a range costs does not grow with the executions in it. Each function reads many
flows in a fixed number of statements (spec 2.9).
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from flowtrail.counts import Range, Span, counted_in_spans, error_group_sql, normalised, percentile_ms, spans
from flowtrail.counts.tables import DURATION_BIN, DURATIONS, ERRORS, EXECUTIONS
from flowtrail.database import Read
from flowtrail.executions.filter import FAILED_NODE, OVERDUE
from flowtrail.timeouts import TIMED_OUT_MESSAGE
from flowtrail.turns import Turns, in_turns

MAX_BUCKETS = 60
MAX_ERROR_GROUPS = 100

_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
_WIDTHS = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY, 30 * _DAY, 365 * _DAY, 36500 * _DAY, 365000 * _DAY)
_ORIGIN = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that buckets of a week begin on one
_ORIGIN_SECOND = int(_ORIGIN.timestamp())

_SPANS = """unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::smallint[])
    AS span(flow_id, source, opens, closes, sign)"""
_STATUSES = counted_in_spans(
    EXECUTIONS,
    """SELECT e.started_at, moved.status, moved.n
       FROM execution e CROSS JOIN (VALUES ('PENDING', -1), ('ERROR', 1)) AS moved(status, n)""",
)
_BINS = counted_in_spans(
    DURATIONS, f"SELECT e.started_at, {DURATION_BIN.format(started_at='e.started_at', ended_at='e.timeout_at')}, 1 FROM execution e"
)
_OVERDUE_GROUP = error_group_sql("TIMED_OUT", "failed.node_id", TIMED_OUT_MESSAGE)
_GROUPS = counted_in_spans(ERRORS, f"SELECT e.started_at, {_OVERDUE_GROUP}, 1 FROM execution e {FAILED_NODE}")


@dataclass(frozen=True, slots=True)
class Summary:
    """How many there were of each status."""

    by_status: Counter[str]

    @property
    def total(self) -> int:
        return self.by_status.total()

    @property
    def error_rate(self) -> float | None:
        """Errors among the ended; None when none has ended."""
        ended = self.by_status["FULFILLED"] + self.by_status["ERROR"]
        return self.by_status["ERROR"] / ended if ended else None


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How long the ended ones took: milliseconds, within 1 %; None when none has ended."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Bucket:
    start: datetime
    end: datetime
    by_status: Mapping[str, int]
    """Without those of which there are none."""


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one kind, node and normalised message; `sample_id` is the newest of them."""

    kind: str
    node_id: str | None
    message: str
    count: int
    last_seen_at: datetime
    sample_id: uuid.UUID


async def summaries(read: Read, flow_ids: Sequence[uuid.UUID], within: Range) -> dict[uuid.UUID, Summary]:
    """Count each flow's executions."""
    rows = await read.fetch(
        f"""SELECT span.flow_id, counted.status, sum(counted.n)::bigint AS n
            FROM {_SPANS} CROSS JOIN LATERAL ({_STATUSES}) AS counted GROUP BY 1, 2""",
        *_columns(product(flow_ids, spans(within))),
    )
    found = {flow_id: Summary(Counter()) for flow_id in flow_ids}
    for row in rows:
        found[row["flow_id"]].by_status[row["status"]] = row["n"]
    return found


async def percentiles(read: Read, flow_ids: Sequence[uuid.UUID], within: Range) -> dict[uuid.UUID, Percentiles]:
    """Return how long each flow's executions took."""
    rows = await read.fetch(
        f"""SELECT flow_id, array_agg(duration_bin ORDER BY duration_bin) AS bins, array_agg(n ORDER BY duration_bin) AS counts
            FROM (SELECT span.flow_id, counted.duration_bin, sum(counted.n)::bigint AS n
                  FROM {_SPANS} CROSS JOIN LATERAL ({_BINS}) AS counted GROUP BY 1, 2) AS summed
            WHERE n > 0 GROUP BY flow_id""",
        *_columns(product(flow_ids, spans(within))),
    )
    found = {flow_id: Percentiles(None, None, None) for flow_id in flow_ids}
    for row in rows:
        found[row["flow_id"]] = Percentiles(*(percentile_ms(row["bins"], row["counts"], share) for share in (0.5, 0.95, 0.99)))
    return found


@dataclass(frozen=True, slots=True)
class _Axis:
    """The buckets of one flow's histogram."""

    start: datetime
    end: datetime
    width: timedelta
    counted: Range
    """The same in whole minutes where it is open: nothing started outside, and rows need not be looked at one by one."""

    @classmethod
    def of(cls, within: Range, first: datetime, last: datetime, now: datetime) -> "_Axis":
        start = within.start or first
        end = within.end or max(now, last + timedelta(microseconds=1))
        width = next(width for width in _WIDTHS if (end - start) / width <= MAX_BUCKETS - 1 or width == _WIDTHS[-1])
        counted = Range(within.start or _minute(start), within.end or _minute(end) + _MINUTE)
        return cls(start, end, width, counted)

    @property
    def spans(self) -> list[Span]:
        coarsest = "minute" if self.width < _HOUR else "hour" if self.width < _DAY else "day"
        return spans(self.counted, coarsest)

    def number_of(self, second: int) -> int:
        """Return the number of the bucket that opens in a second of the epoch."""
        return (second - _ORIGIN_SECOND) // int(self.width.total_seconds())


@dataclass(frozen=True, slots=True)
class Histogram:
    """The buckets of one flow, without a gap, the first and last cut to the range.

    They are made while they are gone through, since there are thousands for many flows.
    """

    axis: _Axis
    counted: Mapping[int, Mapping[str, int]]
    """By the buckets' numbers."""

    def __iter__(self) -> Iterator[Bucket]:
        start, end, width = self.axis.start, self.axis.end, self.axis.width
        first = (start - _ORIGIN) // width
        last = (end - _ORIGIN - timedelta(microseconds=1)) // width
        for number in range(first, last + 1):
            yield Bucket(max(_at(number, width), start), min(_at(number + 1, width), end), self.counted.get(number, {}))


async def histograms(read: Read, flow_ids: Sequence[uuid.UUID], within: Range) -> dict[uuid.UUID, Iterable[Bucket]]:
    """Count by status in at most MAX_BUCKETS spans of equal width for each flow; in none for one without executions."""
    ends = await read.fetch(
        """SELECT scope.id, oldest.started_at AS first, newest.started_at AS last, now() AS now
           FROM unnest($1::uuid[]) AS scope(id)
           CROSS JOIN LATERAL (
               SELECT started_at FROM execution WHERE flow_id = scope.id AND started_at >= $2 AND started_at < $3
               ORDER BY started_at, id LIMIT 1) AS oldest
           CROSS JOIN LATERAL (
               SELECT started_at FROM execution WHERE flow_id = scope.id AND started_at >= $2 AND started_at < $3
               ORDER BY started_at DESC, id DESC LIMIT 1) AS newest""",
        list(flow_ids),
        *within.bounds,
    )
    turns = Turns()
    axes = {row["id"]: _Axis.of(within, row["first"], row["last"], row["now"]) for row in ends}
    pieces = [(flow_id, span) async for flow_id, axis in in_turns(axes.items(), turns) for span in axis.spans]
    rows = await read.fetch(
        f"""SELECT flow_id, array_agg(bucket) AS buckets, array_agg(status) AS statuses, array_agg(n) AS counts
            FROM (SELECT span.flow_id, extract(epoch FROM date_bin(span.width, counted.bucket, $7))::bigint AS bucket,
                         counted.status, sum(counted.n)::bigint AS n
                  FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::smallint[], $6::interval[])
                       AS span(flow_id, source, opens, closes, sign, width)
                  CROSS JOIN LATERAL ({_STATUSES}) AS counted GROUP BY 1, 2, 3) AS summed
            GROUP BY flow_id""",
        *_columns(pieces),
        [axes[flow_id].width for flow_id, _ in pieces],
        _ORIGIN,
    )
    found: dict[uuid.UUID, Iterable[Bucket]] = {
        flow_id: Histogram(axes[flow_id], {}) if flow_id in axes else () for flow_id in flow_ids
    }
    async for row in in_turns(rows, turns):
        axis = axes[row["flow_id"]]
        counted: dict[int, dict[str, int]] = {}
        for second, status, count in zip(row["buckets"], row["statuses"], row["counts"], strict=True):
            counted.setdefault(axis.number_of(second), {})[status] = count
        found[row["flow_id"]] = Histogram(axis, counted)
    return found


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _at(number: int, width: timedelta) -> datetime:
    """When a bucket opens, within what a datetime can hold."""
    try:
        return _ORIGIN + number * width
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if number > 0 else datetime.min.replace(tzinfo=UTC)


async def top_errors(read: Read, flow_ids: Sequence[uuid.UUID], within: Range, first: int) -> dict[uuid.UUID, list[ErrorGroup]]:
    """Return each flow's most frequent groups of errors, of equal ones the latest first."""
    rows = await read.fetch(
        f"""WITH ranked AS (
                SELECT flow_id, error_group, n, rank() OVER (PARTITION BY flow_id ORDER BY n DESC) AS place
                FROM (SELECT span.flow_id, counted.error_group, sum(counted.n)::bigint AS n
                      FROM {_SPANS} CROSS JOIN LATERAL ({_GROUPS}) AS counted GROUP BY 1, 2) AS summed
                WHERE n > 0)
            SELECT ranked.flow_id, ranked.n, newest.*
            FROM ranked CROSS JOIN LATERAL (
                SELECT * FROM (
                    (SELECT e.id, e.started_at, e.error_kind, e.failed_node_id, e.error_message FROM execution e
                     WHERE e.flow_id = ranked.flow_id AND e.error_group = ranked.error_group AND e.status = 'ERROR'
                           AND e.started_at >= $6 AND e.started_at < $7
                     ORDER BY e.started_at DESC, e.id DESC LIMIT 1)
                    UNION ALL
                    (SELECT e.id, e.started_at, 'TIMED_OUT', failed.node_id, '{TIMED_OUT_MESSAGE}' FROM execution e {FAILED_NODE}
                     WHERE e.flow_id = ranked.flow_id AND {OVERDUE} AND {_OVERDUE_GROUP} = ranked.error_group
                           AND e.started_at >= $6 AND e.started_at < $7
                     ORDER BY e.started_at DESC, e.id DESC LIMIT 1)
                ) AS latest ORDER BY started_at DESC, id DESC LIMIT 1
            ) AS newest
            WHERE ranked.place <= $8
            ORDER BY ranked.n DESC, newest.started_at DESC, newest.id DESC""",
        *_columns(product(flow_ids, spans(within))),
        *within.bounds,
        first,
    )
    found: dict[uuid.UUID, list[ErrorGroup]] = {flow_id: [] for flow_id in flow_ids}
    for row in rows:
        message = normalised(row["error_message"] or "")
        group = ErrorGroup(row["error_kind"], row["failed_node_id"], message, row["n"], row["started_at"], row["id"])
        found[row["flow_id"]].append(group)
    return {flow_id: groups[:first] for flow_id, groups in found.items()}


def _columns(pieces: Iterable[tuple[uuid.UUID, Span]]) -> list[list[Any]]:
    """The arrays that make `span`."""
    flat = [(flow_id, *span) for flow_id, span in pieces]
    return [[row[index] for row in flat] for index in range(5)]
