"""Others' turns while a large batch is recorded: its events and rows are gone through in parts (spec 2.10)."""

from collections.abc import AsyncIterator, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Turns(Protocol):
    """What tells when it is others' turn."""

    @property
    def are_over(self) -> bool:
        """Whether enough was done for now."""

    async def next(self) -> None:
        """Return when others had their turn."""


async def in_turns(items: Iterable[T], turns: Turns | None, at_once: int = 1) -> AsyncIterator[T]:
    """Iterate over `items`, with others' turns in between, but not among so many at once; without `turns` there are none."""
    for number, item in enumerate(items):
        if turns is not None and number % at_once == 0 and turns.are_over:
            await turns.next()
        yield item
