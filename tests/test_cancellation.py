"""What takes too long, or nobody waits for any more, stops: its SQL too, as PostgreSQL itself says (spec 2.10)."""

import json
from typing import Any

import pytest

from flowtrail.graphql import execution
from live import event_stream, socket
from locks import locked
from raw import wire
from support import Service

QUERY = "{ executions(first: 1) { edges { node { id } } } }"
BATCHED = "{ flows { edges { node { executions(first: 1) { edges { cursor } } } } } }"
"""What loaders read for several resolvers, in tasks of their own."""


@pytest.fixture
async def patient(start_service: Any) -> Service:
    """A service whose statements would wait for a minute, and that does nothing by itself."""
    service: Service = await start_service(statement_timeout=60, lock_timeout=60, sweep_interval=None, fold_interval=None)
    return service


def posted(query: str) -> bytes:
    body = json.dumps({"query": query})
    head = f"POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return f"{head}{body}".encode()


@pytest.mark.parametrize("query", [QUERY, BATCHED], ids=["one", "batched"])
async def test_a_request_whose_client_goes_stops_its_sql(patient: Service, database_url: str, query: str) -> None:
    async with locked(database_url) as waiting:
        async with wire(patient) as connection:
            await connection.send(posted(query))
            await waiting(1)
        await waiting(0)
    assert "errors" not in await patient.execute(query)


async def test_a_request_that_took_its_time_leaves_the_connection_as_it_was(
    patient: Service, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution, "UNWATCHED_SECONDS", 0.0)
    async with wire(patient) as connection:
        for _ in range(2):
            async with locked(database_url) as waiting:
                await connection.send(posted(QUERY))
                await waiting(1)
            assert (await connection.answer()).status == 200
        await connection.send(posted("{ __typename }"))
        assert (await connection.answer()).status == 200


async def test_a_socket_that_closes_stops_its_sql(patient: Service, database_url: str) -> None:
    async with locked(database_url) as waiting:
        async with socket(patient) as client:
            for number in range(3):
                await client.subscribe(QUERY, id_=str(number))
            await waiting(3)
        await waiting(0)


async def test_an_operation_that_its_client_completes_stops_its_sql(patient: Service, database_url: str) -> None:
    async with locked(database_url) as waiting, socket(patient) as client:
        await client.subscribe(QUERY)
        await waiting(1)
        await client.send({"id": "1", "type": "complete"})
        await waiting(0)


async def test_an_event_stream_whose_client_goes_stops_its_sql(patient: Service, database_url: str) -> None:
    body = json.dumps({"query": QUERY})
    head = "POST /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
    async with locked(database_url) as waiting:
        async with wire(patient) as connection:
            await connection.send(f"{head}content-length: {len(body)}\r\n\r\n{body}".encode())
            await waiting(1)
        await waiting(0)


async def test_an_operation_that_takes_too_long_is_a_timeout_on_every_transport(start_service: Any, database_url: str) -> None:
    service = await start_service(
        request_timeout=0.5, statement_timeout=60, lock_timeout=60, sweep_interval=None, fold_interval=None
    )
    async with locked(database_url) as waiting:
        for accept, status in (("application/json", 200), ("application/graphql-response+json", 504)):
            headers = {"accept": accept, "content-type": "application/json"}
            response = await service.client.post("/graphql", content=json.dumps({"query": QUERY}), headers=headers)
            assert response.status_code == status
            (error,) = response.json()["errors"]
            assert (error["extensions"], "data" in response.json()) == ({"code": "TIMEOUT"}, False)
            await waiting(0)
        async with socket(service) as client:
            await client.subscribe(QUERY)
            message = await client.receive()
            assert message["payload"]["errors"][0]["extensions"] == {"code": "TIMEOUT"}
            assert (await client.receive())["type"] == "complete"
            await waiting(0)
        async with event_stream(service, QUERY) as events:
            assert (await anext(events))["errors"][0]["extensions"] == {"code": "TIMEOUT"}
        await waiting(0)


@pytest.mark.parametrize("limits", [{"statement_timeout": 0.3, "lock_timeout": 60}, {"statement_timeout": 60, "lock_timeout": 0.3}])
async def test_a_statement_has_limits_of_its_own(start_service: Any, database_url: str, limits: dict[str, float]) -> None:
    service = await start_service(**limits, sweep_interval=None, fold_interval=None)
    async with locked(database_url) as waiting:
        response = await service.execute(QUERY)
        assert response["errors"][0]["extensions"]["code"] == "TIMEOUT"
        await waiting(0)
