"""What breaks below the service, under load: a defined answer, a bounded wait, recovery without a restart (spec 2.10, 6.5)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from disk import small_disk
from flowtrail.settings import Settings
from load import OK, QUERY, Load, assert_kept, outcome_of
from own_postgres import OwnPostgres, own_postgres
from relay import Relay
from support import running_service

TOKEN = "a-token-of-the-tests"
Report = Callable[[str], None]
EXPECTED = {OK, "503 UNAVAILABLE", "504 TIMEOUT", "200 TIMEOUT"}


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Report:
    """Keeps a figure in the test's report; `-s` shows it."""

    def keep(text: str) -> None:
        record_property("figure", text)
        print(text)  # noqa: T201 (a figure for whoever runs it with -s)

    return keep


@asynccontextmanager
async def under_load(dsn: str, folder: Path, **settings: Any) -> AsyncIterator[Load]:
    """A service with short timeouts on `dsn`, and a load for it."""
    short = {"statement_timeout": 1.0, "lock_timeout": 0.5, "pool_size": 6}
    given: dict[str, Any] = {"database_url": dsn, "record_token": TOKEN, "data_dir": folder, **short, **settings}
    async with running_service(Settings(**given)) as service:
        yield Load(service.url, TOKEN)


async def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait until something has happened; raises TimeoutError when it does not."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def until_answered(load: Load) -> float:
    """Return after how many seconds a query succeeds."""
    began = time.monotonic()
    async with asyncio.timeout(60), httpx2.AsyncClient(base_url=load.url, timeout=60) as client:
        while outcome_of(await client.post("/graphql", json={"query": QUERY})) != OK:
            await asyncio.sleep(0.01)
    return time.monotonic() - began


def assert_answers(load: Load, *refused: str, within: float) -> None:
    """Every answer was one that is promised, none came late, and what should have been refused was."""
    assert load.reads.keys() | load.writes.keys() <= EXPECTED, (load.reads, load.writes)
    assert load.slowest < within, load.slowest
    for code in refused:
        assert load.reads[code] + load.writes[code], (load.reads, load.writes)


async def test_postgresql_is_gone_and_comes_back(tmp_path: Path, report: Report) -> None:
    async with own_postgres(fsync="on") as postgres, under_load(postgres.dsn, tmp_path) as load:

        async def harm() -> None:
            postgres.stop()
            await until(lambda: load.reads["503 UNAVAILABLE"] >= 8 and load.writes["503 UNAVAILABLE"] >= 4)
            async with httpx2.AsyncClient(base_url=load.url) as client:
                refused = await client.post("/graphql", json={"query": QUERY})
                assert int(refused.headers["retry-after"]) > 0
                assert (await client.get("/readyz")).status_code == 503
                assert (await client.get("/healthz")).status_code == 200
            await postgres.start()
            report(f"answers again {await until_answered(load):.2f} s after PostgreSQL took connections")

        await load.during(harm())
        assert_answers(load, "503 UNAVAILABLE", within=15)
        await assert_kept(load, postgres.dsn)


async def test_postgresql_stands_still(tmp_path: Path, report: Report) -> None:
    async with own_postgres() as postgres, under_load(postgres.dsn, tmp_path) as load:

        async def harm() -> None:
            with postgres.frozen():
                await until(lambda: load.reads.total() - load.reads[OK] >= 8)
            report(f"answers again {await until_answered(load):.2f} s after PostgreSQL moved on")

        await load.during(harm())
        assert_answers(load, within=15)
        report(f"the longest wait was {load.slowest:.1f} s, with a statement timeout of 1 s")
        await assert_kept(load, postgres.dsn)


async def test_postgresql_has_no_connection_left(tmp_path: Path, report: Report) -> None:
    async with own_postgres(max_connections="20") as postgres, under_load(postgres.dsn, tmp_path) as load:

        async def harm() -> None:
            async with AsyncExitStack() as hogs:
                await postgres.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'flowtrail%'"
                )
                until_now = asyncio.get_running_loop().time() + 40
                while load.reads["503 UNAVAILABLE"] < 8 and asyncio.get_running_loop().time() < until_now:
                    try:
                        hogs.push_async_callback((await asyncpg.connect(postgres.dsn)).close)
                    except asyncpg.TooManyConnectionsError:
                        await asyncio.sleep(0.01)
            report(f"answers again {await until_answered(load):.2f} s after connections were free")

        await load.during(harm())
        assert_answers(load, "503 UNAVAILABLE", within=15)
        await assert_kept(load, postgres.dsn)


async def test_postgresql_becomes_read_only_and_writable_again(tmp_path: Path, report: Report) -> None:
    async with own_postgres() as postgres, under_load(postgres.dsn, tmp_path) as load:

        async def set_read_only(value: str) -> None:
            # ALTER SYSTEM is no transaction's work: a read-only one may do it.
            await postgres.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            await postgres.execute("SELECT pg_reload_conf()")

        async def harm() -> None:
            await set_read_only("on")
            await until(lambda: load.writes["503 UNAVAILABLE"] >= 8)
            await set_read_only("off")

        await load.during(harm())
        assert_answers(load, "503 UNAVAILABLE", within=15)
        assert set(load.reads) == {OK}
        report(f"{load.writes}")
        await assert_kept(load, postgres.dsn)


async def test_a_failover_moves_the_name_to_the_promoted_standby(tmp_path: Path, report: Report) -> None:
    async with AsyncExitStack() as stack:
        primary = await stack.enter_async_context(own_postgres())
        standby = await primary.standby()
        name = await stack.enter_async_context(Relay([primary.port]).running())
        dsn = primary.dsn.replace(str(primary.port), str(name.port))
        load = await stack.enter_async_context(under_load(dsn, tmp_path))

        async def harm() -> None:
            # The old one goes read-only first, as a supervised failover does: what was acknowledged has reached the new one.
            await primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await primary.execute("SELECT pg_reload_conf()")
            await until(lambda: load.writes["503 UNAVAILABLE"] >= 4)
            await standby.caught_up_with(primary)
            name.targets = [standby.port]
            await standby.execute("SELECT pg_promote()")
            primary.stop()
            report(f"answers again {await until_answered(load):.2f} s after the promotion")

        await load.during(harm())
        assert_answers(load, "503 UNAVAILABLE", within=15)
        await assert_kept(load, standby.dsn)


async def test_the_disk_is_full_and_gets_room_again(tmp_path: Path, report: Report) -> None:
    with small_disk(256 * 1024) as disk:
        async with own_postgres(at=disk) as postgres, under_load(postgres.dsn, tmp_path) as load:

            async def harm() -> None:
                # Only the tables' files grow: a full log would end PostgreSQL, which then is gone, as in the first test.
                blocker = disk / "blocker"
                await fill_tables(postgres, blocker)
                await until(lambda: load.writes["503 UNAVAILABLE"] >= 4)
                blocker.unlink()
                report(f"answers again {await until_answered(load):.2f} s after there was room")

            await load.during(harm())
            assert_answers(load, "503 UNAVAILABLE", within=15)
            await assert_kept(load, postgres.dsn)


async def fill_tables(postgres: OwnPostgres, blocker: Path) -> None:
    """Take all the room that is left on the disk of `postgres`."""
    with blocker.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    await postgres.execute("SELECT 1")
