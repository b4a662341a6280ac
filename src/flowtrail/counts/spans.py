"""Ranges of time, cut into buckets of the counts and what is left at the ends: what a range costs is bounded (spec 2.8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from flowtrail.counts.tables import TOTAL, CountTable

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""No execution starts before EARLIEST, or at LATEST or later."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Range:
    """Executions that started from `start` on, and before `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The same with both ends, as an index wants them."""
        return max(self.start or EARLIEST, EARLIEST), min(self.end or LATEST, LATEST)


class Span(NamedTuple):
    """A part of a range: the folded counts of a grain, or the deltas, rows or overdue rows of the time between."""

    source: str
    opens: datetime
    closes: datetime
    sign: int = 1
    """-1 for what is to be taken off again: fifty minutes are an hour less ten minutes."""


def spans(within: Range, coarsest: str = "total") -> list[Span]:
    """Return spans that together count what started in a range: at most two of each grain up to `coarsest`, and two of rows.

    The rows are those of at most half of the minutes that the range begins and ends in. A span may reach beyond the range, but not
    beyond the buckets of the grain `coarsest` that the range begins and ends in.
    """
    start, end = within.bounds
    if start >= end:
        return []
    cut = [Span("overdue", start, end)]
    if (start, end, coarsest) == (EARLIEST, LATEST, "total"):
        return [*cut, Span("total", TOTAL, LATEST), Span("delta", EARLIEST, LATEST)]
    first, last = _nearest(start, _WIDTHS["minute"]), _nearest(end, _WIDTHS["minute"])
    if first >= last:
        return [*cut, Span("row", start, end)]
    cut += [Span("delta", first, last), *_ends("row", start, first, last, end), *_buckets(first, last, coarsest)]
    return [span for span in cut if span.opens < span.closes]


def _ends(source: str, start: datetime, first: datetime, last: datetime, end: datetime) -> Iterator[Span]:
    """What a range from `start` to `end` has more, or less, than one from `first` to `last`."""
    yield Span(source, start, first) if start <= first else Span(source, first, start, -1)
    yield Span(source, last, end) if last <= end else Span(source, end, last, -1)


def _buckets(first: datetime, last: datetime, coarsest: str) -> Iterator[Span]:
    """Whole minutes as few buckets: the coarser ones up to the nearest ends, and what those miss or have too much."""
    for grain, coarser in pairwise(_WIDTHS):
        width = _WIDTHS[coarser]
        start, end = _nearest(first, width), _nearest(last, width)
        if grain == coarsest or start >= end or abs(first - start) + abs(last - end) >= last - first:
            yield Span(grain, first, last)
            return
        yield from _ends(grain, first, start, end, last)
        first, last = start, end
    yield Span("day", first, last)


def _floor(time: datetime, width: timedelta) -> datetime:
    return time - (time - _EPOCH) % width


def _nearest(time: datetime, width: timedelta) -> datetime:
    return _floor(time + width / 2, width)


def counted_in_spans(table: CountTable, overdue: str) -> str:
    """SQL rows (bucket, the table's first key, n) of a `span` with flow_id, source, opens, closes and sign.

    `overdue` selects the same of overdue executions `e`, up to its WHERE: they are pending for the tables (spec 1.7).
    """
    between = "{0} >= span.opens AND {0} < span.closes"
    key, key_of_execution = table.keys[0], table.keys_of_execution[0]
    return f"""
        SELECT bucket, {key}, n * span.sign AS n FROM {table.name}
        WHERE flow_id = span.flow_id AND grain = span.source AND {between.format("bucket")}
        UNION ALL
        SELECT made.bucket, made.{key}, made.n FROM execution_count_delta AS made
        WHERE span.source = 'delta' AND made.flow_id = span.flow_id AND {between.format("made.bucket")} AND {table.deltas}
        UNION ALL
        SELECT e.started_at, {key_of_execution}, span.sign FROM execution e
        WHERE span.source = 'row' AND e.flow_id = span.flow_id AND {between.format("e.started_at")} AND {table.executions}
        UNION ALL
        {overdue}
        WHERE span.source = 'overdue' AND e.flow_id = span.flow_id AND e.status = 'PENDING' AND e.deadline <= now()
              AND {between.format("e.started_at")}"""
