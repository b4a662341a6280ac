"""The change feed as subscribers see it (spec 3)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from flowtrail import changes
from flowtrail.changes import Position
from flowtrail.database import Database
from live import CHANGES, change_cursor, event_stream, pruned, socket
from recorder import accept, ask, finished, id_of, node_finished, node_started, now, send, started
from support import Service

Start = Callable[..., Awaitable[Service]]


async def test_every_step_of_an_execution_arrives_once_and_in_order(service: Service) -> None:
    async with socket(service) as client:
        await client.subscribe(after=await change_cursor(service))
        start = started()
        execution_id = id_of(start)
        await accept(service, start)
        await accept(service, node_started(execution_id), node_finished(execution_id))
        await accept(service, finished(execution_id))
        events = await client.events(4)
    assert [event["kind"] for event in events] == ["STARTED", "NODE_STARTED", "NODE_FINISHED", "FINISHED"]
    assert {event["executionId"] for event in events} == {execution_id}
    assert events[-1]["execution"]["status"] == "FULFILLED"
    assert events[2]["nodeExecution"] == {"position": 0, "status": "COMPLETED"}


async def test_an_execution_is_never_older_than_its_change(service: Service) -> None:
    cursor = await change_cursor(service)
    start = started()
    await accept(service, start, finished(id_of(start)))
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        events = await client.events(2)
    assert [(event["kind"], event["execution"]["status"]) for event in events] == [
        ("STARTED", "FULFILLED"),
        ("FINISHED", "FULFILLED"),
    ]


async def test_a_subscription_to_one_flow_or_execution_gets_nothing_else(service: Service) -> None:
    mine, other = started(tool="mine"), started(tool="other")
    cursor = await change_cursor(service)
    await accept(service, mine, other)
    data = await ask(
        service,
        "query($id: UUID!) { execution(by: {uuid: $id}) { id flow { id } } }",
        id=id_of(mine),
    )
    async with socket(service) as client:
        await client.subscribe(id_="flow", flowId=data["execution"]["flow"]["id"], after=cursor)
        assert (await client.event())["executionId"] == id_of(mine)
        await client.send({"id": "flow", "type": "complete"})
        await client.subscribe(id_="execution", executionId=data["execution"]["id"], after=cursor)
        assert (await client.event())["executionId"] == id_of(mine)
        await accept(service, finished(id_of(other)), finished(id_of(mine)))
        assert (await client.event())["executionId"] == id_of(mine)


async def test_each_cursor_resumes_right_after_its_change(service: Service) -> None:
    cursor = await change_cursor(service)
    starts = [started() for _ in range(5)]
    await accept(service, *starts)
    await accept(service, *(finished(id_of(start)) for start in starts))
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        events = await client.events(10)
        for index, event in enumerate(events[:-1]):
            await client.subscribe(id_=f"from {index}", after=event["cursor"])
            rest = await client.events(9 - index)
            assert [again["cursor"] is not None and (again["executionId"], again["kind"]) for again in rest] == [
                (later["executionId"], later["kind"]) for later in events[index + 1 :]
            ]
            await client.send({"id": f"from {index}", "type": "complete"})


async def test_query_then_subscribe_misses_nothing_while_others_write(service: Service) -> None:
    """The rows of a page and the changes after its cursor are everything, whatever is written in between."""
    stop = asyncio.Event()
    recorded: dict[str, str] = {}

    async def write() -> None:
        while not stop.is_set():
            start = started()
            await accept(service, start)
            recorded[id_of(start)] = "PENDING"
            await accept(service, finished(id_of(start)))
            recorded[id_of(start)] = "FULFILLED"

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(write())
        async with socket(service) as client:
            for number in range(40):
                data = await ask(service, "{ executions(first: 100) { changeCursor edges { node { uuid status } } } }")
                known = {edge["node"]["uuid"]: edge["node"]["status"] for edge in data["executions"]["edges"]}
                await client.subscribe(id_=str(number), after=data["executions"]["changeCursor"])
                done_before_marker = dict(recorded)
                marker = started(uuid7())
                await accept(service, marker)
                while True:
                    event = await client.event()
                    if event["executionId"] == id_of(marker):
                        break
                    expected = {"STARTED": None, "FINISHED": "PENDING"}[event["kind"]]
                    assert known.get(event["executionId"]) == expected, "seen in the page already, or a step is missing"
                    known[event["executionId"]] = "PENDING" if event["kind"] == "STARTED" else "FULFILLED"
                missing = {
                    id_ for id_, status in done_before_marker.items() if status == "FULFILLED" and known.get(id_) == "PENDING"
                }
                assert not missing
                await client.send({"id": str(number), "type": "complete"})
        stop.set()


async def test_timeouts_interruptions_and_late_outcomes_are_changes(service: Service, database: Database) -> None:
    cursor = await change_cursor(service)
    slow, died = started(), started()
    await accept(service, slow, died)
    async with database.write() as write:
        await write.execute("UPDATE execution SET deadline = now() WHERE id = $1", id_of(slow))
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        assert [event["kind"] for event in await client.events(2)] == ["STARTED", "STARTED"]
        timed_out = await client.event()
        assert (timed_out["kind"], timed_out["execution"]["errorInfo"]["kind"]) == ("TIMED_OUT", "TIMED_OUT")
        await accept(service, finished(id_of(slow)), finished(id_of(died), error="INTERRUPTED"), finished(id_of(died)))
        assert [event["kind"] for event in await client.events(3)] == ["LATE_OUTCOME", "INTERRUPTED", "LATE_OUTCOME"]


async def test_two_processes_see_each_others_changes(service: Service, start_service: Start) -> None:
    other = await start_service()
    async with socket(other) as client:
        await client.subscribe(after=await change_cursor(service))
        start = started()
        await accept(service, start)
        assert (await client.event())["executionId"] == id_of(start)


async def test_a_transaction_that_commits_late_is_not_skipped(service: Service, database_url: str, database: Database) -> None:
    cursor = await change_cursor(service)
    late, early = uuid7(), started()
    connection = await asyncpg.connect(database_url)
    transaction = connection.transaction()
    await transaction.start()
    await changes.append(connection, [changes.Change(late, None, "STARTED", None, now())])  # type: ignore[arg-type]
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        await accept(service, early)
        first = await client.event()
        await transaction.commit()
        database.news.set()
        assert (await client.event())["executionId"] == str(late)
        await client.subscribe(id_="resumed", after=first["cursor"])
        assert (await client.event())["executionId"] == str(late)
    assert first["executionId"] == id_of(early)
    await connection.close()


async def test_a_purged_execution_leaves_its_changes(service: Service, database: Database) -> None:
    cursor = await change_cursor(service)
    start = started()
    await accept(service, start, finished(id_of(start)))
    async with database.write() as write:
        await write.execute("DELETE FROM execution")
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        assert [(event["kind"], event["execution"]) for event in await client.events(2)] == [("STARTED", None), ("FINISHED", None)]


@pytest.mark.parametrize("reason", ["TOO_OLD", "UNKNOWN_POSITION", "DATABASE_REPLACED"])
async def test_a_cursor_that_cannot_be_served_asks_for_a_resync(service: Service, database: Database, reason: str) -> None:
    cursor = await change_cursor(service)
    position = Position.decode(cursor)
    await accept(service, started())
    if reason == "TOO_OLD":
        assert await pruned(database) == 1
    elif reason == "UNKNOWN_POSITION":
        cursor = cursor_with(position, xmax=2**40)
    else:
        await changes.reset(database)
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        assert await client.event() == {"__typename": "ResyncRequired", "reason": reason}
        assert await client.receive() == {"id": "1", "type": "complete"}
        await client.subscribe(id_="anew", after=await change_cursor(service))
        start = started()
        await accept(service, start)
        assert (await client.event())["executionId"] == id_of(start)


async def test_who_follows_live_learns_of_a_replaced_database(service: Service, database: Database) -> None:
    async with socket(service) as client:
        await client.subscribe(after=await change_cursor(service))
        start = started()
        await accept(service, start)
        await client.event()
        await changes.reset(database)
        assert await client.event() == {"__typename": "ResyncRequired", "reason": "DATABASE_REPLACED"}
        assert await client.receive() == {"id": "1", "type": "complete"}


def cursor_with(position: Position, **fields: Any) -> str:
    import dataclasses

    return dataclasses.replace(position, seen=dataclasses.replace(position.seen, **fields)).encode()


@pytest.mark.parametrize("after", ["", "x", "AAAA", "5:6:", "💥", "a" * 10_000])
async def test_a_wrong_cursor_is_named(service: Service, after: str) -> None:
    async with socket(service) as client:
        await client.subscribe(after=after)
        message = await client.receive()
    assert message["type"] == "error"
    (error,) = message["payload"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "after" in error["message"]


async def test_server_sent_events_carry_the_same(service: Service) -> None:
    cursor = await change_cursor(service)
    start = started()
    await accept(service, start)
    async with event_stream(service, CHANGES, after=cursor) as events:
        first = await anext(events)
        assert first["data"]["executionChanges"]["executionId"] == id_of(start)
        await accept(service, finished(id_of(start)))
        assert (await anext(events))["data"]["executionChanges"]["kind"] == "FINISHED"


@pytest.mark.parametrize(
    ("accept_header", "media_type"),
    [
        ("application/json, text/event-stream", "application/json"),
        ("text/event-stream;q=0.5, application/json", "application/json"),
        ("text/event-stream, application/json;q=0.5", "text/event-stream"),
        ("text/event-stream", "text/event-stream"),
        ("*/*", "application/json"),
    ],
)
async def test_an_event_stream_is_sent_only_to_who_prefers_it(service: Service, accept_header: str, media_type: str) -> None:
    headers = {"content-type": "application/json", "accept": accept_header}
    response = await service.client.post("/graphql", content=json.dumps({"query": "{ __typename }"}), headers=headers)
    assert response.headers["content-type"] == f"{media_type}; charset=utf-8"
    assert '{"data":{"__typename":"Query"}}' in response.text


async def test_a_wrong_subscription_is_refused_before_a_stream_begins(service: Service) -> None:
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    response = await service.client.post("/graphql", content=json.dumps({"query": "subscription { nothing }"}), headers=headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_receipts_of_a_batch_come_before_or_with_its_changes(service: Service) -> None:
    """What a receipt acknowledges, a page read afterwards shows, and a subscription from that page does not repeat."""
    start = started()
    receipts = await send(service, start)
    assert receipts[0]["outcome"] == "ACCEPTED"
    cursor = await change_cursor(service)
    other = started()
    await accept(service, other)
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        assert (await client.event())["executionId"] == id_of(other)


async def test_nodes_of_a_running_execution_arrive_one_by_one(service: Service) -> None:
    start = started()
    execution_id = id_of(start)
    cursor = await change_cursor(service)
    await accept(service, start)
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        await client.event()
        for position in range(3):
            await accept(service, node_started(execution_id, position))
            event = await client.event()
            assert (event["nodeExecution"], event["execution"]["nodeCount"]) == (
                {"position": position, "status": "PENDING"},
                position + 1,
            )
            await accept(service, node_finished(execution_id, position))
            assert (await client.event())["nodeExecution"] == {"position": position, "status": "COMPLETED"}
