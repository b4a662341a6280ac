"""Events as the JSON text of ExecutionEventInput: made once, kept in the spool and sent as they are.

Values arrive as JSON text and stay it. Names and messages are cut to what the service takes, so that no event is refused
for its length.
"""

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flowtrail.mcp.payload import Payload

MAX_NAME = 500
"""Characters of a name or id, at most."""
MAX_MESSAGE = 20_000
MAX_STACK = 200_000

NodeStatus = Literal["COMPLETED", "ERROR"]
ErrorKind = Literal["TOOL_ERROR", "EXCEPTION", "PROTOCOL_ERROR", "CANCELLED", "TIMED_OUT", "INTERRUPTED"]

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called (spec 4.10)."""

    subject: str | None = None
    client_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call came from. `client` is name and version."""

    client: tuple[str, str | None] | None = None
    caller: Caller | None = None
    trace_id: str | None = None
    is_preview: bool = False


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """Why an execution failed, and the node it failed in."""

    kind: ErrorKind
    message: str
    stack: str | None = None
    node_id: str | None = None
    node_name: str | None = None


def started(
    execution_id: str,
    server: str,
    tool_name: str,
    at: int,
    params: Payload,
    *,
    tool_exists: bool,
    origin: Origin,
    parent_id: str | None,
) -> str:
    """Return the start of an execution; `at` is microseconds since 1970, as everywhere here."""
    client, caller = origin.client, origin.caller
    return _event(
        "started",
        executionId=_text(execution_id),
        server=_text(server),
        toolName=_text(tool_name),
        startedAt=_time(at),
        initialParams=params.text,
        initialParamsInfo=_truncation(params),
        toolExists=None if tool_exists else "false",
        isPreview="true" if origin.is_preview else None,
        client=None if client is None else _object(name=_text(client[0]), version=_text(client[1])),
        caller=None
        if caller is None
        else _object(
            subject=_text(caller.subject),
            clientId=_text(caller.client_id),
            sessionId=_text(caller.session_id),
            requestId=_text(caller.request_id),
        ),
        traceId=_text(origin.trace_id),
        parentExecutionId=_text(parent_id),
    )


def node_started(
    execution_id: str, position: int, parent: int | None, node_id: str, name: str, node_type: str, at: int, data: Payload | None
) -> str:
    """Return the start of a node."""
    return _event(
        "nodeStarted",
        executionId=_text(execution_id),
        position=str(position),
        parentPosition=None if parent is None else str(parent),
        nodeId=_text(node_id),
        nodeName=_text(name),
        nodeType=_text(node_type),
        startedAt=_time(at),
        inputData=None if data is None else data.text,
        inputInfo=_truncation(data),
    )


def node_finished(execution_id: str, position: int, status: NodeStatus, at: int, data: Payload | None, error: str | None) -> str:
    """Return the end of a node."""
    return _event(
        "nodeFinished",
        executionId=_text(execution_id),
        position=str(position),
        status=f'"{status}"',
        endedAt=_time(at),
        outputData=None if data is None else data.text,
        outputInfo=_truncation(data),
        error=_text(error, MAX_MESSAGE),
    )


def finished(execution_id: str, at: int, result: Payload | None, error: ErrorInfo | None) -> str:
    """Return the end of an execution: fulfilled, or failed for `error`."""
    return _event(
        "finished",
        executionId=_text(execution_id),
        status='"FULFILLED"' if error is None else '"ERROR"',
        endedAt=_time(at),
        result=None if result is None else result.text,
        resultInfo=_truncation(result),
        errorInfo=None
        if error is None
        else _object(
            kind=f'"{error.kind}"',
            message=_text(error.message, MAX_MESSAGE),
            nodeId=_text(error.node_id),
            nodeName=_text(error.node_name),
            stack=_text(error.stack, MAX_STACK),
        ),
    )


def interrupted(execution_id: str, at: int) -> str:
    """Return the end of an execution whose process died; `at` is the last thing known of it (spec 1.9)."""
    return finished(execution_id, at, None, ErrorInfo("INTERRUPTED", "the MCP server's process ended before the call did"))


def registration(
    tool_name: str, name: str, description: str | None, input_schema: Mapping[str, Any] | None, timeout_ms: int | None
) -> str:
    """Return the JSON text of a FlowRegistration."""
    return _object(
        toolName=_text(tool_name),
        name=_text(name),
        description=_text(description, MAX_MESSAGE),
        inputSchema=None if input_schema is None else json.dumps(input_schema, separators=(",", ":")),
        timeoutMs=None if timeout_ms is None else str(timeout_ms),
    )


def time_text(at: int) -> str:
    """Return microseconds since 1970 as RFC 3339."""
    return (_EPOCH + datetime.timedelta(microseconds=at)).isoformat(timespec="microseconds")


def _event(kind: str, **fields: str | None) -> str:
    return f'{{"{kind}":{_object(**fields)}}}'


def _object(**fields: str | None) -> str:
    return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items() if text is not None) + "}"


def _text(text: str | None, limit: int = MAX_NAME) -> str | None:
    if text is None:
        return None
    return json.dumps(text if len(text) <= limit else text[: limit - 1] + "…")


def _time(at: int) -> str:
    return f'"{time_text(at)}"'


def _truncation(payload: Payload | None) -> str | None:
    if payload is None or payload.size_bytes is None:
        return None
    return f'{{"sizeBytes":{payload.size_bytes},"sha256":"{payload.sha256}"}}'
