"""Large bodies: decoded in parts, one at a time, with others' turns in between (docs/decisions/large-bodies-in-parts.md).

Of a recorder's body nothing is kept that is not asked for, and nothing as objects that will be text: once it is known which
document it is for, the types of its variables say what each value is. Events are checked as they come, and large values written
as their text. Whatever is not plainly right is decoded anew as it is, and graphql-core says what is wrong with it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graphql import get_operation_ast, type_from_ast

from flowtrail.errors import FlowtrailError, Unavailable
from flowtrail.graphql.documents import RequestRefused
from flowtrail.graphql.inputs import Unexpected
from flowtrail.graphql.large_inputs import Input, ObjectOf, converter_of, name_of
from flowtrail.graphql.requests import NAMING, OperationRequest
from flowtrail.graphql.schema import schema
from flowtrail.json_parts import NOTHING, PLAIN, Items, Members, Pieces, Reader, RepeatedName, part_of, utf_8_of
from flowtrail.turns import Turns, stepwise

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from flowtrail.auth import Viewer
    from flowtrail.graphql.compiled.plans import Plans
    from flowtrail.graphql.documents import Documents, Operation
    from flowtrail.json_parts import Builder, Kind, StringBuilder

LARGE = 64 * 1024
"""Bytes of a body that is decoded in parts."""
_SMALL: Mapping[str, Any] = {
    "RecordEventsInput": {"sentAt": "2026-01-01T00:00:00Z", "events": []},
    "ExecutionEventInput": [],
    "RegisterFlowsInput": {"server": "", "flows": []},
}
"""The types of variables whose JSON values are kept as text anyway, and small values of them, or of lists of them."""


class LargeBodies:
    """Decodes the large bodies of one service."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._lines = {True: asyncio.Lock(), False: asyncio.Lock()}
        """Of recorders, and of readers: however many of these come, nothing that is to be recorded waits for them."""

    async def decoded(self, data: bytes | bytearray, viewer: Viewer, seconds: float) -> Any:
        """Return the JSON value of a body; of a recorder's, as much of the variables as the document takes.

        Raises JsonTextError for what is no JSON, Unavailable when others' bodies take longer than `seconds`.
        """
        async with self._turn(seconds, recorders=viewer.can_record) as turns:
            text = await stepwise(utf_8_of(data), turns)
            part = await stepwise(part_of(text), turns)
            if viewer.can_record:
                return await self._taken_apart(text, part, viewer, turns)
            return await stepwise(Reader(text, part).read(PLAIN), turns)

    async def message(self, text: str, seconds: float) -> Any:
        """Return the JSON value of a reader's message, whose text is known to be Unicode; raises as `decoded` does."""
        async with self._turn(seconds, recorders=False) as turns:
            data = text.encode()
            return await stepwise(Reader(data, await stepwise(part_of(data), turns)).read(PLAIN), turns)

    @asynccontextmanager
    async def _turn(self, seconds: float, *, recorders: bool) -> AsyncIterator[Turns]:
        line = self._lines[recorders]
        try:
            async with asyncio.timeout(seconds):
                await line.acquire()
        except TimeoutError:
            raise Unavailable("too many large requests come at the same time; send it again") from None
        try:
            yield Turns(None if recorders else self)  # those of readers are one at a time, so all together like one client's
        finally:
            line.release()

    async def _taken_apart(self, text: bytes | bytearray, part: int, viewer: Viewer, turns: Turns) -> Any:
        naming, by_name = None, False
        while True:
            request = _Request(text, lambda parameters: self._types(parameters, viewer), naming, by_name=by_name)
            try:
                value = await stepwise(Reader(text, part).read(request), turns)
                request.check(value)
            except RepeatedName:
                by_name = True
            except _NamedLater as later:
                naming = later.naming
            except Unexpected:
                return await stepwise(Reader(text, part).read(PLAIN), turns)
            else:
                return value

    def _types(self, naming: Mapping[str, Any], viewer: Viewer) -> Mapping[str, Any]:
        """Return the types of the variables of the document that is named; none before one is.

        Raises Unexpected where they would not tell what becomes of the variables: nothing is compiled, or the request is refused.
        """
        if all(value is None for value in naming.values()):
            return {}
        try:
            operation = self._documents.operation(OperationRequest.parse(naming), viewer)
        except (FlowtrailError, RequestRefused):
            raise Unexpected from None
        if operation.plans is None:
            raise Unexpected
        node = get_operation_ast(operation.document, operation.name)
        definitions = node.variable_definitions or () if node is not None else ()
        types = {each.variable.name.value: type_from_ast(schema.graphql_schema, each.type) for each in definitions}
        _compile(operation, operation.plans, types)
        return types


def _compile(operation: Operation, plans: Plans, types: Mapping[str, Any]) -> None:
    """Have a document compiled as if its variables were small: graphql-core would go through all of them for that, in one go.

    What a document is given so much for is worth it, even the first time.
    """
    small = {name: _SMALL[name_of(type_)] for name, type_ in types.items() if name_of(type_) in _SMALL}
    plans.prepared(replace(operation, variables=small), is_worth_it=True)


class _NamedLater(Exception):
    """What names the document came after the variables, or again."""

    def __init__(self, naming: Mapping[str, Any]) -> None:
        super().__init__()
        self.naming = naming


class _Request:
    """The parameters of a request."""

    def __init__(
        self,
        text: bytes | bytearray,
        types_of: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        naming: Mapping[str, Any] | None,
        *,
        by_name: bool,
    ) -> None:
        """`naming` is what names the document, if that is known."""
        self._text = text
        self._types_of = types_of
        self._by_name = by_name
        self._named = naming
        self._types: Mapping[str, Any] = {}

    def array(self) -> Builder:
        return Items(PLAIN)

    def object(self) -> Builder:
        return _Parameters(self)

    def string(self) -> StringBuilder:
        return Pieces()

    def variables(self, parameters: Mapping[str, Any]) -> Kind:
        """Return what is made of the variables, which come after these parameters."""
        if self._named is None:
            self._named = _naming(parameters)
        self._types = self._types_of(self._named)
        return ObjectOf({name: self._kind_of(type_) for name, type_ in self._types.items()}, NOTHING)

    def check(self, value: Any) -> None:
        """Raise unless what was made of the variables is what their document takes."""
        if self._named is None or not isinstance(value, dict):
            return
        if self._named != (naming := _naming(value)):
            raise _NamedLater(naming)
        variables = value.get("variables")
        if not isinstance(variables, dict):
            return  # null, or for the request to refuse
        for name, variable in variables.items():
            if name in self._types:
                converter_of(self._types[name])(variable)

    def _kind_of(self, type_: Any) -> Kind:
        if name_of(type_) not in _SMALL:
            return PLAIN
        return Input(type_, self._text, by_name=self._by_name)


class _Parameters(Members):
    def __init__(self, request: _Request) -> None:
        super().__init__(NOTHING)
        self._request = request

    def inside(self, name: str | None) -> Kind:
        if name == "variables":
            return self._request.variables(self._members)
        if name == "extensions":
            return ObjectOf({"persistedQuery": PLAIN}, NOTHING)
        return PLAIN if name in NAMING else NOTHING


def _naming(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: parameters.get(name) for name in NAMING}
