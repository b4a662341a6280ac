"""Fairness on the event loop: what is large is completed in parts, and others' requests have their turn between them."""

import asyncio

from flowtrail.graphql.giving_way import GivingWay


class Turns:
    """The turns of one operation. Those who wait for the next are let in one after the other, as many as fit into it."""

    def __init__(self) -> None:
        self._way = GivingWay()
        self._line = asyncio.Lock()
        self.were_taken = False
        """Whether others had one meanwhile."""

    @property
    def are_over(self) -> bool:
        """Whether the present turn is used up, or others wait for the next already."""
        return self._line.locked() or self._way.are_over

    async def next(self) -> None:
        """Return when there is time left."""
        async with self._line:
            if self._way.are_over:
                self.were_taken = True
                await self._way.next()
