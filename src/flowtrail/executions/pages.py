"""Reading executions: pages, details, what is pending (spec 2).

An overdue execution is an ERROR of kind TIMED_OUT for every reader from its deadline on, whether a sweep has written that down or
not (spec 1.7). Where a filter depends on that, a page is merged from branches that each use an index; a CASE over all rows would
use none.
"""

import asyncio
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

import asyncpg

from flowtrail import changes
from flowtrail.database import Read
from flowtrail.executions.filter import FAILED_NODE, OVERDUE
from flowtrail.executions.selection import Selection
from flowtrail.pagination import Page, PageRequest, Position
from flowtrail.sql import Arguments
from flowtrail.timeouts import TIMED_OUT_MESSAGE

_COLUMNS = f"""
    e.id, e.flow_id, e.server, e.flow_name, e.flow_tool_name, e.started_at, e.initial_params_preview, e.is_preview,
    e.client_name, e.client_version, e.caller_subject, e.caller_client_id, e.caller_session_id, e.caller_request_id,
    e.trace_id, e.parent_execution_id, e.late_status, e.late_ended_at, e.late_error_kind, e.late_error_message,
    e.late_failed_node_id, e.late_failed_node_name, e.created_at, e.updated_at,
    CASE WHEN {OVERDUE} THEN 'ERROR' ELSE e.status END AS status,
    CASE WHEN {OVERDUE} THEN e.timeout_at ELSE e.ended_at END AS ended_at,
    CASE WHEN {OVERDUE} THEN 'TIMED_OUT' ELSE e.error_kind END AS error_kind,
    CASE WHEN {OVERDUE} THEN '{TIMED_OUT_MESSAGE}' ELSE e.error_message END AS error_message,
    CASE WHEN {OVERDUE} THEN failed.node_id ELSE e.failed_node_id END AS failed_node_id,
    CASE WHEN {OVERDUE} THEN failed.node_name ELSE e.failed_node_name END AS failed_node_name,
    CASE WHEN e.status = 'PENDING' THEN (SELECT count(*)::integer FROM node_execution n WHERE n.execution_id = e.id)
         ELSE e.node_count END AS node_count"""


@dataclass(frozen=True, slots=True)
class Execution:
    """An execution as a reader sees it now, without its payloads."""

    id: uuid.UUID
    flow_id: uuid.UUID | None
    server: str
    flow_name: str
    flow_tool_name: str
    started_at: datetime
    initial_params_preview: str
    is_preview: bool
    client_name: str | None
    client_version: str | None
    caller_subject: str | None
    caller_client_id: str | None
    caller_session_id: str | None
    caller_request_id: str | None
    trace_id: str | None
    parent_execution_id: uuid.UUID | None
    late_status: str | None
    late_ended_at: datetime | None
    late_error_kind: str | None
    late_error_message: str | None
    late_failed_node_id: str | None
    late_failed_node_name: str | None
    created_at: datetime
    updated_at: datetime
    status: str
    ended_at: datetime | None
    error_kind: str | None
    error_message: str | None
    failed_node_id: str | None
    failed_node_name: str | None
    node_count: int

    @property
    def position(self) -> Position:
        return Position(self.started_at, self.id)

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Execution":
        return cls(*_values_of(row))


_values_of: Callable[[asyncpg.Record], tuple[Any, ...]] = itemgetter(*Execution.__slots__)


@dataclass(frozen=True, slots=True)
class ExecutionPage(Page[Execution]):
    """A page, and where in the feed its rows were read; `stopped_at` is where a search stopped, if it did."""

    read_at: changes.Position
    is_backward: bool
    stopped_at: Position | None = None

    @property
    def start(self) -> Position | None:
        """Where paging backward goes on."""
        first = self.rows[0].position if self.rows else None
        return self.stopped_at if self.stopped_at is not None and self.is_backward else first

    @property
    def end(self) -> Position | None:
        """Where paging forward goes on."""
        last = self.rows[-1].position if self.rows else None
        return self.stopped_at if self.stopped_at is not None and not self.is_backward else last


async def pages(
    read: Read,
    scopes: Sequence[uuid.UUID | None],
    selection: Selection,
    request: PageRequest[Position],
) -> list[ExecutionPage]:
    """Return one page for each scope, in their order, in one statement (of a search in two, which need one snapshot).

    A scope is what `selection` says, [None] for all executions.
    """
    direction, arguments = ("ASC" if request.backward else "DESC"), selection.arguments(scopes)
    bounds, other_side = _bounds(request, arguments)
    limit = arguments.add(request.size + 1)
    rows = await read.fetch(
        f"""SELECT scope.number AS scope_number, {changes.POSITION_COLUMNS}, other.found AS has_other, {_COLUMNS}
            FROM unnest($1::uuid[]) WITH ORDINALITY AS scope(id, number)
            LEFT JOIN LATERAL ({selection.rows(bounds, direction, limit)}) AS e ON true
            {FAILED_NODE}
            CROSS JOIN LATERAL (SELECT {_exists(selection, other_side)} AS found) AS other
            ORDER BY scope.number, e.started_at {direction}, e.id {direction}""",
        *arguments,
    )
    found: list[list[asyncpg.Record]] = [[] for _ in scopes]
    for row in rows:
        found[row["scope_number"] - 1].append(row)
    found_pages = []
    for rows_of_scope in found:
        found_pages.append(_page(rows_of_scope, request))
        await asyncio.sleep(0)  # a hundred pages in a row would hold up everybody else
    return await _with_stops(read, scopes, selection, request, found_pages)


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
    found = [Execution.of(row) for row in rows if row["id"] is not None]
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
    ended = [number for number, page in enumerate(found) if not (page.has_previous if request.backward else page.has_next)]
    if not selection.is_sifted or not ended:
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


async def executions_by_id(read: Read, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Execution]:
    """Return those of the executions that exist."""
    rows = await read.fetch(f"SELECT {_COLUMNS} FROM execution e {FAILED_NODE} WHERE e.id = ANY($1)", list(ids))
    return {row["id"]: Execution.of(row) for row in rows}


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
