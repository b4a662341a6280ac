"""What a recorder reports: four kinds of event, checked before anything is written (spec 1, 4.2)."""

import hashlib
import uuid
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from flowtrail import json_text
from flowtrail.counts import EARLIEST, LATEST
from flowtrail.parameters import digests_of
from flowtrail.recording.preview import preview_of

MAX_NAME = 500
"""Characters of a name or an id that a recorder chooses."""
MAX_MESSAGE = 20_000
"""Characters of an error message or of a node's error."""
MAX_STACK = 200_000


class EventRefused(Exception):
    """An event that can't be recorded. `code` and `reason` go into its receipt."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Payload:
    """A JSON value as its exact text. `size` (bytes) and `sha256` are those of the whole value, cut or not (spec 1.6)."""

    text: str
    size: int
    sha256: bytes
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    kind: str
    message: str
    node_id: str | None = None
    node_name: str | None = None
    stack: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    execution_id: uuid.UUID
    server: str
    tool_name: str
    started_at: datetime
    initial_params: Payload
    initial_params_preview: str = field(compare=False)
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
    parameter_digests: tuple[uuid.UUID, ...] = field(default=(), compare=False)
    """Derived: what it can be found by (parameters.py)."""


@dataclass(frozen=True, slots=True)
class NodeStarted:
    execution_id: uuid.UUID
    position: int
    parent_position: int | None
    node_id: str
    node_name: str
    node_type: str
    started_at: datetime
    input: Payload | None


@dataclass(frozen=True, slots=True)
class NodeFinished:
    execution_id: uuid.UUID
    position: int
    status: str
    ended_at: datetime
    output: Payload | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    execution_id: uuid.UUID
    status: str
    ended_at: datetime
    result: Payload | None
    error: ErrorInfo | None


Event = Started | NodeStarted | NodeFinished | Finished


def event_hash(event: Event) -> bytes:
    """Return what tells one event from another of the same place: equal events have equal hashes.

    Fields that are not given do not count, so that a release that adds one still knows again what was recorded before it.
    """
    given = [type(event).__name__]
    for each in fields(event):
        value = getattr(event, each.name)
        if each.compare and value is not None and value is not False:
            given.append(f"{each.name}={value!r}")
    return hashlib.blake2b("\0".join(given).encode(), digest_size=16).digest()


def payload_of(field: str, value: Any, truncation: tuple[float, str] | None) -> Payload:
    """Return a value as it will be kept; `truncation` is (bytes, hex SHA-256) of the value before the recorder cut it."""
    try:
        text = json_text.dump(value)
    except json_text.JsonTextError as error:
        raise refused(field, str(error)) from None
    size, sha256 = json_text.digest(text)
    if truncation is None:
        return Payload(text, size, sha256, is_truncated=False)
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
