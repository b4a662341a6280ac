"""Starts a coroutine at once, as the eager tasks of Python 3.12 do: one that needs not wait costs no turn of the event loop."""

from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


def start(coroutine: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Run `coroutine` up to its first wait; return None when it has ended, else its rest, to be awaited once.

    Raises what the coroutine raises.
    """
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return _Rest(coroutine, waits_for)


class _Rest:
    """A coroutine that waits already."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        try:
            yield self._waits_for
        except BaseException:
            self._coroutine.close()
            raise
        yield from self._coroutine.__await__()
