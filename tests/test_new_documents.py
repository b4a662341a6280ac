"""New documents: large ones, and questions about the schema, are prepared beside the event loop (spec 2.10)."""

import asyncio
import gc
import hashlib
import json
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from graphql import DocumentNode, get_introspection_query

from flowtrail.auth import Viewer
from flowtrail.graphql.compiled.fallback import FallbackExecutor
from flowtrail.graphql.documents import Documents, RequestRefused
from flowtrail.graphql.requests import OperationRequest
from flowtrail.graphql.workshop import Workshop
from flowtrail.settings import Settings
from live import socket
from recorder import accept, finished, id_of, started
from support import Service

ROW = "id uuid status startedAt endedAt durationMs flowName initialParamsPreview nodeExecutions { id nodeName status }"


def large(number: int) -> str:
    """Return a document that takes milliseconds to prepare, and is not like any other."""
    pages = (f"a{number}_{place}: executions(first: 1) {{ totalCount edges {{ cursor node {{ {ROW} }} }} }}" for place in range(20))
    return "{ " + " ".join(pages) + " }"


NAMED = "query ($name: String!, $old: Boolean) { %s }"
OLD = 'query ($old: Boolean) { __type(name: "Flow") { fields(includeDeprecated: $old) { name } } }'
QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    (get_introspection_query(descriptions=True, specified_by_url=True, input_value_deprecation=True), {}),
    (NAMED % "__type(name: $name) { name fields(includeDeprecated: $old) { name } }", {"name": "Flow", "old": True}),
    (NAMED % "__type(name: $name) { name fields(includeDeprecated: $old) { name } }", {"name": "Nothing"}),
    (NAMED % "__type(name: $name) { name fields(includeDeprecated: $old) { name } }", {"name": None}),
    (NAMED % "__type(name: $name) { name fields(includeDeprecated: $old) { name } }", {}),
    (OLD, {}),
    (OLD, {"old": None}),
    (OLD, {}),
    (f"{OLD} # again", {"old": None}),
    (f"{OLD} # again", {}),
    ("{ " + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in range(5)) + " executions(first: -1) { totalCount } }", {}),
    (NAMED % "a: __type(name: $name) { ...T } recorders { server } b: __typename", {"name": "Execution"}),
    ('{ a: __type(name: "ExecutionStatus") { ...T } a: __type(name: "ExecutionStatus") { kind } flows { totalCount } }', {}),
    ("query ($no: Boolean!) { __schema @skip(if: $no) { queryType { name } } recorders { server } }", {"no": True}),
    ("query ($no: Boolean!) { __schema { queryType { name @include(if: $no) kind } } }", {"no": False}),
    ('{ __type(name: "Flow") { name } executions(first: -1) { totalCount } }', {}),
]
FRAGMENT = (
    "fragment T on __Type { name enumValues { name } fields(includeDeprecated: $old) { name type { name ofType { name } } } }"
)


async def test_the_schema_answers_as_it_does_by_graphql_core(start_service: Any, service: Service) -> None:
    plain = await start_service(compiled=False)
    for question, variables in QUESTIONS:
        fragment = FRAGMENT if "$old" in question else FRAGMENT.replace("(includeDeprecated: $old)", "")
        document = f"{question} {fragment}" if "...T" in question else question
        answers = [await one.execute(document, variables) for one in (service, service, plain)]
        assert answers[0] == answers[1] == answers[2], document


async def test_as_many_questions_as_there_are_variables_are_answered(service: Service) -> None:
    names = ["Flow", "Execution", "NodeExecution", "Query", "Nothing", *(f"Nothing{number}" for number in range(60))]
    for name in (*names, *names):
        answer = await service.execute("query ($name: String!) { __type(name: $name) { name } }", {"name": name})
        assert answer == {"data": {"__type": None if name.startswith("Nothing") else {"name": name}}}


