"""Fairness on the event loop: what is large is done in parts, and others' work has its turn between them (spec 2.10)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Generator, Iterable
from typing import TypeVar

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
        self._line: asyncio.Lock | None = None
        self._are_others = False
        self.were_taken = False
        """Whether others had one meanwhile."""

    @property
    def are_over(self) -> bool:
        """Whether the present turn is used up, or it is others' now."""
        return self._are_others or time.monotonic() > self._ends

    async def next(self) -> None:
        """Return when there is time left: others have nothing to do, or did enough of it."""
        if self._line is None:
            self._line = asyncio.Lock()
        async with self._line:
            if time.monotonic() > self._ends:
                self._are_others = self.were_taken = True
                try:
                    await _leave_to_others()
                finally:
                    self._are_others = False
                    self._ends = time.monotonic() + _SHARE


async def _leave_to_others() -> None:
    """Return when they have nothing to do. What they wait for most takes several rounds of the loop, each of them short.

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
