"""The body of a POST: never more of it in memory than the sender may send, and never waited for without end (spec 2.10)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from flowtrail import json_text
from flowtrail.errors import BadUserInput, FlowtrailError, LimitExceeded, TimedOut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

    from flowtrail.auth import Viewer

MAX_BYTES = 1024 * 1024
"""Of a body from whoever may not record."""
MAX_CONTAINERS = 50_000
"""Arrays and objects in such a body: each takes far longer to decode than the bytes it has."""
MAX_RECORDER_BYTES = 8 * 1024 * 1024
_UNWANTED_SECONDS = 2.0


class HttpRefusal(Exception):
    """A request that is refused with an HTTP status of its own."""

    def __init__(self, status: int, error: FlowtrailError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = dict(headers or {})


def max_bytes(viewer: Viewer) -> int:
    """Return how large a body of this viewer may be."""
    return MAX_RECORDER_BYTES if viewer.can_record else MAX_BYTES


async def decoded(request: Request, limit: int, seconds: float) -> Any:
    """Return the JSON value of the body.

    Raises HttpRefusal for another media type, a compressed body, one of more than `limit` bytes, before it is read if it says so,
    a reader's that is made of brackets, or one that takes longer than `seconds` to arrive; BadUserInput for what is no JSON;
    ClientDisconnect.
    """
    if not is_json(request.headers.get("content-type", "")):
        raise HttpRefusal(415, BadUserInput("Content-Type: must be application/json"))
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HttpRefusal(415, BadUserInput("Content-Encoding: a body must not be compressed"), {"Accept-Encoding": "identity"})
    body = await _read(request, limit, seconds)
    if limit == MAX_BYTES and body.count(b"[") + body.count(b"{") > MAX_CONTAINERS:
        raise HttpRefusal(413, LimitExceeded(f"the request body has more than {MAX_CONTAINERS} arrays and objects"))
    try:
        return json_text.load(body)
    except json_text.JsonTextError as error:
        raise BadUserInput(f"the request body is {error}") from None


def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type is that of JSON in UTF-8."""
    name, _, parameters = content_type.partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    return name.strip().lower() == "application/json" and charset in ("", "charset=utf-8")


async def _read(request: Request, limit: int, seconds: float) -> bytes:
    too_large = HttpRefusal(413, LimitExceeded(f"the request body is larger than {limit} bytes"))
    announced = request.headers.get("content-length", "0")
    if len(announced) > len(str(limit)) or not announced.isdecimal() or int(announced) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        slow = TimedOut(f"the request body took longer than {seconds:g} s to arrive")
        raise HttpRefusal(408, slow, {"Connection": "close"}) from None
    request.state.is_read = True
    return bytes(body)


class UnreadBodyResponse(Response):
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
    while taken <= MAX_RECORDER_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
        taken += len(message.get("body", b""))
