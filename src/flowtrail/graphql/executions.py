"""Executions: one call of a flow each. Rows come from `execution`; payloads, nodes, flow and relatives only when selected."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from uuid import UUID

import strawberry

from flowtrail import executions
from flowtrail.errors import FlowtrailError, LimitExceeded
from flowtrail.executions import Columns, Nodes, Selection, StoredPayload, stored_payload
from flowtrail.graphql.ahead import Ahead, Info
from flowtrail.graphql.columns import SameRow, column, composed, written_as
from flowtrail.graphql.context import Context
from flowtrail.graphql.ids import Node, encode_id
from flowtrail.graphql.nodes import NodeExecution, duration_ms, node_columns
from flowtrail.graphql.payloads import PayloadInfo
from flowtrail.graphql.scalars import JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from flowtrail.graphql.execution_connection import ExecutionConnection
    from flowtrail.graphql.flows import Flow

    _Load = Callable[[Context, list["Execution"], Ahead], Awaitable[None]]

_REST = {"client", "caller", "traceId", "lateOutcome", "createdAt", "updatedAt", "parent"}
"""Fields that lists seldom show."""
_CALLER = {name: f"caller_{name}" for name in ("subject", "client_id", "session_id", "request_id")}


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
    stack: str | None = strawberry.field(description="Only when the recorder was told to send stacks.")


def _error_info(prefix: str, description: str | None = None) -> Any:
    """Return the field of an execution's error, or with the prefix of its late outcome's."""
    return composed(
        ExecutionErrorInfo,
        present=(f"{prefix}error_kind",),
        make={"kind": ExecutionErrorKind, "message": lambda message: message or ""},
        description=description,
        kind=f"{prefix}error_kind",
        message=f"{prefix}error_message",
        node_id=f"{prefix}failed_node_id",
        node_name=f"{prefix}failed_node_name",
        stack=f"{prefix}error_stack",
    )


@strawberry.type(
    description="A result that came after the execution had timed out or was interrupted: kept, without rewriting history."
)
class LateOutcome:
    row: strawberry.Private[executions.Execution]

    status: ExecutionStatus = column("late_status", ExecutionStatus)
    ended_at: datetime = column("late_ended_at")
    error_info: ExecutionErrorInfo | None = _error_info("late_")
    result: JSON | None = column("late_result", JSON, description="The late result itself.")

    @strawberry.field
    def result_info(self) -> PayloadInfo | None:
        return PayloadInfo.of_optional(stored_payload(self.row, "late_result"))


@strawberry.type(description="One call of a flow, from the parameters the MCP client sent to its outcome.")
class Execution(Node):
    written_field: ClassVar = ""
    """Of an execution itself what is selected can be written by PostgreSQL."""

    row: strawberry.Private[executions.Execution]
    """Read with columns_of what is selected, or written."""
    loaded: strawberry.Private["_Loaded | None"] = None

    uuid: UUID = column("id")
    server: str = column("server", description="Copied from the flow, like the names, so that it outlives it.")
    flow_name: str = column("flow_name")
    flow_tool_name: str = column("flow_tool_name")
    status: ExecutionStatus = column("status", ExecutionStatus)
    started_at: datetime = column("started_at")
    ended_at: datetime | None = column("ended_at")
    initial_params_preview: str = column(
        "initial_params_preview",
        description='The first parameter as `name: value`, at most 80 characters and then "…"; empty for no parameters.',
    )
    node_count: int = column("node_count")
    is_preview: bool = column("is_preview")
    trace_id: str | None = column("trace_id")
    created_at: datetime = column("created_at")
    updated_at: datetime = column("updated_at")
    result: JSON | None = column("result", JSON, description="What the tool answered.")
    error_info: ExecutionErrorInfo | None = _error_info("", "There exactly when the status is ERROR.")
    client: McpClient | None = composed(McpClient, ("client_name",), {}, name="client_name", version="client_version")
    caller: Caller | None = composed(Caller, tuple(_CALLER.values()), {}, **_CALLER)

    @strawberry.field(description="Opaque and globally unique.")
    @written_as("global_id")
    def id(self) -> strawberry.ID:
        return encode_id("Execution", self.row["id"])

    @strawberry.field(description="Milliseconds; null while pending.")
    @written_as("duration_ms")
    def duration_ms(self) -> float | None:
        return duration_ms(self.row["started_at"], self.row["ended_at"])

    @strawberry.field
    @written_as(SameRow("late_status"))
    def late_outcome(self) -> LateOutcome | None:
        return LateOutcome(row=self.row) if self.row["late_status"] is not None else None

    @strawberry.field(description="Null once the flow is deleted, or when no such tool existed.")
    def flow(self) -> Annotated["Flow", strawberry.lazy("flowtrail.graphql.flows")] | None:
        return self._loaded("flow").flow

    @strawberry.field(description="The parameters that the MCP client sent.")
    @written_as("initial_params")
    def initial_params(self) -> JSON:
        # Null for one purged since its row was read, so that it does not fail its whole list.
        return JSON(self.row["initial_params"] or "null")

    @strawberry.field
    def initial_params_info(self) -> PayloadInfo:
        return PayloadInfo.of(stored_payload(self.row, "initial_params") or StoredPayload.of("null"))

    @strawberry.field
    def result_info(self) -> PayloadInfo | None:
        return PayloadInfo.of_optional(stored_payload(self.row, "result"))

    @strawberry.field(description="The steps inside it, in the order they started; visible as soon as they start.")
    @written_as(Nodes)
    def node_executions(self) -> list[NodeExecution]:
        return [NodeExecution(row=row) for row in self._loaded("nodeExecutions").nodes]

    @strawberry.field(description="The execution whose flow called this one.")
    def parent(self) -> Annotated["Execution", strawberry.lazy("flowtrail.graphql.executions")] | None:
        return self._loaded("parent").parent

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
        return await connect(info, self.row["id"], selection, first, after, last, before)

    @property
    def written(self) -> bytes:
        """What was written of it."""
        return self.row["text"]

    def _loaded(self, name: str) -> "_Loaded":
        """What was loaded beside the row; raises what went wrong with what this field needs."""
        loaded = self.loaded if self.loaded is not None else _Loaded()
        if name in loaded.failures:
            raise loaded.failures[name]
        return loaded


def columns_of(ahead: Ahead) -> Columns:
    """Return what has to be read of executions, by what is selected of them."""
    late = ahead.below("lateOutcome")
    payloads = (ahead, "initialParams", "initial_params"), (ahead, "result", "result"), (late, "result", "late_result")
    stacks = (ahead.below("errorInfo"), "error_stack"), (late.below("errorInfo"), "late_error_stack")
    times = {name: where.times(field) + where.below(f"{field}Info").times("text") for where, field, name in payloads}
    times.update((name, where.times("stack")) for where, name in stacks)
    texts = frozenset(name for name, number in times.items() if number)
    infos = frozenset(name for where, field, name in payloads if f"{field}Info" in where)
    return Columns(texts, infos, max(times.values()), with_rest=any(selected in ahead for selected in _REST))


def needs_more(ahead: Ahead) -> bool:
    """Tell whether what is selected of executions takes more than their own rows."""
    return bool(ahead.derived(_loads))


async def executions_of(context: Context, rows: Sequence[executions.Execution], ahead: Ahead) -> list[Execution]:
    """Return executions with all that is selected below them; `rows` were read with columns_of it."""
    found = [Execution(row=row) for row in rows]
    loads = ahead.derived(_loads)
    if loads and found:
        for execution in found:
            execution.loaded = _Loaded()
        first, *others = (_attempt(name, load, context, found, ahead) for name, load in loads)
        await (asyncio.gather(first, *others) if others else first)
    return found


async def execution_of(info: Info, key: UUID) -> Execution | None:
    """Return an execution with all that is selected below it; None when there is none that the viewer may see."""
    loaders, columns, written = info.context.loaders, info.ahead.derived(columns_of), info.ahead.written
    try:
        row = await loaders.execution_by_id(written or columns).load(key)
    except FlowtrailError as error:
        # graphql-core will ask for columns; of what is too large it may read a part.
        if written is not None and not isinstance(error, LimitExceeded):
            loaders.execution_by_id(columns).fail(key, error)
        raise
    if row is None:
        return None
    loaders.hand_out(written or columns, [row])
    if written is not None:
        return Execution(row=row)
    return (await executions_of(info.context, [row], info.ahead))[0]


@dataclass(slots=True)
class _Loaded:
    """What was loaded for an execution beside its row."""

    nodes: Sequence[executions.NodeExecution] = ()
    flow: "Flow | None" = None
    parent: Execution | None = None
    failures: dict[str, Exception] = field(default_factory=dict)
    """By field, what was raised instead: it fails that field, not the list."""


async def _attempt(
    name: str,
    load: "Callable[[Context, list[Execution], Ahead], Awaitable[None]]",
    context: Context,
    found: list[Execution],
    ahead: Ahead,
) -> None:
    try:
        await load(context, found, ahead.below(name))
    except Exception as error:
        for execution in found:
            _of(execution).failures[name] = error


def _of(execution: Execution) -> _Loaded:
    assert execution.loaded is not None  # noqa: S101 (it is, before anything is loaded)
    return execution.loaded


async def _load_nodes(context: Context, found: list[Execution], ahead: Ahead) -> None:
    loaders, columns = context.loaders, ahead.derived(node_columns)
    loaded = await loaders.nodes_by_execution(columns).load_many(one.row["id"] for one in found)
    for execution, nodes in zip(found, loaded, strict=True):
        loaders.hand_out(columns, nodes or ())
        _of(execution).nodes = nodes or ()


async def _load_flows(context: Context, found: list[Execution], ahead: Ahead) -> None:
    from flowtrail.graphql.flows import Flow

    having = [(execution, key) for execution in found if (key := execution.row["flow_id"])]
    rows = await context.loaders.flow_by_id.load_many(key for _, key in having)
    for (execution, _), row in zip(having, rows, strict=True):
        _of(execution).flow = Flow.of(row) if row else None


async def _load_parents(context: Context, found: list[Execution], ahead: Ahead) -> None:
    having = [(execution, key) for execution in found if (key := execution.row["parent_execution_id"])]
    columns = ahead.derived(columns_of)
    rows = [row for row in await context.loaders.execution_by_id(columns).load_many(key for _, key in having) if row]
    context.loaders.hand_out(columns, rows)
    parents = {parent.row["id"]: parent for parent in await executions_of(context, rows, ahead)}
    for execution, key in having:
        _of(execution).parent = parents.get(key)


_LOADS: "dict[str, _Load]" = {"nodeExecutions": _load_nodes, "flow": _load_flows, "parent": _load_parents}
"""What loads the rows that fields need, for many executions at once."""


def _loads(ahead: Ahead) -> "list[tuple[str, _Load]]":
    return [(name, load) for name, load in _LOADS.items() if name in ahead]
