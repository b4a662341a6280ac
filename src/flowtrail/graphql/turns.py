"""Fairness on the event loop: what is large is completed in parts, and others' requests have their turn between them."""

import asyncio
import time

_SHARE = 0.0005
"""Seconds for which an operation may go on before others have their turn."""


class Turns:
    """The turns of one operation. Those who wait for the next are let in one after the other, as many as fit into it."""

    def __init__(self) -> None:
        self._ends = time.monotonic() + _SHARE
        self._line = asyncio.Lock()
        self.were_taken = False
        """Whether others had one meanwhile."""

    @property
    def are_over(self) -> bool:
        """Whether the present turn is used up, or others wait for the next already."""
        return self._line.locked() or time.monotonic() > self._ends

    async def next(self) -> None:
        """Return when there is time left."""
        async with self._line:
            if time.monotonic() > self._ends:
                self.were_taken = True
                await asyncio.sleep(0)
                self._ends = time.monotonic() + _SHARE
