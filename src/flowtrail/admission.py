"""Who may hold a connection open, and who gives way: bounds on connections, whatever they send or don't (spec 2.10).

A connection costs a file descriptor and some memory before anything was asked on it. Each address may have so many, and a quarter
of them before their first request. All of them together leave the process the descriptors that it needs itself: without any it
could neither reach its database nor let anybody in.

Whoever waits longest for a request gives way to who comes: a client has sent its first one long before as many others came.
Connections of proxies that are trusted are bounded together only: many clients share them.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import structlog

from flowtrail.addresses import is_in, network_of, networks
from flowtrail.observability import metrics

if TYPE_CHECKING:
    import asyncio

    from flowtrail.settings import Settings

    Transports = OrderedDict[asyncio.BaseTransport, None]

log = structlog.get_logger()

_OWN_FILES = 64
"""Descriptors that the process needs beside those of clients and of its pools: logs, listeners, hints, a provider's keys."""
_POOLS = 3
_LOG_SECONDS = 60.0
"""Between two lines of the log about connections that were turned away."""


def file_limit() -> int | None:
    """Return how many files this process may have open, sockets among them; None when it may have any number."""
    if sys.platform == "win32":
        return None
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_file_limit() -> None:
    """Let this process, and those it starts, open as many files as the system lets it: what shells begin with is for `select`."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # a system that says "any number" and means fewer
        log.debug("the limit on open files stays as it is")


class _Client:
    """The connections of one address."""

    __slots__ = ("address", "new", "open")

    def __init__(self, address: str) -> None:
        self.address = address
        self.open = 0
        self.new: Transports = OrderedDict()
        """Those that have not sent a request yet, in the order in which they came."""


class Admission:
    """The connections of one process. A connection is known by its transport, whatever is spoken on it."""

    def __init__(self, settings: Settings) -> None:
        """Raises ConfigurationError when the proxies that the settings trust are none."""
        self._of_client = settings.connections_per_client or 2 * settings.streams_per_client
        self._new_of_client = max(self._of_client // 4, 1)
        files = file_limit()
        own = _OWN_FILES + _POOLS * settings.pool_size
        self._in_all = None if files is None else max(files - own, files // 2)
        self._trusted = networks(settings.trusted_proxies)
        self._clients: dict[str, _Client] = {}
        self._open: dict[asyncio.BaseTransport, _Client | None] = {}
        self._waiting: Transports = OrderedDict()
        """Those on which no request is under way, that waits longest first; none of a trusted proxy's."""
        self._turned_away = 0
        self._told_at: float | None = None

    def admit(self, transport: asyncio.BaseTransport, address: str | None) -> bool:
        """Take a new connection, or end it at once; returns whether it was taken."""
        client = self._client(address)
        if client is not None and (client.open >= self._of_client or len(client.new) >= self._new_of_client):
            if not client.new:
                return self._turn_away(transport, "client", address)
            self._turn_away(next(iter(client.new)), "client", address)
        if self._in_all is not None and len(self._open) >= self._in_all:
            if not self._waiting:
                return self._turn_away(transport, "process", address)
            self._turn_away(next(iter(self._waiting)), "process", address)
        self._open[transport] = client
        metrics.connections_open.inc()
        if client is not None:
            self._clients[client.address] = client
            client.open += 1
            client.new[transport] = None
            self._waiting[transport] = None
        return True

    def begins(self, transport: asyncio.BaseTransport) -> None:
        """Learn that a whole head of a request has come."""
        client = self._open.get(transport)
        if client is not None:
            client.new.pop(transport, None)
            self._waiting.pop(transport, None)

    def waits(self, transport: asyncio.BaseTransport) -> None:
        """Learn that every request of a connection was answered."""
        if self._open.get(transport) is not None:
            self._waiting[transport] = None

    def left(self, transport: asyncio.BaseTransport) -> None:
        """Learn that a connection has ended; one that was turned away is not known any more."""
        if transport not in self._open:
            return
        client = self._open.pop(transport)
        metrics.connections_open.dec()
        if client is not None:
            client.new.pop(transport, None)
            self._waiting.pop(transport, None)
            client.open -= 1
            if not client.open:
                del self._clients[client.address]

    def _client(self, address: str | None) -> _Client | None:
        """None: it is not counted by itself."""
        if address is None or is_in(address, self._trusted):
            return None
        network = network_of(address)
        return self._clients.get(network) or _Client(network)

    def _turn_away(self, transport: asyncio.BaseTransport, limit: str, address: str | None) -> bool:
        self.left(transport)
        transport.abort()  # type: ignore[attr-defined]  # every transport of a stream has it
        metrics.connections_turned_away.labels(limit).inc()
        self._turned_away += 1
        now = time.monotonic()
        if self._told_at is None or now >= self._told_at + _LOG_SECONDS:
            log.warning("connections turned away", limit=limit, client=address, count=self._turned_away, open=len(self._open))
            self._told_at, self._turned_away = now, 0
        return False
