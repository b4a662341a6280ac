"""What waits for one subscriber: in order, bounded, and handed over at once where nothing waits."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

MAX_BEHIND = 1000
"""Changes that may wait for a subscriber; one that is further behind is cut off (spec 3.4)."""

T = TypeVar("T")


class TooFarBehind(Exception):
    """The subscriber does not read as fast as things change."""


class Mailbox(Generic[T]):
    """The mailbox of one subscriber. Its owner joins the tail after it may be filled, and then says from which batch on."""

    def __init__(
        self,
        max_size: int,
        *,
        hand_over: Callable[[T], Awaitable[None] | None] | None = None,
        when_full: Callable[[], None] | None = None,
    ) -> None:
        """Bound what waits to MAX_BEHIND items, and to `max_size` as `put` counts it, where more than one waits.

        `hand_over` gives an item to an owner who only waits for it, and returns what is left to await, if anything. `when_full` is
        called when a bound is passed: the owner may be stuck in a send, and not look here again.
        """
        self._waiting: deque[tuple[int, T, int]] = deque()
        self._size = 0
        self._max_size = max_size
        self._arrived = asyncio.Event()
        self._is_owner_waiting = False
        self._hand_over = hand_over
        self._handing_over: Awaitable[None] | None = None
        self._end: Exception | None = None
        self._when_full = when_full
        self.since = 0
        """Batches up to this number are not for this subscriber."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is added."""
        return self._end is not None

    def put(self, number: int, item: T, size: int) -> None:
        """Add something of the batch `number`."""
        if self._end is not None:
            return
        if self._is_owner_waiting and self._hand_over is not None and number > self.since:
            try:
                self._handing_over = self._hand_over(item)
            except Exception as error:
                self.end(error)
                return
            if self._handing_over is not None:
                self._wake_owner()
            return
        if len(self._waiting) >= MAX_BEHIND or (self._waiting and self._size + size > self._max_size):
            self._waiting.clear()
            self.end(TooFarBehind())
            if self._when_full is not None:
                self._when_full()
            return
        self._waiting.append((number, item, size))
        self._size += size
        self._wake_owner()

    def end(self, reason: Exception) -> None:
        """Add nothing more; who takes is told the reason after what waits."""
        self._end = self._end or reason
        self._wake_owner()

    def _wake_owner(self) -> None:
        self._is_owner_waiting = False
        self._arrived.set()

    async def take(self) -> T:
        """Return the next item that was not handed over; raises the reason of the end."""
        while True:
            while self._waiting:
                number, item, size = self._waiting.popleft()
                self._size -= size
                if number > self.since:
                    return item
            if self._end is not None:
                raise self._end
            await self._wait()

    async def _wait(self) -> None:
        self._arrived.clear()
        self._is_owner_waiting = True
        try:
            await self._arrived.wait()
        finally:
            self._is_owner_waiting = False
        if (rest := self._handing_over) is not None:
            self._handing_over = None
            await rest
