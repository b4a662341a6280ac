"""What is made of values that are larger than a part."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
"""Work that yields where others may have their turn, and returns its result."""


class Builder(Protocol):
    """Puts a large array or object together."""

    def inside(self, name: str | None) -> Kind:
        """Return what is made of the next member, which is large; `name` is None in an array."""

    def put(self, name: str | None, value: Any, start: int, end: int) -> Steps[None]:
        """Take that member; `start` and `end` are where its text is."""

    def take(self, run: Any, start: int, end: int) -> Steps[None]:
        """Take the next members, which are plain values: a list of them, or a dict. `start` and `end` are where their text is."""

    def close(self) -> Steps[Any]:
        """Return what was made."""


class StringBuilder(Protocol):
    """Puts a large string together."""

    def add(self, piece: str) -> None:
        """Take the next piece."""

    def close(self) -> Steps[Any]:
        """Return what was made."""


class Kind(Protocol):
    """What is made of a value that is large. One that is small is decoded as it is."""

    def array(self) -> Builder:
        """Begin an array."""

    def object(self) -> Builder:
        """Begin an object."""

    def string(self) -> StringBuilder:
        """Begin a string."""


class Items:
    """A list, of items of one kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._items: list[Any] = []

    def inside(self, name: str | None) -> Kind:
        return self._kind

    def put(self, name: str | None, value: Any, start: int, end: int) -> Steps[None]:
        self._items.append(value)
        yield

    def take(self, run: list[Any], start: int, end: int) -> Steps[None]:
        self._items += run
        yield

    def close(self) -> Steps[Any]:
        yield
        return self._items


class Members:
    """A dict. Of a name that comes again the last value holds, in the place of the first."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._members: dict[str, Any] = {}

    def inside(self, name: str | None) -> Kind:
        return self._kind

    def put(self, name: str | None, value: Any, start: int, end: int) -> Steps[None]:
        assert name is not None  # noqa: S101 (objects have names)
        self._members[name] = value
        yield

    def take(self, run: dict[str, Any], start: int, end: int) -> Steps[None]:
        self._members |= run
        yield

    def close(self) -> Steps[Any]:
        yield
        return self._members


class Pieces:
    """A str."""

    def __init__(self) -> None:
        self._pieces: list[str] = []

    def add(self, piece: str) -> None:
        self._pieces.append(piece)

    def close(self) -> Steps[Any]:
        yield
        return "".join(self._pieces)


class Plain:
    """The value as `json_text.load` returns it."""

    def array(self) -> Builder:
        return Items(self)

    def object(self) -> Builder:
        return Members(self)

    def string(self) -> StringBuilder:
        return Pieces()


class Nothing:
    """None, of what nobody wants: it is only held to the grammar. Both kind and builder."""

    def array(self) -> Builder:
        return self

    def object(self) -> Builder:
        return self

    def string(self) -> StringBuilder:
        return self

    def inside(self, name: str | None) -> Kind:
        return self

    def add(self, piece: str) -> None:
        pass

    def put(self, name: str | None, value: Any, start: int, end: int) -> Steps[None]:
        yield

    def take(self, run: Any, start: int, end: int) -> Steps[None]:
        yield

    def close(self) -> Steps[Any]:
        yield


PLAIN = Plain()
NOTHING = Nothing()
