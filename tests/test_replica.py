"""Reading from a standby: `DATABASE_READ_URL`, and the bound on how old it may be (spec 6.6)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from flowtrail.settings import Settings
from live import CHANGES, socket
from own_postgres import OwnPostgres, own_postgres
from recorder import accept, finished, id_of, node_started, started
from support import Service, running_service

COUNT = "{ executions { totalCount changeCursor } }"

EVERYTHING = """
subscription Everything($after: String) {
  executionChanges(after: $after) {
    ... on ExecutionChange {
      execution { initialParams flow { executions { totalCount } } nodeExecutions { inputData } } nodeExecution { inputData }
    }
  }
}"""


@pytest.fixture(scope="module")
async def primary() -> AsyncIterator[OwnPostgres]:
    async with own_postgres() as server:
        yield server


@asynccontextmanager
async def reading_from(standby: OwnPostgres, primary: OwnPostgres, folder: Path, bound: float = 0.5) -> AsyncIterator[Service]:
    settings = Settings(
        database_url=primary.dsn,  # type: ignore[arg-type]
        database_read_url=standby.dsn,  # type: ignore[arg-type]
        read_staleness=bound,
        data_dir=folder,
        record_token=("a-token",),  # type: ignore[arg-type]
    )
    async with running_service(settings) as service:
        yield service


async def count(service: Service) -> int:
    response = await service.execute(COUNT)
    assert "errors" not in response, response
    total: int = response["data"]["executions"]["totalCount"]
    return total


async def queries_at(server: OwnPostgres) -> int:
    """How many sessions of the service have read executions there."""
    found: int = await server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'flowtrail' AND query ILIKE '%execution_count%'"
    )
    return found


async def is_read_from(server: OwnPostgres, service: Service) -> None:
    async with asyncio.timeout(20):
        while not await queries_at(server):
            await count(service)
            await asyncio.sleep(0.05)


async def test_queries_go_to_the_standby_and_to_the_primary_when_it_falls_behind(primary: OwnPostgres, tmp_path: Path) -> None:
    standby = await primary.standby()
    async with reading_from(standby, primary, tmp_path) as service:
        await is_read_from(standby, service)
        before = await count(service)
        await standby.caught_up_with(primary)
        await standby.execute("SELECT pg_wal_replay_pause()")
        await accept(service, started())
        async with asyncio.timeout(20):  # never longer than the bound, and it is then read where it was written
            while await count(service) == before:
                await asyncio.sleep(0.05)
        assert await standby.execute("SELECT count(*) FROM execution") == before
        await standby.execute("SELECT pg_wal_replay_resume()")


async def test_a_standby_that_is_gone_is_not_missed(primary: OwnPostgres, tmp_path: Path) -> None:
    standby = await primary.standby()
    async with reading_from(standby, primary, tmp_path, bound=60) as service:
        await is_read_from(standby, service)
        standby.stop()
        responses = [await service.execute(COUNT) for _ in range(5)]
        failed = [response for response in responses if "errors" in response]
        assert all(error["extensions"]["code"] == "UNAVAILABLE" for response in failed for error in response["errors"])
        assert "errors" not in responses[-1]
        assert len(failed) <= 1
        await standby.start()
        await is_read_from(standby, service)


async def test_a_service_starts_while_its_standby_is_away(primary: OwnPostgres, tmp_path: Path) -> None:
    standby = await primary.standby()
    standby.stop()
    async with reading_from(standby, primary, tmp_path) as service:
        await count(service)


async def test_an_event_shows_what_a_standby_does_not_know_yet(primary: OwnPostgres, tmp_path: Path) -> None:
    standby = await primary.standby()
    async with reading_from(standby, primary, tmp_path, bound=60) as service, socket(service) as client:
        await is_read_from(standby, service)
        await standby.caught_up_with(primary)
        await standby.execute("SELECT pg_wal_replay_pause()")
        cursor = (await service.execute(COUNT))["data"]["executions"]["changeCursor"]
        await client.subscribe(EVERYTHING, after=cursor)
        first = started(params={"order": 7})
        await accept(service, first, node_started(id_of(first), inputData={"step": 1}))
        began, node = await client.events(2)
        assert began["execution"]["initialParams"] == {"order": 7}
        assert began["execution"]["flow"]["executions"]["totalCount"] >= 1
        assert (
            [each["inputData"] for each in node["execution"]["nodeExecutions"]]
            == [node["nodeExecution"]["inputData"]]
            == [{"step": 1}]
        )
        await standby.execute("SELECT pg_wal_replay_resume()")


async def test_subscribing_after_a_cursor_that_was_read_at_the_standby_misses_nothing(primary: OwnPostgres, tmp_path: Path) -> None:
    standby = await primary.standby()
    async with reading_from(standby, primary, tmp_path, bound=5) as service:
        await is_read_from(standby, service)
        before = await count(service)
        await standby.caught_up_with(primary)
        await standby.execute("SELECT pg_wal_replay_pause()")
        first = started()
        await accept(service, first)
        answer = (await service.execute(COUNT))["data"]["executions"]
        assert answer["totalCount"] == before
        await standby.execute("SELECT pg_wal_replay_resume()")
        async with socket(service) as client:
            await client.subscribe(CHANGES, after=answer["changeCursor"])
            assert (await client.event())["executionId"] == id_of(first)
            await accept(service, finished(id_of(first)))
            event = await client.event()
            assert (event["kind"], event["execution"]["status"]) == ("FINISHED", "FULFILLED")
