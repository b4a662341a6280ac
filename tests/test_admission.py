"""Connections on which nothing was asked: how many an address may hold, and what happens at the process's limit (spec 2.10)."""

import asyncio
import json
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

import live
from flowtrail.addresses import is_in, network_of, networks
from metrics import metric
from processes import Process, serving
from raw import wire

QUERY = {"query": "{ executions { totalCount } }"}
PROTOCOL = Subprotocol("graphql-transport-ws")
linux = pytest.mark.skipif(sys.platform != "linux", reason="it looks at the process in /proc")
BEGINNINGS = (b"", b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nx-")


class Crowd:
    """Connections from one address that never send a whole request."""

    def __init__(self, port: int, address: str = "127.0.0.1") -> None:
        self._port = port
        self._address = address
        self._open: set[asyncio.StreamWriter] = set()
        self._watching: list[asyncio.Task[None]] = []
        self.ended = 0

    async def grow(self, count: int) -> None:
        for number in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._address, 0))
            writer.write(BEGINNINGS[number % len(BEGINNINGS)])
            self._open.add(writer)
            self._watching.append(asyncio.create_task(self._watch(reader)))

    async def until_ended(self, count: int) -> None:
        """Wait until the service has ended so many of them."""
        async with asyncio.timeout(60):
            while self.ended < count:
                await asyncio.sleep(0.01)

    def leave(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        with suppress(ConnectionError):
            await reader.read()
        self.ended += 1


@asynccontextmanager
async def crowd(port: int, address: str = "127.0.0.1") -> AsyncIterator[Crowd]:
    """An empty crowd, which has gone at the end of the block."""
    gathered = Crowd(port, address)
    try:
        yield gathered
    finally:
        gathered.leave()
        await asyncio.gather(*gathered._watching)


def another_address() -> str:
    """Another address of this machine's loopback than the usual one."""
    address = "127.0.0.2"
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            pytest.skip(f"the loopback has no address {address} here")
    return address


def client_from(address: str, url: str) -> httpx2.AsyncClient:
    """A client with a connection of its own for each request."""
    transport = httpx2.AsyncHTTPTransport(local_address=address)
    return httpx2.AsyncClient(transport=transport, base_url=url, headers={"connection": "close"}, timeout=60)


async def turned_away(client: httpx2.AsyncClient, limit: str) -> float:
    return await metric(client, "flowtrail_connections_turned_away_total", limit=limit)


async def assert_answered(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/graphql", json=QUERY)
    assert answer.json() == {"data": {"executions": {"totalCount": 0}}}


def lines_about(process: Process, event: str) -> list[str]:
    return [line for line in process.lines if event in line]


async def test_a_thousand_connections_that_ask_for_nothing(database_url: str, tmp_path: Path) -> None:
    elsewhere = another_address()
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(database_url, tmp_path / "data"))
        other = await stack.enter_async_context(client_from(elsewhere, process.url))
        same = await stack.enter_async_context(client_from("127.0.0.1", process.url))
        silent = await stack.enter_async_context(crowd(process.port))
        await silent.grow(1000)
        await assert_answered(other)
        await silent.until_ended(500)
        assert await turned_away(other, "client") == 500
        await assert_answered(same)
        assert await turned_away(other, "client") == 501
        assert len(lines_about(process, "connections turned away")) == 1


async def test_who_is_at_work_does_not_give_way(start_service: Any) -> None:
    service = await start_service(connections_per_client=3)
    await service.client.aclose()
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(client_from(another_address(), service.url))
        before = await turned_away(other, "client")
        sockets = [await stack.enter_async_context(live.socket(service)) for _ in range(3)]
        async with wire(service) as connection:
            assert await connection.rest() == b""
        assert await turned_away(other, "client") == before + 1
        for client in sockets:
            await client.send({"type": "ping"})
            assert (await client.receive())["type"] == "pong"
        await sockets[0].connection.close()
        async with client_from("127.0.0.1", service.url) as again:
            await until_answered(again)


async def until_answered(client: httpx2.AsyncClient) -> None:
    """Wait until the service lets the client in."""
    async with asyncio.timeout(60):
        while True:
            try:
                await assert_answered(client)
            except httpx2.TransportError:
                await asyncio.sleep(0.01)
            else:
                return


async def test_a_trusted_proxy_is_not_one_client(start_service: Any) -> None:
    service = await start_service(connections_per_client=4, trusted_proxies=("127.0.0.0/31",), allowed_hosts=("127.0.0.1",))
    async with client_from(another_address(), service.url) as other:
        before, open_before = await turned_away(other, "client"), await metric(other, "flowtrail_connections")
        async with crowd(int(service.url.rsplit(":", 1)[1])) as proxy:
            await proxy.grow(20)
            async with asyncio.timeout(60):
                while await metric(other, "flowtrail_connections") < open_before + 20:
                    await asyncio.sleep(0.01)
            assert await turned_away(other, "client") == before
            assert proxy.ended == 0


@linux
async def test_connections_leave_the_process_the_files_that_it_needs(database_url: str, tmp_path: Path) -> None:
    elsewhere = another_address()
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(database_url, tmp_path / "data", ulimit="-n 160"))
        other = await stack.enter_async_context(client_from(elsewhere, process.url))
        silent = await stack.enter_async_context(crowd(process.port))
        for _ in range(5):
            await silent.grow(80)
            await assert_answered(other)
        assert open_files(process.process.pid) < 160
        assert await turned_away(other, "process") > 0
        assert len(lines_about(process, "connections turned away")) == 1


@linux
async def test_the_limit_on_open_files_is_raised_as_far_as_it_may_be(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path / "data", ulimit="-S -n 256") as process:
        soft, hard = resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard > 256


@linux
async def test_without_a_file_to_be_had_the_process_neither_spins_nor_gives_up(database_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(serving(database_url, tmp_path / "data"))
        pid = process.process.pid
        kept = await stack.enter_async_context(connect(f"ws://127.0.0.1:{process.port}/graphql", subprotocols=[PROTOCOL]))
        await kept.send('{"type": "connection_init"}')
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        async with crowd(process.port) as silent:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 10, limits[1]))
            await silent.grow(100)
            await silent.until_ended(80)
            used = processor_seconds(pid)
            await asyncio.sleep(1)
            assert processor_seconds(pid) - used < 0.5
            await kept.send('{"type": "ping"}')
            assert [json.loads(await kept.recv())["type"] for _ in range(2)] == ["connection_ack", "pong"]
        async with client_from("127.0.0.1", process.url) as client:
            await until_answered(client)
        assert len(process.lines) < 20


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("not an address", "not an address"),
    ],
)
def test_what_counts_as_one_client(address: str, client: str) -> None:
    assert network_of(address) == client
    trusted = networks(("192.0.2.0/24", "2001:db8:1::/48"))
    assert is_in(address, trusted) == (address != "not an address")
    assert not is_in(address, networks(("198.51.100.0/24", "2001:db8:2::/48")))
