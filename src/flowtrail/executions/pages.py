"""Reading executions: pages, details, what is pending (spec 2).

An overdue execution is an ERROR of kind TIMED_OUT for every reader from its deadline on, whether a sweep has written that down or
not (spec 1.7). Where a filter depends on that, a page is merged from branches that each use an index; a CASE over all rows would
use none.
"""

import asyncio
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, cast

import asyncpg

from flowtrail import changes
from flowtrail.database import Read
from flowtrail.executions.rows import COMPLETE, Columns, Execution, position_of
from flowtrail.executions.selection import Selection
from flowtrail.pagination import Page, PageRequest, Position
from flowtrail.sql import Arguments

_KEPT_STATEMENTS = 100
"""Texts of statements; most clients' filters have few shapes."""


@dataclass(frozen=True, slots=True)
class ExecutionPage(Page[Execution]):
    """A page, and where in the feed its rows were read; `stopped_at` is where a search stopped, if it did."""

    read_at: changes.Position
    is_backward: bool
    stopped_at: Position | None = None

    @property
    def start(self) -> Position | None:
        """Where paging backward goes on."""
        first = position_of(self.rows[0]) if self.rows else None
        return self.stopped_at if self.stopped_at is not None and self.is_backward else first

    @property
    def end(self) -> Position | None:
        """Where paging forward goes on."""
        last = position_of(self.rows[-1]) if self.rows else None
        return self.stopped_at if self.stopped_at is not None and not self.is_backward else last


async def pages(
    read: Read,
    scopes: Sequence[uuid.UUID | None],
    selection: Selection,
    request: PageRequest[Position],
    columns: Columns = COMPLETE,
) -> list[ExecutionPage]:
    """Return one page for each scope, in their order, in one statement (of a search in two, which need one snapshot).

    A scope is what `selection` says, [None] for all executions.
    """
    sql, values = _statement(selection, columns, request.backward, request.after is not None, request.before is not None)
    places = [value for position in (request.after, request.before) if position for value in (position.started_at, position.id)]
    rows = await read.fetch(sql, list(scopes), *values, *places, request.size + 1)
    if len(scopes) == 1:
        return await _with_stops(read, scopes, selection, request, [_page(rows, request)])
    found: list[list[asyncpg.Record]] = [[] for _ in scopes]
    for row in rows:
        found[row["scope_number"] - 1].append(row)
    found_pages = []
    for rows_of_scope in found:
        found_pages.append(_page(rows_of_scope, request))
        await asyncio.sleep(0)  # a hundred pages in a row would hold up everybody else
    return await _with_stops(read, scopes, selection, request, found_pages)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def is_sifted(selection: Selection) -> bool:
    """Tell whether a page of a selection takes two statements, which need one snapshot."""
    return selection.is_sifted


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _statement(
    selection: Selection, columns: Columns, is_backward: bool, has_after: bool, has_before: bool
) -> tuple[str, tuple[Any, ...]]:
    """Return the statement for pages, and the values of the selection; its other arguments are as `pages` sends them."""
    direction, arguments = ("ASC" if is_backward else "DESC"), selection.arguments([])
    _, *values = arguments
    anywhere = Position(datetime.min.replace(tzinfo=UTC), uuid.UUID(int=0))
    request = PageRequest(0, is_backward, anywhere if has_after else None, anywhere if has_before else None)
    bounds, other_side = _bounds(request, arguments)
    limit = arguments.add(0)
    sql = f"""SELECT scope.number AS scope_number, {changes.POSITION_COLUMNS}, other.found AS has_other, {columns.sql}
            FROM unnest($1::uuid[]) WITH ORDINALITY AS scope(id, number)
            LEFT JOIN LATERAL ({selection.rows(bounds, direction, limit)}) AS e ON true
            {columns.joins}
            CROSS JOIN LATERAL (SELECT {_exists(selection, other_side)} AS found) AS other
            ORDER BY scope.number, e.started_at {direction}, e.id {direction}"""
    return sql, tuple(values)


def _bounds(request: PageRequest[Position], arguments: Arguments) -> tuple[list[str], list[str]]:
    """Conditions of the page itself, and of what lies behind the side it starts from."""
    inside, behind = [], []
    for position, comparison, opposite, is_start in (
        (request.after, "<", ">=", not request.backward),
        (request.before, ">", "<=", request.backward),
    ):
        if position is not None:
            key = f"({arguments.add(position.started_at)}::timestamptz, {arguments.add(position.id)}::uuid)"
            inside.append(f"(e.started_at, e.id) {comparison} {key}")
            if is_start:
                behind.append(f"(e.started_at, e.id) {opposite} {key}")
    return inside, behind


def _exists(selection: Selection, conditions: list[str]) -> str:
    if not conditions:
        return "false"
    ascending = "ASC" if any(">=" in condition for condition in conditions) else "DESC"
    # Nested, or EXISTS would drop the order, and with it the index that finds the nearest row first.
    return f"EXISTS (SELECT FROM ({selection.places(conditions, ascending, '1')}) AS nearest)"


