"""Node executions: the steps inside an execution. Rows come from `node_execution`, with the payloads that are selected."""

from datetime import datetime, timedelta
from enum import Enum

import strawberry

from flowtrail import executions
from flowtrail.executions import NODE_PAYLOADS, NodeColumns, stored_payload
from flowtrail.graphql.ahead import Ahead
from flowtrail.graphql.columns import column, written_as
from flowtrail.graphql.ids import Node, encode_id
from flowtrail.graphql.payloads import PayloadInfo
from flowtrail.graphql.scalars import JSON

_MILLISECOND = timedelta(milliseconds=1)


@strawberry.enum(description="How far a node has come.")
class NodeExecutionStatus(Enum):
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


@strawberry.type(description="One step inside an execution.")
class NodeExecution(Node):
    row: strawberry.Private[executions.NodeExecution]
    """Read with node_columns of what is selected."""

    position: int = column("position", description="In the order the nodes started, from 0.")
    parent_position: int | None = column("parent_position", description="The enclosing node, for nested nodes.")
    node_id: str = column("node_id")
    node_name: str = column("node_name")
    node_type: str = column("node_type")
    status: NodeExecutionStatus = column("status", NodeExecutionStatus)
    started_at: datetime = column("started_at")
    ended_at: datetime | None = column("ended_at")
    error: str | None = column("error", description="Why it failed.")
    input_data: JSON | None = column("input", JSON, description="What the node took in.")
    output_data: JSON | None = column("output", JSON, description="What the node gave out.")

    @strawberry.field(description="Opaque and globally unique.")
    @written_as("global_id")
    def id(self) -> strawberry.ID:
        return encode_id("NodeExecution", self.row["execution_id"], self.row["position"])

    @strawberry.field(description="Milliseconds; null while pending.")
    @written_as("duration_ms")
    def duration_ms(self) -> float | None:
        return duration_ms(self.row["started_at"], self.row["ended_at"])

    @strawberry.field
    def input_info(self) -> PayloadInfo | None:
        return PayloadInfo.of_optional(stored_payload(self.row, "input"))

    @strawberry.field
    def output_info(self) -> PayloadInfo | None:
        return PayloadInfo.of_optional(stored_payload(self.row, "output"))


def node_columns(ahead: Ahead) -> NodeColumns:
    """Return what has to be read of nodes, by what is selected of them."""
    times = {name: ahead.times(f"{name}Data") + ahead.below(f"{name}Info").times("text") for name in NODE_PAYLOADS}
    texts = frozenset(name for name, number in times.items() if number)
    return NodeColumns(texts, frozenset(name for name in NODE_PAYLOADS if f"{name}Info" in ahead), max(times.values()))


def duration_ms(started_at: datetime, ended_at: datetime | None) -> float | None:
    """Return the milliseconds between two times; None while there is no end."""
    return None if ended_at is None else (ended_at - started_at) / _MILLISECOND
