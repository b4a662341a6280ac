"""Connections of executions, and the filter they take: a flow's, a parent's, or all that the viewer may see."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

import strawberry

from flowtrail import counts, executions
from flowtrail.errors import BadUserInput, FlowtrailError
from flowtrail.executions import ExecutionFilter, ExecutionPage, Selection
from flowtrail.graphql.ahead import Info
from flowtrail.graphql.columns import written_as
from flowtrail.graphql.connection import PageCursors, PageInfo
from flowtrail.graphql.executions import Execution, ExecutionErrorKind, ExecutionStatus, columns_of, executions_of, needs_more
from flowtrail.graphql.ids import decode_id_of
from flowtrail.graphql.loaders import PageKey
from flowtrail.graphql.scalars import JSON
from flowtrail.pagination import Position, encode_cursor, page_request
from flowtrail.parameters import MAX_DEPTH, MAX_LENGTH, MAX_VALUES, NotSearchable, searched_digest

MAX_FILTER_VALUES = 100
MAX_FILTER_TEXT = 500
_LONGEST_MS = 1e14


@strawberry.input(description="Half-open: from inclusive, to exclusive.")
class TimeRange:
    from_: datetime | None = strawberry.field(name="from", default=None)
    to: datetime | None = None


@strawberry.input(
    description='A parameter\'s value by RFC 6901 pointer, as in /city. Values are equal as JSON: 1 and 1.0 are, 1 and "1" are not.'
)
class ParamFilter:
    path: str = strawberry.field(description=f"At most {MAX_DEPTH} levels deep; empty for the parameters as a whole.")
    value: JSON = strawberry.field(
        description=f"A scalar, or a whole array or object; JSON text of at most {MAX_LENGTH} characters."
    )


@strawberry.input(
    name="ExecutionFilter",
    description="Fields are joined by AND, the values of a list by OR. An empty list is BAD_USER_INPUT.",
)
class ExecutionFilterInput:
    status: list[ExecutionStatus] | None = None
    started_at: TimeRange | None = None
    is_preview: bool | None = None
    error_kind: list[ExecutionErrorKind] | None = None
    failed_node_id: str | None = None
    flow_id: list[strawberry.ID] | None = None
    flow_deleted: bool | None = None
    server: list[str] | None = None
    client_name: str | None = None
    trace_id: str | None = None
    duration_ms_at_least: float | None = None
    param: list[ParamFilter] | None = strawberry.field(
        default=None,
        description=f"Of an execution the first {MAX_VALUES} values are found, outermost first, as they are in initialParams.",
    )
    text: str | None = strawberry.field(
        default=None,
        description="Part of the parameter preview, the error message, the flow's name or the failing node's name, case ignored.",
    )

    def checked(self) -> ExecutionFilter:
        """Return the filter; raises BadUserInput naming the field that is wrong."""
        for name in ("status", "error_kind", "flow_id", "server", "param"):
            check_list(f"filter.{_CAMEL.get(name, name)}", getattr(self, name))
        for name in ("failed_node_id", "client_name", "trace_id", "text"):
            check_text(f"filter.{_CAMEL.get(name, name)}", getattr(self, name))
        for server in self.server or ():
            check_text("filter.server", server)
        if self.duration_ms_at_least is not None and not 0 <= self.duration_ms_at_least <= _LONGEST_MS:
            raise BadUserInput(f"filter.durationMsAtLeast: must lie between 0 and {_LONGEST_MS:.0f}")
        return ExecutionFilter(
            statuses=tuple(sorted({status.value for status in self.status})) if self.status else None,
            started_from=self.started_at.from_ if self.started_at else None,
            started_to=self.started_at.to if self.started_at else None,
            is_preview=self.is_preview,
            error_kinds=tuple(sorted({kind.name for kind in self.error_kind})) if self.error_kind else None,
            failed_node_id=self.failed_node_id,
            flow_ids=self._flow_ids(),
            flow_deleted=self.flow_deleted,
            servers=tuple(self.server) if self.server else None,
            client_name=self.client_name,
            trace_id=self.trace_id,
            duration_ms_at_least=self.duration_ms_at_least,
            parameters=self._parameters(),
            text=self.text or None,
        )

    def _flow_ids(self) -> tuple[uuid.UUID, ...] | None:
        if not self.flow_id:
            return None
        return tuple(sorted({decode_id_of("Flow", "filter.flowId", id_) for id_ in self.flow_id}))

    def _parameters(self) -> tuple[uuid.UUID, ...] | None:
        if not self.param:
            return None
        digests = set()
        for index, wanted in enumerate(self.param):
            try:
                digests.add(searched_digest(wanted.path, wanted.value))
            except NotSearchable as error:
                raise BadUserInput(f"filter.param[{index}].{error}") from None
        return tuple(sorted(digests))


_CAMEL = {
    "error_kind": "errorKind",
    "flow_id": "flowId",
    "failed_node_id": "failedNodeId",
    "client_name": "clientName",
    "trace_id": "traceId",
}


def check_list(name: str, values: Sequence[object] | None) -> None:
    """Raise BadUserInput for an empty list, which would match nothing, or one that is too long."""
    if values is not None and not 0 < len(values) <= MAX_FILTER_VALUES:
        reason = "is empty; leave it out instead" if not values else f"has {len(values)} values, at most {MAX_FILTER_VALUES}"
        raise BadUserInput(f"{name}: {reason}")


def check_text(name: str, text: str | None) -> None:
    """Raise BadUserInput for a text longer than anything it could be part of."""
    if text is not None and len(text) > MAX_FILTER_TEXT:
        raise BadUserInput(f"{name}: {len(text)} characters, at most {MAX_FILTER_TEXT}")


@strawberry.type
class ExecutionEdge:
    node: Execution

    @strawberry.field
    @written_as("cursor")
    def cursor(self) -> str:
        row = self.node.row
        return encode_cursor(row["started_at"], row["id"])


@strawberry.type(description="Executions, newest first.")
class ExecutionConnection:
    written_field: ClassVar = "edges"
    """This list is what PostgreSQL can write."""

    key: strawberry.Private[PageKey]
    page: strawberry.Private[ExecutionPage]
    nodes: strawberry.Private[list[Execution] | None]
    """Those of the page, with all that is selected below them; None when that is in their rows."""

    @strawberry.field
    def edges(self) -> list[ExecutionEdge]:
        # Not before they are asked for: of a hundred pages that were read at once each is made in a turn of its own.
        nodes = self.nodes if self.nodes is not None else [Execution(row=row) for row in self.page.rows]
        return [ExecutionEdge(node=node) for node in nodes]

    @property
    def written(self) -> bytes | None:
        """The edges as JSON, if they were written."""
        return self.page.written

    @strawberry.field
    def page_info(self) -> PageInfo:
        page = self.page
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.start.encode() if page.start else None,
            end_cursor=page.end.encode() if page.end else None,
        )

    @strawberry.field(
        description="False when what was looked for is rare and the page stopped at its bound with matches still possible beyond "
        "it; hasNextPage is true then, and the next page goes on from there, even if this one is empty."
    )
    def search_is_complete(self) -> bool:
        return self.page.stopped_at is None

    @strawberry.field(description="Null when counting failed or took too long: a slow count never costs the list.")
    async def total_count(self, info: Info) -> int | None:
        counted = await self._counted(info)
        return counted[0] if counted else None

    @strawberry.field(
        description="False when counting stopped at its bound (only with filters other than flow, status and preview)."
    )
    async def total_count_is_exact(self, info: Info) -> bool | None:
        counted = await self._counted(info)
        return counted[1] if counted else None

    @strawberry.field(description="Of the whole flow (at the root: of any flow the viewer may see), whatever filters say.")
    async def has_pending_executions(self, info: Info) -> bool:
        loaders, scope, selection = info.context.loaders, self.key.scope, self.key.selection
        if scope is None:
            async with info.context.database.read() as read:
                return await executions.any_pending(read, selection.visible_servers)
        if selection.scope_column == "flow_id":
            return bool(await loaders.has_pending_by_flow.load(scope))
        pending = replace(selection, filter=ExecutionFilter(statuses=("PENDING",)))
        return (await loaders.bounded_count.load((scope, pending)))[0] > 0

    @strawberry.field(description="Null for pages of no size, and beyond the bound of counting when the cursor tells no page.")
    async def page_cursors(self, info: Info) -> PageCursors | None:
        cursors = await info.context.loaders.page_cursors.load(self.key)
        return PageCursors.of(cursors) if cursors else None

    @strawberry.field(
        description="The feed position these rows were read at: pass it as `after` to executionChanges, and nothing is missed."
    )
    def change_cursor(self) -> str:
        assert self.page.read_at is not None  # noqa: S101 (it was asked for)
        return self.page.read_at.encode()

    async def _counted(self, info: Info) -> tuple[int, bool] | None:
        try:
            return await self._count(info)
        except FlowtrailError:
            return None

    async def _count(self, info: Info) -> tuple[int, bool]:
        wanted, keys = self.key.selection.filter, self._count_keys()
        if keys is not None:
            counted = await info.context.loaders.totals.load_many((key, wanted.is_preview) for key in keys)
            statuses = wanted.statuses or tuple(status.value for status in ExecutionStatus)
            return sum(by_status[status] for by_status in counted for status in statuses), True
        return await info.context.loaders.count_in_time.load((self.key.scope, self.key.selection))

    def _count_keys(self) -> list[uuid.UUID] | None:
        """What to add up where the counts know the answer: a flow's, several flows', or all."""
        scope, selection = self.key.scope, self.key.selection
        wanted = selection.filter
        if selection.scope_column == "flow_id" and scope and wanted.is_counted:
            return [scope]
        if scope is None and selection.visible_servers is None and replace(wanted, flow_ids=None).is_counted:
            return list(wanted.flow_ids) if wanted.flow_ids else [counts.ALL_FLOWS]
        return None


async def connect(
    info: Info,
    scope: uuid.UUID | None,
    selection: Selection,
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
) -> ExecutionConnection:
    """Return the connection of a scope's executions; raises BadUserInput naming a wrong argument."""
    request = page_request(first, after, last, before, Position.decode)
    ahead, written, loader = info.ahead.below("edges", "node"), info.ahead.written, info.context.loaders.page
    key = PageKey(scope, selection, request, written or ahead.derived(columns_of), "changeCursor" in info.ahead)
    try:
        page = await loader.load(key)
    except FlowtrailError as error:
        if written is not None:  # graphql-core will ask for rows
            loader.fail(replace(key, columns=ahead.derived(columns_of)), error)
        raise
    if written is not None:
        return ExecutionConnection(key=key, page=page, nodes=[])
    info.context.loaders.hand_out(ahead.derived(columns_of), page.rows)
    nodes = await executions_of(info.context, page.rows, ahead) if needs_more(ahead) else None
    return ExecutionConnection(key=key, page=page, nodes=nodes)
