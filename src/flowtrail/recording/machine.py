"""The state machine of an execution: events in, states, changes and receipts out. Pure: knows no SQL (spec 1.2 to 1.9, 4.2).

A batch loads the states it touches with their rows locked, applies its events in order, and writes what changed (store.py).
"""

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from flowtrail.changes import Change
from flowtrail.flows import Flow
from flowtrail.recording.events import (
    ErrorInfo,
    Event,
    EventRefused,
    Finished,
    NodeFinished,
    NodeStarted,
    Payload,
    Started,
    event_hash,
    refused,
)
from flowtrail.timeouts import DEFAULT_TIMEOUT_MS, GRACE, TIMED_OUT_MESSAGE, UNFINISHED_NODE_ERROR


class Receipt(NamedTuple):
    """What became of one event: outcome ACCEPTED, DUPLICATE or REJECTED, the last with a code and a reason."""

    outcome: str
    code: str | None = None
    reason: str | None = None


ACCEPTED = Receipt("ACCEPTED")
DUPLICATE = Receipt("DUPLICATE")


@dataclass(slots=True)
class NodeState:
    position: int
    node_id: str
    node_name: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    error: str | None
    start_hash: bytes
    end_hash: bytes | None
    started: NodeStarted | None = None
    """Set for a node that this batch inserts."""
    output: Payload | None = None
    changed: bool = False

    def close(self, status: str, ended_at: datetime, error: str | None) -> None:
        self.status, self.ended_at, self.error = status, max(ended_at, self.started_at), error
        self.changed = True


@dataclass(slots=True)
class Outcome:
    """How an execution ended, or would have ended had its result not come late."""

    status: str
    ended_at: datetime
    error: ErrorInfo | None
    result: Payload | None = None


@dataclass(slots=True)
class ExecutionState:
    id: uuid.UUID
    server: str
    flow_id: uuid.UUID | None
    is_preview: bool
    status: str
    started_at: datetime
    deadline: datetime
    timeout_at: datetime
    error_kind: str | None
    has_late_outcome: bool
    start_hash: bytes
    end_hash: bytes | None
    late_hash: bytes | None
    nodes: dict[int, NodeState] = field(default_factory=dict)
    """The nodes that the batch names; all of them when the execution may end in it, or has ended."""
    started: Started | None = None
    """Set for an execution that this batch inserts."""
    flow: Flow | None = None
    """Likewise; None when the server offers no such tool."""
    outcome: Outcome | None = None
    late_outcome: Outcome | None = None
    stored_status: str | None = None
    """The status the table holds; None for one that this batch inserts."""

    def is_overdue(self, now: datetime) -> bool:
        return self.status == "PENDING" and self.deadline <= now


