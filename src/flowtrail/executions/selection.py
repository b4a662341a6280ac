"""The rows of a connection as SQL: what an index finds in the order of pages, and what is sifted from that (spec 2.2).

Status, kind of error, preview, flow, server, time, trace and parameters have an index behind them, but not all of their
combinations, and the other fields have none. What is left over is sifted from a bounded number of candidates for each page
(docs/decisions/sifting.md): so every page costs about the same, however rare what it looks for.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
        arguments, _, _ = self._sql()
        arguments[0] = list(scopes)
        return arguments

    @property
    def is_sifted(self) -> bool:
        """Whether the rows are sifted from candidates, of which a statement looks at a bounded number only."""
        return self._sifted_by != ExecutionFilter()

    @property
    def scan_bound(self) -> int:
        """How many candidates a statement looks at."""
        found = self.candidates.filter
        return SCAN_BOUND if found.parameters is None and found.trace_id is None else PARAMETER_SCAN_BOUND

    @property
    def candidates(self) -> "Selection":
        """The rows that are looked at, in the order of an index."""
        wanted = self.filter.canonical
        found = ExecutionFilter(started_from=wanted.started_from, started_to=wanted.started_to)
        of_flows = replace(found, flow_ids=wanted.flow_ids, servers=wanted.servers, flow_deleted=wanted.flow_deleted)
        if wanted.parameters is not None:
            found = replace(of_flows, parameters=wanted.parameters)
        elif wanted.trace_id is not None:
            found = replace(of_flows if self.scope_column == "flow_id" else found, trace_id=wanted.trace_id)
        else:
            found = of_flows if self._chooses_flows else found
            if wanted.statuses == ("PENDING",):
                found = replace(found, statuses=wanted.statuses)
            elif wanted.is_preview:
                found = replace(found, is_preview=True)
            elif wanted.statuses is not None and "FULFILLED" not in wanted.statuses:
                found = replace(found, statuses=wanted.statuses, error_kinds=wanted.error_kinds)
        return Selection(self.scope_column, found, self.visible_servers)

    def places(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for where the first `limit` rows stand, as (started_at, id), read from an index alone if they are not sifted."""
        _, walk, sifting = self._sql()
        if not sifting:
            return walk.places(conditions, direction, limit)
        return f"SELECT e.started_at, e.id FROM ({self.rows(conditions, direction, limit)}) AS e"

    def rows(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for the first `limit` matching rows in `direction`, of the first `scan_bound` candidates if they are sifted."""
        _, walk, sifting = self._sql()
        if not sifting:
            return walk.rows(conditions, direction, limit)
        return f"""SELECT e.* FROM ({walk.rows(conditions, direction, str(self.scan_bound))}) AS e WHERE {" AND ".join(sifting)}
                   ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}"""

    @property
    def _chooses_flows(self) -> bool:
        """Whether only some flows' indexes are walked. Most executions are of a flow that was not deleted, so that says nothing."""
        wanted = self.filter
        return bool(
            self.scope_column == "flow_id"
            or self.visible_servers is not None
            or wanted.servers is not None
            or wanted.flow_ids is not None
            or wanted.flow_deleted
        )

    @property
    def _sifted_by(self) -> ExecutionFilter:
        return self.filter.canonical.without(self.candidates.filter)

    def _sql(self) -> tuple[Arguments, Walk, list[str]]:
        """The arguments (`$1` is left to the scopes), the walk of the candidates, and the conditions they are sifted by."""
        arguments = Arguments([None])
        walk = Walk(self.scope_column, self.candidates.filter, self.visible_servers, arguments)
        return arguments, walk, of_row(self._sifted_by, arguments)
