"""Deleting for good: stopped half-way and gone on with, and by age when the settings say so (spec 1.11)."""

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from flowtrail.settings import Settings
from recorder import accept, finished, id_of, now, started
from support import Service

STILL_PURGING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state <> 'idle' AND query NOT LIKE '%pg_stat_activity%' AND query ILIKE '%delete%'"""
OLD = now() - timedelta(days=100)


async def record(service: Service, count: int, *, old: bool) -> None:
    events = []
    for number in range(count):
        at = OLD + timedelta(seconds=number) if old else now()
        begin = started(at=at)
        events += [begin, finished(id_of(begin), at=at + timedelta(milliseconds=1))]
    for first in range(0, len(events), 1000):
        await accept(service, *events[first : first + 1000], sent_at=OLD + timedelta(hours=1) if old else None)


async def total(service: Service) -> int:
    answer = await service.execute("{ executions { totalCount totalCountIsExact } }")
    assert answer["data"]["executions"]["totalCountIsExact"] is True
    count: int = answer["data"]["executions"]["totalCount"]
    return count


async def test_a_purge_that_is_killed_is_gone_on_with(service: Service, database_url: str, tmp_path: Path) -> None:
    await record(service, 1500, old=True)
    await record(service, 5, old=False)
    arguments = ["purge", "--older-than", "90d", "--batch", "10", "--data-dir", str(tmp_path)]
    command = [sys.executable, "-c", "from flowtrail.cli import main; main()", *arguments]
    environment = os.environ | {"DATABASE_URL": database_url}
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.DEVNULL)
    connection = await asyncpg.connect(database_url)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval("SELECT count(*) FROM execution") >= 1490:
                await asyncio.sleep(0)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        async with asyncio.timeout(30):
            while await connection.fetchval(STILL_PURGING):
                await asyncio.sleep(0.05)  # PostgreSQL may still be committing what it was told last
        left = await connection.fetchval("SELECT count(*) FROM execution")
        assert 5 < left < 1505
        assert await total(service) == left
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
        assert process.returncode == 0
        assert said.decode() == f"{left - 5} executions deleted.\n"
    finally:
        await connection.close()
    assert await total(service) == 5


async def test_retention_deletes_by_itself_and_only_when_it_is_set(start_service: Any, service: Service) -> None:
    await record(service, 30, old=True)
    await record(service, 3, old=False)
    assert await total(service) == 33
    keeping: Service = await start_service(retention=timedelta(days=90))
    async with asyncio.timeout(30):
        while await total(keeping) != 3:
            await asyncio.sleep(0.05)


def test_retention_is_given_as_an_age(monkeypatch: Any) -> None:
    monkeypatch.setenv("FLOWTRAIL_RETENTION", "90d")
    assert Settings.load().retention == timedelta(days=90)
