"""What is compiled of a document, kept as long as the document is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from graphql import (
    DirectiveNode,
    GraphQLError,
    GraphQLNonNull,
    Undefined,
    VariableNode,
    Visitor,
    get_operation_ast,
    type_from_ast,
    value_from_ast_untyped,
    visit,
)

from flowtrail.graphql.compiled import introspection
from flowtrail.graphql.compiled.compiler import Compiler
from flowtrail.graphql.compiled.running import Run
from flowtrail.graphql.inputs import Unexpected, converter
from flowtrail.graphql.schema import schema
from flowtrail.observability import traces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from graphql import DocumentNode, Executor, GraphQLObjectType

    from flowtrail.graphql.compiled.compiler import FieldDetails
    from flowtrail.graphql.context import Context
    from flowtrail.graphql.documents import Operation
    from flowtrail.graphql.workshop import Workshop

log = structlog.get_logger()

_CONDITIONS = ("skip", "include")
_MOST_COMPILED = 50
"""Functions of one document: its variables can ask for as many selections as there are combinations of them."""
_LONGEST_NAMES = 1000
"""Characters of the strings that a function depends on: of the operation, and of types that are asked for."""
BYTES_OF_A_CHARACTER = 100
"""Memory of a document that is kept prepared, and of a function compiled of it, each for each of its characters."""
QUICK = 400
"""Characters of a document that is prepared on the event loop: it takes about two milliseconds at most."""
_WORTH_IT = 250
"""A document that may weigh so much is compiled when it comes for the first time: a page of fifty. Most others never come again."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The function for an operation, and its variables: as JSON has them, and as resolvers take them."""

    function: Any
    """Takes the root value, or an event, and a Run."""
    given: Mapping[str, Any]
    values: Mapping[str, Any]

    def run(self, context: Context) -> Run:
        """Return what the function needs to be called once."""
        return Run(context, self.given, self.values)


class _Wanted(NamedTuple):
    """A function that is wanted, and the variables to call it with."""

    key: tuple[Any, ...]
    variables: _Variables
    given: Mapping[str, Any]
    values: Mapping[str, Any]


