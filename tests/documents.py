"""Documents by chance: valid selections of the real schema, with fragments, aliases, and directives that variables decide."""

import random
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLUnionType,
    get_named_type,
    is_composite_type,
    is_leaf_type,
)

from flowtrail.graphql.schema import schema

ARGUMENTS: dict[str, list[str]] = {
    "Query.executions": [
        "", "(first: 3)", "(last: 2)", "(first: 0)", "(first: 2, filter: {status: [ERROR]})", '(after: "no cursor")', "(first: -1)",
        "(filter: {isPreview: true})", "(first: 2, filter: {errorKind: [TIMED_OUT, EXCEPTION]})",
    ],
    "Query.flows": ["", "(first: 1)", "(last: 1)", '(before: "no cursor")'],
    "Query.flow": ['(by: {tool: {server: "orders", toolName: "ship"}})', '(by: {tool: {server: "no", toolName: "no"}})'],
    "Query.execution": [
        '(by: {uuid: "%(execution)s"})', '(by: {id: "no id"})', '(by: {uuid: "00000000-0000-0000-0000-000000000000"})',
    ],
    "Query.node": ['(id: "%(id)s")', '(id: "%(flow)s")', '(id: "%(node)s")', '(id: "no id")'],
    "Flow.executions": ["", "(first: 2)", "(last: 1)", "(first: 101)"],
    "Execution.children": ["", "(first: 1)", "(first: 1000)"],
    "Flow.statistics": ['(timeRange: {from: "2020-01-01T00:00:00Z", to: "2040-01-01T00:00:00Z"})',
                        '(timeRange: {from: "2030-01-01T00:00:00Z", to: "2020-01-01T00:00:00Z"})'],
    "FlowStatistics.topErrors": ["", "(first: 1)", "(first: -1)"],
}  # fmt: skip
"""What a field is asked with: most of it is answered, some refused."""
CHANGING = {"Recorder.lastSeenAt", "Recorder.clockSkewMs", "ExecutionConnection.changeCursor"}
"""Fields whose values time alone changes, or what others do meanwhile."""


@dataclass
class Generator:
    """Makes documents from a seed; `ids` fills the placeholders of ARGUMENTS."""

    seed: int
    ids: dict[str, str]
    depth: int = 6
    skipped: dict[str, set[str]] = field(default_factory=dict)
    """By type: fields not to ask for."""
    fragments: list[str] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self._choose = random.Random(self.seed)

    def document(self) -> tuple[str, dict[str, Any]]:
        """Return a query and its variables."""
        query = schema.graphql_schema.query_type
        assert query is not None
        selection = self._selection(query, self.depth, most=2)
        variables = {"yes": True, "no": False, "maybe": self._choose.random() < 0.5}
        head = "query ($yes: Boolean!, $no: Boolean!, $maybe: Boolean!) { ...Uses "
        return " ".join([head, selection[1:], *self.fragments, _USES]), variables

    def selection(self, type_: GraphQLObjectType) -> str:
        """Return a selection set of one type."""
        return self._selection(type_, self.depth)

    def _selection(self, type_: GraphQLNamedType, depth: int, most: int = 7) -> str:
        parts = [self._part(type_, depth) for _ in range(self._choose.randint(1, most))]
        return "{ " + " ".join(part for part in parts if part) + " }"

    def _part(self, type_: GraphQLNamedType, depth: int) -> str:
        chance = self._choose.random()
        if chance < 0.1:
            return f"{self._alias()}__typename{self._directive()}"
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType) or chance < 0.2:
            return self._fragment(type_, depth)
        return self._field(type_, depth)

    def _fragment(self, type_: GraphQLNamedType, depth: int) -> str:
        on: GraphQLNamedType = type_
        if isinstance(type_, GraphQLUnionType | GraphQLInterfaceType):
            on = self._choose.choice([*schema.graphql_schema.get_possible_types(type_)])
        inner = self._selection(on, depth, most=4)
        if self._choose.random() < 0.5:
            return f"... on {on.name}{self._directive()} {inner}"
        self._number += 1
        self.fragments.append(f"fragment F{self._number} on {on.name} {inner}")
        return f"...F{self._number}{self._directive()}"

    def _field(self, type_: GraphQLNamedType, depth: int) -> str:
        assert isinstance(type_, GraphQLObjectType)
        skipped = self.skipped.get(type_.name, set())
        fields = [
            (name, definition)
            for name, definition in type_.fields.items()
            if f"{type_.name}.{name}" not in CHANGING
            and name not in skipped
            and (depth > 0 or is_leaf_type(get_named_type(definition.type)))
        ]
        if not fields:
            return f"{self._alias()}__typename"
        name, definition = self._choose.choice(fields)
        named = get_named_type(definition.type)
        arguments = self._choose.choice(ARGUMENTS.get(f"{type_.name}.{name}", [""])) % self.ids
        inner = self._selection(named, depth - 1) if is_composite_type(named) else ""
        return f"{self._alias(always=bool(inner or arguments))}{name}{arguments}{self._directive()} {inner}"

    def _alias(self, *, always: bool = False) -> str:
        if not always and self._choose.random() < 0.7:
            return ""
        self._number += 1
        return f"a{self._number}: "

    def _directive(self) -> str:
        if self._choose.random() < 0.85:
            return ""
        condition = self._choose.choice(("$yes", "$no", "$maybe", "true", "false"))
        return f" @{self._choose.choice(('skip', 'include'))}(if: {condition})"


_USES = "fragment Uses on Query { y: __typename @include(if: $yes) n: __typename @skip(if: $no) m: __typename @skip(if: $maybe) }"
"""Every variable must be used somewhere."""
