"""Responses with their headers put together, in one piece or in several."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_MOST_UNWANTED_BYTES = 8 * 1024 * 1024
_UNWANTED_SECONDS = 2.0
SENT_AT_ONCE = 64 * 1024
"""Bytes of a large response."""


class Answer(Response):
    """A response as ASGI wants it: Starlette's own constructor would put the headers together anew for each."""

    def __init__(self, content: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body = content
        self.status_code = status
        self.raw_headers = headers
        self.background = None


class AnswerInPieces(Answer):
    """A large response: others have their turn between its parts, and it is sent no faster than its client reads."""

    def __init__(self, pieces: list[bytes], status: int, headers: list[tuple[bytes, bytes]]) -> None:
        super().__init__(b"", status, headers)
        self.size = sum(map(len, pieces))
        self._pieces = pieces[::-1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces, large ones a part at a time and small ones together, and keep none that was sent."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        waiting = bytearray()
        while self._pieces:
            piece = memoryview(self._pieces.pop())
            for start in range(0, len(piece), SENT_AT_ONCE):
                waiting += piece[start : start + SENT_AT_ONCE]
                if len(waiting) >= SENT_AT_ONCE:
                    await send({"type": "http.response.body", "body": bytes(waiting), "more_body": True})
                    waiting.clear()
                    await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": bytes(waiting), "more_body": False})


class AnswerToUnreadBody(Answer):
    """A refusal that comes before the body was read.

    A connection that is closed while its client still sends would lose the response as well, so what comes is taken for a moment.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, whole, and end it when the client has sent enough."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_UNWANTED_SECONDS):
                await _take_unwanted(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _take_unwanted(receive: Receive) -> None:
    taken = 0
    while taken <= _MOST_UNWANTED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        taken += len(message.get("body", b""))
