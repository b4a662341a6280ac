"""The application: lifespan and routes, nothing else."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import TypedDict

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from flowtrail import pages, service, session
from flowtrail.errors import FlowtrailError
from flowtrail.graphql import http, websocket
from flowtrail.graphql.coalescing import CoalescingProtocol
from flowtrail.graphql.endpoint import Endpoint
from flowtrail.revisions import SchemaState, schema_state
from flowtrail.settings import Settings


class SocketOptions(TypedDict):
    """uvicorn's settings for WebSockets: sizes in bytes, times in seconds."""

    ws: type[asyncio.Protocol]
    ws_per_message_deflate: bool
    ws_max_size: int
    ws_ping_interval: float
    ws_ping_timeout: float


SOCKETS = SocketOptions(
    ws=CoalescingProtocol,
    # Compression would cost each subscriber a copy of every message, and a window of memory.
    ws_per_message_deflate=False,
    ws_max_size=2 * 1024 * 1024,
    ws_ping_interval=20.0,
    ws_ping_timeout=20.0,
)
"""What uvicorn must be told for the WebSockets of this application."""


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application; what it needs is opened when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.run(settings) as running:
            app.state.service = running
            endpoint = app.state.endpoint = Endpoint(running)
            with _told_of_signals(endpoint):
                yield
            endpoint.stopping.set()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.post("/graphql")
    async def graphql(request: Request) -> Response:
        return await http.answer(app.state.endpoint, request)

    @app.websocket("/graphql")
    async def graphql_websocket(socket: WebSocket) -> None:
        await websocket.serve(app.state.endpoint, socket)

    @app.get("/healthz")
    async def healthz() -> Response:
        """The process lives."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        """The database answers, and is migrated."""
        try:
            async with app.state.service.database.read() as read:
                if await schema_state(read) is SchemaState.BEHIND:
                    return JSONResponse({"status": "unavailable", "reason": "the database is not migrated"}, 503)
        except FlowtrailError as error:
            return JSONResponse({"status": "unavailable", "reason": error.message}, 503)
        return JSONResponse({"status": "ok"})

    session.mount(app)
    pages.mount(app)
    return app


@contextmanager
def _told_of_signals(endpoint: Endpoint) -> Iterator[None]:
    """Let streams end as soon as the process is asked to stop: the server would wait for them, and they for the server."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(endpoint.stopping.set)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
