"""The scalars of the contract: exact where GraphQL's usual ones would round, cut or guess."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any, NewType

import orjson
import strawberry
from asyncpg.pgproto.pgproto import UUID
from graphql import GraphQLError, ValueNode, value_from_ast_untyped
from strawberry.types.scalar import ScalarDefinition

from flowtrail import json_text

JSON = NewType("JSON", object)
"""Any JSON value: JSON text goes out as it was stored; what comes in is a plain Python value."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_time(time: datetime) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_time(value: Any) -> datetime:
    """Return the UTC time of an RFC 3339 string with an offset; raises GraphQLError saying what is wrong."""
    if not isinstance(value, str) or not _RFC_3339.fullmatch(value):
        raise GraphQLError("DateTime must be an RFC 3339 string with an offset, as 2026-01-31T12:00:00.000000Z.")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError("DateTime is no point in time that exists between the years 1 and 9999.") from None


def parse_uuid(value: Any) -> uuid.UUID:
    """Return the UUID of its usual string form; raises GraphQLError for anything else."""
    if isinstance(value, str) and len(value) == 36:
        try:
            return UUID(value)  # the driver's own class: a uuid.UUID that is made, and written, several times as fast
        except ValueError:
            pass
    raise GraphQLError("UUID must be a string of 32 hexadecimal digits in five groups.")


def serialize_json(value: Any) -> orjson.Fragment:
    """Return a piece of the response: stored text goes out untouched, never parsed."""
    return orjson.Fragment(value if isinstance(value, str) else json_text.dump(value))


def _parse_json_literal(node: ValueNode, variables: dict[str, Any] | None = None) -> Any:
    try:
        return value_from_ast_untyped(node, variables)
    except (ValueError, RecursionError):
        raise GraphQLError("JSON literal holds a number or a nesting beyond the limits.") from None


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339, UTC, microseconds. Times with another offset are understood and converted.",
        serialize=format_time,
        parse_value=parse_time,
    ),
    uuid.UUID: strawberry.scalar(
        name="UUID",
        description="A UUID in its usual form of 36 characters.",
        serialize=str,
        parse_value=parse_uuid,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value, kept as it came: integers of any size, NUL characters, lone surrogates and the order of keys.",
        serialize=serialize_json,
        parse_value=lambda value: value,
        parse_literal=_parse_json_literal,
    ),
}
