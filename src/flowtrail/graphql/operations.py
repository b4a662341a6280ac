"""Executes an operation, for every transport alike: one result for queries and mutations, a stream for subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import ExecutionResult, OperationType, create_source_event_stream

from flowtrail.errors import BadUserInput
from flowtrail.graphql.broadcast import Renderer
from flowtrail.graphql.change_stream import ChangeStream
from flowtrail.graphql.compiled.fallback import FallbackExecutor, known_outcomes
from flowtrail.graphql.documents import RequestRefused
from flowtrail.graphql.errors import coded
from flowtrail.graphql.execution import completed
from flowtrail.graphql.observation import observed, root_field_spans
from flowtrail.graphql.response import encode, response_of
from flowtrail.graphql.schema import schema
from flowtrail.graphql.unbegun import Unbegun

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from graphql import Executor, MiddlewareManager
    from starlette.types import Receive

    from flowtrail.graphql.broadcast import Broadcast
    from flowtrail.graphql.context import Context
    from flowtrail.graphql.documents import Operation


async def execute(operation: Operation, context: Context, receive: Receive | None = None) -> ExecutionResult:
    """Execute a query or mutation. Raises RequestRefused when that can not be, ClientDisconnect when `receive` tells of it."""
    if operation.type is OperationType.SUBSCRIPTION:
        raise RequestRefused.because(BadUserInput("query: subscriptions need a WebSocket, or Accept: text/event-stream"))
    return await observed(operation, completed(_result(operation, context), context.timeout, receive))


async def begin(
    operation: Operation,
    context: Context,
    broadcast: Broadcast,
    when_full: Callable[[], None],
    send: Callable[[str], Awaitable[None] | None] | None = None,
) -> AsyncGenerator[str]:
    """Begin any operation and return its encoded responses; raises RequestRefused when it can't be executed.

    The responses of a subscriber who does not keep up end with TooFarBehind, after `when_full` was called. Those of one who waits
    may be given to `send` instead, as `Broadcast.messages` says.
    """
    if operation.type is not OperationType.SUBSCRIPTION:
        return _single(await execute(operation, context))
    executor = _executor(operation, context, root_field_spans())
    source: Any = create_source_event_stream(executor)
    if executor.is_awaitable(source):
        source = await source
    if isinstance(source, ExecutionResult):
        raise RequestRefused([coded(error) for error in source.errors or ()])
    assert isinstance(source, ChangeStream)  # noqa: S101 (there is one subscription field)
    prepared = await operation.plans.prepared_aside(operation) if operation.plans is not None else None
    return broadcast.messages(source, Renderer(executor, context, source, operation.text, prepared), when_full, send)


async def _result(operation: Operation, context: Context) -> ExecutionResult:
    prepared = await operation.plans.prepared_aside(operation) if operation.plans is not None else None
    outcomes: dict[str, Any] = {}
    answers: Mapping[str, bytes] = {}
    if prepared is not None:
        run = prepared.run(context)
        context.loaders.pace.is_one_by_one = prepared.function.is_one_by_one
        try:
            return ExecutionResult(await prepared.function(None, run), None)
        except Exception:
            outcomes, answers = run.outcomes, prepared.function.answers  # graphql-core meets the same, and reports it
            context.loaders.begin_again()
    with Unbegun() as unbegun:
        middleware = known_outcomes(outcomes) if outcomes else root_field_spans()
        executor: Any = _executor(operation, context, middleware, unbegun.is_awaitable)
        executor.answers = answers
        result: Any = executor.execute_operation()
        return await result if executor.is_awaitable(result) else result  # type: ignore[no-any-return]


async def _single(result: ExecutionResult) -> AsyncGenerator[str]:
    yield encode(response_of(result)).decode()


def _executor(
    operation: Operation,
    context: Context,
    middleware: MiddlewareManager | None,
    is_awaitable: Callable[[Any], bool] | None = None,
) -> Executor[Any]:
    executor: Any = FallbackExecutor.build(
        schema.graphql_schema,
        operation.document,
        context_value=context,
        raw_variable_values=operation.variables,
        operation_name=operation.name,
        hide_suggestions=operation.hides_schema,
        middleware=middleware,
        is_awaitable=is_awaitable,
    )
    if isinstance(executor, list):
        raise RequestRefused([coded(error) for error in executor])
    executor.plans = operation.plans
    return executor  # type: ignore[no-any-return]
