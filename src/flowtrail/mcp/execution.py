"""One call that is being recorded: its nodes, its outcome, and the events that tell of them.

Everything a tool or a client gave passes through the call's redaction here, and through nothing else, before it becomes an event.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import uuid_utils.compat

from flowtrail.mcp import events
from flowtrail.mcp.events import ErrorInfo, ErrorKind, NodeStatus, Origin
from flowtrail.mcp.payload import DEFAULT_LIMIT, Payload, encode, limited
from flowtrail.mcp.recorder import Recorder
from flowtrail.mcp.redaction import CallRedaction
from flowtrail.mcp.spooled import EventKind


@dataclass(frozen=True)
class Called:
    """What was called, and how it is recorded. `payload_limit` is in bytes."""

    server: str
    tool_name: str
    tool_exists: bool
    redaction: CallRedaction
    payload_limit: int = DEFAULT_LIMIT
    stacks: bool = False


@dataclass(slots=True)
class _Node:
    node_id: str
    name: str


class Execution:
    """A running execution. Its methods may be called from any thread; after `finish` they do nothing."""

    def __init__(
        self, recorder: Recorder, called: Called, params: Mapping[str, Any], origin: Origin, parent_id: str | None
    ) -> None:
        self.id = str(uuid_utils.compat.uuid7())
        self.called = called
        self.delegates_to: str | None = None
        """The name under which a mounted server will meet this same call (middleware.py)."""
        self._recorder = recorder
        self._lock = threading.Lock()
        self._wall_start = time.time_ns() // 1000
        self._monotonic_start = time.perf_counter_ns()
        self._node_count = 0
        self._running: dict[int, _Node] = {}
        self._first_failed: _Node | None = None
        self._ended = False
        payload = limited(called.redaction.parameters(encode(params)), called.payload_limit)
        body = events.started(
            self.id,
            called.server,
            called.tool_name,
            self._wall_start,
            payload,
            tool_exists=called.tool_exists,
            origin=origin,
            parent_id=parent_id,
        )
        self._handle = recorder.begin(self.id, called.server, self._wall_start, body)

    @property
    def has_ended(self) -> bool:
        """Whether `finish` was called."""
        return self._ended

    def now(self) -> int:
        """Return microseconds since 1970: the start plus monotonic time, so that no step of the clock makes a duration
        negative.
        """
        return self._wall_start + (time.perf_counter_ns() - self._monotonic_start) // 1000

    def start_node(self, node_id: str, name: str, node_type: str, data: Any, parent: int | None) -> int | None:
        """Record that a node starts, with its input (None: it has none), and return its position; None when the execution
        has ended.
        """
        payload = None if data is None else self._payload(data)
        with self._lock:
            if self._ended:
                return None
            position = self._node_count
            self._node_count += 1
            self._running[position] = _Node(node_id, name)
            at = self.now()
            body = events.node_started(self.id, position, parent, node_id, name, node_type, at, payload)
            self._recorder.append(self._handle, EventKind.NODE_STARTED, at, body)
        return position

    def finish_node(self, position: int, data: Any = None, error: str | None = None) -> None:
        """Record that a node ends, with its output (None: it has none), or with the error it failed with."""
        payload = None if data is None else self._payload(data)
        message = None if error is None else self.called.redaction.message(error)
        status: NodeStatus = "COMPLETED" if error is None else "ERROR"
        with self._lock:
            node = self._running.pop(position, None)
            if self._ended or node is None:
                return
            if error is not None and self._first_failed is None:
                self._first_failed = node
            at = self.now()
            body = events.node_finished(self.id, position, status, at, payload, message)
            self._recorder.append(self._handle, EventKind.NODE_FINISHED, at, body)

    def finish(self, result: Any = None, kind: ErrorKind | None = None, message: str = "", stack: str | None = None) -> None:
        """Record the outcome: fulfilled without a `kind`, else failed. `result` may be there in both cases."""
        payload = None if result is None else self._payload(result)
        with self._lock:
            if self._ended:
                return
            self._ended = True
            error = None if kind is None else self._error(kind, message, stack)
            at = self.now()
            self._recorder.append(self._handle, EventKind.FINISHED, at, events.finished(self.id, at, payload, error))

    def _error(self, kind: ErrorKind, message: str, stack: str | None) -> ErrorInfo:
        node = self._first_failed or next(reversed(self._running.values()), None)
        hidden = self.called.redaction.message
        return ErrorInfo(
            kind,
            hidden(message),
            hidden(stack) if stack is not None and self.called.stacks else None,
            None if node is None else node.node_id,
            None if node is None else node.name,
        )

    def _payload(self, value: Any) -> Payload:
        return limited(self.called.redaction.data(encode(value)), self.called.payload_limit)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the running code stands: in which execution, and inside which of its nodes."""

    execution: Execution
    position: int | None = None


current_frame: ContextVar[Frame | None] = ContextVar("flowtrail_frame", default=None)
"""Copied into tasks and into the threads of `asyncio.to_thread` and FastMCP, so that nodes find their execution."""

find_frame_elsewhere: Callable[[], Frame | None] | None = None
"""Where to ask when the context knows of no execution: set once a tool runs in the background (background.py)."""


def running_frame() -> Frame | None:
    """Return where the running code stands; None outside tracked calls."""
    frame = current_frame.get()
    return find_frame_elsewhere() if frame is None and find_frame_elsewhere is not None else frame
