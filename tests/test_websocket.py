"""graphql-transport-ws as its protocol says, with the right close codes."""

import json
from typing import Any

import pytest
import websockets

from flowtrail.graphql import endpoint, mailbox
from live import CHANGES, Socket, socket
from recorder import accept, ask, finished, id_of, started
from support import Service


async def test_queries_and_mutations_work_over_the_socket(service: Service) -> None:
    async with socket(service) as client:
        await client.subscribe("{ __typename }")
        assert await client.receive() == {"id": "1", "type": "next", "payload": {"data": {"__typename": "Query"}}}
        assert await client.receive() == {"id": "1", "type": "complete"}


async def test_a_large_message_is_read_as_a_small_one(service: Service) -> None:
    padding = {f"name {number}": [number, "x"] for number in range(10_000)}  # read in parts
    async with socket(service) as client:
        for extra in ({}, {"padding": padding}):
            payload = {"query": "{ flows { totalCount } }", "extensions": extra}
            await client.send({"id": "1", "type": "subscribe", "payload": payload})
            assert (await client.receive())["payload"] == {"data": {"flows": {"totalCount": 0}}}
            assert (await client.receive()) == {"id": "1", "type": "complete"}
        await client.connection.send(json.dumps({"type": "ping", "payload": padding})[:-1])
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason[:15]) == (4400, "Invalid message")


async def test_ping_is_answered_before_and_after_the_init(service: Service) -> None:
    async with socket(service, init=False) as client:
        await client.send({"type": "ping", "payload": {"any": "thing"}})
        assert (await client.receive())["type"] == "pong"
        await client.init()
        await client.send({"type": "ping"})
        assert (await client.receive())["type"] == "pong"
        await client.send({"type": "pong"})


async def test_errors_of_the_document_end_the_operation_only(service: Service) -> None:
    async with socket(service) as client:
        for document in (
            "{ nothing }",
            "{",
            "query A { __typename } query B { __typename }",
            "subscription { executionChanges(flowId: 1.5) { __typename } }",
        ):
            await client.subscribe(document)
            message = await client.receive()
            assert message["type"] == "error"
            assert message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        await client.subscribe("{ __typename }")
        assert (await client.receive())["type"] == "next"


async def test_an_id_is_free_again_after_complete(service: Service) -> None:
    async with socket(service) as client:
        for _ in range(3):
            await client.subscribe()
            await client.send({"id": "1", "type": "complete"})
        await client.send({"id": "never-there", "type": "complete"})
        await client.subscribe("{ __typename }")
        assert (await client.receive())["payload"] == {"data": {"__typename": "Query"}}


async def test_two_operations_of_one_socket_do_not_mix(service: Service) -> None:
    cursor = (await ask(service, "{ executions(first: 0) { changeCursor } }"))["executions"]["changeCursor"]
    async with socket(service) as client:
        await client.subscribe(id_="a", after=cursor)
        await client.subscribe(id_='b"\\', after=cursor)
        start = started()
        await accept(service, start, finished(id_of(start)))
        kinds: dict[str, list[str]] = {"a": [], 'b"\\': []}
        for _ in range(4):
            message = await client.receive()
            kinds[message["id"]].append(message["payload"]["data"]["executionChanges"]["kind"])
    assert kinds == {"a": ["STARTED", "FINISHED"], 'b"\\': ["STARTED", "FINISHED"]}


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["no json"], 4400),
        (["[]"], 4400),
        (["null"], 4400),
        (['"connection_init"'], 4400),
        (["{}"], 4400),
        (['{"type": null}'], 4400),
        (['{"type": "start"}'], 4400),
        (['{"type": ["ping"]}'], 4400),
        (["[" * 15_000], 4400),
        (["[" * 100_000], 1009),
        (["," * 150_000], 1009),
        (['{"type": "ping", "n": NaN}'], 4400),
        ([b"\x00\x01"], 4400),
        (['{"type": "connection_init", "payload": []}'], 4400),
        (['{"type": "connection_init", "payload": {"authorization": 5}}'], 4400),
        (['{"type": "connection_init", "payload": {"authorization": "Bearer wrong"}}'], 4403),
        (['{"type": "connection_init", "payload": {"Authorization": "Basic wrong"}}'], 4403),
        (['{"type": "subscribe", "id": "1", "payload": {"query": "{ __typename }"}}'], 4401),
        (["INIT", "INIT"], 4429),
        (["INIT", '{"type": "subscribe", "payload": {"query": "{ __typename }"}}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}'], 4400),
        (["INIT", '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "1"}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "1", "payload": {"query": 5}}'], 4400),
        (["INIT", '{"type": "subscribe", "id": "1", "payload": {"query": "{ a }", "variables": []}}'], 4400),
        (["INIT", '{"type": "complete"}'], 4400),
        (["INIT", "SUBSCRIBE", "SUBSCRIBE"], 4409),
    ],
)
async def test_a_wrong_message_closes_with_its_code(service: Service, messages: list[str | bytes], code: int) -> None:
    words: dict[Any, str] = {
        "INIT": '{"type": "connection_init"}',
        "SUBSCRIBE": json.dumps({"type": "subscribe", "id": "1", "payload": {"query": CHANGES}}),
    }
    async with socket(service, init=False) as client:
        for message in messages:
            await client.connection.send(words.get(message, message))
        assert await client.close_code() == code


