"""Documents: parsed, held to the limits and validated, in this order, and kept for the next request that sends the same text."""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from graphql import (
    ASTValidationRule,
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
from flowtrail.errors import BadUserInput, FlowtrailError, Forbidden, LimitExceeded, NotFound, Unavailable
from flowtrail.graphql import limits
from flowtrail.graphql.compiled.plans import QUICK, Plans
from flowtrail.graphql.errors import coded
from flowtrail.graphql.schema import schema
from flowtrail.graphql.trusted import TrustedDocuments, sha256_of
from flowtrail.graphql.workshop import Workshop
from flowtrail.shares import DEAR
from flowtrail.turns import Moment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flowtrail.auth import Viewer
    from flowtrail.graphql.requests import OperationRequest
    from flowtrail.settings import Settings

_CLOSED_RULES = (*specified_rules, NoSchemaIntrospectionCustomRule)
_LONG_NUMBER = re.compile(rf"\d{{{json_text.MAX_DIGITS + 1}}}", re.ASCII)
_KEPT_CHARACTERS = 500_000
"""Of documents that are kept prepared, counted again for each function compiled of one: in memory, 50 MB (compiled/plans.py)."""
_CHANCES, _CHANCE_SECONDS = 20, 2.0
"""Large documents that are kept when they come at the same time, and how often another may be."""


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
    weight: int
    """As limits.py has it."""
    plans: Plans | None = None
    """What is compiled of the document; None when nothing shall be."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    node: DocumentNode
    least_weight: int
    """With the smallest pages."""
    most_weight: int | None
    """With the largest; None when that is over the limits."""
    plans: Plans | None


class Documents:
    """The documents of one service, as its settings allow them."""

    def __init__(self, settings: Settings) -> None:
        """Read the trusted documents; raises ConfigurationError."""
        self._trusted = TrustedDocuments.load(settings.trusted_documents_file)
        self._only_trusted = settings.trusted_documents == "only"
        self._introspection = settings.introspection
        self._compiles = settings.compiled
        self._patience = settings.request_timeout
        self._workshop = Workshop()
        self._moment = Moment()
        self._kept: OrderedDict[tuple[str, bool], _Prepared] = OrderedDict()
        self._weight = 0
        self._chances, self._chances_at = float(_CHANCES), time.monotonic()
        """Of large documents to be kept."""

    def close(self) -> None:
        """Prepare nothing more aside."""
        self._workshop.close()

    def takes_long(self, request: OperationRequest, viewer: Viewer) -> bool:
        """Tell whether a document is large, and not kept."""
        return QUICK < len(self._named(request)) <= limits.MAX_CHARACTERS and self._is_new(request, viewer)

    def waits(self, request: OperationRequest, viewer: Viewer, client: object) -> bool:
        """Tell whether a document is for `prepared_aside`: it takes long, or another was prepared in this round of the loop."""
        return self._is_new(request, viewer) and (self.takes_long(request, viewer) or not self._moment.is_free_for(client))

    async def prepared_aside(self, request: OperationRequest, viewer: Viewer, client: object) -> Operation:
        """Return the operation that a request names, as `operation` does.

        What takes long is done beside the event loop; small documents of which many come at once have a turn each. Raises
        Unavailable when others' documents take longer than a request may.
        """
        if not self.takes_long(request, viewer):
            is_new = self._is_new(request, viewer)
            if is_new:
                await self._moment.turn(client)
            operation = self.operation(request, viewer)
            if operation.type is OperationType.SUBSCRIPTION and not is_new:
                await self._moment.turn(client)  # to begin it takes about as long
                self._moment.take()
            return operation
        try:
            key = (self._text(request), self._hides_schema(viewer))
            async with asyncio.timeout(self._patience):
                document = await self._workshop.do(key, lambda: self._prepare(*key))
        except TimeoutError:
            raise Unavailable("too many new documents come at the same time; send it again") from None
        except Unavailable:
            raise
        except FlowtrailError as error:
            raise RequestRefused.because(error) from None
        self._keep(key, document, viewer)
        return self._operation(request, viewer, document)

    def operation(self, request: OperationRequest, viewer: Viewer) -> Operation:
        """Return the operation that a request names; raises RequestRefused when it must not or can't be executed."""
        return self._operation(request, viewer, None)

    def _operation(self, request: OperationRequest, viewer: Viewer, document: _Prepared | None) -> Operation:
        hides_schema = self._hides_schema(viewer)
        try:
            text = self._text(request)
            if document is None:
                document = self._prepared((text, hides_schema), viewer)
            if not viewer.can_record:
                limits.check_variables(request.variables)
            weight = document.most_weight
            if weight is None or (weight > DEAR and weight > document.least_weight):  # it depends on the variables
                weight = limits.check(document.node, request.variables or {})
        except FlowtrailError as error:
            raise RequestRefused.because(error) from None
        operation = get_operation_ast(document.node, request.operation_name)
        if operation is None:
            reason = "operationName: the document has no such operation, or several and none is named"
            raise RequestRefused.because(BadUserInput(reason))
        name, variables = request.operation_name, request.variables
        return Operation(text, document.node, operation.operation, name, variables, hides_schema, weight, document.plans)

    def _is_new(self, request: OperationRequest, viewer: Viewer) -> bool:
        return (self._named(request), self._hides_schema(viewer)) not in self._kept

    def _named(self, request: OperationRequest) -> str:
        """The document, or nothing where none is known by its hash."""
        return request.query if request.query is not None else self._trusted.text_of(request.sha256 or "") or ""

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

    def _hides_schema(self, viewer: Viewer) -> bool:
        return not (self._introspection and viewer.can_read)

    def _prepared(self, key: tuple[str, bool], viewer: Viewer) -> _Prepared:
        document = self._kept.get(key)
        if document is None:
            self._moment.take()
            document = self._prepare(*key)
            self._keep(key, document, viewer)
        else:
            self._kept.move_to_end(key)
        return document

    def _keep(self, key: tuple[str, bool], document: _Prepared, viewer: Viewer) -> None:
        """Keep a document for the next request; large ones of readers only now and then, after the first few, unless trusted.

        The garbage collector looks at what is new and stays: who sends ever new documents would have it hold up everybody.
        """
        if key in self._kept:
            return
        if len(key[0]) > QUICK and not viewer.can_record and not self._trusted.has_text(key[0]):
            now = time.monotonic()
            self._chances = min(_CHANCES, self._chances + (now - self._chances_at) / _CHANCE_SECONDS)
            self._chances_at = now
            if self._chances < 1:
                return
            self._chances -= 1
        self._kept[key] = document
        self._weight += len(key[0])
        self._forget()

    def _compiled(self, key: tuple[str, bool], plans: Plans, added: int) -> None:
        """Note that something was compiled of a document, which takes as much memory as so many characters of one."""
        kept = self._kept.get(key)
        if kept is not None and kept.plans is plans:  # it may have been forgotten meanwhile, and prepared again
            self._weight += added
            self._forget()

    def _forget(self) -> None:
        while self._weight > _KEPT_CHARACTERS:
            (text, _), document = self._kept.popitem(last=False)
            self._weight -= len(text) + (document.plans.weight if document.plans is not None else 0)

    def _prepare(self, text: str, hides_schema: bool) -> _Prepared:
        if len(text) > limits.MAX_CHARACTERS:
            raise LimitExceeded(f"query: the document has {len(text)} characters; at most {limits.MAX_CHARACTERS} are read")
        if _LONG_NUMBER.search(text):
            raise LimitExceeded(f"query: a number has more than {json_text.MAX_DIGITS} digits")
        try:
            node = parse(text, max_tokens=limits.MAX_TOKENS)
            least_weight, most_weight = limits.weights(node)
            if self._only_trusted and node not in self._trusted:
                raise Forbidden("query: only trusted documents are answered here")
            rules = _CLOSED_RULES if hides_schema else specified_rules
            errors = _validated(node, rules, hides_schema=hides_schema)
        except GraphQLSyntaxError as error:
            raise RequestRefused([_syntax_error(error)]) from None
        except RecursionError:
            raise LimitExceeded("query: the document is nested too deeply") from None
        if errors:
            raise RequestRefused([coded(error) for error in errors])
        _unlink_tokens(node)
        if not self._compiles:
            return _Prepared(node, least_weight, most_weight, None)
        key = (text, hides_schema)
        plans = Plans(node, len(text), most_weight, self._workshop, partial(self._compiled, key))
        return _Prepared(node, least_weight, most_weight, plans)


def _validated(node: DocumentNode, rules: Iterable[type[ASTValidationRule]], *, hides_schema: bool) -> list[GraphQLError]:
    """Return what is wrong with a document.

    The visitors of the rules hold themselves, and by their context the document: without that it is gone when nobody uses it.
    """
    visitors: list[ASTValidationRule] = []

    def remembered(rule: type[ASTValidationRule]) -> Any:
        def visitor(context: Any) -> ASTValidationRule:
            visitors.append(rule(context))
            return visitors[-1]

        return visitor

    try:
        remembering = [remembered(rule) for rule in rules]
        return validate(schema.graphql_schema, node, remembering, max_errors=limits.MAX_ERRORS, hide_suggestions=hides_schema)
    finally:
        for visitor in visitors:
            vars(visitor).clear()


def _unlink_tokens(node: DocumentNode) -> None:
    """Let go of the tokens' neighbours, which make a document a cycle: it is gone then when nobody uses it any more."""
    token = node.loc.start_token if node.loc is not None else None
    while token is not None:
        following, token.prev, token.next = token.next, None, None
        token = following


def _syntax_error(error: GraphQLSyntaxError) -> GraphQLError:
    """A document with too many tokens is over a limit; anything else is wrong."""
    if "tokens" in error.message and str(limits.MAX_TOKENS) in error.message:
        counted = f"query: the document has more than {limits.MAX_TOKENS} tokens"
        return GraphQLError(counted, extensions={"code": LimitExceeded.code})
    return coded(error)
