"""Signing in from a browser: the read token is traded for a cookie that no script can see (spec 5.10).

The cookie counts as the Authorization header it stands for, on requests that come from a page of this very service only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from flowtrail.errors import BadUserInput, FlowtrailError, Forbidden, LimitExceeded, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flowtrail.auth import Access

COOKIE = "flowtrail_session"
_COOKIE_SECONDS = 30 * 24 * 3600
_MAX_BODY_BYTES = 16 * 1024
_STATUS = {BadUserInput: 400, Unauthenticated: 401, Forbidden: 403, LimitExceeded: 413, Unavailable: 503}


def mount(app: FastAPI) -> None:
    """Add /session to the application, and let the cookie count wherever a token does."""
    app.add_middleware(CookieAsAuthorization)
    app.add_route("/session", _session, methods=["GET", "POST", "DELETE"], include_in_schema=False)


class CookieAsAuthorization:
    """Gives requests that carry the cookie, and no Authorization of their own, the header it stands for.

    A browser sends the cookie, and opens WebSockets, whoever asks it to: both count only when a page of this service asks.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] in ("http", "websocket"):
            connection = HTTPConnection(scope)
            if scope["type"] == "websocket" and not _is_same_origin(connection):
                await send({"type": "websocket.close", "code": 4403, "reason": "Forbidden: another origin"})
                return
            token = connection.cookies.get(COOKIE)
            if token and "authorization" not in connection.headers and _may_use_cookie(connection):
                scope = {**scope, "headers": [*scope["headers"], (b"authorization", _authorization(token))]}
        await self._app(scope, receive, send)


def _may_use_cookie(connection: HTTPConnection) -> bool:
    return connection.scope.get("method") in ("GET", "HEAD") or _is_same_origin(connection)


def _is_same_origin(connection: HTTPConnection) -> bool:
    """Whether a page of this service asks, or none: browsers always send Origin with POST and WebSocket, others need not."""
    if connection.headers.get("sec-fetch-site") == "same-origin":
        return True
    origin = connection.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == connection.headers.get("host", "").lower()


def _authorization(cookie: str) -> bytes:
    return f"Bearer {unquote(cookie)}".encode("latin-1", "replace")


async def _session(request: Request) -> Response:
    """GET: whether this browser is signed in; POST {"token"}: sign in; DELETE: sign out."""
    access: Access = request.app.state.service.access
    try:
        if request.method == "GET":
            return JSONResponse({"isSignedIn": await _is_signed_in(access, request)}, headers={"Cache-Control": "no-store"})
        if not _is_same_origin(request):
            raise Forbidden("the request comes from another origin")
        if request.method == "DELETE":
            return _with_cookie(Response(status_code=204), request, "", 0)
        token = _token(await _body(request))
        await _require_reader(access, token)
        return _with_cookie(Response(status_code=204), request, quote(token, safe=""), _COOKIE_SECONDS)
    except FlowtrailError as error:
        return JSONResponse({"code": error.code, "message": error.message}, _STATUS.get(type(error), 400))


async def _is_signed_in(access: Access, request: Request) -> bool:
    token = request.cookies.get(COOKIE)
    if not token:
        return False
    try:
        return (await access.viewer(f"Bearer {unquote(token)}")).can_read
    except Unauthenticated:
        return False


async def _require_reader(access: Access, token: str) -> None:
    """Raise unless the token is one to read with: a browser has no use for one that may write."""
    viewer = await access.viewer(f"Bearer {token}")
    if viewer.can_record:
        raise Forbidden("this is a recorder token: sign in with one that may only read")
    if not viewer.can_read:
        raise Forbidden("this token may not read")


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise LimitExceeded(f"the request body is larger than {_MAX_BODY_BYTES} bytes")
    return bytes(body)


def _token(body: bytes) -> str:
    try:
        content: Any = json.loads(body)
    except (ValueError, RecursionError):
        raise BadUserInput("the request body is not JSON") from None
    token = content.get("token") if isinstance(content, dict) else None
    if not isinstance(token, str) or not token.strip() or not token.isascii():
        raise BadUserInput("token: must be a token")
    return token.strip()


def _with_cookie(response: Response, request: Request, value: str, max_age: int) -> Response:
    response.set_cookie(COOKIE, value, max_age, httponly=True, samesite="strict", secure=request.url.scheme == "https")
    return response
