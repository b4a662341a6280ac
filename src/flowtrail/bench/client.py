"""A load generator that takes little of the machine from the server it measures: HTTP/1.1 over bare sockets, kept alive.

Each connection has one request under way and sends the next when the answer has come.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_LENGTH = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
_END_OF_HEAD = b"\r\n\r\n"


def post(path: str, body: bytes, token: str | None = None) -> bytes:
    """Return a request with a body of JSON, as it goes over the wire."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json\r\n"
        f"{authorization}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def get(path: str) -> bytes:
    """Return a request without a body, as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\r\n".encode()


@dataclass(slots=True)
class Load:
    """What was asked: how long all of it took (seconds), and each request (milliseconds)."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """Sends what `next_request` gives until it gives None, one request at a time."""

    def __init__(self, next_request: Callable[[], bytes | None], load: Load) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._next_request = next_request
        self._load = load
        self._buffer = b""
        self._size = 0
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server closed the connection"))

    def start(self) -> None:
        request = self._next_request()
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._buffer, self._size = b"", 0
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._size:
            end = self._buffer.find(_END_OF_HEAD)
            if end < 0:
                return
            length = _LENGTH.search(self._buffer, 0, end)
            if length is None:
                self._fail(RuntimeError(f"an answer without its length: {self._buffer[:500]!r}"))
                return
            self._size = end + len(_END_OF_HEAD) + int(length[1])
        if len(self._buffer) >= self._size:
            self._answered()

    def _answered(self) -> None:
        if not self._buffer.startswith(b"HTTP/1.1 200") or b'"errors":' in self._buffer or b'"REJECTED"' in self._buffer:
            self._fail(RuntimeError(f"a request failed: {self._buffer[:2000]!r}"))
            return
        self._load.latencies.append((time.perf_counter() - self._sent_at) * 1000)
        self.start()

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
            self._transport.close()


async def fetch(port: int, request: bytes, address: str = "127.0.0.1") -> tuple[int, bytes]:
    """Send one request from an address of this machine; return the status and body of its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    try:
        writer.write(request)
        head = await reader.readuntil(_END_OF_HEAD)
        length = _LENGTH.search(head)
        body = await (reader.readexactly(int(length[1])) if length else reader.read())
    finally:
        writer.close()
    return int(head.split(b" ", 2)[1]), body


async def repeat(port: int, requests: Sequence[bytes], concurrency: int, seconds: float) -> Load:
    """Send the requests, over and over, from so many connections for so long; what is under way at the end is waited for."""
    return await _run(port, lambda: _until(time.perf_counter() + seconds, cycle(requests)), concurrency)


async def send_all(port: int, requests: Sequence[bytes], concurrency: int) -> Load:
    """Send each request once, from so many connections that take turns."""
    return await _run(port, lambda: iter(requests), concurrency)


def _until(end: float, requests: Iterator[bytes]) -> Iterator[bytes]:
    for request in requests:
        if time.perf_counter() >= end:
            return
        yield request


async def _run(port: int, start: Callable[[], Iterator[bytes]], concurrency: int) -> Load:
    """Raises RuntimeError with the answer when a request failed, ConnectionError when the server went away."""
    loop, load = asyncio.get_running_loop(), Load()
    requests: Iterator[bytes] = iter(())
    connections = []
    for _ in range(concurrency):
        _, connection = await loop.create_connection(lambda: _Connection(lambda: next(requests, None), load), "127.0.0.1", port)
        connections.append(connection)
    began = time.perf_counter()
    requests = start()
    for connection in connections:
        connection.start()
    await asyncio.gather(*(connection.done for connection in connections))
    load.seconds = time.perf_counter() - began
    return load
