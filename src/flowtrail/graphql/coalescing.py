"""What uvicorn's WebSockets lack for many subscribers, and for hostile ones.

The messages of one turn of the event loop leave with one system call: one for each message was half the cost of a burst. And a
connection that was closed ends, even if its client never reads what was sent before. Nobody makes the server remember what it
must not forget: answers to pings that are never read, or a message in countless empty pieces.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.protocol import State

if TYPE_CHECKING:
    from websockets.frames import Frame

    from flowtrail.admission import Admission

_UNREAD_SECONDS = 10.0
"""How long a closed connection may wait for a client that does not read what was sent before."""
_UNREAD_BYTES = 32 * 1024 * 1024
"""Of answers to pings, behind what else was not read: far more than is ever written to whoever reads."""
_MAX_FRAGMENTS = 10_000
"""Frames of one message."""
_INVALID_TEXT, _TOO_MANY_FRAGMENTS = 1007, 1009


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


class CoalescingProtocol(WebSocketsSansIOProtocol):
    """What uvicorn is told to speak on WebSockets; it differs in its transport and its bounds."""

    def __init__(self, *given: Any, admission: Admission, **options: Any) -> None:
        """`given` and `options` are what uvicorn gives a protocol."""
        super().__init__(*given, **options)
        self._admission = admission

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection that was let in as one of HTTP."""
        self._admitted = transport
        super().connection_made(cast("asyncio.Transport", _Transport(cast("asyncio.Transport", transport))))

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._admission.left(self._admitted)
        super().connection_lost(exc)

    def handle_ping(self) -> None:
        """Answer, unless the client reads none of the answers."""
        if self.transport.get_write_buffer_size() > _UNREAD_BYTES:
            self.transport.abort()
        else:
            super().handle_ping()

    def handle_cont(self, event: Frame) -> None:
        """Take one more piece of a message."""
        if len(self.frames) >= _MAX_FRAGMENTS:
            self._refuse(_TOO_MANY_FRAGMENTS, "too many fragments")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand over a whole message; text must be UTF-8."""
        if self.curr_msg_data_type == "text":
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self._refuse(_INVALID_TEXT, "not UTF-8")
                return
        super().send_receive_event_to_app()

    def _refuse(self, code: int, reason: str) -> None:
        self.frames = []
        if self.close_sent:
            return
        if self.conn.state is State.OPEN:  # else the client's own close came with it
            self.conn.send_close(code, reason)
        self.handle_parser_exception()