class Plans:
    """The functions of one document. Their keys hold the identities of its nodes."""

    def __init__(
        self,
        document: DocumentNode,
        characters: int,
        most_weight: int | None,
        workshop: Workshop,
        note_compiled: Callable[[Plans, int], None],
    ) -> None:
        """`most_weight` is how much the document weighs at most (limits.py), None for very much.

        `note_compiled` is called for each function that is kept, with the number of `characters` of a document that would take as
        much memory.
        """
        self.weight = 0
        """How many there are of these."""
        asking = introspection.variables(document)
        self._document = document
        self._characters = characters
        self._workshop = workshop
        self._takes_long = characters > QUICK or asking is not None
        """Whether it takes long to compile, or to execute otherwise."""
        self._is_asking = asking is not None
        self._is_large = self._takes_long or most_weight is None or most_weight >= _WORTH_IT
        self._uses = 0
        self._note_compiled = note_compiled
        self._conditions = tuple(sorted(_conditions(document) | (asking or set())))
        self._variables: dict[str | None, _Variables | None] = {}
        self._functions: dict[tuple[Any, ...], Callable[..., Any] | None] = {}

    def prepared(self, operation: Operation, *, is_worth_it: bool = False) -> Prepared | None:
        """Return what executes an operation; None when graphql-core shall: because only it can, for the first time (unless the
        caller says that compiling is worth it), or to say what is wrong with the variables.
        """
        wanted = self._wanted(operation, is_worth_it=is_worth_it)
        if wanted is None:
            return None
        try:
            function = self._functions[wanted.key]
        except KeyError:
            function = self._kept(wanted.key, self._compiled_operation(operation, wanted.variables)) if self._has_room else None
        return Prepared(function, wanted.given, wanted.values) if function is not None else None

    async def prepared_aside(self, operation: Operation) -> Prepared | None:
        """Return the same, made in the workshop when that takes long."""
        if not self._takes_long:
            return self.prepared(operation)
        wanted = self._wanted(operation)
        if wanted is None:
            return None
        try:
            function = self._functions[wanted.key]
        except KeyError:
            if not self._has_room and not self._is_asking:
                return None
            work = partial(self._compiled_operation, operation, wanted.variables)
            function = self._kept(wanted.key, await self._workshop.do((self, wanted.key), work))
        return Prepared(function, wanted.given, wanted.values) if function is not None else None

    def _wanted(self, operation: Operation, *, is_worth_it: bool = False) -> _Wanted | None:
        self._uses += 1
        self._is_large |= is_worth_it
        if not self._is_worth_it:
            return None
        try:
            variables = self._variables[operation.name]
        except KeyError:
            variables = self._variables[operation.name] = self._compiled_variables(operation.name)
        if variables is None:
            return None
        try:
            given, values = variables.checked(operation.variables)
        except Unexpected:
            return None
        key = (operation.name, traces.is_on(), *[values.get(name, Undefined) for name in self._conditions])
        return _Wanted(key, variables, given, values)

    def reader(
        self, executor: Executor[Any], type_: GraphQLObjectType, details_list: FieldDetails
    ) -> Callable[[Any], dict[str, Any]] | None:
        """Return the function that completes objects of a selection; None when that takes more than reading them."""
        if not self._is_worth_it:
            return None
        coerced = executor.variable_values.coerced
        key = (type_, *(id(details.node) for details in details_list), *[coerced.get(name, Undefined) for name in self._conditions])
        try:
            return self._functions[key]
        except KeyError:
            return self._kept(key, _compiled(lambda: Compiler(executor).reader(type_, details_list))) if self._has_room else None

    @property
    def _is_worth_it(self) -> bool:
        return self._is_large or self._uses > 1

    @property
    def _has_room(self) -> bool:
        return len(self._functions) < _MOST_COMPILED

    def _kept(self, key: tuple[Any, ...], function: Callable[..., Any] | None) -> Callable[..., Any] | None:
        """Return a new function, which is kept if there is room, and was not made twice at the same time."""
        names = sum(len(value) for value in key if isinstance(value, str))
        if self._has_room and key not in self._functions and names < _LONGEST_NAMES:
            self._functions[key] = function
            if function is not None:
                answers: Mapping[str, bytes] = getattr(function, "answers", {})
                added = self._characters + (names + sum(map(len, answers.values()))) // BYTES_OF_A_CHARACTER
                self.weight += added
                self._note_compiled(self, added)
        return function

    def _compiled_operation(self, operation: Operation, variables: _Variables) -> Callable[..., Any] | None:
        """Return the function of an operation; None when only graphql-core can execute it. Changes nothing here."""

        def compile_() -> Callable[..., Any] | None:
            executor: Any = schema.execution_context_class.build(
                schema.graphql_schema, self._document, raw_variable_values=operation.variables, operation_name=operation.name
            )
            if isinstance(executor, list):
                return None
            try:
                return Compiler(executor, variables.always_there).operation()
            finally:
                vars(executor).clear()  # it holds itself, and the document

        return _compiled(compile_)

    def _compiled_variables(self, name: str | None) -> _Variables | None:
        operation = get_operation_ast(self._document, name)
        try:
            return _Variables(operation.variable_definitions or () if operation else ())
        except Unexpected:
            return None


def _compiled(compile_: Callable[[], Callable[..., Any] | None]) -> Callable[..., Any] | None:
    try:
        return compile_()
    except (Unexpected, GraphQLError):  # of a condition that is null
        return None
    except Exception:
        log.exception("a document could not be compiled")
        return None


class _Variables:
    """The variables that an operation defines."""

    def __init__(self, definitions: Any) -> None:
        """Raises Unexpected for a default that is not plainly right."""
        self._converters: dict[str, Callable[[Any], Any]] = {}
        self._required: list[str] = []
        self._defaults: dict[str, Any] = {}
        for definition in definitions:
            name = definition.variable.name.value
            type_: Any = type_from_ast(schema.graphql_schema, definition.type)
            self._converters[name] = converter(type_)
            if definition.default_value is not None:
                self._defaults[name] = value_from_ast_untyped(definition.default_value)
            elif isinstance(type_, GraphQLNonNull):
                self._required.append(name)
        self.always_there = frozenset((*self._defaults, *self._required))

    def checked(self, given: Mapping[str, Any] | None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return the variables as JSON has them, with defaults, and as resolvers take them; raises Unexpected."""
        given = {**self._defaults, **given} if given and self._defaults else given or self._defaults
        for name in self._required:
            if name not in given:
                raise Unexpected
        return given, {name: convert(given[name]) for name, convert in self._converters.items() if name in given}


def _conditions(document: DocumentNode) -> set[str]:
    """The variables that decide whether a field is selected."""
    names: set[str] = set()

    class Conditions(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: Any) -> None:
            if node.name.value in _CONDITIONS:
                names.update(entry.value.name.value for entry in node.arguments or () if isinstance(entry.value, VariableNode))

    visit(document, Conditions())
    return names
