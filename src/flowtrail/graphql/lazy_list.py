"""A long list whose items are made one by one, as they are completed: others have their turn in between (spec 2.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
S = TypeVar("S")


class LazyList(Generic[S, T]):
    """What `make` makes of each of `items`, anew whenever it is gone through."""

    __slots__ = ("_items", "_make")

    def __init__(self, make: Callable[[S], T], items: Iterable[S]) -> None:
        self._make = make
        self._items = items

    def __iter__(self) -> Iterator[T]:
        return map(self._make, self._items)
