"""Coroutines that graphql-core makes and never begins: beside a field that failed it cancels what waits for them.

Python warns of each when it is forgotten, since most often that is a mistake. Here it is none, so they are closed.
"""

from __future__ import annotations

import inspect
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from graphql.pyutils import is_awaitable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine
    from types import TracebackType


class Unbegun:
    """Closes, at the end of a block, the coroutines of one operation that were not begun in it."""

    def __init__(self) -> None:
        self._coroutines: list[Coroutine[Any, Any, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for coroutine in self._coroutines:
            if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                coroutine.close()
        self._coroutines.clear()

    def is_awaitable(self, value: Any) -> TypeGuard[Awaitable[Any]]:
        """What graphql-core asks of everything that resolvers return; a coroutine is noted."""
        if type(value) is CoroutineType:
            self._coroutines.append(value)
            return True
        return is_awaitable(value)
