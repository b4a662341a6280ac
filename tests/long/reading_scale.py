"""Reads flows of 10,000 executions, and ten times as many each, and one with a million in an hour: all must cost alike.

    uv run python tests/long/reading_scale.py --executions 10000000 --folder /var/tmp/scale

Asks for the same documents of each flow, in turn, through the service; and for lists across all flows, of a database that has the
smallest flow alone and of one that has them all. Prints median milliseconds, how they compare with the smallest flow, and the
tables that a statement reads from end to end. What looks at a bounded number of executions or counts ("bounded") costs more until
there are so many: it is compared with the second largest flow. Exits with 1 when something costs over twice as much, and over
10 ms more. With --folder the databases stay there, and the next run starts from them; ten million take about 20 GB.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import argparse
import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from flowtrail import database_url, embedded, migrate
from flowtrail.observability import logs
from flowtrail.settings import Settings
from recorder import ask
from scale import SERVER, Size, load
from scale_reads import LIST, Asked, Flow, of_all, reads_of_all, reads_of_flow
from support import Service, running_service

LARGE = ("execution", "execution_count", "execution_duration_count", "execution_error_count", "execution_parameter")
TOKEN = "token-of-the-long-run"
ROUNDS = 11
SMALLEST, MOST_IN_AN_HOUR = 10_000, 1_000_000
FLOW = 'query ($tool: String!) { flow(by: {tool: {server: "orders", toolName: $tool}}) { id uuid toolName } }'


def sizes_up_to(executions: int) -> list[Size]:
    """The flows to make: of executions three seconds apart, and one of which all lie in an hour."""
    sizes: list[Size] = []
    while SMALLEST * 10 ** len(sizes) <= executions:
        number = SMALLEST * 10 ** len(sizes)
        sizes.append(Size(f"flow-{number}", number, timedelta(seconds=3)))
    in_an_hour = min(executions, MOST_IN_AN_HOUR)
    return [*sizes, Size("flow-in-an-hour", in_an_hour, timedelta(hours=1) / in_an_hour)]


@dataclass
class Measured:
    """What a document took each time it was asked, in ms, and which tables its statements read from one end to the other."""

    medians: list[float] = field(default_factory=list)
    scanned: set[str] = field(default_factory=set)


class Scale:
    """A service of one database, with a connection beside it that plans statements as the service's do."""

    def __init__(self, service: Service, direct: asyncpg.Connection[asyncpg.Record], sent: list[tuple[str, Any]]) -> None:
        self.service = service
        self.direct = direct
        self._sent = sent

    async def cursor(self, rank: int, flow: Flow | None, condition: str) -> str:
        """See scale_reads.Cursor."""
        scope, arguments = ("flow_id = $2", [flow["uuid"]]) if flow else ("true", [])
        row = await self.direct.fetchrow(
            f"""SELECT started_at, id FROM execution WHERE {scope} AND {condition}
                ORDER BY started_at DESC, id DESC OFFSET $1 LIMIT 1""",
            rank,
            *arguments,
        )
        assert row is not None
        chosen = {"startedAt": {"from": row["started_at"].isoformat()}} | ({"flowId": [flow["id"]]} if flow else {})
        found = await ask(self.service, of_all(LIST), last=1, filter=chosen)
        cursor: str = found["executions"]["edges"][0]["cursor"]
        return cursor

    async def of_flows(self, sizes: list[Size]) -> list[dict[str, Asked]]:
        """What to ask of each flow."""
        asked = []
        for size in sizes:
            flow = (await ask(self.service, FLOW, tool=size.tool))["flow"]
            asked.append(await reads_of_flow(flow, size.executions, self.cursor))
        return asked

    async def of_all(self) -> dict[str, Asked]:
        """What to ask across all flows."""
        found = await ask(self.service, "{ executions(first: 0) { totalCount } }")
        return await reads_of_all(found["executions"]["totalCount"], self.cursor)

    async def timed(self, asked: Asked) -> float:
        document, variables = asked
        began = time.perf_counter()
        await ask(self.service, document, **variables)
        return (time.perf_counter() - began) * 1000

    async def scanned(self, asked: Asked) -> set[str]:
        """The tables that the statements of a document, planned as the service's are, read from one end to the other."""
        await self.timed(asked)
        self._sent.clear()
        await self.timed(asked)
        found = set()
        for query, arguments in list(self._sent):
            if "execution" not in query or "FROM execution_change WHERE" in query:
                continue
            await self.direct.execute(f"PREPARE watched AS {query}")
            try:
                values = f"({', '.join(literal(value) for value in arguments)})" if arguments else ""
                rows = await self.direct.fetch(f"EXPLAIN EXECUTE watched{values}")
            finally:
                await self.direct.execute("DEALLOCATE watched")
            found |= {table for (line,) in rows for table in LARGE if f"Seq Scan on {table} " in line}
        return found


