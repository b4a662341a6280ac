"""What bad neighbours cost a good one: `python benchmarks/neighbours.py [--rounds 3] [NEIGHBOUR…]`.

One client asks two hundred cheap queries a second, each on its time whatever came of those before. Beside it, in turn, are nobody
and each of the neighbours below. Service, client and neighbour are processes of their own, so that what a neighbour does with its
own processor time is not in the client's latencies; since they share a machine nevertheless, the neighbour gives way to the
others (by 10 degrees of niceness). It has an address of its own. Each round measures the client alone first. Printed for each
neighbour, as medians over the rounds: the client's latencies in milliseconds, and its p99 by that of the same round without
neighbours.

On a machine that is busy with other things as well the latencies tell of those. So the processor time that the service itself took
from when a query was sent until it was answered is printed beside: what the query cost, and what others' requests did before it
had its turn. Linux only (/proc).
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import websockets
from graphql import get_introspection_query
from uuid_utils.compat import uuid7
from websockets.asyncio.client import ClientConnection

from costly_documents import CHEAP, DOCUMENTS, RECORD, large, seed
from flowtrail.bench import client, servers
from flowtrail.bench.servers import TOKEN
from live_server import database

RATE = 200
"""Cheap queries a second."""
SECONDS = 5.0
SOCKETS = 1000
SLOW = 100
GUESSING = 10
MANY = 30
ELSEWHERE = "127.0.0.2"
"""The neighbours' address."""
GUESSED_FROM = "127.0.0.3"
"""That of who guesses tokens, from which others may not ask anything any more."""
MIB = 1024 * 1024

Neighbour = Callable[[int], Awaitable[None]]


async def good_client(port: int, pid: int) -> dict[str, Any]:
    """Return the milliseconds from when each query should have been sent to its answer, by the clock and by the processor time
    of the service, whose process is `pid`; and how many went wrong.
    """
    request = client.post("/graphql", json.dumps({"query": CHEAP}).encode(), TOKEN)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    took: list[float] = []
    held: list[float] = []
    failed = 0

    async def connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while idle:
            reader, writer = idle.pop()
            if not reader.at_eof():  # the service closes what was idle for long
                return reader, writer
        return await asyncio.open_connection("127.0.0.1", port)

    async def ask(due: float) -> None:
        nonlocal failed
        reader, writer = await connection()
        before = _processor_ms(pid)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        took.append((time.perf_counter() - due) * 1000)
        held.append(_processor_ms(pid) - before)
        failed += not head.startswith(b"HTTP/1.1 200") or b'"errors"' in body
        idle.append((reader, writer))

    async with asyncio.TaskGroup() as tasks:
        began = time.perf_counter()
        for number in range(int(RATE * SECONDS)):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(due))
    return {"took": took, "held": held, "failed": failed}


