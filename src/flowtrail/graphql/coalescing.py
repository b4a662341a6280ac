"""What uvicorn's WebSockets lack for many subscribers.

The messages of one turn of the event loop leave with one system call: one for each message was half the cost of a burst. And a
connection that was closed ends, even if its client never reads what was sent before.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

_UNREAD_SECONDS = 10.0
"""How long a closed connection may wait for a client that does not read what was sent before."""


class _Transport:
    """A transport that keeps what is written to it until the end of the turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._unwritten: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._unwritten:
            self._loop.call_soon(self._flush)
        self._unwritten.append(data)

    def close(self) -> None:
        self._flush()
        has_unread = self._transport.get_write_buffer_size() > 0
        self._transport.close()
        if has_unread:
            self._loop.call_later(_UNREAD_SECONDS, self._transport.abort)

    def _flush(self) -> None:
        unwritten, self._unwritten = self._unwritten, []
        if unwritten and not self._transport.is_closing():
            self._transport.write(b"".join(unwritten))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CoalescingProtocol(AutoWebSocketsProtocol):  # type: ignore[misc,valid-type] # uvicorn chooses it by what is installed
    """What uvicorn is told to speak on WebSockets; it differs in its transport alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", _Transport(cast("asyncio.Transport", transport))))
