"""A loader reads at once what many resolvers ask for one by one (spec 2.9), and stops reading when none of them waits any more.

Who waits for a value may be cancelled: graphql-core cancels what is beside a field that failed. The value is others' too, so
cancelling one never cancels the reading; when the last one has gone it is cancelled, together with its SQL.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence

    K = TypeVar("K", bound=Hashable)
else:
    K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


AT_ONCE = 10
"""Resolvers that go on in one round of the event loop; a hundred would hold up everybody else for milliseconds."""


class Pace:
    """How an operation goes on, for all of its loaders."""

    __slots__ = ("is_one_by_one", "lag")

    def __init__(self) -> None:
        self.is_one_by_one = False
        """Whether one resolver runs after the other: what one asks for is read at once, since nobody else can ask for more."""
        self.lag = 0
        """Rounds of the event loop by which some resolvers are behind others that do the same."""

    async def one_after_the_other(self, resolvers: Sequence[T], go_on: Callable[[T], object]) -> None:
        """Let resolvers go on, a few in each round."""
        self.lag = max(self.lag, (len(resolvers) - 1) // AT_ONCE)
        for number, resolver in enumerate(resolvers):
            if number and number % AT_ONCE == 0:
                await asyncio.sleep(0)
            go_on(resolver)


class Loader(Generic[K, V]):
    """Loads values by key for one operation, each once. `batch` returns them in the order of the keys it is given."""

    def __init__(self, batch: Callable[[list[K]], Awaitable[Sequence[V]]], pace: Pace) -> None:
        self._batch = batch
        self._pace = pace
        self._batches: dict[K, _Batch[K, V]] = {}
        self._open: _Batch[K, V] | None = None

    async def load(self, key: K) -> V:
        """Return the value of a key; raises what the batch raises."""
        if self._pace.is_one_by_one and key not in self._batches:
            batch = self._batches[key] = _Batch(self._batch, self._pace)
            batch.add(key)
            return (await batch.read())[0]
        batch = self._batch_of(key)
        waiting = batch.join()
        try:
            return (await waiting)[batch.places[key]]
        finally:
            batch.leave(waiting)

    async def load_many(self, keys: Iterable[K]) -> list[V]:
        """Return the values of several keys; raises what one of their batches raises."""
        batches = [(self._batch_of(key), key) for key in keys]
        waiting = {batch: batch.join() for batch in dict.fromkeys(batch for batch, _ in batches)}
        try:
            values = {batch: await future for batch, future in waiting.items()}
        finally:
            for batch, future in waiting.items():
                batch.leave(future)
        return [values[batch][batch.places[key]] for batch, key in batches]

    def fail(self, key: K, error: Exception) -> None:
        """Let a key raise this, as if it had been read: what reading the same in another form raised."""
        failed = _Batch(self._batch, self._pace, error)
        failed.add(key)
        self._batches[key] = failed

    def _batch_of(self, key: K) -> _Batch[K, V]:
        found = self._batches.get(key)
        if found is not None and not found.was_given_up:
            return found
        if self._open is None or self._open.has_begun or self._open.was_given_up:
            self._open = _Batch(self._batch, self._pace)
            self._open.begin_later()
        self._open.add(key)
        self._batches[key] = self._open
        return self._open


class _Batch(Generic[K, V]):
    """Keys that were asked for in the same round of the event loop, or by those who are behind by as many as the pace tells."""

    def __init__(self, read: Callable[[list[K]], Awaitable[Sequence[V]]], pace: Pace, error: Exception | None = None) -> None:
        """`error` is what they raise, if that is known already."""
        self._pace = pace
        self.has_begun = error is not None
        self.was_given_up = False
        self.places: dict[K, int] = {}
        self._quiet = 0
        """Rounds in which nobody asked for more."""
        self._read = read
        self._waiting: set[asyncio.Future[Sequence[V]]] = set()
        self._values: Sequence[V] | None = None
        self._error = error
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None

    def add(self, key: K) -> None:
        self.places[key] = len(self.places)
        self._quiet = 0

    def join(self) -> asyncio.Future[Sequence[V]]:
        """Return what the values will be, in the order of `places`. Whoever joins must leave."""
        waiting: asyncio.Future[Sequence[V]] = self._loop.create_future()
        self._waiting.add(waiting)
        self._tell(waiting)
        return waiting

    def leave(self, waiting: asyncio.Future[Sequence[V]]) -> None:
        """Wait no longer. When nobody does, nothing is read."""
        self._waiting.discard(waiting)
        if not waiting.done():
            waiting.cancel()
        elif not waiting.cancelled():
            waiting.exception()  # whoever waited for several has seen another's
        if not self._waiting and not self._is_read:
            self._give_up()

    def begin_later(self) -> None:
        """Read when all who run now have asked."""
        self._loop.call_soon(self._begin)

    async def read(self) -> Sequence[V]:
        """Read now, and return the values."""
        try:
            await self._run()
        finally:
            if not self._is_read:
                self.was_given_up = True
                for waiting in self._waiting:
                    waiting.cancel()
        if self._error is not None:
            raise self._error
        return cast("Sequence[V]", self._values)

    def _begin(self) -> None:
        if self.was_given_up:
            return
        if self._quiet < self._pace.lag:
            self._quiet += 1
            self.begin_later()
        else:
            self._task = self._loop.create_task(self._run())

    async def _run(self) -> None:
        self.has_begun = True  # not before: who was woken together with others may take a step longer to ask
        try:
            self._values = await self._read(list(self.places))
        except Exception as error:
            self._error = error
        await self._tell_all()

    async def _tell_all(self) -> None:
        told = list(self._waiting)
        try:
            await self._pace.one_after_the_other(told, self._tell)
        finally:  # also of one who is cancelled meanwhile, and has read for others
            for waiting in told:
                self._tell(waiting)

    @property
    def _is_read(self) -> bool:
        return self._values is not None or self._error is not None

    def _tell(self, waiting: asyncio.Future[Sequence[V]]) -> None:
        if waiting.done():
            return
        if self._error is not None:
            waiting.set_exception(self._error)
        elif self._values is not None:
            waiting.set_result(self._values)

    def _give_up(self) -> None:
        self.was_given_up = True
        if self._task is not None:
            self._task.cancel()
