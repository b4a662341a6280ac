"""Loads the states that a batch touches, with their rows locked, and writes what became of them: bulk statements, no rules."""

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from flowtrail import changes, counts
from flowtrail.database import Write
from flowtrail.recording.machine import Batch, ExecutionState, NodeState, Outcome

_PAYLOAD_TYPES = {"": "json", "_size": "bigint", "_sha256": "bytea", "_truncated": "boolean"}

_EXECUTION = {
    "id": "uuid",
    "flow_id": "uuid",
    "server": "text",
    "flow_name": "text",
    "flow_tool_name": "text",
    "status": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "deadline": "timestamptz",
    "timeout_at": "timestamptz",
    "initial_params_preview": "text",
    "node_count": "integer",
    "is_preview": "boolean",
    "client_name": "text",
    "client_version": "text",
    "caller_subject": "text",
    "caller_client_id": "text",
    "caller_session_id": "text",
    "caller_request_id": "text",
    "trace_id": "text",
    "parent_execution_id": "uuid",
    "error_kind": "text",
    "error_message": "text",
    "failed_node_id": "text",
    "failed_node_name": "text",
    "error_group": "uuid",
    "start_hash": "bytea",
    "end_hash": "bytea",
}
_OUTCOME = {
    name: _EXECUTION[name]
    for name in (
        "id",
        "status",
        "ended_at",
        "node_count",
        "error_kind",
        "error_message",
        "failed_node_id",
        "failed_node_name",
        "error_group",
        "end_hash",
    )
}
_LATE_OUTCOME = {
    "id": "uuid",
    "late_status": "text",
    "late_ended_at": "timestamptz",
    "late_error_kind": "text",
    "late_error_message": "text",
    "late_failed_node_id": "text",
    "late_failed_node_name": "text",
    "late_hash": "bytea",
}
_PARAMS = {f"initial_params{suffix}": kind for suffix, kind in _PAYLOAD_TYPES.items()}
_RESULT = {**{f"result{suffix}": kind for suffix, kind in _PAYLOAD_TYPES.items()}, "error_stack": "text"}
_LATE_RESULT = {**{f"late_result{suffix}": kind for suffix, kind in _PAYLOAD_TYPES.items()}, "late_error_stack": "text"}
_NODE = {
    "execution_id": "uuid",
    "position": "integer",
    "parent_position": "integer",
    "node_id": "text",
    "node_name": "text",
    "node_type": "text",
    "status": "text",
    "started_at": "timestamptz",
    "ended_at": "timestamptz",
    "error": "text",
    **{f"input{'_data' if suffix == '' else suffix}": kind for suffix, kind in _PAYLOAD_TYPES.items()},
    **{f"output{'_data' if suffix == '' else suffix}": kind for suffix, kind in _PAYLOAD_TYPES.items()},
    "start_hash": "bytea",
    "end_hash": "bytea",
}
_NODE_KEY = ("execution_id", "position")
_NODE_OUTCOME = {
    name: kind
    for name, kind in _NODE.items()
    if name in (*_NODE_KEY, "status", "ended_at", "error", "end_hash") or name.startswith("output")
}

_STATE_COLUMNS = """id, server, flow_id, is_preview, status, started_at, deadline, timeout_at, error_kind,
    late_status IS NOT NULL AS has_late_outcome, start_hash, end_hash, late_hash, status AS stored_status"""
_NODE_COLUMNS = "execution_id, position, node_id, node_name, status, started_at, ended_at, error, start_hash, end_hash"


class StartedElsewhere(Exception):
    """Another transaction inserted one of the batch's executions meanwhile: load again, it is there now."""


async def lock_executions(write: Write, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, ExecutionState]:
    """Lock and return those of the executions that exist, always in the order of their ids, so that batches don't deadlock."""
    rows = await write.fetch(
        f"SELECT {_STATE_COLUMNS} FROM execution WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", sorted(set(ids))
    )
    return _states_of(rows)


async def lock_overdue(write: Write, limit: int) -> dict[uuid.UUID, ExecutionState]:
    """Lock and return pending executions whose deadline has passed, but none that another transaction holds."""
    rows = await write.fetch(
        f"""SELECT {_STATE_COLUMNS} FROM execution WHERE status = 'PENDING' AND deadline <= now()
            ORDER BY deadline LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED""",
        limit,
    )
    return _states_of(rows)


def _states_of(rows: Sequence[asyncpg.Record]) -> dict[uuid.UUID, ExecutionState]:
    return {row["id"]: ExecutionState(**row) for row in rows}


async def load_nodes(
    write: Write,
    states: dict[uuid.UUID, ExecutionState],
    named: set[tuple[uuid.UUID, int]],
    ending: list[uuid.UUID],
) -> None:
    """Load the nodes that events name, and all nodes of executions that may end."""
    rows = []
    if named:
        ids, positions = zip(*sorted(named), strict=True)
        rows += await write.fetch(
            f"""SELECT {_NODE_COLUMNS} FROM node_execution
                WHERE (execution_id, position) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))""",
            ids,
            positions,
        )
    if ending:
        rows += await write.fetch(f"SELECT {_NODE_COLUMNS} FROM node_execution WHERE execution_id = ANY($1)", ending)
    for row in rows:
        fields = dict(row)
        states[fields.pop("execution_id")].nodes.setdefault(row["position"], NodeState(**fields))


