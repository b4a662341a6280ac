"""What a document may ask for at most: one walk before validation, linear in the document, the same for every transport.

Each fragment is walked once and its measures are added up wherever it is spread, so that fragments inside fragments cost no more
than they are long. Validation and execution, which are not linear, see only documents that passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from flowtrail.errors import LimitExceeded
from flowtrail.pagination import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CHARACTERS = 100_000
"""Of a document, comments and strings included."""
MAX_TOKENS = 2_000
"""Names, punctuators and values; counted by the parser, which stops there."""
MAX_ERRORS = 20
"""After which a document is not validated any further."""
MAX_VARIABLE_VALUES = 10_000
"""Values inside the variables of whoever may not record: coercing each takes time."""
MAX_DEPTH = 20
MAX_FIELDS = 1_000
"""Fields, those of fragments counted wherever they are spread."""
MAX_ALIASES = 100
MAX_DIRECTIVES = 100
MAX_SPREADS = 100
"""Fragment spreads as they are written; validation compares each pair of fragments that meet."""
MAX_REPEATED = 100
"""Fields that a selection asks for again under the same name; validation compares each pair of them."""
MAX_ROOT_FIELDS = 20
MAX_INTROSPECTIONS = 5
"""Fields that ask for the schema: the answer to one takes up to 25 ms, whatever the document's size."""
MAX_OPERATIONS = 20
MAX_ROWS = 10_000
"""Rows that the pages and lists of a document may hold when all are full."""

CONNECTION_ROWS = 200
"""Rows that take about as long as one more connection, which has statements of its own."""

_PAGES = {"executions", "flows", "children"}
_LISTS = {"nodeExecutions": 20, "topErrors": 10, "histogram": 60}
"""Lists without a page size, by how long they usually are at most."""


class _EveryVariable(dict[str, int]):
    """Variables of which every one is the same number."""

    def __init__(self, size: int) -> None:
        self._size = size

    def get(self, name: str, default: Any = None) -> int:
        return self._size


_SMALLEST_PAGES = _EveryVariable(0)
_LARGEST_PAGES = _EveryVariable(MAX_PAGE_SIZE)


@dataclass(slots=True)
class _Measure:
    """What one selection set asks for, everything below it included."""

    depth: int = 0
    own: int = 0
    """Fields at its top, those of fragments spread there included."""
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    introspections: int = 0
    connections: int = 0
    """Pages and statistics, each as often as it is written: those of many flows are read together."""
    rows: int = 0

    def add(self, other: _Measure) -> None:
        self.depth = max(self.depth, other.depth)
        self.own += other.own
        self.fields += other.fields
        self.aliases += other.aliases
        self.directives += other.directives
        self.introspections += other.introspections
        self.connections += other.connections
        self.rows += other.rows


def check(document: DocumentNode, variables: Mapping[str, Any]) -> int:
    """Return how much a document weighs by its heaviest operation: the rows that may hold, and CONNECTION_ROWS for each connection.

    Raises LimitExceeded, saying what was counted, the limit, and in which operation.
    """
    weight = 0
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    _compare(len(operations), MAX_OPERATIONS, "operations", "the document")
    walk = _Walk(document, variables)
    walk.measure_fragments()
    for operation in operations:
        where = f"operation {operation.name.value}" if operation.name else "the operation"
        measure = walk.selections(operation.selection_set)
        _compare(measure.own, MAX_ROOT_FIELDS, "root fields", where)
        _compare(measure.depth, MAX_DEPTH, "levels of nesting", where)
        _compare(measure.fields, MAX_FIELDS, "fields, with those of fragments", where)
        _compare(measure.aliases, MAX_ALIASES, "aliases", where)
        _compare(measure.directives + len(operation.directives or ()), MAX_DIRECTIVES, "directives", where)
        _compare(measure.introspections, MAX_INTROSPECTIONS, "fields of introspection", where)
        _compare(measure.rows, MAX_ROWS, "rows when all its pages and lists are full", where)
        weight = max(weight, measure.rows + CONNECTION_ROWS * measure.connections)
    _compare(walk.spreads, MAX_SPREADS, "fragment spreads", "the document")
    _compare(walk.repeated, MAX_REPEATED, "repeated fields", "the document")
    return weight


