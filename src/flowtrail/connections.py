"""HTTP connections that can't be held for nothing: bounds on what uvicorn waits for, and on what it keeps meanwhile (spec 2.10)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn.config import Config
    from uvicorn.server import ServerState

HEAD_SECONDS = 15.0
"""From the moment a connection waits for a request until the request's head must be there."""
MAX_HEAD_BYTES = 64 * 1024
"""Of the request line and all headers."""
_MAX_UNWANTED_BYTES = 16 * 1024 * 1024
"""Of a body that goes on after its request was answered: a client that reads only when it has sent learns why it was refused."""
_UNREAD_SECONDS = 10.0
"""How long a closed connection may wait for a client that does not read what was sent before."""
_TOO_LARGE = b"The head of the request is too large."


class BoundedHttpProtocol(HttpToolsProtocol):
    """What uvicorn is told to speak on HTTP; it differs in its patience alone."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        """Runs while a request is waited for."""
        self._is_in_head = False
        self._received = 0
        """Bytes of the head that is being read, or since the last response."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvicorn names the narrower type
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
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
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the client to read this response."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._end_unless_read()
        elif self.cycle.response_complete and not self._is_in_head:  # no other was sent before this one was answered
            self._wait()

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
