"""The calls that are under way on one connection: from a request over tasks and rounds of input to the outcome, one
execution each.
"""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Span

from flowtrail.mcp.call_span import end_call_span
from flowtrail.mcp.events import ErrorKind
from flowtrail.mcp.execution import Execution
from flowtrail.mcp.payload import encode

PROXIED_NODE_TYPE = "mcp.tool"
"""The type of the node that stands for the other server's work (spec 4.4)."""
INPUT_NODE_TYPE = "mcp.input"
"""The type of the node during which a client is asked for input."""

_ENDED_TASK = frozenset({"completed", "failed", "cancelled"})
# How FastMCP and the SDKs of Python and TypeScript word it, in an answer that only says isError.
_BAD_ARGUMENTS = re.compile(
    r"\s*(?:Error executing tool \S+: )?"
    r"(?:MCP error -3260[02]\b|Input validation error|Invalid arguments|\d+ validation errors? for )"
)
_EXCEPTION = re.compile(r"(?:Error executing tool \S+(?:: |$))+$")


@dataclass(slots=True)
class Call:
    """A call that has no outcome yet, and the node that is running."""

    execution: Execution
    tool_name: str
    arguments: Mapping[str, Any]
    tool_exists: bool
    position: int | None = None
    span: Span | None = None

    def run_elsewhere(self) -> None:
        """Record that another server works on it."""
        self.position = self.execution.start_node(self.tool_name, self.tool_name, PROXIED_NODE_TYPE, self.arguments, None)

    def wait_for_input(self, requests: Any) -> None:
        """Record that the server asked the client for input."""
        self._end_node(None, None)
        self.position = self.execution.start_node("input", "Input from the client", INPUT_NODE_TYPE, requests, None)

    def receive_input(self, responses: Any) -> None:
        """Record what the client answered."""
        self._end_node(responses, None)

    def succeed(self, result: Any) -> None:
        """Record a CallToolResult (wire form), which may say isError."""
        if not isinstance(result, Mapping) or result.get("isError") is not True:
            self._end_node(result, None)
            self.execution.finish(result)
            end_call_span(self.span)
            return
        message = error_text(result.get("content"))
        kind = self._kind(message)
        self._end_node(result, message)
        self.execution.finish(result, kind, message)
        end_call_span(self.span, kind)

    def _kind(self, message: str) -> ErrorKind:
        if not self.tool_exists or _BAD_ARGUMENTS.match(message):
            return "PROTOCOL_ERROR"
        return "EXCEPTION" if _EXCEPTION.match(message) else "TOOL_ERROR"

    def fail(self, kind: ErrorKind, message: str) -> None:
        """Record that there will be no result."""
        self._end_node(None, message)
        self.execution.finish(kind=kind, message=message)
        end_call_span(self.span, kind)

    def _end_node(self, data: Any, error: str | None) -> None:
        if self.position is not None:
            self.execution.finish_node(self.position, data, error)
            self.position = None


class Calls:
    """Calls by what will be heard of them next: a response, a task's end, or the request that continues a round."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_request: dict[str, Call] = {}
        self._by_task: dict[str, Call] = {}
        self._task_requests: dict[str, str] = {}
        self._by_round: dict[str, list[Call]] = {}

    def add(self, request_id: Any, call: Call) -> None:
        """Expect the response to a request."""
        with self._lock:
            self._by_request[json.dumps(request_id)] = call

    def take(self, request_id: Any) -> Call | None:
        """Return and forget the call that a response or a cancellation is about."""
        with self._lock:
            return self._by_request.pop(json.dumps(request_id), None)

    def add_task(self, task_id: str, call: Call) -> None:
        """Expect the end of a task."""
        with self._lock:
            self._by_task[task_id] = call

    def task(self, task_id: str) -> Call | None:
        """Return the call that became a task."""
        with self._lock:
            return self._by_task.get(task_id)

    def take_task(self, task_id: str) -> Call | None:
        """Return and forget the call that became a task."""
        with self._lock:
            return self._by_task.pop(task_id, None)

    def expect_about_task(self, request_id: Any, task_id: str) -> None:
        """Note that the response to a request will be about a task."""
        with self._lock:
            if task_id in self._by_task:
                self._task_requests[json.dumps(request_id)] = task_id

    def take_about_task(self, request_id: Any) -> str | None:
        """Return and forget the task that a response is about."""
        with self._lock:
            return self._task_requests.pop(json.dumps(request_id), None)

    def hear_of_task(self, task: Mapping[str, Any]) -> None:
        """Record a task's end, if that is what was said of it (wire form). A completed one may have to wait for its result."""
        status, task_id = task.get("status"), task.get("taskId")
        if status not in _ENDED_TASK or not isinstance(task_id, str) or (status == "completed" and "result" not in task):
            return
        if (call := self.take_task(task_id)) is None:
            return
        said = str(task.get("statusMessage") or f"the task {status}")
        if status == "completed":
            call.succeed(task["result"])
        elif status == "cancelled":
            call.fail("CANCELLED", said)
        else:
            call.fail("TOOL_ERROR", error_message(task["error"]) if "error" in task else said)

    def suspend(self, call: Call, state: Any) -> None:
        """Expect the request that continues a round: it repeats the tool, its arguments and the state."""
        with self._lock:
            self._by_round.setdefault(_round_key(call.tool_name, call.arguments, state), []).append(call)

    def resume(self, tool_name: str, arguments: Mapping[str, Any], state: Any) -> Call | None:
        """Return and forget the call that a request continues."""
        key = _round_key(tool_name, arguments, state)
        with self._lock:
            waiting = self._by_round.get(key)
            call = waiting.pop(0) if waiting else None
            if waiting == []:
                del self._by_round[key]
        return call

    def take_all(self) -> list[Call]:
        """Return and forget every call."""
        with self._lock:
            calls = [
                *self._by_request.values(),
                *self._by_task.values(),
                *(call for group in self._by_round.values() for call in group),
            ]
            self._by_request, self._by_task, self._by_round = {}, {}, {}
        return calls


def is_continuation(params: Mapping[str, Any]) -> bool:
    """Return whether a call's parameters go on with one that asked for input."""
    return "inputResponses" in params or "requestState" in params


def error_text(content: Any) -> str:
    """Return the text of the content blocks (wire form) of an answer with isError."""
    blocks = content if isinstance(content, list) else []
    texts = [
        str(block["text"]) for block in blocks if isinstance(block, Mapping) and block.get("type") == "text" and "text" in block
    ]
    return "\n".join(texts) or "the tool answered with isError"


def error_message(error: Any) -> str:
    """Return a JSON-RPC error as text."""
    if not isinstance(error, Mapping):
        return str(error)
    return f"{error.get('message', 'no message')} ({error.get('code', 'no code')})"


def _round_key(tool_name: str, arguments: Mapping[str, Any], state: Any) -> str:
    return encode([tool_name, arguments, state])
