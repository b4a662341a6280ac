"""What is cancelled beside a field that failed leaves no warning behind in the service's log (spec 2.10)."""

import asyncio
import gc
import warnings
from contextlib import nullcontext
from typing import Any

import pytest
from graphql import (
    ExecutionResult,
    GraphQLField,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    execute,
    parse,
)

from flowtrail.graphql.unbegun import Unbegun

TURNS = 8
"""More than it takes graphql-core to cancel what is beside a field that failed in the first."""


def schema(turns: int) -> GraphQLSchema:
    """A schema of which one root field fails, and the other has others below it after so many turns of the event loop."""

    async def fails(*_: Any) -> int:
        await asyncio.sleep(0)
        raise ValueError("it fails")

    async def has_others(*_: Any) -> str:
        for _turn in range(turns):
            await asyncio.sleep(0)
        return "an object"

    async def one(*_: Any) -> int:
        return 1

    number = GraphQLField(GraphQLNonNull(GraphQLInt), resolve=one)
    others = GraphQLObjectType("Others", {"first": number, "second": number})
    fields = {
        "bad": GraphQLField(GraphQLNonNull(GraphQLInt), resolve=fails),
        "good": GraphQLField(GraphQLNonNull(others), resolve=has_others),
    }
    return GraphQLSchema(GraphQLObjectType("Query", fields))


async def warnings_of(is_closed: bool) -> list[str]:
    """What Python warns of while one field fails and the other has come as far as it can have."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for turns in range(TURNS):
            with Unbegun() if is_closed else nullcontext() as unbegun:
                note = unbegun.is_awaitable if unbegun is not None else None
                result: Any = execute(schema(turns), parse("{ bad good { first second } }"), is_awaitable=note)
                result = await result
            assert isinstance(result, ExecutionResult)
            assert (result.data, [error.message for error in result.errors or ()]) == (None, ["it fails"])
        await asyncio.sleep(0)
        gc.collect()
    return [str(warning.message) for warning in seen]


async def test_what_was_not_begun_beside_a_field_that_failed_is_closed() -> None:
    assert any("was never awaited" in warning for warning in await warnings_of(is_closed=False)), "graphql-core needs no help"
    assert await warnings_of(is_closed=True) == []


@pytest.mark.parametrize("value", [None, 1, "text", [], {}, object()], ids=lambda value: type(value).__name__)
def test_what_is_no_coroutine_is_left_to_graphql_core(value: Any) -> None:
    with Unbegun() as unbegun:
        assert not unbegun.is_awaitable(value)


async def test_other_awaitables_are_awaited() -> None:
    future = asyncio.get_running_loop().create_future()
    with Unbegun() as unbegun:
        assert unbegun.is_awaitable(future)
    future.cancel()
