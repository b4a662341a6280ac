"""`flowtrail recount`: what is off is said and mended, while others record; what is right stays as it is."""

import asyncio
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowtrail import counts
from flowtrail.database import Database
from flowtrail.executions import mend_parameters, parameters
from flowtrail.parameters import searched_digest
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
    assert code == 0
    assert said.splitlines() == [
        "ship of orders: 1 of executions, by total: 100 counted, 1 recorded",
        "all flows together: 1 of executions, by total: 100 counted, 101 recorded",
        "2 counts were wrong and have been mended.",
    ]
    assert (await ask(service, STATISTICS))["flow"]["statistics"]["total"] == 1
    assert await count(service) == 101
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


async def test_totals_across_all_flows_are_mended_with_one_flow_of_them(
    start_service: StartService, database: Database, database_url: str
) -> None:
    service: Service = await start_service(sweep_interval=None, fold_interval=None)
    await write_at_random(service, "orders", random.Random(8), 10)
    await write_at_random(service, "depot", random.Random(9), 10)
    await break_counts(
        database,
        "DELETE FROM execution_count WHERE grain = 'day'",
        f"UPDATE execution_count SET n = n + 2 WHERE flow_id = '{counts.ALL_FLOWS}'",
    )
    await write_at_random(service, "orders", random.Random(10), 10)
    for server in ("orders", "depot"):
        code, said = await recount(database_url, "--flow", server, "ship", "--dry-run")
        assert code == 1
        assert {line.split(":")[0] for line in said.splitlines()[:-1]} == {f"ship of {server}", "all flows together"}
        code, mended = await recount(database_url, "--flow", server, "ship")
        assert (code, mended.splitlines()[:-1]) == (0, said.splitlines()[:-1])
        assert await recount(database_url, "--flow", server, "ship", "--dry-run") == (0, "All counts are right.\n")
    assert await count(service) == len(await all_ids(service, first=100))
    async with database.snapshot() as read:
        assert await counts.compare(read) == []


async def test_executions_are_found_by_their_parameters_again(service: Service, database: Database, database_url: str) -> None:
    starts = [started(params={"order": number, "tags": ["a", {"b": "nil\0nil"}]}) for number in range(30)]
    starts += [started(params={"order": 1}, tool="gone", toolExists=False), started(params={}, server="depot")]
    await accept(service, *starts)
    right = {repr(value): await all_ids(service, filter=value) for value in map(with_order, range(3))}
    assert [len(found) for found in right.values()] == [1, 2, 1]
    assert (await recount(database_url, "--parameters"))[1] == "All counts are right.\nAll parameters are right.\n"
    lost, moved, more = (start["started"]["executionId"] for start in (starts[0], starts[1], starts[2]))
    async with database.write() as write:
        await write.execute("DELETE FROM execution_parameter WHERE execution_id = $1", lost)
        await write.execute(
            "UPDATE execution_parameter SET started_at = started_at + interval '1 s' WHERE execution_id = $1", moved
        )
        await write.execute(
            "INSERT INTO execution_parameter SELECT flow_id, $2, started_at, id FROM execution WHERE id = $1",
            more,
            searched_digest("/order", 0),
        )
    assert await all_ids(service, filter=with_order(0)) == [more]
    wrong = "All counts are right.\n3 executions are found by wrong parameters.\n"
    assert await recount(database_url, "--parameters", "--dry-run", "--flow", "orders", "ship") == (1, wrong)
    assert await recount(database_url, "--parameters", "--dry-run") == (1, wrong)
    code, said = await recount(database_url, "--parameters", "--flow", "orders", "ship")
    assert (code, said.splitlines()[1]) == (0, "3 executions were found by wrong parameters, which has been mended.")
    assert {repr(value): await all_ids(service, filter=value) for value in map(with_order, range(3))} == right
    assert await recount(database_url, "--parameters", "--dry-run") == (0, "All counts are right.\nAll parameters are right.\n")


async def test_parameters_are_compared_batch_by_batch(
    service: Service, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parameters, "BATCH", 7)
    await accept(service, *(started(params={"order": number}) for number in range(20)))
    async with database.write() as write:
        await write.execute("DELETE FROM execution_parameter")
        batches: list[int] = []
        after = None
        while not batches or after is not None:
            batch = await mend_parameters(write, None, after)
            after = batch.last
            batches.append(batch.wrong)
    assert batches == [7, 7, 6]
    assert [len(await all_ids(service, filter=with_order(number))) for number in (0, 19)] == [1, 1]


def with_order(number: int) -> dict[str, Any]:
    return {"param": [{"path": "/order", "value": number}]}