@pytest.mark.parametrize("subprotocols", [None, ["graphql-ws"], ["chat"]])
async def test_other_protocols_are_not_spoken(service: Service, subprotocols: Any) -> None:
    url = f"{service.url.replace('http', 'ws', 1)}/graphql"
    async with websockets.connect(url, subprotocols=subprotocols) as connection:
        assert await Socket(connection).close_code() == 4406


async def test_a_socket_that_never_begins_is_closed(service: Service) -> None:
    async with socket(service, init=False) as client:
        assert await client.close_code() == 4408


@pytest.mark.parametrize("read_token", ["a-read-token"])
async def test_reading_needs_its_token(service: Service, read_token: str) -> None:
    async with socket(service, init=False) as client:
        await client.send({"type": "connection_init"})
        assert await client.close_code() == 4403
    async with socket(service, token=read_token) as client:
        await client.subscribe("{ __typename }")
        assert (await client.receive())["type"] == "next"


async def test_a_revoked_token_closes_the_socket(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "ACCESS_CHECK_SECONDS", 0.2)
    from flowtrail import tokens

    database = service.database
    async with database.write() as write:
        secret = await tokens.create(write, "reader", "read")
    async with socket(service, token=secret) as client:
        await client.subscribe()
        async with database.write() as write:
            await tokens.revoke(write, "reader")
        assert await client.close_code() == 4403


async def test_a_process_that_stops_tells_its_subscribers(service: Service) -> None:
    async with socket(service) as client:
        await client.subscribe()
        service.stop()
        assert await client.close_code() == 1012


async def test_a_subscriber_that_does_not_read_is_cut_off_and_can_resume(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "MAX_BEHIND", 20)
    cursor = (await ask(service, "{ executions(first: 0) { changeCursor } }"))["executions"]["changeCursor"]
    params = {"filler": "x" * 200_000}
    fields = "cursor kind executionId execution { initialParams }"
    document = f"subscription($after: String) {{ executionChanges(after: $after) {{ ... on ExecutionChange {{ {fields} }} }} }}"
    ids = []
    async with socket(service, max_queue=1, ping_interval=None) as stalled, socket(service) as reader:
        await stalled.subscribe(document, after=cursor)
        await reader.subscribe(after=cursor)
        stalled.connection.transport.pause_reading()
        for _ in range(150):
            start = started(params=params)
            await accept(service, start)
            ids.append(id_of(start))
        assert [event["executionId"] for event in await reader.events(150)] == ids
        stalled.connection.transport.resume_reading()
        seen = []
        closed: websockets.ConnectionClosed | None = None
        while closed is None:
            try:
                seen.append(await stalled.event())
            except websockets.ConnectionClosed as error:
                closed = error
    assert closed.rcvd is None or closed.rcvd.code == 1013
    assert 0 < len(seen) < 150
    async with socket(service) as again:
        await again.subscribe(after=seen[-1]["cursor"])
        rest = await again.events(150 - len(seen))
    assert [event["executionId"] for event in (*seen, *rest)] == ids


async def test_many_operations_of_one_socket_are_bounded(service: Service) -> None:
    async with socket(service) as client:
        for number in range(101):
            await client.subscribe(id_=str(number))
        assert await client.close_code() == 1013
