"""One execution for many: subscribers with the same document, variables and viewer scope share one encoded message for each
change.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import structlog
from graphql import ExecutionResult, FieldNode, VariableNode, Visitor, visit

from flowtrail import changes
from flowtrail.errors import TimedOut, Unavailable
from flowtrail.graphql.change_stream import ChangeStream, LoadedBatch, Mailbox, TooFarBehind, resync_event
from flowtrail.graphql.errors import coded
from flowtrail.graphql.response import encode, response_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from graphql import Executor

    from flowtrail.changes import Batch, Tail
    from flowtrail.database import Database
    from flowtrail.graphql.change_stream import Chosen
    from flowtrail.graphql.context import Context

log = structlog.get_logger()

_PAUSE = 0.5
"""Seconds before another try when the database does not answer."""
_LOADED = 16
"""Batches whose executions are kept for groups that come to them later."""


class Renderer:
    """Executes one subscription document for one event after the other."""

    def __init__(self, executor: Executor[Any], context: Context, chosen: Chosen, query: str) -> None:
        self.chosen = chosen
        self._executor = executor
        self._context = context
        self.key = (query, _operation_name(executor), _shared_variables(executor), context.viewer.servers)
        """What subscribers have in common who get the same messages; where they began does not matter."""

    async def render(self, event: Any) -> str:
        """Return the response to one event as JSON."""
        executor = self._executor.build_per_event_executor(event)
        executor.context_value = self._context.fresh()
        result: Any = executor.execute_operation(False)
        if executor.is_awaitable(result):
            result = await result
        errors = [coded(error) for error in result.errors] if result.errors else None
        return encode(response_of(ExecutionResult(result.data, errors))).decode()


def _operation_name(executor: Executor[Any]) -> str | None:
    return executor.operation.name.value if executor.operation.name else None


def _shared_variables(executor: Executor[Any]) -> str:
    """The variables as JSON, without the one that only says after which change to begin."""
    variables = dict(executor.variable_values.coerced)
    for selection in executor.operation.selection_set.selections:
        if isinstance(selection, FieldNode):
            for argument in selection.arguments or ():
                if argument.name.value == "after" and isinstance(argument.value, VariableNode):
                    name = argument.value.name.value
                    if _times_used(executor, name) == 1:
                        variables.pop(name, None)
    return json.dumps(variables, sort_keys=True, default=repr)


def _times_used(executor: Executor[Any], variable: str) -> int:
    class Uses(Visitor):
        count = -1  # the definition is none

        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            self.count += node.name.value == variable

    uses = Uses()
    visit(executor.operation, uses)
    for fragment in executor.fragment_definitions.values():
        visit(fragment, uses)
    return uses.count


class _Group:
    """Subscribers who get the same messages: follows the tail once for all of them."""

    def __init__(self, renderer: Renderer, loaded: Callable[[Batch], asyncio.Future[LoadedBatch]]) -> None:
        self.mailboxes: set[Mailbox[str]] = set()
        self._renderer = renderer
        self._loaded = loaded
        self._batches: Mailbox[Batch] = Mailbox()
        self._task = asyncio.create_task(self._run())

    def take(self, batch: Batch) -> None:
        if any(self._renderer.chosen.wants(entry.change) for entry in batch.entries):
            self._batches.put(batch.number, batch)

    def stop(self, reason: changes.ResyncReason) -> None:
        self._batches.end(changes.ResyncRequired(reason))

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                batch = await self._batches.take()
                loaded = await self._patiently_loaded(batch)
                for event in loaded.events(self._renderer.chosen):
                    message = await self._renderer.render(event)
                    for mailbox in self.mailboxes:
                        mailbox.put(batch.number, message)
                    # Let the subscribers send before the next one, however fast events come.
                    await asyncio.sleep(0)
        except (changes.ResyncRequired, TooFarBehind) as reason:
            self._end(reason)
        except Exception as error:
            log.exception("a group of subscribers was given up")
            self._end(error)

    async def _patiently_loaded(self, batch: Batch) -> LoadedBatch:
        """Wait for a database that is away: its changes wait too, up to the bound."""
        while True:
            try:
                return await asyncio.shield(self._loaded(batch))
            except (Unavailable, TimedOut):
                await asyncio.sleep(_PAUSE)

    def _end(self, reason: Exception) -> None:
        for mailbox in self.mailboxes:
            mailbox.end(reason)


class Broadcast:
    """All groups of subscribers of the process."""

    def __init__(self, database: Database, tail: Tail) -> None:
        self._database = database
        self._tail = tail
        self._groups: dict[Any, _Group] = {}
        self._loading: OrderedDict[int, asyncio.Future[LoadedBatch]] = OrderedDict()

    async def messages(self, stream: ChangeStream, renderer: Renderer, when_full: Callable[[], None]) -> AsyncGenerator[str]:
        """Yield one encoded response for each change, from the stream's `after` on.

        Ends after ResyncRequired; raises TooFarBehind, after calling `when_full`, when whoever iterates does not keep up.
        """
        mailbox: Mailbox[str] = Mailbox(when_full)
        group = self._groups.get(renderer.key)
        if group is None:
            group = self._groups[renderer.key] = _Group(renderer, self._load)
        group.mailboxes.add(mailbox)

        async def join() -> changes.Joined:
            joined = await self._tail.join(group)
            mailbox.since = joined.number
            return joined

        try:
            async for loaded in stream.missed(join):
                for event in loaded.events(stream.chosen):
                    yield await renderer.render(event)
            while True:
                yield await mailbox.take()
        except changes.ResyncRequired as resync:
            yield await renderer.render(resync_event(resync))
        finally:
            group.mailboxes.discard(mailbox)
            if not group.mailboxes:
                self._tail.leave(group)
                group.close()
                if self._groups.get(renderer.key) is group:
                    del self._groups[renderer.key]

    def _load(self, batch: Batch) -> asyncio.Future[LoadedBatch]:
        """Read a batch's executions once for the process, whichever group comes to it first."""
        loading = self._loading.get(batch.number)
        if loading is None or (loading.done() and (loading.cancelled() or loading.exception() is not None)):
            loading = asyncio.ensure_future(LoadedBatch.load(self._database, batch))
            self._loading[batch.number] = loading
            while len(self._loading) > _LOADED:
                self._loading.popitem(last=False)
        return loading
