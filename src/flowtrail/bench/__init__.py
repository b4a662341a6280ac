"""`flowtrail bench`: what the service costs on a table of a chosen size, beside the least that the same answers can cost.

table.py      the table
servers.py    the real service, and bare.py, as processes
client.py     the load generator
documents.py  what is asked; events.py what is recorded
reading.py    pages, details, counts; recording.py; fan_out.py
figures.py    medians and ratios; report.py tables
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowtrail import database_url, embedded, migrate
from flowtrail.bench import documents, events, fan_out, reading, recording, servers, table
from flowtrail.bench.figures import Area
from flowtrail.bench.postmaster import Postmaster
from flowtrail.errors import BadUserInput, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from flowtrail.bench.servers import Server
    from flowtrail.bench.table import Table

AREAS = ("pages", "details", "counts", "recording", "fan-out")
FEWEST_EXECUTIONS = 1000
"""Deep pages and details need some to choose from."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure. `seconds` are for one measurement of one subject, all rounds together.

    Raises BadUserInput for what makes no sense.
    """

    executions: int
    flows: int
    seconds: float
    rounds: int
    concurrency: tuple[int, ...]
    subscribers: int
    areas: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.executions < FEWEST_EXECUTIONS:
            raise BadUserInput(f"--executions: at least {FEWEST_EXECUTIONS}")


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured, and on what."""

    machine: dict[str, Any]
    areas: list[Area]

    def as_json(self) -> dict[str, Any]:
        """Return everything, round by round."""
        return {"machine": self.machine, "areas": [area.as_json() for area in self.areas]}


@contextmanager
def database(given: str | None) -> Iterator[str]:
    """Where to measure, as a libpq URL: the database of this URL, or an embedded one that is gone at the end.

    Raises ConfigurationError where nothing can be measured.
    """
    if not sys.platform.startswith("linux"):
        raise ConfigurationError("bench reads CPU times from /proc, which only Linux has")
    if given is not None:
        yield database_url.parse(given).dsn
        return
    with temporary_folder() as folder, embedded.start(folder) as postgres:
        yield postgres.dsn


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder through which PostgreSQL, if it runs as another user, can pass."""
    with tempfile.TemporaryDirectory(prefix="flowtrail-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


async def run(dsn: str, options: Options, progress: Callable[[str, int], Callable[[int], None]]) -> Result:
    """Load the table and measure; `progress(title, total)` returns what is told of each step.

    Raises ConfigurationError when the database has executions already.
    """
    await migrate.upgrade(database_url.parse(dsn))
    loaded = await table.load(dsn, options.executions, options.flows, progress("Loading", options.executions))
    with temporary_folder() as folder:
        areas = await _measure(dsn, options, loaded, folder, progress)
    return Result(_machine(options, await table.server_version(dsn)), areas)


async def _measure(
    dsn: str, options: Options, loaded: Table, folder: Path, progress: Callable[[str, int], Callable[[int], None]]
) -> list[Area]:
    areas = []
    if not {"pages", "details", "counts"}.isdisjoint(options.areas):
        areas += await _reading(dsn, options, loaded, folder, progress)
    if "recording" in options.areas:
        areas.append(await _recording(dsn, options, folder, progress))
    if "fan-out" in options.areas:
        area = Area("Fan-out: a burst of changes to all subscribers of a flow", "messages", None)
        advance = progress("Fan-out", options.rounds)
        async with servers.flowtrail(dsn, folder) as server:
            await fan_out.measure(area, server, loaded, options.subscribers, options.rounds, partial(advance, 1))
        areas.append(area)
    return areas


async def _reading(
    dsn: str, options: Options, loaded: Table, folder: Path, progress: Callable[[str, int], Callable[[int], None]]
) -> list[Area]:
    areas, postmaster = [], await Postmaster.of(dsn)
    async with readers(dsn, folder) as (service, uncompiled, bare):
        cursors = await documents.deep_cursors(service, loaded)
        for name, title, subjects, workloads in (
            ("pages", "Pages of 50 executions", (service, uncompiled, bare), documents.pages(loaded, cursors)),
            ("details", "Details of an execution with 10 nodes", (service, uncompiled, bare), documents.details(loaded)),
            ("counts", "Counts", (service,), documents.counts(loaded, cursors)),
        ):
            if name not in options.areas:
                continue
            area = Area(title, "requests", bare.name if bare in subjects else None)
            step = progress(title, (options.rounds + 1) * len(workloads) * len(options.concurrency) * len(subjects))
            measured = partial(reading.measure, area, subjects, postmaster, workloads, options.concurrency)
            await measured(options.seconds, options.rounds, partial(step, 1))
            areas.append(area)
    return areas


@asynccontextmanager
async def readers(dsn: str, folder: Path) -> AsyncIterator[tuple[Server, Server, Server]]:
    """The service, the same without compiled operations, and bare.py."""
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(servers.flowtrail(dsn, folder)),
            await stack.enter_async_context(servers.flowtrail(dsn, folder, "flowtrail, not compiled", FLOWTRAIL_COMPILED="false")),
            await stack.enter_async_context(servers.bare(dsn, folder)),
        )


async def _recording(dsn: str, options: Options, folder: Path, progress: Callable[[str, int], Callable[[int], None]]) -> Area:
    batches = max(recording.RECORDERS[-1], round(options.seconds * recording.BATCHES_A_SECOND))
    area = Area(f"Recording executions of {events.NODES} nodes", "executions", "COPY")
    kinds = (recording.MANY_FLOWS, recording.HOT_FLOW)
    prepared = {kind: await recording.prepared(dsn, kind, options.flows, batches) for kind in kinds}
    advance = progress("Recording", options.rounds * len(kinds) * len(recording.RECORDERS) * 3)
    async with servers.flowtrail(dsn, folder) as server:
        await recording.measure(area, server, dsn, prepared, options.rounds, partial(advance, 1))
    return area


def _machine(options: Options, postgresql: str) -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "postgresql": postgresql,
        "executions": options.executions,
        "flows": options.flows,
        "seconds": options.seconds,
        "rounds": options.rounds,
    }
