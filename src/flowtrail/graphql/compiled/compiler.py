"""Writes the source of the functions for a selection and all that is selected below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson
from graphql import (
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    OperationType,
    is_abstract_type,
    is_leaf_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import collect_fields

from flowtrail.graphql.ahead import Ahead
from flowtrail.graphql.compiled import fields, introspection, writing
from flowtrail.graphql.compiled.running import Seen, each, in_turn, in_turns, kept, listed, refuse, spanned, together, written
from flowtrail.graphql.inputs import Unexpected
from flowtrail.graphql.schema import schema
from flowtrail.observability import traces

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from graphql import Executor, GraphQLField, GraphQLOutputType

    FieldDetails: TypeAlias = list[Any]
    """What graphql-core collects for a response name: the field nodes that ask for it."""

_VALUE = "<value>"
"""Stands in an expression for what it is not decided yet how to get."""


@dataclass(frozen=True, slots=True)
class _Expression:
    """Python source for a value: what reads a plain object `o`, or what awaits, and knows the run `r`."""

    text: str
    awaits: bool = False
    has_list: bool = False
    """Whether it may be of any length."""


class Compiler:
    """Compiles for one document, and for the variables that `executor` was built with, as far as conditions depend on them."""

    def __init__(self, executor: Executor[Any], always_there: Container[str] = ()) -> None:
        """`always_there` are the names of the variables that always have a value, if only null."""
        self._executor = executor
        self._always_there = always_there
        self._source = fields.Source(
            Unexpected=Unexpected, seen=Seen, each=each, in_turn=in_turn, in_turns=in_turns, kept=kept, listed=listed,
            refuse=refuse, spanned=spanned, together=together, written=written,
        )  # fmt: skip
        self._is_one_by_one = True
        self._answers: dict[str, bytes] = {}
        self._written: dict[tuple[int, ...], bool] = {}
        """Whether PostgreSQL writes the values of fields, by their nodes' identities."""

    def operation(self) -> Callable[[Any, Any], Any]:
        """Return the coroutine function of the whole operation, which takes the root value and a Run; raises Unexpected.

        It says whether its resolvers run one by one (loader.py), and what it answers to introspection.
        """
        executor = self._executor
        operation = executor.operation
        root = schema.graphql_schema.get_root_type(operation.operation)
        assert root is not None  # noqa: S101 (the document is valid)
        collected = collect_fields(schema.graphql_schema, executor.fragments, executor.variable_values, root, operation)
        name = self._function(root, self._grouped(collected), None, operation.operation)
        if not self._awaits(name):
            whole = self._source.named("whole")
            self._source.add(whole, f"async def {whole}(o, r): return {name}(o)")
            name = whole
        function = self._source.run(name)
        function.is_one_by_one, function.answers = self._is_one_by_one, self._answers
        return function  # type: ignore[no-any-return]

    def reader(self, type_: GraphQLObjectType, details_list: FieldDetails) -> Callable[[Any], dict[str, Any]] | None:
        """Return the function that completes objects of a type; None when that takes more than reading them."""
        name = self._object(type_, details_list)
        return None if self._awaits(name) else self._source.run(name)

    def _object(self, type_: GraphQLObjectType, details_list: FieldDetails, *, must_await: bool = False) -> str:
        """Write the function for a selection on objects of a type, and return its name."""
        definition: Any = type_.extensions.get("strawberry-definition")
        if definition is None:
            raise Unexpected
        return self._function(type_, self._below(type_, details_list), definition.origin, must_await=must_await)

    def _below(self, type_: GraphQLObjectType, details_list: FieldDetails) -> dict[str, FieldDetails]:
        """Return what is selected of objects of a type."""
        if any(details.defer_usage or details.fragment_variable_values for details in details_list):
            raise Unexpected
        return self._grouped(self._executor.collect_subfields(type_, details_list))

    def _grouped(self, collected: Any) -> dict[str, FieldDetails]:
        grouped, defer_usages, _ = collected
        if defer_usages:
            raise Unexpected
        return grouped  # type: ignore[no-any-return]

    def _function(
        self,
        type_: GraphQLObjectType,
        grouped: dict[str, FieldDetails],
        class_: type | None,
        root: OperationType | None = None,
        *,
        must_await: bool = False,
    ) -> str:
        source = self._source
        found = {name: self._field(type_, name, details_list, root) for name, details_list in grouped.items()}
        awaiting = [name for name, expression in found.items() if expression.awaits]
        awaits, values, lines = bool(awaiting) or must_await, {name: entry.text for name, entry in found.items()}, []
        if class_ is not None:
            lines.append(f" if o.__class__ is not {source.named('Class', class_)}: raise Unexpected")
        if len(awaiting) > 1 and root is not OperationType.MUTATION:
            parts = {name: source.named("field") for name in awaiting}
            for name, part in parts.items():
                source.add(part, f"async def {part}(o, r): return {values[name]}")
                values[name] = f"{part}_value"
            self._is_one_by_one = False
            works = ", ".join(f"{part}(o, r)" for part in parts.values())
            lines.append(f" {', '.join(values[name] for name in awaiting)} = await together({works})")
        function = source.named("awaited" if awaits else "read", any(entry.has_list for entry in found.values()))
        source.add(
            function,
            f"async def {function}(o, r):" if awaits else f"def {function}(o):",
            *lines,
            f" return {{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}}",
        )
        return function

    def _field(
        self, parent: GraphQLObjectType, response_name: str, details_list: FieldDetails, root: OperationType | None
    ) -> _Expression:
        """Return the expression for a field of `o`."""
        node = details_list[0].node
        if node.name.value == "__typename":
            return _Expression(repr(parent.name))
        field = parent.fields.get(node.name.value)
        if field is None:
            return self._introspected(parent, response_name, details_list)
        definition = _definition(field)
        if self._is_written(details_list):
            return _Expression("written(o)")
        if root is OperationType.SUBSCRIPTION:  # its events come whole
            return self._completed(field.type, "o", details_list)
        resolver = definition.base_resolver
        if resolver is None:
            return self._completed(field.type, f"o.{definition.python_name}", details_list)
        if (column := getattr(resolver.wrapped_func, "column", None)) is not None:
            return self._completed(field.type, f"o.row[{column!r}]", details_list, is_column=True)
        seen = self._seen(field.type, details_list) if resolver.info_parameter else ""
        text = fields.call(self._source, field, definition, node, seen, self._always_there)
        if root is not None and traces.is_on():
            text = f"spanned({f'{parent.name}.{node.name.value}'!r}, {text})"
        if root is OperationType.MUTATION:
            text = f"kept(r, {response_name!r}, {text})"
        if resolver.is_async:
            return self._awaited(field.type, text, details_list)
        completed = self._completed(field.type, text, details_list)
        takes_run = bool(resolver.info_parameter or field.args)
        return _Expression(completed.text, completed.awaits or takes_run, completed.has_list)

    def _introspected(self, root: GraphQLObjectType, response_name: str, details_list: FieldDetails) -> _Expression:
        """Return the expression for the answer to a question about the schema."""
        answer = introspection.answer(self._executor, root, response_name, details_list)
        self._answers[response_name] = answer
        return _Expression(self._source.named("answer", orjson.Fragment(answer)))

    def _seen(self, type_: GraphQLOutputType, details_list: FieldDetails) -> str:
        """Return the expression for the info of a resolver that returns this type, and choose what PostgreSQL writes of it."""
        conditions = {name: value for name, value in self._executor.variable_values.coerced.items() if isinstance(value, bool)}
        ahead = Ahead.of([details.node for details in details_list], self._executor.fragment_definitions, conditions)
        ahead.written, places = writing.choose(self._below, type_, details_list)
        for place in map(_identities, places):
            if self._written.setdefault(place, ahead.written is not None) is not (ahead.written is not None):
                raise Unexpected  # a fragment that is used for one of both
        return f"seen(r.context, {self._source.named('ahead', ahead)})"

    def _is_written(self, details_list: FieldDetails) -> bool:
        return self._written.get(_identities(details_list), False)

    def _awaited(self, type_: GraphQLOutputType, work: str, details_list: FieldDetails) -> _Expression:
        """Return the expression that completes what the expression `work` has to be awaited for."""
        completed = self._completed(type_, _VALUE, details_list)
        if completed.awaits or not completed.has_list:
            return _Expression(completed.text.replace(_VALUE, f"await {work}"), awaits=True, has_list=completed.has_list)
        function = self._source.named("of_value")
        self._source.add(function, f"def {function}(value): return {completed.text.replace(_VALUE, 'value')}")
        return _Expression(f"await in_turn({function}, {work}, r)", awaits=True, has_list=True)

    def _completed(
        self, type_: GraphQLOutputType, value: str, details_list: FieldDetails, *, is_column: bool = False
    ) -> _Expression:
        """Return the expression that completes what the expression `value` is: a field's value, or a column's."""
        v = self._source.named("v")
        inner: Any = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        given = _Expression(fields.text(self._source, inner, v)) if is_column else self._given(inner, v, details_list)
        if is_non_null_type(type_):
            text = f"({given.text} if ({v} := {value}) is not None else refuse())"
        else:
            text = f"(None if ({v} := {value}) is None else {given.text})"
        return _Expression(text, given.awaits, given.has_list)

    def _given(self, type_: Any, v: str, details_list: FieldDetails) -> _Expression:
        """Return the expression that completes what is in the variable `v`, which is not None."""
        if is_leaf_type(type_):
            return _Expression(fields.leaf(self._source, type_, v))
        if is_object_type(type_):
            if self._is_written(details_list):
                return _Expression(f"written({v})")
            return self._calling(self._object(type_, details_list), v)
        if isinstance(type_, GraphQLList):
            return self._list(type_.of_type, v, details_list)
        if not is_abstract_type(type_):
            raise Unexpected
        functions = {
            possible.extensions["strawberry-definition"].origin: self._object(possible, details_list, must_await=True)
            for possible in schema.graphql_schema.get_possible_types(type_)
        }
        classes = ", ".join(f"{self._source.named('Class', class_)}: {name}" for class_, name in functions.items())
        return _Expression(f"await {{{classes}}}[{v}.__class__]({v}, r)", awaits=True, has_list=True)

    def _list(self, type_: GraphQLOutputType, v: str, details_list: FieldDetails) -> _Expression:
        item = self._source.named("item")
        completed = self._completed(type_, item, details_list)
        if not completed.awaits and not completed.has_list:
            return _Expression(f"[{completed.text} for {item} in listed({v})]", has_list=True)
        function = self._source.named("of_item")
        if completed.awaits:
            self._is_one_by_one = False
            self._source.add(function, f"async def {function}({item}, r): return {completed.text}")
            return _Expression(f"await each({function}, {v}, r)", awaits=True, has_list=True)
        self._source.add(function, f"def {function}({item}): return {completed.text}")
        return _Expression(f"await in_turns({function}, {v}, r)", awaits=True, has_list=True)

    def _calling(self, function: str, v: str) -> _Expression:
        has_list = self._source.names[function]
        if self._awaits(function):
            return _Expression(f"await {function}({v}, r)", awaits=True, has_list=has_list)
        return _Expression(f"{function}({v})", has_list=has_list)

    @staticmethod
    def _awaits(function: str) -> bool:
        return function.startswith("awaited")


def _definition(field: GraphQLField) -> Any:
    definition: Any = field.extensions.get("strawberry-definition")
    if definition is None or definition.permission_classes or definition.extensions:
        raise Unexpected
    return definition


def _identities(details_list: FieldDetails) -> tuple[int, ...]:
    return tuple(id(details.node) for details in details_list)