def _processor_ms(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


async def fetch(port: int, request: bytes, address: str = ELSEWHERE) -> None:
    """Send a request, and take its answer, whatever it is; or none, from a service that stops."""
    with suppress(OSError, asyncio.IncompleteReadError):
        await client.fetch(port, request, address)


async def again_and_again(port: int, requests: list[bytes], connections: int = 1) -> None:
    """Send the requests over and over, whatever the answers are; each connection waits for one before it sends the next."""

    async def one() -> None:
        while True:
            for request in requests:
                await fetch(port, request)

    await asyncio.gather(*(one() for _ in range(connections)))


@asynccontextmanager
async def socket(port: int) -> AsyncIterator[ClientConnection]:
    """A WebSocket that says who it is."""
    subprotocols = [websockets.Subprotocol("graphql-transport-ws")]
    async with websockets.connect(
        f"ws://127.0.0.1:{port}/graphql", subprotocols=subprotocols, ping_interval=None, max_size=None, local_addr=(ELSEWHERE, 0)
    ) as connection:
        await connection.send(json.dumps({"type": "connection_init", "payload": {"authorization": f"Bearer {TOKEN}"}}))
        await connection.recv()
        yield connection


async def idle_sockets(port: int, count: int = SOCKETS) -> None:
    """A thousand WebSockets that were opened and ask for nothing."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(socket(port))
        await _at_work()


async def slow_senders(port: int) -> None:
    """A hundred connections that send a request a byte at a time."""
    request = client.post("/graphql", b" " * 1000)

    async def one() -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(ELSEWHERE, 0))
                for byte in request:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)

    await asyncio.gather(_at_work(), *(one() for _ in range(SLOW)))


async def wrong_tokens(port: int) -> None:
    """Ten thousand wrong tokens, each another, as fast as they are refused; and then others."""
    body, numbers = json.dumps({"query": CHEAP}).encode(), iter(range(1_000_000))

    async def one() -> None:
        for number in numbers:
            await fetch(port, client.post("/graphql", body, f"guess-{number}"), GUESSED_FROM)

    await asyncio.gather(_at_work(), *(one() for _ in range(GUESSING)))


async def dear_documents(port: int) -> None:
    """The dearest documents within the limits, one after the other."""
    await asyncio.gather(_at_work(), again_and_again(port, _dear()))


async def many_dear_documents(port: int) -> None:
    """The same from many connections at the same time, each of which begins with another."""
    requests = _dear()
    starts = [number % len(requests) for number in range(MANY)]
    await asyncio.gather(_at_work(), *(again_and_again(port, [*requests[start:], *requests[:start]]) for start in starts))


def _dear() -> list[bytes]:
    return [client.post("/graphql", json.dumps({"query": document}).encode(), TOKEN) for document in DOCUMENTS.values()]


async def many_subscriptions(port: int) -> None:
    """Two thousand subscriptions, each with a document of its own, and ten changes a second for all of them."""
    fields = "at execution { id status flow { name } initialParamsPreview nodeExecutions { position status } }"
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as reading:
        for number in range(20):
            connection = await stack.enter_async_context(socket(port))
            for place in range(100):
                document = f"subscription {{ s{number}_{place}: executionChanges {{ ... on ExecutionChange {{ {fields} }} }} }}"
                await connection.send(json.dumps({"id": str(place), "type": "subscribe", "payload": {"query": document}}))
            reading.create_task(_read_all(connection))
        print("at work", flush=True)
        while True:
            given = {"sentAt": _now(), "events": [_started("x")]}
            await fetch(port, client.post("/graphql", json.dumps({"query": RECORD, "variables": {"input": given}}).encode(), TOKEN))
            await asyncio.sleep(0.1)


async def _read_all(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


async def new_documents(port: int) -> None:
    """Documents about as large as they may be, and questions about the schema, each of them for the first time."""

    async def one() -> None:
        for number in count():
            for document in (large(f"a{number}_"), get_introspection_query().replace("IntrospectionQuery", f"I{number}")):
                await fetch(port, client.post("/graphql", json.dumps({"query": document}).encode(), TOKEN))

    await asyncio.gather(_at_work(), one())


async def large_bodies(port: int) -> None:
    """Readers' bodies as large, and as packed, as they may be."""
    packed = '{"query": "{ __typename }", "variables": {"x": [' + "[]," * 49_000 + "[]]}}"
    values = '{"query": "query ($x: Int) { __typename }", "variables": {"x": [' + "1," * 500_000 + "1]}}"
    requests = [client.post("/graphql", body.ljust(MIB)[:MIB].encode()) for body in (packed, values)]
    await asyncio.gather(_at_work(), again_and_again(port, requests))


async def large_messages(port: int) -> None:
    """Messages over a WebSocket as large, and as packed, as they may be."""
    message = json.dumps({"type": "ping", "payload": {f"n{number}": number for number in range(65_000)}}, separators=(",", ":"))
    async with socket(port) as connection:
        print("at work", flush=True)
        while True:
            await connection.send(message)
            await connection.recv()


async def full_batches(port: int) -> None:
    """A recorder's batches as large as they may be: of large values, of values with much in them, of one made of brackets."""
    values: list[tuple[Any, int]] = [("y" * 7_000, 1000), ([{"number": n, "text": "some words"} for n in range(150)], 1000)]

    async def one() -> None:
        while True:
            for value, events in (*values, ([[]] * 490_000, 1)):
                given = {"sentAt": _now(), "events": [_started(value) for _ in range(events)]}
                body = json.dumps({"query": RECORD, "variables": {"input": given}}).encode()
                await fetch(port, client.post("/graphql", body, TOKEN))

    await asyncio.gather(_at_work(), one())


async def all_at_once(port: int) -> None:
    """One client at every limit: all of the others, with as many idle sockets as leave it some for what it does with them."""
    others = [neighbour for neighbour in NEIGHBOURS.values() if neighbour not in (idle_sockets, all_at_once)]
    await asyncio.gather(idle_sockets(port, SOCKETS - 100), *(neighbour(port) for neighbour in others))


def _started(value: Any) -> dict[str, Any]:
    start = {"executionId": str(uuid7()), "server": "neighbours", "toolName": "tool", "startedAt": _now()}
    return {"started": {**start, "initialParams": {"value": value}}}


def _now() -> str:
    return datetime.now(UTC).isoformat()


NEIGHBOURS: dict[str, Neighbour] = {
    function.__name__: function
    for function in (
        idle_sockets,
        slow_senders,
        wrong_tokens,
        dear_documents,
        many_dear_documents,
        many_subscriptions,
        new_documents,
        large_bodies,
        large_messages,
        full_batches,
        all_at_once,
    )
}


async def _at_work() -> None:
    """Say that the neighbour is at work, and never end."""
    print("at work", flush=True)
    await asyncio.Event().wait()


@dataclass(frozen=True)
class Seen:
    """What the good client saw in one run: milliseconds; and the share of a processor that the service took."""

    p50: float
    p99: float
    held_p50: float
    held_p99: float
    failed: int
    cpu: float


class Place:
    """The service, with what has been recorded there."""

    def __init__(self, server: servers.Server) -> None:
        self._server = server

    async def execute(self, document: str, variables: Any) -> Any:
        request = client.post("/graphql", json.dumps({"query": document, "variables": variables}).encode(), TOKEN)
        _, body = await client.fetch(self._server.port, request)
        answer = json.loads(body)
        if "errors" in answer:
            raise RuntimeError(answer["errors"])
        return answer["data"]

    async def client_beside(self, neighbour: str | None) -> Seen:
        """Run the good client beside a neighbour."""
        async with AsyncExitStack() as stack:
            if neighbour is not None:
                started = await stack.enter_async_context(self._process("--neighbour", neighbour))
                assert started.stdout is not None
                for _ in range(len(NEIGHBOURS) - 1 if neighbour == all_at_once.__name__ else 1):
                    async with asyncio.timeout(60):
                        await started.stdout.readline()
                await asyncio.sleep(1)
            cpu = self._server.cpu
            asking = await stack.enter_async_context(self._process("--client", str(self._server.process.pid)))
            said, _ = await asking.communicate()
            cpu = (self._server.cpu - cpu) / SECONDS
        seen = json.loads(said)
        took, held = (statistics.quantiles(seen[each], n=100, method="inclusive") for each in ("took", "held"))
        return Seen(took[49], took[98], held[49], held[98], seen["failed"], cpu)

    @asynccontextmanager
    async def _process(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        command = (sys.executable, __file__, "--port", str(self._server.port), *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def compare(dsn: str, rounds: int, neighbours: list[str]) -> None:
    """Print what the good client sees, alone and beside each neighbour."""
    with tempfile.TemporaryDirectory() as folder:
        async with servers.flowtrail(dsn, Path(folder)) as server:
            place: Any = Place(server)
            await seed(place)
            await place.client_beside(None)  # caches fill, statements are prepared
            seen: dict[str | None, list[Seen]] = {name: [] for name in (None, *neighbours)}
            for _ in range(rounds):
                for name, each in seen.items():
                    each.append(await place.client_beside(name))
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; {rounds} rounds")
    for name, each in seen.items():
        by_clock, by_processor = (
            sorted(getattr(one, what) / getattr(alone, what) for one, alone in zip(each, seen[None], strict=True))
            for what in ("p99", "held_p99")
        )
        p50, p99, held_p50, held_p99, cpu = (
            statistics.median(getattr(one, what) for one in each) for what in ("p50", "p99", "held_p50", "held_p99", "cpu")
        )
        print(
            f"{(name or 'nobody').replace('_', ' '):19} p50 {p50:7.1f}  p99 {p99:7.1f} {_spread(by_clock)}   "
            f"processor: p50 {held_p50:6.1f}  p99 {held_p99:6.1f} {_spread(by_processor)}   "
            f"errors {sum(one.failed for one in each)}  service CPU {cpu:.0%}"
        )


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):5.1f}x ({ratios[0]:.1f}-{ratios[-1]:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("neighbours", nargs="*", choices=[*NEIGHBOURS, []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--client", type=int, metavar="PID", help=argparse.SUPPRESS)
    parser.add_argument("--neighbour", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        print(json.dumps(asyncio.run(good_client(arguments.port, arguments.client))))
    elif arguments.neighbour:
        os.nice(10)
        asyncio.run(NEIGHBOURS[arguments.neighbour](arguments.port))  # type: ignore[arg-type]  # they are coroutines
    else:
        with database() as dsn:
            asyncio.run(compare(dsn, arguments.rounds, arguments.neighbours or list(NEIGHBOURS)))


if __name__ == "__main__":
    main()
