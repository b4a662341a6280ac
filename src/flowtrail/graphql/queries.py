"""The root fields that read."""

from uuid import UUID

import strawberry

from flowtrail import executions, flows, recorders
from flowtrail.executions import Selection
from flowtrail.graphql.ahead import Info
from flowtrail.graphql.execution_connection import ExecutionConnection, ExecutionFilterInput, connect
from flowtrail.graphql.executions import Execution, execution_of
from flowtrail.graphql.flows import Flow, FlowBy, FlowConnection, FlowFilterInput, flow_connection
from flowtrail.graphql.ids import Node, decode_id, decode_id_of
from flowtrail.graphql.nodes import NodeExecution, node_columns
from flowtrail.graphql.recording import Recorder


@strawberry.input(one_of=True, description="Exactly one way to name an execution.")
class ExecutionBy:
    id: strawberry.Maybe[strawberry.ID]
    uuid: strawberry.Maybe[UUID]


@strawberry.type
class Query:
    @strawberry.field(description="Any object by its id; null when there is none.")
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:  # noqa: A002 (Relay's name)
        info.context.require_reader()
        type_name, key, position = decode_id("id", id)
        match type_name:
            case "Flow":
                return await _flow(info, key)
            case "Execution":
                return await execution_of(info, key)
            case "NodeExecution":
                return await _node_execution(info, key, position)

    @strawberry.field(description="By server and tool name; 20 unless asked, at most 100.")
    async def flows(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: FlowFilterInput | None = None,  # noqa: A002 (the contract's name)
    ) -> FlowConnection:
        info.context.require_reader()
        return await flow_connection(info, first, after, last, before, filter)

    @strawberry.field(description="Null when there is no such flow.")
    async def flow(self, info: Info, by: FlowBy) -> Flow | None:
        info.context.require_reader()
        if by.tool:
            return await _flow_by_tool(info, by.tool.value.server, by.tool.value.tool_name)
        if by.id:
            return await _flow(info, decode_id_of("Flow", "by.id", by.id.value))
        return await _flow(info, by.uuid.value) if by.uuid else None

    @strawberry.field(description="Null when there is no such execution.")
    async def execution(self, info: Info, by: ExecutionBy) -> Execution | None:
        info.context.require_reader()
        if by.id:
            return await execution_of(info, decode_id_of("Execution", "by.id", by.id.value))
        return await execution_of(info, by.uuid.value) if by.uuid else None

    @strawberry.field(description="Across flows, those of deleted flows included, newest first; 20 unless asked, at most 100.")
    async def executions(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: ExecutionFilterInput | None = None,  # noqa: A002 (the contract's name)
    ) -> ExecutionConnection:
        info.context.require_reader()
        chosen = filter.checked() if filter else Selection().filter
        selection = Selection(filter=chosen, visible_servers=info.context.viewer.servers)
        return await connect(info, None, selection, first, after, last, before)

    @strawberry.field(description="The recorders that have reported, with what they had to give up.")
    async def recorders(self, info: Info) -> list[Recorder]:
        info.context.require_reader()
        async with info.context.database.read() as read:
            return [Recorder.of(row) for row in await recorders.all_recorders(read, info.context.viewer.servers)]


async def _flow(info: Info, key: UUID) -> Flow | None:
    found = await info.context.loaders.flow_by_id.load(key)
    return Flow.of(found) if found else None


async def _flow_by_tool(info: Info, server: str, tool_name: str) -> Flow | None:
    visible = info.context.viewer.servers
    if visible is not None and server not in visible:
        return None
    async with info.context.database.read() as read:
        found = await flows.flow_by_tool(read, server, tool_name)
    return Flow.of(found) if found else None


async def _node_execution(info: Info, execution_id: UUID, position: int) -> NodeExecution | None:
    loaders = info.context.loaders
    if await loaders.execution_by_id(executions.LISTED).load(execution_id) is None:
        return None
    columns = info.ahead.derived(node_columns)
    row = await loaders.node_by_key(columns).load((execution_id, position))
    if row is None:
        return None
    loaders.hand_out(columns, [row])
    return NodeExecution(row=row)
