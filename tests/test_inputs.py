"""Compiled inputs are what graphql-core and Strawberry would hand to a resolver, or are left to them."""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    Undefined,
    coerce_input_value,
    is_leaf_type,
    is_required_input_field,
)
from hypothesis import given
from hypothesis import strategies as st
from strawberry import Some
from strawberry.types.arguments import convert_argument

from flowtrail.graphql.inputs import Unexpected, converter
from flowtrail.graphql.schema import schema
from properties import examples

JSON = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(st.none() | inside, max_size=3) | st.dictionaries(st.text(), st.none() | inside, max_size=3),
    max_leaves=5,
)
TIMES = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 (the offset is drawn)
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30)), timezone(timedelta(hours=14))]),
)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "Boolean": st.booleans(),
    "Int": st.integers(-(2**31), 2**31 - 1) | st.integers(-(2**31), 2**31 - 1).map(float),
    "Float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "String": st.text(),
    "ID": st.text() | st.integers(-(2**53), 2**53) | st.integers(-(2**53), 2**53).map(float),
    "UUID": st.uuids().map(str) | st.uuids().map(lambda key: str(key).upper()),
    "DateTime": TIMES.map(datetime.isoformat) | TIMES.map(lambda time: time.isoformat().replace("T", "t").replace("+00:00", "z")),
    "JSON": JSON,
}
"""What a client may send that is right, but null."""
WRONG: list[Any] = [
    *(None, True, 7, -1, 2**31, 2**70, 10**400, 1.0, 1.5, 1e400, math.nan, "", "7", "true", "FULFILLED", "\ud800", "x" * 36),
    *("2026-02-30T00:00:00Z", "2026-01-01", "0001-01-01T00:00:00+14:00", [], [None], [[]], ["ERROR"], {}, {"id": None}, {"": 1}),
]
"""What is wrong in most places, and right in some."""


def arguments() -> dict[str, GraphQLArgument]:
    """Every argument of the schema, by its place."""
    objects = [type_ for type_ in schema.graphql_schema.type_map.values() if isinstance(type_, GraphQLObjectType)]
    return {
        f"{type_.name}.{field_name}.{name}": argument
        for type_ in objects
        if not type_.name.startswith("__")
        for field_name, field in type_.fields.items()
        for name, argument in field.args.items()
    }


ARGUMENTS = arguments()


def right(type_: Any) -> st.SearchStrategy[Any]:
    """Values that a type allows."""
    match type_:
        case GraphQLNonNull():
            return not_null(type_.of_type)
        case _:
            return st.none() | not_null(type_)


def not_null(type_: Any) -> st.SearchStrategy[Any]:
    match type_:
        case GraphQLScalarType():
            return SCALARS[type_.name]
        case GraphQLEnumType():
            return st.sampled_from(list(type_.values))
        case GraphQLList():
            return st.lists(right(type_.of_type), max_size=3) | right(
                GraphQLNonNull(getattr(type_.of_type, "of_type", type_.of_type))
            )
        case GraphQLInputObjectType() if type_.extensions["strawberry-definition"].is_one_of:
            return st.one_of(*(st.fixed_dictionaries({name: not_null(field.type)}) for name, field in type_.fields.items()))
        case _:
            required = {name: right(field.type) for name, field in type_.fields.items() if is_required_input_field(field)}
            optional = {name: right(field.type) for name, field in type_.fields.items() if name not in required}
            return st.fixed_dictionaries(required, optional=optional)


def positions(value: Any) -> Iterator[tuple[Any, Any]]:
    """All places inside a value, as a container and a key of it."""
    inside = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    for key, item in inside:
        yield value, key
        yield from positions(item)


def broken(draw: st.DrawFn, value: Any) -> Any:
    """Return the value with something else, nothing, or something more in one place or two."""
    whole = [copy.deepcopy(value)]
    for _ in range(draw(st.integers(1, 2))):
        container, key = draw(st.sampled_from(list(positions(whole))))
        change = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if change == "replace" or container is whole:
            container[key] = copy.deepcopy(draw(st.sampled_from(WRONG)))
        elif change == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[draw(st.sampled_from(["other", "id", "uuid", "started", "result"]))] = None
    return whole[0]


def slowly(place: str, value: Any) -> Any:
    """What graphql-core and Strawberry make of a value; Undefined when they refuse it."""
    argument = ARGUMENTS[place]
    try:
        coerced = coerce_input_value(copy.deepcopy(value), argument.type)
    except Exception:
        return Undefined
    type_ = argument.extensions["strawberry-definition"].type
    return (
        Undefined
        if coerced is Undefined
        else convert_argument(coerced, type_, schema.schema_converter.scalar_registry, schema.config)
    )


@cache
def converter_of(place: str) -> Callable[[Any], Any]:
    return converter(ARGUMENTS[place].type)


def quickly(place: str, value: Any) -> Any:
    try:
        return converter_of(place)(value)
    except Unexpected:
        return Undefined


def described(value: Any) -> Any:
    """A value with the types of all that is in it."""
    if isinstance(value, Some):
        return Some, described(value.value)
    if is_dataclass(value):
        return type(value), {name: described(item) for name, item in vars(value).items()}
    if isinstance(value, dict):
        return [(name, described(item)) for name, item in value.items()]
    if isinstance(value, list):
        return [list, *map(described, value)]
    return type(value), repr(value)


@pytest.mark.parametrize("name", [name for name, type_ in schema.graphql_schema.type_map.items() if is_leaf_type(type_)])
def test_scalars_and_enums(name: str) -> None:
    type_: Any = schema.graphql_schema.type_map[name]
    convert = converter(type_)
    for value in WRONG:
        expected = coerce_input_value(value, type_)
        if expected is Undefined:
            with pytest.raises(Unexpected):
                convert(value)
        else:
            assert described(convert(value)) == described(expected)


@pytest.mark.parametrize("place", ARGUMENTS)
def test_what_is_right_is_converted(place: str) -> None:
    @examples(30)
    @given(right(ARGUMENTS[place].type))
    def check(value: Any) -> None:
        converted = quickly(place, value)
        assert converted is not Undefined
        assert described(converted) == described(slowly(place, value))

    check()


@pytest.mark.parametrize("place", ARGUMENTS)
def test_what_is_wrong_in_any_place_is_left_alone(place: str) -> None:
    values = right(ARGUMENTS[place].type)

    @examples(60)
    @given(st.composite(lambda draw: broken(draw, draw(values)))())
    def check(value: Any) -> None:
        assert described(quickly(place, value)) == described(slowly(place, value))

    check()


def test_nothing_of_a_value_is_shared_with_the_next() -> None:
    convert = converter_of("Query.executions.filter")
    sent: Any = {"status": ["ERROR"], "flowId": "one"}
    first, second = convert(sent), convert(sent)
    first.status.clear()
    assert [status.name for status in second.status] == ["ERROR"]
    assert second.flow_id == ["one"]
