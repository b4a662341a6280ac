"""Executes an operation, for every transport alike: one result for queries and mutations, a stream for subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import ExecutionResult, OperationType, create_source_event_stream, get_operation_ast

from flowtrail.errors import BadUserInput
from flowtrail.graphql.broadcast import Renderer
from flowtrail.graphql.change_stream import ChangeStream
from flowtrail.graphql.documents import RequestRefused, document_of
from flowtrail.graphql.errors import coded
from flowtrail.graphql.response import encode, response_of
from flowtrail.graphql.schema import schema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from graphql import DocumentNode, Executor

    from flowtrail.graphql.broadcast import Broadcast
    from flowtrail.graphql.context import Context
    from flowtrail.graphql.requests import OperationRequest


async def execute(request: OperationRequest, context: Context) -> ExecutionResult:
    """Execute a query or mutation; raises RequestRefused when it can't be executed."""
    document = document_of(request.query, request.variables)
    if _type_of(document, request) is OperationType.SUBSCRIPTION:
        raise RequestRefused.because(BadUserInput("query: subscriptions need a WebSocket, or Accept: text/event-stream"))
    executor = _executor(document, request, context)
    result: Any = executor.execute_operation()
    if executor.is_awaitable(result):
        result = await result
    return ExecutionResult(result.data, [coded(error) for error in result.errors] if result.errors else None)


async def begin(
    request: OperationRequest,
    context: Context,
    broadcast: Broadcast,
    when_full: Callable[[], None],
    send: Callable[[str], Awaitable[None] | None] | None = None,
) -> AsyncGenerator[str]:
    """Begin any operation and return its encoded responses; raises RequestRefused when it can't be executed.

    The responses of a subscriber who does not keep up end with TooFarBehind, after `when_full` was called. Those of one who waits
    may be given to `send` instead, as `Broadcast.messages` says.
    """
    document = document_of(request.query, request.variables)
    if _type_of(document, request) is not OperationType.SUBSCRIPTION:
        return _single(await execute(request, context))
    executor = _executor(document, request, context)
    source: Any = create_source_event_stream(executor)
    if executor.is_awaitable(source):
        source = await source
    if isinstance(source, ExecutionResult):
        raise RequestRefused([coded(error) for error in source.errors or ()])
    assert isinstance(source, ChangeStream)  # noqa: S101 (there is one subscription field)
    return broadcast.messages(source, Renderer(executor, context, source.chosen, request.query), when_full, send)


async def _single(result: ExecutionResult) -> AsyncGenerator[str]:
    yield encode(response_of(result)).decode()


def _type_of(document: DocumentNode, request: OperationRequest) -> OperationType:
    operation = get_operation_ast(document, request.operation_name)
    if operation is None:
        reason = "operationName: the document has no such operation, or several and none is named"
        raise RequestRefused.because(BadUserInput(reason))
    return operation.operation


def _executor(document: DocumentNode, request: OperationRequest, context: Context) -> Executor[Any]:
    executor: Any = schema.execution_context_class.build(
        schema.graphql_schema,
        document,
        context_value=context,
        raw_variable_values=request.variables,
        operation_name=request.operation_name,
    )
    if isinstance(executor, list):
        raise RequestRefused([coded(error) for error in executor])
    return executor  # type: ignore[no-any-return]