def weights(document: DocumentNode) -> tuple[int, int | None]:
    """Return how much a document weighs at least and at most, whatever its variables are; None when it may be over the limits.

    Raises LimitExceeded when it keeps the limits with no variables, not even with those that ask for the smallest pages.
    """
    least = check(document, _SMALLEST_PAGES)
    try:
        return least, check(document, _LARGEST_PAGES)
    except LimitExceeded:
        return least, None


def check_variables(variables: Mapping[str, Any] | None) -> None:
    """Raise LimitExceeded when there are more values in the variables than a reader has use for."""
    values: list[Any] = list((variables or {}).values())
    counted = len(values)
    while values:
        value = values.pop()
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            counted += len(value)
            if counted > MAX_VARIABLE_VALUES:
                raise LimitExceeded(f"variables: hold more than {MAX_VARIABLE_VALUES} values")
            values += value


def _compare(counted: int, limit: int, what: str, where: str) -> None:
    if counted > limit:
        raise LimitExceeded(f"query: {where} has {counted} {what}; at most {limit} are answered")


class _Walk:
    """Measures selection sets, each fragment once."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        self._measured: dict[str, _Measure] = {}
        self.spreads = 0
        self.repeated = 0

    def measure_fragments(self) -> None:
        """Measure every fragment, those too that no operation spreads: validation looks at them all."""
        for name in self._fragments:
            self._fragment(name)

    def selections(self, node: SelectionSetNode | None, names: set[str] | None = None) -> _Measure:
        """Measure a selection set; `names` are those of the fields beside an inline fragment, which count as its own."""
        total, names = _Measure(), set() if names is None else names
        for selection in node.selections if node else ():
            total.directives += len(selection.directives or ())
            match selection:
                case FieldNode():
                    total.add(self._field(selection))
                    name = (selection.alias or selection.name).value
                    self.repeated += name in names
                    names.add(name)
                case InlineFragmentNode():
                    total.add(self.selections(selection.selection_set, names))
                case FragmentSpreadNode():
                    self.spreads += 1
                    total.add(self._fragment(selection.name.value))
        return total

    def _field(self, node: FieldNode) -> _Measure:
        inner = self.selections(node.selection_set)
        name, rows = node.name.value, 0
        if name in _PAGES:
            rows = self._page_size(node)
        elif name in _LISTS:
            rows = _LISTS[name]
        return _Measure(
            depth=inner.depth + 1,
            fields=inner.fields + 1,
            own=1,
            aliases=inner.aliases + (node.alias is not None),
            directives=inner.directives,
            introspections=inner.introspections + (name in ("__schema", "__type")),
            connections=inner.connections + (name in _PAGES or name == "statistics"),
            rows=rows + max(rows, 1) * inner.rows,
        )

    def _fragment(self, name: str) -> _Measure:
        if name not in self._measured:
            self._measured[name] = _Measure()  # a fragment inside itself: validation refuses it
            fragment = self._fragments.get(name)
            if fragment is not None:
                measure = self.selections(fragment.selection_set)
                measure.directives += len(fragment.directives or ())
                self._measured[name] = measure
        return self._measured[name]

    def _page_size(self, node: FieldNode) -> int:
        sizes = [self._size(argument.value) for argument in node.arguments or () if argument.name.value in ("first", "last")]
        return max(sizes, default=DEFAULT_PAGE_SIZE)

    def _size(self, value: Any) -> int:
        """The rows of a page; as many as there may be at most where the document does not tell."""
        size: Any = None
        if isinstance(value, IntValueNode) and len(value.value) < 10:
            size = int(value.value)
        elif isinstance(value, VariableNode):
            given = self._variables.get(value.name.value)
            size = DEFAULT_PAGE_SIZE if given is None else given
        return size if isinstance(size, int) and 0 <= size <= MAX_PAGE_SIZE else MAX_PAGE_SIZE
