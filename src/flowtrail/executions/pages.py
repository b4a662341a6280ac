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
from typing import Any, NamedTuple, cast

import asyncpg

from flowtrail import changes
from flowtrail.database import Read
from flowtrail.executions import large
from flowtrail.executions.rows import COMPLETE, Columns, Execution, position_of
from flowtrail.executions.selection import Selection
from flowtrail.executions.written import Written, in_bytes
from flowtrail.pagination import Page, PageRequest, Position
from flowtrail.sql import Arguments

_KEPT_STATEMENTS = 100
"""Texts of statements; most clients' filters have few shapes."""


@dataclass(frozen=True, slots=True)
class ExecutionPage(Page[Execution]):
    """A page of rows, or of what was written of them; `stopped_at` is where a search stopped, if it did."""

    first: Position | None
    """Where its newest execution stands; None for an empty page."""
    last: Position | None
    is_backward: bool
    written: bytes | None = None
    """A JSON array in the place of rows."""
    read_at: changes.Position | None = None
    """Where in the feed it was read, if that was asked for."""
    stopped_at: Position | None = None

    @property
    def start(self) -> Position | None:
        """Where paging backward goes on."""
        return self.stopped_at if self.stopped_at is not None and self.is_backward else self.first

    @property
    def end(self) -> Position | None:
        """Where paging forward goes on."""
        return self.stopped_at if self.stopped_at is not None and not self.is_backward else self.last


async def pages(
    read: Read,
    scopes: Sequence[uuid.UUID | None],
    selection: Selection,
    request: PageRequest[Position],
    columns: Columns | Written = COMPLETE,
    *,
    with_position: bool = True,
) -> list[ExecutionPage]:
    """Return one page for each scope, in their order, in one statement (of a search in two, which need one snapshot).

    A scope is what `selection` says, [None] for all executions. `with_position` asks for `read_at`.
    """
    shape = _Shape(columns, request.backward, request.after is not None, request.before is not None, with_position)
    sql, values = _statement(selection, shape)
    places = [value for position in (request.after, request.before) if position for value in (position.started_at, position.id)]
    rows = await large.fetch(read, sql, list(scopes), *values, *places, request.size + 1)
    if isinstance(columns, Written):
        return await _with_stops(read, scopes, selection, request, [_written_page(row, request, with_position) for row in rows])
    if len(scopes) == 1:
        return await _with_stops(read, scopes, selection, request, [_page(rows, request, with_position)])
    found: list[list[asyncpg.Record]] = [[] for _ in scopes]
    for row in rows:
        found[row["scope_number"] - 1].append(row)
    found_pages = []
    for rows_of_scope in found:
        found_pages.append(_page(rows_of_scope, request, with_position))
        await asyncio.sleep(0)  # a hundred pages in a row would hold up everybody else
    return await _with_stops(read, scopes, selection, request, found_pages)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def is_sifted(selection: Selection) -> bool:
    """Tell whether a page of a selection takes two statements, which need one snapshot."""
    return selection.is_sifted


class _Shape(NamedTuple):
    """What the text of a statement depends on, beside the selection."""

    columns: Columns | Written
    is_backward: bool
    has_after: bool
    has_before: bool
    with_position: bool


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _statement(selection: Selection, shape: _Shape) -> tuple[str, tuple[Any, ...]]:
    """Return the statement for pages, and the values of the selection; its other arguments are as `pages` sends them."""
    direction, arguments = ("ASC" if shape.is_backward else "DESC"), selection.arguments([])
    _, *values = arguments
    anywhere = Position(datetime.min.replace(tzinfo=UTC), uuid.UUID(int=0))
    request = PageRequest(0, shape.is_backward, anywhere if shape.has_after else None, anywhere if shape.has_before else None)
    bounds, other_side = _bounds(request, arguments)
    limit = arguments.add(0)
    order = f"e.started_at {direction}, e.id {direction}"
    rows = f"({selection.rows(bounds, direction, limit)}) AS e"
    if isinstance(shape.columns, Written):
        columns, source, order = "page.*", f"CROSS JOIN LATERAL ({_aggregate(shape.columns, rows, order, limit)}) AS page", ""
    else:
        columns, source, order = shape.columns.sql, f"LEFT JOIN LATERAL {rows} ON true {shape.columns.joins}", f", {order}"
    position = f"{changes.POSITION_COLUMNS}, " if shape.with_position else ""
    sql = f"""SELECT scope.number AS scope_number, {position} other.found AS has_other, {columns}
            FROM unnest($1::uuid[]) WITH ORDINALITY AS scope(id, number) {source}
            CROSS JOIN LATERAL (SELECT {_exists(selection, other_side)} AS found) AS other
            ORDER BY scope.number{order}"""
    return sql, tuple(values)


def _aggregate(columns: Written, rows: str, order: str, limit: str) -> str:
    """SQL for a page as one row: its text without the row beyond its end, how many were found, and its first and last position."""
    size = f"({limit} - 1)"
    first, last = ("1", f"least(count(*), {size})") if "DESC" in order else (f"greatest(count(*) - {size}, 0) + 1", "count(*)")
    texts = f"coalesce(array_to_string((array_agg(w.text))[{first}:{last}], ','), '')"
    return f"""SELECT {in_bytes(f"'[' || {texts} || ']'")} AS text, count(*) AS found,
                      (array_agg(w.started_at))[{first}] AS first_time, (array_agg(w.id))[{first}] AS first_id,
                      (array_agg(w.started_at))[{last}] AS last_time, (array_agg(w.id))[{last}] AS last_id
               FROM (SELECT e.started_at, e.id, {columns.text} AS text
                     FROM {rows} {columns.joins} ORDER BY e.started_at DESC, e.id DESC) AS w"""


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


def _page(rows: list[asyncpg.Record], request: PageRequest[Position], with_position: bool) -> ExecutionPage:
    found = cast("list[Execution]", rows if rows[0]["id"] is not None else [])
    shown = found[: request.size]
    if request.backward:
        shown.reverse()
    ends = (position_of(shown[0]), position_of(shown[-1])) if shown else (None, None)
    return _made(rows[0], request, with_position, len(found), shown, ends)


def _written_page(row: asyncpg.Record, request: PageRequest[Position], with_position: bool) -> ExecutionPage:
    text = row["text"]
    if text == b"[]":
        return _made(row, request, with_position, row["found"], [], (None, None), text)
    ends = Position(row["first_time"], row["first_id"]), Position(row["last_time"], row["last_id"])
    return _made(row, request, with_position, row["found"], [], ends, text)


def _made(
    row: asyncpg.Record,
    request: PageRequest[Position],
    with_position: bool,
    found: int,
    shown: list[Execution],
    ends: tuple[Position | None, Position | None],
    written: bytes | None = None,
) -> ExecutionPage:
    """Return the page whose statement `found` so many rows, of which `row` is one."""
    has_more, has_other = found > request.size, row["has_other"]
    return ExecutionPage(
        shown,
        has_next=has_other if request.backward else has_more,
        has_previous=has_more if request.backward else has_other,
        first=ends[0],
        last=ends[1],
        is_backward=request.backward,
        written=written,
        read_at=changes.Position.of(row) if with_position else None,
    )


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


async def executions_by_id(
    read: Read, ids: Collection[uuid.UUID], columns: Columns | Written = COMPLETE
) -> dict[uuid.UUID, Execution]:
    """Return those of the executions that exist."""
    statement = f"SELECT {columns.sql} FROM execution e {columns.joins} WHERE e.id = ANY($1)"
    rows = await large.fetch(read, statement, list(ids))
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
