"""Documents: parsed, held to the limits and validated, in this order, and kept for the next request that sends the same text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError, parse, validate

from flowtrail.errors import FlowtrailError, LimitExceeded
from flowtrail.graphql import limits
from flowtrail.graphql.errors import coded
from flowtrail.graphql.schema import schema


class RequestRefused(Exception):
    """The document, its variables or its root arguments are wrong: nothing was executed."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors

    @classmethod
    def because(cls, error: FlowtrailError) -> RequestRefused:
        return cls([GraphQLError(error.message, extensions={"code": error.code})])


@dataclass(frozen=True, slots=True)
class _Document:
    node: DocumentNode
    fits_any_variables: bool
    """Whether it keeps the limits even with the largest pages, so that no request has to ask again."""


def document_of(query: str, variables: Mapping[str, Any] | None) -> DocumentNode:
    """Return a document that may be executed with these variables; raises RequestRefused."""
    document = _prepared(query)
    if not document.fits_any_variables:
        try:
            limits.check(document.node, variables or {})
        except LimitExceeded as error:
            raise RequestRefused.because(error) from None
    return document.node


@lru_cache(maxsize=1000)
def _prepared(query: str) -> _Document:
    try:
        node = parse(query, max_tokens=limits.MAX_TOKENS)
        fits = _fits_any_variables(node)
        errors = validate(schema.graphql_schema, node)
    except LimitExceeded as error:
        raise RequestRefused.because(error) from None
    except GraphQLSyntaxError as error:
        errors = [error]
    except RecursionError:
        raise RequestRefused.because(LimitExceeded("query: the document is nested too deeply")) from None
    if errors:
        raise RequestRefused([coded(error) for error in errors])
    return _Document(node, fits)


def _fits_any_variables(node: DocumentNode) -> bool:
    """Check all limits, the number of rows with the smallest pages that variables could ask for; raises LimitExceeded."""
    limits.check(node, limits.SMALLEST_PAGES)
    try:
        limits.check(node, limits.LARGEST_PAGES)
    except LimitExceeded:
        return False
    return True
