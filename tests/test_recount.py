"""`flowtrail recount`: what is off is said and mended, while others record; what is right stays as it is."""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flowtrail import counts
from flowtrail.database import Database
from reader import all_ids, count, hold_deadlines, pass_deadline, purge
from recorder import accept, ask, finished, started
from support import Service
from test_counts import ask_to_delete, compare, write_at_random

FLOWTRAIL = str(Path(sys.executable).with_name("flowtrail"))
StartService = Callable[..., Any]
STATISTICS = """
query { flow(by: {tool: {server: "orders", toolName: "ship"}}) { id statistics {
  total errorRate p50DurationMs p99DurationMs byStatus { status count } topErrors { kind message count } } } }"""
BREAKS = (
    "UPDATE execution_count SET n = n + 3 WHERE grain = 'total' AND status = 'FULFILLED'",
    "DELETE FROM execution_count WHERE grain = 'hour'",
    "INSERT INTO execution_count SELECT gen_random_uuid(), 'total', '1970-01-01Z', 'ERROR', false, 7",
    "UPDATE execution_duration_count SET n = n + 1 WHERE grain = 'minute'",
    "UPDATE execution_duration_count SET duration_bin = duration_bin + 500 WHERE grain = 'total'",
    "DELETE FROM execution_error_count",
    """INSERT INTO execution_count_delta (flow_id, bucket, status, is_preview, n)
       SELECT id, '2026-01-01 10:00Z', 'PENDING', true, -5 FROM flow""",
)


async def recount(database_url: str, *arguments: str) -> tuple[int, str]:
    """Run the command and return its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        FLOWTRAIL, "recount", *arguments, env={**os.environ, "DATABASE_URL": database_url, "COLUMNS": "200"}, stdout=-1, stderr=-1
    )
    output, errors = await process.communicate()
    assert errors == b"", errors
    return process.returncode or 0, output.decode()


async def break_counts(database: Database, *statements: str) -> None:
    async with database.write() as write:
        while await counts.fold(write):
            pass
        for statement in statements:
            await write.execute(statement)


async def test_counts_are_right_whatever_was_recorded_swept_purged_and_deleted(
    start_service: StartService, database: Database
) -> None:
    service: Service = await start_service(sweep_interval=0.05, fold_interval=0.02)
    await write_at_random(service, "orders", random.Random(4), 20)
    ids = await all_ids(service, first=100)
    await hold_deadlines(database, *ids)
    await pass_deadline(database, *ids[::5])
    await purge(database, ids[::7])
    await ask_to_delete(service, (await ask(service, STATISTICS))["flow"]["id"])
    await accept(service, started(), started(toolExists=False, tool="nothing"))
    async with database.snapshot() as read:
        assert await counts.compare(read) == []


async def test_what_is_off_is_said_and_mended_while_others_record(
    start_service: StartService, database: Database, database_url: str
) -> None:
    service: Service = await start_service(sweep_interval=None, fold_interval=0.02)
    await write_at_random(service, "orders", random.Random(5), 10)
    right = (await ask(service, STATISTICS))["flow"]
    await break_counts(database, *BREAKS)
    assert (await ask(service, STATISTICS))["flow"] != right
    code, said = await recount(database_url, "--dry-run")
    assert code == 1
    for line in (
        "ship of orders: ",
        "all flows together: ",
        "which is not there: 1 of executions, by total: 7 counted, 0 recorded",
    ):
        assert line in said
    assert "are wrong." in said
    assert await recount(database_url, "--dry-run") == (code, said)
    writing = asyncio.create_task(write_at_random(service, "orders", random.Random(6), 30))
    code, said = await recount(database_url)
    await writing
    assert code == 0
    assert "were wrong and have been mended." in said
    assert await recount(database_url, "--dry-run") == (0, "All counts are right.\n")
    await hold_deadlines(database, *await all_ids(service, first=100))
    assert await compare(database) == await count(service) == len(await all_ids(service, first=100))
    async with database.read() as read:
        assert await read.fetchval("SELECT count(*) FROM execution_count WHERE n = 0") == 0


async def test_one_flow_alone_is_mended(service: Service, database: Database, database_url: str) -> None:
    for tool in ("ship", "pack"):
        start = started(tool=tool)
        await accept(service, start, finished(start["started"]["executionId"], error="EXCEPTION"))
    await break_counts(database, "UPDATE execution_count SET n = 100 WHERE grain = 'total'")
    code, said = await recount(database_url, "--flow", "orders", "ship")
    assert (code, said.splitlines()[:1]) == (0, ["ship of orders: 1 of executions, by total: 100 counted, 1 recorded"])
    assert (await ask(service, STATISTICS))["flow"]["statistics"]["total"] == 1
    assert await count(service) == 100
    code, said = await recount(database_url)
    assert "ship of orders" not in said
    assert "pack of orders: 1 of executions, by total: 100 counted, 1 recorded" in said
    assert await count(service) == 2


async def test_a_flow_that_never_was_is_refused(database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(FLOWTRAIL, "recount", "--flow", "orders", "nothing"), env={**os.environ, "DATABASE_URL": database_url}, stderr=-1
    )
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (1, b"flowtrail: no flow was ever registered for the tool nothing of orders\n")
