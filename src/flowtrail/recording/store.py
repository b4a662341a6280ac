"""Loads the states that a batch touches, with their rows locked, and writes what became of them: bulk statements, no rules.

What is new is copied (docs/decisions/new-rows-are-copied.md), what is changed is updated from arrays.
"""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, starmap

import asyncpg

from flowtrail import changes, counts
from flowtrail.database import Write
from flowtrail.recording import rows
from flowtrail.recording.machine import Batch, ExecutionState, NodeState
from flowtrail.recording.rows import Columns, Row
from flowtrail.turns import Turns, in_turns

_STATE_COLUMNS = """id, server, flow_id, is_preview, status, started_at, deadline, timeout_at, error_kind,
    late_status IS NOT NULL AS has_late_outcome, start_hash, end_hash, late_hash, status AS stored_status"""
_NODE_COLUMNS = "execution_id, position, node_id, node_name, status, started_at, ended_at, error, start_hash, end_hash"


_COPIED_AT_ONCE = 32
"""Rows without values."""
_SENT_AT_ONCE = 512 * 1024
_ROW_WEIGHT = 1024
"""Characters that cost as much to send as a row without long texts."""


class StartedElsewhere(Exception):
    """Another transaction inserted one of the batch's executions meanwhile: load again, it is there now."""


async def lock_executions(write: Write, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, ExecutionState]:
    """Lock and return those of the executions that exist, always in the order of their ids, so that batches don't deadlock."""
    records = await write.fetch(
        f"SELECT {_STATE_COLUMNS} FROM execution WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE", sorted(set(ids))
    )
    return _states_of(records)


async def lock_overdue(write: Write, limit: int) -> dict[uuid.UUID, ExecutionState]:
    """Lock and return pending executions whose deadline has passed, but none that another transaction holds."""
    records = await write.fetch(
        f"""SELECT {_STATE_COLUMNS} FROM execution WHERE status = 'PENDING' AND deadline <= now()
            ORDER BY deadline LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED""",
        limit,
    )
    return _states_of(records)


def _states_of(records: Sequence[asyncpg.Record]) -> dict[uuid.UUID, ExecutionState]:
    return {record["id"]: ExecutionState(**record) for record in records}


async def load_nodes(
    write: Write,
    states: dict[uuid.UUID, ExecutionState],
    named: set[tuple[uuid.UUID, int]],
    ending: list[uuid.UUID],
) -> None:
    """Load the nodes that events name, and all nodes of executions that may end."""
    records = []
    if named:
        ids, positions = zip(*sorted(named), strict=True)
        records += await write.fetch(
            f"""SELECT {_NODE_COLUMNS} FROM node_execution
                WHERE (execution_id, position) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))""",
            ids,
            positions,
        )
    if ending:
        records += await write.fetch(f"SELECT {_NODE_COLUMNS} FROM node_execution WHERE execution_id = ANY($1)", ending)
    for record in records:
        fields = dict(record)
        states[fields.pop("execution_id")].nodes.setdefault(record["position"], NodeState(**fields))


async def write_batch(write: Write, batch: Batch, turns: Turns | None = None) -> None:
    """Write everything that the batch's events changed; raises StartedElsewhere when an insert met a row it had not seen."""
    states = batch.executions.values()
    await _insert_executions(write, [state for state in states if state.started is not None], turns)
    await _update_executions(write, [state for state in states if state.started is None])
    await _keep_late_outcomes(write, [state for state in states if state.late_outcome is not None])
    await _write_nodes(write, states, turns)
    await changes.append(write, batch.changes)
    await counts.append(write, await _count_deltas(states, turns))


async def _insert_executions(write: Write, states: list[ExecutionState], turns: Turns | None) -> None:
    if not states:
        return
    states.sort(key=lambda state: state.id)
    try:
        await _copy(write, "execution", rows.EXECUTION, map(rows.execution, states), turns)
    except asyncpg.UniqueViolationError:
        raise StartedElsewhere from None
    await _copy(write, "execution_payload", rows.PAYLOAD, map(rows.payload, states), turns)
    if any(state.started and state.started.parameter_digests for state in states):
        parameters = chain.from_iterable(map(rows.parameters, states))
        await _copy(write, "execution_parameter", rows.PARAMETER, parameters, turns)


