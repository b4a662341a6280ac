"""Expressions for what a field is given and what it returns: its arguments, and leaves."""

from __future__ import annotations

import inspect
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    VariableNode,
    value_from_ast_untyped,
)
from strawberry.types.base import StrawberryMaybe

from flowtrail.graphql.inputs import AS_IT_IS, Unexpected, converter

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from graphql import FieldNode, GraphQLArgument, GraphQLField, GraphQLLeafType, ObjectFieldNode, ValueNode
    from strawberry.types.field import StrawberryField

_NAME = re.compile(r"\b[a-z_]+\d+\b")
_UTC_TIME = "{v}.__class__ is datetime and {v}.tzinfo is UTC and {v}.microsecond"
"""When a time `v` is formatted with the response (response.py)."""


class Source:
    """Source text of functions that call each other, and names for the values that they use.

    A function comes after those that it calls, and only they hold it: what is compiled of a document that is forgotten goes at
    once, rather than when the garbage collector has looked at all documents.
    """

    def __init__(self, **names: Any) -> None:
        self.names = {"UTC": UTC, "datetime": datetime, **names}
        self._texts: dict[str, str] = {}
        """By the functions' names."""

    def named(self, kind: str, value: Any = None) -> str:
        """Return a name that is free, for `value` if there is one."""
        name = f"{kind}{len(self.names)}"
        self.names[name] = value
        return name

    def add(self, name: str, *lines: str) -> None:
        """Append the function of a name."""
        self._texts[name] = "\n ".join(lines)

    def run(self, name: str) -> Any:
        """Execute all of it, and return what it calls `name`: one function after the other, as nobody else runs meanwhile."""
        functions: dict[str, Any] = {}
        for each, text in self._texts.items():
            called = [other for other in dict.fromkeys(_NAME.findall(text)) if other in functions]
            made = f"def make({', '.join(called)}):\n {text}\n return {each}"
            exec(made, self.names)  # noqa: S102 (of names in the schema, and strings that are response names)
            functions[each] = self.names.pop("make")(*(functions[other] for other in called))
        return functions[name]


def leaf(source: Source, type_: GraphQLLeafType, v: str) -> str:
    """Return the expression for a leaf's value in the variable `v`, which is not None."""
    if isinstance(type_, GraphQLEnumType):
        members: Any = getattr(type_, "wrapped_cls", ())
        return f"{source.named('names', {member: type_.coerce_output_value(member) for member in members})}[{v}]"
    complete = f"{source.named('leaf', _completing(type_))}({v})"
    if type_.name == "JSON":
        return f"({source.named('Fragment', orjson.Fragment)}({v}) if {v}.__class__ is str else {complete})"
    if type_.name == "UUID":
        return f"(str({v}) if isinstance({v}, {source.named('UUID', uuid.UUID)}) else {complete})"
    as_it_is = _UTC_TIME if type_.name == "DateTime" else AS_IT_IS.get(type_.name)
    return f"({v} if {as_it_is.format(v=v)} else {complete})" if as_it_is else complete


def text(source: Source, type_: GraphQLLeafType, v: str) -> str:
    """Return the expression for a column's value in the variable `v`, which is not None: enums are their names' text there."""
    if isinstance(type_, GraphQLEnumType):
        members: Any = getattr(type_, "wrapped_cls", ())
        return f"{source.named('names', {member.value: type_.coerce_output_value(member) for member in members})}[{v}]"
    return leaf(source, type_, v)


def _completing(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    coerce = type_.coerce_output_value

    def complete(value: Any) -> Any:
        if isinstance(value, Exception):
            raise Unexpected
        coerced = coerce(value)
        if coerced is None or coerced is Undefined:
            raise Unexpected
        return coerced

    return complete


def call(
    source: Source, field: GraphQLField, definition: StrawberryField, node: FieldNode, seen: str, always_there: Container[str]
) -> str:
    """Return the expression that calls the resolver of a field of `o`.

    `seen` is the expression of its info, `always_there` are the variables that no request can leave out. Raises Unexpected for
    what can't be written.
    """
    resolver = definition.base_resolver
    assert resolver is not None  # noqa: S101 (others only read an attribute)
    if resolver.root_parameter or resolver.parent_parameter:
        raise Unexpected
    parts = ["o"] if resolver.self_parameter else []
    if resolver.info_parameter:
        parts.append(f"{resolver.info_parameter.name}={seen}")
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    function: Any = resolver.wrapped_func
    defaults = inspect.signature(function).parameters
    for name, argument in field.args.items():
        python_name = argument.extensions["strawberry-definition"].python_name
        parts += _argument(source, argument, python_name, given.get(name), defaults[python_name].default, always_there)
    return f"{source.named('method', function)}({', '.join(parts)})"


def _argument(
    source: Source, argument: GraphQLArgument, name: str, node: ValueNode | None, default: Any, always_there: Container[str]
) -> list[str]:
    """Return the keyword argument, or nothing where the function's own default holds."""
    if isinstance(argument.extensions["strawberry-definition"].type, StrawberryMaybe):
        raise Unexpected
    if argument.default_value is not Undefined:
        default = converter(argument.type)(argument.default_value)
    if node is None:
        return [] if argument.default_value is Undefined else [f"{name}={source.named('default', default)}"]
    if isinstance(node, VariableNode):
        variable = repr(node.name.value)
        if node.name.value in always_there:
            value = f"r.values[{variable}]"
        elif default is inspect.Parameter.empty:
            value = f"r.values.get({variable})"  # None where it must not be is refused below
        else:
            value = f"r.values.get({variable}, {source.named('default', default)})"
        if isinstance(argument.type, GraphQLNonNull):
            v = source.named("v")
            value = f"({v} if ({v} := {value}) is not None else refuse())"
        return [f"{name}={value}"]
    convert = converter(argument.type)
    if not _has_variables(node):
        return [f"{name}={source.named('constant', convert(value_from_ast_untyped(node)))}"]
    return [f"{name}={source.named('convert', convert)}({_raw(source, node, argument.type)})"]


def _has_variables(node: ValueNode) -> bool:
    match node:
        case VariableNode():
            return True
        case ListValueNode():
            return any(map(_has_variables, node.values))
        case ObjectValueNode():
            return any(_has_variables(entry.value) for entry in node.fields)
    return False


def _raw(source: Source, node: ValueNode, type_: Any) -> str:
    """Return the expression for a literal with variables in it, as JSON would have it."""
    if not _has_variables(node):
        return source.named("constant", value_from_ast_untyped(node))
    named = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    match node:
        case VariableNode():
            return f"r.given.get({node.name.value!r})"
        case ListValueNode() if isinstance(named, GraphQLList):
            return f"[{', '.join(_raw(source, item, named.of_type) for item in node.values)}]"
        case ObjectValueNode() if isinstance(named, GraphQLInputObjectType):
            return f"{{{', '.join(_raw_entry(source, entry, named.fields[entry.name.value].type) for entry in node.fields)}}}"
    raise Unexpected


def _raw_entry(source: Source, entry: ObjectFieldNode, type_: Any) -> str:
    name, node = entry.name.value, entry.value
    if isinstance(node, VariableNode):
        variable = repr(node.name.value)  # one that is left out leaves out its field
        return f"**({{{name!r}: r.given[{variable}]}} if {variable} in r.given else {{}})"
    return f"{name!r}: {_raw(source, node, type_)}"
