"""Work that gives way: it goes on while others have nothing to do, or have had most of the time (spec 2.10)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flowtrail.json_parts import Steps

T = TypeVar("T")

_SHARE = 0.0003
"""Seconds for which it may go on before others are looked for."""
_OTHERS = 0.002
"""Seconds that are left to others then, if they have so much to do."""
_IDLE = 0.00005
"""Seconds in which the event loop finds nothing to do for others."""


class GivingWay:
    """The turns of work that gives way. What others wait for most takes several rounds of the loop, each of them short."""

    def __init__(self) -> None:
        self._ends = time.monotonic() + _SHARE

    @property
    def are_over(self) -> bool:
        """Whether the present turn is used up."""
        return time.monotonic() > self._ends

    async def next(self) -> None:
        """Return when others have nothing to do, or did enough of it."""
        began = now = time.monotonic()
        while True:
            round_began = now
            await asyncio.sleep(0)
            now = time.monotonic()
            if now - round_began < _IDLE or now - began > _OTHERS:
                break
        self._ends = now + _SHARE


async def in_turns(steps: Steps[T]) -> T:
    """Return what `steps` return, giving way in between."""
    turns = GivingWay()
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if turns.are_over:
            await turns.next()
