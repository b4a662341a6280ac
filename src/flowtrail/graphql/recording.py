"""The mutation layer, for the MCP wrapper alone: every field needs a recorder token (spec 4.1, 4.2)."""

import uuid
from datetime import datetime
from enum import Enum
from functools import lru_cache

import strawberry

from flowtrail import flows, recorders, recording
from flowtrail.errors import BadUserInput, Forbidden, LimitExceeded
from flowtrail.graphql.ahead import Info
from flowtrail.graphql.executions import ExecutionErrorKind, ExecutionStatus
from flowtrail.graphql.flows import Flow
from flowtrail.graphql.ids import decode_id_of
from flowtrail.graphql.nodes import NodeExecutionStatus
from flowtrail.graphql.scalars import JSON
from flowtrail.json_text import JsonText
from flowtrail.recording import events
from flowtrail.recording.machine import Receipt
from flowtrail.turns import Turns


@strawberry.input
class FlowRegistration:
    tool_name: str
    name: str | None = strawberry.field(default=None, description="What people read; the tool's name when it has no title.")
    description: str | None = None
    input_schema: JSON | None = None
    timeout_ms: int | None = strawberry.field(default=None, description="5 minutes when the flow says nothing.")


@strawberry.input
class RegisterFlowsInput:
    server: str
    flows: list[FlowRegistration]


@strawberry.type
class RegisterFlowsPayload:
    flows: list[Flow] = strawberry.field(description="In the order of the input.")


@strawberry.input(description="Sent with a value that the recorder cut: what it was before.")
class TruncationInput:
    size_bytes: float
    sha256: str = strawberry.field(name="sha256")


@strawberry.input
class McpClientInput:
    name: str
    version: str | None = None


@strawberry.input
class CallerInput:
    subject: str | None = None
    client_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None


@strawberry.input
class ExecutionStartedInput:
    execution_id: uuid.UUID
    server: str
    tool_name: str
    started_at: datetime
    initial_params: JSON
    initial_params_info: TruncationInput | None = None
    tool_exists: bool = strawberry.field(
        default=True, description="False when the server offers no such tool: recorded without a flow."
    )
    is_preview: bool = False
    client: McpClientInput | None = None
    caller: CallerInput | None = None
    trace_id: str | None = None
    parent_execution_id: uuid.UUID | None = None

    def checked(self) -> events.Event:
        client, caller = self.client, self.caller or CallerInput()
        params: object = self.initial_params
        outline = params.outline if isinstance(params, JsonText) else params
        return events.check_started(
            events.Started(
                execution_id=self.execution_id,
                server=events.checked_text("server", self.server),
                tool_name=events.checked_text("toolName", self.tool_name),
                started_at=events.checked_time("startedAt", self.started_at),
                initial_params=_payload("initialParams", params, self.initial_params_info),
                initial_params_preview=events.preview_of(outline),
                tool_exists=self.tool_exists,
                is_preview=self.is_preview,
                client_name=_text("client.name", client.name if client else None),
                client_version=_text("client.version", client.version if client else None),
                caller_subject=_text("caller.subject", caller.subject),
                caller_client_id=_text("caller.clientId", caller.client_id),
                caller_session_id=_text("caller.sessionId", caller.session_id),
                caller_request_id=_text("caller.requestId", caller.request_id),
                trace_id=_text("traceId", self.trace_id),
                parent_execution_id=self.parent_execution_id,
                parameter_digests=events.digests_of(outline),
            )
        )


@strawberry.input
class NodeStartedInput:
    execution_id: uuid.UUID
    position: int
    parent_position: int | None = None
    node_id: str
    node_name: str
    node_type: str
    started_at: datetime
    input_data: JSON | None = strawberry.UNSET
    input_info: TruncationInput | None = None

    def checked(self) -> events.Event:
        parent = self.parent_position
        return events.check_node_started(
            events.NodeStarted(
                execution_id=self.execution_id,
                position=events.checked_position("position", self.position),
                parent_position=None if parent is None else events.checked_position("parentPosition", parent),
                node_id=events.checked_text("nodeId", self.node_id),
                node_name=events.checked_text("nodeName", self.node_name),
                node_type=events.checked_text("nodeType", self.node_type),
                started_at=events.checked_time("startedAt", self.started_at),
                input=None if self.input_data is strawberry.UNSET else _payload("inputData", self.input_data, self.input_info),
            )
        )


