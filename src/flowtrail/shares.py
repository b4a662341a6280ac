"""What each client may use of the service at the same time: who asks for much waits for themselves, and nobody else (spec 2.10).

A client is a viewer at an address. Without others it is as fast with its share as with all there is: what it waits for is the
processor. But nobody else ever waits for more than a few statements and parts of answers that are its.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from flowtrail.addresses import network_of
from flowtrail.errors import Unavailable
from flowtrail.observability import metrics
from flowtrail.turns import Turns

if TYPE_CHECKING:
    from flowtrail.settings import Settings

_LINE = 1000
"""Requests that may wait for others of the same client."""
_DEAR = 10_000
"""What its dear operations may weigh at the same time (graphql/limits.py): about as much as one of them may alone."""
DEAR = 1_000
"""Beyond this weight an operation is dear."""
_BYTES = 64 * 1024 * 1024
"""Of its large bodies, from their first bytes until they are answered; and of its large answers, until they were sent."""
_KEPT = 100
"""Shares that are held even when their clients ask for nothing, since most ask again soon."""


class Gate:
    """Lets in so much at the same time; who comes first goes first."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    def try_enter(self, size: int = 1) -> bool:
        """Enter if there is room, and nobody waits."""
        if self._line or size > self._room:
            return False
        self._room -= size
        return True

    async def enter(self, size: int = 1) -> None:
        """Enter when there is room; whoever does must leave."""
        if self.try_enter(size):
            return
        waiting = size, asyncio.get_running_loop().create_future()
        self._line.append(waiting)
        try:
            await waiting[1]
        except asyncio.CancelledError:
            if waiting in self._line:
                self._line.remove(waiting)
                self._let_in()  # who needs less room than this one
            else:
                self.leave(size)
            raise

    def leave(self, size: int = 1) -> None:
        """Make room for who waits."""
        self._room += size
        self._let_in()

    def _let_in(self) -> None:
        while self._line and self._line[0][0] <= self._room:
            size, waiting = self._line.popleft()
            self._room -= size
            if not waiting.done():
                waiting.set_result(None)


class Share:
    """One client's share: of what is executed, of each pool of connections, and of the memory for large bodies."""

    def __init__(self, operations: int, connections: int) -> None:
        self.operations = Gate(operations)
        self.dear = Gate(_DEAR)
        """By weight. Dear operations wait for each other, and keep nobody else waiting."""
        self.reading = Gate(connections)
        self.writing = Gate(connections)
        self.bytes = Gate(_BYTES)
        self.unsent = Gate(_BYTES)
        self.client = object()
        """What stands for it where clients take turns."""
        self.turns = Turns(self.client)
        """Of what is executed for its subscriptions."""


class Shares:
    """The shares of all clients that ask for something now."""

    def __init__(self, settings: Settings) -> None:
        self._operations = settings.operations_per_client
        self._connections = max(1, settings.pool_size // 3)
        self._of_clients: WeakValueDictionary[tuple[str, str], Share] = WeakValueDictionary()
        self._latest: deque[Share] = deque(maxlen=_KEPT)

    def of(self, viewer: str, address: str) -> Share:
        """Return the share of a viewer at an address. It is the same for as long as anybody holds it."""
        client = viewer, network_of(address)
        share = self._of_clients.get(client)
        if share is None:
            share = self._of_clients[client] = self.another()
            self._latest.append(share)
        return share

    def another(self) -> Share:
        """Return a share that is no client's."""
        return Share(self._operations, self._connections)


class Place:
    """What one request has of its client's share, until it is answered."""

    __slots__ = ("_has", "_was_left")

    def __init__(self) -> None:
        self._has: list[tuple[Share, Gate, int]] = []
        """The share is held, or the client's next request would be given another."""
        self._was_left = False

    async def hold(self, share: Share, size: int, seconds: float) -> None:
        """Have room for a body of so many bytes; raises Unavailable when the client's others take it for longer than `seconds`."""
        await self._enter(share, share.bytes, size, seconds)

    def enter(self, share: Share) -> bool:
        """Begin an operation, if it does not have to wait for others of the same client, or has begun."""
        gate = share.operations
        if (share, gate, 1) in self._has:
            return True
        if not gate.try_enter():
            return False
        self._has.append((share, gate, 1))
        return True

    async def wait(self, share: Share, seconds: float) -> float:
        """Begin when it may; return how many of the seconds are left to execute it in.

        Raises Unavailable when too many wait already, or those before take longer.
        """
        return await self._enter(share, share.operations, 1, seconds)

    async def wait_for_dear(self, share: Share, weight: int, seconds: float) -> float:
        """Go on when a dear operation may; cheap ones of the client do not wait meanwhile. Returns and raises as `wait` does."""
        self._leave([(share, share.operations, 1)])
        return await self._enter(share, share.dear, min(weight, _DEAR), seconds)

    def answered(self) -> None:
        """Have no place any more, but for what is still to be sent: a client that does not read locks itself out of nothing."""
        self._leave([has for has in self._has if has[1] is not has[0].unsent])

    def hold_values(self, share: Share, size: int) -> None:
        """Have room for what was read for an answer, until that was sent; raises Unavailable when there is none."""
        if self._was_left:
            return  # by who gave up the work that goes on here for a moment
        if not share.unsent.try_enter(size):
            raise Unavailable(f"more than {_BYTES} bytes of answers to you are not read yet; send it again when they are")
        self._has.append((share, share.unsent, size))

    def hold_answer(self, share: Share, size: int) -> None:
        """Have room for an answer, with what is in it already, until it was sent; raises Unavailable when there is none."""
        held = sum(held for _, gate, held in self._has if gate is share.unsent)
        self.hold_values(share, max(0, min(size, _BYTES) - held))

    def leave(self) -> None:
        """Give back what it has."""
        self._was_left = True
        self._leave(self._has)

    def _leave(self, what: list[tuple[Share, Gate, int]]) -> None:
        self._has = [has for has in self._has if has not in what]
        for _, gate, size in what:
            gate.leave(size)

    async def _enter(self, share: Share, gate: Gate, size: int, seconds: float) -> float:
        began = time.monotonic()
        if not gate.try_enter(size):
            metrics.held_up.inc()
            if gate.waiting >= _LINE:
                raise Unavailable(f"{_LINE} requests of yours wait for others already; send it again later")
            try:
                async with asyncio.timeout(seconds):
                    await gate.enter(size)
            except TimeoutError:
                raise Unavailable(f"other requests of yours took longer than {seconds:g} s; send it again") from None
        self._has.append((share, gate, size))
        return seconds - (time.monotonic() - began)