async def test_names_that_types_can_t_have_take_no_memory() -> None:
    documents = Documents(Settings())
    viewer = Viewer("reader", can_read=True, can_record=False)

    def ask(name: str) -> None:
        request = {"query": "query ($name: String!) { __type(name: $name) { name } }", "variables": {"name": name}}
        operation = documents.operation(OperationRequest.parse(request), viewer)
        assert operation.plans is not None
        assert operation.plans.prepared(operation) is not None

    ask("Flow")
    tracemalloc.start()
    try:
        for number in range(20):
            ask(f"{number}" + "x" * 500_000)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()


async def test_trusted_documents_and_recorders_are_kept_whatever_others_send(start_service: Any, tmp_path: Path) -> None:
    manifest = tmp_path / "documents.json"
    hashed = hashlib.sha256(large(1).encode()).hexdigest()
    manifest.write_text(json.dumps({hashed: large(1)}))
    service: Service = await start_service(trusted_documents_file=manifest)
    for number in range(100, 130):
        await service.execute(large(number))
    documents = service.app.state.endpoint.documents
    request = OperationRequest.parse({"documentId": hashed})
    viewer = Viewer("reader", can_read=True, can_record=False)
    assert documents.takes_long(request, viewer)
    answers = [await service.client.post("/graphql", json={"documentId": hashed}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert not documents.takes_long(request, viewer)
    recorders = OperationRequest.parse({"query": large(3)})
    assert await service.execute(large(3)) == await service.execute(large(3), token=service.record_token)
    assert not documents.takes_long(recorders, viewer)
    wrong = await service.client.post("/graphql", json={"documentId": hashed, "query": large(2).replace("uuid", "nothing")})
    assert "is not the document of the hash" in wrong.json()["errors"][0]["message"]


async def test_more_large_documents_than_are_kept_are_answered_alike(service: Service) -> None:
    begin = started()
    await accept(service, begin, finished(id_of(begin)))
    for _ in range(2):
        for number in range(30):
            answer = await service.execute(large(number))
            pages = [page["edges"][0]["node"] for page in answer["data"].values()]
            assert len(pages) == 20
            assert {node["uuid"] for node in pages} == {id_of(begin)}
    together = await asyncio.gather(*(service.execute(large(1000)) for _ in range(10)))
    assert all(answer == together[0] for answer in together)
    assert len(together[0]["data"]) == 20


async def test_others_are_answered_while_large_documents_are_prepared(service: Service) -> None:
    """Also when who sent them has gone; who comes again is answered."""
    asking = [asyncio.create_task(service.execute(large(number))) for number in range(40)]
    await asyncio.sleep(0.05)
    assert (await service.execute("{ flows { totalCount } }"))["data"] == {"flows": {"totalCount": 0}}
    assert not all(task.done() for task in asking)
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert len((await service.execute(large(39)))["data"]) == 20


async def test_who_would_wait_too_long_for_others_documents_is_told_to_try_again(start_service: Any) -> None:
    service: Service = await start_service(request_timeout=0.2)
    bodies = [json.dumps({"query": large(number)}) for number in range(60)]
    headers = {"content-type": "application/json", "accept": "application/graphql-response+json"}
    answers = await asyncio.gather(*(service.client.post("/graphql", content=body, headers=headers) for body in bodies))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    for answer in refused:
        assert answer.json()["errors"][0]["extensions"]["code"] in ("UNAVAILABLE", "TIMED_OUT")
        assert int(answer.headers["retry-after"]) > 0


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    workshop, go_on, begun = Workshop(), threading.Event(), []

    def work(name: str) -> str:
        begun.append(name)
        go_on.wait(10)
        return name

    first, *leaving, one_leaves, one_stays = (
        asyncio.create_task(workshop.do(name, partial(work, name))) for name in ("first", "left", "left", "shared", "shared")
    )
    await asyncio.sleep(0.01)
    for task in (*leaving, one_leaves):
        task.cancel()
    await asyncio.wait([*leaving, one_leaves])
    again = asyncio.create_task(workshop.do("again", partial(work, "again")))
    go_on.set()
    assert (await first, await one_stays, await again) == ("first", "shared", "again")
    assert begun == ["first", "shared", "again"]
    assert await workshop.do("left", partial(work, "left")) == "left"
    workshop.close()


@pytest.mark.parametrize("kind", ["query", "subscription"])
async def test_small_ones_that_come_at_once_have_a_turn_each(kind: str) -> None:
    documents, viewer, client = Documents(Settings()), Viewer("reader", can_read=True, can_record=False), object()
    field = "executionChanges { __typename }" if kind == "subscription" else "__typename"
    prepared: list[str] = []

    async def prepare(number: int) -> None:
        request = OperationRequest.parse({"query": f"{kind} {{ f{number}: {field} }}"})
        prepared.append((await documents.prepared_aside(request, viewer, client)).text)

    for attempt in ("new", "known"):
        prepared.clear()
        preparing = [asyncio.create_task(prepare(number)) for number in range(100)]
        in_rounds = []
        while len(prepared) < 100:
            before = len(prepared)
            await asyncio.sleep(0)
            in_rounds.append(len(prepared) - before)
        await asyncio.gather(*preparing)
        assert len(set(prepared)) == 100
        if attempt == "new" or kind == "subscription":
            assert (in_rounds[0], max(in_rounds)) == (1, 1)
        else:
            assert in_rounds == [100]


@pytest.mark.parametrize("document", [large, lambda number: get_introspection_query().replace("IntrospectionQuery", f"I{number}")])
async def test_what_is_not_kept_of_a_document_is_gone_without_the_garbage_collector(
    document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowtrail.graphql.documents._CHANCE_SECONDS", 3600.0)
    documents = Documents(Settings())
    viewer = Viewer("reader", can_read=True, can_record=False)

    def prepare(numbers: range) -> None:
        for number in numbers:
            operation = documents.operation(OperationRequest.parse({"query": document(number)}), viewer)
            assert operation.plans is not None
            assert operation.plans.prepared(operation) is not None

    def alive() -> int:
        return sum(isinstance(each, DocumentNode) for each in gc.get_objects())

    prepare(range(50))  # more than are kept of those that come at once
    gc.collect()
    gc.disable()
    try:
        before = alive()
        prepare(range(50, 60))
        assert alive() == before
    finally:
        gc.enable()


async def test_what_is_refused_is_gone_without_the_garbage_collector() -> None:
    documents, viewer, client = Documents(Settings()), Viewer("reader", can_read=True, can_record=False), object()

    async def refuse(number: int) -> None:
        document = large(number).replace("first: 1)", "first: 100)").replace("nodeExecutions", "flow { name } nodeExecutions")
        with suppress(RequestRefused):
            await documents.prepared_aside(OperationRequest.parse({"query": document}), viewer, client)
            pytest.fail("it has too many rows")

    def alive() -> int:
        return sum(isinstance(each, DocumentNode) for each in gc.get_objects())

    await refuse(0)
    gc.collect()
    gc.disable()
    try:
        before = alive()
        await refuse(1)
        assert alive() == before
    finally:
        gc.enable()


async def test_what_a_subscription_needed_is_gone_when_it_ends(service: Service) -> None:
    """Without the garbage collector, which would hold up everybody for seconds after thousands of them."""
    gc.collect()
    before = executors()
    gc.disable()
    try:
        async with socket(service) as client:
            for number in range(5):
                await client.subscribe(f"subscription {{ s{number}: executionChanges {{ __typename }} }}", id_=str(number))
            await until(lambda: executors() == before + 5)
            await client.send({"type": "complete", "id": "0"})
            await until(lambda: executors() == before + 4)
        await until(lambda: executors() == before)
    finally:
        gc.enable()


def executors() -> int:
    return sum(type(each) is FallbackExecutor for each in gc.get_objects())


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)
