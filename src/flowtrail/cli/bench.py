"""`flowtrail bench`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveFloat, PositiveInt

from flowtrail.cli import needs
from flowtrail.errors import BadUserInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TERMINATED = 128 + signal.SIGTERM
_WIDTH = 160
"""Characters of a line where nobody watches."""


def bench(
    *,
    executions: PositiveInt = 1_000_000,
    flows: PositiveInt = 50,
    seconds: PositiveFloat = 10.0,
    rounds: PositiveInt = 5,
    concurrency: str = "1,32",
    subscribers: PositiveInt = 100,
    only: Annotated[str | None, Parameter(show_default=False)] = None,
    json_output: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Measure the service on this machine: pages, details, counts, recording and fan-out, on a table of a chosen size.

    The table is made in a temporary embedded PostgreSQL, or in the database of DATABASE_URL, which must have no executions and is
    of no use for anything else afterwards. Beside throughput it prints the CPU time that the service used for each request, and
    how both compare with the least that the same answers can cost, measured in turn.

    Example: `flowtrail bench --executions 100000 --seconds 5 --only pages,recording`

    Parameters
    ----------
    executions
        How many executions the table has.
    flows
        How many flows they belong to.
    seconds
        How long each measurement takes, all rounds together.
    rounds
        How often everything is measured; figures are medians, with the least and the most.
    concurrency
        How many requests are under way at a time.
    subscribers
        How many subscribers get each change.
    only
        What to measure: pages, details, counts, recording, fan-out; all of it without this.
    json_output
        Print every round as JSON instead of tables.
    """
    needs.service("bench")
    from rich.console import Console

    from flowtrail import bench as benchmark
    from flowtrail.bench import report
    from flowtrail.settings import Settings

    options = benchmark.Options(
        executions, flows, seconds, rounds, _numbers("concurrency", concurrency), subscribers, _areas(only, benchmark.AREAS)
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))  # what was started here ends with it
    given = Settings.load().database_url
    with benchmark.database(given.get_secret_value() if given else None) as dsn, _progress() as progress:
        result = asyncio.run(benchmark.run(dsn, options, progress))
    if json_output:
        print(json.dumps(result.as_json(), indent=1))
    else:
        console = Console()
        report.show(console if console.is_terminal else Console(width=_WIDTH), result.areas)


def _numbers(option: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise BadUserInput(f"--{option}: numbers separated by commas, as in 1,32, not {text!r}")
    return tuple(int(part) for part in parts)


def _areas(text: str | None, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = known if text is None else tuple(text.split(","))
    if not set(chosen) <= set(known):
        raise BadUserInput(f"--only: some of {','.join(known)}, not {text!r}")
    return chosen


@contextmanager
def _progress() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Progress bars, when somebody is watching; yields what begins one and returns what moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal) as progress:

        def begin(title: str, total: int) -> Callable[[int], None]:
            bar = progress.add_task(title, total=total)
            return lambda count: progress.advance(bar, count)

        yield begin
