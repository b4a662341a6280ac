"""What a detail view shows beyond the row of a list: payloads and nodes, each read only when a document selects it (spec 2.6)."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from flowtrail import json_text
from flowtrail.database import Read
from flowtrail.executions.filter import OVERDUE
from flowtrail.timeouts import UNFINISHED_NODE_ERROR

EXECUTION_PAYLOADS = ("initial_params", "result", "late_result")
NODE_PAYLOADS = ("input", "output")
STACKS = ("error_stack", "late_error_stack")


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A JSON value as its exact text. Size (bytes) and SHA-256 are those of the whole value, cut or not (spec 1.6)."""

    text: str
    size: int
    sha256: bytes
    is_truncated: bool

    @classmethod
    def of(cls, text: str) -> "StoredPayload":
        """Return the payload of a whole JSON text."""
        return cls(text, *json_text.digest(text), is_truncated=False)


@dataclass(frozen=True, slots=True)
class NodeExecution:
    """A step of an execution as a reader sees it now, without its payloads."""

    execution_id: uuid.UUID
    position: int
    parent_position: int | None
    node_id: str
    node_name: str
    node_type: str
    started_at: datetime
    status: str
    ended_at: datetime | None
    error: str | None


NodeKey = tuple[uuid.UUID, int]

_NODE_COLUMNS = f"""
    n.execution_id, n.position, n.parent_position, n.node_id, n.node_name, n.node_type, n.started_at,
    CASE WHEN cut.short THEN 'ERROR' ELSE n.status END AS status,
    CASE WHEN cut.short THEN greatest(e.timeout_at, n.started_at) ELSE n.ended_at END AS ended_at,
    CASE WHEN cut.short THEN 'TIMED_OUT: {UNFINISHED_NODE_ERROR}' ELSE n.error END AS error"""
_NODES = f"""FROM node_execution n JOIN execution e ON e.id = n.execution_id
    CROSS JOIN LATERAL (SELECT n.status = 'PENDING' AND {OVERDUE} AS short) AS cut"""


async def nodes_by_execution(read: Read, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, list[NodeExecution]]:
    """Return the nodes of each execution, in the order they started."""
    rows = await read.fetch(
        f"SELECT {_NODE_COLUMNS} {_NODES} WHERE n.execution_id = ANY($1) ORDER BY n.execution_id, n.position", list(ids)
    )
    found: dict[uuid.UUID, list[NodeExecution]] = {id_: [] for id_ in ids}
    for row in rows:
        found[row["execution_id"]].append(NodeExecution(**row))
    return found


async def nodes_by_key(read: Read, keys: Collection[NodeKey]) -> dict[NodeKey, NodeExecution]:
    """Return those of the nodes, by execution and position, that exist."""
    rows = await read.fetch(
        f"""SELECT {_NODE_COLUMNS} {_NODES}
            WHERE (n.execution_id, n.position) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))""",
        [execution_id for execution_id, _ in keys],
        [position for _, position in keys],
    )
    return {(row["execution_id"], row["position"]): NodeExecution(**row) for row in rows}


async def payloads_by_execution(read: Read, name: str, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, StoredPayload]:
    """Return one of EXECUTION_PAYLOADS of each execution that has it."""
    assert name in EXECUTION_PAYLOADS  # noqa: S101 (it becomes part of a statement)
    rows = await read.fetch(
        f"""SELECT execution_id, {name} AS text, {name}_size AS size, {name}_sha256 AS sha256, {name}_truncated AS is_truncated
            FROM execution_payload WHERE execution_id = ANY($1) AND {name} IS NOT NULL""",
        list(ids),
    )
    return {row["execution_id"]: _payload(row) for row in rows}


async def stacks_by_execution(read: Read, name: str, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, str]:
    """Return one of STACKS of each execution that has it."""
    assert name in STACKS  # noqa: S101 (it becomes part of a statement)
    rows = await read.fetch(
        f"SELECT execution_id, {name} AS stack FROM execution_payload WHERE execution_id = ANY($1) AND {name} IS NOT NULL",
        list(ids),
    )
    return {row["execution_id"]: row["stack"] for row in rows}


async def payloads_by_node(read: Read, name: str, keys: Collection[NodeKey]) -> dict[NodeKey, StoredPayload]:
    """Return one of NODE_PAYLOADS of each node that has it."""
    assert name in NODE_PAYLOADS  # noqa: S101 (it becomes part of a statement)
    rows = await read.fetch(
        f"""SELECT execution_id, position, {name}_data AS text, {name}_size AS size, {name}_sha256 AS sha256,
                   {name}_truncated AS is_truncated
            FROM node_execution
            WHERE (execution_id, position) IN (SELECT * FROM unnest($1::uuid[], $2::integer[])) AND {name}_data IS NOT NULL""",
        [execution_id for execution_id, _ in keys],
        [position for _, position in keys],
    )
    return {(row["execution_id"], row["position"]): _payload(row) for row in rows}


def _payload(row: asyncpg.Record) -> StoredPayload:
    return StoredPayload(row["text"], row["size"], row["sha256"], row["is_truncated"])
