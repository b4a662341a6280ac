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

    from graphql import Executor
    from starlette.requests import Request

T = TypeVar("T")

_unwinding: set[asyncio.Future[Any]] = set()
"""Work that was cancelled and has not ended yet. Nobody waits for it: a database that hangs could hold it up for long."""


async def completed(executor: Executor[Any], seconds: float, *, serially: bool | None = None) -> ExecutionResult:
    """Return the result with its errors coded; of an operation that takes longer than `seconds`, TIMEOUT and nothing else."""
    result: Any = executor.execute_operation(serially)
    if executor.is_awaitable(result):
        try:
            result = await within(seconds, result)
        except TimedOut as error:
            return ExecutionResult(None, [GraphQLError(error.message, extensions={"code": error.code})])
    return ExecutionResult(result.data, [coded(error) for error in result.errors] if result.errors else None)


async def within(seconds: float, work: Awaitable[T]) -> T:
    """Return what `work` returns; raises TimedOut after `seconds`, and leaves nothing running that anybody waits for."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task,), timeout=seconds)
    finally:
        _cancel(task)
    if not task.done():
        raise TimedOut(f"the operation took longer than {seconds:g} s and was cancelled")
    return task.result()


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """Return what `work` returns; raises ClientDisconnect when the client goes first. The request's body must have been read."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        _cancel(task)
    if not task.done():
        raise ClientDisconnect
    return task.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _cancel(task: asyncio.Future[Any]) -> None:
    if not task.done():
        task.cancel()
        _unwinding.add(task)
        task.add_done_callback(_forget)


def _forget(task: asyncio.Future[Any]) -> None:
    _unwinding.discard(task)
    if not task.cancelled():
        task.exception()  # nobody else will ask for it
