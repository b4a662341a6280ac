"""An execution and a node as rows: what a reader sees of them now, and as much of it as a document asks for (spec 2.6).

Rows stay what the driver returns. Making an object of each would cost as much as reading it.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NotRequired, TypedDict

from flowtrail import json_text
from flowtrail.executions.filter import FAILED_NODE_ID, FAILED_NODE_NAME, OVERDUE
from flowtrail.executions.large import all_bytes, size_of_payload, size_of_text
from flowtrail.pagination import Position
from flowtrail.timeouts import TIMED_OUT_MESSAGE, UNFINISHED_NODE_ERROR

PAYLOADS = ("initial_params", "result", "late_result")
STACKS = ("error_stack", "late_error_stack")
NODE_PAYLOADS = ("input", "output")


class Execution(TypedDict, total=False):
    """An execution as a reader sees it now. The first names are in every row, the others as `Columns` say."""

    id: uuid.UUID
    flow_id: uuid.UUID | None
    server: str
    flow_name: str
    flow_tool_name: str
    started_at: datetime
    initial_params_preview: str
    is_preview: bool
    status: str
    ended_at: datetime | None
    error_kind: str | None
    error_message: str | None
    failed_node_id: str | None
    failed_node_name: str | None
    node_count: int

    client_name: str | None
    client_version: str | None
    caller_subject: str | None
    caller_client_id: str | None
    caller_session_id: str | None
    caller_request_id: str | None
    trace_id: str | None
    parent_execution_id: uuid.UUID | None
    late_status: str | None
    late_ended_at: datetime | None
    late_error_kind: str | None
    late_error_message: str | None
    late_failed_node_id: str | None
    late_failed_node_name: str | None
    created_at: datetime
    updated_at: datetime

    initial_params: str | None
    result: str | None
    late_result: str | None
    error_stack: str | None
    late_error_stack: str | None

    text: bytes
    """JSON that PostgreSQL wrote (written.py)."""


class NodeExecution(TypedDict):
    """A step of an execution as a reader sees it now, and its payloads as `NodeColumns` say."""

    execution_id: uuid.UUID
    position: int
    parent_position: int | None
    node_id: str
    node_name: str
    node_type: str
    started_at: datetime
    status: str
    ended_at: datetime | None
    error: str | None
    input: NotRequired[str | None]
    output: NotRequired[str | None]


NodeKey = tuple[uuid.UUID, int]


@dataclass(frozen=True, slots=True)
class StoredPayload:
    """A JSON value as its exact text. Size (bytes) and SHA-256 are those of the whole value, cut or not (spec 1.6)."""

    text: str | None
    """None unless it was read."""
    size: int
    sha256: bytes
    is_truncated: bool

    @classmethod
    def of(cls, text: str) -> "StoredPayload":
        """Return the payload of a whole JSON text."""
        return cls(text, *json_text.digest(text), is_truncated=False)


def position_of(row: Execution) -> Position:
    """Return where an execution stands in the order of all."""
    return Position(row["started_at"], row["id"])


_NODES_SO_FAR = "(SELECT count(*)::integer FROM node_execution n WHERE n.execution_id = e.id)"
LISTED_VALUES = {
    **{name: f"e.{name}" for name in ("id", "flow_id", "server", "flow_name", "flow_tool_name", "started_at")},
    **{name: f"e.{name}" for name in ("initial_params_preview", "is_preview")},
    "status": f"CASE WHEN {OVERDUE} THEN 'ERROR' ELSE e.status END",
    "ended_at": f"CASE WHEN {OVERDUE} THEN e.timeout_at ELSE e.ended_at END",
    "error_kind": f"CASE WHEN {OVERDUE} THEN 'TIMED_OUT' ELSE e.error_kind END",
    "error_message": f"CASE WHEN {OVERDUE} THEN '{TIMED_OUT_MESSAGE}' ELSE e.error_message END",
    "failed_node_id": f"CASE WHEN {OVERDUE} THEN {FAILED_NODE_ID} ELSE e.failed_node_id END",
    "failed_node_name": f"CASE WHEN {OVERDUE} THEN {FAILED_NODE_NAME} ELSE e.failed_node_name END",
    "node_count": f"CASE WHEN e.status = 'PENDING' THEN {_NODES_SO_FAR} ELSE e.node_count END",
}
"""SQL of `e`, by column. What only overdue executions need is looked up for them alone."""
REST_VALUES = {
    name: f"e.{name}"
    for name in (
        *("client_name", "client_version", "caller_subject", "caller_client_id", "caller_session_id", "caller_request_id"),
        *("trace_id", "parent_execution_id", "late_status", "late_ended_at", "late_error_kind", "late_error_message"),
        *("late_failed_node_id", "late_failed_node_name", "created_at", "updated_at"),
    )
}
# LIMIT keeps PostgreSQL from reading all payloads to join them.
PAYLOAD = "LEFT JOIN LATERAL (SELECT * FROM execution_payload WHERE execution_id = e.id LIMIT 1) AS p ON true"
"""What has the PAYLOADS and STACKS of `e`."""
EXECUTION_SIZES = {
    **{name: size_of_payload(f"p.{name}", f"p.{name}") for name in PAYLOADS},
    **{name: size_of_text(f"p.{name}") for name in STACKS},
}
"""SQL of how large they are."""
NODE_SIZES = {name: size_of_payload(f"n.{name}_data", f"n.{name}") for name in NODE_PAYLOADS}
"""SQL of how large the NODE_PAYLOADS of `n` are."""


def _listed(values: dict[str, str]) -> str:
    return ", ".join(f"{sql} AS {name}" for name, sql in values.items())


@dataclass(frozen=True, slots=True)
class _Payloads:
    """Which payloads are read, and what of them."""

    texts: frozenset[str] = frozenset()
    """As JSON text; stacks too."""
    infos: frozenset[str] = frozenset()
    """By size, SHA-256, and whether they were cut."""
    times: int = field(default=1, compare=False)
    """How often a text is asked for at most, under whatever names."""

    @property
    def reads_payloads(self) -> bool:
        """Whether more is read than what all lists show."""
        return bool(self.texts or self.infos)

    @property
    def has_payloads(self) -> bool:
        """Whether a row may be large."""
        return bool(self.texts)

    def size_of(self, row: Any) -> int:
        """Return the characters of the large values of a row in an answer."""
        return sum(len(row[name] or "") for name in self.texts) * self.times


@dataclass(frozen=True, slots=True)
class Columns(_Payloads):
    """Which columns of executions are read, beside those of every list; payloads are PAYLOADS and STACKS."""

    with_rest: bool = True
    """Those of the row that lists seldom show."""

    @property
    def sql(self) -> str:
        """The columns, of `e` and what `joins` adds."""
        listed = _listed(LISTED_VALUES | REST_VALUES if self.with_rest else LISTED_VALUES)
        return ", ".join([*_bounded(EXECUTION_SIZES, self.texts), listed, *_payload_columns("p", self.texts, self.infos)])

    @property
    def joins(self) -> str:
        """What has to be joined to `e`."""
        return PAYLOAD if self.reads_payloads else ""


LISTED = Columns(with_rest=False)
COMPLETE = Columns()
"""All but payloads and stacks."""

_NODE_COLUMNS = ("execution_id", "position", "parent_position", "node_id", "node_name", "node_type", "started_at")
NODE_VALUES = {
    **{name: f"n.{name}" for name in _NODE_COLUMNS},
    "status": "CASE WHEN cut.short THEN 'ERROR' ELSE n.status END",
    "ended_at": "CASE WHEN cut.short THEN greatest(e.timeout_at, n.started_at) ELSE n.ended_at END",
    "error": f"CASE WHEN cut.short THEN 'TIMED_OUT: {UNFINISHED_NODE_ERROR}' ELSE n.error END",
}
"""SQL of `n`, its execution `e`, and whether that `cut` it short, by column."""
CUT = f"CROSS JOIN LATERAL (SELECT n.status = 'PENDING' AND {OVERDUE} AS short) AS cut"


@dataclass(frozen=True, slots=True)
class NodeColumns(_Payloads):
    """Which columns of nodes are read, beside those that every list of them shows; payloads are NODE_PAYLOADS."""

    @property
    def sql(self) -> str:
        """The columns, of `n`, its execution `e`, and whether that cut it short."""
        payloads = _payload_columns("n", self.texts, self.infos, "_data")
        return ", ".join([*_bounded(NODE_SIZES, self.texts), _listed(NODE_VALUES), *payloads])


NODES = f"node_execution n JOIN execution e ON e.id = n.execution_id {CUT}"
"""What NodeColumns.sql selects from."""


def _bounded(sizes: Mapping[str, str], texts: Iterable[str]) -> list[str]:
    """A column that fails before a value is read, if they are too much together."""
    chosen = [sizes[name] for name in sorted(texts)]
    return [f"{all_bytes(chosen)} AS bytes"] if chosen else []


def _payload_columns(table: str, texts: Iterable[str], infos: Iterable[str], suffix: str = "") -> list[str]:
    """The columns of payloads; those of JSON texts have a `suffix`."""
    columns = [f"{table}.{name}{suffix} AS {name}" for name in sorted(texts)]
    return columns + [f"{table}.{name}_{fact}" for name in sorted(infos) for fact in ("size", "sha256", "truncated")]


def stored_payload(row: Execution | NodeExecution, name: str) -> StoredPayload | None:
    """Return a payload of a row that was read with its infos; None when there is none."""
    values: dict[str, Any] = row  # type: ignore[assignment]  # the names that `Columns` add are not known beforehand
    sha256 = values[f"{name}_sha256"]
    if sha256 is None:
        return None
    return StoredPayload(values.get(name), values[f"{name}_size"], sha256, values[f"{name}_truncated"])


BARE_NODES = NodeColumns()
"""All but payloads."""
