"""What is written of a state: rows as tuples, in the order of the columns named beside them (models)."""

import uuid
from collections.abc import Mapping
from typing import Any, TypeAlias

from flowtrail import counts
from flowtrail.recording.events import Payload
from flowtrail.recording.machine import ExecutionState, NodeState, Outcome

Columns: TypeAlias = Mapping[str, str]
"""The type of each column, by its name."""


def _payload_columns(name: str, prefix: str | None = None) -> dict[str, str]:
    """The columns of a value, as Payload has them."""
    prefix = prefix or name
    return {name: "json", f"{prefix}_size": "bigint", f"{prefix}_sha256": "bytea", f"{prefix}_truncated": "boolean"}


def _error_columns(prefix: str = "") -> dict[str, str]:
    return dict.fromkeys(
        (f"{prefix}error_kind", f"{prefix}error_message", f"{prefix}failed_node_id", f"{prefix}failed_node_name"), "text"
    )


EXECUTION_OUTCOME: Columns = {
    "id": "uuid",
    "status": "text",
    "ended_at": "timestamptz",
    "node_count": "integer",
    **_error_columns(),
    "error_group": "uuid",
    "end_hash": "bytea",
}
EXECUTION: Columns = {
    **EXECUTION_OUTCOME,
    "flow_id": "uuid",
    "server": "text",
    "flow_name": "text",
    "flow_tool_name": "text",
    "started_at": "timestamptz",
    "deadline": "timestamptz",
    "timeout_at": "timestamptz",
    "initial_params_preview": "text",
    "is_preview": "boolean",
    "client_name": "text",
    "client_version": "text",
    "caller_subject": "text",
    "caller_client_id": "text",
    "caller_session_id": "text",
    "caller_request_id": "text",
    "trace_id": "text",
    "parent_execution_id": "uuid",
    "start_hash": "bytea",
}
LATE_OUTCOME: Columns = {
    "id": "uuid",
    "late_status": "text",
    "late_ended_at": "timestamptz",
    **_error_columns("late_"),
    "late_hash": "bytea",
}
RESULT: Columns = {"execution_id": "uuid", **_payload_columns("result"), "error_stack": "text"}
LATE_RESULT: Columns = {"execution_id": "uuid", **_payload_columns("late_result"), "late_error_stack": "text"}
PAYLOAD: Columns = {**RESULT, **_payload_columns("initial_params")}
PARAMETER: Columns = {"flow_id": "uuid", "digest": "uuid", "started_at": "timestamptz", "execution_id": "uuid"}
NODE_OUTCOME: Columns = {
    "execution_id": "uuid",
    "position": "integer",
    "status": "text",
    "ended_at": "timestamptz",
    "error": "text",
    **_payload_columns("output_data", "output"),
    "end_hash": "bytea",
}
NODE: Columns = {
    **NODE_OUTCOME,
    "parent_position": "integer",
    "node_id": "text",
    "node_name": "text",
    "node_type": "text",
    "started_at": "timestamptz",
    **_payload_columns("input_data", "input"),
    "start_hash": "bytea",
}

_NO_PAYLOAD = (None, None, None, None)
_NO_ERROR = (None, None, None, None)
Row: TypeAlias = tuple[Any, ...]


def execution(state: ExecutionState) -> Row:
    """Return the EXECUTION of a state that this batch inserts."""
    start, flow = state.started, state.flow
    assert start is not None  # noqa: S101 (only new executions are inserted)
    return (
        *execution_outcome(state),
        state.flow_id,
        start.server,
        flow.name if flow else start.tool_name,
        start.tool_name,
        start.started_at,
        state.deadline,
        state.timeout_at,
        start.initial_params_preview,
        start.is_preview,
        start.client_name,
        start.client_version,
        start.caller_subject,
        start.caller_client_id,
        start.caller_session_id,
        start.caller_request_id,
        start.trace_id,
        start.parent_execution_id,
        state.start_hash,
    )


def execution_outcome(state: ExecutionState) -> Row:
    """Return the EXECUTION_OUTCOME of a state, ended or not."""
    outcome = state.outcome
    if outcome is None:
        return (state.id, state.status, None, 0, *_NO_ERROR, None, None)
    group = error_group(outcome)
    return (state.id, state.status, outcome.ended_at, len(state.nodes), *_error(outcome), group, state.end_hash)


def late_outcome(state: ExecutionState) -> Row:
    """Return the LATE_OUTCOME of a state that has one."""
    outcome = state.late_outcome
    assert outcome is not None  # noqa: S101 (the caller picked those that have one)
    return (state.id, outcome.status, outcome.ended_at, *_error(outcome), state.late_hash)


def payload(state: ExecutionState) -> Row:
    """Return the PAYLOAD of a state that this batch inserts."""
    assert state.started is not None  # noqa: S101 (likewise)
    return (*result(state.id, state.outcome), *state.started.initial_params)


def result(execution_id: uuid.UUID, outcome: Outcome | None) -> Row:
    """Return the RESULT, or LATE_RESULT, of an outcome."""
    if outcome is None:
        return (execution_id, *_NO_PAYLOAD, None)
    return (execution_id, *_payload(outcome.result), outcome.error.stack if outcome.error else None)


def has_result(outcome: Outcome | None) -> bool:
    """Tell whether there is something to keep with the payloads."""
    return outcome is not None and (outcome.result is not None or (outcome.error is not None and outcome.error.stack is not None))


def parameters(state: ExecutionState) -> list[Row]:
    """Return the PARAMETERs of a state that this batch inserts."""
    assert state.started is not None  # noqa: S101 (likewise)
    flow_id = state.flow_id or counts.NO_FLOW
    return [(flow_id, digest, state.started_at, state.id) for digest in state.started.parameter_digests]


def node(execution_id: uuid.UUID, node: NodeState) -> Row:
    """Return the NODE of a state that this batch inserts."""
    start = node.started
    assert start is not None  # noqa: S101 (likewise)
    return (
        *node_outcome(execution_id, node),
        start.parent_position,
        node.node_id,
        node.node_name,
        start.node_type,
        node.started_at,
        *_payload(start.input),
        node.start_hash,
    )


def node_outcome(execution_id: uuid.UUID, node: NodeState) -> Row:
    """Return the NODE_OUTCOME of a state, ended or not."""
    return (execution_id, node.position, node.status, node.ended_at, node.error, *_payload(node.output), node.end_hash)


def error_group(outcome: Outcome) -> uuid.UUID | None:
    """Return what an outcome's error is counted by; None for one without."""
    error = outcome.error
    return counts.error_group(error.kind, error.node_id, error.message) if error else None


def _error(outcome: Outcome) -> Row:
    error = outcome.error
    return (error.kind, error.message, error.node_id, error.node_name) if error else _NO_ERROR


def _payload(value: Payload | None) -> Row:
    return _NO_PAYLOAD if value is None else value
