"""The body of a POST: never more of it in memory than the sender may send, and never waited for without end (spec 2.10)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect

from flowtrail import json_text
from flowtrail.errors import BadUserInput, FlowtrailError, LimitExceeded, TimedOut
from flowtrail.graphql import eager
from flowtrail.graphql.large_bodies import LARGE
from flowtrail.headers import headers_of
from flowtrail.turns import Turns, stepwise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from flowtrail.auth import Viewer
    from flowtrail.graphql.context import Context
    from flowtrail.graphql.large_bodies import LargeBodies
    from flowtrail.json_parts import Steps
    from flowtrail.shares import Place

MIB = 1024 * 1024
_COUNTED = 64 * 1024
"""Bytes that are counted in one go."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be in a body."""

    size: int
    """In bytes."""
    containers: int
    """Arrays and objects: each takes far longer to decode than the bytes it has."""
    commas: int
    """Between values, or in text: it is counted before anything is decoded."""

    def broken_by(self, text: bytes | bytearray) -> str | None:
        """Return what a JSON text of no more than `size` has too much of; None when it keeps the limits."""
        return self._excess(text.count(b"[") + text.count(b"{"), text.count(b","))

    def broken_by_large(self, text: bytes | bytearray) -> Steps[str | None]:
        """Return the same, as Steps."""
        containers = commas = 0
        for start in range(0, len(text), _COUNTED):
            part = text[start : start + _COUNTED]
            containers += part.count(b"[") + part.count(b"{")
            commas += part.count(b",")
            yield
        return self._excess(containers, commas)

    def _excess(self, containers: int, commas: int) -> str | None:
        if containers > self.containers:
            return f"has more than {self.containers} arrays and objects"
        if commas > self.commas:
            return f"has more than {self.commas} commas"
        return None


READERS = Limits(1 * MIB, containers=20_000, commas=120_000)
"""More than a document and its variables may have (limits.py)."""
RECORDERS = Limits(8 * MIB, containers=500_000, commas=2_000_000)
"""More than an event with a value of 1 MiB has, whatever it is: a recorder divides a batch that is refused."""


class HttpRefusal(Exception):
    """A request that is refused with an HTTP status of its own."""

    def __init__(self, status: int, error: FlowtrailError, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.message)
        self.status = status
        self.error = error
        self.headers = dict(headers or {})


def limits_of(viewer: Viewer) -> Limits:
    """Return how much may be in a body of this viewer."""
    return RECORDERS if viewer.can_record else READERS


@lru_cache(64)
def is_json(content_type: str) -> bool:
    """Tell whether a Content-Type is that of JSON in UTF-8."""
    name, _, parameters = content_type.partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    return name.strip().lower() == "application/json" and charset in ("", "charset=utf-8")


class Body:
    """The body of one request."""

    def __init__(self, request: Request) -> None:
        self.is_read = False
        """Whether all of it has come: a client that is answered before may still be sending."""
        self._headers = headers_of(request.scope)
        self._receive = request.receive
        self._bytes: bytes | bytearray = b""

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return len(self._bytes)

    async def decoded(self, context: Context, place: Place, seconds: float, large_bodies: LargeBodies) -> Any:
        """Return the JSON value of the body; of a large one of a recorder, as much of it as LargeBodies.decoded returns.

        A large one is read when its client has `place` for it. Raises HttpRefusal for another media type, a compressed body, one
        that is over the limits, before it is read if it says so, or one that takes longer than `seconds` to arrive; BadUserInput
        for what is no JSON; ClientDisconnect; Unavailable.
        """
        if not is_json(self._headers.get(b"content-type", b"").decode("latin-1")):
            raise HttpRefusal(415, BadUserInput("Content-Type: must be application/json"))
        if self._headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise HttpRefusal(415, BadUserInput("Content-Encoding: a body must not be compressed"), {"Accept-Encoding": "identity"})
        viewer, limits = context.viewer, limits_of(context.viewer)
        size = self._announced(limits.size)
        if size > LARGE:
            await place.hold(context.share, size, seconds)
        await self._read(limits.size, seconds)
        try:
            if len(self._bytes) > limits.containers:
                turns = Turns(None if viewer.can_record else context.share.client)
                reason = await stepwise(limits.broken_by_large(self._bytes), turns)
                if reason is not None:
                    raise HttpRefusal(413, LimitExceeded(f"the request body {reason}"))
            if len(self._bytes) <= LARGE:
                return json_text.load(self._bytes)
            return await large_bodies.decoded(self._bytes, viewer, seconds)
        except json_text.JsonTextError as error:
            raise BadUserInput(f"the request body is {error}") from None

    def _announced(self, limit: int) -> int:
        """Return how many bytes come at most; raises HttpRefusal when these are too many."""
        announced = self._headers.get(b"content-length")
        if announced is None:
            return limit
        if len(announced) > len(str(limit)) or not announced.isdigit() or int(announced) > limit:
            raise _too_large(limit)
        return int(announced)

    async def _read(self, limit: int, seconds: float) -> None:
        rest = eager.start(self._take(limit))
        if rest is None:
            return  # it came together with the headers, as most do
        try:
            async with asyncio.timeout(seconds):
                await rest
        except TimeoutError:
            slow = TimedOut(f"the request body took longer than {seconds:g} s to arrive")
            raise HttpRefusal(408, slow, {"Connection": "close"}) from None

    async def _take(self, limit: int) -> None:
        taken = bytearray()
        while not self.is_read:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self.is_read = not message.get("more_body", False)
            taken += message.get("body", b"")
            if len(taken) > limit:
                raise _too_large(limit)
        self._bytes = taken


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(413, LimitExceeded(f"the request body is larger than {limit} bytes"))
