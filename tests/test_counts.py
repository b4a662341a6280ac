"""Counts: exact at every read, whoever writes, folds or purges at that moment (spec 2.4)."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from uuid_utils.compat import uuid7

from flowtrail import counts
from flowtrail.database import Database
from properties import fresh_server
from reader import all_ids, count, hold_deadlines, pass_deadline, purge
from recorder import Event, accept, ask, finished, now, register, send, started
from support import Service

StartService = Callable[..., Any]
STATUSES = ("PENDING", "FULFILLED", "ERROR")
TABLES = ("execution_count", "execution_duration_count", "execution_error_count")
COUNTED = """
SELECT flow_id, is_preview, CASE WHEN status = 'PENDING' AND deadline <= now() THEN 'ERROR' ELSE status END AS status, count(*) AS n
FROM execution GROUP BY 1, 2, 3"""


async def write_at_random(service: Service, server: str, rng: random.Random, batches: int) -> None:
    """Record batches of starts and ends, some of them twice, for minutes and days at random."""
    pending: list[str] = []
    for _ in range(batches):
        ids = [str(uuid7()) for _ in range(rng.randrange(1, 6))]
        at = now() - timedelta(seconds=rng.choice((1, 3600, 200_000)) * rng.random())
        events: list[Event] = [started(id_, server=server, at=at, isPreview=rng.random() < 0.3) for id_ in ids]
        pending += ids
        rng.shuffle(pending)
        ended, pending = pending[:3], pending[3:]
        events += [finished(id_, error=rng.choice((None, "EXCEPTION"))) for id_ in ended]
        for _ in range(rng.choice((1, 1, 2))):
            await send(service, *events)


async def compare(database: Database) -> int:
    """Compare the counts with count(*) in one snapshot: by flow, status and preview, and of all; returns how many there are."""
    async with database.snapshot() as read:
        rows = await read.fetch(COUNTED)
        flows = sorted({row["flow_id"] for row in rows})
        for is_preview in (None, True, False):
            expected: dict[Any, Counter[str]] = {key: Counter() for key in (*flows, counts.ALL_FLOWS)}
            for row in rows:
                if is_preview in (None, row["is_preview"]):
                    expected[row["flow_id"]][row["status"]] += row["n"]
                    expected[counts.ALL_FLOWS][row["status"]] += row["n"]
            assert await counts.totals(read, [*flows, counts.ALL_FLOWS], is_preview) == expected
    return sum(row["n"] for row in rows)


async def test_counts_equal_the_rows_at_every_read_under_eight_writers(start_service: StartService, database: Database) -> None:
    services = [await start_service(fold_interval=0.01, sweep_interval=0.05), await start_service(fold_interval=0.01)]
    server = fresh_server()
    writers = [
        asyncio.create_task(write_at_random(services[number % 2], f"{server}-{number % 3}", random.Random(number), 12))
        for number in range(8)
    ]
    rng, reads = random.Random(99), 0
    while not all(writer.done() for writer in writers):
        await compare(database)
        reads += 1
        async with database.read() as read:
            some = [row["id"] for row in await read.fetch("SELECT id FROM execution ORDER BY id LIMIT 40")]
        if some:
            await purge(database, [rng.choice(some)])
            await pass_deadline(database, rng.choice(some))
    await asyncio.gather(*writers)
    assert reads > 0
    stored = await compare(database)
    async with database.snapshot() as read:
        assert await counts.compare(read) == []
    for service in services:
        assert await count(service) == stored
        assert sum([await count(service, status=[status]) for status in STATUSES]) == stored
        assert sum([await count(service, isPreview=preview) for preview in (True, False)]) == stored


async def test_counts_are_the_same_before_and_after_they_are_folded(start_service: StartService, database: Database) -> None:
    service = await start_service(fold_interval=None)
    await write_at_random(service, fresh_server(), random.Random(3), 10)
    await hold_deadlines(database, *await all_ids(service, first=100))
    unfolded = [await count(service, status=[status], isPreview=preview) for status in STATUSES for preview in (True, False)]
    async with database.write() as write:
        assert await counts.fold(write) > 0
        assert await counts.fold(write) == 0
        assert await write.fetchval("SELECT count(*) FROM execution_count_delta") == 0
    assert unfolded == [
        await count(service, status=[status], isPreview=preview) for status in STATUSES for preview in (True, False)
    ]
    assert await compare(database) == sum(unfolded)


async def test_buckets_that_come_to_nothing_are_dropped(start_service: StartService, database: Database) -> None:
    service = await start_service(fold_interval=None)
    ids = [str(uuid7()) for _ in range(5)]
    await accept(service, *(started(id_) for id_ in ids), *(finished(id_, error="EXCEPTION") for id_ in ids[:3]))
    async with database.write() as write:
        await counts.fold(write)
        assert [await write.fetchval(f"SELECT count(*) > 0 FROM {table}") for table in TABLES] == [True] * 3
    await purge(database, ids)
    async with database.write() as write:
        await counts.fold(write)
        assert [await write.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES] == [0] * 3
    assert await count(service) == 0


async def test_one_process_folds_at_a_time(start_service: StartService, database: Database) -> None:
    service = await start_service(fold_interval=None)
    await accept(service, started())
    async with database.write() as write:
        assert await counts.fold(write) > 0
        async with database.write() as other:
            assert await counts.fold(other) == 0
    assert await count(service) == 1


async def test_totals_of_several_flows_and_of_deleted_ones(service: Service) -> None:
    flows = await register(service, {"toolName": "ship"}, {"toolName": "pack"}, {"toolName": "idle"})
    by_tool = {flow["toolName"]: flow["id"] for flow in flows}
    ids = [str(uuid7()) for _ in range(6)]
    tools = ("ship", "pack", "ship", "pack", "ship", "gone")
    await accept(service, *(started(id_, tool=tool, toolExists=tool != "gone") for id_, tool in zip(ids, tools, strict=True)))
    await accept(service, finished(ids[0]), finished(ids[1], error="EXCEPTION"))
    assert await count(service) == 6
    assert await count(service, flowId=[by_tool["ship"]]) == 3
    assert await count(service, flowId=[by_tool["ship"], by_tool["pack"], by_tool["ship"]]) == 5
    assert await count(service, flowId=[by_tool["idle"]]) == 0
    assert await count(service, flowId=[by_tool["ship"], by_tool["pack"]], status=["PENDING", "ERROR"]) == 4
    await ask_to_delete(service, by_tool["ship"])
    assert await count(service) == 6
    assert await count(service, flowId=[by_tool["ship"]]) == await count(service, flowDeleted=True) == 3
    assert await count(service, flowDeleted=False) == 3


async def ask_to_delete(service: Service, flow_id: str) -> None:
    document = "mutation ($input: DeleteFlowInput!) { deleteFlow(input: $input) { deletedId } }"
    response = await service.execute(document, {"input": {"id": flow_id}}, token=service.record_token)
    assert response == {"data": {"deleteFlow": {"deletedId": flow_id}}}


async def test_a_count_that_takes_too_long_does_not_cost_the_list(service: Service, database: Database) -> None:
    await accept(service, started())
    document = """{ executions { totalCount totalCountIsExact edges { node { status } } } }"""
    async with database.write() as write:
        await write.execute("LOCK TABLE execution_count IN ACCESS EXCLUSIVE MODE")
        connection = (await ask(service, document))["executions"]
    assert connection == {"totalCount": None, "totalCountIsExact": None, "edges": [{"node": {"status": "PENDING"}}]}
    assert await count(service) == 1
