"""The service's HTTP side of what an operator sees: every request logged, counted and traced; health and metrics (spec 6.4)."""

from __future__ import annotations

import re
import secrets
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from opentelemetry.trace import SpanKind
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from flowtrail import recorders
from flowtrail.errors import FlowtrailError, Unauthenticated
from flowtrail.headers import headers_of
from flowtrail.observability import logs, metrics, traces
from flowtrail.revisions import SchemaState, schema_state
from flowtrail.throttling import client_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from flowtrail.service import Service

log = structlog.get_logger("flowtrail.requests")

REQUEST_ID = b"x-request-id"
_SAFE_ID = re.compile(rb"[\w.:/+=@-]{1,128}")
_ROUTES = frozenset({"/graphql", "/session", "/session/oidc", "/session/oidc/callback", "/healthz", "/readyz", "/metrics"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
_requests = cache(metrics.http_requests.labels)
_seconds = cache(metrics.http_seconds.labels)


def mount(app: FastAPI) -> None:
    """Add /healthz, /readyz and /metrics, and watch every request. Call it last: the last is outermost."""
    app.add_route("/healthz", _healthz, methods=["GET"], include_in_schema=False)
    app.add_route("/readyz", _readyz, methods=["GET"], include_in_schema=False)
    app.add_route("/metrics", _metrics, methods=["GET"], include_in_schema=False)
    app.add_middleware(Watch)


class Watch:
    """Gives every request an id, which the answer carries as X-Request-Id and every line of the log about it; logs, counts and
    traces its end.

    What is served well and soon is logged at debug level only. Query strings are never logged: people put tokens into them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = _Watched(scope, send)
        before = logs.request_id.set(request.id)
        try:
            await self._answer(request, scope, receive)
            request.end()
        finally:
            logs.request_id.reset(before)

    async def _answer(self, request: _Watched, scope: Scope, receive: Receive) -> None:
        try:
            if traces.is_on():
                with request.span() as span:
                    await self._app(scope, receive, request.send)
                    span.set_attribute("http.response.status_code", request.status)
            else:
                await self._app(scope, receive, request.send)
        except Exception:
            log.exception("a request failed", error_id=request.id, **request.facts())
            await request.fail()


class _Watched:
    """One request while it is answered."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self.status = 0
        """Of the answer; 0 until it begins."""
        given = headers_of(scope).get(REQUEST_ID)
        self.id = given.decode() if given is not None and _SAFE_ID.fullmatch(given) else secrets.token_hex(8)
        path, method = scope["path"], scope.get("method", "WEBSOCKET")
        self._route = path if path in _ROUTES else "page"
        self._method = method if method in _METHODS else "other"

    async def send(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.accept", "websocket.http.response.start"):
            self.status = message.get("status", 101)
            message["headers"] = [*message.get("headers", ()), (REQUEST_ID, self.id.encode())]
            if message["type"] == "http.response.start" and self._scope["app"].state.endpoint.stopping.is_set():
                message["headers"].append((b"connection", b"close"))
        await self._send(message)

    async def fail(self) -> None:
        """Answer with what may be told of an error that nobody expected, if nothing was answered yet."""
        if self.status or self._scope["type"] != "http":
            return
        self.status = 500
        message = f"Something went wrong on the server; its log tells more under {self.id}."
        body = orjson.dumps({"errors": [{"message": message, "extensions": {"code": "INTERNAL", "id": self.id}}]})
        headers = [(b"content-type", b"application/json"), (REQUEST_ID, self.id.encode())]
        await self._send({"type": "http.response.start", "status": 500, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def end(self) -> None:
        seconds = time.perf_counter() - self._began
        if self._scope["type"] != "http":
            log.debug("socket closed", duration_ms=round(seconds * 1000, 1), **self.facts())
            return
        _requests(self._method, self._route, str(self.status or 499)).inc()
        _seconds(self._route).observe(seconds)
        is_unusual = self.status >= 400 or (seconds > logs.SLOW_SECONDS and not self._is_stream)
        if is_unusual or logs.debugs():
            write = log.info if is_unusual else log.debug
            write("request", status=self.status or None, duration_ms=round(seconds * 1000, 1), **self.facts())

    def facts(self) -> dict[str, Any]:
        """What tells requests apart, without anything that a user sent in it."""
        client = self._scope.get("client")
        return {"method": self._method, "route": self._route, "client": client[0] if client else None}

    def span(self) -> Any:
        return traces.span(
            f"{self._method} {self._route}",
            SpanKind.SERVER,
            Headers(scope=self._scope),
            http__request__method=self._method,
            http__route=self._route,
            flowtrail__request_id=self.id,
        )

    @property
    def _is_stream(self) -> bool:
        return b"text/event-stream" in headers_of(self._scope).get(b"accept", b"")


async def _healthz(request: Request) -> Response:
    """The process lives."""
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    """The database answers and is migrated, and the process is not about to stop."""
    if request.app.state.endpoint.stopping.is_set():
        return _unavailable("the process is stopping")
    try:
        async with request.app.state.service.database.primary.read() as read:
            if await schema_state(read) is SchemaState.BEHIND:
                return _unavailable("the database is not migrated")
    except FlowtrailError as error:
        return _unavailable(error.message)
    return JSONResponse({"status": "ok"})


def _unavailable(reason: str) -> Response:
    return JSONResponse({"status": "unavailable", "reason": reason}, 503)


async def _metrics(request: Request) -> Response:
    """The metrics, for whoever may read the record of every server."""
    service: Service = request.app.state.service
    try:
        viewer = await service.access.viewer(request.headers.get("authorization"), client_of(request))
        if not viewer.can_read or viewer.servers is not None:
            raise Unauthenticated("metrics need a token that may read every server")  # noqa: TRY301 (answered like the others)
    except Unauthenticated as error:
        return JSONResponse({"code": error.code, "message": error.message}, 401, {"WWW-Authenticate": "Bearer"})
    except FlowtrailError as error:
        return _unavailable(error.message)
    await _observe_recorders(service)
    metrics.forget_dead_workers()
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)


async def _observe_recorders(service: Service) -> None:
    dropped: dict[str, int] = {}
    try:
        async with service.database.read() as read:
            for recorder in await recorders.all_recorders(read, None):
                dropped[recorder.server] = dropped.get(recorder.server, 0) + recorder.dropped_executions
    except FlowtrailError:
        return
    for server, count in dropped.items():
        metrics.dropped_executions.labels(server).set(count)
