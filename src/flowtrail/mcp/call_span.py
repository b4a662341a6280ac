"""The proxy's own OpenTelemetry span for a call, by MCP's semantic conventions; does nothing unless a tracer provider is set up."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flowtrail.mcp.events import ErrorKind


def start_call_span(tool_name: str, request_id: str, session_id: str | None, meta: Mapping[str, Any]) -> Span:
    """Start the span of a `tools/call` under the trace that the request's `_meta` names."""
    carrier = {name: meta[name] for name in ("traceparent", "tracestate") if isinstance(meta.get(name), str)}
    attributes = {
        "mcp.method.name": "tools/call",
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool_name,
        "jsonrpc.request.id": request_id,
    }
    if session_id is not None:
        attributes["mcp.session.id"] = session_id
    context = TraceContextTextMapPropagator().extract(carrier)
    return get_tracer("flowtrail.mcp").start_span(f"tools/call {tool_name}", context, SpanKind.SERVER, attributes)


def end_call_span(span: Span | None, kind: ErrorKind | None = None) -> None:
    """End the span; with the kind of error, if there was one. The message stays out of it: it may hold what redaction hides."""
    if span is None:
        return
    if kind is not None:
        span.set_attribute("error.type", "tool_error" if kind == "TOOL_ERROR" else kind.lower())
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def trace_id_of(span: Span) -> str | None:
    """Return the trace id of a span that is recorded."""
    context = span.get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
