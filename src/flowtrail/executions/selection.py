"""The rows of a connection as SQL: what an index finds in the order of pages, and what is sifted from that (spec 2.2).

Status, kind of error, preview, flow, server, time, trace and parameters have an index behind them, but not all of their
combinations, and the other fields have none. What is left over is sifted from a bounded number of candidates for each page
(docs/decisions/sifting.md): so every page costs about the same, however rare what it looks for.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from flowtrail.executions.conditions import of_row
from flowtrail.executions.filter import ExecutionFilter
from flowtrail.executions.walk import Walk
from flowtrail.sql import Arguments

SCAN_BOUND = 20_000
"""Candidates that are looked at for one page; a page that stopped there says where."""
PARAMETER_SCAN_BOUND = 10_000
"""The same of those with a parameter or of a trace: they are far apart on the disk, and dearer to look at."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope (one flow's executions, one parent's, or all), what its reader may see of it, and a filter: the rows of a connection.

    A parent's executions take no filter.

    SQL made here has the columns of `execution` as `e`; `$1` is the array of scopes, and `scope.id` the one at hand.
    """

    scope_column: str | None = None
    filter: ExecutionFilter = field(default_factory=ExecutionFilter)
    visible_servers: frozenset[str] | None = None

    def arguments(self, scopes: Sequence[uuid.UUID | None]) -> Arguments:
        """Return the parameters that `rows` and `places` refer to."""
        return Arguments([list(scopes), *_plan(self).values])

    @property
    def is_sifted(self) -> bool:
        """Whether the rows are sifted from candidates, of which a statement looks at a bounded number only."""
        return bool(_plan(self).sifting)

    @property
    def scan_bound(self) -> int:
        """How many candidates a statement looks at."""
        return SCAN_BOUND if self.filter.parameters is None and self.filter.trace_id is None else PARAMETER_SCAN_BOUND

    @property
    def candidates(self) -> "Selection":
        """The rows that are looked at, in the order of an index."""
        return _plan(self).candidates

    def places(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for where the first `limit` rows stand, as (started_at, id), read from an index alone if they are not sifted."""
        plan = _plan(self)
        if not plan.sifting:
            return plan.walk.places(conditions, direction, limit)
        return f"SELECT e.started_at, e.id FROM ({self.rows(conditions, direction, limit)}) AS e"

    def rows(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for the first `limit` matching rows in `direction`, of the first `scan_bound` candidates if they are sifted."""
        plan = _plan(self)
        if not plan.sifting:
            return plan.walk.rows(conditions, direction, limit)
        candidates = plan.walk.rows(conditions, direction, str(self.scan_bound))
        return f"""SELECT e.* FROM ({candidates}) AS e WHERE {" AND ".join(plan.sifting)}
                   ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}"""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a selection's SQL is put together from: made once for many pages of one filter."""

    candidates: Selection
    walk: Walk
    sifting: tuple[str, ...]
    """Conditions on the candidates."""
    values: tuple[Any, ...]
    """Of the parameters from `$2` on."""


@lru_cache(maxsize=100)
def _plan(selection: Selection) -> _Plan:
    wanted, arguments = selection.filter.canonical, Arguments([None])
    candidates = Selection(selection.scope_column, _indexed(selection, wanted), selection.visible_servers)
    walk = Walk(candidates.scope_column, candidates.filter, candidates.visible_servers, arguments)
    sifting = of_row(wanted.without(candidates.filter), arguments)
    return _Plan(candidates, walk, tuple(sifting), tuple(arguments[1:]))


def _indexed(selection: Selection, wanted: ExecutionFilter) -> ExecutionFilter:
    """What an index holds of what is wanted."""
    found = ExecutionFilter(started_from=wanted.started_from, started_to=wanted.started_to)
    of_flows = replace(found, flow_ids=wanted.flow_ids, servers=wanted.servers, flow_deleted=wanted.flow_deleted)
    if wanted.parameters is not None:
        return replace(of_flows, parameters=wanted.parameters)
    if wanted.trace_id is not None:
        return replace(of_flows if selection.scope_column == "flow_id" else found, trace_id=wanted.trace_id)
    if _chooses_flows(selection):
        found = of_flows
    if wanted.statuses == ("PENDING",):
        return replace(found, statuses=wanted.statuses)
    if wanted.is_preview:
        return replace(found, is_preview=True)
    if wanted.statuses is not None and "FULFILLED" not in wanted.statuses:
        return replace(found, statuses=wanted.statuses, error_kinds=wanted.error_kinds)
    return found


def _chooses_flows(selection: Selection) -> bool:
    """Whether only some flows' indexes are walked. Most executions are of a flow that was not deleted, so that says nothing."""
    wanted = selection.filter
    return bool(
        selection.scope_column == "flow_id"
        or selection.visible_servers is not None
        or wanted.servers is not None
        or wanted.flow_ids is not None
        or wanted.flow_deleted
    )
