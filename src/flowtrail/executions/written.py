"""Rows that PostgreSQL writes as JSON itself: what a document selects of one, as one text (docs/decisions/written-rows.md).

What a schema calls non-null is NOT NULL in its table too, or has something else to stand for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

from flowtrail.executions.large import MOST_BYTES, all_bytes
from flowtrail.executions.rows import (
    CUT,
    EXECUTION_SIZES,
    LISTED_VALUES,
    NODE_PAYLOADS,
    NODE_SIZES,
    NODE_VALUES,
    PAYLOAD,
    PAYLOADS,
    REST_VALUES,
    STACKS,
    Execution,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


class Form(Enum):
    """How a column's value is written; the text is the SQL, of the value `{0}`."""

    TEXT = "to_json({0})::text"
    NAME = "'\"' || {0} || '\"'"
    """Text that needs no escape."""
    NUMBER = "({0})::text"
    BOOLEAN = "CASE WHEN {0} THEN 'true' ELSE 'false' END"
    TIME = """'"' || to_char({0} AT TIME ZONE INTERVAL '0', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"'"""
    JSON = "{0}::text"


@dataclass(frozen=True, slots=True)
class Constant:
    """What is the same in every row."""

    json: str


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column's value; `otherwise` is the JSON for one that is null, None where there is none."""

    column: str
    form: Form
    otherwise: str | None = None


@dataclass(frozen=True, slots=True)
class Object:
    """An object of a row's values by response name; null unless one of the columns `present` has a value."""

    members: tuple[tuple[str, Member], ...]
    present: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of an execution."""

    each: Object


Member: TypeAlias = "Constant | Leaf | Object | Nodes"

LARGE_COLUMNS = frozenset((*EXECUTION_SIZES, *NODE_SIZES))
_MOST_ARGUMENTS = 100
"""Of a function of PostgreSQL."""
_GLOBAL_ID = "translate(encode(convert_to({}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"
_PAYLOADS = {*PAYLOADS, *STACKS}
# Microseconds are whole, so this is the nearest double to the exact quotient; extract() would do it with numerics.
_DURATION = "round(date_part('epoch', ({}) - {}) * 1e6) / 1e3"
_EXECUTION = {
    **LISTED_VALUES,
    **REST_VALUES,
    **{name: f"p.{name}" for name in _PAYLOADS},
    "initial_params": "coalesce(p.initial_params, 'null')",
    "error_message": f"coalesce({LISTED_VALUES['error_message']}, '')",
    "late_error_message": "coalesce(e.late_error_message, '')",
    "duration_ms": _DURATION.format(LISTED_VALUES["ended_at"], "e.started_at"),
    "global_id": _GLOBAL_ID.format("'Execution:' || e.id"),
    "cursor": "'01' || encode(timestamptz_send(e.started_at) || uuid_send(e.id), 'hex')",
}
_NODE = {
    **NODE_VALUES,
    **{name: f"n.{name}_data" for name in NODE_PAYLOADS},
    "duration_ms": _DURATION.format(NODE_VALUES["ended_at"], "n.started_at"),
    "global_id": _GLOBAL_ID.format("'NodeExecution:' || n.execution_id || ':' || n.position"),
}


@dataclass(frozen=True, slots=True)
class Written:
    """Executions as JSON: stands where `Columns` may. Rows have `id`, `server` and `text`."""

    text: str
    """SQL of `e` and what `joins` adds."""
    joins: str
    sizes: tuple[str, ...] = field(compare=False)
    """SQL of how large the large values of `e` are."""

    @classmethod
    def of(cls, selected: Object) -> Written:
        """Return what writes an object for each execution."""
        columns = set(_columns(selected))
        joins = PAYLOAD if columns & _PAYLOADS else ""
        return cls(_object(selected, _EXECUTION), joins, tuple(_sizes(columns)))

    @property
    def has_payloads(self) -> bool:
        """Whether a row may be large."""
        return bool(self.sizes)

    @property
    def sql(self) -> str:
        """What is selected of single executions."""
        bounded = f"{all_bytes(self.sizes)} AS bytes, " if self.sizes else ""
        return f"{bounded}e.id, e.server, {in_bytes(self.text)} AS text"

    def size_of(self, row: Execution) -> int:
        """Return the bytes of a row, if it may be large."""
        return len(row["text"]) if self.sizes else 0


def in_bytes(text: str) -> str:
    """SQL of a text as it goes out: it is never decoded."""
    return f"convert_to({text}, 'UTF8')"


def _sizes(columns: Collection[str]) -> Iterator[str]:
    yield from (size for name, size in sorted(EXECUTION_SIZES.items()) if name in columns)
    of_nodes = [size for name, size in sorted(NODE_SIZES.items()) if name in columns]
    if of_nodes:
        total = f"least(coalesce(sum({' + '.join(of_nodes)}), 0), {MOST_BYTES + 1})::integer"
        yield f"(SELECT {total} FROM node_execution n WHERE n.execution_id = e.id)"


def _columns(member: Member) -> Iterator[str]:
    match member:
        case Leaf():
            yield member.column
        case Object():
            yield from member.present
            for _, inner in member.members:
                yield from _columns(inner)
        case Nodes():
            yield from _columns(member.each)


def _object(selected: Object, values: Mapping[str, str]) -> str:
    pieces: list[str] = []
    constant, comma = "{", ""
    for name, member in selected.members:
        constant += f'{comma}"{name}":'
        comma = ","
        if isinstance(member, Constant):
            constant += member.json
        else:
            pieces += [f"'{constant}'", _member(member, values)]
            constant = ""
    text = _joined([*pieces, f"'{constant}}}'"])
    if not selected.present:
        return text
    is_absent = " AND ".join(f"({values[column]}) IS NULL" for column in selected.present)
    return f"CASE WHEN {is_absent} THEN 'null' ELSE {text} END"


def _joined(pieces: Sequence[str]) -> str:
    """SQL of texts in a row. Every `||` would copy all that comes before it, and keep the copies as long as the row."""
    if len(pieces) > _MOST_ARGUMENTS:
        halves = pieces[: len(pieces) // 2], pieces[len(pieces) // 2 :]
        return f"concat({', '.join(map(_joined, halves))})"
    return f"concat({', '.join(pieces)})"


def _member(member: Leaf | Object | Nodes, values: Mapping[str, str]) -> str:
    match member:
        case Leaf():
            text = member.form.value.format(values[member.column])
            return f"({text})" if member.otherwise is None else f"coalesce({text}, '{member.otherwise}')"
        case Object():
            return f"({_object(member, values)})"
        case Nodes():
            return f"""(SELECT '[' || coalesce(string_agg({_object(member.each, _NODE)}, ',' ORDER BY n.position), '') || ']'
                        FROM node_execution n {CUT} WHERE n.execution_id = e.id)"""
