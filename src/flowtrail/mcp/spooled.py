"""What a spool holds, as values."""

from dataclasses import dataclass
from enum import IntEnum


class EventKind(IntEnum):
    """Which field of ExecutionEventInput an event is."""

    STARTED = 0
    NODE_STARTED = 1
    NODE_FINISHED = 2
    FINISHED = 3


@dataclass(frozen=True, slots=True)
class Event:
    """An event that waits. `body` is the JSON text of an ExecutionEventInput, `at` microseconds since 1970."""

    sequence: int
    execution: int
    kind: EventKind
    at: int
    body: str
    is_damaged: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that will never be accepted as it is, and why."""

    execution_id: str
    server: str
    kind: EventKind
    at: int
    body: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event becomes a dead letter."""

    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Executions of a server that had to give way, since when (microseconds since 1970)."""

    server: str
    executions: int
    since: int


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What a file holds."""

    executions: int
    events: int
    bytes: int
    dead_letters: int
