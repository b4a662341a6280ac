"""What live subscriptions cost: many subscribers of one flow, on this service and on stock Strawberry with the same schema.

    uv run benchmarks/fan_out.py                         1,000 subscribers, 100 changes
    uv run benchmarks/fan_out.py --subscribers 200 --changes 50 --only throughput

Server, subscribers and recorder are processes of their own, on an embedded PostgreSQL that is made for the run. On a machine that
is shared or has few cores compare the messages for each second of the server's own CPU. Linux only (/proc).
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx2
import uvicorn
from uuid_utils.compat import uuid7

from flowtrail import database_url, embedded, migrate

TOKEN = "record-token-of-the-benchmark"
FEED = """subscription($flowId: ID, $after: String) { executionChanges(flowId: $flowId, after: $after) { ... on ExecutionChange {
  cursor kind at executionId execution { id status startedAt endedAt durationMs initialParamsPreview nodeCount errorInfo { message
  } }
} } }"""
HEAVY_FEED = """subscription($flowId: ID, $after: String) { executionChanges(flowId: $flowId, after: $after) {
  ... on ExecutionChange { cursor at execution { initialParams } } } }"""
RECORD = "mutation($input: RecordEventsInput!) { recordEvents(input: $input) { receipts { outcome reason } } }"
REGISTER = "mutation($input: RegisterFlowsInput!) { registerFlows(input: $input) { flows { id } } }"
CALM_SECONDS = 0.2
"""Between two changes, where latency is measured."""


def serve(port: int, *, stock: bool) -> None:
    """Run the server under test: the service, or a stock GraphQLRouter over the same schema and feed."""
    from flowtrail.app import SOCKETS, create_app
    from flowtrail.settings import Settings

    settings = Settings.load(sweep_interval=3600.0, fold_interval=3600.0, statement_timeout=120.0)
    app, options = (stock_app(settings), SOCKETS | {"ws": "auto"}) if stock else (create_app(settings), SOCKETS)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", **options)


def stock_app(settings: Any) -> Any:
    """Return the application that Strawberry's documentation leads to."""
    from fastapi import FastAPI
    from strawberry.fastapi import GraphQLRouter
    from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

    from flowtrail import service
    from flowtrail.graphql.context import Context
    from flowtrail.graphql.schema import schema

    running: list[service.Service] = []

    async def context() -> Context:
        (here,) = running
        return Context.of(here.database, here.tail, await here.access.viewer(f"Bearer {TOKEN}"))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.run(settings) as here:
            running.append(here)
            yield

    app = FastAPI(lifespan=lifespan)
    router = GraphQLRouter(schema, context_getter=context, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
    app.include_router(router, prefix="/graphql")
    return app


class Server:
    """A server process, seen from outside."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.port = port
        self._process = process
        self._client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": f"Bearer {TOKEN}"}, timeout=60
        )

    @classmethod
    @asynccontextmanager
    async def running(cls, dsn: str, *, stock: bool = False) -> AsyncIterator[Self]:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        environment = os.environ | {"DATABASE_URL": dsn, "FLOWTRAIL_RECORD_TOKEN": TOKEN}
        command = [sys.executable, __file__, "--serve", "stock" if stock else "flowtrail", "--port", str(port)]
        process = subprocess.Popen(command, env=environment)
        server = cls(process, port)
        try:
            while not await server._answers():
                await asyncio.sleep(0.05)
            yield server
        finally:
            await server._client.aclose()
            process.kill()
            process.wait()

    async def _answers(self) -> bool:
        try:
            await self.execute("{ __typename }", {})
        except httpx2.TransportError:
            return False
        return True

    async def execute(self, document: str, variables: Any) -> Any:
        response = await self._client.post("/graphql", json={"query": document, "variables": variables})
        answer = response.json()
        if "errors" in answer:
            raise RuntimeError(answer["errors"])
        return answer["data"]

    async def flow(self) -> str:
        """Register the flow and return its id."""
        data = await self.execute(REGISTER, {"input": {"server": "benchmark", "flows": [{"toolName": "tool"}]}})
        id_: str = data["registerFlows"]["flows"][0]["id"]
        return id_

    async def record(self, changes: int, filler: str = "") -> None:
        """Record so many starts of the flow in one transaction."""
        now = datetime.now(UTC).isoformat()
        started = {"server": "benchmark", "toolName": "tool", "startedAt": now, "initialParams": {"filler": filler}}
        events = [{"started": {**started, "executionId": str(uuid7())}} for _ in range(changes)]
        data = await self.execute(RECORD, {"input": {"sentAt": now, "events": events}})
        if any(receipt["outcome"] != "ACCEPTED" for receipt in data["recordEvents"]["receipts"]):
            raise RuntimeError(data)

    def cpu(self) -> float:
        """Return the CPU seconds used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> float:
        """Return the MiB of memory in use."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


class Subscribers:
    """A process of subscribers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def connected(cls, server: Server, count: int, flow_id: str, document: str = FEED) -> AsyncIterator[Self]:
        payload = json.dumps({"query": document, "variables": {"flowId": flow_id}})
        script = str(Path(__file__).with_name("subscribers.py"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, str(server.port), str(count), payload, stdin=-1, stdout=-1, limit=2**30
        )
        try:
            crowd = cls(process)
            await crowd._line()
            await asyncio.sleep(1)  # they follow the feed by then; a change that some of them miss would show as a hang
            yield crowd
        finally:
            process.kill()
            await process.wait()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the subscribers failed")
        return line

    async def command(self, text: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        return json.loads(await self._line())

    async def latencies(self, server: Server, changes: int, filler: str = "") -> list[float]:
        """Record changes one by one, with pauses, and return the latencies (ms) of all messages."""
        await self.command("time")
        for _ in range(changes):
            await server.record(1, filler)
            await asyncio.sleep(CALM_SECONDS)
        answer = await self.command(f"expect {changes}")
        return list(answer["latencies"])


async def throughput(dsn: str, count: int, changes: int) -> None:
    """Compare both servers; the changes come in one transaction, which spares the stock server reading them one by one."""
    rates = []
    for stock in (True, False):
        async with Server.running(dsn, stock=stock) as server:
            flow_id = await server.flow()
            before = server.memory()
            async with Subscribers.connected(server, count, flow_id) as crowd:
                await server.record(1)
                await crowd.command("expect 1")
                each = (server.memory() - before) * 1024 / count
                cpu, start = server.cpu(), time.time()
                await server.record(changes)
                seconds = (await crowd.command(f"expect {changes}"))["at"] - start
                cpu = server.cpu() - cpu
        messages = count * changes
        rates.append((messages / seconds, messages / cpu))
        show(
            f"{'stock' if stock else 'flowtrail':9} {messages} messages in {seconds:6.2f} s: {messages / seconds:7.0f}/s, "
            f"{messages / cpu:7.0f} for each second of its CPU; {each:.0f} KiB of memory for each subscriber"
        )
    (stock_rate, stock_cpu), (rate, cpu) = rates
    show(
        f"          {rate / stock_rate:.1f} times as many messages a second, {cpu / stock_cpu:.1f} times as many for each second of CPU"
    )


async def latency(dsn: str, count: int) -> None:
    """Measure from a change's recording to its arrival at every subscriber, at a calm rate."""
    async with Server.running(dsn) as server, contextmanager_subscribers(server, count) as crowd:
        await crowd.latencies(server, 5)
        show(
            f"latency   {quantiles(await crowd.latencies(server, 50))}, one change every {CALM_SECONDS * 1000:.0f} ms, {count} subscribers"
        )


@asynccontextmanager
async def contextmanager_subscribers(server: Server, count: int) -> AsyncIterator[Subscribers]:
    async with Subscribers.connected(server, count, await server.flow()) as crowd:
        yield crowd


async def stalled(dsn: str) -> None:
    """Show what a subscriber that never reads does to the others and to the server's memory."""
    filler = "x" * 20_000
    async with Server.running(dsn) as server, contextmanager_subscribers(server, 20) as others:
        flow_id = await server.flow()
        async with Subscribers.connected(server, 1, flow_id, HEAVY_FEED) as reading:
            await others.latencies(server, 5, filler)
            alone = await others.latencies(server, 50, filler)
            await reading.command("expect 55")
        before = peak = server.memory()
        async with Subscribers.connected(server, 1, flow_id, HEAVY_FEED) as never_reading:
            await never_reading.command("stall")
            together: list[float] = []
            for _ in range(50):
                await server.record(50, filler)
                await asyncio.sleep(CALM_SECONDS)
                await others.command("expect 50")
                together += await others.latencies(server, 1, filler)
                peak = max(peak, server.memory())
            closed = await never_reading.command("closed")
        show(f"others    {quantiles(alone)}; {quantiles(together)} beside a subscriber that never reads")
        show(f"          it was closed with {closed['codes'][0]} after {closed['received'][0]} of 2550 changes of 20 kB each")
        show(f"          memory {before:.0f} MiB before, {peak:.0f} MiB at most, {server.memory():.0f} MiB after")


async def idle(dsn: str, count: int) -> None:
    """Count the transactions of the database while nothing happens: nobody subscribed, and somebody."""
    seconds = 15
    async with Server.running(dsn) as server:
        nobody = await transactions(dsn, seconds)
        async with contextmanager_subscribers(server, count):
            somebody = await transactions(dsn, seconds)
    show(f"idle      {nobody / seconds:.1f} statements a second without subscribers, {somebody / seconds:.1f} with {count}")


async def transactions(dsn: str, seconds: float) -> int:
    """Return how many transactions ended within so many seconds, other than those of the counting."""
    counts = []
    for _ in range(2):
        await asyncio.sleep(seconds if counts else 2)  # backends report what they did after a second
        connection = await asyncpg.connect(dsn)
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        counts.append(await connection.fetchval(query))
        await connection.close()
    return counts[1] - counts[0]


def quantiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"


def show(line: str) -> None:
    print(line, flush=True)


@contextmanager
def database() -> Iterator[str]:
    """A migrated PostgreSQL of this run's own, as a libpq URL."""
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder)) as postgres:
        asyncio.run(migrate.upgrade(database_url.parse(postgres.dsn)))
        yield postgres.dsn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--only", choices=["throughput", "latency", "stalled", "idle"])
    parser.add_argument("--serve", choices=["flowtrail", "stock"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.port, stock=options.serve == "stock")
        return
    with database() as dsn:
        work = {
            "throughput": lambda: throughput(dsn, options.subscribers, options.changes),
            "latency": lambda: latency(dsn, options.subscribers),
            "stalled": lambda: stalled(dsn),
            "idle": lambda: idle(dsn, options.subscribers),
        }
        for name, measure in work.items():
            if options.only in (None, name):
                asyncio.run(measure())


if __name__ == "__main__":
    main()
