"""Fields of an object that read its row: resolvers of them, and what they say of themselves to whoever needs no resolver.

A compiled operation reads columns itself (compiled/compiler.py), and lets PostgreSQL write whole objects (compiled/writing.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import strawberry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Composed:
    """An object made of columns of the same row, by its fields' Python names; null unless one of `present` has a value."""

    columns: Mapping[str, str]
    present: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SameRow:
    """An object of another type that reads the same row; null where the column `present` is."""

    present: str


def column(name: str, make: Callable[[Any], Any] | None = None, *, description: str | None = None) -> Any:
    """Return a field that reads `row[name]` of its object, through `make` unless it is None.

    The function notes the column: a compiled operation reads it itself.
    """

    def read(self: Any) -> Any:
        value = self.row[name]
        return value if make is None or value is None else make(value)

    read.__annotations__.clear()  # the field's own annotation tells its type
    read.column = read.written = name  # type: ignore[attr-defined]
    return strawberry.field(resolver=read, description=description)


def composed(
    class_: type, present: tuple[str, ...], make: Mapping[str, Callable[[Any], Any]], description: str | None = None, **columns: str
) -> Any:
    """Return a field that makes an object of columns; those in `make` through a function, which is given None as well.

    A column that was not read counts as null.
    """

    def compose(self: Any) -> Any:
        row = self.row
        if all(row[name] is None for name in present):
            return None
        values = {name: row.get(column) for name, column in columns.items()}
        return class_(**values | {name: made(values[name]) for name, made in make.items()})

    compose.__annotations__.clear()
    compose.written = Composed(columns, present)  # type: ignore[attr-defined]
    return strawberry.field(resolver=compose, description=description)


def written_as(written: Any) -> Callable[[F], F]:
    """Note what PostgreSQL can write for a resolver's field: the name of a column, or what compiled/writing.py knows."""

    def note(resolver: F) -> F:
        resolver.written = written  # type: ignore[attr-defined]
        return resolver

    return note