def _page(rows: list[asyncpg.Record], request: PageRequest[Position]) -> ExecutionPage:
    read_at, has_other = changes.Position.of(rows[0]), rows[0]["has_other"]
    found = cast("list[Execution]", rows if rows[0]["id"] is not None else [])
    has_more = len(found) > request.size
    found = found[: request.size]
    if request.backward:
        return ExecutionPage(found[::-1], has_next=has_other, has_previous=has_more, read_at=read_at, is_backward=True)
    return ExecutionPage(found, has_next=has_more, has_previous=has_other, read_at=read_at, is_backward=False)


async def _with_stops(
    read: Read,
    scopes: Sequence[uuid.UUID | None],
    selection: Selection,
    request: PageRequest[Position],
    found: list[ExecutionPage],
) -> list[ExecutionPage]:
    """Say where a search stopped before it had looked at everything: the next page goes on from there.

    The same snapshot as the pages', or a row that comes between could be seen twice.
    """
    if not is_sifted(selection):
        return found
    ended = [number for number, page in enumerate(found) if not (page.has_previous if request.backward else page.has_next)]
    if not ended:
        return found
    searched, bound, direction = selection.candidates, selection.scan_bound, ("ASC" if request.backward else "DESC")
    arguments = searched.arguments([scopes[number] for number in ended])
    bounds, _ = _bounds(request, arguments)
    rows = await read.fetch(
        f"""SELECT scope.number, last.started_at, last.id FROM unnest($1::uuid[]) WITH ORDINALITY AS scope(id, number)
            CROSS JOIN LATERAL (
                SELECT e.started_at, e.id FROM ({searched.places(bounds, direction, str(bound))}) AS e
                ORDER BY e.started_at {direction}, e.id {direction} OFFSET {bound - 1} LIMIT 1
            ) AS last""",
        *arguments,
    )
    for row in rows:
        number = ended[row["number"] - 1]
        goes_on = {"has_previous": True} if request.backward else {"has_next": True}
        found[number] = replace(found[number], stopped_at=Position(row["started_at"], row["id"]), **goes_on)
    return found


async def executions_by_id(read: Read, ids: Collection[uuid.UUID], columns: Columns = COMPLETE) -> dict[uuid.UUID, Execution]:
    """Return those of the executions that exist."""
    rows = await read.fetch(f"SELECT {columns.sql} FROM execution e {columns.joins} WHERE e.id = ANY($1)", list(ids))
    return {row["id"]: cast("Execution", row) for row in rows}


async def pending_by_flow(read: Read, flow_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, bool]:
    """Tell for each flow whether one of its executions is pending; overdue ones do not count (spec 2.5)."""
    rows = await read.fetch(
        """SELECT scope.id, pending.found IS NOT NULL AS has_pending
           FROM unnest($1::uuid[]) AS scope(id)
           LEFT JOIN LATERAL (
               SELECT true AS found FROM execution e
               WHERE e.flow_id = scope.id AND e.status = 'PENDING' AND e.deadline > now() LIMIT 1
           ) AS pending ON true""",
        list(flow_ids),
    )
    return {row["id"]: row["has_pending"] for row in rows}


async def any_pending(read: Read, servers: frozenset[str] | None) -> bool:
    """Tell whether any execution that the reader may see is pending."""
    found: bool = await read.fetchval(
        """SELECT EXISTS (SELECT FROM execution
                          WHERE status = 'PENDING' AND deadline > now() AND ($1::text[] IS NULL OR server = ANY($1)))""",
        sorted(servers) if servers is not None else None,
    )
    return found


async def bounded_counts(
    read: Read, scopes: Sequence[uuid.UUID | None], selection: Selection, bound: int
) -> list[tuple[int, bool]]:
    """Count the matching executions of each scope up to `bound`; also tell whether that is all of them (spec 2.4)."""
    counted = await _counts(read, scopes, selection, bound)
    cut = await _cut_searches(read, scopes, selection)
    return [(min(count, bound), count <= bound and number not in cut) for number, count in enumerate(counted)]


async def _counts(read: Read, scopes: Sequence[uuid.UUID | None], selection: Selection, bound: int) -> list[int]:
    """Count the matching executions of each scope, one beyond `bound` at most."""
    arguments = selection.arguments(scopes)
    limit = arguments.add(bound + 1)
    rows = await read.fetch(
        f"""SELECT count(e.id) FROM unnest($1::uuid[]) WITH ORDINALITY AS scope(id, number)
            LEFT JOIN LATERAL ({selection.places([], "DESC", limit)}) AS e ON true
            GROUP BY scope.number ORDER BY scope.number""",
        *arguments,
    )
    return [count for (count,) in rows]


async def _cut_searches(read: Read, scopes: Sequence[uuid.UUID | None], selection: Selection) -> set[int]:
    """Tell in which of `scopes` a search stops before it has looked at everything."""
    if not selection.is_sifted:
        return set()
    searched = await _counts(read, scopes, selection.candidates, selection.scan_bound)
    return {number for number, count in enumerate(searched) if count > selection.scan_bound}
