"""GraphQL over HTTP: statuses, GET, bodies that are too large, too slow or packed, and who is told what (spec 2.10)."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flowtrail import connections
from raw import wire
from recorder import started
from support import Service

GRAPHQL_RESPONSE = {"accept": "application/graphql-response+json"}
MIB = 1024 * 1024
HEAD = "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"


async def post(service: Service, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await service.client.post("/graphql", content=content, headers={"content-type": "application/json", **named})


def code_of(response: Any) -> str:
    code: str = response.json()["errors"][0]["extensions"]["code"]
    return code


@pytest.mark.parametrize(
    ("request_", "status", "as_json"),
    [
        ({"query": "{ __typename }"}, 200, 200),
        ({"query": "{"}, 400, 200),
        ({"query": "{ nothing }"}, 400, 200),
        ({"query": "query ($id: ID!) { node(id: $id) { id } }"}, 400, 200),
        ({"query": "query A { __typename } query B { __typename }"}, 400, 200),
        ({"query": "subscription { executionChanges { __typename } }"}, 400, 200),
        ({"query": "{ " + "f: __typename " * 1001 + "}"}, 400, 200),
        ({"query": 'mutation { deleteFlow(input: {id: "x"}) { deletedId } }'}, 200, 200),
        ({"query": 7}, 400, 400),
        ([{"query": "{ __typename }"}], 400, 400),
        ({}, 400, 400),
    ],
)
async def test_the_status_says_whether_the_operation_was_executed(
    service: Service, request_: Any, status: int, as_json: int
) -> None:
    assert (await post(service, request_, **GRAPHQL_RESPONSE)).status_code == status
    response = await post(service, request_)
    assert response.status_code == as_json
    assert response.headers["content-type"] == "application/json; charset=utf-8"


async def test_get_is_off_unless_switched_on(service: Service, start_service: Any) -> None:
    response = await service.client.get("/graphql", params={"query": "{ __typename }"})
    assert (response.status_code, response.headers["allow"], code_of(response)) == (405, "POST", "BAD_USER_INPUT")
    other = await start_service(graphql_get=True)
    response = await other.client.get("/graphql", params={"query": "{ __typename }"})
    assert (response.status_code, response.json()) == (200, {"data": {"__typename": "Query"}})
    assert response.headers["cache-control"] == "no-store"


async def test_get_executes_queries_alone_and_for_no_other_site(start_service: Any) -> None:
    service = await start_service(graphql_get=True)
    get = service.client.get
    token = {"authorization": f"Bearer {service.record_token}"}
    for query in ('mutation { deleteFlow(input: {id: "x"}) { deletedId } }', "subscription { executionChanges { __typename } }"):
        response = await get("/graphql", params={"query": query}, headers=token)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
    for site in ("cross-site", "same-site"):
        response = await get("/graphql", params={"query": "{ __typename }"}, headers={"sec-fetch-site": site})
        assert (response.status_code, code_of(response)) == (403, "FORBIDDEN")
    query = "query ($id: ID!) { node(id: $id) { id } }"
    for parameters in (
        [("query", "{ __typename }"), ("query", "{ recorders { server } }")],
        [("query", query), ("variables", "{")],
        [("query", query), ("variables", "[]")],
        [("query", "{ __typename }"), ("extensions", '"x"')],
        [("query", "")],
        [("other", "x")],
        [("query", "{ __typename }"), *((f"p{n}", "") for n in range(30))],
    ):
        response = await get("/graphql", params=parameters)
        assert (response.status_code, code_of(response)) == (400, "BAD_USER_INPUT"), parameters
    assert (await get("/graphql?query=%ff")).status_code == 400


async def test_a_browser_that_looks_at_the_endpoint_gets_graphiql_even_with_get(start_service: Any) -> None:
    service = await start_service(graphql_get=True)
    response = await service.client.get("/graphql?query={__typename}", headers={"accept": "text/html,*/*;q=0.8"})
    assert response.headers["content-type"].startswith("text/html")


async def test_only_recorders_may_send_large_bodies(service: Service) -> None:
    padded = json.dumps({"query": "{ __typename }"}).ljust(2 * MIB)
    response = await post(service, padded)
    assert (response.status_code, code_of(response)) == (413, "LIMIT_EXCEEDED")
    assert str(MIB) in response.json()["errors"][0]["message"]
    authorization = f"Bearer {service.record_token}"
    assert (await post(service, padded, authorization=authorization)).status_code == 200
    assert (await post(service, padded.ljust(9 * MIB), authorization=authorization)).status_code == 413


async def test_an_announced_body_is_refused_before_it_is_sent(service: Service) -> None:
    for length in (MIB + 1, 10**12, 10**18):
        async with wire(service) as connection:
            await connection.send(f"{HEAD}content-length: {length}\r\n\r\n".encode())
            answer = await connection.answer()
            assert answer.status == 413
            assert "LIMIT_EXCEEDED" in answer.text


async def test_a_chunked_body_is_counted_as_it_comes(service: Service) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    response = await service.client.post("/graphql", content=chunks(), headers={"content-type": "application/json"})
    assert (response.status_code, code_of(response)) == (413, "LIMIT_EXCEEDED")


async def test_a_body_that_does_not_arrive_is_waited_for_in_vain_and_not_for_long(start_service: Any) -> None:
    service = await start_service(body_timeout=0.3)
    async with wire(service) as connection:
        await connection.send(f'{HEAD}content-length: 100\r\n\r\n{{"query":'.encode())
        answer = await connection.answer()
        assert (answer.status, "TIMEOUT" in answer.text) == (408, True)
        assert await connection.rest() == b""


async def test_a_head_that_does_not_arrive_is_not_waited_for(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    for beginning in (b"", b"\r\n", b"POST", HEAD.encode()):
        async with wire(service) as connection:
            await connection.send(beginning)
            assert await connection.rest() == b""


async def test_nor_is_that_of_the_next_request(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    async with wire(service) as connection:
        await connection.send(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        assert (await connection.answer()).status == 200
        await connection.send(b"GET /he")
        assert await connection.rest() == b""


async def test_a_head_without_end_is_refused(service: Service) -> None:
    for part in (b"x-filler: " + b"x" * 1000 + b"\r\n", b"x" * 1000):
        async with wire(service) as connection:
            await connection.send(HEAD.encode())
            await connection.send(part * 100)
            assert (await connection.answer()).status == 431


async def test_a_slow_request_is_not_taken_for_an_idle_connection(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    async with wire(service) as connection:
        body = json.dumps({"query": "{ __typename }"})
        await connection.send(f"{HEAD}content-length: {len(body)}\r\n\r\n{body[:5]}".encode())
        await asyncio.sleep(1.5)
        await connection.send(body[5:].encode())
        assert (await connection.answer()).status == 200


async def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    names = ["Query", "second", "third"]
    async with wire(service) as connection:
        for name in names:
            body = json.dumps({"query": f"{{ {name}: __typename }}"})
            await connection.send(f"{HEAD}content-length: {len(body)}\r\n\r\n{body}".encode())
        for name in names:
            assert f'{{"data":{{"{name}":"Query"}}}}' in (await connection.answer()).text


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "nonsense"])
async def test_a_packed_body_is_refused_unread(service: Service, encoding: str) -> None:
    response = await post(service, b"\x1f\x8b\x08\x00 a bomb", content_encoding=encoding)
    assert (response.status_code, code_of(response)) == (415, "BAD_USER_INPUT")
    assert response.headers["accept-encoding"] == "identity"
    assert (await post(service, {"query": "{ __typename }"}, content_encoding="identity")).status_code == 200


async def test_a_wrong_token_is_refused_before_the_body_is_read(service: Service) -> None:
    async with wire(service) as connection:
        await connection.send(f"{HEAD}authorization: Bearer wrong\r\ncontent-length: 1000\r\n\r\n".encode())
        answer = await connection.answer()
        assert (answer.status, "UNAUTHENTICATED" in answer.text) == (401, True)


@pytest.mark.parametrize(
    ("item", "readers", "recorders"), [("[],", 20_000, 500_000), ("{},", 20_000, 500_000), ("1,", 120_000, 2_000_000)]
)
async def test_what_takes_long_to_decode_is_counted_before(service: Service, item: str, readers: int, recorders: int) -> None:
    authorization = f"Bearer {service.record_token}"
    for limit, headers in ((readers, {}), (recorders, {"authorization": authorization})):
        for count, status in ((limit - 10, 200), (limit + 1, 413)):
            packed = '{"query": "{ __typename }", "other": [' + item * count + "0]}"
            response = await post(service, packed, **headers)
            assert response.status_code == status
        assert code_of(response) == "LIMIT_EXCEEDED"
        assert str(limit) in response.json()["errors"][0]["message"]


async def test_other_methods_are_told_which_one_is_meant(service: Service) -> None:
    for method in ("PUT", "PATCH", "DELETE"):
        response = await service.client.request(method, "/graphql", json={"query": "{ __typename }"})
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert (await service.client.post("/graphql/nothing", json={"query": "{ __typename }"})).status_code in (404, 405)


async def test_of_a_header_that_comes_twice_the_first_counts(service: Service) -> None:
    body = '{"query": "{ __typename }"}'
    for first, status in (("application/graphql-response+json", 200), ("text/plain", 406)):
        async with wire(service) as connection:
            accepted = f"accept: {first}\r\naccept: text/html\r\n"
            await connection.send(f"{HEAD}{accepted}content-length: {len(body)}\r\n\r\n{body}".encode())
            assert (await connection.answer()).status == status


async def test_many_values_in_variables_are_for_recorders_only(service: Service) -> None:
    document = "query ($status: [ExecutionStatus!]) { executions(filter: {status: $status}) { totalCount } }"
    response = await service.execute(document, {"status": ["ERROR"] * 10_001})
    assert response["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert (await service.execute(document, {"status": ["ERROR"] * 100}))["data"]
    events = [started(params={"numbers": [0] * 20_000})]
    mutation = "mutation ($input: RecordEventsInput!) { recordEvents(input: $input) { receipts { outcome } } }"
    variables = {"input": {"sentAt": "2026-01-01T00:00:00Z", "events": events}}
    response = await service.execute(mutation, variables, token=service.record_token)
    assert response["data"]["recordEvents"]["receipts"] == [{"outcome": "ACCEPTED"}]
