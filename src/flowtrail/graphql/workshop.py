"""A thread for what can't be done in parts: to parse, validate and compile a large document takes 30 ms and more (spec 2.10)."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flowtrail.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class _Work(NamedTuple):
    """One piece of work, and who waits for it."""

    future: asyncio.Future[Any]
    waiting: set[object]


class Workshop:
    """Does one piece of work after the other, beside the event loop. Nothing that it does may touch what the loop changes.

    The loop takes the interpreter's lock back whenever it has something to do, within `sys.getswitchinterval()`.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "workshop")
        self._under_way: dict[Hashable, _Work] = {}
        self._is_closed = False

    async def do(self, key: Hashable, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises; all who ask for the same `key` meanwhile share it.

        It is not begun when nobody waits for it any more. Raises Unavailable after `close`.
        """
        if self._is_closed:
            raise Unavailable("the service is stopping")
        found, waiter = self._under_way.get(key), object()
        if found is None:
            future = asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, work)
            found = self._under_way[key] = _Work(future, set())
            future.add_done_callback(lambda done: self._forget(key, done))
            del future
        found.waiting.add(waiter)
        try:
            return await asyncio.shield(found.future)
        finally:
            found.waiting.discard(waiter)
            if not found.waiting and not found.future.done():
                found.future.cancel()
                self._under_way.pop(key, None)
            del found  # it holds what is raised here, and that this frame with the document

    def close(self) -> None:
        """Begin nothing more; what waits is cancelled."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _forget(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        if key in self._under_way and self._under_way[key].future is done:
            del self._under_way[key]
        if not done.cancelled():
            done.exception()  # nobody may have waited to the end
            # What the work left behind in cycles takes about a millisecond; of a hundred pieces together, a hundred. Not in the
            # thread: some of what is found may be the loop's.
            gc.collect(1)
