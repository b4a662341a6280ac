"""Which executions a connection holds, and the SQL conditions that several statements share (spec 2.2)."""

import uuid
from dataclasses import dataclass
from datetime import datetime

OVERDUE = "(e.status = 'PENDING' AND e.deadline <= now())"
RUNNING = "e.status = 'PENDING' AND e.deadline > now()"

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
    def possible_statuses(self) -> set[str]:
        """What a matching execution's status can be: only errors have a kind and a node, and what is pending has no duration."""
        statuses = set(self.statuses if self.statuses is not None else ("PENDING", "FULFILLED", "ERROR"))
        if self.error_kinds is not None or self.failed_node_id is not None:
            return statuses & {"ERROR"}
        return statuses - {"PENDING"} if self.duration_ms_at_least is not None else statuses
