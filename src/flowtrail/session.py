"""Signing in from a browser: a read token is traded for a cookie that no script can see (spec 5.10).

The cookie counts as the Authorization header it stands for. Requests of other sites' pages don't get here (doors.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response

from flowtrail.errors import (
    BadUserInput,
    FlowtrailError,
    Forbidden,
    LimitExceeded,
    TimedOut,
    TooManyAttempts,
    Unauthenticated,
    Unavailable,
)
from flowtrail.headers import headers_of, with_header
from flowtrail.throttling import client_of

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flowtrail.auth import Access

PATH = "/session"
COOKIE = "flowtrail_session"
SIGN_IN_PATH = f"{PATH}/oidc"
"""Where a browser is sent to sign in at the OpenID provider (sign_in.py)."""
_TOKEN_COOKIE_SECONDS = 30 * 24 * 3600
_MAX_BODY_BYTES = 16 * 1024
_STATUS = {
    BadUserInput.code: 400,
    Unauthenticated.code: 401,
    Forbidden.code: 403,
    LimitExceeded.code: 413,
    Unavailable.code: 503,
    TimedOut.code: 504,
}


def mount(app: FastAPI) -> None:
    """Add /session to the application, and let the cookie count wherever a token does."""
    app.add_middleware(CookieAsAuthorization)
    app.add_route(PATH, _session, methods=["GET", "POST", "DELETE"], include_in_schema=False)


class CookieAsAuthorization:
    """Gives requests that carry the cookie, and no Authorization of their own, the header it stands for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] in ("http", "websocket"):
            headers = headers_of(scope)
            if b"cookie" in headers and b"authorization" not in headers and (token := HTTPConnection(scope).cookies.get(COOKIE)):
                scope = with_header(scope, b"authorization", _authorization(token))
        await self._app(scope, receive, send)


def set_cookie(response: Response, request: Request, token: str, max_age: int) -> None:
    """Let the browser keep `token` for `max_age` seconds, for this site's own requests only; 0 takes it back."""
    value = quote(token, safe="")
    response.set_cookie(COOKIE, value, max_age, httponly=True, samesite="strict", secure=request.url.scheme == "https")


def _authorization(cookie: str) -> bytes:
    return f"Bearer {unquote(cookie)}".encode("latin-1", "replace")


async def _session(request: Request) -> Response:
    """GET: whether this browser is signed in, and where else it may; POST {"token"}: sign in; DELETE: sign out."""
    access: Access = request.app.state.service.access
    try:
        if request.method == "GET":
            return await _state(access, request)
        response = Response(status_code=204)
        if request.method == "DELETE":
            await access.end_session(unquote(request.cookies.get(COOKIE, "")))
            set_cookie(response, request, "", 0)
        else:
            token = _token(await _body(request))
            await _require_reader(access, token, client_of(request))
            set_cookie(response, request, token, _TOKEN_COOKIE_SECONDS)
    except FlowtrailError as error:
        answer = {"code": error.code, "message": error.message}
        if isinstance(error, TooManyAttempts):
            return JSONResponse(answer, 429, {"Retry-After": str(error.retry_after)})
        return JSONResponse(answer, _STATUS.get(error.code, 400))
    return response


async def _state(access: Access, request: Request) -> Response:
    can_sign_in = access.provider is not None and access.provider.can_sign_in
    state = {"isSignedIn": await _is_signed_in(access, request), "signInUrl": SIGN_IN_PATH if can_sign_in else None}
    return JSONResponse(state, headers={"Cache-Control": "no-store"})


async def _is_signed_in(access: Access, request: Request) -> bool:
    token = request.cookies.get(COOKIE)
    if not token:
        return False
    try:
        return (await access.viewer(f"Bearer {unquote(token)}", client_of(request))).can_read
    except Unauthenticated:
        return False


async def _require_reader(access: Access, token: str, client: str) -> None:
    """Raise unless the token is one to read with: a browser has no use for one that may write."""
    viewer = await access.viewer(f"Bearer {token}", client)
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
