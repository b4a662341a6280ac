"""Executes an operation, for every transport alike: one result for queries and mutations, a stream for subscriptions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    create_source_event_stream,
    get_operation_ast,
    parse,
    validate,
)
from graphql import (
    ExecutionResult as CoreResult,
)
from strawberry.types import ExecutionResult

from flowtrail.errors import BadUserInput
from flowtrail.graphql.broadcast import Renderer
from flowtrail.graphql.change_stream import ChangeStream
from flowtrail.graphql.errors import coded
from flowtrail.graphql.response import encode, response_of
from flowtrail.graphql.schema import schema

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from flowtrail.graphql.broadcast import Broadcast
    from flowtrail.graphql.context import Context
    from flowtrail.graphql.requests import OperationRequest


class RequestRefused(Exception):
    """The document, its variables or its root arguments are wrong: nothing was executed."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


@lru_cache(maxsize=1000)
def document_of(query: str) -> DocumentNode:
    """Parse and validate a document; raises RequestRefused."""
    try:
        document = parse(query)
        errors = validate(schema.graphql_schema, document)
    except GraphQLSyntaxError as error:
        errors = [error]
    except RecursionError:
        errors = [GraphQLError("The document is nested too deeply.")]
    if errors:
        raise RequestRefused([coded(error) for error in errors])
    return document


async def execute(request: OperationRequest, context: Context) -> ExecutionResult:
    """Execute a query or mutation; raises RequestRefused for a document without such an operation."""
    if _operation_of(request).operation is OperationType.SUBSCRIPTION:
        raise _refused(BadUserInput("query: subscriptions need a WebSocket, or Accept: text/event-stream"))
    return await schema.execute(
        request.query, variable_values=request.variables, operation_name=request.operation_name, context_value=context
    )


async def begin(
    request: OperationRequest, context: Context, broadcast: Broadcast, when_full: Callable[[], None]
) -> AsyncGenerator[str]:
    """Begin any operation and return its encoded responses; raises RequestRefused when it can't be executed.

    The responses of a subscriber who does not keep up end with TooFarBehind, after `when_full` was called.
    """
    if _operation_of(request).operation is not OperationType.SUBSCRIPTION:
        return _single(request, context)
    executor: Any = schema.execution_context_class.build(
        schema.graphql_schema,
        document_of(request.query),
        context_value=context,
        raw_variable_values=request.variables,
        operation_name=request.operation_name,
    )
    if isinstance(executor, list):
        raise RequestRefused([coded(error) for error in executor])
    source: Any = create_source_event_stream(executor)
    if executor.is_awaitable(source):
        source = await source
    if isinstance(source, CoreResult):
        raise RequestRefused([coded(error) for error in source.errors or ()])
    assert isinstance(source, ChangeStream)  # noqa: S101 (there is one subscription field)
    return broadcast.messages(source, Renderer(executor, context, source.chosen, request.query), when_full)


async def _single(request: OperationRequest, context: Context) -> AsyncGenerator[str]:
    yield encode(response_of(await execute(request, context))).decode()


def _operation_of(request: OperationRequest) -> OperationDefinitionNode:
    operation = get_operation_ast(document_of(request.query), request.operation_name)
    if operation is None:
        raise _refused(BadUserInput("operationName: the document has no such operation, or several and none is named"))
    return operation


def _refused(error: BadUserInput) -> RequestRefused:
    return RequestRefused([GraphQLError(error.message, extensions={"code": error.code})])