async def _update_executions(write: Write, states: list[ExecutionState]) -> None:
    ended = [state for state in states if state.outcome is not None]
    await _update(write, "execution", rows.EXECUTION_OUTCOME, map(rows.execution_outcome, ended))
    results = (rows.result(state.id, state.outcome) for state in ended if rows.has_result(state.outcome))
    await _update(write, "execution_payload", rows.RESULT, results)
    # After TIMED_OUT and INTERRUPTED nodes may still come.
    grown = (
        (state.id, len(state.nodes))
        for state in states
        if state.outcome is None and state.status != "PENDING" and any(node.started for node in state.nodes.values())
    )
    await _update(write, "execution", {"id": "uuid", "node_count": "integer"}, grown)


async def _keep_late_outcomes(write: Write, states: list[ExecutionState]) -> None:
    await _update(write, "execution", rows.LATE_OUTCOME, map(rows.late_outcome, states))
    results = (rows.result(state.id, state.late_outcome) for state in states if rows.has_result(state.late_outcome))
    await _update(write, "execution_payload", rows.LATE_RESULT, results)


async def _write_nodes(write: Write, states: Iterable[ExecutionState], turns: Turns | None) -> None:
    nodes = [(state.id, node) for state in states for node in state.nodes.values()]
    new = [(execution_id, node) for execution_id, node in nodes if node.started is not None]
    if new:
        await _copy(write, "node_execution", rows.NODE, starmap(rows.node, new), turns)
    changed = (rows.node_outcome(execution_id, node) for execution_id, node in nodes if node.changed and node.started is None)
    await _update(write, "node_execution", rows.NODE_OUTCOME, changed, key_columns=2)


async def _count_deltas(states: Iterable[ExecutionState], turns: Turns | None) -> Counter[counts.Key]:
    deltas: Counter[counts.Key] = Counter()
    async for state in in_turns(states, turns, _COPIED_AT_ONCE):
        if state.status != state.stored_status:
            ended_at, group = (state.outcome.ended_at, rows.error_group(state.outcome)) if state.outcome else (None, None)
            deltas[counts.key(state.flow_id, state.started_at, state.status, state.is_preview, ended_at, group)] += 1
            if state.stored_status is not None:  # only what was pending gets another status
                deltas[counts.key(state.flow_id, state.started_at, state.stored_status, state.is_preview, None, None)] -= 1
    return deltas


async def _copy(write: Write, table: str, columns: Columns, new: Iterable[Row], turns: Turns | None) -> None:
    has_texts = "json" in columns.values()
    records = list(new) if turns is None else in_turns(new, turns, 1 if has_texts else _COPIED_AT_ONCE)
    await write.copy_records_to_table(table, records=records, columns=list(columns))


async def _update(write: Write, table: str, columns: Columns, changed: Iterable[Row], *, key_columns: int = 1) -> None:
    """Set the columns of rows that their first columns name."""
    names = list(columns)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(columns.values(), start=1))
    values = [f"{name} = new.{name}" for name in names[key_columns:]]
    if table == "execution":
        values.append("updated_at = clock_timestamp()")
    match = " AND ".join(f"old.{name} = new.{name}" for name in names[:key_columns])
    statement = f"UPDATE {table} AS old SET {', '.join(values)} FROM unnest({arrays}) AS new({', '.join(names)}) WHERE {match}"
    for some in _portions(changed):
        await write.execute(statement, *zip(*some, strict=True))


def _portions(changed: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows, as many at a time as may be sent in one go."""
    some: list[Row] = []
    weight = 0
    for row in changed:
        some.append(row)
        weight += _ROW_WEIGHT + sum(len(value) for value in row if value.__class__ is str)
        if weight > _SENT_AT_ONCE:
            yield some
            some, weight = [], 0
    if some:
        yield some
