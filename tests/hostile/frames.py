"""WebSocket frames as bytes: for what no client library would send (RFC 6455)."""

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from raw import Wire, wire
from support import Service

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def frame(
    opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0, length: int | None = None
) -> bytes:
    """Return a frame as a client sends it, or as it must not: unmasked, with reserved bits, or with another length than it has."""
    announced = len(payload) if length is None else length
    head = bytes([final << 7 | reserved << 4 | opcode])
    if announced < 126:
        head += bytes([masked << 7 | announced])
    elif announced < 65536:
        head += bytes([masked << 7 | 126]) + struct.pack("!H", announced)
    else:
        head += bytes([masked << 7 | 127]) + struct.pack("!Q", announced)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def text(content: str) -> bytes:
    return frame(TEXT, content.encode("utf-8", "surrogatepass"))


@asynccontextmanager
async def opened(service: Service, **headers: str | None) -> AsyncIterator[Wire]:
    """A connection that has asked for a WebSocket; headers are added, or with None taken away."""
    asked: dict[str, str | None] = {
        "host": service.url.removeprefix("http://"),
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "graphql-transport-ws",
    }
    asked |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in asked.items() if value is not None)
    async with wire(service) as connection:
        await connection.send(f"GET /graphql HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
        yield connection


class Conversation:
    """What a server says on a WebSocket, frame by frame."""

    def __init__(self, connection: Wire) -> None:
        self._connection = connection
        self.code = "gone"
        """How it closed: its code, or "gone" without any."""
        self.texts: list[str] = []

    async def say(self, *frames: bytes) -> None:
        """Send frames, unless the server has gone."""
        with suppress(ConnectionError):
            for data in frames:
                await self._connection.send(data)

    async def hear_until(self, wanted: str) -> bool:
        """Read until a text like this comes, or the end; returns whether it came."""
        while (heard := await self._frame()) is not None:
            opcode, payload = heard
            if opcode == TEXT:
                self.texts.append(payload.decode())
                if self.texts[-1] == wanted:
                    return True
            elif opcode == CLOSE:
                self.code = str(struct.unpack("!H", payload[:2])[0]) if payload else "without a code"
                self.texts.append(payload[2:].decode())
                return False  # it waits for our own close now
        return False

    async def _frame(self) -> tuple[int, bytes] | None:
        try:
            head = await self._connection.read(2)
            length = head[1] & 127
            if length >= 126:
                length = int.from_bytes(await self._connection.read(2 if length == 126 else 8), "big")
            return head[0] & 15, await self._connection.read(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None


async def outcome(connection: Wire, sent: list[bytes]) -> Conversation:
    """Send frames, let the server act upon all of them, and return what it said; what it lets pass ends with our own close."""
    conversation = Conversation(connection)
    await conversation.say(*sent)
    for _ in range(2):  # the first answer tells that all was read, the second that what could be done at once is done
        await conversation.say(text('{"type": "ping"}'))
        if not await conversation.hear_until('{"type":"pong"}'):
            return conversation
    await conversation.say(frame(CLOSE, b"\x03\xe8"))
    await conversation.hear_until("the end")
    return conversation
