"""The parts of fan_out.py: the server under test, the process of subscribers, and the database, each seen from outside."""

import asyncio
import gc
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx2
import uvicorn
from uuid_utils.compat import uuid7

from flowtrail import database_url, embedded, migrate

TOKEN = "record-token-of-the-benchmark"
FEED = """subscription($flowId: ID, $after: String) { executionChanges(flowId: $flowId, after: $after) { ... on ExecutionChange {
  cursor kind at executionId
  execution { id status startedAt endedAt durationMs initialParamsPreview nodeCount errorInfo { message } }
} } }"""
RECORD = "mutation($input: RecordEventsInput!) { recordEvents(input: $input) { receipts { outcome reason } } }"
REGISTER = "mutation($input: RegisterFlowsInput!) { registerFlows(input: $input) { flows { id } } }"


def serve(port: int, *, stock: bool) -> None:
    """Run the server under test: the service, or a stock GraphQLRouter over the same schema and feed."""
    from flowtrail.app import create_app, socket_options
    from flowtrail.observability import logs
    from flowtrail.settings import Settings

    settings = Settings.load(sweep_interval=3600.0, fold_interval=3600.0, statement_timeout=120.0, streams_per_client=1_000_000)
    logs.configure("warning", "text")
    options: dict[str, Any] = {**socket_options(settings), **({"ws": "auto"} if stock else {})}
    app = stock_app(settings) if stock else create_app(settings)
    gc.freeze()  # as `flowtrail serve` does
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
        return Context(here.database, here.tail, await here.access.viewer(f"Bearer {TOKEN}"), settings.request_timeout)

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
    """A server process."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.port = port
        self._process = process
        headers = {"authorization": f"Bearer {TOKEN}"}
        self._client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60)

    @classmethod
    @asynccontextmanager
    async def running(cls, dsn: str, *, stock: bool = False) -> AsyncIterator[Self]:
        """Start a server of its own process on a free port, and end it."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        environment = os.environ | {"DATABASE_URL": dsn, "FLOWTRAIL_RECORD_TOKEN": TOKEN}
        script = str(Path(__file__).with_name("fan_out.py"))
        command = [sys.executable, script, "--serve", "stock" if stock else "flowtrail", "--port", str(port)]
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
    """A process of subscribers: see subscribers.py for its commands."""

    def __init__(self, process: asyncio.subprocess.Process, server: Server, dsn: str) -> None:
        self._process = process
        self._server = server
        self._dsn = dsn

    @classmethod
    @asynccontextmanager
    async def connected(cls, dsn: str, server: Server, count: int, document: str = FEED) -> AsyncIterator[Self]:
        """So many subscribers of the flow; they end with the block."""
        payload = json.dumps({"query": document, "variables": {"flowId": await server.flow()}})
        script = str(Path(__file__).with_name("subscribers.py"))
        command = [sys.executable, script, str(server.port), str(count), payload]
        process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**30)
        crowd = cls(process, server, dsn)
        try:
            await crowd._line()
            await asyncio.sleep(2)  # they follow the feed by then; a change that one of them missed would show as a hang
            yield crowd
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the subscribers failed")
        return line

    async def command(self, text: str) -> Any:
        """Give the process a command and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n".encode())
        return json.loads(await self._line())

    async def latencies(self, changes: int, pause: float, filler: str = "") -> list[float]:
        """Record changes one by one, with pauses (seconds), and return the milliseconds from each commit to each arrival."""
        await self.command("time")
        for _ in range(changes):
            await self._server.record(1, filler)
            await asyncio.sleep(pause)
        since_written = (await self.command(f"expect {changes}"))["latencies"]
        lasted = await commits(self._dsn)
        return [latency - lasted[datetime.fromisoformat(at)] for at, each in since_written.items() for latency in each]


async def commits(dsn: str) -> dict[datetime, float]:
    """Return the milliseconds from the moment a change was written to its commit, by that moment."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT at, pg_xact_commit_timestamp(xid::xid) - at AS lasted FROM execution_change")
    await connection.close()
    return {row["at"]: row["lasted"] / timedelta(milliseconds=1) for row in rows}


@contextmanager
def database() -> Iterator[str]:
    """A migrated PostgreSQL of this run's own that notes the times of commits, as a libpq URL."""
    with tempfile.TemporaryDirectory() as folder:
        with embedded.start(Path(folder)) as postgres:
            asyncio.run(migrate.upgrade(database_url.parse(postgres.dsn)))
            asyncio.run(_note_commits(postgres.dsn))
        with embedded.start(Path(folder)) as postgres:
            yield postgres.dsn


async def _note_commits(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")  # holds from the next start on
    await connection.close()
