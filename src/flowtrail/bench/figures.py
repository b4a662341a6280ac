"""What was measured, round by round, and what it comes to: medians, and ratios within the same round with their spread.

On a machine that others use too, a figure of one moment says little, and a ratio of two neighbouring moments says more: so all
subjects are measured in turn, in every round.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flowtrail.bench.client import Load


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of one subject: `count` requests, executions or messages in `seconds`, with the server's CPU seconds.

    `p50` and `p99` are milliseconds of a request. None is what a subject has not.
    """

    count: int
    seconds: float
    cpu: float | None = None
    p50: float | None = None
    p99: float | None = None
    database_cpu: float | None = None
    """CPU seconds of PostgreSQL."""

    @classmethod
    def of(cls, load: Load, cpu: float | None, each: int = 1, database_cpu: float | None = None) -> Round:
        """Return the round of a load whose requests had so many (`each`) of what is counted."""
        cuts = statistics.quantiles(load.latencies, n=100, method="inclusive") if len(load.latencies) > 1 else load.latencies * 99
        return cls(len(load.latencies) * each, load.seconds, cpu, cuts[49], cuts[98], database_cpu)

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds

    @property
    def cpu_ms(self) -> float | None:
        """Milliseconds of the server's CPU for each."""
        return None if self.cpu is None else self.cpu * 1000 / self.count

    @property
    def database_cpu_ms(self) -> float | None:
        """Milliseconds of PostgreSQL's CPU for each."""
        return None if self.database_cpu is None else self.database_cpu * 1000 / self.count


@dataclass(slots=True)
class Measured:
    """The rounds of one subject (`flowtrail`, `bare` …) at one kind of work."""

    kind: str
    concurrency: int
    subject: str
    rounds: list[Round] = field(default_factory=list)


@dataclass(slots=True)
class Area:
    """What belongs into one table: the measurements, what is counted, and the subject that others are compared with, if any."""

    title: str
    counted: str
    baseline: str | None
    measured: list[Measured] = field(default_factory=list)

    def of(self, kind: str, concurrency: int, subject: str) -> Measured:
        """Return the measurement of this key, made when it is new."""
        for one in self.measured:
            if (one.kind, one.concurrency, one.subject) == (kind, concurrency, subject):
                return one
        new = Measured(kind, concurrency, subject)
        self.measured.append(new)
        return new

    def baseline_of(self, one: Measured) -> Measured | None:
        """Return what a measurement is to be compared with."""
        key = (one.kind, one.concurrency, self.baseline)
        return next((other for other in self.measured if (other.kind, other.concurrency, other.subject) == key), None)

    def as_json(self) -> dict[str, Any]:
        """Return everything, round by round."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Spread:
    """A median, and the least and the most."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{_short(self.median)} ({_short(self.least)}–{_short(self.most)})"


def spread(rounds: Sequence[Round], figure: Callable[[Round], float | None]) -> Spread | None:
    """Return the spread of a figure over rounds; None when they have it not."""
    return _of([figure(each) for each in rounds])


def ratio(rounds: Sequence[Round], baseline: Sequence[Round], figure: Callable[[Round], float | None]) -> Spread | None:
    """Return the spread of a figure's ratio to the baseline's in the same round; None when one of them has it not."""
    pairs = [(figure(one), figure(other)) for one, other in zip(rounds, baseline, strict=True)]
    return _of([one / other if one is not None and other else None for one, other in pairs])


def _of(values: Sequence[float | None]) -> Spread | None:
    found = [value for value in values if value is not None]
    if not found or len(found) < len(values):
        return None
    return Spread(statistics.median(found), min(found), max(found))


def _short(value: float) -> str:
    """Three digits that say something, or two of less than a tenth."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
