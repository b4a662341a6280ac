"""Reads a million executions: every list, count and page bar must be flat, whatever its depth, and use an index.

    uv run python tests/long/reading_scale.py --rows 1000000 --seed 1

Loads the rows, then asks for the same documents with a tenth of them and with all, through the service. Prints the median times and
the tables that are read row by row; exits with 1 when a document takes over four times as long, and over 40 ms longer, with all.
A filter that no index serves and next to nothing matches ("rare") has to look at every error: that is shown, and not judged.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import argparse
import asyncio
import functools
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from flowtrail import database_url, embedded, migrate
from flowtrail.settings import Settings
from recorder import ask, register
from support import Service, running_service

LARGE = ("execution", "execution_count")
TOKEN = "token-of-the-long-run"
LIST = """edges { cursor node { id status startedAt endedAt durationMs initialParamsPreview errorInfo { nodeName } } }
          pageInfo { hasNextPage hasPreviousPage endCursor }"""
ARGUMENTS = "first: $first, after: $after, last: $last, before: $before, filter: $filter"
PARAMETERS = "$first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter"
BAR = "pageCursors { around { page cursor } last { page cursor } next { page } previous { page } }"
LOAD = """
INSERT INTO execution (id, flow_id, server, flow_name, flow_tool_name, status, started_at, ended_at, deadline, timeout_at,
                       initial_params_preview, is_preview, trace_id, error_kind, error_message, failed_node_id, failed_node_name,
                       start_hash)
SELECT gen_random_uuid(), flow_id, 'orders', 'Flow', 'tool', status, started_at,
       CASE WHEN status <> 'PENDING' THEN started_at + random() * interval '20 seconds' END,
       CASE WHEN status = 'PENDING' THEN now() + interval '1 day' ELSE started_at + interval '5 minutes' END,
       started_at + interval '5 minutes', 'city: ' || (ARRAY['Oslo', 'Rome', 'Lima'])[1 + n % 3], n % 10 = 0, md5(n::text),
       CASE WHEN status = 'ERROR' THEN 'EXCEPTION' END, CASE WHEN status = 'ERROR' THEN 'It broke' END,
       CASE WHEN status = 'ERROR' THEN 'fetch' END, CASE WHEN status = 'ERROR' THEN 'Fetch' END, '\\x00'
