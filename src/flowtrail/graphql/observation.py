"""Operations as an operator sees them: counted, timed, traced, and logged when they fail or are slow (spec 6.4)."""

from __future__ import annotations

import time
from functools import cache
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import structlog
from graphql import MiddlewareManager, get_operation_ast

from flowtrail.observability import logs, metrics, traces

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from graphql import ExecutionResult, GraphQLResolveInfo

    from flowtrail.graphql.documents import Operation

log = structlog.get_logger()

OK = "OK"
_NAME_CHARACTERS = 100
_WORST_FIRST = ("INTERNAL", "UNAVAILABLE", "TIMEOUT")
_operations = cache(metrics.operations.labels)
_seconds = cache(metrics.operation_seconds.labels)


async def observed(operation: Operation, work: Awaitable[ExecutionResult]) -> ExecutionResult:
    """Return what `work` returns, having noted how the operation went: OK, or the code of the worst of its errors."""
    began = time.perf_counter()
    kind = operation.type.value
    if traces.is_on():
        name = _name_of(operation)
        with traces.span(f"{kind} {name or ''}".strip(), graphql__operation__type=kind, graphql__operation__name=name) as span:
            result = await work
            if (outcome := _outcome_of(result)) != OK:
                traces.failed(span, outcome)
    else:
        result = await work
        outcome = _outcome_of(result)
    seconds = time.perf_counter() - began
    _operations(kind, outcome).inc()
    _seconds(kind).observe(seconds)
    is_unusual = outcome != OK or seconds > logs.SLOW_SECONDS
    if is_unusual or logs.debugs():
        write = log.info if is_unusual else log.debug
        write("operation", type=kind, name=_name_of(operation), outcome=outcome, duration_ms=round(seconds * 1000, 1))
    return result


def _name_of(operation: Operation) -> str | None:
    """The name in the document, which most requests do not repeat."""
    node = get_operation_ast(operation.document, operation.name)
    return node.name.value[:_NAME_CHARACTERS] if node is not None and node.name is not None else None


def _outcome_of(result: ExecutionResult) -> str:
    if not result.errors:
        return OK
    codes = [str((error.extensions or {}).get("code")) for error in result.errors]
    return next((code for code in _WORST_FIRST if code in codes), codes[0])


def root_field_spans() -> MiddlewareManager | None:
    """What makes a span of every root field; None while nobody wants spans, since it is called for every field."""
    return MiddlewareManager(_traced) if traces.is_on() else None


def _traced(resolve: Any, source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
    if info.path.prev is not None:
        return resolve(source, info, **arguments)
    return _traced_root(resolve, source, info, arguments)


async def _traced_root(resolve: Any, source: Any, info: GraphQLResolveInfo[Any], arguments: dict[str, Any]) -> Any:
    with traces.span(f"{info.parent_type.name}.{info.field_name}"):
        result = resolve(source, info, **arguments)
        return await result if isawaitable(result) else result
