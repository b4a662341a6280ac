"""What is loaded once for many, while some of them fail or go (spec 2.9, 2.10)."""

import asyncio

import pytest

from flowtrail.graphql.loader import Loader, Pace
from recorder import accept, finished, id_of, started
from support import Service

WITHIN = 'timeRange: {from: "2020-01-01T00:00:00Z", to: "2040-01-01T00:00:00Z"}'
FAILS_BESIDE = f"""{{
  flow(by: {{tool: {{server: "orders", toolName: "ship"}}}}) {{
    fails: statistics({WITHIN}) {{ topErrors(first: -1) {{ count }} p50DurationMs }}
    works: statistics({WITHIN}) {{ p50DurationMs }}
  }}
}}"""


async def test_a_field_that_fails_takes_nothing_from_others_that_share_its_data(service: Service) -> None:
    begin = started()
    await accept(service, begin, finished(id_of(begin)))
    for _ in range(20):
        answer = await service.execute(FAILS_BESIDE)
        assert [error["path"] for error in answer["errors"]] == [["flow", "fails", "topErrors"]]
        assert answer["data"]["flow"]["fails"] is None
        assert answer["data"]["flow"]["works"]["p50DurationMs"] > 0
        bar = "{ executions { pageCursors { around { page } } totalCount } }"
        assert (await service.execute(bar))["data"]["executions"]["totalCount"] == 1


async def test_keys_of_one_turn_are_read_together_and_once() -> None:
    batches = []

    async def read(keys: list[int]) -> list[int]:
        batches.append(keys)
        await asyncio.sleep(0)
        return [key * 10 for key in keys]

    loader = Loader(read, Pace())
    assert await asyncio.gather(*(loader.load(key) for key in (1, 2, 1, 3))) == [10, 20, 10, 30]
    assert await loader.load_many([3, 4]) == [30, 40]
    assert batches == [[1, 2, 3], [4]]


async def test_reading_goes_on_for_who_still_waits_and_stops_with_the_last() -> None:
    stopped = asyncio.Event()
    go_on = asyncio.Event()

    async def read(keys: list[str]) -> list[str]:
        try:
            await go_on.wait()
        except asyncio.CancelledError:
            stopped.set()
            raise
        return keys

    loader = Loader(read, Pace())
    leaving, staying = (asyncio.create_task(loader.load("key")) for _ in range(2))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    assert not stopped.is_set()
    staying.cancel()
    await asyncio.wait_for(stopped.wait(), 10)
    go_on.set()
    assert await loader.load("key") == "key"


async def test_what_reading_raises_everybody_gets() -> None:
    async def read(keys: list[int]) -> list[int]:
        raise ValueError(f"no {keys}")

    loader = Loader(read, Pace())
    for result in await asyncio.gather(loader.load(1), loader.load(1), return_exceptions=True):
        with pytest.raises(ValueError, match="no"):
            raise result  # type: ignore[misc]


async def test_what_one_alone_asks_for_is_read_at_once_and_once_and_waited_for_by_others() -> None:
    batches = []
    go_on = asyncio.Event()

    async def read(keys: list[int]) -> list[int]:
        batches.append(keys)
        await go_on.wait()
        if keys == [2]:
            raise ValueError("no 2")
        return [key * 10 for key in keys]

    pace = Pace()
    pace.is_one_by_one = True
    loader = Loader(read, pace)
    asking = asyncio.create_task(loader.load(1))
    await asyncio.sleep(0)
    assert batches == [[1]]
    pace.is_one_by_one = False
    others = [asyncio.create_task(loader.load_many([1, 3])), asyncio.create_task(loader.load(1))]
    await asyncio.sleep(0)
    go_on.set()
    assert (await asking, await others[0], await others[1]) == (10, [10, 30], 10)
    pace.is_one_by_one = True
    for _ in range(2):
        with pytest.raises(ValueError, match="no 2"):
            await loader.load(2)
    assert batches == [[1], [3], [2]]
    go_on.clear()
    leaving = asyncio.create_task(loader.load(4))
    await asyncio.sleep(0)
    left = asyncio.create_task(loader.load(4))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    go_on.set()
    assert await loader.load(4) == 40


async def test_who_waits_for_several_batches_keeps_all_of_them_going() -> None:
    go_on = asyncio.Event()

    async def read(keys: list[str]) -> list[str]:
        await go_on.wait()
        return keys

    loader = Loader(read, Pace())
    leaving = asyncio.create_task(loader.load("a"))
    await asyncio.sleep(0.01)
    first = asyncio.create_task(loader.load("b"))
    await asyncio.sleep(0.01)
    both = asyncio.create_task(loader.load_many(["b", "a"]))
    await asyncio.sleep(0.01)
    leaving.cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    async with asyncio.timeout(10):
        assert await both == ["b", "a"]
        assert await first == "b"
