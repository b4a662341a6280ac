"""What a filter asks of a row of `execution`, as SQL conditions on `e` (spec 2.2), by what the execution is by now (spec 1.7)."""

from typing import Any

from flowtrail import json_text
from flowtrail.executions.filter import ALL_STATUSES, FAILED_NODE_ID, FAILED_NODE_NAME, OVERDUE, RUNNING, ExecutionFilter
from flowtrail.sql import Arguments, like_pattern
from flowtrail.timeouts import TIMED_OUT_MESSAGE


def of_row(wanted: ExecutionFilter, arguments: Arguments) -> list[str]:
    """Return conditions that all hold for an execution that matches; not those on its start and its parameters."""
    add = arguments.add
    conditions = [
        condition.format(add(sent(value)))
        for value, condition in (
            (wanted.is_preview, "e.is_preview = {}::boolean"),
            (wanted.flow_ids, "e.flow_id = ANY({}::uuid[])"),
            (wanted.servers, "e.server = ANY({}::text[])"),
            (wanted.client_name, "e.client_name = {}::text"),
            (wanted.trace_id, "e.trace_id = {}::text"),
        )
        if value is not None
    ]
    if wanted.flow_deleted is not None:
        of_deleted = "(e.flow_id IS NOT NULL AND e.flow_id IN (SELECT id FROM flow WHERE deleted_at IS NOT NULL))"
        conditions.append(of_deleted if wanted.flow_deleted else f"NOT {of_deleted}")
    if wanted.asks_outcome:
        branches = (f"({' AND '.join(branch)})" for branch in outcomes(wanted, arguments))
        conditions.append(f"({' OR '.join(branches)})")
    if wanted.text:
        conditions.append(f"({_text(add(like_pattern(wanted.text)))})")
    return conditions


def outcomes(wanted: ExecutionFilter, arguments: Arguments) -> list[list[str]]:
    """Return one list of conditions for each state that a matching execution can be in by now, and for each kind of error.

    An execution matches when all of one of the lists hold; each list can use an index.
    """
    possible = wanted.possible_statuses
    if possible == ALL_STATUSES:
        return [[]]
    if not possible:
        return [["false"]]
    settled, overdue = [], []
    if wanted.failed_node_id is not None:
        node = arguments.add(sent(wanted.failed_node_id))
        settled.append(f"e.failed_node_id = {node}::text")
        overdue.append(f"{FAILED_NODE_ID} = {node}::text")
    if wanted.duration_ms_at_least is not None:
        span = f"make_interval(secs => {arguments.add(wanted.duration_ms_at_least)}::float8 / 1000)"
        settled.append(f"e.ended_at - e.started_at >= {span}")
        overdue.append(f"e.timeout_at - e.started_at >= {span}")
    branches: list[list[str]] = []
    if "FULFILLED" in possible:
        branches.append(["e.status = 'FULFILLED'", *settled])
    if "ERROR" in possible:
        kinds = wanted.error_kinds
        of_kind = [[]] if kinds is None else [[f"e.error_kind = {arguments.add(kind)}::text"] for kind in kinds]
        branches += [["e.status = 'ERROR'", *one, *settled] for one in of_kind]
        if kinds is None or "TIMED_OUT" in kinds:
            branches.append([OVERDUE, *overdue])
    if "PENDING" in possible:
        branches.append([RUNNING])
    return branches


def sent(value: Any) -> Any:
    """Return a value as the database keeps it."""
    if isinstance(value, str):
        return json_text.clean(value)
    if isinstance(value, tuple):
        return [sent(item) for item in value]
    return value


def _text(pattern: str) -> str:
    return f"""e.initial_params_preview ILIKE {pattern} OR e.flow_name ILIKE {pattern}
        OR e.error_message ILIKE {pattern} OR e.failed_node_name ILIKE {pattern}
        OR ({OVERDUE} AND ('{TIMED_OUT_MESSAGE}' ILIKE {pattern} OR {FAILED_NODE_NAME} ILIKE {pattern}))"""
