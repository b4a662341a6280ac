"""Compiled selections answer as graphql-core does: the same data, errors, nulls and paths."""

import asyncio
import gc
import json
import os
import random
import uuid
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from graphql import GraphQLList, GraphQLNonNull, GraphQLObjectType, parse
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path

from documents import Generator
from flowtrail.auth import Viewer
from flowtrail.database import Database
from flowtrail.graphql import operations
from flowtrail.graphql.compiled.fallback import FallbackExecutor
from flowtrail.graphql.compiled.plans import Plans
from flowtrail.graphql.documents import Documents, Operation
from flowtrail.graphql.executions import Execution
from flowtrail.graphql.nodes import NodeExecution
from flowtrail.graphql.requests import OperationRequest
from flowtrail.graphql.response import encode
from flowtrail.graphql.schema import schema
from flowtrail.graphql.workshop import Workshop
from flowtrail.settings import Settings
from live import socket
from recorder import accept, finished, id_of, node_finished, node_started, now, started
from support import Service

DOCUMENTS = 100 * int(os.environ.get("FLOWTRAIL_TEST_EXAMPLES", "1"))
"""How many each test makes; .ci/long makes thousands."""
SEED = 7

LOADED = {"Execution": {"flow", "nodeExecutions", "parent", "children"}}
"""Fields that other rows are loaded for."""
WRONG: list[Any] = [
    *(None, ValueError("broken"), 7, 1.5, float("nan"), "text", True, [], ["text"], {}, object(), datetime.now(UTC), 2**40)
]


def an_execution() -> dict[str, Any]:
    return {
        "id": uuid.uuid4(), "flow_id": None, "server": "s", "flow_name": "f", "flow_tool_name": "t",
        "started_at": datetime.now(UTC), "initial_params_preview": "a: 1", "is_preview": False, "status": "ERROR",
        "ended_at": None, "error_kind": "EXCEPTION", "error_message": "m", "failed_node_id": None, "failed_node_name": "N",
        "node_count": 3, "client_name": "c", "client_version": None, "caller_subject": "x", "caller_client_id": None,
        "caller_session_id": None, "caller_request_id": None, "trace_id": None, "parent_execution_id": None,
        "late_status": "FULFILLED", "late_ended_at": datetime(2026, 1, 1, tzinfo=UTC), "late_error_kind": None,
        "late_error_message": None, "late_failed_node_id": None, "late_failed_node_name": None,
        "created_at": datetime.now(UTC), "updated_at": datetime.now(UTC), "error_stack": "at line 1",
        "late_error_stack": None, **a_payload("initial_params"), **a_payload("result"), **a_payload("late_result"),
    }  # fmt: skip


def a_node() -> dict[str, Any]:
    return {
        "execution_id": uuid.uuid4(), "position": 1, "parent_position": None, "node_id": "n", "node_name": "N", "node_type": "step",
        "status": "COMPLETED", "started_at": datetime.now(UTC), "ended_at": datetime.now(UTC), "error": None,
        **a_payload("input"), **a_payload("output"),
    }  # fmt: skip


def a_payload(name: str) -> dict[str, Any]:
    return {name: '{"a": 1}', f"{name}_size": 8, f"{name}_sha256": b"12345678", f"{name}_truncated": False}


def corrupted(row: dict[str, Any], choose: random.Random) -> dict[str, Any]:
    """Return the row, or one that has a value somewhere that its type does not allow."""
    return row if choose.random() < 0.5 else row | {choose.choice(list(row)): choose.choice(WRONG)}


async def completed(executor: Any, type_: Any, items: Any) -> tuple[bytes, list[str]]:
    """Complete a list of objects as the value of a field, and return it with what errors say about it."""
    node = executor.operation.selection_set.selections[0]
    try:
        data = executor.complete_value(type_, [FieldDetails(node, None)], None, Path(None, "list", None), items, None)
        if executor.is_awaitable(data):  # large values are completed in turns, as these are on a slow machine
            data = await data
    except Exception:
        return encode({"data": None}), ["what holds the list is null"]
    errors = [{"path": error.path, "message": error.message} for error in executor.collected_errors.errors]
    return encode({"data": data}), told({"list": data}, errors)


