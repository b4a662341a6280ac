"""Fairness on the event loop: what is large is done in parts, and others' work has its turn between them (spec 2.10)."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Generator, Iterable
from itertools import count
from typing import TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

_SHARE = 0.0003
"""Seconds for which it may go on before others are looked for."""
_OTHERS = 0.002
"""Seconds that are left to others then, if they have so much to do."""
_IDLE = 0.00005
"""Seconds in which the event loop finds nothing to do for others."""


class Turns:
    """The turns of one piece of work. Its parts that wait for the next are let in one after the other, as many as fit into it."""

    def __init__(self) -> None:
        self._ends = time.monotonic() + _SHARE
        self._parts: asyncio.Lock | None = None
        self._are_others = False
        self._taken = 0
        self.were_taken = False
        """Whether others had one meanwhile."""

    @property
    def are_over(self) -> bool:
        """Whether the present turn is used up, or it is others' now."""
        return self._are_others or time.monotonic() > self._ends

    async def next(self) -> None:
        """Return when there is time left: others have nothing to do, or did enough of it."""
        if not self._taken and not self._are_others:
            # The first went by while something was waited for: what is not large is finished in this one.
            self._begin()
            return
        if self._parts is None:
            self._parts = asyncio.Lock()
        async with self._parts:
            if time.monotonic() > self._ends:
                self._are_others = self.were_taken = True
                try:
                    await _line().leave_to_others(self._taken)
                finally:
                    self._are_others = False
                    self._begin()

    def _begin(self) -> None:
        self._taken += 1
        self._ends = time.monotonic() + _SHARE


class _Line:
    """All large pieces of work of an event loop, of which one at a time goes on: that which had the fewest turns."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._came = count()

    async def leave_to_others(self, turns: int) -> None:
        """Return when it is the turn of a piece of work that had so many, and everybody else had theirs."""
        if self._is_taken:
            await self._wait(turns)
        self._is_taken = True
        try:
            await _others()
        finally:
            self._is_taken = False
            self._call_next()

    async def _wait(self, turns: int) -> None:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turns, next(self._came), called))
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._is_taken = False
                self._call_next()
            raise

    def _call_next(self) -> None:
        while self._waiting:
            called = heapq.heappop(self._waiting)[2]
            if not called.done():
                self._is_taken = True  # or another would come in between
                called.set_result(None)
                return


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()


def _line() -> _Line:
    return _lines.setdefault(asyncio.get_running_loop(), _Line())


async def _others() -> None:
    """Return when others have nothing to do. What they wait for most takes several rounds of the loop, each of them short.

    In one round the loop learns what there is to do, in the next it is done: nothing has come when two were short.
    """
    began = now = time.monotonic()
    short = 0
    while short < 2 and now - began < _OTHERS:
        round_began = now
        await asyncio.sleep(0)
        now = time.monotonic()
        short = short + 1 if now - round_began < _IDLE else 0


async def in_turns(items: Iterable[T], turns: Turns | None, at_once: int = 1) -> AsyncIterator[T]:
    """Iterate over `items`, with others' turns in between, but not among so many at once; without `turns` there are none."""
    for number, item in enumerate(items):
        if turns is not None and number % at_once == 0 and turns.are_over:
            await turns.next()
        yield item


async def stepwise(steps: Generator[None, None, T]) -> T:
    """Return what `steps` return, with others' turns in between."""
    turns = Turns()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if turns.are_over:
            await turns.next()
