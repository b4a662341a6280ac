"""Selections that PostgreSQL writes itself: nothing is read of their rows here (docs/decisions/written-rows.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from graphql import GraphQLEnumType, GraphQLNonNull, GraphQLObjectType, get_named_type

from flowtrail.executions import LARGE_COLUMNS, Constant, Form, Leaf, Nodes, Object, Written
from flowtrail.graphql.columns import Composed, SameRow
from flowtrail.graphql.inputs import Unexpected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import GraphQLOutputType

    FieldDetails: TypeAlias = list[Any]
    Below: TypeAlias = "Callable[[GraphQLObjectType, FieldDetails], dict[str, FieldDetails]]"
    Member: TypeAlias = Constant | Leaf | Object | Nodes

_MOST_LEAVES = 60
"""More than anybody shows of a row. The plan of a statement, which PostgreSQL keeps for each connection, grows with them."""
_FORMS = {
    "String": Form.TEXT,
    "ID": Form.NAME,
    "UUID": Form.NAME,
    "Int": Form.NUMBER,
    "Float": Form.NUMBER,
    "Boolean": Form.BOOLEAN,
    "DateTime": Form.TIME,
    "JSON": Form.JSON,
}


def choose(below: Below, type_: GraphQLOutputType, details_list: FieldDetails) -> tuple[Written | None, list[FieldDetails]]:
    """Return what PostgreSQL shall write of what a field of this type returns, and for which fields that could stand: this one, or
    lists below it. None where it takes more than rows. `below` returns a selection's fields by response name.
    """
    returned: Any = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    definition: Any = returned.extensions.get("strawberry-definition") if isinstance(returned, GraphQLObjectType) else None
    name = getattr(definition.origin, "written_field", None) if definition else None
    if name is None:
        return None, []
    if not name:
        return _written(below, returned, details_list), [details_list]
    lists = [found for found in below(returned, details_list).values() if found[0].node.name.value == name]
    written = _written(below, get_named_type(returned.fields[name].type), lists[0]) if len(lists) == 1 else None
    # A list of payloads may be larger than a text should be.
    return (None if written is None or written.has_payloads else written), lists


def _written(below: Below, type_: Any, details_list: FieldDetails) -> Written | None:
    try:
        return Written.of(_Writer(below).object(type_, details_list))
    except Unexpected:
        return None


class _Writer:
    def __init__(self, below: Below) -> None:
        self._below = below
        self._leaves = 0
        self._large: set[str] = set()

    def object(
        self,
        type_: GraphQLObjectType,
        details_list: FieldDetails,
        present: tuple[str, ...] = (),
        columns: Mapping[str, str] | None = None,
    ) -> Object:
        """Return what is selected of an object; `columns` has the column of each Python name, where fields have no resolver."""
        fields = self._below(type_, details_list)
        return Object(tuple((name, self._member(type_, details, columns)) for name, details in fields.items()), present)

    def _member(self, parent: GraphQLObjectType, details_list: FieldDetails, columns: Mapping[str, str] | None) -> Member:
        name = details_list[0].node.name.value
        if name == "__typename":
            self._count()
            return Constant(f'"{parent.name}"')
        field = parent.fields[name]
        definition: Any = field.extensions["strawberry-definition"]
        type_: Any = get_named_type(field.type)
        if definition.base_resolver is None:
            if columns is not None:
                return self._leaf(field.type, columns[definition.python_name])
            return self.object(type_, details_list)  # an edge's node
        resolver = definition.base_resolver.wrapped_func
        match getattr(resolver, "written", None):
            case Composed() as found:
                return self.object(type_, details_list, found.present, found.columns)
            case SameRow() as found:
                return self.object(type_, details_list, (found.present,))
            case str() as found:
                return self._leaf(field.type, found)
            case found if found is Nodes:
                self._once("nodes")
                return Nodes(self.object(type_, details_list))
            case _:
                raise Unexpected

    def _leaf(self, type_: GraphQLOutputType, column: str) -> Leaf:
        self._count()
        if column in LARGE_COLUMNS:
            self._once(column)
        named = get_named_type(type_)
        form = Form.NAME if isinstance(named, GraphQLEnumType) else _FORMS[named.name]
        return Leaf(column, form, None if isinstance(type_, GraphQLNonNull) else "null")

    def _count(self) -> None:
        self._leaves += 1
        if self._leaves > _MOST_LEAVES:
            raise Unexpected

    def _once(self, large: str) -> None:
        """What is large is written once; a document may ask for it under a hundred names."""
        if large in self._large:
            raise Unexpected
        self._large.add(large)
