"""Flows: the tools that MCP servers offer. Rows come from `flow`, executions through the loaders."""

from datetime import datetime
from uuid import UUID

import strawberry

from flowtrail import flows
from flowtrail.counts import Range
from flowtrail.errors import BadUserInput
from flowtrail.executions import Selection
from flowtrail.flows import FlowFilter, FlowPosition
from flowtrail.graphql.ahead import Info
from flowtrail.graphql.connection import PageInfo
from flowtrail.graphql.execution_connection import (
    ExecutionConnection,
    ExecutionFilterInput,
    TimeRange,
    check_list,
    check_text,
    connect,
)
from flowtrail.graphql.ids import Node, encode_id
from flowtrail.graphql.scalars import JSON
from flowtrail.graphql.statistics import FlowStatistics
from flowtrail.pagination import Page, page_request


@strawberry.type(description="A tool that an MCP server offers. One call of it is an execution.")
class Flow(Node):
    uuid: UUID
    server: str = strawberry.field(description="The MCP server that offers the tool.")
    tool_name: str
    name: str
    description: str | None
    input_schema: JSON | None = strawberry.field(description="The JSON Schema of its parameters.")
    timeout_ms: int = strawberry.field(description="After this many milliseconds a pending execution is TIMED_OUT.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: flows.Flow) -> "Flow":
        return cls(
            uuid=row.id,
            server=row.server,
            tool_name=row.tool_name,
            name=row.name,
            description=row.description,
            input_schema=JSON(row.input_schema) if row.input_schema is not None else None,
            timeout_ms=row.timeout_ms,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )

    @strawberry.field(description="Opaque and globally unique.")
    def id(self) -> strawberry.ID:
        return encode_id("Flow", self.uuid)

    @strawberry.field(description="Of the whole flow, whatever filters say; overdue executions do not count.")
    async def has_pending_executions(self, info: Info) -> bool:
        return bool(await info.context.loaders.has_pending_by_flow.load(self.uuid))

    @strawberry.field(description="Newest first, 20 unless asked, at most 100.")
    async def executions(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
        filter: ExecutionFilterInput | None = None,  # noqa: A002 (the contract's name)
    ) -> ExecutionConnection:
        chosen = filter.checked() if filter else Selection().filter
        return await connect(info, self.uuid, Selection("flow_id", chosen), first, after, last, before)

    @strawberry.field(description="Of the executions that started in the range; of all without one.")
    async def statistics(self, info: Info, time_range: TimeRange | None = None) -> FlowStatistics | None:
        within = Range(time_range.from_, time_range.to) if time_range else Range()
        if within.start and within.end and within.start >= within.end:
            raise BadUserInput("timeRange: from must lie before to")
        summary = await info.context.loaders.summary.load((self.uuid, within))
        return FlowStatistics.of(self.uuid, within, summary)


@strawberry.type
class FlowEdge:
    cursor: str
    node: Flow


@strawberry.type(description="Flows by server and tool name.")
class FlowConnection:
    page: strawberry.Private[Page[flows.Flow]]
    filter: strawberry.Private[FlowFilter]

    @strawberry.field
    def edges(self) -> list[FlowEdge]:
        return [FlowEdge(cursor=row.position.encode(), node=Flow.of(row)) for row in self.page.rows]

    @strawberry.field
    def page_info(self) -> PageInfo:
        rows = self.page.rows
        return PageInfo(
            has_next_page=self.page.has_next,
            has_previous_page=self.page.has_previous,
            start_cursor=rows[0].position.encode() if rows else None,
            end_cursor=rows[-1].position.encode() if rows else None,
        )

    @strawberry.field
    async def total_count(self, info: Info) -> int | None:
        async with info.context.database.read() as read:
            return await flows.count_flows(read, self.filter, info.context.viewer.servers)


@strawberry.input(name="FlowFilter")
class FlowFilterInput:
    server: list[str] | None = None
    text: str | None = strawberry.field(default=None, description="Part of the name, tool name or description, case ignored.")
    has_pending_executions: bool | None = None

    def checked(self) -> FlowFilter:
        """Return the filter; raises BadUserInput naming the field that is wrong."""
        check_list("filter.server", self.server)
        for server in self.server or ():
            check_text("filter.server", server)
        check_text("filter.text", self.text)
        return FlowFilter(self.server, self.text, self.has_pending_executions)


@strawberry.input(description="A flow by its server and tool name.")
class FlowTool:
    server: str
    tool_name: str


@strawberry.input(one_of=True, description="Exactly one way to name a flow.")
class FlowBy:
    id: strawberry.Maybe[strawberry.ID]
    uuid: strawberry.Maybe[UUID]
    tool: strawberry.Maybe[FlowTool]


async def flow_connection(
    info: Info, first: int | None, after: str | None, last: int | None, before: str | None, filter_: FlowFilterInput | None
) -> FlowConnection:
    """Return a page of flows; raises BadUserInput naming a wrong argument."""
    wanted = filter_.checked() if filter_ else FlowFilter()
    request = page_request(first, after, last, before, FlowPosition.decode)
    async with info.context.database.read() as read:
        page = await flows.flow_page(read, wanted, request, info.context.viewer.servers)
    return FlowConnection(page=page, filter=wanted)