@strawberry.input
class NodeFinishedInput:
    execution_id: uuid.UUID
    position: int
    status: NodeExecutionStatus
    ended_at: datetime
    output_data: JSON | None = strawberry.UNSET
    output_info: TruncationInput | None = None
    error: str | None = None

    def checked(self) -> events.Event:
        return events.check_node_finished(
            events.NodeFinished(
                execution_id=self.execution_id,
                position=events.checked_position("position", self.position),
                status=self.status.value,
                ended_at=events.checked_time("endedAt", self.ended_at),
                output=None if self.output_data is strawberry.UNSET else _payload("outputData", self.output_data, self.output_info),
                error=_text("error", self.error, events.MAX_MESSAGE),
            )
        )


@strawberry.input
class ExecutionErrorInfoInput:
    kind: ExecutionErrorKind
    message: str
    node_id: str | None = None
    node_name: str | None = None
    stack: str | None = None

    def checked(self) -> events.ErrorInfo:
        return events.ErrorInfo(
            kind=self.kind.name,
            message=events.checked_text("errorInfo.message", self.message, events.MAX_MESSAGE),
            node_id=_text("errorInfo.nodeId", self.node_id),
            node_name=_text("errorInfo.nodeName", self.node_name),
            stack=_text("errorInfo.stack", self.stack, events.MAX_STACK),
        )


@strawberry.input
class ExecutionFinishedInput:
    execution_id: uuid.UUID
    status: ExecutionStatus
    ended_at: datetime
    result: JSON | None = strawberry.UNSET
    result_info: TruncationInput | None = None
    error_info: ExecutionErrorInfoInput | None = None

    def checked(self) -> events.Event:
        return events.check_finished(
            events.Finished(
                execution_id=self.execution_id,
                status=self.status.value,
                ended_at=events.checked_time("endedAt", self.ended_at),
                result=None if self.result is strawberry.UNSET else _payload("result", self.result, self.result_info),
                error=self.error_info.checked() if self.error_info else None,
            )
        )


@strawberry.input(one_of=True, description="Exactly one of the four kinds.")
class ExecutionEventInput:
    started: strawberry.Maybe[ExecutionStartedInput]
    node_started: strawberry.Maybe[NodeStartedInput]
    node_finished: strawberry.Maybe[NodeFinishedInput]
    finished: strawberry.Maybe[ExecutionFinishedInput]

    def checked(self) -> events.Event:
        """Return the event; raises EventRefused naming the field that is wrong."""
        for given in (self.node_started, self.node_finished, self.started, self.finished):
            if given is not None:
                return given.value.checked()
        raise AssertionError("GraphQL has checked that one is given")


@strawberry.input(
    description="`sentAt` is the recorder's clock as it sends: the service corrects deadlines for skew by it. "
    "At most 1,000 events and 4 MiB, unless one event alone is larger."
)
class RecordEventsInput:
    sent_at: datetime
    events: list[ExecutionEventInput]


@strawberry.enum(description="What became of an event.")
class EventOutcome(Enum):
    ACCEPTED = "ACCEPTED"
    DUPLICATE = strawberry.enum_value("DUPLICATE", description="Recorded before: nothing changed.")
    REJECTED = strawberry.enum_value("REJECTED", description="Not recorded, now or later: code and reason say why.")


@strawberry.type(description="What became of one event, in the order of the input.")
class EventReceipt:
    outcome: EventOutcome
    code: str | None = strawberry.field(
        description="BAD_USER_INPUT, UNKNOWN_EXECUTION, UNKNOWN_NODE, CONFLICT, EXECUTION_ENDED or FORBIDDEN."
    )
    reason: str | None


@strawberry.type
class RecordEventsPayload:
    receipts: list[EventReceipt]
    server_time: datetime


@strawberry.input
class RecorderReportInput:
    server: str
    instance: str
    version: str
    dropped_executions: int
    dropped_since: datetime | None = None
    sent_at: datetime | None = strawberry.field(
        default=None, description="The recorder's clock as it sends: its skew is told by it."
    )


@strawberry.type(description="A wrapper that has reported, with what it had to give up.")
class Recorder:
    server: str
    instance: str
    version: str
    last_seen_at: datetime
    clock_skew_ms: float = strawberry.field(description="Milliseconds by which its clock is ahead of the service's.")
    dropped_executions: int
    dropped_since: datetime | None

    @classmethod
    def of(cls, row: recorders.Recorder) -> "Recorder":
        return cls(
            server=row.server,
            instance=row.instance,
            version=row.version,
            last_seen_at=row.last_seen_at,
            clock_skew_ms=row.clock_skew_ms,
            dropped_executions=row.dropped_executions,
            dropped_since=row.dropped_since,
        )


