"""What is made of large variables, by their types: events are checked as they come, and JSON values written as their text."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull, GraphQLScalarType, get_named_type

from flowtrail import json_text
from flowtrail.graphql.inputs import Converted, converter
from flowtrail.json_parts import PLAIN, Items, Members, Pieces, Text
from flowtrail.recording.events import EventRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from flowtrail.json_parts import Builder, Kind, Steps, StringBuilder
    from flowtrail.recording.events import Event

_CHECKED_AT_ONCE = 8
"""Events."""


class ObjectOf:
    """An object, whose members are of the kinds that their names say."""

    def __init__(self, kinds: Mapping[str, Kind], others: Kind) -> None:
        self._kinds = kinds
        self._others = others

    def array(self) -> Builder:
        return Items(PLAIN)

    def object(self) -> Builder:
        return _MembersOfKinds(self._kinds, self._others)

    def string(self) -> StringBuilder:
        return Pieces()


class _MembersOfKinds(Members):
    def __init__(self, kinds: Mapping[str, Kind], others: Kind) -> None:
        super().__init__(others)
        self._kinds = kinds

    def inside(self, name: str | None) -> Kind:
        return self._kinds.get(name or "", self._kind)


class Input:
    """A value of an input type."""

    def __init__(self, type_: Any, text: bytes | bytearray, *, by_name: bool) -> None:
        self._type = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        self._text = text
        self._by_name = by_name

    def array(self) -> Builder:
        if not isinstance(self._type, GraphQLList):
            return Items(PLAIN)
        item = self._type.of_type
        kind = self._kind_of(item)
        return _Events(item, kind, self._text) if name_of(item) == "ExecutionEventInput" else Items(kind)

    def object(self) -> Builder:
        fields = self._type.fields if isinstance(self._type, GraphQLInputObjectType) else {}
        return _MembersOfKinds({name: self._kind_of(field.type) for name, field in fields.items()}, PLAIN)

    def string(self) -> StringBuilder:
        return Pieces()

    def _kind_of(self, type_: Any) -> Kind:
        named = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
        if isinstance(named, GraphQLScalarType):
            return Text(by_name=self._by_name) if named.name == "JSON" else PLAIN
        return Input(named, self._text, by_name=self._by_name)


def name_of(type_: Any) -> str:
    """Return the name of a type, whatever list of it it is."""
    return get_named_type(type_).name  # type: ignore[no-any-return]


class _Events(Items):
    """The events of a batch, each converted and checked before the next is decoded."""

    def __init__(self, type_: Any, kind: Kind, text: bytes | bytearray) -> None:
        super().__init__(kind)
        self._convert = converter_of(type_)
        self._text = text
        self._parts: list[tuple[int, int]] = []

    def put(self, name: str | None, value: Any, start: int, end: int) -> Steps[None]:
        yield from self.take([value], start, end)

    def take(self, run: list[Any], start: int, end: int) -> Steps[None]:
        self._parts.append((start, end))
        for number, value in enumerate(run):
            self._items.append(CheckedEvent(self._convert(value)))
            if number % _CHECKED_AT_ONCE == 0:
                yield

    def close(self) -> Steps[Any]:
        yield
        return ConvertedEvents(self._items, self._text, self._parts)


class ConvertedEvents(Converted):
    """The events of a batch."""

    __slots__ = ("_parts", "_text")

    def __init__(self, events: list[CheckedEvent], text: bytes | bytearray, parts: list[tuple[int, int]]) -> None:
        """`parts` says where they are in the text of the body."""
        super().__init__(events)
        self._text = text
        self._parts = parts

    def __iter__(self) -> Iterator[Any]:
        for start, end in self._parts:
            yield from json_text.load(b"[" + bytes(self._text[start:end]) + b"]")


@cache
def converter_of(type_: Any) -> Callable[[Any], Any]:
    """Return the `converter` of an input type, which is made once."""
    return converter(type_)


class CheckedEvent:
    """An ExecutionEventInput that was checked, and is gone."""

    __slots__ = ("_event", "_refusal")

    def __init__(self, given: Any) -> None:
        self._event: Event | None = None
        self._refusal: EventRefused | None = None
        try:
            self._event = given.checked()
        except EventRefused as refusal:
            self._refusal = refusal.with_traceback(None)

    def checked(self) -> Event:
        """Return the event; raises EventRefused naming the field that is wrong."""
        if self._event is None:
            raise self._refusal or AssertionError
        return self._event
