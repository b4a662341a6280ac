"""OpenTelemetry traces of requests, root fields and SQL, when an exporter is configured (spec 6.4).

Nothing is traced, and nothing of the SDK is loaded, unless the standard variables name an exporter, or the process has set up a
tracer provider of its own. Spans tell operations by name; parameters and results stay out of them.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.trace import ProxyTracerProvider, SpanKind, Status, StatusCode

from flowtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from asyncpg.connection import LoggedQuery
    from opentelemetry.trace import Span

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "flowtrail"
_NOBODYS = (ProxyTracerProvider, trace.NoOpTracerProvider)


def configure() -> None:
    """Export spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names, if it does.

    Raises ConfigurationError when what exporting takes is not installed.
    """
    if is_on() or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(map(os.environ.get, _ENDPOINTS)):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        named = next(name for name in _ENDPOINTS if os.environ.get(name))
        raise ConfigurationError(f"{named} is set: traces need `pip install 'flowtrail[server,otel]'` ({error})") from None
    provider = TracerProvider(resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", _NAME)}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def is_on() -> bool:
    """Whether anybody wants spans."""
    return trace.get_tracer_provider().__class__ not in _NOBODYS  # isinstance of abstract classes is slow, and each request asks


@contextmanager
def span(
    name: str, kind: SpanKind = SpanKind.INTERNAL, carrier: Mapping[str, str] | None = None, **attributes: Any
) -> Iterator[Span]:
    """A span for the length of the block, under the trace that `carrier` (HTTP headers) names; an error marks it, by type alone.

    `attributes` are named as OpenTelemetry does, with `__` for its dots.
    """
    context = extract(carrier) if carrier is not None else None
    tracer = trace.get_tracer(_NAME)
    named = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
    with tracer.start_as_current_span(name, context, kind, named, record_exception=False, set_status_on_exception=False) as running:
        try:
            yield running
        except BaseException as error:
            failed(running, type(error).__name__)
            raise


def failed(running: Span, kind: str) -> None:
    """Mark a span as failed; its message would hold what users sent."""
    running.set_attribute("error.type", kind)
    running.set_status(Status(StatusCode.ERROR))


def sql(query: LoggedQuery) -> None:
    """Add the span of a statement that has just ended: asyncpg calls it."""
    end = time.time_ns()
    running = trace.get_tracer(_NAME).start_span(
        query.query.split(None, 1)[0].upper(),
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.text": query.query},
        start_time=end - int(query.elapsed * 1e9),
    )
    if query.exception is not None:
        failed(running, getattr(query.exception, "sqlstate", None) or type(query.exception).__name__)
    running.end(end)
