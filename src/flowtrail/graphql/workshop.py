"""A thread for what can't be done in parts: to parse, validate and compile a large document takes 30 ms and more (spec 2.10)."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class Workshop:
    """Does one piece of work after the other, beside the event loop. Nothing that it does may touch what the loop changes.

    The loop takes the interpreter's lock back whenever it has something to do, within `sys.getswitchinterval()`.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "workshop")
        self._under_way: dict[Hashable, asyncio.Future[Any]] = {}

    async def do(self, key: Hashable, work: Callable[[], T]) -> T:
        """Return what `work` returns, or raise what it raises; all who ask for the same `key` meanwhile share it.

        It goes on when nobody waits for it any more: somebody may soon ask again.
        """
        future = self._under_way.get(key)
        if future is None:
            future = asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, _done, work)
            self._under_way[key] = future
            future.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(future)

    def _forget(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        del self._under_way[key]
        if not done.cancelled():
            done.exception()  # nobody may have waited to the end


def _done(work: Callable[[], T]) -> T:
    """Return what `work` returns. What it leaves behind in cycles goes at once, in about a millisecond; of a hundred documents
    together that takes a hundred.
    """
    try:
        return work()
    finally:
        gc.collect(1)
