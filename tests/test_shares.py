"""What each client may use at the same time: who asks for much waits, and nobody else does (spec 2.10)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail import shares
from flowtrail.graphql.loaders import COUNT_SECONDS
from live import Socket, event_stream, socket
from locks import locked
from metrics import metric
from processes import serving
from properties import examples
from raw import wire
from recorder import finished, send, started
from support import Service

HERE, THERE = "192.0.2.1", "192.0.2.2"
HELD = "{ flows { totalCount } }"
"""It waits for a table that the tests lock."""
CHEAP = "{ recorders { server } }"
PAGES = " ".join(
    f"p{number}: executions(first: 100) {{ edges {{ node {{ nodeExecutions {{ position }} }} }} }}" for number in range(3)
)
DEAR = f"{{ flows {{ totalCount }} {PAGES} }}"

Start = Callable[..., Awaitable[Service]]


@pytest.fixture
def start(start_service: Any) -> Start:
    """Runs a service that believes whoever says where a request comes from, and whose statements would wait for a minute."""

    async def started_service(**settings: Any) -> Service:
        quiet = {"statement_timeout": 60, "lock_timeout": 60, "sweep_interval": None, "fold_interval": None}
        service: Service = await start_service(trusted_proxies=("127.0.0.1",), **quiet, **settings)
        return service

    return started_service


async def post(service: Service, document: str, address: str = HERE, token: str | None = None) -> httpx2.Response:
    headers = {"x-forwarded-for": address, "accept": "application/graphql-response+json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return await service.client.post("/graphql", json={"query": document}, headers=headers)


def posting(service: Service, document: str, **options: Any) -> asyncio.Task[httpx2.Response]:
    return asyncio.create_task(post(service, document, **options))


async def held_up(service: Service) -> float:
    return await metric(service.client, "flowtrail_requests_held_up_total")


async def until_held_up(service: Service, count: float) -> None:
    async with asyncio.timeout(20):
        while await held_up(service) < count:
            await asyncio.sleep(0.01)


async def assert_good(*answers: Awaitable[httpx2.Response]) -> None:
    for answer in await asyncio.gather(*answers):
        assert (answer.status_code, "errors" in answer.json()) == (200, False), answer.text


async def test_a_client_leaves_connections_to_others(start: Start, database_url: str) -> None:
    service = await start(pool_size=6)
    fields = " ".join(f"r{number}: flows {{ totalCount }}" for number in range(8))
    async with locked(database_url, "flow") as waiting:
        answer = posting(service, f"{{ {fields} }}")
        await waiting(2)
        await assert_good(post(service, CHEAP, THERE))
        await waiting(2)
    assert (await answer).json() == {"data": {f"r{number}": {"totalCount": 0} for number in range(8)}}


async def test_a_pool_of_one_connection_serves_everybody(start: Start) -> None:
    service = await start(pool_size=1)
    id_ = str(uuid7())
    await send(service, started(id_), finished(id_))
    document = f"{{ {PAGES} flows {{ totalCount }} executions(first: 1) {{ totalCount pageCursors {{ around {{ page }} }} }} }}"
    await assert_good(*(post(service, document, address) for address in (HERE, THERE) for _ in range(5)))


async def test_others_operations_wait_for_none_of_a_client_who_has_many(start: Start, database_url: str, record_token: str) -> None:
    service = await start(operations_per_client=2)
    before = await held_up(service)
    async with locked(database_url, "flow") as waiting:
        answers = [posting(service, HELD) for _ in range(4)]
        await until_held_up(service, before + 2)
        await waiting(2)
        await assert_good(post(service, CHEAP, THERE), post(service, CHEAP, token=record_token))
        same = posting(service, CHEAP)
        await until_held_up(service, before + 3)
        assert not same.done()
    await assert_good(*answers, same)
    assert await held_up(service) == before + 3


async def test_dear_operations_wait_for_each_other_and_keep_no_cheap_ones_waiting(start: Start, database_url: str) -> None:
    service = await start()
    before = await held_up(service)
    async with locked(database_url, "flow") as waiting:
        dear = [posting(service, DEAR) for _ in range(3)]
        await until_held_up(service, before + 2)
        await waiting(1)
        cheap = posting(service, HELD)
        await waiting(2)
    await assert_good(*dear, cheap)


async def test_who_goes_while_they_wait_is_not_waited_for(start: Start, database_url: str) -> None:
    service = await start(operations_per_client=1)
    body = json.dumps({"query": HELD})
    request = (
        f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    )
    before = await held_up(service)
    async with locked(database_url, "flow") as waiting:
        async with wire(service) as first:
            await first.send(request.encode())
            await waiting(1)
            for number in range(3):
                async with wire(service) as gone:
                    await gone.send(request.encode())
                    await until_held_up(service, before + number + 1)
            last = asyncio.create_task(service.execute(HELD))
            await until_held_up(service, before + 4)
            async with socket(service) as client:
                for id_ in ("1", "2"):
                    await client.subscribe(HELD, id_=id_)
                await until_held_up(service, before + 6)
                await client.send({"id": "1", "type": "complete"})
        await waiting(1)  # now `last`, since the first has gone
    assert await last == {"data": {"flows": {"totalCount": 0}}}
    assert "errors" not in await service.execute(CHEAP)


async def test_a_line_has_an_end(start: Start, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_LINE", 1)
    service = await start(operations_per_client=1)
    before = await held_up(service)
    async with locked(database_url, "flow") as waiting:
        answers = [posting(service, HELD)]
        await waiting(1)
        answers.append(posting(service, HELD))
        await until_held_up(service, before + 1)
        refused = await post(service, CHEAP)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
    await assert_good(*answers)


async def test_who_does_not_read_answers_gets_no_more_large_ones(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_BYTES", 25_000_000)
    service = await start(operations_per_client=1)
    for _ in range(20):
        id_ = str(uuid7())
        await send(service, started(id_), finished(id_, result="x" * 1_000_000))
    large = "{ executions(first: 20) { edges { node { result } } } }"
    body = json.dumps({"query": large})
    head = "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    async with wire(service) as connection:
        await connection.send(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
        await connection.read(100)
        await assert_good(post(service, CHEAP, "127.0.0.1"), post(service, large, THERE))
        refused = await post(service, large, "127.0.0.1")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        error = {
            "message": "more than 25000000 bytes of answers to you are not read yet; send it again when they are",
            "locations": [{"line": 1, "column": 3}],
            "path": ["executions"],
            "extensions": {"code": "UNAVAILABLE"},
        }
        assert refused.json() == {"data": None, "errors": [error]}
        async with socket(service, max_size=None) as client:
            await client.subscribe(large)
            message = await client.receive()
            assert (message["type"], message["payload"]) == ("next", refused.json())
            assert (await client.receive())["type"] == "complete"
            await client.send({"type": "ping"})
            assert await client.receive() == {"type": "pong"}
    async with asyncio.timeout(20):
        while (await post(service, large, "127.0.0.1")).status_code != 200:
            await asyncio.sleep(0.01)


async def test_to_wait_for_ones_own_is_part_of_an_operations_time(start: Start, database_url: str) -> None:
    service = await start(operations_per_client=1, request_timeout=1.5)
    loop = asyncio.get_running_loop()
    async with locked(database_url, "flow"):
        began = loop.time()
        answers = await asyncio.gather(*(post(service, HELD) for _ in range(4)))
        assert {answer.json()["errors"][0]["extensions"]["code"] for answer in answers} == {"TIMEOUT", "UNAVAILABLE"}
        assert loop.time() - began < 5  # one after the other it would be 6


async def test_a_count_is_told_however_long_it_waited_for_a_connection(start: Start, database_url: str) -> None:
    service = await start(pool_size=3, request_timeout=60)
    ids = [str(uuid7()) for _ in range(3)]
    await send(service, *(started(id_) for id_ in ids))
    before = await held_up(service)
    async with locked(database_url, "flow") as waiting:
        others = posting(service, HELD)
        await waiting(1)
        counted = posting(service, "{ executions(first: 0, filter: {status: [PENDING]}) { totalCount } }")
        await asyncio.sleep(COUNT_SECONDS + 0.5)
        assert not counted.done()
    assert (await counted).json() == {"data": {"executions": {"totalCount": 3}}}
    await assert_good(others)
    assert await held_up(service) == before  # it has a place, and waits for a connection only


async def test_subscribers_to_the_same_do_not_wait_for_each_others_queries(
    start: Start, database_url: str, record_token: str
) -> None:
    service = await start(pool_size=3)
    document = "subscription { executionChanges { ... on ExecutionChange { executionId execution { initialParams } } } }"
    async with socket(service, token=record_token) as first, socket(service) as second:
        for client in (first, second):
            await client.subscribe(document)
        for client in (first, second):
            await until_it_follows(service, client)
        async with locked(database_url, "recorder") as waiting:
            await first.subscribe(CHEAP, id_="query")
            await waiting(1)
            wanted = str(uuid7())
            await send(service, started(wanted))
            while (await second.event())["executionId"] != wanted:
                pass


async def until_it_follows(service: Service, client: Socket) -> None:
    """Record until a subscriber is told of it."""
    while True:
        await send(service, started(str(uuid7())))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.event()
                return


async def test_who_waits_is_answered_when_the_service_stops(database_url: str, tmp_path: Path) -> None:
    async with serving(database_url, tmp_path / "data", FLOWTRAIL_REQUEST_TIMEOUT="2") as process:
        async with locked(database_url, "flow"), httpx2.AsyncClient(base_url=process.url, timeout=30) as client:
            answers = [asyncio.create_task(client.post("/graphql", json={"query": HELD})) for _ in range(40)]
            async with asyncio.timeout(20):
                while await metric(client, "flowtrail_requests_held_up_total") < 30:
                    await asyncio.sleep(0.01)
            await process.stop()
            for answer in await asyncio.gather(*answers):
                assert answer.json()["errors"][0]["extensions"]["code"] in ("TIMEOUT", "UNAVAILABLE"), answer.text
        assert not [line for line in process.lines if '"level": "error"' in line]


async def test_open_streams_have_no_place(start: Start) -> None:
    service = await start(operations_per_client=1)
    subscription = "subscription { executionChanges { __typename } }"
    async with socket(service) as first, socket(service) as second, event_stream(service, subscription) as events:
        await first.subscribe(subscription)
        await second.subscribe(subscription)
        id_ = str(uuid7())
        await send(service, started(id_))
        for message in (await first.receive(), await second.receive()):
            assert message["payload"] == {"data": {"executionChanges": {"__typename": "ExecutionChange"}}}
        assert (await anext(events))["data"]["executionChanges"]["__typename"] == "ExecutionChange"
        await second.subscribe(CHEAP, id_="2")
        assert (await second.receive())["id"] == "2"


async def test_large_bodies_wait_for_each_other(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "_BYTES", 1_100_000)
    service = await start()
    large = f"{CHEAP} #{'x' * 90_000}"
    before = await held_up(service)
    head = "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n"
    async with wire(service) as silent:
        await silent.send(f"{head}content-length: 1048576\r\n\r\n".encode())
        assert (await silent.answer()).status == 100
        waits = posting(service, large, address="127.0.0.1")
        await until_held_up(service, before + 1)
        await assert_good(post(service, CHEAP, "127.0.0.1"), post(service, large, THERE))
        assert not waits.done()
    await assert_good(waits)


async def test_a_large_batch_is_recorded_beside_a_reader_who_asks_for_much(start: Start, record_token: str) -> None:
    service = await start()
    for _ in range(2):
        await send(service, *(started(str(uuid7()), params={"words": ["x" * 20] * 300}) for _ in range(50)))
    pages = " ".join(f"p{number}: executions(first: 100) {{ edges {{ node {{ initialParams }} }} }}" for number in range(3))
    recorded = asyncio.Event()

    async def read() -> None:
        while not recorded.is_set():
            await assert_good(post(service, f"{{ {pages} }}", THERE))

    async with asyncio.TaskGroup() as readers:
        for _ in range(10):
            readers.create_task(read())
        events = [started(str(uuid7()), params={"numbers": [{"n": number} for number in range(60)]}) for _ in range(1000)]
        receipts = await send(service, *events)
        recorded.set()
    assert {receipt["outcome"] for receipt in receipts} == {"ACCEPTED"}


SIZES = st.integers(1, 5)


@examples(300)
@given(st.lists(st.one_of(st.tuples(st.just("enter"), SIZES), st.tuples(st.sampled_from(["leave", "cancel"]), st.integers(0, 20)))))
def test_a_gate_lets_in_as_many_as_it_has_room_for_who_came_first_first(steps: list[tuple[str, int]]) -> None:
    asyncio.run(_try_gate(steps))


async def _try_gate(steps: list[tuple[str, int]]) -> None:
    gate, came = shares.Gate(5), list[tuple[int, asyncio.Task[None]]]()
    for what, number in steps:
        if what == "enter":
            came.append((number, asyncio.create_task(gate.enter(number))))
        elif came:
            size, task = came[number % len(came)]
            if what == "cancel" and not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                came.remove((size, task))
            elif what == "leave" and task.done():
                gate.leave(size)
                came.remove((size, task))
        for _ in range(3):
            await asyncio.sleep(0)
        inside = [size for size, task in came if task.done()]
        outside = [size for size, task in came if not task.done()]
        assert sum(inside) <= 5
        assert not outside or sum(inside) + outside[0] > 5
        assert [task.done() for _, task in came] == sorted((task.done() for _, task in came), reverse=True)
        assert gate.waiting == len(outside)
    for _, task in came:
        task.cancel()
