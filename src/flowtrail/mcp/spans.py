"""OpenTelemetry spans as nodes: an instrumented tool shows its steps without a line of ours.

A span that begins inside a call becomes a node there, under the span or node that it began in. Those of FastMCP and the MCP
SDK are left out: they tell of the call itself. Needs `opentelemetry-sdk` and a tracer provider that is set up.
"""

import logging
import threading

from opentelemetry.context import Context
from opentelemetry.sdk.trace import (  # type: ignore[import-not-found, unused-ignore]
    ReadableSpan,
    Span,
    SpanProcessor,
    TracerProvider,
)
from opentelemetry.trace import StatusCode, get_tracer_provider

from flowtrail.mcp.execution import Execution, current_frame
from flowtrail.mcp.guard import Guarded

logger = logging.getLogger("flowtrail.mcp")

_OWN_SCOPES = ("fastmcp", "mcp", "docket")  # the last runs the background tasks of FastMCP

_lock = threading.Lock()
_installed: set[int] = set()


class SpanNodes(SpanProcessor):  # type: ignore[misc, unused-ignore]
    """Records spans as nodes of the execution that they begin in."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], tuple[Execution, int]] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Start a node."""
        with Guarded("recording the start of a span"):
            frame = current_frame.get()
            scope = span.instrumentation_scope
            if frame is None or (scope is not None and scope.name.partition(".")[0] in _OWN_SCOPES):
                return
            parent = frame.position
            if span.parent is not None:
                with self._lock:
                    enclosing = self._open.get((span.parent.trace_id, span.parent.span_id))
                if enclosing is not None and enclosing[0] is frame.execution:
                    parent = enclosing[1]
            node_type = f"span.{span.kind.name.lower()}"
            position = frame.execution.start_node(span.name, span.name, node_type, dict(span.attributes or {}) or None, parent)
            if position is not None:
                with self._lock:
                    self._open[_key(span)] = (frame.execution, position)

    def on_end(self, span: ReadableSpan) -> None:
        """End its node, with the attributes that it has by now."""
        with Guarded("recording the end of a span"):
            with self._lock:
                found = self._open.pop(_key(span), None)
            if found is not None:
                execution, position = found
                error = None
                if span.status.status_code is StatusCode.ERROR:
                    error = span.status.description or "the span has the status ERROR"
                execution.finish_node(position, dict(span.attributes or {}) or None, error)


def record_spans() -> None:
    """Have the spans of the tracer provider that is set up now recorded; says so when there is none."""
    provider = get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        logger.warning("flowtrail: spans=True has no effect, because no OpenTelemetry tracer provider is set up yet")
        return
    with _lock:
        if id(provider) not in _installed:
            _installed.add(id(provider))
            provider.add_span_processor(SpanNodes())


def _key(span: ReadableSpan) -> tuple[int, int]:
    context = span.get_span_context()
    return (context.trace_id, context.span_id) if context is not None else (0, 0)
