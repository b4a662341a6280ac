"""Numbered pages over cursors, so that a page bar can jump without offsets in the client (spec 2.3).

Page numbers count from the newest row as it was when the cursors were made. `next` and `previous` join exactly what is shown; the
others lie on the grid of full pages at that moment. All is read in one snapshot, for many flows' pages in the same statements.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from flowtrail.counts import ALL_FLOWS, Ranks, overdue
from flowtrail.database import Read
from flowtrail.executions import BoundedRanks, ExecutionPage, Selection
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


Scope = uuid.UUID | None
K = TypeVar("K", bound=Scope)


class _Places(Protocol[K]):
    """The executions of several connections, newest first: counted, or read up to a bound."""

    async def totals(self) -> Mapping[K, int | None]:
        """How many there are of each; None when counting stopped at the bound."""

    async def ranks(self, positions: Mapping[K, Position]) -> Mapping[K, int]:
        """How many are newer; those beyond the bound are left out."""

    async def positions(self, places: Iterable[tuple[K, int]]) -> Mapping[tuple[K, int], Position]:
        """Where the executions with these ranks stand."""


@dataclass(frozen=True, slots=True)
class _Bar:
    """What the bar of one page is made of: the page, how many there are (None: beyond the bound), and how many before it."""

    page: ExecutionPage
    size: int
    total: int | None
    rank: int

    @property
    def current(self) -> int:
        return self.rank // self.size + 1

    @property
    def last(self) -> int | None:
        if self.total is None:
            return None
        return max((self.total + self.size - 1) // self.size, self.current if self.page.first else 1)

    @property
    def numbers(self) -> range:
        """The pages around the current one."""
        furthest = self.current + AROUND
        return range(max(1, self.current - AROUND), min(furthest, self.last or furthest) + 1)

    @property
    def wanted(self) -> set[int]:
        """The ranks of the executions that the pages of the bar start after."""
        wanted = {(number - 1) * self.size - 1 for number in (*self.numbers, self.last or 1) if number > 1}
        return wanted | {self.rank - self.size - 1} if self.rank > self.size else wanted

    def cursors(self, positions: Mapping[int, Position]) -> PageCursors:
        """Return the bar; `positions` are those of `wanted` that exist."""
        return PageCursors(
            first=PageCursor(None, 1, self.current == 1),
            around=[cursor for number in self.numbers if (cursor := self._on_grid(number, positions))],
            last=self._on_grid(self.last, positions) if self.last is not None else None,
            previous=self._previous(positions),
            next=_next(self.page, self.current, numbered=self.total is None),
        )

    def _on_grid(self, number: int, positions: Mapping[int, Position]) -> PageCursor | None:
        position = positions.get((number - 1) * self.size - 1)
        if number > 1 and position is None:
            return None
        return PageCursor(_encoded(position, number, numbered=self.total is None), number, number == self.current)

    def _previous(self, positions: Mapping[int, Position]) -> PageCursor | None:
        if self.rank == 0:
            return None
        number = max(1, self.current - 1)
        before = positions.get(self.rank - self.size - 1) if self.rank > self.size else None
        return PageCursor(_encoded(before, number, numbered=self.total is None), number, is_current=False)


async def page_cursors(
    read: Read, selection: Selection, request: PageRequest[Position], pages: Mapping[Scope, ExecutionPage]
) -> dict[Scope, PageCursors | None]:
    """Return the page bar of each scope's page; None for pages of no size, and for one that nobody can number."""
    if request.size == 0:
        return dict.fromkeys(pages)
    wanted, bars = selection.filter, dict[Scope, PageCursors | None]()
    counted = await _counted_scopes(read, list(pages), selection)
    if counted:
        of_key = {scope or ALL_FLOWS: scope for scope in counted}
        places = Ranks(read, list(of_key), wanted.statuses, wanted.is_preview)
        found = await _bars(places, request, {key: pages[scope] for key, scope in of_key.items()})
        bars |= {of_key[key]: bar for key, bar in found.items()}
    others = {scope: page for scope, page in pages.items() if scope not in counted}
    if others:
        bars |= await _bars(BoundedRanks(read, list(others), selection, COUNT_BOUND), request, others)
    return bars


async def _counted_scopes(read: Read, scopes: list[Scope], selection: Selection) -> set[Scope]:
    """Those whose order the counts know."""
    wanted = selection.filter
    if not wanted.is_counted or selection.visible_servers is not None or selection.scope_column not in (None, "flow_id"):
        return set()
    if wanted.statuses is None or not {"PENDING", "ERROR"} & set(wanted.statuses):
        return set(scopes)
    late = await overdue(read, [scope or ALL_FLOWS for scope in scopes])
    return {scope for scope in scopes if (scope or ALL_FLOWS) not in late}


async def _bars(
    places: _Places[K], request: PageRequest[Position], pages: Mapping[K, ExecutionPage]
) -> dict[K, PageCursors | None]:
    totals = await places.totals()
    ranks = await places.ranks({key: page.first for key, page in pages.items() if page.first})
    goes_on_behind_all = request.after is not None and not request.backward
    bars: dict[K, _Bar] = {}
    for key, page in pages.items():
        rank = ranks.get(key) if page.first else totals[key] if goes_on_behind_all else 0
        if rank is not None:
            bars[key] = _Bar(page, request.size, totals[key], rank)
    positions = await places.positions((key, rank) for key, bar in bars.items() for rank in bar.wanted)
    found: dict[K, dict[int, Position]] = {key: {} for key in bars}
    for (key, rank), position in positions.items():
        found[key][rank] = position
    return {key: bars[key].cursors(found[key]) if key in bars else _unnumbered(request, page) for key, page in pages.items()}


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
