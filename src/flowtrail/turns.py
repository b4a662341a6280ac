"""Fairness on the event loop: what is large is done in parts, and others' work has its turn between them (spec 2.10)."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Generator, Iterable
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

    def __init__(self, client: object | None = None) -> None:
        """The clients take turns with the work that is for them. Every other turn is for what is nobody's, if there is any of it:
        others may wait for that, as for a transaction's locks.
        """
        self._client = client
        self._ends = time.monotonic() + _SHARE
        self._parts: asyncio.Lock | None = None
        self._are_others = False
        self._has_begun = False
        self.were_taken = False
        """Whether others had one meanwhile."""

    @property
    def are_over(self) -> bool:
        """Whether the present turn is used up, or it is others' now."""
        return self._are_others or time.monotonic() > self._ends

    async def next(self) -> None:
        """Return when there is time left: others have nothing to do, or did enough of it."""
        if not self._has_begun:
            # The first turn went by while something was waited for: what is not large is finished in this one.
            self._has_begun = True
            self._ends = time.monotonic() + _SHARE
            return
        if self._parts is None:
            self._parts = asyncio.Lock()
        async with self._parts:
            if time.monotonic() > self._ends:
                self._are_others = self.were_taken = True
                try:
                    await _line().others(self._client)
                finally:
                    self._are_others = False
                    self._ends = time.monotonic() + _SHARE


class Moment:
    """What is too short to be done in parts: one piece in each round of the event loop is done at once, others have a turn each."""

    def __init__(self) -> None:
        self._is_taken = False

    def is_free_for(self, client: object) -> bool:
        """Whether a client's piece can be done at once, since nobody else's was in this round, and none of theirs waits."""
        return not self._is_taken and not _line().has(client)

    async def turn(self, client: object) -> None:
        """Return when it is the turn of a client's piece: at once where that can be."""
        if not self.is_free_for(client):
            await _line().others(client)

    def take(self) -> None:
        """Note that a piece is done at once."""
        if not self._is_taken:
            self._is_taken = True
            asyncio.get_running_loop().call_soon(self._end)

    def _end(self) -> None:
        self._is_taken = False


class _Line:
    """All large pieces of work of an event loop, of which one at a time goes on: small work waits for all that is in its round."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[object, deque[asyncio.Future[None]]] = OrderedDict()
        """By client, who had a turn last is last."""
        self._nobodys: deque[asyncio.Future[None]] = deque()
        """What is no client's."""
        self._was_nobodys = False
        """Whether the last turn was."""

    def has(self, client: object) -> bool:
        """Whether a client's work waits."""
        return client in self._waiting

    async def others(self, client: object | None) -> None:
        """Return when it is the turn of a client's piece of work that came first, and everybody else had theirs."""
        if self._is_taken:
            await self._wait(client)
        self._is_taken = True
        try:
            await _others()
        finally:
            self._call_next()

    async def _wait(self, client: object | None) -> None:
        called: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._nobodys if client is None else self._waiting.setdefault(client, deque())).append(called)
        try:
            await called
        except asyncio.CancelledError:
            if called.done() and not called.cancelled():
                self._call_next()
            raise

    def _call_next(self) -> None:
        self._is_taken = False
        while self._nobodys or self._waiting:
            called = self._first()
            if not called.done():
                self._is_taken = True  # or another would come in between
                called.set_result(None)
                return

    def _first(self) -> asyncio.Future[None]:
        self._was_nobodys = bool(self._nobodys) and not (self._was_nobodys and self._waiting)
        if self._was_nobodys:
            return self._nobodys.popleft()
        client, line = self._waiting.popitem(last=False)
        called = line.popleft()
        if line:
            self._waiting[client] = line
        return called


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


async def stepwise(steps: Generator[None, None, T], turns: Turns) -> T:
    """Return what `steps` return, with others' turns in between."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if turns.are_over:
            await turns.next()
