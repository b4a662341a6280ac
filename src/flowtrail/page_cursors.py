"""Numbered pages over cursors, so that a page bar can jump without offsets in the client (spec 2.3).

Page numbers count from the newest row as it was when the cursors were made. `next` and `previous` join exactly what is shown; the
others lie on the grid of full pages at that moment. All is read in one snapshot.
"""

import uuid
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from flowtrail.counts import ALL_FLOWS, Grains
from flowtrail.database import Read
from flowtrail.executions import ExecutionPage, Selection, bounded_positions
from flowtrail.pagination import PageRequest, Position

COUNT_BOUND = 10_000
"""How far executions are counted under filters that the counts don't know (spec 2.4)."""
AROUND = 2
"""Pages on each side of the current one."""


@dataclass(frozen=True, slots=True)
class PageCursor:
    """A numbered page. `cursor` is what to pass as `after`; None for page 1."""

    cursor: str | None
    page: int
    is_current: bool


@dataclass(frozen=True, slots=True)
class PageCursors:
    first: PageCursor
    around: list[PageCursor]
    last: PageCursor | None
    previous: PageCursor | None
    next: PageCursor | None


class _Order(Protocol):
    """All the executions of a connection, newest first."""

    async def total(self) -> int | None:
        """How many there are; None when counting stopped at its bound."""

    async def rank(self, position: Position) -> int | None:
        """How many are newer; None beyond the bound."""

    async def positions(self, ranks: Sequence[int]) -> dict[int, Position]:
        """Where the executions with these ranks stand."""


class _Listed:
    """An order that was read up to its bound."""

    def __init__(self, newest: list[Position], *, is_whole: bool) -> None:
        self._newest = newest
        self._is_whole = is_whole
        self._keys = [_descending(position) for position in newest]

    async def total(self) -> int | None:
        return len(self._newest) if self._is_whole else None

    async def rank(self, position: Position) -> int | None:
        rank = bisect_left(self._keys, _descending(position))
        return rank if self._is_whole or rank < len(self._newest) else None

    async def positions(self, ranks: Sequence[int]) -> dict[int, Position]:
        return {rank: self._newest[rank] for rank in ranks if rank < len(self._newest)}


def _descending(position: Position) -> tuple[int, int]:
    return -position.microseconds, -position.id.int


async def page_cursors(
    read: Read, scope: uuid.UUID | None, selection: Selection, request: PageRequest[Position], page: ExecutionPage
) -> PageCursors | None:
    """Return the page bar of a page of `scope`'s executions; None for a page of no size, or one that nobody can number."""
    if request.size == 0:
        return None
    order = await _order(read, scope, selection)
    total = await order.total()
    if page.rows:
        rank = await order.rank(page.rows[0].position)
    else:
        rank = total if request.after and not request.backward else 0
    if rank is None:
        return _unnumbered(request, page)
    size = request.size
    current = rank // size + 1
    last = max((total + size - 1) // size, current if page.rows else 1) if total is not None else None
    numbers = range(max(1, current - AROUND), min(current + AROUND, last or current + AROUND) + 1)
    wanted = {(number - 1) * size - 1 for number in (*numbers, last or 1) if number > 1}
    if rank > size:
        wanted.add(rank - size - 1)
    positions = await order.positions(sorted(wanted))

    def on_grid(number: int) -> PageCursor | None:
        position = positions.get((number - 1) * size - 1)
        if number > 1 and position is None:
            return None
        cursor = _encoded(position, number, numbered=total is None)
        return PageCursor(cursor, number, number == current)

    previous = None
    if rank > 0:
        before = positions.get(rank - size - 1) if rank > size else None
        previous = PageCursor(_encoded(before, max(1, current - 1), numbered=total is None), max(1, current - 1), is_current=False)
    return PageCursors(
        first=PageCursor(None, 1, current == 1),
        around=[cursor for number in numbers if (cursor := on_grid(number))],
        last=on_grid(last) if last is not None else None,
        previous=previous,
        next=_next(page, current, numbered=total is None),
    )


def _unnumbered(request: PageRequest[Position], page: ExecutionPage) -> PageCursors | None:
    """Beyond the bound only the cursor that led here knows the page's number."""
    current = request.after.page if request.after else None
    if current is None:
        return None
    return PageCursors(
        first=PageCursor(None, 1, is_current=False),
        around=[PageCursor(request.after.encode() if request.after else None, current, is_current=True)],
        last=None,
        previous=None,
        next=_next(page, current, numbered=True),
    )


def _next(page: ExecutionPage, current: int, *, numbered: bool) -> PageCursor | None:
    if not page.has_next or page.end is None:
        return None
    return PageCursor(_encoded(page.end, current + 1, numbered=numbered), current + 1, is_current=False)


def _encoded(position: Position | None, page: int, *, numbered: bool) -> str | None:
    if position is None:
        return None
    return (replace(position, page=page) if numbered else position).encode()


async def _order(read: Read, scope: uuid.UUID | None, selection: Selection) -> _Order:
    wanted = selection.filter
    if wanted.is_counted and selection.visible_servers is None and selection.scope_column in (None, "flow_id"):
        grains = Grains(read, scope or ALL_FLOWS, wanted.statuses, wanted.is_preview)
        if wanted.statuses is None or not {"PENDING", "ERROR"} & set(wanted.statuses) or not await grains.has_overdue():
            return grains
    newest, is_whole = await bounded_positions(read, scope, selection, COUNT_BOUND)
    return _Listed(newest, is_whole=is_whole)
