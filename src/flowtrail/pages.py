"""The web page and GraphiQL, as they were built into `static`: hashed files cached for good, HTML under a strict policy (spec 5).

Files are public, data never is: the page reads it from /graphql like any other client.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from flowtrail.graphql import http
from flowtrail.graphql.media_types import preferred

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

STATIC = Path(__file__).with_name("static")
_NONCE = "__CSP_NONCE__"
"""What the build leaves where each answer gets a nonce of its own."""
_FOR_GOOD = "public, max-age=31536000, immutable"
_FOR_AN_HOUR = "public, max-age=3600"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' {styles}; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_NOT_BUILT = """<!doctype html><title>Flowtrail</title>
<h1>The page is not built</h1>
<p>This checkout has no built page: run <code>uv sync --reinstall-package flowtrail</code>. GraphQL is served all the same.</p>
"""


def mount(app: FastAPI) -> None:
    """Add the routes of the page. Call it last: what no other route answers is an address of the page's own, or nothing."""
    app.add_route("/graphql", _graphiql, methods=["GET"], include_in_schema=False)
    app.add_route("/{path:path}", _page, methods=["GET"], include_in_schema=False)


async def _graphiql(request: Request) -> Response:
    """GraphiQL for a browser that looks; anything else is an operation."""
    if _wants_html(request):
        return _html("graphiql.html", styles="'unsafe-inline'")  # its editor writes style elements without asking
    return await http.handle(request)


async def _page(request: Request) -> Response:
    path = request.url.path
    if path == "/" or (_is_place(path) and _wants_html(request)):
        return _html("index.html", styles="'nonce-{nonce}'")
    file = _built(path)
    if file is not None:
        return _file(request, file)
    if _wants_html(request):
        return _html("index.html", styles="'nonce-{nonce}'", status=404)
    return JSONResponse({"detail": "Not Found"}, 404)


def _built(path: str) -> Path | None:
    """The file that the build left for a path; None when there is none, or can be none by such a name."""
    try:
        file = (STATIC / path.lstrip("/")).resolve()
        is_ours = file.is_relative_to(STATIC.resolve()) and file.suffix in _MEDIA_TYPES and file.is_file()
    except (OSError, ValueError):
        return None
    return file if is_ours else None


def _is_place(path: str) -> bool:
    """Whether the page itself knows the address (frontend/src/address/address.ts)."""
    return path in ("/executions", "/deleted", "/sign-in") or path.startswith("/flows/")


def _wants_html(request: Request) -> bool:
    return preferred(request.headers.get("accept"), ("application/json", "text/html")) == "text/html"


def _html(name: str, *, styles: str, status: int = 200) -> Response:
    file = STATIC / name
    if not file.is_file():
        return HTMLResponse(_NOT_BUILT, 503)
    nonce = secrets.token_urlsafe(16)
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY.format(styles=styles.format(nonce=nonce)),
        "Cross-Origin-Opener-Policy": "same-origin",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return HTMLResponse(file.read_text(encoding="utf-8").replace(_NONCE, nonce), status, headers)


def _file(request: Request, file: Path) -> Response:
    """A built file, compressed where the client takes it so."""
    headers = {
        "Cache-Control": _FOR_GOOD if file.parent.name == "assets" else _FOR_AN_HOUR,
        "X-Content-Type-Options": "nosniff",
    }
    compressed = file.with_name(f"{file.name}.gz")
    media_type = _MEDIA_TYPES[file.suffix]
    if not compressed.is_file():
        return FileResponse(file, headers=headers, media_type=media_type)
    headers["Vary"] = "Accept-Encoding"
    if not _takes_gzip(request.headers.get("accept-encoding", "")):
        return FileResponse(file, headers=headers, media_type=media_type)
    return FileResponse(compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=media_type)


_MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".ttf": "font/ttf"}
"""Not left to the machine's own table, which on some says that JavaScript is text/plain."""


def _takes_gzip(accept_encoding: str) -> bool:
    for entry in accept_encoding.lower().split(","):
        name, _, parameters = entry.partition(";")
        if name.strip() in ("gzip", "*"):
            return parameters.replace(" ", "").rstrip("0") not in ("q=", "q=0.", "q=.")
    return False
