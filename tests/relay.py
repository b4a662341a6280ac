"""An address that leads to others: a balancer before several processes, or a name that a failover moves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Relay:
    """Gives each connection to one of `targets`, ports of 127.0.0.1, in turn, and to the next when that takes none."""

    targets: list[int]
    port: int = 0
    _turn: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self.targets:
            self._turn += 1
            try:
                upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.targets[self._turn % len(self.targets)])
            except OSError:
                continue
            await asyncio.gather(_pump(reader, upstream), _pump(upstream_reader, writer))
            return
        writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
