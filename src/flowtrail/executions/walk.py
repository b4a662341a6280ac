"""Executions in the order of an index, as SQL: what a connection's rows are sifted from, or are (spec 2.2).

There are three ways to walk: along executions as they are listed, along those of a trace, and along those that have a parameter.
Where executions of certain flows are asked for, and not of one, each flow's index is walked and the walks are merged: a single
index would lead through everybody's rows to find those of an idle flow, and a stop there would tell of executions of others.
"""

from collections.abc import Iterator

from flowtrail.counts import NO_FLOW
from flowtrail.executions.conditions import outcomes, sent
from flowtrail.executions.filter import ExecutionFilter
from flowtrail.sql import Arguments

_PARAMETERS = "(SELECT flow_id, digest, started_at, execution_id AS id FROM execution_parameter) AS e"


class Walk:
    """A scope's executions that match a filter of which an index holds all (selection.py), with the columns of `execution` as `e`.

    `scope.id` is the scope at hand: a flow, or a parent.
    """

    def __init__(
        self,
        scope_column: str | None,
        wanted: ExecutionFilter,
        visible_servers: frozenset[str] | None,
        arguments: Arguments,
    ) -> None:
        add = arguments.add
        self._scope_column = scope_column
        self._wanted = wanted
        servers = visible_servers
        if wanted.servers is not None:
            servers = frozenset(wanted.servers) if servers is None else servers.intersection(wanted.servers)
        self._servers = None if servers is None else add(sent(tuple(sorted(servers))))
        self._flow_ids = None if wanted.flow_ids is None else add(list(wanted.flow_ids))
        self._times = [
            f"e.started_at {comparison} {add(time)}::timestamptz"
            for comparison, time in ((">=", wanted.started_from), ("<", wanted.started_to))
            if time is not None
        ]
        self._trace = None if wanted.trace_id is None else add(sent(wanted.trace_id))
        self._digests = None if wanted.parameters is None else add(list(wanted.parameters))
        # Not a parameter, or no index of previews alone would be used.
        self._outcomes = [[*branch, *(["e.is_preview"] if wanted.is_preview else [])] for branch in outcomes(wanted, arguments)]

    def rows(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for the first `limit` rows that meet `conditions`, on started_at and id, too."""
        order = _order(direction, limit)
        if self._wanted.parameters is not None:
            # LIMIT 1 keeps PostgreSQL from reading all executions to join them; the conditions tell it that they stay in order.
            return f"""SELECT e.* FROM ({self._places_of_parameters(conditions, order)}) AS found
                       JOIN LATERAL (SELECT * FROM execution WHERE id = found.id LIMIT 1) AS e
                            ON e.id = found.id AND e.started_at = found.started_at"""
        selects = list(self._selects(conditions, order))
        if len(selects) == 1:
            return selects[0]
        return f"SELECT e.* FROM (({') UNION ALL ('.join(selects)})) AS e {order}"

    def places(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for where they stand, as (started_at, id), read from an index alone."""
        if self._wanted.parameters is not None:
            return self._places_of_parameters(conditions, _order(direction, limit))
        return f"SELECT e.started_at, e.id FROM ({self.rows(conditions, direction, limit)}) AS e"

    def _selects(self, conditions: list[str], order: str) -> Iterator[str]:
        for source, own in self._sources():
            for outcome in self._outcomes:
                where = " AND ".join([*own, *outcome, *self._times, *conditions]) or "true"
                select = f"SELECT e.* FROM execution e WHERE {where} {order}"
                yield f"SELECT e.* FROM {source} CROSS JOIN LATERAL ({select}) AS e {order}" if source else select

    def _sources(self) -> Iterator[tuple[str, list[str]]]:
        """What to walk for each of, if anything, and the conditions that choose an index."""
        if self._trace is not None:
            yield "", [f"e.trace_id = {self._trace}::text", *self._of_scope_in_trace()]
        elif self._scope_column == "flow_id":
            yield "", ["e.flow_id = scope.id", *self._of_scope()]
        elif self._scope_column is not None:
            yield "", [f"e.{self._scope_column} = scope.id", *self._of_servers()]
        elif not self._merges_flows:
            yield "", []
        else:
            yield f"(SELECT id FROM flow WHERE {' AND '.join(self._of_flow())}) AS chosen", ["e.flow_id = chosen.id"]
            if self._takes_no_flow:
                yield f"unnest({self._servers}::text[]) AS chosen(server)", ["e.flow_id IS NULL", "e.server = chosen.server"]

    def _places_of_parameters(self, conditions: list[str], order: str) -> str:
        """SQL for where those stand that have one of the parameters: an index scan for each flow and digest, in order."""
        is_single = len(self._wanted.parameters or ()) == 1
        of_digest = f"e.digest = ({self._digests}::uuid[])[1]" if is_single else "e.digest = wanted.digest"
        conditions = [of_digest, *self._times, *conditions]
        sources = [] if is_single else [f"unnest({self._digests}::uuid[]) AS wanted(digest)"]
        if self._scope_column == "flow_id":
            conditions += ["e.flow_id = scope.id", *self._of_scope()]
        else:
            conditions.append("e.flow_id = chosen.id")
            chosen = f"SELECT id FROM flow WHERE {' AND '.join(self._of_flow()) or 'true'}"
            if self._takes_no_flow:
                chosen += f" UNION ALL SELECT '{NO_FLOW}'"
                conditions += self._of_servers_without_flow()
            sources.append(f"({chosen}) AS chosen(id)")
        found = f"SELECT e.started_at, e.id FROM {_PARAMETERS} WHERE {' AND '.join(conditions)} {order}"
        if not sources:
            return found
        # DISTINCT, since an execution may have several of them.
        merged = f"{' CROSS JOIN '.join(sources)} CROSS JOIN LATERAL ({found}) AS e"
        return f"SELECT DISTINCT e.started_at, e.id FROM {merged} {order}"

    @property
    def _merges_flows(self) -> bool:
        return self._servers is not None or self._flow_ids is not None or self._wanted.flow_deleted is not None

    @property
    def _takes_no_flow(self) -> bool:
        """Whether executions of tools that did not exist are among those of the flows."""
        return self._flow_ids is None and not self._wanted.flow_deleted

    def _of_flow(self) -> list[str]:
        """Conditions on `flow`."""
        conditions = [] if self._flow_ids is None else [f"id = ANY({self._flow_ids}::uuid[])"]
        if self._servers is not None:
            conditions.append(f"server = ANY({self._servers}::text[])")
        if self._wanted.flow_deleted is not None:
            conditions.append(f"deleted_at IS {'NOT NULL' if self._wanted.flow_deleted else 'NULL'}")
        return conditions

    def _of_scope(self) -> list[str]:
        """Whether the flow at hand is one of those asked for: found out once, not for each row."""
        conditions = self._of_flow()
        return [f"(SELECT true FROM flow WHERE id = scope.id AND {' AND '.join(conditions)}) IS NOT NULL"] if conditions else []

    def _of_scope_in_trace(self) -> list[str]:
        if self._scope_column != "flow_id":
            return self._of_servers()
        # As no index understands it: a trace is shorter than a flow's list.
        return ["(e.flow_id = scope.id) IS TRUE", *self._of_scope()]

    def _of_servers(self) -> list[str]:
        return [] if self._servers is None else [f"e.server = ANY({self._servers}::text[])"]

    def _of_servers_without_flow(self) -> list[str]:
        if self._servers is None:
            return []
        server = f"(SELECT true FROM execution WHERE id = e.id AND server = ANY({self._servers}::text[])) IS NOT NULL"
        return [f"(e.flow_id <> '{NO_FLOW}' OR {server})"]


def _order(direction: str, limit: str) -> str:
    return f"ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}"
