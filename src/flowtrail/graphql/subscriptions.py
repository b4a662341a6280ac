"""The root field that streams."""

from collections.abc import AsyncGenerator
from typing import cast

import strawberry

from flowtrail.changes import Position
from flowtrail.errors import BadUserInput
from flowtrail.graphql.ahead import Info
from flowtrail.graphql.change_stream import ChangeStream, Chosen
from flowtrail.graphql.changes import ExecutionChangeEvent
from flowtrail.graphql.ids import decode_id_of


@strawberry.type
class Subscription:
    @strawberry.subscription(
        description="Every change of the executions chosen (all, without arguments), once and in order, "
        "from `after` on, or from now."
    )
    async def execution_changes(
        self,
        info: Info,
        flow_id: strawberry.ID | None = None,
        execution_id: strawberry.ID | None = None,
        after: str | None = None,
    ) -> AsyncGenerator[ExecutionChangeEvent, None]:
        info.context.require_reader()
        chosen = Chosen(
            decode_id_of("Flow", "flowId", flow_id) if flow_id is not None else None,
            decode_id_of("Execution", "executionId", execution_id) if execution_id is not None else None,
            info.context.viewer.servers,
        )
        try:
            position = Position.decode(after) if after is not None else None
        except ValueError:
            raise BadUserInput("after: not a cursor of the change feed") from None
        stream = ChangeStream(info.context, chosen, position, info.ahead)
        return cast("AsyncGenerator[ExecutionChangeEvent, None]", stream)
