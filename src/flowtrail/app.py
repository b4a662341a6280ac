"""The application: lifespan and routes, nothing else."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import FrameType
from typing import TypedDict, cast

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from flowtrail import doors, monitoring, pages, service, session, sign_in
from flowtrail.admission import Admission
from flowtrail.connections import BoundedHttpProtocol
from flowtrail.graphql import http, websocket
from flowtrail.graphql.coalescing import CoalescingProtocol
from flowtrail.graphql.endpoint import Endpoint
from flowtrail.settings import Settings

DRAIN_SECONDS = 0.5
"""For which a process that was asked to stop goes on answering."""


class SocketOptions(TypedDict):
    """uvicorn's settings for connections: sizes in bytes, times in seconds."""

    http: type[asyncio.Protocol]
    server_header: bool
    ws: type[asyncio.Protocol]
    ws_per_message_deflate: bool
    ws_max_size: int
    ws_ping_interval: float
    ws_ping_timeout: float
    proxy_headers: bool


def socket_options(settings: Settings) -> SocketOptions:
    """Return what uvicorn must be told for the connections of this application. Raises ConfigurationError."""
    admission = Admission(settings)
    return SocketOptions(
        # uvicorn asks for classes, and does no more with them than call them.
        http=cast("type[asyncio.Protocol]", partial(BoundedHttpProtocol, admission=admission)),
        server_header=False,
        ws=cast("type[asyncio.Protocol]", partial(CoalescingProtocol, admission=admission)),
        # Compression would cost each subscriber a copy of every message, and a window of memory.
        ws_per_message_deflate=False,
        ws_max_size=2 * 1024 * 1024,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        proxy_headers=False,  # the settings name the proxies that are believed (doors.py)
    )


class Application(FastAPI):
    """FastAPI, but that POST /graphql passes our own middleware and nothing else: it raises nothing that the layers FastAPI and its
    router put before it would have to catch, and they take longer than all that is checked of a request.
    """

    _post: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "http" and scope["path"] == http.PATH and scope["method"] == "POST":
            scope["app"] = self
            if self._post is None:
                self._post = self._with_middleware(http.respond)
            await self._post(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _with_middleware(self, app: ASGIApp) -> ASGIApp:
        for middleware, arguments, options in reversed(self.user_middleware):
            app = middleware(app, *arguments, **options)
        return app


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application; what it needs is opened when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.run(settings) as running:
            app.state.service = running
            endpoint = app.state.endpoint = Endpoint(running)
            with _told_of_signals(endpoint):
                yield
            endpoint.close()

    # What FastAPI would trace and measure, monitoring.py does, and says less of what users sent.
    app = Application(lifespan=lifespan, openapi_url=None, telemetry={"tracing": False, "metrics": False, "logs": False})
    # For what the router says of other methods; and Starlette's route, since FastAPI's would look for parameters.
    app.add_route(http.PATH, http.handle, methods=["POST"], include_in_schema=False)

    @app.websocket(http.PATH)
    async def graphql_websocket(socket: WebSocket) -> None:
        await websocket.serve(app.state.endpoint, socket)

    session.mount(app)
    sign_in.mount(app)
    doors.mount(app, settings)
    monitoring.mount(app)
    pages.mount(app)
    return app


@contextmanager
def _told_of_signals(endpoint: Endpoint) -> Iterator[None]:
    """Let streams end as soon as the process is asked to stop: the server would wait for them, and they for the server.

    Asked by SIGTERM, it goes on answering for a moment, and every answer says that it was the connection's last: a balancer learns
    of it by /readyz, and no request meets a connection that has just been closed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        is_first = not endpoint.stopping.is_set()
        loop.call_soon_threadsafe(endpoint.stopping.set)
        handler = before[signal.Signals(number)]
        if not callable(handler):
            return
        if number == signal.SIGTERM and is_first:
            loop.call_soon_threadsafe(loop.call_later, DRAIN_SECONDS, handler, number, None)
        else:
            handler(number, frame)

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