async def write_batch(write: Write, batch: Batch) -> None:
    """Write everything that the batch's events changed; raises StartedElsewhere when an insert met a row it had not seen."""
    states = batch.executions.values()
    await _insert_executions(write, [state for state in states if state.started is not None])
    await _update_executions(write, [state for state in states if state.started is None])
    await _keep_late_outcomes(write, [state for state in states if state.late_outcome is not None])
    await _write_nodes(write, states)
    await changes.append(write, batch.changes)
    await counts.append(write, _count_deltas(states))


async def _insert_executions(write: Write, states: list[ExecutionState]) -> None:
    if not states:
        return
    states.sort(key=lambda state: state.id)
    inserted = await write.fetch(
        f"{_insert('execution', _EXECUTION)} ON CONFLICT (id) DO NOTHING RETURNING id",
        *_columns(_EXECUTION, [_execution_row(state) for state in states]),
    )
    if len(inserted) < len(states):
        raise StartedElsewhere
    rows = [
        {
            "execution_id": state.id,
            **_payload("initial_params", _started(state).initial_params),
            **_result_row(state.outcome),
        }
        for state in states
    ]
    types = {"execution_id": "uuid", **_PARAMS, **_RESULT}
    await write.execute(_insert("execution_payload", types), *_columns(types, rows))
    await _insert_parameters(write, states)


async def _insert_parameters(write: Write, states: list[ExecutionState]) -> None:
    found = [
        (state.flow_id or counts.NO_FLOW, digest, state.started_at, state.id) for state in states for digest in _digests(state)
    ]
    if found:
        types = {"flow_id": "uuid", "digest": "uuid", "started_at": "timestamptz", "execution_id": "uuid"}
        await write.execute(_insert("execution_parameter", types), *zip(*found, strict=True))


async def _update_executions(write: Write, states: list[ExecutionState]) -> None:
    ended = [state for state in states if state.outcome is not None]
    if ended:
        await write.execute(_update("execution", _OUTCOME, ("id",)), *_columns(_OUTCOME, [_outcome_row(state) for state in ended]))
        with_result = [state for state in ended if _has_payload(state.outcome)]
        rows = [{"execution_id": state.id, **_result_row(state.outcome)} for state in with_result]
        await _update_payloads(write, _RESULT, rows)
    # After TIMED_OUT and INTERRUPTED nodes may still come.
    grown = [
        state
        for state in states
        if state.outcome is None and state.status != "PENDING" and any(node.started for node in state.nodes.values())
    ]
    if grown:
        await write.execute(
            """UPDATE execution AS old SET node_count = new.node_count, updated_at = clock_timestamp()
               FROM unnest($1::uuid[], $2::integer[]) AS new(id, node_count) WHERE old.id = new.id""",
            [state.id for state in grown],
            [len(state.nodes) for state in grown],
        )


async def _keep_late_outcomes(write: Write, states: list[ExecutionState]) -> None:
    if states:
        rows = [_late_row(state) for state in states]
        await write.execute(_update("execution", _LATE_OUTCOME, ("id",)), *_columns(_LATE_OUTCOME, rows))
    with_result = [state for state in states if _has_payload(state.late_outcome)]
    rows = [{"execution_id": state.id, **_result_row(state.late_outcome, "late_")} for state in with_result]
    await _update_payloads(write, _LATE_RESULT, rows)


async def _update_payloads(write: Write, types: dict[str, str], rows: list[dict[str, Any]]) -> None:
    if rows:
        types = {"execution_id": "uuid", **types}
        await write.execute(_update("execution_payload", types, ("execution_id",), stamp=False), *_columns(types, rows))


async def _write_nodes(write: Write, states: Iterable[ExecutionState]) -> None:
    nodes = [(state.id, node) for state in states for node in state.nodes.values()]
    new = [_node_row(execution_id, node) for execution_id, node in nodes if node.started is not None]
    if new:
        await write.execute(_insert("node_execution", _NODE), *_columns(_NODE, new))
    changed = [_node_outcome_row(execution_id, node) for execution_id, node in nodes if node.changed and node.started is None]
    if changed:
        await write.execute(_update("node_execution", _NODE_OUTCOME, _NODE_KEY, stamp=False), *_columns(_NODE_OUTCOME, changed))


def _count_deltas(states: Iterable[ExecutionState]) -> Counter[counts.Key]:
    deltas: Counter[counts.Key] = Counter()
    for state in states:
        if state.status != state.stored_status:
            ended_at, group = (state.outcome.ended_at, _error_group(state.outcome)) if state.outcome else (None, None)
            deltas[counts.key(state.flow_id, state.started_at, state.status, state.is_preview, ended_at, group)] += 1
            if state.stored_status is not None:  # only what was pending gets another status
                deltas[counts.key(state.flow_id, state.started_at, state.stored_status, state.is_preview, None, None)] -= 1
    return deltas


