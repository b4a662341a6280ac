"""Clients that others wrote, through a restart of the service: each resumes after the last change it saw, and has seen every one
once (spec 3.3)."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from gql import Client, GraphQLRequest
from gql.client import ReconnectingAsyncClientSession
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport
from tenacity import retry, wait_fixed

import npm
from live import change_cursor
from recorder import accept, finished, id_of, started
from support import Service

HERE = Path(__file__).parent
FLOWTRAIL = str(Path(sys.executable).with_name("flowtrail"))
SCRIPTS = ("graphql-ws", "graphql-sse", "urql")
ENDS = {signal.SIGKILL: "killed", signal.SIGTERM: "stopped"}
PATIENCE = 60.0
"""Seconds after which a wait has failed; what is waited for takes a moment."""

Change = tuple[str, str]


@pytest.fixture(scope="session")
def scripts() -> Path:
    """The folder with the clients for Node and what they need, installed once for the whole run."""
    return npm.installed(HERE)


class Subject:
    """A service in a process of its own, which can be ended and started again at the same address."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self._port = _free_port()
        self._environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "FLOWTRAIL_DATA_DIR": str(folder / "subject"),
            "FLOWTRAIL_RECORD_TOKEN": "record-token-of-the-subject",
        }
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/graphql"

    def start(self) -> None:
        command = [FLOWTRAIL, "serve", "--port", str(self._port)]
        self._process = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("GraphQL"), "it did not start; its message is above"

    def end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.communicate(timeout=PATIENCE)
            self._process = None


def _free_port() -> int:
    """A port that no outgoing connection is given while the service is down."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(15000, 30000))) as probe:
            port: int = probe.getsockname()[1]
            return port


@pytest.fixture
def subject(database_url: str, tmp_path: Path) -> Iterator[Subject]:
    running = Subject(database_url, tmp_path)
    running.start()
    yield running
    running.end(signal.SIGKILL)


class Seen:
    """What a client has printed, line by line."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.notes: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    def take(self, line: dict[str, Any]) -> None:
        assert "reason" not in line, "the client was told to read everything anew"
        if "cursor" in line:
            self.changes.append((line["executionId"], line["kind"]))
        else:
            self.notes.append(line)
        self._news.set()

    async def until(self, is_enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not is_enough():
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def node_client(script: Path, url: str, cursor: str) -> AsyncIterator[Seen]:
    """Run one of the scripts."""
    process = await asyncio.create_subprocess_exec("node", str(script), url, cursor, stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines, seen = process.stdout, Seen()

    async def read() -> None:
        async for line in lines:
            seen.take(json.loads(line))
        raise AssertionError("the client has ended; its message is above")

    reading = asyncio.create_task(read())
    try:
        yield seen
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


@asynccontextmanager
async def gql_client(url: str, cursor: str) -> AsyncIterator[Seen]:
    """gql: its session reconnects, and whoever subscribes does so again, after the last cursor."""
    query = (HERE / "changes.mjs").read_text().split("`")[1]
    transport = WebsocketsTransport(url.replace("http", "ws", 1), subprotocols=[WebsocketsTransport.GRAPHQLWS_SUBPROTOCOL])
    client = Client(transport=transport)
    seen = Seen()

    async def follow(session: ReconnectingAsyncClientSession, after: str) -> None:
        while True:
            try:
                async for data in session.subscribe(GraphQLRequest(query, variable_values={"after": after})):
                    seen.take(data["executionChanges"])
                    after = data["executionChanges"]["cursor"]
            except TransportError as error:
                seen.take({"closed": getattr(getattr(error.__cause__, "rcvd", None), "code", None)})
                await asyncio.sleep(0.1)

    session = await client.connect_async(reconnecting=True, retry_connect=retry(wait=wait_fixed(0.1)))
    following = asyncio.create_task(follow(session, cursor))
    try:
        yield seen
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await client.close_async()


async def record(service: Service, count: int) -> list[Change]:
    """Record executions and return what a subscriber must see of them, in order."""
    expected = []
    for _ in range(count):
        start = started()
        await accept(service, start)
        await accept(service, finished(id_of(start)))
        expected += [(id_of(start), "STARTED"), (id_of(start), "FINISHED")]
    return expected


async def survives(subject: Subject, service: Service, seen: Seen, end: signal.Signals) -> None:
    """Let the client's service end and come back, while another process of the service goes on recording."""
    expected = await record(service, 3)
    await seen.until(lambda: len(seen.changes) >= len(expected))
    subject.end(end)
    expected += await record(service, 3)
    subject.start()
    expected += await record(service, 3)
    await seen.until(lambda: len(seen.changes) >= len(expected))
    expected += await record(service, 1)
    await seen.until(lambda: len(seen.changes) >= len(expected))
    assert seen.changes == expected


@pytest.mark.parametrize("end", ENDS, ids=ENDS.get)
@pytest.mark.parametrize("name", SCRIPTS)
async def test_a_client_for_node_misses_nothing(
    name: str, end: signal.Signals, scripts: Path, subject: Subject, service: Service
) -> None:
    await record(service, 1)
    async with node_client(scripts / f"{name}.mjs", subject.url, await change_cursor(service)) as seen:
        if name == "urql":
            await seen.until(lambda: bool(seen.notes))
        await survives(subject, service, seen, end)
        if name == "graphql-ws":
            assert {"closed": 1012 if end is signal.SIGTERM else 1006} in seen.notes
        else:
            assert {"retrying": True} in seen.notes or {"ended": True} in seen.notes


@pytest.mark.parametrize("end", ENDS, ids=ENDS.get)
async def test_gql_misses_nothing(end: signal.Signals, subject: Subject, service: Service) -> None:
    await record(service, 1)
    async with gql_client(subject.url, await change_cursor(service)) as seen:
        await survives(subject, service, seen, end)
        assert {"closed": 1012 if end is signal.SIGTERM else None} in seen.notes
