"""Execution with an end: what takes too long, or nobody waits for any more, is cancelled together with its SQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from graphql import ExecutionResult, GraphQLError
from starlette.requests import ClientDisconnect

from flowtrail.errors import TimedOut
from flowtrail.graphql.errors import coded

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.types import Receive

T = TypeVar("T")

UNWATCHED_SECONDS = 0.05
"""What is answered sooner is not worth watching whether its client is still there."""

_unwinding: set[asyncio.Future[Any]] = set()
"""Work that was cancelled and has not ended yet. Nobody waits for it: a database that hangs could hold it up for long."""


async def completed(work: Awaitable[ExecutionResult], seconds: float, receive: Receive | None = None) -> ExecutionResult:
    """Return a result with its errors coded; of an operation that takes longer than `seconds`, TIMEOUT and nothing else.

    Raises ClientDisconnect when the client goes first, which `receive` tells. The request's body must have been read.
    """
    try:
        result = await within(seconds, work, receive)
    except TimedOut as error:
        return ExecutionResult(None, [GraphQLError(error.message, extensions={"code": error.code})])
    return ExecutionResult(result.data, [coded(error) for error in result.errors]) if result.errors else result


async def within(seconds: float, work: Awaitable[T], receive: Receive | None = None) -> T:
    """Return what `work` returns; raises TimedOut after `seconds`, or ClientDisconnect when the client goes, which `receive` tells.

    It leaves nothing running that anybody waits for.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    task = loop.create_task(_told(outcome, work))
    watch = _Ends(outcome, seconds, receive)
    try:
        return await outcome
    finally:
        watch.stop()
        _cancel(task)
        if outcome.done() and not outcome.cancelled():
            outcome.exception()  # whoever was cancelled at the last moment has not seen it
        del outcome, task, watch  # they hold what is raised here, and that this frame with all that was read


async def _told(outcome: asyncio.Future[T], work: Awaitable[T]) -> None:
    """Do the work, and tell how it ended: here, since a task's own callbacks take one more round of the event loop."""
    try:
        result = await work
    except Exception as error:
        if not outcome.done():
            outcome.set_exception(error)
    except asyncio.CancelledError:
        outcome.cancel()
        raise
    else:
        if not outcome.done():
            outcome.set_result(result)


class _Ends:
    """What ends work before it is done. Most is done before it is worth to look for more than one."""

    __slots__ = ("_outcome", "_seconds", "_timer", "_watching")

    def __init__(self, outcome: asyncio.Future[Any], seconds: float, receive: Receive | None) -> None:
        self._outcome = outcome
        self._seconds = seconds
        self._watching: asyncio.Task[None] | None = None
        call_later = outcome.get_loop().call_later
        if receive is None or seconds <= UNWATCHED_SECONDS:
            self._timer = call_later(seconds, self._time_out)
        else:
            self._timer = call_later(UNWATCHED_SECONDS, self._watch, receive)

    def stop(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self, receive: Receive) -> None:
        loop = self._outcome.get_loop()
        self._timer = loop.call_later(self._seconds - UNWATCHED_SECONDS, self._time_out)
        self._watching = loop.create_task(self._until_disconnected(receive))

    async def _until_disconnected(self, receive: Receive) -> None:
        await disconnected(receive)
        self._fail(ClientDisconnect())

    def _time_out(self) -> None:
        self._fail(TimedOut(f"the operation took longer than {self._seconds:g} s and was cancelled"))

    def _fail(self, error: Exception) -> None:
        if not self._outcome.done():
            self._outcome.set_exception(error)


async def while_connected(receive: Receive, work: Awaitable[T]) -> T:
    """Return what `work` returns; raises ClientDisconnect when the client goes first. The request's body must have been read."""
    watch = _Watch(receive)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.has_cancelled():
            raise ClientDisconnect from None
        raise
    finally:
        watch.end()


async def disconnected(receive: Receive) -> None:
    """Wait until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Watch:
    """Cancels the task that made it when the client goes."""

    def __init__(self, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (requests are answered in tasks)
        self._receive = receive
        self._task = task
        self._timer = loop.call_later(UNWATCHED_SECONDS, self._begin)
        self._watching: asyncio.Task[None] | None = None
        self._client_has_gone = False

    def has_cancelled(self) -> bool:
        """Whether the cancellation that is under way is this watch's, and nobody else's besides."""
        return self._client_has_gone and self._task.uncancel() == 0

    def end(self) -> None:
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await disconnected(self._receive)
        self._client_has_gone = True
        self._task.cancel()


def _cancel(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        _unwinding.add(task)
        task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    _unwinding.discard(task)
    if not task.cancelled():
        task.exception()  # nobody else will ask for it
