"""From the feed to events: what a subscriber missed, and then what comes, without a gap and without a repeat (spec 3.2, 3.3)."""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from flowtrail import changes, executions
from flowtrail.changes import Batch, Joined, Position, Tail
from flowtrail.database import Database
from flowtrail.graphql.changes import ExecutionChange, ExecutionChangeEvent, ExecutionChangeKind, ResyncReason, ResyncRequired
from flowtrail.graphql.executions import Execution
from flowtrail.graphql.nodes import NodeExecution

MAX_BEHIND = 1000
"""Changes that may wait for a subscriber; one that is further behind is cut off (spec 3.4)."""

T = TypeVar("T")


class TooFarBehind(Exception):
    """The subscriber does not read as fast as things change."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which changes a subscriber wants and may see."""

    flow_id: uuid.UUID | None = None
    execution_id: uuid.UUID | None = None
    servers: frozenset[str] | None = None

    def wants(self, change: changes.Change) -> bool:
        return (self.flow_id is None or change.flow_id == self.flow_id) and (
            self.execution_id is None or change.execution_id == self.execution_id
        )

    def may_see(self, row: executions.Execution | None) -> bool:
        """Whether the viewer may see the execution; of one that was purged nobody knows the server any more."""
        return self.servers is None or (row is not None and row.server in self.servers)


class LoadedBatch:
    """Changes with the executions and nodes they are about, which were read once, after the changes."""

    def __init__(
        self,
        batch: Batch,
        rows: dict[uuid.UUID, executions.Execution],
        nodes: dict[executions.NodeKey, executions.NodeExecution],
    ) -> None:
        self._batch = batch
        self._rows = rows
        self._nodes = nodes

    @classmethod
    async def load(cls, database: Database, batch: Batch, chosen: Chosen | None = None) -> "LoadedBatch":
        """Read what the changes are about: of all, or only of those that `chosen` wants."""
        wanted = [entry.change for entry in batch.entries if chosen is None or chosen.wants(entry.change)]
        keys = {(change.execution_id, change.position) for change in wanted if change.position is not None}
        if not wanted:
            return cls(batch, {}, {})
        async with database.read() as read:
            rows = await executions.executions_by_id(read, {change.execution_id for change in wanted})
            nodes = await executions.nodes_by_key(read, keys) if keys else {}
        return cls(batch, rows, nodes)

    def events(self, chosen: Chosen) -> list[ExecutionChange]:
        """Return the events for one choice, in order."""
        return [
            self._event(entry)
            for entry in self._batch.entries
            if chosen.wants(entry.change) and chosen.may_see(self._rows.get(entry.change.execution_id))
        ]

    def _event(self, entry: changes.Entry) -> ExecutionChange:
        change = entry.change
        row = self._rows.get(change.execution_id)
        node = None if change.position is None else self._nodes.get((change.execution_id, change.position))
        return ExecutionChange(
            cursor=entry.position.encode(),
            kind=ExecutionChangeKind(change.kind),
            at=change.at,
            execution_id=change.execution_id,
            execution=Execution.of(row) if row else None,
            node_execution=NodeExecution.of(node) if node else None,
        )


class Mailbox(Generic[T]):
    """What waits for one subscriber, bounded. Its owner may join the tail later, and then says from which batch on."""

    def __init__(self, when_full: Callable[[], None] | None = None) -> None:
        """`when_full` is called when the bound is passed: the owner may be stuck in a send, and not look here again."""
        self._waiting: deque[tuple[int, T]] = deque()
        self._arrived = asyncio.Event()
        self._end: Exception | None = None
        self._when_full = when_full
        self.since = 0
        """Batches up to this number are not for this subscriber."""

    def put(self, number: int, item: T) -> None:
        """Add something of the batch `number`."""
        if self._end is not None:
            return
        if len(self._waiting) >= MAX_BEHIND:
            self._waiting.clear()
            self.end(TooFarBehind())
            if self._when_full is not None:
                self._when_full()
            return
        self._waiting.append((number, item))
        self._arrived.set()

    def end(self, reason: Exception) -> None:
        """Add nothing more; who takes is told the reason after what waits."""
        self._end = self._end or reason
        self._arrived.set()

    async def take(self) -> T:
        """Return the next item; raises the reason of the end."""
        while True:
            while self._waiting:
                number, item = self._waiting.popleft()
                if number > self.since:
                    return item
            if self._end is not None:
                raise self._end
            self._arrived.clear()
            await self._arrived.wait()


class ChangeStream:
    """The source of a subscription. The transports read it in parts, to share the work; iterated, it yields every event itself."""

    def __init__(self, database: Database, tail: Tail, chosen: Chosen, after: Position | None) -> None:
        self.chosen = chosen
        self._database = database
        self._tail = tail
        self._after = after

    async def missed(self, join: Callable[[], Awaitable[Joined]]) -> AsyncIterator[LoadedBatch]:
        """Yield what came after `after`, up to where `join` makes the subscriber follow. Raises changes.ResyncRequired."""
        position = self._after
        if position is None:
            await join()
            return
        async for batch, reached in self._tail.catch_up(position):
            position = reached
            yield await LoadedBatch.load(self._database, batch, self.chosen)
        joined = await join()
        gap = position.inside(joined.position.seen, 0)
        async for batch, _ in self._tail.catch_up(gap, until=joined.position.seen):
            yield await LoadedBatch.load(self._database, batch, self.chosen)

    async def __aiter__(self) -> AsyncIterator[ExecutionChangeEvent]:
        follower = _Direct(Mailbox())
        try:
            async for loaded in self.missed(lambda: follower.join(self._tail)):
                for event in loaded.events(self.chosen):
                    yield event
            while True:
                loaded = await LoadedBatch.load(self._database, await follower.mailbox.take(), self.chosen)
                for event in loaded.events(self.chosen):
                    yield event
        except changes.ResyncRequired as resync:
            yield resync_event(resync)
        finally:
            self._tail.leave(follower)


class _Direct:
    """A follower for one subscriber alone."""

    def __init__(self, mailbox: Mailbox[Batch]) -> None:
        self.mailbox = mailbox

    async def join(self, tail: Tail) -> Joined:
        joined = await tail.join(self)
        self.mailbox.since = joined.number
        return joined

    def take(self, batch: Batch) -> None:
        self.mailbox.put(batch.number, batch)

    def stop(self, reason: changes.ResyncReason) -> None:
        self.mailbox.end(changes.ResyncRequired(reason))


def resync_event(resync: changes.ResyncRequired) -> ResyncRequired:
    """Return the last event of a stream that can't go on."""
    return ResyncRequired(reason=ResyncReason(resync.reason.value))
