"""The nodes of executions, as many of their payloads with them as a document asks for (spec 2.6)."""

import uuid
from collections.abc import Collection
from typing import cast

from flowtrail.database import Read
from flowtrail.executions import large
from flowtrail.executions.rows import BARE_NODES, NODES, NodeColumns, NodeExecution, NodeKey


async def nodes_by_execution(read: Read, ids: Collection[uuid.UUID], columns: NodeColumns) -> dict[uuid.UUID, list[NodeExecution]]:
    """Return the nodes of each execution, in the order they started."""
    rows = await large.fetch(
        read,
        f"SELECT {columns.sql} FROM {NODES} WHERE n.execution_id = ANY($1) ORDER BY n.execution_id, n.position",
        list(ids),
    )
    found: dict[uuid.UUID, list[NodeExecution]] = {id_: [] for id_ in ids}
    for row in rows:
        found[row["execution_id"]].append(cast("NodeExecution", row))
    return found


async def nodes_by_key(read: Read, keys: Collection[NodeKey], columns: NodeColumns = BARE_NODES) -> dict[NodeKey, NodeExecution]:
    """Return those of the nodes, by execution and position, that exist."""
    rows = await large.fetch(
        read,
        f"""SELECT {columns.sql} FROM {NODES}
            WHERE (n.execution_id, n.position) IN (SELECT * FROM unnest($1::uuid[], $2::integer[]))""",
        [execution_id for execution_id, _ in keys],
        [position for _, position in keys],
    )
    return {(row["execution_id"], row["position"]): cast("NodeExecution", row) for row in rows}
