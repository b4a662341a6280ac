"""One execution for many: subscribers with the same document, variables and viewer scope share one encoded message for each
change.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from graphql import ExecutionResult, FieldNode, VariableNode, Visitor, visit

from flowtrail import changes
from flowtrail.errors import TimedOut, Unavailable
from flowtrail.graphql.change_stream import MAX_CHANGES_WAITING, ChangeStream, LoadedBatch, completed, resync_event
from flowtrail.graphql.changes import ExecutionChange
from flowtrail.graphql.execution import completed as in_time
from flowtrail.graphql.mailbox import Mailbox, TooFarBehind
from flowtrail.graphql.response import encode, response_of
from flowtrail.graphql.unbegun import Unbegun
from flowtrail.observability import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from graphql import Executor

    from flowtrail.changes import Batch, Tail
    from flowtrail.database import Database
    from flowtrail.graphql.compiled.plans import Prepared
    from flowtrail.graphql.context import Context
    from flowtrail.shares import Share

log = structlog.get_logger()

_PAUSE = 0.5
"""Seconds before another try when the database does not answer."""
_LOADED_CHANGES = 1000
"""Changes that are kept with their executions for groups that come to them later; the newest batch always is."""
_WAITING_CHARACTERS = 8 * 1024 * 1024
"""Of messages that wait for one subscriber."""
_RENDERED_TOGETHER = 20
"""Changes whose messages each subscriber is sent in a row."""
_SENT_IN_A_ROW = 100
"""Messages that are sent before the event loop may do something else."""


class Renderer:
    """Executes one subscription document for one event after the other."""

    def __init__(
        self, executor: Executor[Any], context: Context, stream: ChangeStream, query: str, prepared: Prepared | None
    ) -> None:
        """`prepared` is what was compiled of the document, if it could be."""
        self.chosen = stream.chosen
        self._ahead = stream.ahead
        self._executor = executor
        self._context = context
        self._prepared = prepared
        self.share = context.share
        """Of whom it executes for."""
        self.key = (query, _operation_name(executor), _shared_variables(executor), context.viewer.servers)
        """What subscribers have in common who get the same messages; where they began does not matter."""

    def close(self) -> None:
        """Execute nothing any more. The executor holds itself: a thousand objects that the garbage collector would have to find."""
        vars(self._executor).clear()

    async def turn(self) -> None:
        """Wait for its turn: thousands of documents may wait for the same change."""
        turns = self.share.turns
        if turns.are_over:
            await turns.next()

    async def render(self, event: Any) -> str:
        """Return the response to one event as JSON."""
        await self.turn()
        if isinstance(event, ExecutionChange):
            event = await self._patiently_completed(event)
        return encode(response_of(await in_time(self._result(event), self._context.timeout))).decode()

    async def _patiently_completed(self, event: ExecutionChange) -> ExecutionChange:
        """Wait for a database that is away, or the change would be lost to its subscribers."""
        while True:
            try:
                return await completed(event, self._context.following(self.share), self._ahead)
            except (Unavailable, TimedOut):
                await asyncio.sleep(_PAUSE)

    async def _result(self, event: Any) -> ExecutionResult:
        context = self._context.following(self.share)
        if self._prepared is not None:
            with suppress(Exception):  # graphql-core meets the same, and reports it
                return ExecutionResult(await self._prepared.function(event, self._prepared.run(context)), None)
        executor = self._executor.build_per_event_executor(event)
        with Unbegun() as unbegun:
            executor.context_value, executor.is_awaitable = context, unbegun.is_awaitable
            result: Any = executor.execute_operation(False)
            return await result if executor.is_awaitable(result) else result  # type: ignore[no-any-return]


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
        self._batches: Mailbox[Batch] = Mailbox(MAX_CHANGES_WAITING)
        self._task = asyncio.create_task(self._run())

    @property
    def has_ended(self) -> bool:
        """Whether nobody may join it any more: its members learn why, each when they come to it."""
        return self._batches.has_ended or self._task.done()

    def take(self, batch: Batch) -> None:
        if any(self._renderer.chosen.wants(entry.change) for entry in batch.entries):
            self._batches.put(batch.number, batch, len(batch.entries))

    def renders_with(self, renderer: Renderer) -> bool:
        """Whether it goes on to execute with this one."""
        return bool(self.mailboxes) and self._renderer is renderer

    def render_for(self, share: Share, common: Share) -> None:
        """Learn whose a new member is: of several clients none waits for what another has under way."""
        if self._renderer.share is not share:
            self._renderer.share = common

    def stop(self, reason: changes.ResyncReason) -> None:
        self._batches.end(changes.ResyncRequired(reason))

    def close(self) -> None:
        self._task.cancel()
        self._task.add_done_callback(self._closed)

    def _closed(self, _: object) -> None:
        self._renderer.close()
        del self._task  # which holds how it was cancelled, and by that this group

    async def _run(self) -> None:
        try:
            while True:
                batch = await self._batches.take()
                await self._renderer.turn()
                loaded = await self._patiently_loaded(batch)
                events = loaded.events(self._renderer.chosen)
                for start in range(0, len(events), _RENDERED_TOGETHER):
                    messages = [await self._renderer.render(event) for event in events[start : start + _RENDERED_TOGETHER]]
                    await self._put(batch.number, messages)
        except (changes.ResyncRequired, TooFarBehind) as reason:
            self._end(reason)
        except Exception as error:
            log.exception("a group of subscribers was given up")
            self._end(error)

    async def _put(self, number: int, messages: list[str]) -> None:
        """Give everyone the messages. Who leaves or joins meanwhile does not need them: a joiner reads this batch from the feed."""
        sent = 0
        for mailbox in tuple(self.mailboxes):
            for message in messages:
                mailbox.put(number, message, len(message))
            sent += len(messages)
            if sent >= _SENT_IN_A_ROW:
                sent = 0
                await asyncio.sleep(0)
        await asyncio.sleep(0)

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

    def __init__(self, database: Database, tail: Tail, share: Share) -> None:
        """`share` is that of whoever gets the same messages as other clients."""
        self._database = database
        self._tail = tail
        self._share = share
        self._groups: dict[Any, _Group] = {}
        self._loading: OrderedDict[int, tuple[asyncio.Future[LoadedBatch], int]] = OrderedDict()

    async def messages(
        self,
        stream: ChangeStream,
        renderer: Renderer,
        when_full: Callable[[], None],
        send: Callable[[str], Awaitable[None] | None] | None = None,
    ) -> AsyncGenerator[str]:
        """Yield one encoded response for each change, from the stream's `after` on.

        Ends after ResyncRequired; raises TooFarBehind, after calling `when_full`, when whoever iterates does not keep up. While the
        iteration waits, responses may be given to `send` instead, which returns what is left to await, if anything.
        """

        def cut_off() -> None:
            metrics.cut_off.inc()
            when_full()

        mailbox: Mailbox[str] = Mailbox(_WAITING_CHARACTERS, hand_over=send, when_full=cut_off)
        group: _Group | None = None

        async def join() -> changes.Joined:
            # Not before: what comes while the subscriber still reads what it missed would wait in vain, and cut it off.
            nonlocal group
            group = self._group_of(renderer)
            group.render_for(renderer.share, self._share)
            group.mailboxes.add(mailbox)
            joined = await self._tail.join(group)
            mailbox.since = joined.number
            return joined

        metrics.subscribers.inc()
        try:
            async for loaded in stream.missed(join):
                for event in loaded.events(stream.chosen):
                    yield await renderer.render(event)
            while True:
                yield await mailbox.take()
        except changes.ResyncRequired as resync:
            yield await renderer.render(resync_event(resync))
        finally:
            metrics.subscribers.dec()
            if group is not None:
                self._leave(group, mailbox, renderer)
            if group is None or not group.renders_with(renderer):
                renderer.close()

    def _group_of(self, renderer: Renderer) -> _Group:
        group = self._groups.get(renderer.key)
        if group is None or group.has_ended:
            group = self._groups[renderer.key] = _Group(renderer, self._load)
        return group

    def _leave(self, group: _Group, mailbox: Mailbox[str], renderer: Renderer) -> None:
        group.mailboxes.discard(mailbox)
        if not group.mailboxes:
            self._tail.leave(group)
            group.close()
            if self._groups.get(renderer.key) is group:
                del self._groups[renderer.key]

    def _load(self, batch: Batch) -> asyncio.Future[LoadedBatch]:
        """Read a batch's executions once for the process, whichever group comes to it first."""
        loading, _ = self._loading.get(batch.number, (None, 0))
        if loading is None or (loading.done() and (loading.cancelled() or loading.exception() is not None)):
            loading = asyncio.ensure_future(LoadedBatch.load(self._database, batch))
            self._loading[batch.number] = loading, len(batch.entries)
            while len(self._loading) > 1 and sum(size for _, size in self._loading.values()) > _LOADED_CHANGES:
                self._loading.popitem(last=False)
        return loading
