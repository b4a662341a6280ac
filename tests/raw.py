"""HTTP as bytes on a TCP connection: for what no client library would send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from support import Service


@dataclass(frozen=True)
class RawAnswer:
    """A response as it came: its status (0 when the connection ended without one), and everything after the status line."""

    status: int
    text: str


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def end_sending(self) -> None:
        self._writer.write_eof()

    async def answer(self) -> RawAnswer:
        """Return the next response; raises TimeoutError when neither it nor the end of the connection comes."""
        async with asyncio.timeout(20):
            try:
                head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            except (asyncio.IncompleteReadError, ConnectionError):
                return RawAnswer(0, "")
            status_line, _, headers = head.partition("\r\n")
            length = next((line for line in headers.lower().split("\r\n") if line.startswith("content-length:")), None)
            body = await self._reader.readexactly(int(length.partition(":")[2])) if length else b""
            return RawAnswer(int(status_line.split()[1]), headers + body.decode("utf-8", "replace"))

    async def read(self, count: int) -> bytes:
        """Return so many bytes; raises IncompleteReadError at the end, TimeoutError when neither comes."""
        async with asyncio.timeout(20):
            return await self._reader.readexactly(count)

    async def rest(self) -> bytes:
        """Return everything until the server closes; raises TimeoutError when it does not."""
        async with asyncio.timeout(20):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


@asynccontextmanager
async def wire(service: Service) -> AsyncIterator[Wire]:
    """A connection to the service."""
    address = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()
