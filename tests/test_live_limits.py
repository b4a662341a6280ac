"""Subscribers that are slow, late or many: what one of them suffers is not the others' matter (spec 3.4)."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
import websockets

from flowtrail import changes
from flowtrail.database import Database
from flowtrail.graphql import broadcast, eager, mailbox
from flowtrail.graphql.mailbox import Mailbox, TooFarBehind
from live import change_cursor, pruned, socket
from recorder import accept, finished, id_of, started
from support import Service

HEAVY = """subscription($after: String) { executionChanges(after: $after) {
  ... on ExecutionChange { cursor kind executionId execution { initialParams } } ... on ResyncRequired { reason } } }"""


async def test_who_subscribes_after_a_resync_is_not_put_to_those_it_ended(service: Service, database: Database) -> None:
    """A stalled subscriber keeps its group, which has ended, in memory; the same document from someone else must not join it."""
    async with socket(service, max_queue=1, ping_interval=None) as stalled, socket(service) as reader:
        await stalled.subscribe(HEAVY)
        await reader.subscribe(HEAVY)
        await asyncio.gather(stalled.send({"type": "ping"}), reader.send({"type": "ping"}))
        assert (await reader.receive())["type"] == (await stalled.receive())["type"] == "pong"
        cursor = await change_cursor(service)
        stalled.connection.transport.pause_reading()
        for _ in range(60):
            await accept(service, started(params={"filler": "x" * 200_000}))
        await changes.reset(database)
        while "reason" not in (event := await reader.event()):
            pass
        assert event["reason"] == "DATABASE_REPLACED"
        assert (await reader.receive())["type"] == "complete"
        await reader.subscribe(HEAVY, id_="again", after=await change_cursor(service))
        start = started()
        await accept(service, start)
        assert (await reader.event())["executionId"] == id_of(start)
        await reader.subscribe(HEAVY, id_="old", after=cursor)
        while "reason" not in (event := await reader.event()):
            pass


async def test_what_comes_while_a_subscriber_catches_up_does_not_cut_it_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_BEHIND", 20)
    cursor = await change_cursor(service)
    expected = []
    for _ in range(30):
        start = started(params={"filler": "x" * 200_000})
        await accept(service, start)
        expected.append(id_of(start))
    async with socket(service) as live, socket(service, max_queue=1, ping_interval=None) as late:
        await live.subscribe(HEAVY, after=await change_cursor(service))
        await late.subscribe(HEAVY, after=cursor)
        late.connection.transport.pause_reading()
        for _ in range(30):
            start = started()
            await accept(service, start)
            expected.append(id_of(start))
            assert (await live.event())["executionId"] == id_of(start)
        late.connection.transport.resume_reading()
        assert [event["executionId"] for event in await late.events(60)] == expected


async def test_large_messages_count_by_their_size(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcast, "_WAITING_CHARACTERS", 1_000_000)
    async with socket(service, max_queue=1, ping_interval=None) as stalled:
        await stalled.subscribe(HEAVY, after=await change_cursor(service))
        stalled.connection.transport.pause_reading()
        for _ in range(60):
            await accept(service, started(params={"filler": "x" * 200_000}))
        stalled.connection.transport.resume_reading()
        with pytest.raises(websockets.ConnectionClosed):
            await stalled.events(60)


async def test_a_change_left_behind_below_the_floor_does_not_make_every_position_too_old(
    service: Service, database: Database, database_url: str
) -> None:
    """Changes are pruned in the order of transactions, and a lower one may be younger."""
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    await connection.fetchval("SELECT pg_current_xact_id()")
    await accept(service, started())
    async with database.write() as write:
        await write.execute("UPDATE execution_change SET at = at - interval '2 hours'")
    await connection.execute("INSERT INTO execution_change (execution_id, kind, at) VALUES (gen_random_uuid(), 'STARTED', now())")
    await transaction.commit()
    await connection.close()
    assert await pruned(database, timedelta(hours=1)) == 1
    async with socket(service) as client:
        await client.subscribe(after=await change_cursor(service))
        start = started()
        await accept(service, start, finished(id_of(start)))
        assert [event["kind"] for event in await client.events(2)] == ["STARTED", "FINISHED"]


async def test_a_coroutine_that_must_wait_goes_on_when_awaited() -> None:
    arrived = asyncio.Event()
    steps = []

    async def work() -> None:
        steps.append("begun")
        await arrived.wait()
        await asyncio.sleep(0)
        steps.append("done")

    rest = eager.start(work())
    assert (steps, rest is not None) == (["begun"], True)
    arrived.set()
    if rest is not None:
        await rest
    assert steps == ["begun", "done"]
    assert eager.start(work()) is not None  # never awaited, as when the subscriber goes: nothing is left running


async def test_a_mailbox_keeps_the_order_of_what_is_handed_over_and_what_waits() -> None:
    got: list[int] = []
    gate = asyncio.Event()

    async def send(item: int) -> None:
        if item == 2:
            await gate.wait()
        got.append(item)

    box: Mailbox[int] = Mailbox(100, hand_over=lambda item: eager.start(send(item)))

    async def own() -> None:
        while True:
            await send(await box.take())

    owner = asyncio.create_task(own())
    await asyncio.sleep(0)
    for item in range(5):
        box.put(1, item, 1)
    assert got == [0, 1], "the owner waited, so they were handed over; then one had to wait"
    gate.set()
    box.end(TooFarBehind())
    with pytest.raises(TooFarBehind):
        await owner
    assert got == [0, 1, 2, 3, 4]