def _digests(state: ExecutionState) -> tuple[uuid.UUID, ...]:
    return state.started.parameter_digests if state.started else ()


def _started(state: ExecutionState) -> Any:
    return state.started


def _execution_row(state: ExecutionState) -> dict[str, Any]:
    start, flow = state.started, state.flow
    assert start is not None  # noqa: S101 (only new executions are inserted)
    return {
        **{name: getattr(start, name) for name in _EXECUTION if hasattr(start, name)},
        "id": state.id,
        "flow_id": state.flow_id,
        "flow_name": flow.name if flow else start.tool_name,
        "flow_tool_name": start.tool_name,
        "deadline": state.deadline,
        "timeout_at": state.timeout_at,
        "start_hash": state.start_hash,
        **_outcome_row(state),
    }


def _outcome_row(state: ExecutionState) -> dict[str, Any]:
    outcome = state.outcome
    return {
        "id": state.id,
        "status": state.status,
        "ended_at": outcome.ended_at if outcome else None,
        "node_count": len(state.nodes) if outcome else 0,
        **_error_row(outcome),
        "error_group": _error_group(outcome),
        "end_hash": state.end_hash,
    }


def _late_row(state: ExecutionState) -> dict[str, Any]:
    outcome = state.late_outcome
    assert outcome is not None  # noqa: S101 (the caller picked those that have one)
    return {
        "id": state.id,
        "late_status": outcome.status,
        "late_ended_at": outcome.ended_at,
        **_error_row(outcome, "late_"),
        "late_hash": state.late_hash,
    }


def _error_row(outcome: Outcome | None, prefix: str = "") -> dict[str, Any]:
    error = outcome.error if outcome else None
    return {
        f"{prefix}error_kind": error.kind if error else None,
        f"{prefix}error_message": error.message if error else None,
        f"{prefix}failed_node_id": error.node_id if error else None,
        f"{prefix}failed_node_name": error.node_name if error else None,
    }


def _error_group(outcome: Outcome | None) -> uuid.UUID | None:
    error = outcome.error if outcome else None
    return counts.error_group(error.kind, error.node_id, error.message) if error else None


def _has_payload(outcome: Outcome | None) -> bool:
    return outcome is not None and (outcome.result is not None or (outcome.error is not None and outcome.error.stack is not None))


def _result_row(outcome: Outcome | None, prefix: str = "") -> dict[str, Any]:
    error = outcome.error if outcome else None
    return {
        **_payload(f"{prefix}result", outcome.result if outcome else None),
        f"{prefix}error_stack": error.stack if error else None,
    }


def _node_row(execution_id: uuid.UUID, node: NodeState) -> dict[str, Any]:
    start = node.started
    assert start is not None  # noqa: S101 (only new nodes are inserted)
    return {
        "parent_position": start.parent_position,
        "node_id": node.node_id,
        "node_name": node.node_name,
        "node_type": start.node_type,
        "started_at": node.started_at,
        **_payload("input", start.input, "input_data"),
        "start_hash": node.start_hash,
        **_node_outcome_row(execution_id, node),
    }


def _node_outcome_row(execution_id: uuid.UUID, node: NodeState) -> dict[str, Any]:
    return {
        "execution_id": execution_id,
        "position": node.position,
        "status": node.status,
        "ended_at": node.ended_at,
        "error": node.error,
        **_payload("output", node.output, "output_data"),
        "end_hash": node.end_hash,
    }


def _payload(prefix: str, payload: Any, column: str | None = None) -> dict[str, Any]:
    return {
        column or prefix: payload.text if payload else None,
        f"{prefix}_size": payload.size if payload else None,
        f"{prefix}_sha256": payload.sha256 if payload else None,
        f"{prefix}_truncated": payload.is_truncated if payload else None,
    }


def _insert(table: str, types: dict[str, str]) -> str:
    return f"INSERT INTO {table} ({', '.join(types)}) SELECT * FROM unnest({_arrays(types)})"


def _update(table: str, types: dict[str, str], key: tuple[str, ...], *, stamp: bool = True) -> str:
    names = [
        *(f"{name} = new.{name}" for name in types if name not in key),
        *(["updated_at = clock_timestamp()"] if stamp else []),
    ]
    match = " AND ".join(f"old.{name} = new.{name}" for name in key)
    return f"UPDATE {table} AS old SET {', '.join(names)} FROM unnest({_arrays(types)}) AS new({', '.join(types)}) WHERE {match}"


def _arrays(types: dict[str, str]) -> str:
    return ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types.values(), start=1))


def _columns(types: dict[str, str], rows: list[dict[str, Any]]) -> list[list[Any]]:
    return [[row[name] for row in rows] for name in types]
