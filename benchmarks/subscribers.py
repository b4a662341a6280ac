"""Many subscribers in one process, at next to no cost of their own: graphql-transport-ws over bare sockets. Used by fan_out.py.

    python subscribers.py PORT COUNT PAYLOAD        PAYLOAD is that of the subscribe message, as JSON

It prints a line when all have connected. Then it reads commands, one a line, and answers each with a line of JSON:

    time         from now on, note the latency of every message: from its change's `at` to its arrival
    expect N     when every subscriber has had N messages more than at the last `expect`: when the last one came (seconds since the
                 epoch), and the latencies (ms) of each change, by its `at`
    stall        nobody reads any more
    closed       stop stalling; when all have been closed by the service: their messages and close codes
"""

import asyncio
import json
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar

import uvloop

_AT = re.compile(rb'"at":"([^"]+)"')
_NEXT = (
    b'{"id":"1","type":"next","payload":{"data":{"executionChanges"',
    b'{"id": "1", "type": "next", "payload": {"data": {"executionChanges"',
)
_PING, _CLOSE = 9, 8


class Subscriber(asyncio.Protocol):
    """One socket with one subscription."""

    is_timing = False
    latencies: ClassVar[dict[str, list[float]]] = {}

    def __init__(self, payload: Any, on_messages: Callable[[int], None]) -> None:
        self.received = 0
        self.close_code: int | None = None
        self.closed = asyncio.get_running_loop().create_future()
        self.subscribed = asyncio.get_running_loop().create_future()
        self.transport: Any = None
        self._payload = payload
        self._on_messages = on_messages
        self._buffer = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.transport.write(
            b"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if not self._is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(head.decode())
            self._is_open = True
            self._send({"type": "connection_init"})
        start, before = 0, self.received
        while (end := self._frame(data, start)) is not None:
            start = end
        self._buffer = data[start:]
        if self.received > before:
            self._on_messages(self.received - before)

    def _frame(self, data: bytes, start: int) -> int | None:
        """Take the frame that begins at `start` and return where it ends; None when it is not complete."""
        if len(data) < start + 2:
            return None
        size, begin = data[start + 1], start + 2
        if size == 126:
            begin += 2
            size = int.from_bytes(data[start + 2 : begin])
        elif size == 127:
            begin += 8
            size = int.from_bytes(data[start + 2 : begin])
        if len(data) < begin + size:
            return None
        self._take(data[start] & 15, data, begin, begin + size)
        return begin + size

    def _take(self, opcode: int, data: bytes, begin: int, end: int) -> None:
        if data.startswith(_NEXT, begin):
            self.received += 1
            if self.is_timing and (match := _AT.search(data, begin, end)):
                at = match[1].decode()
                self.latencies.setdefault(at, []).append((time.time() - datetime.fromisoformat(at).timestamp()) * 1000)
        elif opcode == _PING:
            self._write(10, data[begin:end])
        elif opcode == _CLOSE:
            self.close_code = int.from_bytes(data[begin : begin + 2])
            self._write(_CLOSE, data[begin : begin + 2])
        elif b'"connection_ack"' in data[begin:end]:
            self._send({"id": "1", "type": "subscribe", "payload": self._payload})
            self.subscribed.set_result(None)
        else:
            print(data[begin:end].decode(), file=sys.stderr)
            os._exit(1)  # an exception would end this socket only

    def _send(self, message: Any) -> None:
        self._write(1, json.dumps(message).encode())

    def _write(self, opcode: int, payload: bytes) -> None:
        """Write a frame, masked with zeros."""
        size = struct.pack("!B", 128 | len(payload)) if len(payload) < 126 else struct.pack("!BH", 128 | 126, len(payload))
        self.transport.write(bytes([128 | opcode]) + size + bytes(4) + payload)


class Crowd:
    """All subscribers of the process."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self._expected = 0
        self._missing = 0
        self._complete = asyncio.Event()

    async def connect(self, port: int, count: int, payload: Any) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", port))
            _, subscriber = await loop.create_connection(lambda: Subscriber(payload, self._count), sock=connection)
            self.subscribers.append(subscriber)
            await subscriber.subscribed

    async def expect(self, count: int) -> dict[str, Any]:
        self._expected += count * len(self.subscribers)
        self._missing = self._expected - sum(subscriber.received for subscriber in self.subscribers)
        self._complete.clear()
        if self._missing > 0:
            await self._complete.wait()
        at = time.time()
        latencies = Subscriber.latencies.copy()
        Subscriber.latencies.clear()
        return {"at": at, "latencies": latencies}

    def _count(self, received: int) -> None:
        self._missing -= received
        if self._missing == 0:
            self._complete.set()

    async def closed(self) -> dict[str, Any]:
        for subscriber in self.subscribers:
            subscriber.transport.resume_reading()
        await asyncio.gather(*(subscriber.closed for subscriber in self.subscribers))
        return {
            "received": [subscriber.received for subscriber in self.subscribers],
            "codes": [subscriber.close_code for subscriber in self.subscribers],
        }


async def main(port: str, count: str, payload: str) -> None:
    crowd = Crowd()
    await crowd.connect(int(port), int(count), json.loads(payload))
    print("connected", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer: dict[str, Any] = {}
        match line.split():
            case ["time"]:
                Subscriber.is_timing = True
            case ["expect", number]:
                answer = await crowd.expect(int(number))
            case ["stall"]:
                for subscriber in crowd.subscribers:
                    subscriber.transport.pause_reading()
            case ["closed"]:
                answer = await crowd.closed()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
