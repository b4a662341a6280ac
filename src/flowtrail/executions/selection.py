"""The rows of a connection as SQL, built so that each shape of filter uses an index (spec 2.2).

Most conditions are part of the statement that walks an index in the order of pages. A search has a second step: what an index can't
find (a part of a text), or can't find at once with a parameter's value, is sifted from a bounded number of candidates.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowtrail import json_text
from flowtrail.counts import NO_FLOW
from flowtrail.executions.filter import FAILED_NODE, OVERDUE, RUNNING, ExecutionFilter
from flowtrail.sql import Arguments, like_pattern
from flowtrail.timeouts import TIMED_OUT_MESSAGE

TEXT_SCAN_BOUND = 50_000
"""Candidates that a search for text looks at for one page; a page that stopped there says where."""
PARAMETER_SCAN_BOUND = 10_000
"""The same for a parameter and something else: executions with a parameter are far apart on the disk, and dearer to look at."""

_PARAMETERS = "(SELECT flow_id, digest, started_at, execution_id AS id FROM execution_parameter) AS e"
_FLOWS = f"(SELECT id FROM flow {{}} UNION ALL SELECT '{NO_FLOW}') AS chosen(id)"


@dataclass(slots=True)
class _Conditions:
    """A filter as SQL on `e`: `common` always hold, and with them all of one of the `branches`, each after its join."""

    arguments: Arguments
    flow_ids: str = ""
    servers: str = ""
    common: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    branches: list[tuple[str, list[str]]] = field(default_factory=list)
    digests: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope (one flow's executions, one parent's, or all), what its reader may see of it, and a filter: the rows of a connection.

    SQL made here has the columns of `execution` as `e`; `$1` is the array of scopes, and `scope.id` the one at hand.
    """

    scope_column: str | None = None
    filter: ExecutionFilter = field(default_factory=ExecutionFilter)
    visible_servers: frozenset[str] | None = None

    def arguments(self, scopes: Sequence[uuid.UUID | None]) -> Arguments:
        """Return the parameters that `rows` refers to."""
        arguments = self._conditions().arguments
        arguments[0] = list(scopes)
        return arguments

    @property
    def is_sifted(self) -> bool:
        """Whether the rows are sifted from candidates, of which a statement looks at a bounded number only."""
        return self.candidates != self

    @property
    def scan_bound(self) -> int:
        """How many candidates a statement looks at."""
        return TEXT_SCAN_BOUND if self.filter.parameters is None else PARAMETER_SCAN_BOUND

    @property
    def candidates(self) -> "Selection":
        """The rows that are looked at, in the order of an index."""
        wanted = self.filter
        if wanted.parameters is None:
            return replace(self, filter=replace(wanted, text=None))
        found = ExecutionFilter(started_from=wanted.started_from, started_to=wanted.started_to, parameters=wanted.parameters)
        if self.scope_column is None:
            return Selection(None, replace(found, flow_ids=wanted.flow_ids), self.visible_servers)
        return Selection(self.scope_column, found)

    def places(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for where the first `limit` rows stand, as (started_at, id), read from an index alone if they are not sifted."""
        if self.filter.parameters is not None and not self.is_sifted:
            return self._places_of_parameters(conditions, f"ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}")
        return f"SELECT e.started_at, e.id FROM ({self.rows(conditions, direction, limit)}) AS e"

    def rows(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for the first `limit` matching rows in `direction`, of the first `scan_bound` candidates if they are sifted."""
        if not self.is_sifted:
            return self._candidates(conditions, direction, limit)
        sql = self._conditions()
        sifting = [f"({sql.text})"] if sql.text else []
        if self.filter.parameters is not None:
            branches = " OR ".join(f"({' AND '.join(own) or 'true'})" for _, own in sql.branches)
            sifting += [*sql.common, f"({branches})"]
        candidates = self._candidates(conditions, direction, str(self.scan_bound))
        order = f"ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}"
        return f"SELECT e.* FROM ({candidates}) AS e {FAILED_NODE} WHERE {' AND '.join(sifting)} {order}"

    def _candidates(self, conditions: list[str], direction: str, limit: str) -> str:
        order = f"ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}"
        if self.filter.parameters is not None:
            # LIMIT 1 keeps PostgreSQL from reading all executions to join them; the conditions tell it that they stay in order.
            return f"""SELECT e.* FROM ({self._places_of_parameters(conditions, order)}) AS found
                       JOIN LATERAL (SELECT * FROM execution WHERE id = found.id LIMIT 1) AS e
                            ON e.id = found.id AND e.started_at = found.started_at"""
        sql = self._conditions()
        common = [*sql.common, *sql.times, *conditions]
        selects = [
            f"SELECT e.* FROM execution e {join} WHERE {' AND '.join([*common, *own]) or 'true'} {order}"
            for join, own in sql.branches
        ]
        if self._merges_flows:
            # One index scan for each flow: a single one would walk through everybody's rows to find those of an idle flow.
            chosen = f"unnest({sql.flow_ids}::uuid[]) AS chosen(id)"
            selects = [f"SELECT e.* FROM {chosen} CROSS JOIN LATERAL ({select}) AS e {order}" for select in selects]
        if len(selects) == 1:
            return selects[0]
        return f"SELECT e.* FROM (({') UNION ALL ('.join(selects)})) AS e {order}"

    def _places_of_parameters(self, conditions: list[str], order: str) -> str:
        """SQL for where those stand that have one of the parameters: an index scan for each flow and digest, in order."""
        sql = self._conditions()
        digests, is_single = sql.digests, len(self.filter.parameters or ()) == 1
        of_flow = "e.flow_id = scope.id" if self.scope_column == "flow_id" else "e.flow_id = chosen.id"
        of_digest = f"e.digest = ({digests}::uuid[])[1]" if is_single else "e.digest = wanted.digest"
        conditions = [of_flow, of_digest, *sql.times, *conditions]
        if sql.servers:
            # For executions without a flow, and flows that are named: where a search stops must not tell of others' executions.
            conditions.append(f"(SELECT true FROM execution WHERE id = e.id AND server = {sql.servers}) IS NOT NULL")
        found = f"SELECT e.started_at, e.id FROM {_PARAMETERS} WHERE {' AND '.join(conditions)} {order}"
        sources = [] if is_single else [f"unnest({digests}::uuid[]) AS wanted(digest)"]
        if self.scope_column != "flow_id":
            seen = f"WHERE server = {sql.servers}" if sql.servers else ""
            sources.append(f"unnest({sql.flow_ids}::uuid[]) AS chosen(id)" if self._merges_flows else _FLOWS.format(seen))
        if not sources:
            return found
        # DISTINCT, since an execution may have several of them.
        merged = f"{' CROSS JOIN '.join(sources)} CROSS JOIN LATERAL ({found}) AS e"
        return f"SELECT DISTINCT e.started_at, e.id FROM {merged} {order}"

    @property
    def _merges_flows(self) -> bool:
        """Whether the rows come from several flows' indexes."""
        return self.scope_column is None and self.filter.flow_ids is not None

    def _conditions(self) -> _Conditions:
        """The filter as SQL; `$1` is left to the scopes."""
        wanted, sql = self.filter, _Conditions(Arguments([None]))
        add = sql.arguments.add
        if wanted.flow_ids is not None:
            sql.flow_ids = add(list(wanted.flow_ids))
            is_merged = self._merges_flows and wanted.parameters is None
            sql.common.append("e.flow_id = chosen.id" if is_merged else f"e.flow_id = ANY({sql.flow_ids}::uuid[])")
        if self.scope_column is not None:
            sql.common.append(f"e.{self.scope_column} = scope.id")
        if self.visible_servers is not None:
            sql.servers = f"ANY({add(sorted(self.visible_servers))}::text[])"
            sql.common.append(f"e.server = {sql.servers}")
        for value, conditions, condition in (
            (wanted.started_from, sql.times, "e.started_at >= {}::timestamptz"),
            (wanted.started_to, sql.times, "e.started_at < {}::timestamptz"),
            (wanted.is_preview, sql.common, "e.is_preview = {}::boolean"),
            (wanted.servers, sql.common, "e.server = ANY({}::text[])"),
            (wanted.client_name, sql.common, "e.client_name = {}::text"),
            (wanted.trace_id, sql.common, "e.trace_id = {}::text"),
        ):
            if value is not None:
                conditions.append(condition.format(add(_sent(value))))
        if wanted.flow_deleted is not None:
            of_deleted = "(e.flow_id IS NOT NULL AND e.flow_id IN (SELECT id FROM flow WHERE deleted_at IS NOT NULL))"
            sql.common.append(of_deleted if wanted.flow_deleted else f"NOT {of_deleted}")
        sql.branches = _branches(wanted, sql.arguments) if wanted.asks_outcome else [("", [])]
        if wanted.parameters is not None:
            sql.digests = add(list(wanted.parameters))
        if wanted.text:
            sql.text = _text_condition(add(like_pattern(wanted.text)))
        return sql


def _branches(wanted: ExecutionFilter, arguments: Arguments) -> list[tuple[str, list[str]]]:
    """One branch for each state that a matching execution can be in by now, and for errors of certain kinds one for each kind."""
    statuses = wanted.possible_statuses
    if not statuses:
        return [("", ["false"])]
    settled, overdue = [], []
    if wanted.failed_node_id is not None:
        node = arguments.add(json_text.clean(wanted.failed_node_id))
        settled.append(f"e.failed_node_id = {node}::text")
        overdue.append(f"failed.node_id = {node}::text")
    if wanted.duration_ms_at_least is not None:
        span = f"make_interval(secs => {arguments.add(wanted.duration_ms_at_least)}::float8 / 1000)"
        settled.append(f"e.ended_at - e.started_at >= {span}")
        overdue.append(f"e.timeout_at - e.started_at >= {span}")
    branches: list[tuple[str, list[str]]] = []
    if "FULFILLED" in statuses:
        branches.append(("", ["e.status = 'FULFILLED'", *settled]))
    if "ERROR" in statuses:
        kinds = wanted.error_kinds
        of_kind = [[]] if kinds is None else [[f"e.error_kind = {arguments.add(kind)}::text"] for kind in kinds]
        branches += [("", ["e.status = 'ERROR'", *one, *settled]) for one in of_kind]
        if kinds is None or "TIMED_OUT" in kinds:
            branches.append((FAILED_NODE if wanted.failed_node_id is not None else "", [OVERDUE, *overdue]))
    if "PENDING" in statuses:
        branches.append(("", [RUNNING]))
    return branches


def _text_condition(pattern: str) -> str:
    return f"""e.initial_params_preview ILIKE {pattern} OR e.flow_name ILIKE {pattern}
        OR e.error_message ILIKE {pattern} OR e.failed_node_name ILIKE {pattern}
        OR failed.node_name ILIKE {pattern} OR ({OVERDUE} AND '{TIMED_OUT_MESSAGE}' ILIKE {pattern})"""


def _sent(value: Any) -> Any:
    if isinstance(value, str):
        return json_text.clean(value)
    if isinstance(value, tuple):
        return [_sent(item) for item in value]
    return value