@strawberry.type
class RecorderReportPayload:
    recorder: Recorder


@strawberry.input
class DeleteFlowInput:
    id: strawberry.ID


@strawberry.type
class DeleteFlowPayload:
    deleted_id: strawberry.ID


@strawberry.type(description="For the MCP wrapper alone: every field needs a recorder token.")
class Mutation:
    @strawberry.mutation(description="Brings the flows of a server up to date. Flows that are not named stay.")
    async def register_flows(self, info: Info, input: RegisterFlowsInput) -> RegisterFlowsPayload:  # noqa: A002
        _require_server(info, input.server)
        registrations = [
            flows.Registration(flow.tool_name, flow.name or flow.tool_name, flow.description, flow.input_schema, flow.timeout_ms)
            for flow in input.flows
        ]
        async with info.context.database.write() as write:
            registered = await flows.register(write, input.server, registrations)
        return RegisterFlowsPayload(flows=[Flow.of(flow) for flow in registered])

    @strawberry.mutation(
        description="Records a batch in one transaction; receipts come after the commit. Sending a batch again changes nothing, "
        "and one bad event does not sink its batch."
    )
    async def record_events(self, info: Info, input: RecordEventsInput) -> RecordEventsPayload:  # noqa: A002
        info.context.require_recorder()
        if len(input.events) > recording.MAX_EVENTS:
            raise LimitExceeded(f"input.events: {len(input.events)} events, at most {recording.MAX_EVENTS} in a batch")
        if not events.EARLIEST <= input.sent_at < events.LATEST:
            raise BadUserInput("input.sentAt: lies outside the years 1970 to 8999")
        receipts: list[Receipt | None] = []
        accepted, turns = [], Turns()
        for entry in input.events:
            if turns.are_over:
                await turns.next()
            try:
                accepted.append(entry.checked())
                receipts.append(None)
            except events.EventRefused as refusal:
                receipts.append(Receipt("REJECTED", refusal.code, refusal.reason))
        servers = info.context.viewer.servers
        recorded, now = await recording.record(info.context.database, accepted, input.sent_at, servers, turns)
        following = iter(recorded)
        return RecordEventsPayload(receipts=[_receipt(receipt or next(following)) for receipt in receipts], server_time=now)

    @strawberry.mutation(description="What a recorder is and what it had to give up; sent now and then.")
    async def report_recorder(self, info: Info, input: RecorderReportInput) -> RecorderReportPayload:  # noqa: A002
        _require_server(info, input.server)
        async with info.context.database.write() as write:
            row = await recorders.report(
                write,
                server=input.server,
                instance=input.instance,
                version=input.version,
                dropped_executions=input.dropped_executions,
                dropped_since=input.dropped_since,
                sent_at=input.sent_at,
            )
        return RecorderReportPayload(recorder=Recorder.of(row))

    @strawberry.mutation(description="Deletes a flow and keeps its executions. A later call of the same tool makes a new flow.")
    async def delete_flow(self, info: Info, input: DeleteFlowInput) -> DeleteFlowPayload:  # noqa: A002
        info.context.require_recorder()
        flow_id = decode_id_of("Flow", "input.id", input.id)
        async with info.context.database.write() as write:
            await flows.delete(write, flow_id, info.context.viewer.servers)
        return DeleteFlowPayload(deleted_id=input.id)


def _require_server(info: Info, server: str) -> None:
    info.context.require_recorder()
    servers = info.context.viewer.servers
    if servers is not None and server not in servers:
        raise Forbidden("input.server: this token may not record for that server")


@lru_cache(maxsize=100)  # nearly all are alike
def _receipt(receipt: Receipt) -> EventReceipt:
    return EventReceipt(outcome=EventOutcome(receipt.outcome), code=receipt.code, reason=receipt.reason)


def _text(field: str, text: str | None, limit: int = events.MAX_NAME) -> str | None:
    return None if text is None else events.checked_text(field, text, limit)


def _payload(field: str, value: object, info: TruncationInput | None) -> events.Payload:
    return events.payload_of(field, value, None if info is None else (info.size_bytes, info.sha256))
