"""Pages, details and counts, asked of several servers in turn."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from flowtrail.bench.client import repeat
from flowtrail.bench.figures import Area, Round

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flowtrail.bench.documents import Workload
    from flowtrail.bench.postmaster import Postmaster
    from flowtrail.bench.servers import Server


async def measure(
    area: Area,
    servers: Sequence[Server],
    postmaster: Postmaster | None,
    workloads: Sequence[Workload],
    concurrencies: Sequence[int],
    seconds: float,
    rounds: int,
    advance: Callable[[], None],
) -> None:
    """Add to `area` so many rounds of each server at each kind of work; `advance` is told of each measurement.

    `seconds` are for each measurement, all rounds together. Before them comes one that does not count: caches are filled,
    statements prepared, and what compiles compiles. Raises RuntimeError when servers answer differently.
    """
    for workload in workloads:
        await agree(servers, workload)
    for number in range(rounds + 1):
        for workload in workloads:
            for concurrency in concurrencies:
                for server in servers:
                    found = await _round(server, postmaster, workload, concurrency, seconds / rounds)
                    if number > 0:
                        area.of(workload.kind, concurrency, server.name).rounds.append(found)
                    advance()


async def _round(server: Server, postmaster: Postmaster | None, workload: Workload, concurrency: int, seconds: float) -> Round:
    requests = workload.requests(server)
    before, database_before = server.cpu, postmaster.cpu if postmaster else 0.0
    load = await repeat(server.port, requests, concurrency, seconds)
    return Round.of(load, server.cpu - before, database_cpu=postmaster.cpu - database_before if postmaster else None)


async def agree(servers: Sequence[Server], workload: Workload) -> None:
    """Raise RuntimeError unless all servers answer alike, but for cursors: each may make its own."""
    for variables in (workload.variables[0], workload.variables[-1]):
        expected: Any = None
        for server in servers:
            found = _comparable(await server.ask(workload.kind, workload.document, variables))
            if expected is None:
                expected = found
            elif found != expected:
                raise RuntimeError(
                    f"{server.name} answers {workload.kind} differently from {servers[0].name}:\n{found}\n{expected}"
                )


def _comparable(value: Any) -> Any:
    """The same value whatever its cursors, whether a time ends in Z or +00:00, and durations rounded to a microsecond."""
    match value:
        case dict():
            return {key: _comparable(item) for key, item in value.items() if not key.lower().endswith("cursor")}
        case list():
            return [_comparable(item) for item in value]
        case float():
            return round(value, 3)
        case str() if len(value) > 18 and value[:2] == "20" and value[10] == "T":
            return datetime.fromisoformat(value)
    return value
