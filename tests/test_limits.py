"""What a document may ask for at most, and how refusals read."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
import websockets

from live import CHANGES, event_stream, socket
from recorder import error_of
from support import Service

DEEP = "query { " + "flows { edges { node { executions { edges { node { flow { " * 5 + "id" + " } } } } } } }" * 5 + " }"
DOUBLING = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
FRAGMENTS = f"query {{ ...F0 }} {DOUBLING} fragment F60 on Query {{ __typename }}"


@pytest.mark.parametrize(
    ("document", "counted"),
    [
        (DEEP, "levels of nesting"),
        ("{ " + " ".join(f"f{n}: __typename" for n in range(21)) + " }", "root fields"),
        ("{ recorders { " + "server " * 1001 + "} }", "fields"),
        ("{ recorders { " + " ".join(f"a{n}: server" for n in range(101)) + " } }", "aliases"),
        ("{ " + " ".join(f'a{n}: __type(name: "Flow") {{ name }}' for n in range(6)) + " }", "fields of introspection"),
        ("{ recorders { " + "server @include(if: true) " * 101 + "} }", "directives"),
        (
            "{ flows(first: 100) { edges { node { executions(first: 100) { edges { node { children { totalCount } } } } } } } }",
            "rows",
        ),
        (FRAGMENTS, "root fields"),
        (" ".join(f"query Q{n} {{ __typename }}" for n in range(21)), "operations"),
    ],
)
async def test_what_passes_a_limit_is_refused_saying_what_was_counted(service: Service, document: str, counted: str) -> None:
    error = await error_of(service, document)
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert counted in error["message"]


@pytest.mark.parametrize(
    "document",
    [
        "{ " + "a " * 500_000 + "}",
        "{ " * 100_000,
        "[" * 900_000,
        '{ flows(filter: {text: "' + "x" * 900_000 + '"}) { totalCount } }',
        "{ ...F } fragment F on Query { ...F }",
        "query($v: ID! = " + "[" * 1000 + "]" * 1000 + ") { node(id: $v) { id } }",
        "#" + "x" * 900_000,
    ],
)
async def test_a_monstrous_document_is_refused_at_once(service: Service, document: str) -> None:
    error = await error_of(service, document)
    assert error["extensions"]["code"] in ("LIMIT_EXCEEDED", "BAD_USER_INPUT")
    assert len(error["message"]) < 2000


async def test_pages_by_variables_are_counted_as_they_are_asked_for(service: Service) -> None:
    document = """query($n: Int) { flows(first: $n) { edges { node { executions(first: $n) { edges { node {
                  nodeExecutions { id } } } } } } } }"""
    response = await service.execute(document, {"n": 10})
    assert response == {"data": {"flows": {"edges": []}}}
    error = await error_of(service, document, n=100)
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_graphiql_s_introspection_is_within_the_limits(service: Service) -> None:
    from graphql import get_introspection_query

    response = await service.execute(get_introspection_query(descriptions=True, specified_by_url=True))
    assert response["data"]["__schema"]["queryType"]["name"] == "Query"


async def test_the_schema_is_for_readers_and_can_be_switched_off(start_service: Any) -> None:
    """Introspection, and the names that errors suggest: neither for strangers, nor where the operator says so."""
    closed = await start_service(read_token="a-read-token", introspection=True)
    off = await start_service(introspection=False)
    for service, token in ((closed, None), (off, None), (off, off.record_token)):
        for document in ("{ __schema { queryType { name } } }", '{ __type(name: "Flow") { name } }'):
            response = await service.execute(document, token=token)
            assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
            assert "data" not in response
        for document in ("{ executionz { totalCount } }", "{ executions(filter: {stat: ERROR}) { totalCount } }"):
            assert "Did you mean" not in str(await service.execute(document, token=token))
        document = "query ($filter: ExecutionFilter) { executions(filter: $filter) { totalCount } }"
        assert "Did you mean" not in str(await service.execute(document, {"filter": {"stat": 1}}, token=token))
        assert (await service.execute("{ __typename }", token=token))["data"] == {"__typename": "Query"}
    assert "data" in await closed.execute("{ __schema { queryType { name } } }", token="a-read-token")
    assert "Did you mean" in str(await closed.execute("{ executionz { totalCount } }", token="a-read-token"))


async def test_a_long_number_in_a_document_is_refused(service: Service) -> None:
    error = await error_of(service, "{ executions(first: " + "9" * 5000 + ") { totalCount } }")
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_streams_of_one_address_are_bounded_and_free_again_when_they_end(start_service: Any) -> None:
    service = await start_service(streams_per_client=2)
    async with socket(service), event_stream(service, CHANGES):
        async with socket(service, init=False) as one_too_many:
            assert await one_too_many.close_code() == 1013
        headers = {"accept": "text/event-stream", "content-type": "application/json"}
        response = await service.client.post("/graphql", content=json.dumps({"query": CHANGES}), headers=headers)
        assert response.status_code == 429
        assert response.json()["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert "data" in await service.execute("{ __typename }"), "what is no stream is answered"
    async with asyncio.timeout(20):
        while True:
            async with socket(service, init=False) as client:
                await client.send({"type": "connection_init"})
                with suppress(websockets.ConnectionClosed):
                    assert (await client.receive())["type"] == "connection_ack"
                    break
