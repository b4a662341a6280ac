"""Documents: parsed, held to the limits and validated, in this order, and kept for the next request that sends the same text."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    NoSchemaIntrospectionCustomRule,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)

from flowtrail import json_text
from flowtrail.errors import BadUserInput, FlowtrailError, Forbidden, LimitExceeded, NotFound
from flowtrail.graphql import limits
from flowtrail.graphql.compiled.plans import Plans
from flowtrail.graphql.errors import coded
from flowtrail.graphql.schema import schema
from flowtrail.graphql.trusted import TrustedDocuments, sha256_of

if TYPE_CHECKING:
    from flowtrail.auth import Viewer
    from flowtrail.graphql.requests import OperationRequest
    from flowtrail.settings import Settings

_CLOSED_RULES = (*specified_rules, NoSchemaIntrospectionCustomRule)
_LONG_NUMBER = re.compile(rf"\d{{{json_text.MAX_DIGITS + 1}}}", re.ASCII)
_KEPT_CHARACTERS = 500_000
"""Of documents that are kept prepared, counted again for each function compiled of one; in memory it is a hundred times as much."""


class RequestRefused(Exception):
    """The document, its variables or its root arguments are wrong: nothing was executed."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(errors[0].message)
        self.errors = errors

    @classmethod
    def because(cls, error: FlowtrailError) -> RequestRefused:
        return cls([GraphQLError(error.message, extensions={"code": error.code})])


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation that may be executed."""

    text: str
    document: DocumentNode
    type: OperationType
    name: str | None
    """As the request gave it."""
    variables: dict[str, Any] | None
    hides_schema: bool
    """Whether errors may not suggest names."""
    plans: Plans | None = None
    """What is compiled of the document; None when nothing shall be."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    node: DocumentNode
    most_rows: int | None
    """With the largest pages; None when that is over the limits, so that every request has to ask again."""
    plans: Plans | None


class Documents:
    """The documents of one service, as its settings allow them."""

    def __init__(self, settings: Settings) -> None:
        """Read the trusted documents; raises ConfigurationError."""
        self._trusted = TrustedDocuments.load(settings.trusted_documents_file)
        self._only_trusted = settings.trusted_documents == "only"
        self._introspection = settings.introspection
        self._compiles = settings.compiled
        self._kept: OrderedDict[tuple[str, bool], _Prepared] = OrderedDict()
        self._weight = 0

    def operation(self, request: OperationRequest, viewer: Viewer) -> Operation:
        """Return the operation that a request names; raises RequestRefused when it must not or can't be executed."""
        hides_schema = not (self._introspection and viewer.can_read)
        try:
            text = self._text(request)
            document = self._prepared(text, hides_schema)
            if not viewer.can_record:
                limits.check_variables(request.variables)
            if document.most_rows is None:
                limits.check(document.node, request.variables or {})
        except FlowtrailError as error:
            raise RequestRefused.because(error) from None
        operation = get_operation_ast(document.node, request.operation_name)
        if operation is None:
            reason = "operationName: the document has no such operation, or several and none is named"
            raise RequestRefused.because(BadUserInput(reason))
        name, variables = request.operation_name, request.variables
        return Operation(text, document.node, operation.operation, name, variables, hides_schema, document.plans)

    def _text(self, request: OperationRequest) -> str:
        """The document, which is looked up where only its hash was sent."""
        if request.sha256 is None:
            return request.query or ""
        if request.query is None:
            text = self._trusted.text_of(request.sha256)
            if text is None:
                raise NotFound("PersistedQueryNotFound")  # the word upon which clients send the document itself
            return text
        if sha256_of(request.query) != request.sha256:
            raise BadUserInput("query: is not the document of the hash that was sent with it")
        return request.query

    def _prepared(self, text: str, hides_schema: bool) -> _Prepared:
        key = (text, hides_schema)
        document = self._kept.get(key)
        if document is not None:
            self._kept.move_to_end(key)
            return document
        document = self._kept[key] = self._prepare(text, hides_schema)
        self._weight += len(text)
        self._forget()
        return document

    def _compiled(self, key: tuple[str, bool], plans: Plans) -> None:
        """Note that something was compiled of a document, which takes about as much memory as the document itself."""
        kept = self._kept.get(key)
        if kept is not None and kept.plans is plans:  # it may have been forgotten meanwhile, and prepared again
            self._weight += len(key[0])
            self._forget()

    def _forget(self) -> None:
        while self._weight > _KEPT_CHARACTERS:
            (text, _), document = self._kept.popitem(last=False)
            self._weight -= len(text) * (1 + (document.plans.compiled if document.plans is not None else 0))

    def _prepare(self, text: str, hides_schema: bool) -> _Prepared:
        if len(text) > limits.MAX_CHARACTERS:
            raise LimitExceeded(f"query: the document has {len(text)} characters; at most {limits.MAX_CHARACTERS} are read")
        if _LONG_NUMBER.search(text):
            raise LimitExceeded(f"query: a number has more than {json_text.MAX_DIGITS} digits")
        try:
            node = parse(text, max_tokens=limits.MAX_TOKENS)
            most_rows = limits.most_rows(node)
            if self._only_trusted and node not in self._trusted:
                raise Forbidden("query: only trusted documents are answered here")
            rules = _CLOSED_RULES if hides_schema else specified_rules
            errors = validate(schema.graphql_schema, node, rules, max_errors=limits.MAX_ERRORS, hide_suggestions=hides_schema)
        except GraphQLSyntaxError as error:
            raise RequestRefused([_syntax_error(error)]) from None
        except RecursionError:
            raise LimitExceeded("query: the document is nested too deeply") from None
        if errors:
            raise RequestRefused([coded(error) for error in errors])
        if not self._compiles:
            return _Prepared(node, most_rows, None)
        return _Prepared(node, most_rows, Plans(node, most_rows, lambda plans: self._compiled((text, hides_schema), plans)))


def _syntax_error(error: GraphQLSyntaxError) -> GraphQLError:
    """A document with too many tokens is over a limit; anything else is wrong."""
    if "tokens" in error.message and str(limits.MAX_TOKENS) in error.message:
        counted = f"query: the document has more than {limits.MAX_TOKENS} tokens"
        return GraphQLError(counted, extensions={"code": LimitExceeded.code})
    return coded(error)
