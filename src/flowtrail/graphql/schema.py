"""The schema, built once: a second one of the same types would confuse Strawberry."""

from collections.abc import Iterable
from typing import Any

import strawberry
from graphql import (
    GraphQLArgument,
    GraphQLError,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
)
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from flowtrail.graphql.ahead import Info
from flowtrail.graphql.executions import Execution
from flowtrail.graphql.flows import Flow
from flowtrail.graphql.nodes import NodeExecution
from flowtrail.graphql.queries import Query
from flowtrail.graphql.recording import Mutation
from flowtrail.graphql.scalars import SCALARS
from flowtrail.graphql.subscriptions import Subscription


class Schema(strawberry.Schema):
    """Flowtrail's schema, without the `= null` that Python's defaults leave on every optional argument and input field."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for type_ in self._schema.type_map.values():
            if isinstance(type_, GraphQLInputObjectType):
                _drop_null_defaults(type_.fields.values())
            elif isinstance(type_, GraphQLObjectType):
                for field in type_.fields.values():
                    _drop_null_defaults(field.args.values())

    @property
    def graphql_schema(self) -> GraphQLSchema:
        """The schema as graphql-core knows it."""
        return self._schema

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log nothing here: what clients did wrong is not worth a traceback, and errors.py logs the rest."""


def _drop_null_defaults(inputs: Iterable[GraphQLArgument | GraphQLInputField]) -> None:
    for entry in inputs:
        if entry.default_value is None:
            entry.default_value = Undefined


schema = Schema(
    Query,
    Mutation,
    Subscription,
    types=[Flow, Execution, NodeExecution],
    config=StrawberryConfig(scalar_map=SCALARS, info_class=Info),
)


def export() -> str:
    """Return the schema as GraphQL's own language: what `schema.graphql` holds."""
    return f"{schema.as_str()}\n"