async def test_values_that_are_wrong_in_any_position() -> None:
    choose = random.Random(SEED)
    compiled = 0
    for seed in range(DOCUMENTS):
        make, class_ = ((an_execution, Execution), (a_node, NodeExecution))[seed % 2]
        type_ = schema.graphql_schema.type_map[class_.__name__]
        assert isinstance(type_, GraphQLObjectType)
        generator = Generator(seed, {}, skipped=LOADED)
        selection = generator.selection(type_)
        variables = {"yes": True, "no": False, "maybe": choose.random() < 0.5}
        text = f"query ($yes: Boolean!, $no: Boolean!, $maybe: Boolean!) {{ list {selection} }} {' '.join(generator.fragments)}"
        rows = [corrupted(make(), choose) for _ in range(choose.randint(0, 4))]
        items = [choose.choice(WRONG) if choose.random() < 0.05 else class_(row=cast("Any", row)) for row in rows]
        wrapped: Any = GraphQLList(GraphQLNonNull(type_) if choose.random() < 0.5 else type_)
        document = parse(text)
        answers = []
        for plans in (None, Plans(document, len(text), None, Workshop(), lambda *_: None)):
            executor = FallbackExecutor.build(schema.graphql_schema, document, raw_variable_values=variables)
            executor.plans = plans
            answers.append(await completed(executor, wrapped, items))
        assert answers[0] == answers[1], (seed, text)
        compiled += not answers[0][1]
    assert compiled > DOCUMENTS / 10


async def fill(service: Service) -> dict[str, str]:
    """Record a little of everything, and return the ids that documents ask for."""
    first = started(params={"city": "Rome"}, client={"name": "c", "version": "1"})
    failed = started(tool="fail", parentExecutionId=id_of(first))
    await accept(
        service,
        *(first, node_started(id_of(first), inputData={"a": 1}), node_finished(id_of(first), outputData=[1, None])),
        *(node_started(id_of(first), 1), finished(id_of(first), result={"big": 2**70})),
        *(failed, node_started(id_of(failed)), node_finished(id_of(failed), status="ERROR", error="no")),
        *(finished(id_of(failed), error="EXCEPTION"), started(isPreview=True), started(at=now(), tool="nowhere", toolExists=False)),
    )
    answer = await service.execute("{ executions { edges { node { uuid id flow { id } nodeExecutions { id } } } } }")
    found = next(edge["node"] for edge in answer["data"]["executions"]["edges"] if edge["node"]["uuid"] == id_of(first))
    return {"execution": found["uuid"], "id": found["id"], "flow": found["flow"]["id"], "node": found["nodeExecutions"][0]["id"]}


