"""Which executions a connection holds: the contract's filters as SQL, built so that each shape uses an index (spec 2.2)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flowtrail import json_text
from flowtrail.sql import Arguments, like_pattern
from flowtrail.timeouts import TIMED_OUT_MESSAGE

OVERDUE = "(e.status = 'PENDING' AND e.deadline <= now())"
_RUNNING = "e.status = 'PENDING' AND e.deadline > now()"

_CHOSEN_FLOWS = "unnest($2::uuid[]) AS chosen(id)"
"""The flows that a filter names: always the first parameter after the scopes."""

FAILED_NODE = f"""LEFT JOIN LATERAL (
    SELECT n.node_id, n.node_name FROM node_execution n
    WHERE {OVERDUE} AND n.execution_id = e.id AND n.status <> 'COMPLETED'
    ORDER BY n.ended_at NULLS LAST, n.position DESC LIMIT 1) AS failed ON true"""
"""The failing node of an overdue execution: the first that failed, else the one running (spec 1.4); others have it in their row."""


@dataclass(frozen=True, slots=True)
class ExecutionFilter:
    """Fields are joined by AND, the values of a list by OR; None does not filter. Times are half-open."""

    statuses: tuple[str, ...] | None = None
    started_from: datetime | None = None
    started_to: datetime | None = None
    is_preview: bool | None = None
    error_kinds: tuple[str, ...] | None = None
    failed_node_id: str | None = None
    flow_ids: tuple[uuid.UUID, ...] | None = None
    flow_deleted: bool | None = None
    servers: tuple[str, ...] | None = None
    client_name: str | None = None
    trace_id: str | None = None
    duration_ms_at_least: float | None = None
    text: str | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the counts know the answer: only status and preview are asked for (and the flow, which is the scope)."""
        return self == ExecutionFilter(statuses=self.statuses, is_preview=self.is_preview)

    @property
    def _asks_outcome(self) -> bool:
        """Whether the answer changes when a deadline passes."""
        return any(value is not None for value in (self.statuses, self.error_kinds, self.failed_node_id, self.duration_ms_at_least))


