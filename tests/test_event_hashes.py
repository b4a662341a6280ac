"""What makes two events of one place the same (docs/decisions/event-hashes.md): every field that a recorder chooses."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowtrail.recording.events import (
    ErrorInfo,
    Finished,
    NodeFinished,
    NodeStarted,
    Payload,
    Started,
    event_hash,
    payload_of,
)

ID = uuid.UUID("01978f00-0000-7000-8000-000000000001")
TIME = datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)
PAYLOAD = payload_of("result", {"a": 1}, None)
ERROR = ErrorInfo("EXCEPTION", "message", "node", "Node", "stack")
EVENTS: list[Any] = [
    Started(ID, "server", "tool", TIME, PAYLOAD, "a: 1", True, False, "c", "1", "s", "i", "e", "r", "t", ID, (ID,)),
    NodeStarted(ID, 1, 0, "node", "Node", "step", TIME, PAYLOAD),
    NodeFinished(ID, 1, "ERROR", TIME, PAYLOAD, "error"),
    Finished(ID, "ERROR", TIME, PAYLOAD, ERROR),
]
NOT_TOLD_BY = {"execution_id", "position", "initial_params_preview", "parameter_digests"}
"""The place, where the hash is kept, and what is derived: another release may derive it in another way."""


def others(value: Any) -> list[Any]:
    """Values that differ from this one in one thing."""
    match value:
        case bool():
            return [not value]
        case int():
            return [value + 1]
        case str():
            return [f"{value}é", f" {value}", ""]
        case bytes():
            return [value[::-1]]
        case uuid.UUID():
            return [uuid.UUID(int=value.int + 1)]
        case datetime():
            return [value + timedelta(microseconds=1)]
        case ErrorInfo():
            return [value._replace(**{name: other}) for name in value._fields for other in others(getattr(value, name))]
    cut: Payload = value._replace(is_truncated=True)
    return [cut, payload_of("result", {"a": 1.5}, None), cut._replace(size=8), cut._replace(text="2")]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_each_field_that_a_recorder_chooses_tells_events_apart(event: Any) -> None:
    seen = {event_hash(event)}
    told_by = [name for name in event._fields if name not in NOT_TOLD_BY]
    for name in told_by:
        for other in others(getattr(event, name)):
            digest = event_hash(event._replace(**{name: other}))
            assert digest not in seen, (name, other)
            seen.add(digest)


def test_what_is_derived_does_not() -> None:
    start = EVENTS[0]
    assert event_hash(start._replace(initial_params_preview="", parameter_digests=())) == event_hash(start)


@pytest.mark.parametrize(("number", "name"), [(0, "trace_id"), (1, "parent_position"), (1, "input"), (2, "error"), (3, "result")])
def test_what_is_not_given_tells_from_what_is(number: int, name: str) -> None:
    event = EVENTS[number]
    assert event_hash(event._replace(**{name: None})) != event_hash(event)
