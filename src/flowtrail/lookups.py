"""Looking digests up in the database: those asked for meanwhile share the next statement, and answers hold for a while.

However many wrong tokens arrive, there is one statement at a time, on one connection.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

Found = TypeVar("Found")
_REMEMBERED_DIGESTS = 10_000
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class _Answer(Generic[Found]):
    found: Found | None
    until: float
    """Monotonic seconds."""


class Lookups(Generic[Found]):
    """Answers of `look_up`, which reads several digests at once; each holds for `seconds`."""

    def __init__(self, look_up: Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, Found]]], seconds: float) -> None:
        self._look_up = look_up
        self._seconds = seconds
        self._answers: OrderedDict[bytes, _Answer[Found]] = OrderedDict()
        self._waiting: dict[bytes, asyncio.Future[Found | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, digest: bytes) -> Found | None:
        """Return what `digest` stands for, or None; raises what `look_up` raises."""
        answer = self._answers.get(digest)
        if answer is not None and time.monotonic() < answer.until:
            return answer.found
        waiting = self._waiting.get(digest)
        if waiting is None:
            waiting = self._waiting[digest] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await asyncio.shield(waiting)

    def forget(self, digest: bytes) -> None:
        """Ask anew the next time."""
        self._answers.pop(digest, None)

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = {digest: self._waiting.pop(digest) for digest in list(self._waiting)[:_BATCH]}
                try:
                    found = await self._look_up(list(batch))
                except Exception as error:
                    for waiting in batch.values():
                        waiting.set_exception(error)
                        waiting.exception()  # whoever asked may have gone
                else:
                    for digest, waiting in batch.items():
                        self._keep(digest, found.get(digest))
                        waiting.set_result(found.get(digest))
        finally:
            self._task = None

    def _keep(self, digest: bytes, found: Found | None) -> None:
        self._answers[digest] = _Answer(found, time.monotonic() + self._seconds)
        self._answers.move_to_end(digest)
        if len(self._answers) > _REMEMBERED_DIGESTS:
            self._answers.popitem(last=False)
