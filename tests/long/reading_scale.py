"""Reads flows of 10,000, 100,000 and a million executions, and one with a million in an hour: all must cost alike.

    uv run python tests/long/reading_scale.py --executions 1000000 --seed 1

Asks for the same documents of each flow, in turn, through the service; and for lists across all flows, before and after the large
ones came. Prints median milliseconds, how they compare with the smallest flow, and the tables that a statement reads from end to
end. What looks at a bounded number of executions or counts ("bounded") costs more until there are so many: it is compared with the
second flow, which has them with a million --executions. Exits with 1 when something costs over twice as much, and over 10 ms more.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[1]))

from flowtrail import database_url, embedded, migrate
from flowtrail.settings import Settings
from recorder import ask
from scale import count_all, grow
from support import Service, running_service

LARGE = ("execution", "execution_count", "execution_duration_count", "execution_error_count", "execution_parameter")
TOKEN = "token-of-the-long-run"
ROUNDS = 11
LIST = """edges { cursor node { id status startedAt endedAt durationMs initialParamsPreview errorInfo { nodeName } } }
          pageInfo { hasNextPage hasPreviousPage endCursor }"""
BAR = "pageCursors { around { page cursor } last { page cursor } next { page } previous { page } }"
PARAMETERS = "$first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter"
ARGUMENTS = "first: $first, after: $after, last: $last, before: $before, filter: $filter"
LAST_WEEK = {"range": {"from": "2026-10-24T11:22:33.4Z", "to": "2026-10-31T22:11:33.4Z"}}
Asked = tuple[str, dict[str, Any]]


def of_all(selection: str) -> str:
    return f"query ({PARAMETERS}) {{ executions({ARGUMENTS}) {{ {selection} }} }}"


def of_flow(selection: str) -> str:
    return f"query ($id: ID!, {PARAMETERS}) {{ node(id: $id) {{ ... on Flow {{ executions({ARGUMENTS}) {{ {selection} }} }} }} }}"


def of_statistics(selection: str) -> str:
    statistics_of_range = f"statistics(timeRange: $range) {{ {selection} }}"
    return f"query ($id: ID!, $range: TimeRange) {{ node(id: $id) {{ ... on Flow {{ {statistics_of_range} }} }} }}"


def param(path: str, value: Any) -> dict[str, Any]:
    return {"param": [{"path": path, "value": value}]}


@dataclass
class Measured:
    """What a document took of each flow, in ms, and which tables its statements read from one end to the other."""

    medians: list[float] = field(default_factory=list)
    scanned: set[str] = field(default_factory=set)


class Scale:
    """A service, with a connection beside it that plans statements as the service's do."""

    def __init__(self, service: Service, direct: asyncpg.Connection[asyncpg.Record], sent: list[tuple[str, Any]]) -> None:
        self.service = service
        self.direct = direct
        self._sent = sent

    async def cursor(self, rank: int, flow: dict[str, Any] | None, condition: str = "true") -> str:
        """The cursor of the execution with this rank, as an earlier page would have given it."""
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

    async def of_flow(self, flow: dict[str, Any], executions: int) -> dict[str, Asked]:
        """What to ask of a flow, by name."""
        deep = await self.cursor(executions * 3 // 10, flow)
        everything = "total errorRate byStatus { count } p50DurationMs p95DurationMs p99DurationMs"
        errors, oslo = {"filter": {"status": ["ERROR"]}}, {"filter": param("/city", "Oslo")}
        asked: dict[str, Asked] = {
            "first page": (of_flow(LIST), {}),
            "deep page": (of_flow(LIST), {"after": deep}),
            "deep page, backward": (of_flow(LIST), {"first": None, "last": 50, "before": deep}),
            "errors": (of_flow(LIST), errors),
            "errors, deep": (of_flow(LIST), {"after": deep, **errors}),
            "pending": (of_flow(LIST), {"filter": {"status": ["PENDING"]}}),
            "kind, none": (of_flow(LIST), {"filter": {"errorKind": ["CANCELLED"]}}),
            "kinds, deep": (of_flow(LIST), {"after": deep, "filter": {"errorKind": ["CANCELLED", "EXCEPTION", "TIMED_OUT"]}}),
            "parameter": (of_flow(LIST), oslo),
            "parameter, deep": (of_flow(LIST), {"after": deep, **oslo}),
            "parameter, none": (of_flow(f"{LIST} totalCount {BAR}"), {"filter": param("/order", "no such order")}),
            "parameter of errors": (of_flow(LIST), {"filter": {**oslo["filter"], **errors["filter"]}}),
            "bounded: parameter, total": (of_flow("totalCount"), {"first": 0, **oslo}),
            "bounded: parameter, page bar": (of_flow(BAR), oslo),
            "bounded: parameter, other client": (of_flow(LIST), {"filter": {**oslo["filter"], "clientName": "nobody"}}),
            "text": (of_flow(LIST), {"filter": {"text": "oslo"}}),
            "bounded: text, none": (of_flow(LIST), {"filter": {"text": "nowhere"}}),
            "bounded: text, total": (of_flow("totalCount"), {"first": 0, "filter": {"text": "oslo"}}),
            "total, pending": (of_flow("totalCount hasPendingExecutions"), {"first": 0}),
            "total of errors": (of_flow("totalCount"), {"first": 0, **errors}),
            "page bar": (of_flow(BAR), {}),
            "page bar, deep": (of_flow(BAR), {"after": deep}),
            "page bar of errors": (
                of_flow(BAR),
                {"after": await self.cursor(executions * 3 // 200, flow, "status = 'ERROR'"), **errors},
            ),
            "statistics": (of_statistics(everything), {}),
            "statistics, histogram": (of_statistics("histogram { from byStatus { count } }"), {}),
            "statistics, top errors": (of_statistics("topErrors { message count sample { uuid } }"), {}),
            "bounded: last week": (of_statistics(everything), LAST_WEEK),
            "bounded: histogram of last week": (of_statistics("histogram { from byStatus { count } }"), LAST_WEEK),
            "bounded: errors of last week": (of_statistics("topErrors { message count sample { uuid } }"), LAST_WEEK),
        }
        return {name: (document, {"id": flow["id"], "first": 50, **variables}) for name, (document, variables) in asked.items()}

    async def of_all(self) -> dict[str, Asked]:
        """What to ask across all flows, by name."""
        total = await self.direct.fetchval("SELECT count(*) FROM execution")
        deep = await self.cursor(total * 3 // 10, None)
        return {
            "first page": (of_all(LIST), {"first": 50}),
            "deep page": (of_all(LIST), {"first": 50, "after": deep}),
            "last page": (of_all(LIST), {"last": 50}),
            "errors": (of_all(LIST), {"first": 50, "filter": {"status": ["ERROR"]}}),
            "pending, deep": (of_all(LIST), {"first": 50, "after": deep, "filter": {"status": ["PENDING"]}}),
            "kind, none": (of_all(LIST), {"filter": {"errorKind": ["CANCELLED"]}}),
            "parameter": (of_all(LIST), {"first": 50, "filter": param("/city", "Oslo")}),
            "parameter, none": (of_all(LIST), {"first": 50, "filter": param("/order", "no such order")}),
            "trace": (of_all(f"{LIST} totalCount"), {"filter": {"traceId": "c4ca4238a0b923820dcc509a6f75849b"}}),
            "text": (of_all(LIST), {"first": 50, "filter": {"text": "oslo"}}),
            "total, pending": (of_all("totalCount hasPendingExecutions"), {"first": 0}),
            "page bar, deep": (of_all(BAR), {"first": 50, "after": deep}),
        }

    async def measure(self, asked: list[dict[str, Asked]]) -> dict[str, Measured]:
        """Ask several for each of their documents, in turn, so that a busy machine is busy for all of them."""
        measured = {}
        for name in asked[0]:
            times: list[list[float]] = [[] for _ in asked]
            measured[name] = Measured()
            for one in asked:
                measured[name].scanned |= await self.scanned(one[name])
            for _ in range(ROUNDS):
                for taken, one in zip(times, asked, strict=True):
                    taken.append(await self.timed(one[name]))
            measured[name].medians = [statistics.median(taken) for taken in times]
        return measured

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


def literal(value: Any) -> str:
    """A value as PostgreSQL reads it in a statement."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return "'{" + ",".join("NULL" if item is None else f'"{item}"' for item in value) + "}'"
    return f"'{value}'"


async def run(executions: int, seed: int) -> bool:
    sent: list[tuple[str, Any]] = []

    async def watch(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        connection.add_query_logger(lambda logged: sent.append((logged.query, logged.args)))

    create_pool = asyncpg.create_pool
    asyncpg.create_pool = lambda *args, **options: create_pool(*args, **(options | {"init": watch}))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with embedded.start(Path(folder)) as postgres:
            await migrate.upgrade(database_url.parse(postgres.dsn))
            direct = await asyncpg.connect(postgres.dsn, server_settings={"plan_cache_mode": "force_generic_plan"})
            settings = Settings.load(database_url=postgres.dsn, data_dir=Path(folder) / "data", record_token=TOKEN)
            async with running_service(settings) as service:
                await direct.execute("SELECT setseed($1)", 1 / seed)
                good = await compare(Scale(service, direct, sent), executions)
            await direct.close()
    return good


async def compare(scale: Scale, executions: int) -> bool:
    """Load flow after flow and print what reading costs; tell whether everything was flat."""
    sizes = {"a 100th": executions // 100, "a 10th": executions // 10, "all": executions, "in an hour": executions}
    asked, before = [], {}
    for name, size in sizes.items():
        began = time.perf_counter()
        spacing = timedelta(hours=1) / size if name == "in an hour" else timedelta(seconds=3)
        flow = await grow(scale.service, scale.direct, name.replace(" ", "-"), size, spacing)
        asked.append((flow, size))
        print(f"{datetime.now(UTC):%H:%M:%S} {size} executions, loaded in {time.perf_counter() - began:.0f} s", flush=True)
        if name == "a 10th":
            await count_all(scale.service, scale.direct)
            before = await scale.measure([await scale.of_all()])
    began = time.perf_counter()
    await count_all(scale.service, scale.direct)
    print(f"{datetime.now(UTC):%H:%M:%S} counted in {time.perf_counter() - began:.0f} s", flush=True)
    after = await scale.measure([await scale.of_all()])
    for name, measured in after.items():
        measured.medians.insert(0, before[name].medians[0])
    columns = [f"{size} {name}" if name == "in an hour" else str(size) for name, size in sizes.items()]
    steep = report("of a flow", columns, await scale.measure([await scale.of_flow(flow, size) for flow, size in asked]))
    steep += report("across flows", [str(sizes["a 100th"] + sizes["a 10th"]), str(sum(sizes.values()))], after)
    print(f"{len(steep)} not flat{': ' + ', '.join(steep) if steep else ''}")
    return not steep


def report(title: str, columns: list[str], measured: dict[str, Measured]) -> list[str]:
    """Print a table of medians, with their ratio to the first; return what was not flat."""
    steep = []
    print(f"\n{title + ', ms':36}" + "".join(f"{column:>20}" for column in columns) + "  read from end to end")
    for name, one in measured.items():
        base = one.medians[1 if name.startswith("bounded") else 0]
        cells = "".join(f"{median:>12.1f} {median / base:>6.2f}x" for median in one.medians)
        print(f"{name:36}{cells}  {', '.join(sorted(one.scanned))}", flush=True)
        steep += [f"{title}: {name}"] * any(median > 2 * base and median > base + 10 for median in one.medians)
    return steep


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 0 if asyncio.run(run(options.executions, options.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
