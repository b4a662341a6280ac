"""Compiled selections answer as graphql-core does: the same data, errors, nulls and paths."""

import copy
import os
import random
import uuid
from datetime import UTC, datetime
from typing import Any

from graphql import GraphQLList, GraphQLNonNull, GraphQLObjectType, parse
from graphql.execution.collect_fields import FieldDetails
from graphql.pyutils import Path

from documents import Generator
from flowtrail.graphql.compiled import CompilingExecutor, Plans
from flowtrail.graphql.executions import (
    Caller,
    Execution,
    ExecutionErrorInfo,
    ExecutionErrorKind,
    ExecutionStatus,
    LateOutcome,
    McpClient,
)
from flowtrail.graphql.ids import encode_id
from flowtrail.graphql.nodes import NodeExecution, NodeExecutionStatus
from flowtrail.graphql.schema import schema
from recorder import accept, finished, id_of, node_finished, node_started, now, started
from support import Service

DOCUMENTS = 100 * int(os.environ.get("FLOWTRAIL_TEST_EXAMPLES", "1"))
"""How many each test makes; .ci/long makes thousands."""
SEED = 7

LOADED = {
    "Execution": {"flow", "initialParams", "initialParamsInfo", "result", "resultInfo", "nodeExecutions", "parent", "children"},
    "NodeExecution": {"inputData", "inputInfo", "outputData", "outputInfo"},
    "ExecutionErrorInfo": {"stack"},
    "LateOutcome": {"result", "resultInfo"},
}
"""Fields that need a database."""
WRONG: list[Any] = [
    *(None, ValueError("broken"), 7, 1.5, float("nan"), "text", True, [], ["text"], {}, object(), datetime.now(UTC), 2**40)
]


def error_info(key: uuid.UUID) -> ExecutionErrorInfo:
    return ExecutionErrorInfo(
        kind=ExecutionErrorKind.EXCEPTION, message="m", node_id=None, node_name="N", execution_id=key, stack_column="error_stack"
    )


def an_execution() -> Execution:
    key = uuid.uuid4()
    return Execution(
        id=encode_id("Execution", key), uuid=key, server="s", flow_name="f", flow_tool_name="t", status=ExecutionStatus.ERROR,
        started_at=datetime.now(UTC), ended_at=None, duration_ms=1.5, initial_params_preview="a: 1", node_count=3,
        error_info=error_info(key), is_preview=False, client=McpClient(name="c", version=None), trace_id=None,
        late_outcome=LateOutcome(status=ExecutionStatus.FULFILLED, ended_at=datetime.now(UTC), error_info=None, execution_id=key),
        caller=Caller(subject="x", client_id=None, session_id=None, request_id=None), created_at=datetime.now(UTC),
        updated_at=datetime.now(UTC), flow_id=None, parent_id=None,
    )  # fmt: skip


def a_node() -> NodeExecution:
    key = uuid.uuid4()
    return NodeExecution(
        id=encode_id("NodeExecution", key, 1), position=1, parent_position=None, node_id="n", node_name="N", node_type="step",
        status=NodeExecutionStatus.COMPLETED, started_at=datetime.now(UTC), ended_at=datetime.now(UTC), duration_ms=2.0, error=None,
        execution_id=key,
    )  # fmt: skip


def corrupted(item: Any, choose: random.Random) -> Any:
    """Return the item, or one that has a value somewhere that its type does not allow."""
    chance = choose.random()
    if chance < 0.5:
        return item
    if chance < 0.55:
        return choose.choice(WRONG)
    broken = copy.copy(item)
    name = choose.choice(list(vars(broken)))
    inner = getattr(broken, name)
    is_object = isinstance(inner, ExecutionErrorInfo | LateOutcome | McpClient | Caller)
    setattr(broken, name, corrupted(inner, choose) if is_object and choose.random() < 0.7 else choose.choice(WRONG))
    return broken


async def completed(executor_class: Any, text: str, variables: dict[str, Any], type_: Any, items: Any) -> Any:
    """Complete a list of objects as the value of a field, and return it with the errors."""
    document = parse(text)
    executor = executor_class.build(schema.graphql_schema, document, raw_variable_values=variables)
    executor.plans = Plans.of(document)
    executor.plans.is_repeated = True
    node = document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]
    try:
        data = executor.complete_value(type_, [FieldDetails(node, None)], None, Path(None, "list", None), items, None)
        if executor.is_awaitable(data):  # large values are completed in turns, as these are on a slow machine
            data = await data
    except Exception as error:
        data = repr(error)
    return data, [(str(error), error.path) for error in executor.collected_errors.errors]


async def test_values_that_are_wrong_in_any_position() -> None:
    choose = random.Random(SEED)
    compiled = 0
    for seed in range(DOCUMENTS):
        make, name = ((an_execution, "Execution"), (a_node, "NodeExecution"))[seed % 2]
        type_ = schema.graphql_schema.type_map[name]
        assert isinstance(type_, GraphQLObjectType)
        generator = Generator(seed, {}, skipped=LOADED)
        selection = generator.selection(type_)
        variables = {"yes": True, "no": False, "maybe": choose.random() < 0.5}
        text = f"query ($yes: Boolean!, $no: Boolean!, $maybe: Boolean!) {{ list {selection} }} {' '.join(generator.fragments)}"
        items = [corrupted(make(), choose) for _ in range(choose.randint(0, 4))]
        wrapped: Any = GraphQLList(GraphQLNonNull(type_) if choose.random() < 0.5 else type_)
        by_core = await completed(schema.execution_context_class, text, variables, wrapped, items)
        by_plan = await completed(CompilingExecutor, text, variables, wrapped, items)
        assert by_plan == by_core, (seed, text)
        assert repr(by_plan) == repr(by_core), (seed, text)  # the order of names, and 1 for True
        compiled += not by_core[1]
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


async def test_documents_by_chance(start_service: Any, service: Service) -> None:
    ids = await fill(service)
    plain: Service = await start_service(compiled=False)
    answered = failed = 0
    for seed in range(DOCUMENTS):
        document, variables = Generator(seed, ids).document()
        by_plan = await asked(service, document, variables)
        assert by_plan == await asked(plain, document, variables), (seed, document)
        answered += b'"data":{' in by_plan
        failed += b'"errors":' in by_plan
    assert answered > DOCUMENTS / 4
    assert failed > DOCUMENTS / 20


async def asked(service: Service, document: str, variables: dict[str, Any]) -> bytes:
    response = await service.client.post("/graphql", json={"query": document, "variables": variables})
    assert b"INTERNAL" not in response.content, (document, response.text)
    return response.content
