"""Changes: the events that subscriptions stream. Entries come from the feed, with rows that were read after them (spec 3.1)."""

import uuid
from datetime import datetime
from enum import Enum
from typing import Annotated

import strawberry

from flowtrail.graphql.executions import Execution
from flowtrail.graphql.nodes import NodeExecution


@strawberry.enum(description="One step of an execution's life.")
class ExecutionChangeKind(Enum):
    STARTED = "STARTED"
    NODE_STARTED = "NODE_STARTED"
    NODE_FINISHED = "NODE_FINISHED"
    FINISHED = "FINISHED"
    TIMED_OUT = "TIMED_OUT"
    INTERRUPTED = "INTERRUPTED"
    LATE_OUTCOME = "LATE_OUTCOME"


@strawberry.enum(description="Why a position can't be served.")
class ResyncReason(Enum):
    TOO_OLD = strawberry.enum_value("TOO_OLD", description="The changes after it were pruned.")
    UNKNOWN_POSITION = strawberry.enum_value("UNKNOWN_POSITION", description="It lies ahead of this database.")
    DATABASE_REPLACED = strawberry.enum_value(
        "DATABASE_REPLACED", description="It is of another database, or of an earlier life of this one."
    )


@strawberry.type(description="A change, with the execution as it is on delivery.")
class ExecutionChange:
    cursor: str = strawberry.field(description="Pass it as `after`, and everything after this change follows.")
    kind: ExecutionChangeKind
    at: datetime = strawberry.field(description="When it was recorded, by the database's clock.")
    execution_id: uuid.UUID
    execution: Execution | None = strawberry.field(
        description="As it is on delivery, never older than the change; null when it was purged since."
    )
    node_execution: NodeExecution | None = strawberry.field(description="The node, for NODE_STARTED and NODE_FINISHED.")


@strawberry.type(description="The stream completes after it: query anew, then subscribe from the new changeCursor.")
class ResyncRequired:
    reason: ResyncReason


ExecutionChangeEvent = Annotated[ExecutionChange | ResyncRequired, strawberry.union("ExecutionChangeEvent")]