class Batch:
    """Events of one transaction, applied one after the other. `now` is the database's clock, read after the rows were locked."""

    def __init__(
        self,
        executions: dict[uuid.UUID, ExecutionState],
        now: datetime,
        *,
        sent_at: datetime | None = None,
        flows: dict[tuple[str, str], Flow] | None = None,
        servers: frozenset[str] | None = None,
    ) -> None:
        """`sent_at` is the recorder's clock as it sent the events; `servers` those it may record (None: all)."""
        self.executions = executions
        self.changes: list[Change] = []
        self.now = now
        self._sent_at = sent_at or now
        self._flows = flows or {}
        self._servers = servers

    def apply(self, event: Event) -> Receipt:
        """Record one event; a refused one leaves everything as it was."""
        try:
            match event:
                case NodeStarted():
                    accepted = self._start_node(event)
                case NodeFinished():
                    accepted = self._finish_node(event)
                case Started():
                    accepted = self._start(event)
                case Finished():
                    accepted = self._finish(event)
        except EventRefused as refusal:
            return Receipt("REJECTED", refusal.code, refusal.reason)
        return ACCEPTED if accepted else DUPLICATE

    def time_out(self, state: ExecutionState) -> None:
        """End an overdue execution as TIMED_OUT, at its deadline by the recorder's clock."""
        error = ErrorInfo("TIMED_OUT", TIMED_OUT_MESSAGE)
        self._end(state, Outcome("ERROR", state.timeout_at, error), "TIMED_OUT")

    def _start(self, event: Started) -> bool:
        self._check_server(event.server)
        digest = event_hash(event)
        known = self.executions.get(event.execution_id)
        if known is not None:
            self._check_server(known.server)
            return _is_new("executionId", known.start_hash, digest)
        flow = self._flows[event.server, event.tool_name] if event.tool_exists else None
        # How long before sending it started is a span of one clock, so the recorder's skew drops out of it.
        timeout = timedelta(milliseconds=flow.timeout_ms if flow else DEFAULT_TIMEOUT_MS)
        age = min(max(self._sent_at - event.started_at, timedelta()), timeout)
        time_left = max(timeout - age, GRACE)
        self.executions[event.execution_id] = ExecutionState(
            id=event.execution_id,
            server=event.server,
            flow_id=flow.id if flow else None,
            is_preview=event.is_preview,
            status="PENDING",
            started_at=event.started_at,
            deadline=self.now + time_left,
            timeout_at=event.started_at + max(timeout, self._sent_at - event.started_at + time_left),
            error_kind=None,
            has_late_outcome=False,
            start_hash=digest,
            end_hash=None,
            late_hash=None,
            started=event,
            flow=flow,
        )
        self._note(self.executions[event.execution_id], "STARTED")
        return True

    def _start_node(self, event: NodeStarted) -> bool:
        state = self._touched(event.execution_id)
        digest = event_hash(event)
        known = state.nodes.get(event.position)
        if known is not None:
            return _is_new("position", known.start_hash, digest)
        node = NodeState(
            position=event.position,
            node_id=event.node_id,
            node_name=event.node_name,
            status="PENDING",
            started_at=event.started_at,
            ended_at=None,
            error=None,
            start_hash=digest,
            end_hash=None,
            started=event,
        )
        self._check_open(state)
        if state.status != "PENDING":
            node.close("ERROR", event.started_at, _unfinished(state.error_kind))
        state.nodes[event.position] = node
        self._note(state, "NODE_STARTED", event.position)
        return True

    def _finish_node(self, event: NodeFinished) -> bool:
        state = self._touched(event.execution_id)
        node = state.nodes.get(event.position)
        if node is None:
            raise EventRefused("UNKNOWN_NODE", f"position: no node {event.position} of this execution has started")
        digest = event_hash(event)
        if node.end_hash is not None:
            return _is_new("position", node.end_hash, digest)
        if event.ended_at < node.started_at:
            raise refused("endedAt", "lies before the node's startedAt")
        self._check_open(state)
        if state.status == "PENDING":
            node.close(event.status, event.ended_at, event.error)
        else:
            node.error = _reported_later(node.error, event)
        node.output, node.end_hash, node.changed = event.output, digest, True
        self._note(state, "NODE_FINISHED", event.position)
        return True

    def _finish(self, event: Finished) -> bool:
        state = self._touched(event.execution_id)
        digest = event_hash(event)
        if digest in (state.end_hash, state.late_hash):
            return False
        if event.ended_at < state.started_at:
            raise refused("endedAt", "lies before the execution's startedAt")
        outcome = Outcome(event.status, event.ended_at, event.error, event.result)
        if state.status == "PENDING":
            state.end_hash = digest
            self._end(state, outcome, "INTERRUPTED" if _is_interruption(event) else "FINISHED")
            return True
        self._check_open(state)
        state.late_hash = digest
        state.late_outcome = outcome
        state.has_late_outcome = True
        self._note(state, "LATE_OUTCOME")
        return True

    def _end(self, state: ExecutionState, outcome: Outcome, change: str) -> None:
        if outcome.error is not None:
            outcome.error = _with_failed_node(outcome.error, list(state.nodes.values()))
        state.status, state.outcome = outcome.status, outcome
        state.error_kind = outcome.error.kind if outcome.error else None
        for node in state.nodes.values():
            if node.status == "PENDING":
                node.close("ERROR", outcome.ended_at, _unfinished(state.error_kind))
        self._note(state, change)

    def _touched(self, execution_id: uuid.UUID) -> ExecutionState:
        """Return the state an event is about, timed out first when its deadline has passed."""
        state = self.executions.get(execution_id)
        if state is None:
            raise EventRefused("UNKNOWN_EXECUTION", f"executionId: no execution {execution_id} has started")
        self._check_server(state.server)
        if state.is_overdue(self.now):
            self.time_out(state)
        return state

    def _check_open(self, state: ExecutionState) -> None:
        """After TIMED_OUT and INTERRUPTED the rest is still taken, up to one late outcome (spec 1.8); else an end is the end."""
        if state.status == "PENDING":
            return
        if state.error_kind not in ("TIMED_OUT", "INTERRUPTED") or state.has_late_outcome:
            raise EventRefused("EXECUTION_ENDED", "executionId: the execution has ended, and a terminal status never changes")

    def _check_server(self, server: str) -> None:
        if self._servers is not None and server not in self._servers:
            raise EventRefused("FORBIDDEN", f"server: this token may not record for {server!r}")

    def _note(self, state: ExecutionState, kind: str, position: int | None = None) -> None:
        self.changes.append(Change(state.id, state.flow_id, kind, position, self.now))


def _is_new(field_name: str, stored: bytes, reported: bytes) -> bool:
    if stored != reported:
        raise EventRefused("CONFLICT", f"{field_name}: another event was recorded here before")
    return False


def _is_interruption(event: Finished) -> bool:
    return event.error is not None and event.error.kind == "INTERRUPTED"


def _unfinished(error_kind: str | None) -> str:
    return f"{error_kind}: {UNFINISHED_NODE_ERROR}" if error_kind else UNFINISHED_NODE_ERROR


def _reported_later(error: str | None, event: NodeFinished) -> str:
    """What a node says that reports its end after the end of its execution: history stays, and nothing is lost (spec 1.8)."""
    report = f"{error or ''} Reported later: {event.status} at {event.ended_at.isoformat(timespec='microseconds')}".strip()
    return f"{report}: {event.error}" if event.error else f"{report}."


def _with_failed_node(error: ErrorInfo, nodes: list[NodeState]) -> ErrorInfo:
    """Name the first node that failed, else the one that was running, else what the recorder said (spec 1.4)."""
    failed = [node for node in nodes if node.status == "ERROR"]
    running = [node for node in nodes if node.status == "PENDING"]
    if failed:
        # A failure passes from a node to those around it: of equal times the innermost came first.
        node = min(failed, key=lambda node: (node.ended_at or node.started_at, -node.position))
        return error._replace(node_id=node.node_id, node_name=node.node_name)
    if running:
        node = max(running, key=lambda node: node.position)
        return error._replace(node_id=node.node_id, node_name=node.node_name)
    if any(node.node_id == error.node_id for node in nodes):
        return error._replace(node_id=None, node_name=None)  # that one completed
    return error
