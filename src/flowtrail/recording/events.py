"""What a recorder reports: four kinds of event, checked before anything is written (spec 1, 4.2)."""

import hashlib
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from flowtrail import json_text
from flowtrail.counts import EARLIEST, LATEST
from flowtrail.parameters import digests_of
from flowtrail.recording.preview import preview_of

MAX_NAME = 500
"""Characters of a name or an id that a recorder chooses."""
MAX_MESSAGE = 20_000
"""Characters of an error message or of a node's error."""
MAX_STACK = 200_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class EventRefused(Exception):
    """An event that can't be recorded. `code` and `reason` go into its receipt."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Payload(NamedTuple):
    """A JSON value as its exact text. `size` (bytes) and `sha256` are those of the whole value, cut or not (spec 1.6)."""

    text: str
    size: int
    sha256: bytes
    is_truncated: bool

    @property
    def identity(self) -> object:
        """What tells it from another; the hash stands for a text that is whole."""
        return tuple(self) if self.is_truncated else self.sha256.hex()


class ErrorInfo(NamedTuple):
    """Why an execution ended as ERROR; `kind` is an ExecutionErrorKind."""

    kind: str
    message: str
    node_id: str | None = None
    node_name: str | None = None
    stack: str | None = None


class Started(NamedTuple):
    """An execution begins."""

    execution_id: uuid.UUID
    server: str
    tool_name: str
    started_at: datetime
    initial_params: Payload
    initial_params_preview: str
    """Derived: another release may cut it elsewhere and must still know the event again."""
    tool_exists: bool
    is_preview: bool
    client_name: str | None
    client_version: str | None
    caller_subject: str | None
    caller_client_id: str | None
    caller_session_id: str | None
    caller_request_id: str | None
    trace_id: str | None
    parent_execution_id: uuid.UUID | None
    parameter_digests: tuple[uuid.UUID, ...] = ()
    """Derived: what it can be found by (parameters.py)."""

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from another start of the same execution."""
        caller = (self.caller_subject, self.caller_client_id, self.caller_session_id, self.caller_request_id)
        return (
            "Started",
            *(
                self.server,
                self.tool_name,
                self.tool_exists,
                _exactly(self.started_at),
                self.initial_params.identity,
                self.is_preview,
            ),
            *(self.client_name, self.client_version, *caller, self.trace_id, self.parent_execution_id),
        )


class NodeStarted(NamedTuple):
    """A node begins. `position` counts the nodes of an execution from 0, in the order they start."""

    execution_id: uuid.UUID
    position: int
    parent_position: int | None
    node_id: str
    node_name: str
    node_type: str
    started_at: datetime
    input: Payload | None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from another start at the same position."""
        given = self.input.identity if self.input else None
        return "NodeStarted", self.parent_position, self.node_id, self.node_name, self.node_type, _exactly(self.started_at), given


class NodeFinished(NamedTuple):
    """A node ends; `status` is a NodeExecutionStatus."""

    execution_id: uuid.UUID
    position: int
    status: str
    ended_at: datetime
    output: Payload | None
    error: str | None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from another end of the same node."""
        return "NodeFinished", self.status, _exactly(self.ended_at), self.output.identity if self.output else None, self.error


class Finished(NamedTuple):
    """An execution ends; `status` is an ExecutionStatus."""

    execution_id: uuid.UUID
    status: str
    ended_at: datetime
    result: Payload | None
    error: ErrorInfo | None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from another end of the same execution."""
        error = tuple(self.error) if self.error else None
        return "Finished", self.status, _exactly(self.ended_at), self.result.identity if self.result else None, error


Event = Started | NodeStarted | NodeFinished | Finished


def event_hash(event: Event) -> bytes:
    """Return what tells one event from another of the same place: equal events have equal hashes.

    A field that a release adds belongs to the identity of an event only where it is given, so that what was recorded before is
    still known again.
    """
    return hashlib.blake2b(ascii(event.identity).encode(), digest_size=16).digest()


def _exactly(time: datetime) -> int:
    """A time in microseconds, which are written down in a third of the time that a datetime takes."""
    return (time - _EPOCH) // _MICROSECOND


def payload_of(field: str, value: Any, truncation: tuple[float, str] | None) -> Payload:
    """Return a value as it will be kept; `truncation` is (bytes, hex SHA-256) of the value before the recorder cut it."""
    try:
        text = json_text.dump(value)
    except json_text.JsonTextError as error:
        raise refused(field, str(error)) from None
    if truncation is None:
        if isinstance(value, json_text.JsonText):
            return Payload(text, value.size, value.sha256, is_truncated=False)
        return Payload(text, *json_text.digest(text), False)
    size_bytes, sha256_hex = truncation
    if not 0 <= size_bytes < 2**53 or size_bytes != int(size_bytes):
        raise refused(f"{field}Info.sizeBytes", "not a whole number of bytes")
    try:
        original = bytes.fromhex(sha256_hex)
    except ValueError:
        original = b""
    if len(original) != hashlib.sha256().digest_size:
        raise refused(f"{field}Info.sha256", "not a SHA-256 in hexadecimal")
    return Payload(text, int(size_bytes), original, is_truncated=True)


def checked_text(field: str, text: str, limit: int = MAX_NAME) -> str:
    """Return `text` as a text column can hold it; refuses what is too long."""
    if len(text) > limit:
        raise refused(field, f"{len(text)} characters, at most {limit} are kept")
    return json_text.clean(text)


def checked_time(field: str, time: datetime) -> datetime:
    """Return `time`; refuses what no clock shows."""
    if not EARLIEST <= time < LATEST:
        raise refused(field, "lies outside the years 1970 to 8999")
    return time


def checked_position(field: str, position: int) -> int:
    if position < 0:
        raise refused(field, f"{position} is negative; nodes count from 0")
    return position


def check_started(event: Started) -> Started:
    """Refuse a start without a server or tool name."""
    if not event.server:
        raise refused("server", "is empty")
    if not event.tool_name:
        raise refused("toolName", "is empty")
    return event


def check_node_started(event: NodeStarted) -> NodeStarted:
    """Refuse a node that claims an enclosing node which started after it."""
    if event.parent_position is not None and event.parent_position >= event.position:
        raise refused("parentPosition", "an enclosing node starts before the nodes inside it")
    return event


def check_node_finished(event: NodeFinished) -> NodeFinished:
    """Refuse a node that ends as PENDING."""
    if event.status == "PENDING":
        raise refused("status", "a finished node is COMPLETED or ERROR")
    return event


def check_finished(event: Finished) -> Finished:
    """Refuse an end without an outcome, and errorInfo anywhere but with ERROR (spec 1.2)."""
    if event.status == "PENDING":
        raise refused("status", "a finished execution is FULFILLED or ERROR")
    if (event.status == "ERROR") != (event.error is not None):
        raise refused("errorInfo", "must be given exactly when the status is ERROR")
    return event


def refused(field: str, reason: str) -> EventRefused:
    return EventRefused("BAD_USER_INPUT", f"{field}: {reason}")


__all__ = [
    "EARLIEST",
    "LATEST",
    "MAX_MESSAGE",
    "MAX_NAME",
    "MAX_STACK",
    "ErrorInfo",
    "Event",
    "EventRefused",
    "Finished",
    "NodeFinished",
    "NodeStarted",
    "Payload",
    "Started",
    "check_finished",
    "check_node_finished",
    "check_node_started",
    "check_started",
    "checked_position",
    "checked_text",
    "checked_time",
    "digests_of",
    "event_hash",
    "payload_of",
    "preview_of",
    "refused",
]
