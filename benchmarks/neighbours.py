"""What bad neighbours cost a good one: `python benchmarks/neighbours.py`.

One client asks two hundred cheap queries a second, each on its time whatever came of those before. Beside it, in turn, are nobody;
a thousand idle WebSockets; a hundred connections that send a request a byte at a time; one that sends wrong tokens; and one that
asks the dearest documents within the limits one after the other. Printed are the good client's latencies, in milliseconds, the
ratio of its p99 to that without neighbours, and its errors. Everything runs on one machine, clients included.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx2
import websockets

from costly_documents import CHEAP, DOCUMENTS, seed
from live_server import TOKEN, Server, database

RATE = 200
"""Cheap queries a second."""
SECONDS = 8.0
SOCKETS = 1000
SLOW = 100

Neighbour = Callable[[str], Awaitable[None]]


async def good_client(url: str) -> tuple[list[float], int]:
    """Return the milliseconds from when each query should have been sent to its answer, and how many went wrong."""
    took: list[float] = []
    failed = 0
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=100)
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, limits=limits) as client, asyncio.TaskGroup() as tasks:
        began = time.perf_counter()

        async def ask(due: float) -> None:
            nonlocal failed
            answer = await client.post("/graphql", json={"query": CHEAP})
            failed += answer.status_code != 200 or "errors" in answer.json()
            took.append((time.perf_counter() - due) * 1000)

        for number in range(int(RATE * SECONDS)):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(ask(due))
    return took, failed


async def nobody(url: str) -> None:
    await asyncio.sleep(3600)


async def idle_sockets(url: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(SOCKETS):
            connection = websockets.connect(
                f"{url.replace('http', 'ws', 1)}/graphql", subprotocols=["graphql-transport-ws"], ping_interval=None
            )
            socket = await stack.enter_async_context(connection)
            await socket.send(f'{{"type": "connection_init", "payload": {{"authorization": "Bearer {TOKEN}"}}}}')
            await socket.recv()
        await asyncio.sleep(3600)


async def slow_senders(url: str) -> None:
    port = int(url.rsplit(":", 1)[1])
    head = b"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"

    async def one() -> None:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                for byte in head + b" " * 1000:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)

    await asyncio.gather(*(one() for _ in range(SLOW)))


async def wrong_tokens(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        number = 0
        while True:
            number += 1
            await client.post("/graphql", json={"query": CHEAP}, headers={"authorization": f"Bearer guess-{number}"})


async def dear_documents(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
        while True:
            for document in DOCUMENTS.values():
                await client.post("/graphql", json={"query": document})


@asynccontextmanager
async def beside(neighbour: Neighbour, url: str) -> AsyncIterator[None]:
    """Have the neighbour at work for the length of the block."""
    task = asyncio.create_task(neighbour(url))
    await asyncio.sleep(3)
    try:
        yield
    finally:
        if task.done():
            task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def main(dsn: str) -> None:
    async with Server.running(dsn) as server:
        await seed(server)
        url = f"http://127.0.0.1:{server.port}"
        alone = 0.0
        await good_client(url)  # caches fill, statements are prepared
        for neighbour in (nobody, idle_sockets, slow_senders, wrong_tokens, dear_documents):
            cpu = server.cpu()
            async with beside(neighbour, url):
                took, failed = await good_client(url)
            cuts = statistics.quantiles(took, n=100, method="inclusive")
            alone = alone or cuts[98]
            print(
                f"{neighbour.__name__.replace('_', ' '):16} p50 {cuts[49]:7.1f}   p99 {cuts[98]:7.1f}   {cuts[98] / alone:5.1f}x   "
                f"errors {failed}   server CPU {(server.cpu() - cpu) / (SECONDS + 3):.0%}"
            )


if __name__ == "__main__":
    with database() as address:
        asyncio.run(main(address))
