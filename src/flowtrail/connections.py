"""HTTP connections that can't be held for nothing: bounds on what uvicorn waits for, and on what it keeps meanwhile (spec 2.10)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowtrail.admission import Admission

HEAD_SECONDS = 15.0
"""From the moment a connection waits for a request until the request's head must be there."""
MAX_HEAD_BYTES = 64 * 1024
"""Of the request line and all headers."""
_MAX_UNWANTED_BYTES = 16 * 1024 * 1024
"""Of a body that goes on after its request was answered: a client that reads only when it has sent learns why it was refused."""
_UNREAD_SECONDS = 10.0
"""How long a closed connection may wait for a client that does not read what was sent before."""
_STALLED_SECONDS = 30.0
"""In which a client must read some of a large response, or a stream, that is still being sent."""
_TOO_LARGE = b"The head of the request is too large."


class _HeadWithBody:
    """A transport for one response: its head leaves with what follows in the same turn of the event loop, by one system call."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._head: bytes | None = None
        """What waits; None before there is anything."""
        self._loop = loop

    def write(self, data: bytes) -> None:
        if self._head is None:
            self._head = data
            self._loop.call_soon(self._flush)
        elif self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        else:
            self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)


class BoundedHttpProtocol(HttpToolsProtocol):
    """What uvicorn is told to speak on HTTP; it differs in whom it lets in, and in its patience."""

    def __init__(self, *given: Any, admission: Admission, **options: Any) -> None:
        """`given` and `options` are what uvicorn gives a protocol."""
        super().__init__(*given, **options)
        self._admission = admission
        self._deadline: asyncio.TimerHandle | None = None
        """Runs while a request is waited for."""
        self._unread: asyncio.TimerHandle | None = None
        """Runs while the client reads nothing of what waits for it."""
        self._is_in_head = False
        self._received = 0
        """Bytes of the head that is being read, or since the last response."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request, if there is room for one more connection."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn names the narrower type
        if self._admission.admit(transport, self.client[0] if self.client else None):
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        self._admission.left(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes from the client, as many as it may send before it is answered or waits for an answer."""
        super().data_received(data)
        if self._deadline is None or self.transport.is_closing():
            return
        self._received += len(data)
        if self._is_in_head and self._received > MAX_HEAD_BYTES:
            self._refuse_head()
        elif self._received > _MAX_UNWANTED_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Count the head of a request from its first byte."""
        super().on_message_begin()
        self._is_in_head, self._received = True, 0
        if self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Leave the rest to the application, which has a limit of its own for bodies."""
        self._is_in_head = False
        self._stop_waiting()
        self._admission.begins(self.transport)
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # it is, if the connection becomes a WebSocket
            self.cycle.transport = cast("asyncio.Transport", _HeadWithBody(self.transport, self.loop))

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the client to read this response."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_unless_read()
        elif self.cycle.response_complete:  # no other was sent before this one was answered
            self._admission.waits(self.transport)
            if not self._is_in_head:
                self._wait()

    def pause_writing(self) -> None:
        """Have the application wait for the client to read, but not for ever."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(_STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on, since the client does."""
        super().resume_writing()
        self._stop_waiting_for_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, even if its client never reads the last response."""
        if not self.transport.is_closing():
            super().timeout_keep_alive_handler()
            self._end_unless_read()

    def _wait(self) -> None:
        self._stop_waiting()
        self._received = 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
            self._end_unless_read()
        else:
            self.transport.abort()

    def _refuse_head(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            head = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-type: text/plain\r\n"
            self.transport.write(b"%scontent-length: %d\r\n\r\n%s" % (head, len(_TOO_LARGE), _TOO_LARGE))
        self.transport.close()
        self._end_unless_read()

    def _end_unless_read(self) -> None:
        abort: Callable[[], None] = self.transport.abort
        if self.transport.get_write_buffer_size() > 0:
            self.loop.call_later(_UNREAD_SECONDS, abort)
