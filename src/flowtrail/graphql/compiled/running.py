"""What compiled functions call while they run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson

from flowtrail.graphql.inputs import Unexpected
from flowtrail.graphql.lazy_list import LazyList
from flowtrail.graphql.response import Large, pieces, ready
from flowtrail.observability import traces
from flowtrail.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from flowtrail.graphql.ahead import Ahead
    from flowtrail.graphql.context import Context


_LISTS = (list, tuple, LazyList)


class Run:
    """One operation, or one event of a subscription, while it is executed."""

    __slots__ = ("context", "given", "outcomes", "turns", "values")

    def __init__(self, context: Context, given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        self.context = context
        self.given = given
        """Variables as JSON has them."""
        self.values = values
        """The same as resolvers take them."""
        self.turns = Turns(context.share.client)
        self.outcomes: dict[str, Any] = {}
        """What the root fields of a mutation returned or raised, by response name: they are never called twice."""


class Seen:
    """As much of a resolver's `Info` as resolvers use."""

    __slots__ = ("ahead", "context")

    def __init__(self, context: Context, ahead: Ahead) -> None:
        self.context = context
        self.ahead = ahead


async def kept(run: Run, name: str, work: Awaitable[Any]) -> Any:
    """Return what a root field of a mutation returns, and note it, or what it raises."""
    try:
        value = await work
    except Exception as error:
        run.outcomes[name] = error
        raise
    run.outcomes[name] = value
    return value


async def spanned(name: str, work: Awaitable[Any]) -> Any:
    """Return what a root field returns, in a span of its own."""
    with traces.span(name):
        return await work


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Return what all return, which run at the same time; the first that raises cancels the others."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        _cancel(tasks)
        raise


async def each(complete: Callable[[Any, Run], Coroutine[Any, Any, Any]], items: Sequence[Any], run: Run) -> list[Any]:
    """Return what `complete` makes of each item, all at the same time, so that loaders read for all at once."""
    tasks: list[asyncio.Future[Any]] = []
    try:
        await run.context.loaders.pace.one_after_the_other(
            listed(items), lambda item: tasks.append(asyncio.ensure_future(complete(item, run)))
        )
        return await asyncio.gather(*tasks)
    except BaseException:
        _cancel(tasks)
        raise


def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        if not task.cancel() and not task.cancelled():
            task.exception()  # of one that failed while others were started


async def in_turn(complete: Callable[[Any], Any], work: Awaitable[Any], run: Run) -> Any:
    """Return what `complete` makes of what `work` returns: when others had a turn before, encoded, since to encode all of a large
    response at once would hold them up again.
    """
    value, turns = await work, run.turns
    if turns.are_over:
        await turns.next()
    completed = complete(value)
    return ready(pieces(completed)) if turns.were_taken else completed


async def in_turns(complete: Callable[[Any], Any], items: Sequence[Any], run: Run) -> list[Any]:
    """Return what `complete` makes of each item, with others' turns between them when they are many: encoded then, so many in one
    as fit into a turn.
    """
    completed: list[Any] = []
    encoded: list[orjson.Fragment | Large] = []
    turns = run.turns
    for item in listed(items):
        if turns.are_over:
            if completed:
                encoded.append(_items(completed))
                completed = []
            await turns.next()
        completed.append(complete(item))
    if not turns.were_taken:
        return completed
    return [*encoded, _items(completed)] if completed else encoded


def _items(values: list[Any]) -> orjson.Fragment | Large:
    """Return the items of a list, encoded without its brackets: what stands there for one in another list stands for all."""
    first, *others = pieces(values)
    if not others:
        return ready([first[1:-1]])
    return Large([first[1:], *others[:-1], others[-1][:-1]])


def written(value: Any) -> orjson.Fragment | Large:
    """Return the JSON that PostgreSQL wrote of an object, or of the list in it."""
    text = value.written
    if text.__class__ is not bytes:
        raise Unexpected
    return ready([text])


def listed(value: Any) -> Any:
    """Return a value that is a list."""
    if value.__class__ not in _LISTS:
        raise Unexpected
    return value


def refuse() -> Any:
    """Stand where a value must not be missing."""
    raise Unexpected
