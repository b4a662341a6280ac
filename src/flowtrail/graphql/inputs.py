"""Compiled inputs: a raw JSON value becomes what a resolver takes by one Python function, made once for its type.

Exact, or not at all, as compiled/ is with what goes out. graphql-core and Strawberry work out the types and names of each value
anew. Whatever a function was not made for makes it raise Unexpected, and they say what is wrong with it.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLScalarType,
    Undefined,
    is_non_null_type,
    is_required_input_field,
)
from strawberry import Some
from strawberry.types.base import StrawberryMaybe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from graphql import GraphQLInputField, GraphQLInputType
    from strawberry.types.field import StrawberryField

AS_IT_IS = {
    "String": "{v}.__class__ is str",
    "ID": "{v}.__class__ is str",
    "Boolean": "{v}.__class__ is bool",
    "Int": "{v}.__class__ is int and -0x80000000 <= {v} < 0x80000000",
    "Float": "{v}.__class__ is float and {v} - {v} == 0",
}
"""When a scalar's value `v` is right, and goes in or out unchanged."""
_KEPT_UUIDS = 1000


class Unexpected(Exception):
    """A value is not what a function was compiled for: graphql-core and Strawberry say what comes of it."""


class Converted:
    """A list whose items were converted as they were decoded. To graphql-core it is the list as JSON has it."""

    __slots__ = ("values",)

    def __init__(self, values: list[Any]) -> None:
        """`values` are what resolvers take."""
        self.values = values

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError


def converter(type_: GraphQLInputType) -> Callable[[Any], Any]:
    """Return the function that makes of a value of this type, as JSON has it, what a resolver takes.

    The function raises Unexpected for whatever is not plainly right.
    """
    expressions = _Expressions()
    convert = expressions.function(expressions.value(type_, "v"))

    def converted(value: Any) -> Any:
        try:
            return convert(value)
        except Exception as error:
            raise Unexpected from error

    return converted


@cache
def _object(type_: GraphQLInputObjectType) -> Callable[[Any], Any]:
    """Return the function for the values of an input type; for wrong ones it raises any exception."""
    expressions = _Expressions()
    return expressions.function(expressions.object(type_))


class _Expressions:
    """Writes the source of one function, and keeps the values that it names."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {"Some": Some, "refuse": _refuse, "absent": Undefined, "Converted": Converted}

    def function(self, expression: str) -> Callable[[Any], Any]:
        """Return the function of `v` that this expression is the body of."""
        convert: Callable[[Any], Any] = eval(f"lambda v: {expression}", self._names)  # noqa: S307 (of names in the schema)
        return convert

    def value(self, type_: GraphQLInputType, v: str, source: str | None = None) -> str:
        """Return the expression for what is in the variable `v`, or what `source` puts into it."""
        if is_non_null_type(type_):
            return f"(refuse() if {source or v} is None else {self._given(type_.of_type, v)})"
        return f"(None if {source or v} is None else {self._given(type_, v)})"

    def object(self, type_: GraphQLInputObjectType) -> str:
        """Return the expression for an input object in the variable `v`."""
        definition = type_.extensions["strawberry-definition"]
        only_known = self._named("only_known", frozenset(type_.fields).issuperset)
        is_right = f"v.__class__ is dict and {only_known}(v)"
        if definition.is_one_of:
            is_right += " and len(v) == 1 and None not in v.values()"
        fields = [self._field(name, field) for name, field in type_.fields.items()]
        return f"{self._named('Class', definition.origin)}({', '.join(fields)}) if {is_right} else refuse()"

    def _field(self, name: str, field: GraphQLInputField) -> str:
        """Return the keyword argument for a field of the input object in `v`."""
        definition: StrawberryField = field.extensions["strawberry-definition"]
        x = self._named("x", None)
        if isinstance(definition.type, StrawberryMaybe):
            value = f"(None if ({x} := v.get({name!r}, absent)) is absent else Some({self.value(field.type, x)}))"
        elif is_required_input_field(field):
            value = self.value(field.type, x, f"({x} := v[{name!r}])")
        elif definition.default is None:
            value = self.value(field.type, x, f"({x} := v.get({name!r}))")
        else:
            default = self._named("default", definition.default)
            value = f"({default} if ({x} := v.get({name!r}, absent)) is absent else {self.value(field.type, x)})"
        return f"{definition.python_name}={value}"

    def _given(self, type_: Any, v: str) -> str:
        """Return the expression for what is in `v`, which is not null."""
        match type_:
            case GraphQLScalarType():
                if type_.name == "JSON":
                    return v
                as_it_is = AS_IT_IS.get(type_.name, "False").format(v=v)
                return f"({v} if {as_it_is} else {self._named('coerce', _coercion(type_))}({v}))"
            case GraphQLEnumType():
                return f"{self._named('members', {name: type_.coerce_input_value(name) for name in type_.values})}[{v}]"
            case GraphQLList():
                item = self._named("item", None)
                items = f"[{self.value(type_.of_type, item)} for {item} in {v}]"
                one = f"{v}.values if isinstance({v}, Converted) else [{self.value(type_.of_type, v)}]"
                return f"({items} if {v}.__class__ is list else {one})"
            case _:
                return f"{self._named('object', _object(type_))}({v})"

    def _named(self, kind: str, value: Any) -> str:
        """Return a name that is free, for `value` if there is one."""
        name = f"{kind}{len(self._names)}"
        self._names[name] = value
        return name


@cache
def _coercion(type_: GraphQLScalarType) -> Callable[[Any], Any]:
    """Return what coerces the values of a scalar; the events of an execution all name it by the same UUID."""
    return lru_cache(_KEPT_UUIDS)(type_.coerce_input_value) if type_.name == "UUID" else type_.coerce_input_value


def _refuse() -> Any:
    raise Unexpected