async def measure(subjects: list[tuple[Scale, dict[str, Asked]]]) -> dict[str, Measured]:
    """Ask several for each of their documents, in turn, so that a busy machine is busy for all of them."""
    measured = {}
    for name in subjects[0][1]:
        times: list[list[float]] = [[] for _ in subjects]
        measured[name] = Measured()
        for scale, asked in subjects:
            measured[name].scanned |= await scale.scanned(asked[name])
        for _ in range(ROUNDS):
            for taken, (scale, asked) in zip(times, subjects, strict=True):
                taken.append(await scale.timed(asked[name]))
        measured[name].medians = [statistics.median(taken) for taken in times]
    return measured


def literal(value: Any) -> str:
    """A value as PostgreSQL reads it in a statement."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "'{" + ",".join("NULL" if item is None else f'"{item}"' for item in value) + "}'"
    return f"'{value}'"


async def run(executions: int, folder: Path) -> bool:
    sent: list[tuple[str, Any]] = []

    async def watch(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        connection.add_query_logger(lambda logged: sent.append((logged.query, logged.args)))

    sizes = sizes_up_to(executions)
    with embedded.start(folder) as postgres:
        small, large = [await loaded(postgres.dsn, name, part) for name, part in (("small", sizes[:1]), ("large", sizes))]
        create_pool = asyncpg.create_pool
        asyncpg.create_pool = lambda *args, **options: create_pool(*args, **(options | {"init": watch}))
        async with scale_of(small, folder, sent) as of_few, scale_of(large, folder, sent) as of_many:
            return await compare(of_few, of_many, sizes)


async def loaded(dsn: str, name: str, sizes: list[Size]) -> str:
    """Return the URL of a database of these flows, made unless it is there."""
    url = urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE unfinished_{name}")
            unfinished = urlunsplit(urlsplit(dsn)._replace(path=f"/unfinished_{name}"))
            await migrate.upgrade(database_url.parse(unfinished))
            await load(unfinished, sizes, lambda done: print(f"{datetime.now(UTC):%H:%M:%S} {name}: {done}", flush=True))
            await connection.execute(f"ALTER DATABASE unfinished_{name} RENAME TO {name}")
    finally:
        await connection.close()
    return url


@asynccontextmanager
async def scale_of(dsn: str, folder: Path, sent: list[tuple[str, Any]]) -> AsyncIterator[Scale]:
    direct = await asyncpg.connect(dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
    settings = Settings.load(database_url=dsn, data_dir=folder / "data", record_token=TOKEN)
    async with running_service(settings) as service:
        yield Scale(service, direct, sent)
    await direct.close()


async def compare(few: Scale, many: Scale, sizes: list[Size]) -> bool:
    """Print what reading costs; tell whether everything was flat."""
    columns = [re.sub("^flow-", "", size.tool) for size in sizes]
    measured = await measure([(many, asked) for asked in await many.of_flows(sizes)])
    steep = report(f"of a flow of {SERVER}", columns, measured)
    measured = await measure([(few, await few.of_all()), (many, await many.of_all())])
    steep += report("across flows", [columns[0], "all of them"], measured)
    print(f"{len(steep)} not flat{': ' + ', '.join(steep) if steep else ''}")
    return not steep


def report(title: str, columns: list[str], measured: dict[str, Measured]) -> list[str]:
    """Print a table of medians, with their ratio to what they are compared with; return what was not flat."""
    steep = []
    print(f"\n{title + ', ms':36}" + "".join(f"{column:>20}" for column in columns) + "  read from end to end")
    for name, one in measured.items():
        base = one.medians[-3 if name.startswith("bounded") and len(columns) > 2 else 0]
        cells = "".join(f"{median:>12.1f} {median / base:>6.2f}x" for median in one.medians)
        print(f"{name:36}{cells}  {', '.join(sorted(one.scanned))}", flush=True)
        is_unbounded = not name.startswith("bounded") or len(columns) > 2
        steep += [f"{title}: {name}"] * any(is_unbounded and median > max(2 * base, base + 10) for median in one.medians)
    return steep


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    logs.configure("warning")
    if options.folder is not None:
        return 0 if asyncio.run(run(options.executions, options.folder)) else 1
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        return 0 if asyncio.run(run(options.executions, Path(folder))) else 1


if __name__ == "__main__":
    sys.exit(main())
