"""Node executions: the steps inside an execution. Rows come from `node_execution`, their payloads only when selected."""

import uuid
from datetime import datetime, timedelta
from enum import Enum

import strawberry

from flowtrail import executions
from flowtrail.graphql.context import Info
from flowtrail.graphql.ids import Node, encode_id
from flowtrail.graphql.payloads import PayloadInfo
from flowtrail.graphql.scalars import JSON


@strawberry.enum(description="How far a node has come.")
class NodeExecutionStatus(Enum):
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


@strawberry.type(description="One step inside an execution.")
class NodeExecution(Node):
    position: int = strawberry.field(description="In the order the nodes started, from 0.")
    parent_position: int | None = strawberry.field(description="The enclosing node, for nested nodes.")
    node_id: str
    node_name: str
    node_type: str
    status: NodeExecutionStatus
    started_at: datetime
    ended_at: datetime | None
    duration_ms: float | None = strawberry.field(description="Milliseconds; null while pending.")
    error: str | None = strawberry.field(description="Why it failed.")
    execution_id: strawberry.Private[uuid.UUID]

    @classmethod
    def of(cls, node: executions.NodeExecution) -> "NodeExecution":
        return cls(
            id=encode_id("NodeExecution", node.execution_id, node.position),
            position=node.position,
            parent_position=node.parent_position,
            node_id=node.node_id,
            node_name=node.node_name,
            node_type=node.node_type,
            status=NodeExecutionStatus(node.status),
            started_at=node.started_at,
            ended_at=node.ended_at,
            duration_ms=duration_ms(node.started_at, node.ended_at),
            error=node.error,
            execution_id=node.execution_id,
        )

    async def _payload(self, info: Info, name: str) -> executions.StoredPayload | None:
        return await info.context.loaders.payload_by_node(name).load((self.execution_id, self.position))

    @strawberry.field(description="What the node took in.")
    async def input_data(self, info: Info) -> JSON | None:
        return _json(await self._payload(info, "input"))

    @strawberry.field
    async def input_info(self, info: Info) -> PayloadInfo | None:
        return PayloadInfo.of_optional(await self._payload(info, "input"))

    @strawberry.field(description="What the node gave out.")
    async def output_data(self, info: Info) -> JSON | None:
        return _json(await self._payload(info, "output"))

    @strawberry.field
    async def output_info(self, info: Info) -> PayloadInfo | None:
        return PayloadInfo.of_optional(await self._payload(info, "output"))


def duration_ms(started_at: datetime, ended_at: datetime | None) -> float | None:
    """Return the milliseconds between two times; None while there is no end."""
    return None if ended_at is None else (ended_at - started_at) / timedelta(milliseconds=1)


def _json(payload: executions.StoredPayload | None) -> JSON | None:
    return None if payload is None else JSON(payload)
