"""A loader reads at once what many resolvers ask for one by one (spec 2.9), and stops reading when none of them waits any more.

Who waits for a value may be cancelled: graphql-core cancels what is beside a field that failed. The value is others' too, so
cancelling one never cancels the reading; when the last one has gone it is cancelled, together with its SQL.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    K = TypeVar("K", bound=Hashable)
else:
    K = TypeVar("K")
V = TypeVar("V")


class Loader(Generic[K, V]):
    """Loads values by key for one operation, each once. `batch` returns them in the order of the keys it is given."""

    def __init__(self, batch: Callable[[list[K]], Awaitable[Sequence[V]]]) -> None:
        self._batch = batch
        self._batches: dict[K, _Batch[K, V]] = {}
        self._open: _Batch[K, V] | None = None

    async def load(self, key: K) -> V:
        """Return the value of a key; raises what the batch raises."""
        return await self._batch_of(key).value(key)

    async def load_many(self, keys: Iterable[K]) -> list[V]:
        """Return the values of several keys."""
        return list(await asyncio.gather(*map(self.load, keys)))

    def _batch_of(self, key: K) -> _Batch[K, V]:
        found = self._batches.get(key)
        if found is not None and not found.was_given_up:
            return found
        if self._open is None or self._open.has_begun or self._open.was_given_up:
            self._open = _Batch(self._batch)
        self._open.add(key)
        self._batches[key] = self._open
        return self._open


class _Batch(Generic[K, V]):
    """Keys that were asked for in the same turn of the event loop."""

    def __init__(self, read: Callable[[list[K]], Awaitable[Sequence[V]]]) -> None:
        self.has_begun = False
        self.was_given_up = False
        self._read = read
        self._waiting = 0
        self._places: dict[K, int] = {}
        self._loop = asyncio.get_running_loop()
        self._values: asyncio.Future[Sequence[V]] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._loop.call_soon(self._begin)

    def add(self, key: K) -> None:
        self._places[key] = len(self._places)

    async def value(self, key: K) -> V:
        self._waiting += 1
        try:
            values = await asyncio.shield(self._values)
        finally:
            self._waiting -= 1
            if not self._waiting and not self._values.done():
                self._give_up()
        return values[self._places[key]]

    def _begin(self) -> None:
        if not self.was_given_up:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        self.has_begun = True  # not before: who was woken together with others may take a step longer to ask
        try:
            values = await self._read(list(self._places))
        except Exception as error:
            if not self._values.done():
                self._values.set_exception(error)
        else:
            if not self._values.done():
                self._values.set_result(values)

    def _give_up(self) -> None:
        self.was_given_up = True
        self._values.cancel()
        if self._task is not None:
            self._task.cancel()