@dataclass(frozen=True, slots=True)
class Selection:
    """A scope (one flow's executions, one parent's, or all), what its reader may see of it, and a filter: the rows of a connection.

    SQL made here has the columns of `execution` as `e`; `$1` is the array of scopes, and `scope.id` the one at hand.
    """

    scope_column: str | None = None
    filter: ExecutionFilter = field(default_factory=ExecutionFilter)
    visible_servers: frozenset[str] | None = None

    def arguments(self, first: Sequence[Any]) -> Arguments:
        """Return the parameters that `rows` refers to, after `first`."""
        return Arguments([*first, *self._compiled(len(first))[1]])

    @property
    def without_text(self) -> "Selection":
        """The rows that a search for text looks at."""
        return replace(self, filter=replace(self.filter, text=None))

    def rows(self, conditions: list[str], direction: str, limit: str, text_scan_bound: int) -> str:
        """SQL for the first `limit` matching rows in `direction`; with a text, among the first `text_scan_bound` others."""
        if not self.filter.text:
            return self._candidates(conditions, direction, limit)
        candidates = self._candidates(conditions, direction, str(text_scan_bound))
        order = f"ORDER BY e.started_at {direction}, e.id {direction}"
        return f"SELECT e.* FROM ({candidates}) AS e {FAILED_NODE} WHERE {self._text_condition()} {order} LIMIT {limit}"

    def _candidates(self, conditions: list[str], direction: str, limit: str) -> str:
        """SQL for the first `limit` rows that match everything but the text."""
        branches, _ = self._compiled(1)
        order = f"ORDER BY e.started_at {direction}, e.id {direction} LIMIT {limit}"
        selects = [
            f"SELECT e.* FROM execution e {join} WHERE {' AND '.join([*own, *conditions]) or 'true'} {order}"
            for join, own in branches
        ]
        if self._merges_flows:
            # One index scan for each flow: a single one would walk through everybody's rows to find those of an idle flow.
            selects = [f"SELECT e.* FROM {_CHOSEN_FLOWS} CROSS JOIN LATERAL ({select}) AS e {order}" for select in selects]
        if len(selects) == 1:
            return selects[0]
        return f"SELECT e.* FROM (({') UNION ALL ('.join(selects)})) AS e {order}"

    @property
    def _merges_flows(self) -> bool:
        """Whether the rows come from several flows' indexes."""
        return self.scope_column is None and self.filter.flow_ids is not None

    def _text_condition(self) -> str:
        pattern = f"${1 + len(self._compiled(1)[1])}"
        return f"""(e.initial_params_preview ILIKE {pattern} OR e.flow_name ILIKE {pattern}
            OR e.error_message ILIKE {pattern} OR e.failed_node_name ILIKE {pattern}
            OR failed.node_name ILIKE {pattern} OR ({OVERDUE} AND '{TIMED_OUT_MESSAGE}' ILIKE {pattern}))"""

    def _compiled(self, offset: int) -> tuple[list[tuple[str, list[str]]], list[Any]]:
        """The branches as (join, conditions), and the values of their parameters, numbered from `offset` + 1."""
        arguments = Arguments([None] * offset)
        common = self._common_conditions(arguments)
        branches = self._branches(arguments)
        if self.filter.text:
            arguments.add(like_pattern(self.filter.text))
        return [(join, [*common, *own]) for join, own in branches], arguments[offset:]

    def _common_conditions(self, arguments: Arguments) -> list[str]:
        wanted, conditions = self.filter, []
        if wanted.flow_ids is not None:
            flow_ids = arguments.add(list(wanted.flow_ids))
            conditions.append("e.flow_id = chosen.id" if self._merges_flows else f"e.flow_id = ANY({flow_ids}::uuid[])")
        if self.scope_column is not None:
            conditions.append(f"e.{self.scope_column} = scope.id")
        if self.visible_servers is not None:
            conditions.append(f"e.server = ANY({arguments.add(sorted(self.visible_servers))}::text[])")
        for value, condition in (
            (wanted.started_from, "e.started_at >= {}::timestamptz"),
            (wanted.started_to, "e.started_at < {}::timestamptz"),
            (wanted.is_preview, "e.is_preview = {}::boolean"),
            (wanted.servers, "e.server = ANY({}::text[])"),
            (wanted.client_name, "e.client_name = {}::text"),
            (wanted.trace_id, "e.trace_id = {}::text"),
        ):
            if value is not None:
                conditions.append(condition.format(arguments.add(_sent(value))))
        if wanted.flow_deleted is not None:
            of_deleted = "(e.flow_id IS NOT NULL AND e.flow_id IN (SELECT id FROM flow WHERE deleted_at IS NOT NULL))"
            conditions.append(of_deleted if wanted.flow_deleted else f"NOT {of_deleted}")
        return conditions

    def _branches(self, arguments: Arguments) -> list[tuple[str, list[str]]]:
        """One branch for all rows; or, when the outcome matters, one for each state an execution can be in by now."""
        wanted = self.filter
        if not wanted._asks_outcome:
            return [("", [])]
        statuses = self._possible_statuses
        if not statuses:
            return [("", ["false"])]
        settled, overdue = [], []
        if wanted.error_kinds is not None:
            kinds = arguments.add(list(wanted.error_kinds))
            settled.append(f"e.error_kind = ANY({kinds}::text[])")
            overdue.append(f"'TIMED_OUT' = ANY({kinds}::text[])")
        if wanted.failed_node_id is not None:
            node = arguments.add(json_text.clean(wanted.failed_node_id))
            settled.append(f"e.failed_node_id = {node}::text")
            overdue.append(f"failed.node_id = {node}::text")
        if wanted.duration_ms_at_least is not None:
            span = f"make_interval(secs => {arguments.add(wanted.duration_ms_at_least)}::float8 / 1000)"
            settled.append(f"e.ended_at - e.started_at >= {span}")
            overdue.append(f"e.timeout_at - e.started_at >= {span}")
        branches = [("", [f"e.status = '{status}'", *settled]) for status in ("FULFILLED", "ERROR") if status in statuses]
        if "ERROR" in statuses:
            branches.append((FAILED_NODE if wanted.failed_node_id is not None else "", [OVERDUE, *overdue]))
        if "PENDING" in statuses:
            branches.append(("", [_RUNNING]))
        return branches

    @property
    def _possible_statuses(self) -> set[str]:
        """What a matching execution's status can be: only errors have a kind and a node, and what is pending has no duration."""
        wanted = self.filter
        statuses = set(wanted.statuses if wanted.statuses is not None else ("PENDING", "FULFILLED", "ERROR"))
        if wanted.error_kinds is not None or wanted.failed_node_id is not None:
            return statuses & {"ERROR"}
        return statuses - {"PENDING"} if wanted.duration_ms_at_least is not None else statuses


def _sent(value: Any) -> Any:
    if isinstance(value, str):
        return json_text.clean(value)
    if isinstance(value, tuple):
        return [_sent(item) for item in value]
    return value
