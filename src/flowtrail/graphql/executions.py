"""Executions: one call of a flow each. Rows come from `execution`; payloads, nodes, flow and relatives only when selected."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import strawberry

from flowtrail import executions
from flowtrail.executions import Selection
from flowtrail.graphql.context import Info
from flowtrail.graphql.ids import Node, encode_id
from flowtrail.graphql.nodes import NodeExecution, duration_ms
from flowtrail.graphql.payloads import PayloadInfo
from flowtrail.graphql.scalars import JSON

if TYPE_CHECKING:
    from flowtrail.graphql.execution_connection import ExecutionConnection
    from flowtrail.graphql.flows import Flow


@strawberry.enum(description="PENDING, then FULFILLED or ERROR; a terminal status never changes.")
class ExecutionStatus(Enum):
    PENDING = "PENDING"
    FULFILLED = "FULFILLED"
    ERROR = "ERROR"


@strawberry.enum(description="What kind of end an ERROR was.")
class ExecutionErrorKind(Enum):
    TOOL_ERROR = strawberry.enum_value("TOOL_ERROR", description="The tool answered with isError.")
    EXCEPTION = strawberry.enum_value("EXCEPTION", description="The tool raised.")
    PROTOCOL_ERROR = strawberry.enum_value("PROTOCOL_ERROR", description="Bad arguments, or no such tool.")
    CANCELLED = strawberry.enum_value("CANCELLED", description="The client cancelled or went away.")
    TIMED_OUT = strawberry.enum_value("TIMED_OUT", description="The timeout of the flow or the tool passed.")
    INTERRUPTED = strawberry.enum_value("INTERRUPTED", description="The server process died.")


@strawberry.type(description="The MCP client that called.")
class McpClient:
    name: str
    version: str | None


@strawberry.type(description="Who called, as far as the transport or the server's author tells.")
class Caller:
    subject: str | None
    client_id: str | None
    session_id: str | None
    request_id: str | None


@strawberry.type(description="Why an execution failed, and in which node.")
class ExecutionErrorInfo:
    kind: ExecutionErrorKind
    message: str
    node_id: str | None = strawberry.field(
        description="The node that failed: the first that did, else the one that was running, else none."
    )
    node_name: str | None
    execution_id: strawberry.Private[UUID]
    stack_column: strawberry.Private[str]

    @strawberry.field(description="Only when the recorder was told to send stacks.")
    async def stack(self, info: Info) -> str | None:
        return await info.context.loaders.stack_by_execution(self.stack_column).load(self.execution_id)


@strawberry.type(
    description="A result that came after the execution had timed out or was interrupted: kept, without rewriting history."
)
class LateOutcome:
    status: ExecutionStatus
    ended_at: datetime
    error_info: ExecutionErrorInfo | None
    execution_id: strawberry.Private[UUID]

    @strawberry.field(description="The late result itself.")
    async def result(self, info: Info) -> JSON | None:
        payload = await info.context.loaders.payload_by_execution("late_result").load(self.execution_id)
        return None if payload is None else JSON(payload)

    @strawberry.field
    async def result_info(self, info: Info) -> PayloadInfo | None:
        return PayloadInfo.of_optional(await info.context.loaders.payload_by_execution("late_result").load(self.execution_id))


@strawberry.type(description="One call of a flow, from the parameters the MCP client sent to its outcome.")
class Execution(Node):
    uuid: UUID
    server: str = strawberry.field(description="Copied from the flow, like the names, so that it outlives it.")
    flow_name: str
    flow_tool_name: str
    status: ExecutionStatus
    started_at: datetime
    ended_at: datetime | None
    duration_ms: float | None = strawberry.field(description="Milliseconds; null while pending.")
    initial_params_preview: str = strawberry.field(
        description='The first parameter as `name: value`, at most 80 characters and then "…"; empty for no parameters.'
    )
    node_count: int
    error_info: ExecutionErrorInfo | None = strawberry.field(description="There exactly when the status is ERROR.")
    late_outcome: LateOutcome | None
    is_preview: bool
    client: McpClient | None
    caller: Caller | None
    trace_id: str | None
    created_at: datetime
    updated_at: datetime
    flow_id: strawberry.Private[UUID | None]
    parent_id: strawberry.Private[UUID | None]

    @classmethod
    def of(cls, row: executions.Execution) -> "Execution":
        return cls(
            id=encode_id("Execution", row.id),
            uuid=row.id,
            server=row.server,
            flow_name=row.flow_name,
            flow_tool_name=row.flow_tool_name,
            status=ExecutionStatus(row.status),
            started_at=row.started_at,
            ended_at=row.ended_at,
            duration_ms=duration_ms(row.started_at, row.ended_at),
            initial_params_preview=row.initial_params_preview,
            node_count=row.node_count,
            error_info=_error_info(row),
            late_outcome=_late_outcome(row),
            is_preview=row.is_preview,
            client=McpClient(name=row.client_name, version=row.client_version) if row.client_name is not None else None,
            caller=_caller(row),
            trace_id=row.trace_id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            flow_id=row.flow_id,
            parent_id=row.parent_execution_id,
        )

    @strawberry.field(description="Null once the flow is deleted, or when no such tool existed.")
    async def flow(self, info: Info) -> Annotated["Flow", strawberry.lazy("flowtrail.graphql.flows")] | None:
        from flowtrail.graphql.flows import Flow

        found = await info.context.loaders.flow_by_id.load(self.flow_id) if self.flow_id else None
        return Flow.of(found) if found else None

    @strawberry.field(description="The parameters that the MCP client sent.")
    async def initial_params(self, info: Info) -> JSON:
        return JSON(await self._initial_params(info))

    @strawberry.field
    async def initial_params_info(self, info: Info) -> PayloadInfo:
        return PayloadInfo.of(await self._initial_params(info))

    @strawberry.field(description="What the tool answered.")
    async def result(self, info: Info) -> JSON | None:
        payload = await self._payload(info, "result")
        return None if payload is None else JSON(payload)

    @strawberry.field
    async def result_info(self, info: Info) -> PayloadInfo | None:
        return PayloadInfo.of_optional(await self._payload(info, "result"))

    @strawberry.field(description="The steps inside it, in the order they started; visible as soon as they start.")
    async def node_executions(self, info: Info) -> list[NodeExecution]:
        found = await info.context.loaders.nodes_by_execution.load(self.uuid)
        return [NodeExecution.of(node) for node in found or ()]

    @strawberry.field(description="The execution whose flow called this one.")
    async def parent(self, info: Info) -> Annotated["Execution", strawberry.lazy("flowtrail.graphql.executions")] | None:
        found = await info.context.loaders.execution_by_id.load(self.parent_id) if self.parent_id else None
        return Execution.of(found) if found else None

    @strawberry.field(description="The executions that this one's flow called, newest first.")
    async def children(
        self,
        info: Info,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Annotated["ExecutionConnection", strawberry.lazy("flowtrail.graphql.execution_connection")]:
        from flowtrail.graphql.execution_connection import connect

        selection = Selection("parent_execution_id", visible_servers=info.context.viewer.servers)
        return await connect(info, self.uuid, selection, first, after, last, before)

    async def _initial_params(self, info: Info) -> executions.StoredPayload:
        """What every execution has; null for one purged since its row was read, so that it does not fail its whole list."""
        return await self._payload(info, "initial_params") or executions.StoredPayload.of("null")

    async def _payload(self, info: Info, name: str) -> executions.StoredPayload | None:
        return await info.context.loaders.payload_by_execution(name).load(self.uuid)


def _error_info(row: executions.Execution) -> ExecutionErrorInfo | None:
    if row.error_kind is None:
        return None
    return ExecutionErrorInfo(
        kind=ExecutionErrorKind(row.error_kind),
        message=row.error_message or "",
        node_id=row.failed_node_id,
        node_name=row.failed_node_name,
        execution_id=row.id,
        stack_column="error_stack",
    )


def _late_outcome(row: executions.Execution) -> LateOutcome | None:
    if row.late_status is None or row.late_ended_at is None:
        return None
    error = None
    if row.late_error_kind is not None:
        error = ExecutionErrorInfo(
            kind=ExecutionErrorKind(row.late_error_kind),
            message=row.late_error_message or "",
            node_id=row.late_failed_node_id,
            node_name=row.late_failed_node_name,
            execution_id=row.id,
            stack_column="late_error_stack",
        )
    return LateOutcome(status=ExecutionStatus(row.late_status), ended_at=row.late_ended_at, error_info=error, execution_id=row.id)


def _caller(row: executions.Execution) -> Caller | None:
    fields = (row.caller_subject, row.caller_client_id, row.caller_session_id, row.caller_request_id)
    if all(value is None for value in fields):
        return None
    subject, client_id, session_id, request_id = fields
    return Caller(subject=subject, client_id=client_id, session_id=session_id, request_id=request_id)
