"""Follows the feed once for the whole process, and fans out what is new to whoever follows."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from flowtrail.changes.feed import BATCH, Entry, EpochChanged, ResyncReason, ResyncRequired, ensure_epoch, position_now, read_after
from flowtrail.changes.position import Position, Snapshot
from flowtrail.database import Database
from flowtrail.errors import FlowtrailError
from flowtrail.observability import metrics
from flowtrail.turns import Turns, in_turns

log = structlog.get_logger()

TICK = 1.0
"""Seconds after which the feed is looked at without a hint."""
_PAUSE = 0.5
"""Seconds before another try when the database does not answer."""
CATCH_UP_BATCH = 1000
"""Changes read at once for a follower that is behind."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that were read together. `number` counts the batches that the tail has fanned out; 0 for one read to catch up."""

    entries: list[Entry]
    number: int = 0


@dataclass(frozen=True, slots=True)
class Joined:
    """From where on a follower gets the changes: those after `position`, in the batches after `number`."""

    position: Position
    number: int


class Follower(Protocol):
    """Whoever wants the changes as they come. Both are called on the event loop and must not wait."""

    def take(self, batch: Batch) -> None:
        """Take the next changes."""

    def stop(self, reason: ResyncReason) -> None:
        """Learn that the feed was started anew: there is no next change."""


async def catch_up(database: Database, position: Position, until: Snapshot | None = None) -> AsyncIterator[tuple[Batch, Position]]:
    """Yield what came after `position`, piece by piece, with the position after each.

    It ends with what is visible in `until` if that is given (`position` is inside a batch that ends there), else with what is
    visible now. Raises ResyncRequired for a position that can't be served.
    """
    is_last = False
    while not is_last:
        began_at_rest = position.batch is None
        async with database.read() as read:
            try:
                entries, position = await read_after(read, position, CATCH_UP_BATCH)
            except EpochChanged:
                raise ResyncRequired(ResyncReason.DATABASE_REPLACED) from None
        is_last = position.batch is None and (began_at_rest or position.seen == until)
        if entries or is_last:
            yield Batch(entries), position


class Tail:
    """The one reader of the feed's end. It reads only while somebody follows."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._position: Position | None = None
        self._number = 0
        self._followers: set[Follower] = set()
        self._joining: list[tuple[Follower, asyncio.Future[Joined]]] = []
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the feed now."""
        self._wake.set()

    async def join(self, follower: Follower) -> Joined:
        """Give `follower` every change from now on; one that follows already just learns from where.

        The position was read after the call, so it is no older than any cursor the caller holds.
        """
        joined: asyncio.Future[Joined] = asyncio.get_running_loop().create_future()
        self._joining.append((follower, joined))
        self.wake()
        return await joined

    def leave(self, follower: Follower) -> None:
        """Give `follower` nothing more."""
        self._followers.discard(follower)

    async def run(self) -> None:
        """Follow the feed until cancelled, whatever happens to the database."""
        while True:
            try:
                await self._advance()
                await self._wait()
            except EpochChanged:
                await self._start_anew()
            except ResyncRequired as resync:
                self._stop_all(resync.reason)
                await asyncio.sleep(_PAUSE)
            except FlowtrailError as error:
                log.warning("the change feed can't be read, will try again", error=str(error))
                await asyncio.sleep(_PAUSE)
            except Exception:
                log.exception("reading the change feed failed, will try again")
                await asyncio.sleep(_PAUSE)

    async def _wait(self) -> None:
        if self._joining:
            return
        try:
            # Nobody follows: nothing is read, not even at a tick.
            async with asyncio.timeout(TICK if self._followers else None):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _advance(self) -> None:
        self._wake.clear()
        joining, self._joining = self._joining, []
        if not self._followers and not joining:
            self._position = None
            return
        try:
            await self._read(joining)
        except BaseException:
            self._joining = joining + self._joining
            raise

    async def _read(self, joining: list[tuple[Follower, asyncio.Future[Joined]]]) -> None:
        async with self._database.read() as read:
            if self._position is None or not self._followers:
                self._position = await position_now(read)
            while True:
                entries, self._position = await read_after(read, self._position, BATCH)
                if entries:
                    self._number += 1
                    await self._fan_out(Batch(entries, self._number))
                metrics.feed_read.set_to_current_time()
                if self._position.batch is None:
                    break
        for follower, joined in joining:
            if not joined.cancelled():
                self._followers.add(follower)
                joined.set_result(Joined(self._position, self._number))

    async def _fan_out(self, batch: Batch) -> None:
        async for follower in in_turns(list(self._followers), Turns()):
            if follower in self._followers:  # it may have left in the meantime
                follower.take(batch)

    async def _start_anew(self) -> None:
        try:
            await ensure_epoch(self._database)
        except FlowtrailError as error:
            log.warning("the change feed can't be started anew, will try again", error=str(error))
            await asyncio.sleep(_PAUSE)
            return
        self._stop_all(ResyncReason.DATABASE_REPLACED)

    def _stop_all(self, reason: ResyncReason) -> None:
        self._position = None
        followers, self._followers = self._followers, set()
        for follower in followers:
            follower.stop(reason)