FROM (SELECT n, timestamptz '2026-03-01 00:00+00' + n * interval '3 seconds' AS started_at,
             -- Of ten flows one has half of everything, one no errors at all, one is as good as idle.
             ($3::uuid[])[CASE WHEN n % 2 = 0 THEN 1 WHEN n % 50000 = 1 THEN 10 ELSE 2 + (n / 2) % 8 END] AS flow_id,
             CASE WHEN n % 100000 = 0 THEN 'PENDING' WHEN n % 20 = 0 THEN 'ERROR' ELSE 'FULFILLED' END AS status
      FROM generate_series($1::int, $2::int) AS n) AS made"""
COUNT = """
INSERT INTO execution_count (flow_id, grain, bucket, status, is_preview, n)
SELECT scope.flow_id, grain.name, grain.bucket, status, is_preview, count(*)
FROM execution
CROSS JOIN LATERAL (VALUES (execution.flow_id), ('ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)) AS scope(flow_id)
CROSS JOIN LATERAL (VALUES
    ('total', timestamptz '1970-01-01 00:00+00'), ('day', date_trunc('day', started_at, 'UTC')),
    ('hour', date_trunc('hour', started_at, 'UTC')), ('minute', date_trunc('minute', started_at, 'UTC'))
) AS grain(name, bucket)
GROUP BY 1, 2, 3, 4, 5"""


def of_all(selection: str) -> str:
    return f"query ({PARAMETERS}) {{ executions({ARGUMENTS}) {{ {selection} }} }}"


def of_flow(selection: str) -> str:
    return f"query ($id: ID!, {PARAMETERS}) {{ node(id: $id) {{ ... on Flow {{ executions({ARGUMENTS}) {{ {selection} }} }} }} }}"


class Scale:
    """A service over a database that is filled step by step, and what its documents took."""

    def __init__(self, service: Service, direct: asyncpg.Connection[asyncpg.Record], sent: list[tuple[str, Any]]) -> None:
        self.service = service
        self.direct = direct
        self.flows: list[dict[str, Any]] = []
        self._sent = sent
        self._rows = 0

    async def load(self, rows: int) -> None:
        """Fill up to `rows` executions, with their counts."""
        if not self.flows:
            self.flows = await register(self.service, *({"toolName": f"tool-{number}"} for number in range(10)))
        for begin in range(self._rows, rows, 100_000):
            await self.direct.execute(LOAD, begin, min(begin + 100_000, rows) - 1, [flow["uuid"] for flow in self.flows])
        self._rows = rows
        await self.direct.execute("TRUNCATE execution_count")
        await self.direct.execute(COUNT)
        await self.direct.execute("VACUUM ANALYZE")

    async def cursor(self, rank: int, flow: dict[str, Any] | None = None) -> str:
        """The cursor of the execution with this rank, as an earlier page would have given it."""
        scope, arguments = ("flow_id = $2", [flow["uuid"]]) if flow else ("true", [])
        row = await self.direct.fetchrow(
            f"SELECT started_at, id FROM execution WHERE {scope} ORDER BY started_at DESC, id DESC OFFSET $1 LIMIT 1",
            rank,
            *arguments,
        )
        assert row is not None
        document = of_all(LIST)
        window = {"startedAt": {"from": row["started_at"].isoformat()}}
        return (await ask(self.service, document, last=1, filter=window))["executions"]["edges"][0]["cursor"]  # type: ignore[no-any-return]

    async def documents(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """What to ask for: a document and its variables by name."""
        busy, faultless, idle = self.flows[0], self.flows[3], self.flows[9]
        third = self._rows // 3
        deep, deep_of_busy = await self.cursor(third), await self.cursor(third, busy)
        errors = {"filter": {"status": ["ERROR"]}}
        return {
            "all: first page": (of_all(LIST), {"first": 50}),
            "all: deep page": (of_all(LIST), {"first": 50, "after": deep}),
            "all: last page": (of_all(LIST), {"last": 50}),
            "all: errors": (of_all(LIST), {"first": 50, **errors}),
            "all: pending": (of_all(LIST), {"first": 50, "filter": {"status": ["PENDING"]}}),
            "all: pending, deep": (of_all(LIST), {"first": 50, "after": deep, "filter": {"status": ["PENDING"]}}),
            "all: totals, pending": (of_all("totalCount hasPendingExecutions"), {"first": 0}),
            "all: total of errors": (of_all("totalCount"), {"first": 0, **errors}),
            "all: page bar": (of_all(f"{LIST} {BAR}"), {"first": 50, "after": deep}),
            "all: by trace": (of_all(f"{LIST} totalCount"), {"filter": {"traceId": "c4ca4238a0b923820dcc509a6f75849b"}}),
            "all: one idle flow": (of_all(f"{LIST} totalCount"), {"filter": {"flowId": [idle["id"]]}}),
            "all: two flows": (of_all(f"{LIST} totalCount"), {"filter": {"flowId": [idle["id"], faultless["id"]]}}),
            "rare: kind, of all": (of_all(LIST), {"filter": {"errorKind": ["CANCELLED"]}}),
            "flow: first page": (of_flow(LIST), {"id": busy["id"], "first": 50}),
            "flow: deep page": (of_flow(LIST), {"id": busy["id"], "first": 50, "after": deep_of_busy}),
            "flow: back from deep": (of_flow(LIST), {"id": busy["id"], "last": 50, "before": deep_of_busy}),
            "flow: errors": (of_flow(LIST), {"id": busy["id"], "first": 50, **errors}),
            "flow: errors, deep": (of_flow(LIST), {"id": busy["id"], "first": 50, "after": deep_of_busy, **errors}),
            "flow: no errors": (of_flow(LIST), {"id": faultless["id"], "first": 50, **errors}),
            "rare: kind, of a flow": (of_flow(LIST), {"id": busy["id"], "filter": {"errorKind": ["CANCELLED"]}}),
            "flow: totals, pending": (of_flow("totalCount hasPendingExecutions"), {"id": busy["id"], "first": 0}),
            "flow: total of errors": (of_flow("totalCount"), {"id": busy["id"], "first": 0, **errors}),
            "flow: page bar": (of_flow(f"{LIST} {BAR}"), {"id": busy["id"], "first": 50, "after": deep_of_busy}),
            "flow: page bar of errors": (of_flow(f"{LIST} {BAR}"), {"id": busy["id"], "first": 50, **errors}),
            "flow: text": (of_flow(LIST), {"id": busy["id"], "first": 50, "filter": {"text": "oslo"}}),
        }

    async def measure(self) -> dict[str, tuple[float, set[str]]]:
        """The median milliseconds of each document, and which tables its statements read row by row."""
        taken = {}
        for name, (document, variables) in (await self.documents()).items():
            await ask(self.service, document, **variables)
            self._sent.clear()
            await ask(self.service, document, **variables)
            sent = list(self._sent)
            times = []
            for _ in range(9):
                began = time.perf_counter()
                await ask(self.service, document, **variables)
                times.append((time.perf_counter() - began) * 1000)
            scanned = set()
            for query, arguments in sent:
                scanned |= await self.scanned(query, arguments or ())
            taken[name] = (statistics.median(times), scanned)
        return taken

    async def scanned(self, query: str, arguments: Any) -> set[str]:
        """The tables of executions and counts that a statement, planned as the service's are, reads from one end to the other."""
        if "execution" not in query or "FROM execution_change WHERE" in query:
            return set()
        await self.direct.execute(f"PREPARE watched AS {query}")
        try:
            values = f"({', '.join(literal(value) for value in arguments)})" if arguments else ""
            rows = await self.direct.fetch(f"EXPLAIN EXECUTE watched{values}")
        finally:
            await self.direct.execute("DEALLOCATE watched")
        return {table for (line,) in rows for table in LARGE if f"Seq Scan on {table} " in line}


def literal(value: Any) -> str:
    """A value as PostgreSQL reads it in a statement."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "'{" + ",".join("NULL" if item is None else f'"{item}"' for item in value) + "}'"
    return f"'{value}'"


async def run(rows: int, seed: int) -> bool:
    sent: list[tuple[str, Any]] = []

    async def watch(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        connection.add_query_logger(lambda logged: sent.append((logged.query, logged.args)))

    asyncpg.create_pool = functools.partial(asyncpg.create_pool, init=watch)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with embedded.start(Path(folder)) as postgres:
            await migrate.upgrade(database_url.parse(postgres.dsn))
            direct = await asyncpg.connect(postgres.dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
            settings = Settings.load(database_url=postgres.dsn, data_dir=Path(folder) / "data", record_token=TOKEN)
            async with running_service(settings) as service:
                await direct.execute("SELECT setseed($1)", 1 / seed)
                scale = Scale(service, direct, sent)
                few, many = await at(scale, rows // 10), await at(scale, rows)
            await direct.close()
    return report(few, many, rows)


async def at(scale: Scale, rows: int) -> dict[str, tuple[float, set[str]]]:
    began = time.perf_counter()
    await scale.load(rows)
    print(f"{datetime.now(UTC):%H:%M:%S} {rows} executions, loaded in {time.perf_counter() - began:.0f} s")
    return await scale.measure()


def report(few: dict[str, tuple[float, set[str]]], many: dict[str, tuple[float, set[str]]], rows: int) -> bool:
    """Print the table; tell whether everything was flat."""
    steep = []
    print(f"{'median ms with':28} {rows // 10:>9} {rows:>9}  read row by row")
    for name, (after, scanned) in many.items():
        before = few[name][0]
        print(f"{name:28} {before:9.1f} {after:9.1f}  {', '.join(sorted(scanned))}")
        if after > 4 * before and after > before + 40 and not name.startswith("rare"):
            steep.append(name)
    print(f"{len(many)} documents, {len(steep)} not flat{': ' + ', '.join(steep) if steep else ''}")
    return not steep


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 0 if asyncio.run(run(options.rows, options.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
