"""Which executions a connection holds, and the SQL conditions that several statements share (spec 2.2)."""

import uuid
from dataclasses import dataclass, replace
from datetime import datetime

OVERDUE = "(e.status = 'PENDING' AND e.deadline <= now())"
RUNNING = "e.status = 'PENDING' AND e.deadline > now()"

_FAILED_NODE = """n.execution_id = e.id AND n.status <> 'COMPLETED'
    ORDER BY n.ended_at NULLS LAST, n.position DESC LIMIT 1"""
FAILED_NODE = f"""LEFT JOIN LATERAL (
    SELECT n.node_id, n.node_name FROM node_execution n WHERE {OVERDUE} AND {_FAILED_NODE}) AS failed ON true"""
"""The failing node of an overdue execution: the first that failed, else the one running (spec 1.4); others have it in their row."""
FAILED_NODE_ID = f"(SELECT n.node_id FROM node_execution n WHERE {_FAILED_NODE})"
FAILED_NODE_NAME = f"(SELECT n.node_name FROM node_execution n WHERE {_FAILED_NODE})"
"""The same as values, for conditions that look at it only when an execution is overdue."""

ALL_STATUSES = frozenset(("PENDING", "FULFILLED", "ERROR"))


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
    parameters: tuple[uuid.UUID, ...] | None = None
    """Digests of paths and values (parameters.py)."""
    text: str | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the counts know the answer: only status and preview are asked for (and the flow, which is the scope)."""
        return self == ExecutionFilter(statuses=self.statuses, is_preview=self.is_preview)

    @property
    def asks_outcome(self) -> bool:
        """Whether the answer changes when a deadline passes."""
        return any(value is not None for value in (self.statuses, self.error_kinds, self.failed_node_id, self.duration_ms_at_least))

    @property
    def possible_statuses(self) -> frozenset[str]:
        """What a matching execution's status can be: only errors have a kind and a node, and what is pending has no duration."""
        statuses = ALL_STATUSES if self.statuses is None else frozenset(self.statuses)
        if self.error_kinds is not None or self.failed_node_id is not None:
            return statuses & {"ERROR"}
        return statuses - {"PENDING"} if self.duration_ms_at_least is not None else statuses

    @property
    def canonical(self) -> "ExecutionFilter":
        """The same, in the one way to say what the status can be."""
        possible = self.possible_statuses
        return replace(self, statuses=None if possible == ALL_STATUSES else tuple(sorted(possible)))

    def without(self, other: "ExecutionFilter") -> "ExecutionFilter":
        """What is left to look at in executions that match `other`, each field of which is this one's or None."""
        return ExecutionFilter(
            **{name: None if getattr(other, name) is not None else getattr(self, name) for name in ExecutionFilter.__slots__}
        )
