"""What is checked of a request before anything looks at what it asks: where it comes from, and whom it means to reach.

A browser asks whom any page tells it to. Host is checked against DNS rebinding, Origin against other sites' pages; both for HTTP
and WebSocket. Proxies are believed, and other origins let in, only when the settings name them.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from flowtrail.addresses import networks
from flowtrail.errors import ConfigurationError, Forbidden
from flowtrail.headers import headers_of
from flowtrail.observability import metrics
from flowtrail.throttling import client_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flowtrail.settings import Settings

log = structlog.get_logger()

_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXPOSED_HEADERS = ("Retry-After", "X-Request-Id")
_MISDIRECTED, _FORBIDDEN = 421, 403
_REMEMBERED = 64
"""Decisions that are kept: few, since each may hold as much as the head of a request (connections.py)."""


def mount(app: FastAPI, settings: Settings) -> None:
    """Put the doors before the application, in the order in which a request passes them: proxy, host, CORS, origin.

    Call it after other middlewares that must come behind them were added. Raises ConfigurationError.
    """
    origins = tuple(_checked_origin(origin) for origin in settings.allowed_origins)
    proxies = [str(network) for network in networks(settings.trusted_proxies)]
    app.add_middleware(OriginDoor, allowed=origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("Authorization", "Content-Type"),
            allow_credentials=True,
            expose_headers=_EXPOSED_HEADERS,
        )
    app.add_middleware(HostDoor, allowed=settings.allowed_hosts)
    if proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=proxies)


class HostDoor:
    """Refuses names that are not this service's: a page of another site may have had its name point here (DNS rebinding).

    Addresses are let through, since no name was resolved to them. Where no names are set, any will do, but on a connection
    from this machine, where reading may be open: there only this machine's own names, and whoever shows a token, which such a
    page does not have.
    """

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = tuple(name.lower() for name in allowed)
        self._machine = socket.gethostname().lower()
        self._is_ours = lru_cache(_REMEMBERED)(self._decide)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] in ("http", "websocket"):
            headers, server = headers_of(scope), scope.get("server")
            if not self._is_ours(headers.get(b"host", b""), server and server[0], b"authorization" in headers):
                reason = "Host: is not a name of this service; FLOWTRAIL_ALLOWED_HOSTS lists those that are"
                await _refuse(scope, receive, send, "HOST", _MISDIRECTED, reason)
                return
        await self._app(scope, receive, send)

    def _decide(self, host: bytes, server: str | None, has_token: bool) -> bool:
        name = _name_of(host.decode("latin-1"))
        if name is None:
            return False
        if _is_address(name) or name in ("localhost", self._machine) or name.endswith(".localhost"):
            return True
        if self._allowed:
            return any(_matches(name, pattern) for pattern in self._allowed)
        return has_token or not _is_loopback(server)


class OriginDoor:
    """Refuses what a page of another site makes a browser send. Who is no browser sends no Origin, and is not concerned."""

    def __init__(self, app: ASGIApp, allowed: Sequence[str]) -> None:
        self._app = app
        self._allowed = frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] == "websocket" or (scope["type"] == "http" and scope["method"] not in _SAFE_METHODS):
            headers = headers_of(scope)
            if b"origin" in headers and not self._is_let_in(headers, scope["scheme"]):
                reason = "Origin: the request comes from another site; FLOWTRAIL_ALLOWED_ORIGINS lists those that may"
                await _refuse(scope, receive, send, "ORIGIN", _FORBIDDEN, reason)
                return
        await self._app(scope, receive, send)

    def _is_let_in(self, headers: Mapping[bytes, bytes], scheme: str) -> bool:
        origin = headers[b"origin"].decode("latin-1").lower()
        return origin in self._allowed or headers.get(b"sec-fetch-site") == b"same-origin" or _is_same(origin, headers, scheme)


async def _refuse(scope: Scope, receive: Receive, send: Send, header: str, status: int, reason: str) -> None:
    """Answer with a coded error; a WebSocket is not accepted, which its client sees as status 403."""
    metrics.refusals.labels(header).inc()
    log.warning("request refused", client=client_of(scope), path=scope["path"][:200], reason=reason)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 4403, "reason": "Forbidden"})
        return
    error = {"message": reason, "extensions": {"code": Forbidden.code}}
    # As GraphQL clients read it, and as the page reads /session.
    body = json.dumps({"errors": [error], "code": Forbidden.code, "message": reason})
    await Response(body, status, {"Cache-Control": "no-store"}, "application/json")(scope, receive, send)


def _is_same(origin: str, headers: Mapping[bytes, bytes], scheme: str) -> bool:
    """Whether `origin` is that of this service by the Host asked for, which a proxy may have changed.

    A page that came by http is not one that came by https.
    """
    try:
        page, host = urlsplit(origin), urlsplit(f"//{headers.get(b'host', b'').decode('latin-1').lower()}")
        ports = page.port, host.port
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(page.scheme)
    if default is None or not page.hostname or (page.scheme == "http" and scheme in ("https", "wss")):
        return False
    return page.hostname == host.hostname and (ports[0] or default) == (ports[1] or default)


def _name_of(host: str) -> str | None:
    """The name or address in a Host header, without port and brackets; None when it is none."""
    found = _HOST.fullmatch(host.lower())
    return (found["address"] or found["name"].removesuffix(".")) if found else None


def _matches(name: str, pattern: str) -> bool:
    """`*` matches all, `*.example.com` every name below example.com, anything else itself."""
    return pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(server: str | None) -> bool:
    """Whether the address that a connection reached is this machine's own."""
    if server is None or not _is_address(server):
        return server == "localhost"
    address = ipaddress.ip_address(server)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _checked_origin(origin: str) -> str:
    parts = urlsplit(origin.lower())
    if parts.scheme not in ("http", "https") or not parts.netloc or origin.lower() != f"{parts.scheme}://{parts.netloc}":
        raise ConfigurationError("FLOWTRAIL_ALLOWED_ORIGINS: each must be like https://dashboard.example.com, without a path")
    return origin.lower()
