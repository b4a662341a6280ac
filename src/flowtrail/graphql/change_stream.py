"""From the feed to events: what a subscriber missed, and then what comes, without a gap and without a repeat (spec 3.2, 3.3)."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from flowtrail import changes, executions
from flowtrail.changes import Batch, Joined, Position, Tail
from flowtrail.database import Database
from flowtrail.errors import LimitExceeded
from flowtrail.graphql.ahead import Ahead
from flowtrail.graphql.changes import ExecutionChange, ExecutionChangeEvent, ExecutionChangeKind, ResyncReason, ResyncRequired
from flowtrail.graphql.context import Context
from flowtrail.graphql.executions import Execution, columns_of, executions_of
from flowtrail.graphql.mailbox import Mailbox
from flowtrail.graphql.nodes import NodeExecution, node_columns

MAX_CHANGES_WAITING = 10 * changes.BATCH
"""Changes that may wait, in batches, to be loaded and made messages."""
_MOST_TIMES = 10
"""How often a value of an event may be selected, under whatever names."""


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
        return self.servers is None or (row is not None and row["server"] in self.servers)


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
            execution=Execution(row=row) if row else None,
            node_execution=NodeExecution(row=node) if node else None,
        )


async def completed(event: ExecutionChange, context: Context, ahead: Ahead) -> ExecutionChange:
    """Load what is selected of an event beyond what all subscribers share, and return it."""
    of_execution, of_node = ahead.below("execution"), ahead.below("nodeExecution")
    if event.execution is not None:
        event.execution = await _reloaded(event.execution, context, of_execution)
    columns = of_node.derived(node_columns)
    if event.node_execution is not None and columns.reads_payloads:
        row = event.node_execution.row
        node = await context.loaders.node_by_key(columns).load((row["execution_id"], row["position"]))
        event.node_execution = NodeExecution(row=node) if node else None
    return event


async def _reloaded(execution: Execution, context: Context, ahead: Ahead) -> Execution | None:
    """The execution with all that is selected below it; None when it was purged since."""
    columns, row = ahead.derived(columns_of), execution.row
    if columns.reads_payloads:
        found = await context.loaders.execution_by_id(columns).load(row["id"])
        if found is None:
            return None
        row = found
    return (await executions_of(context, [row], ahead))[0]


class ChangeStream:
    """The source of a subscription. The transports read it in parts, to share the work; iterated, it yields every event itself."""

    def __init__(self, context: Context, chosen: Chosen, after: Position | None, ahead: Ahead) -> None:
        """Raises LimitExceeded when a value is asked for too often."""
        times = max(ahead.below("execution").derived(columns_of).times, ahead.below("nodeExecution").derived(node_columns).times)
        if times > _MOST_TIMES:
            raise LimitExceeded(f"a value of an event is asked for {times} times; at most {_MOST_TIMES} are answered")
        self.chosen = chosen
        self.ahead = ahead
        """What is selected of each event."""
        self._context = context
        self._database = context.database.primary
        self._tail = context.tail
        self._after = after

    async def missed(self, join: Callable[[], Awaitable[Joined]]) -> AsyncIterator[LoadedBatch]:
        """Yield what came after `after`, up to where `join` makes the subscriber follow. Raises changes.ResyncRequired."""
        position = self._after
        if position is None:
            await join()
            return
        async for batch, reached in changes.catch_up(self._database, position):
            position = reached
            yield await LoadedBatch.load(self._database, batch, self.chosen)
        joined = await join()
        gap = position.inside(joined.position.seen, 0)
        async for batch, _ in changes.catch_up(self._database, gap, until=joined.position.seen):
            yield await LoadedBatch.load(self._database, batch, self.chosen)

    async def __aiter__(self) -> AsyncIterator[ExecutionChangeEvent]:
        follower = _Direct(Mailbox(MAX_CHANGES_WAITING))
        try:
            async for loaded in self.missed(lambda: follower.join(self._tail)):
                for event in loaded.events(self.chosen):
                    yield await completed(event, self._context.following(), self.ahead)
            while True:
                loaded = await LoadedBatch.load(self._database, await follower.mailbox.take(), self.chosen)
                for event in loaded.events(self.chosen):
                    yield await completed(event, self._context.following(), self.ahead)
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
        self.mailbox.put(batch.number, batch, len(batch.entries))

    def stop(self, reason: changes.ResyncReason) -> None:
        self.mailbox.end(changes.ResyncRequired(reason))


def resync_event(resync: changes.ResyncRequired) -> ResyncRequired:
    """Return the last event of a stream that can't go on."""
    return ResyncRequired(reason=ResyncReason(resync.reason.value))
