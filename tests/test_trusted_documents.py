"""Trusted documents: asked for by their hash and, where the operator says so, the only ones answered (spec 2.10)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from graphql import get_introspection_query, parse

from flowtrail.cli import flows
from flowtrail.errors import ConfigurationError
from flowtrail.graphql import trusted
from flowtrail.graphql.trusted import TrustedDocuments
from flowtrail.mcp.documents import RECORD_EVENTS
from live import CHANGES, event_stream, socket
from recorder import iso, now, started
from support import Service

OPERATIONS = Path(__file__).with_name("operations")
FLOWS = (OPERATIONS / "page" / "Flows.graphql").read_text()
OWN = "query Own { executions(first: 1) { totalCount } }"
OTHER = "{ executions(first: 2) { totalCount } }"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def post(service: Service, **parameters: Any) -> Any:
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    return await service.client.post("/graphql", content=json.dumps(parameters), headers=headers)


@pytest.fixture
async def strict(start_service: Any, tmp_path: Path) -> Service:
    """A service that answers trusted documents only, one of the operator's own among them."""
    file = tmp_path / "trusted.json"
    file.write_text(json.dumps({sha256(OWN): OWN}))
    service: Service = await start_service(trusted_documents="only", trusted_documents_file=file)
    return service


def test_the_manifest_holds_every_document_that_we_send() -> None:
    """When this fails: `uv run python .ci/trusted_documents.py`."""
    documents = [path.read_text() for path in sorted(OPERATIONS.rglob("*.graphql"))]
    assert trusted.MANIFEST.read_text() == trusted.manifest(documents)
    known = TrustedDocuments.load(None)
    for document in (flows._LIST, flows._FIND, flows._DELETE):
        assert parse(document) in known


@pytest.mark.parametrize("prefix", ["", "sha256:"])
async def test_a_trusted_document_is_executed_by_its_id(service: Service, prefix: str) -> None:
    response = await post(service, documentId=prefix + sha256(FLOWS), variables={"first": 1})
    assert (response.status_code, response.json()["data"]["flows"]["edges"]) == (200, [])


async def test_clients_of_automatic_persisted_queries_are_understood(service: Service) -> None:
    def extensions(text: str) -> Any:
        return {"persistedQuery": {"version": 1, "sha256Hash": sha256(text)}}

    assert "data" in (await post(service, extensions=extensions(FLOWS), variables={"first": 1})).json()
    response = await post(service, extensions=extensions(OTHER))
    assert response.json()["errors"] == [{"message": "PersistedQueryNotFound", "extensions": {"code": "NOT_FOUND"}}]
    response = await post(service, extensions=extensions(OTHER), query=OTHER)
    assert response.json() == {"data": {"executions": {"totalCount": 0}}}
    assert (await post(service, extensions=extensions(OTHER))).status_code == 400, "nothing that a client sends becomes trusted"
    response = await post(service, extensions=extensions(FLOWS), query=OTHER)
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_other_documents_are_refused_on_every_transport(strict: Service) -> None:
    for document in (OTHER, "{ __typename }", get_introspection_query(), f"{FLOWS} fragment More on Query {{ __typename }}"):
        response = await post(strict, query=document)
        assert response.status_code == 403
        assert response.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    async with socket(strict) as client:
        await client.subscribe(OTHER)
        assert (await client.receive())["payload"][0]["extensions"]["code"] == "FORBIDDEN"
        await client.subscribe(CHANGES)
        assert (await client.receive())["payload"][0]["extensions"]["code"] == "FORBIDDEN"
    headers = {"accept": "text/event-stream", "content-type": "application/json"}
    response = await strict.client.post("/graphql", content=json.dumps({"query": OTHER}), headers=headers)
    assert response.status_code == 403


async def test_trusted_documents_are_answered_however_they_are_laid_out(strict: Service) -> None:
    with_typenames = " ".join(FLOWS.replace("{\n", "{ __typename\n").split())
    for document in (FLOWS, with_typenames, OWN, f"# mine\n{OWN}"):
        assert (await post(strict, query=document, variables={"first": 1})).status_code == 200
    assert (await post(strict, documentId=sha256(OWN))).json() == {"data": {"executions": {"totalCount": 0}}}
    response = await strict.execute(
        RECORD_EVENTS, {"input": {"sentAt": iso(now()), "events": [started()]}}, token=strict.record_token
    )
    assert response["data"]["recordEvents"]["receipts"][0]["outcome"] == "ACCEPTED"
    async with event_stream(strict, OWN) as events:
        assert (await anext(events))["data"]["executions"]["totalCount"] == 1


async def test_a_socket_takes_ids_too(strict: Service) -> None:
    async with socket(strict) as client:
        await client.send({"id": "1", "type": "subscribe", "payload": {"documentId": sha256(OWN)}})
        assert (await client.receive())["payload"] == {"data": {"executions": {"totalCount": 0}}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be used"),
        ("{", "can't be used"),
        ("[]", "must be a JSON object"),
        (json.dumps({sha256("{ a }"): "{ b }"}), "is not the SHA-256 of its document"),
        (json.dumps({"x": "{ a }"}), "is not the SHA-256 of its document"),
        (json.dumps({sha256("{ a"): "{ a"}), "holds a document with an error"),
    ],
)
def test_a_manifest_that_is_none_is_named_at_the_start(tmp_path: Path, content: str | None, reason: str) -> None:
    file = tmp_path / "trusted.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=reason):
        TrustedDocuments.load(file)