async def test_documents_by_chance(start_service: Any, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = await fill(service)
    plain: Service = await start_service(compiled=False)
    left_to_graphql_core = []

    def executor(operation: Operation, *rest: Any) -> Any:
        if operation.plans is not None:
            left_to_graphql_core.append(operation.text)
        return make_executor(operation, *rest)

    make_executor = operations._executor
    monkeypatch.setattr(operations, "_executor", executor)
    answered = failed = 0
    for seed in range(DOCUMENTS):
        document, variables = Generator(seed, ids).document()
        first = await asked(service, document, variables)
        left_to_graphql_core.clear()
        by_plan = await asked(service, document, variables)
        assert by_plan == first, (seed, document)
        assert by_plan == await asked(plain, document, variables), (seed, document)
        answered += b'"data": {' in by_plan
        failed += b'"errors": []' not in by_plan
        if b'"data": ' in by_plan:
            assert (document in left_to_graphql_core) is (b'"errors": []' not in by_plan), document
    assert answered > DOCUMENTS / 4
    assert failed > DOCUMENTS / 20


async def asked(service: Service, document: str, variables: dict[str, Any]) -> bytes:
    """Return the answer, as far as it must always be the same."""
    response = await service.client.post("/graphql", json={"query": document, "variables": variables})
    assert b"INTERNAL" not in response.content, (document, response.text)
    answer = response.json()
    errors = answer.pop("errors", [])
    if "data" in answer:
        errors = told(answer["data"], errors)
    return json.dumps(answer | {"errors": errors}).encode()


def told(data: Any, errors: list[dict[str, Any]]) -> list[str]:
    """What errors say about data: what is null because of one, its code, and its message if it is of that very field.

    Of several fields that make what they are part of null any may be told of.
    """
    found = set()
    for error in errors:
        value, place = data, []
        for key in error["path"]:
            if not isinstance(value, dict | list):
                break
            place.append(key)
            value = value[key]
        message = error["message"] if place == list(error["path"]) else None
        found.add(json.dumps([place, (error.get("extensions") or {}).get("code"), message]))
    return sorted(found)


async def test_what_a_mutation_did_before_it_failed_is_done_once(service: Service) -> None:
    await fill(service)
    flow = (await service.execute("{ flows { edges { node { id } } } }"))["data"]["flows"]["edges"][0]["node"]["id"]
    document = (
        "mutation ($a: ID!, $b: ID!) { a: deleteFlow(input: {id: $a}) { deletedId } b: deleteFlow(input: {id: $b}) { deletedId } }"
    )
    answer = await service.execute(document, {"a": flow, "b": "no id"}, token=service.record_token)
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [(["b"], "BAD_USER_INPUT")]


VARIABLES: list[dict[str, Any]] = [
    *({}, {"first": None}, {"first": 1}, {"first": 1.0}, {"first": "1"}, {"first": True}, {"first": 2**40}, {"first": [1]}),
    *({"filter": None}, {"filter": {}}, {"filter": {"status": ["ERROR"]}}, {"filter": {"status": "ERROR"}}),
    *({"filter": {"status": []}}, {"filter": {"status": ["NO"]}}, {"filter": {"unknown": 1}}, {"filter": []}),
    *({"text": "ship"}, {"text": None}, {"text": 1}, {"all": False}, {"all": True, "text": "nowhere"}, {"all": None}, {"all": "x"}),
    *({"paths": [{"path": "/city", "value": "Rome"}]}, {"paths": {"path": "/city", "value": "Rome"}}, {"paths": [None]}),
    *({"value": {"a": 1}}, {"value": None}, {"value": "Rome"}, {"more": "is ignored"}),
]


async def test_variables_right_and_wrong(start_service: Any, service: Service) -> None:
    await fill(service)
    plain: Service = await start_service(compiled=False)
    rows = "{ totalCount edges { node { initialParams } } }"
    documents = (
        f"""query ($first: Int = 2, $filter: ExecutionFilter, $text: String, $all: Boolean! = true, $paths: [ParamFilter!]) {{
          executions(first: $first, filter: $filter) @include(if: $all) {rows}
          a: executions(filter: {{text: $text, param: $paths}}) {rows}
        }}""",
        f"""query ($value: JSON = 1, $first: Int, $text: String) {{
          executions(first: $first, filter: {{param: [{{path: "/city", value: $value}}]}}) {rows}
          b: executions(filter: {{status: [ERROR, PENDING], text: $text}}) {rows}
        }}""",
        f"""query ($all: Boolean = true) {{ executions @include(if: $all) {rows} ...More @skip(if: $all) }}
            fragment More on Query {{ c: executions {{ edges @include(if: $all) {{ cursor }} }} }}""",
    )
    for document in documents:
        for variables in VARIABLES:
            by_plan = await asked(service, document, variables)
            assert by_plan == await asked(plain, document, variables), (document, variables)


async def test_an_event_waits_for_what_can_not_be_read_yet(start_service: Any, database: Database) -> None:
    hasty: Service = await start_service(lock_timeout=0.1, sweep_interval=None)
    document = "subscription { executionChanges { ... on ExecutionChange { kind execution { initialParams } } } }"
    async with socket(hasty) as client:
        await client.subscribe(document)
        cursor = (await hasty.execute("{ executions(first: 0) { changeCursor } }"))["data"]["executions"]["changeCursor"]
        await client.send({"id": "1", "type": "complete"})
        await accept(hasty, started(params={"city": "Rome"}))
        async with database.write() as write:
            await write.execute("LOCK TABLE execution_payload IN ACCESS EXCLUSIVE MODE")
            await client.subscribe(document.replace("executionChanges", f'executionChanges(after: "{cursor}")'), id_="2")
            await asyncio.sleep(0.5)
        assert (await client.event()) == {"kind": "STARTED", "execution": {"initialParams": {"city": "Rome"}}}


async def test_a_document_is_kept_however_often_others_were_forgotten_while_they_were_compiled() -> None:
    documents = Documents(Settings())
    viewer = Viewer("reader", can_read=True, can_record=False)

    def operation(text: str) -> Operation:
        return documents.operation(OperationRequest.parse({"query": text}), viewer)

    large = [f"{{ executions(first: {number}) {{ totalCount }} }} #{'x' * 90_000}" for number in range(60, 68)]
    for _ in range(20):
        asked = [operation(text) for text in large]  # more than are kept
        again = [operation(text) for text in large]
        assert all(one.plans is not None and one.plans.prepared(one) is not None for one in (*asked, *again))
    small = operation("{ executions { totalCount } }")
    assert operation("{ executions { totalCount } }").document is small.document


EVERYTHING = """subscription ($after: String) { executionChanges(after: $after) {
  __typename ... on ResyncRequired { reason }
  ... on ExecutionChange {
    kind execution { uuid initialParams initialParamsInfo { sizeBytes } result errorInfo { message stack } lateOutcome { result }
      flow { name } parent { uuid result parent { uuid } } children { edges { node { uuid } } }
      nodeExecutions { nodeName inputData inputInfo { sha256 } outputData } }
    nodeExecution { nodeName inputData outputInfo { text } }
  }
} }"""


async def test_an_event_has_all_that_is_selected_below_it(start_service: Any, service: Service) -> None:
    cursor = (await service.execute("{ executions(first: 0) { changeCursor } }"))["data"]["executions"]["changeCursor"]
    ids = await fill(service)
    found = []
    for one in (service, await start_service(compiled=False)):
        async with socket(one) as client:
            await client.subscribe(EVERYTHING, after=cursor)
            found.append(await client.events(11))
    assert found[0] == found[1]
    first = [event for event in found[0] if event["execution"]["uuid"] == ids["execution"]]
    assert {event["execution"]["initialParams"]["city"] for event in first} == {"Rome"}
    assert [node["inputData"] for node in first[0]["execution"]["nodeExecutions"]] == [{"a": 1}, None]
    assert [event["nodeExecution"]["outputInfo"] for event in first if event["kind"] == "NODE_FINISHED"] == [{"text": "[1,null]"}]
    parents = [event["execution"]["parent"] for event in found[0] if event["execution"]["parent"]]
    assert {parent["uuid"] for parent in parents} == {ids["execution"]}


async def test_an_answer_leaves_no_rows_to_the_garbage_collector(service: Service) -> None:
    """What waits for it takes memory until then, and time to look through."""
    ids = await fill(service)
    documents: tuple[tuple[str, dict[str, Any]], ...] = (
        (
            "{ executions { totalCount pageCursors { last { page } } edges { cursor node { id flow { name } parent { id } } } } }",
            {},
        ),
        (
            "query ($by: ExecutionBy!) { execution(by: $by) { result nodeExecutions { inputData } children { totalCount } } }",
            {"by": {"uuid": ids["execution"]}},
        ),
        ("query ($id: ID!) { flow(by: {id: $id}) { statistics { p50DurationMs topErrors { count } } } }", {"id": ids["flow"]}),
    )
    for document, variables in documents:
        for _ in range(3):
            assert "errors" not in await service.execute(document, variables)
        gc.collect()
        gc.disable()
        try:
            await service.execute(document, variables)
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = {type(one).__qualname__ for one in gc.garbage if type(one).__module__.startswith(("flowtrail", "asyncpg"))}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert not left, (document, left)
