"""Server-sent events: a stream of responses where WebSockets do not pass ("distinct connections mode" of GraphQL over SSE)."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response

from flowtrail.errors import TimedOut, Unavailable
from flowtrail.graphql.execution import disconnected
from flowtrail.graphql.mailbox import TooFarBehind
from flowtrail.graphql.operations import begin

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from flowtrail.graphql.context import Context
    from flowtrail.graphql.documents import Operation
    from flowtrail.graphql.endpoint import Endpoint

KEEP_ALIVE_SECONDS = 12.0
_LAST_WORD_SECONDS = 0.25
"""Between the last event and the end of a stream that a stopping process ends: graphql-sse hangs when both arrive together."""
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class EventStreamResponse(Response):
    """Streams the responses of one operation, until they end, the client goes, falls behind, loses access, or the process stops."""

    def __init__(
        self, endpoint: Endpoint, events: AsyncGenerator[str], authorization: str | None, full: asyncio.Event, place: ExitStack
    ) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._events = events
        self._authorization = authorization
        self._full = full
        self._place = place
        self._sending = asyncio.Lock()

    @classmethod
    async def begin(cls, endpoint: Endpoint, request: Request, operation: Operation, context: Context) -> EventStreamResponse:
        """Begin the operation; raises RequestRefused when it can't be executed, LimitExceeded for one stream too many."""
        full = asyncio.Event()
        with ExitStack() as place:
            place.enter_context(endpoint.streams.opened(request))
            events = await begin(operation, context, endpoint.broadcast, full.set)
            return cls(endpoint, events, request.headers.get("authorization"), full, place.pop_all())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await self._stream(receive, send)

    async def _stream(self, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        work = [
            asyncio.create_task(waiting)
            for waiting in (
                self._send_events(send),
                self._keep_alive(send),
                disconnected(receive),
                self._endpoint.stopping.wait(),
                self._endpoint.access_lost(self._authorization),
                self._full.wait(),
            )
        ]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        if self._endpoint.stopping.is_set():
            await asyncio.sleep(_LAST_WORD_SECONDS)
        if not self._full.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, send: Send) -> None:
        """Send every response as an event, and say when they are complete; the client of a broken stream connects anew."""
        try:
            async with aclosing(self._events) as events:
                async for event in events:
                    await self._send(send, f"event: next\ndata: {event}\n\n")
            await self._send(send, "event: complete\ndata:\n\n")
        except (TooFarBehind, Unavailable, TimedOut):
            return

    async def _keep_alive(self, send: Send) -> None:
        while True:
            await self._send(send, ":\n\n")
            await asyncio.sleep(KEEP_ALIVE_SECONDS)

    async def _send(self, send: Send, text: str) -> None:
        async with self._sending:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
