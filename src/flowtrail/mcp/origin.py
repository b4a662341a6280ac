"""Where a call came from, as far as its transport says (spec 4.10): client, caller, trace, preview."""

import re
from collections.abc import Mapping
from typing import Any

from flowtrail.mcp.events import Caller, Origin

PREVIEW_KEY = "flowtrail/preview"
"""The field of a request's `_meta` that marks a preview."""
CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo"
"""The field of `_meta` in which a client without a handshake names itself."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


def from_meta(meta: Mapping[str, Any], *, client: tuple[str, str | None] | None, caller: Caller | None, preview: bool) -> Origin:
    """Return the origin of a request with `meta`; `client` is what the handshake said, if there was one."""
    return Origin(
        client=client_in(meta.get(CLIENT_INFO_KEY)) or client,
        caller=caller,
        trace_id=trace_id_in(meta.get("traceparent")) or current_trace_id(),
        is_preview=preview or meta.get(PREVIEW_KEY) is True,
    )


def client_in(info: Any) -> tuple[str, str | None] | None:
    """Return name and version of a client's Implementation object (wire form)."""
    if not isinstance(info, Mapping) or not isinstance(name := info.get("name"), str):
        return None
    version = info.get("version")
    return name, version if isinstance(version, str) else None


def trace_id_in(traceparent: Any) -> str | None:
    """Return the trace id of a W3C traceparent."""
    found = _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    return found[1] if found is not None and found[1] != "0" * 32 else None


def current_trace_id() -> str | None:
    """Return the trace id of the OpenTelemetry span that is running, if there is one."""
    try:
        from opentelemetry.trace import get_current_span
    except ImportError:
        return None
    context = get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def caller_in(said: Caller | Mapping[str, str | None] | str | None) -> Caller | None:
    """Return what an author's `identify=` said: a Caller, a mapping of its fields, or only the subject."""
    match said:
        case None | Caller():
            return said
        case str():
            return Caller(subject=said)
        case _:
            return Caller(**said)
