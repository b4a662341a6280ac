"""Durations as counts of bins: percentiles within 1 % over any range, by adding up (spec 2.8).

Why, and why no library's sketch: docs/decisions/durations-in-bins.md. A bin holds durations that differ by less than 2 %, so that
its middle is within 1 % of each. The bounds are whole microseconds, made with integers only: everybody who bins a duration, in
Python or in SQL, on whatever machine, finds the same bin.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from math import ceil, floor

_LONGEST = 10_000 * 366 * 86_400 * 1_000_000
_MICROSECOND = timedelta(microseconds=1)


def _bounds() -> tuple[int, ...]:
    bounds = [0]
    while bounds[-1] < _LONGEST:
        bounds.append(bounds[-1] + max(1, bounds[-1] * 19 // 1000))
    return tuple(bounds)


BOUNDS = _bounds()
"""Where each bin begins, in microseconds. A duration is in bin n when BOUNDS[n - 1] <= duration < BOUNDS[n]."""


def duration_bin(started_at: datetime, ended_at: datetime) -> int:
    """Return the bin of what took from the one moment to the other, numbered from 1 as by PostgreSQL's `width_bucket`."""
    return bisect_right(BOUNDS, (ended_at - started_at) // _MICROSECOND)


def percentile_ms(bins: Sequence[int], counts: Sequence[int], share: float) -> float | None:
    """Return a percentile in milliseconds, between the two nearest as `percentile_cont` does; None without durations.

    `bins` ascend, and `counts` says how many durations are in each.
    """
    ends = list(accumulate(counts))
    if not ends or ends[-1] <= 0:
        return None
    place = share * (ends[-1] - 1)
    below, above = (_middle_ms(bins[bisect_right(ends, rank)]) for rank in (floor(place), ceil(place)))
    return below + (above - below) * (place - floor(place))


def _middle_ms(bin_: int) -> float:
    return (BOUNDS[bin_ - 1] + BOUNDS[bin_] - 1) / 2000
