"""How many streams, WebSockets and server-sent events alike, each client holds open."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowtrail.addresses import network_of
from flowtrail.errors import LimitExceeded
from flowtrail.observability import metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import HTTPConnection


class Streams:
    """Counts the open streams of each address."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: Counter[str] = Counter()

    @contextmanager
    def opened(self, connection: HTTPConnection) -> Iterator[None]:
        """Count a stream as long as the block lasts; raises LimitExceeded when its client has as many as it may."""
        address = network_of(connection.client.host) if connection.client else ""
        if self._open[address] >= self._limit:
            raise LimitExceeded(f"more than {self._limit} streams are open from your address")
        self._open[address] += 1
        metrics.streams.inc()
        try:
            yield
        finally:
            metrics.streams.dec()
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]
