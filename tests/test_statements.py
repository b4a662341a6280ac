"""What a document costs in SQL is fixed: one page of one flow or of fifty, and nothing for what is not selected (spec 2.6, 2.9)."""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import re
from collections.abc import Callable
from importlib import import_module
from itertools import product
from typing import Any

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from flowtrail.database import Database
from recorder import accept, ask, finished, node_finished, node_started, register, started
from support import Service

StartService = Callable[..., Any]
PAGE_OF_FLOWS = """
query PageOfFlows($flows: Int!) {
  flows(first: $flows) {
    edges {
      node {
        id name hasPendingExecutions
        statistics { errorRate total }
        recent: statistics(timeRange: {from: "2026-01-01T00:00:30Z"}) {
          total p50DurationMs p99DurationMs histogram { from byStatus { count } } topErrors { kind count sample { uuid } }
        }
        executions(first: 3) {
          totalCount totalCountIsExact hasPendingExecutions changeCursor pageInfo { hasNextPage }
          pageCursors { last { page cursor } around { page } }
          edges { cursor node { id status startedAt initialParamsPreview errorInfo { nodeName } flow { name } parent { id } } }
        }
        errors: executions(first: 1, filter: {status: [ERROR], isPreview: false}) {
          totalCount pageCursors { next { page } } edges { node { id } }
        }
        slow: executions(first: 1, filter: {durationMsAtLeast: 10, errorKind: [EXCEPTION]}) { totalCount edges { node { id } } }
        found: executions(first: 1, filter: {text: "oslo"}) { totalCount totalCountIsExact edges { node { id } } }
        searched: executions(first: 1, filter: {param: [{path: "/city", value: "Oslo"}], status: [FULFILLED]}) {
          totalCount pageCursors { last { page } } edges { node { id } }
        }
      }
    }
  }
}"""


_OF_REQUESTS = re.compile(r"\b(FROM|INTO|UPDATE) (flow|execution|execution_payload|node_execution|execution_count)\b")


class Statements:
    """The SQL about flows and executions that the services of a test have sent: not the feed's polls, nor asyncpg's own."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def note(self, statement: str) -> None:
        if _OF_REQUESTS.search(statement):
            self.sent.append(statement)

    async def of(self, service: Service, document: str, **variables: Any) -> list[str]:
        """Run a document and return what it sent."""
        await ask(service, document, **variables)
        self.sent.clear()
        await ask(service, document, **variables)
        return list(self.sent)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Statements:
    """Watches every connection of the pools that are opened after it, and lets counts take their time."""
    monkeypatch.setattr(import_module("flowtrail.graphql.loaders"), "COUNT_SECONDS", 60)
    watched = Statements()

    async def watch(connection: asyncpg.Connection[asyncpg.Record]) -> None:
        connection.add_query_logger(lambda logged: watched.note(logged.query))

    create_pool = asyncpg.create_pool
    monkeypatch.setattr(asyncpg, "create_pool", lambda *args, **options: create_pool(*args, **(options | {"init": watch})))
    return watched


@pytest.fixture
async def service(statements: Statements, start_service: StartService) -> Service:
    """A service without upkeep, so that every statement is a request's; with 50 flows of 5 executions."""
    running: Service = await start_service(sweep_interval=None, fold_interval=None)
    await register(running, *({"toolName": f"tool-{number:02}"} for number in range(50)))
    for begin in range(0, 50, 25):
        events = []
        for number, turn in product(range(begin, begin + 25), range(5)):
            id_ = str(uuid7())
            events += [started(id_, tool=f"tool-{number:02}", params={"city": "Oslo"}), node_started(id_, 0), node_finished(id_, 0)]
            events += [] if turn == 4 else [finished(id_, error="EXCEPTION" if turn % 2 else None)]
        await accept(running, *events)
    return running


async def test_a_page_of_fifty_flows_with_executions_costs_what_a_page_of_one_does(
    service: Service, statements: Statements
) -> None:
    one = await statements.of(service, PAGE_OF_FLOWS, flows=1)
    fifty = await statements.of(service, PAGE_OF_FLOWS, flows=50)
    assert sorted(fifty) == sorted(one)
    found = await ask(service, PAGE_OF_FLOWS, flows=50)
    for edge in found["flows"]["edges"]:
        node = edge["node"]
        assert len(node["executions"]["edges"]) == 3
        assert [node[name]["totalCount"] for name in ("executions", "errors", "slow", "found")] == [5, 2, 0, 5]
        assert node["searched"]["totalCount"] == node["searched"]["pageCursors"]["last"]["page"] == 2
        assert node["statistics"] == {"errorRate": 0.5, "total": 5}
        assert node["executions"]["pageCursors"]["last"]["page"] == 2
        assert node["errors"]["pageCursors"]["next"]["page"] == 2
        assert node["recent"]["total"] == sum(each["count"] for one in node["recent"]["histogram"] for each in one["byStatus"])
        assert [(group["kind"], group["count"]) for group in node["recent"]["topErrors"]] == [("EXCEPTION", 2)]


@pytest.mark.parametrize(
    "node",
    [
        "node { executions(first: 2) { edges { node { id } } } hasPendingExecutions }",
        """a: node { executions(first: 2) { edges { node { id } } } hasPendingExecutions }
           b: node { executions(first: 1) { edges { node { id } } } hasPendingExecutions }""",
        """a: node { executions(first: 1) { edges { cursor node { id } } totalCount } hasPendingExecutions }
           b: node {
             executions(first: 1) { totalCount edges { a: node { flow { id } } b: node { flow { name } parent { id } } } }
           }""",
        """a: node { statistics { total histogram { from } topErrors(first: 1) { sample { id flow { id } } } } }
           b: node { hasPendingExecutions statistics { p50DurationMs } }""",
        "node { executions(first: 1) { edges { node { children(first: 2) { totalCount edges { node { flow { name } } } } } } } }",
    ],
)
async def test_flows_that_go_on_a_few_at_a_time_are_read_together_however_deep(
    service: Service, statements: Statements, node: str
) -> None:
    document = f"query ($flows: Int!) {{ flows(first: $flows) {{ edges {{ {node} }} }} }}"
    few, many = [await statements.of(service, document, flows=flows) for flows in (10, 50)]
    assert sorted(many) == sorted(few)


async def test_a_plain_page_of_one_flow_or_of_fifty_is_one_statement_each(service: Service, statements: Statements) -> None:
    document = """query ($flows: Int!) { flows(first: $flows) { edges { node {
      name executions(first: 20) {
        changeCursor pageInfo { hasNextPage hasPreviousPage endCursor } edges { cursor node { id status durationMs } }
      }
    } } } }"""
    for flows in (1, 50):
        sent = await statements.of(service, document, flows=flows)
        assert len(sent) == 2, sent
        assert sum("FROM flow" in statement for statement in sent) == 1


async def test_a_list_of_executions_is_one_statement_and_reads_no_payload(service: Service, statements: Statements) -> None:
    document = """{ executions(first: 100, filter: {status: [ERROR, PENDING]}) {
      pageInfo { hasNextPage } changeCursor
      edges { node { id server flowName status startedAt endedAt durationMs initialParamsPreview nodeCount isPreview
                     errorInfo { kind message nodeName } lateOutcome { status } client { name } caller { subject } } } } }"""
    (statement,) = await statements.of(service, document)
    assert "payload" not in statement
    assert "input_data" not in statement
    assert "output_data" not in statement


async def test_what_is_not_selected_costs_nothing(service: Service, statements: Statements) -> None:
    for selected, expected in (
        ("totalCount totalCountIsExact", 2),
        ("hasPendingExecutions", 2),
        ("edges { node { initialParams initialParamsInfo { text } } }", 1),
        ("edges { node { result resultInfo { sizeBytes } errorInfo { stack } } }", 1),
        ("edges { node { flow { name inputSchema } } }", 2),
        ("edges { node { nodeExecutions { nodeName status } } }", 1),
        ("edges { node { nodeExecutions { inputData inputInfo { text } outputData } } }", 2),
        ("edges { node { id } }", 1),
    ):
        sent = await statements.of(service, f"{{ executions(first: 100) {{ {selected} }} }}")
        assert len(sent) == expected, (selected, sent)


async def test_what_could_not_be_read_is_not_asked_for_again(
    start_service: StartService, statements: Statements, database: Database
) -> None:
    hasty: Service = await start_service(lock_timeout=0.1, sweep_interval=None, fold_interval=None)
    id_ = str(uuid7())
    await accept(hasty, started(id_), node_started(id_), finished(id_))
    for document in (
        "{ executions(first: 60) { edges { cursor node { id status } } } }",
        "query ($uuid: UUID!) { execution(by: {uuid: $uuid}) { id result nodeExecutions { id outputData } } }",
    ):
        await statements.of(hasty, document, uuid=id_)
        async with database.write() as write:
            await write.execute("LOCK TABLE execution IN ACCESS EXCLUSIVE MODE")
            statements.sent.clear()
            response = await hasty.execute(document, {"uuid": id_})
        assert [error["extensions"]["code"] for error in response["errors"]] == ["TIMEOUT"]
        assert len(statements.sent) == 1, statements.sent


async def test_an_execution_with_everything_costs_the_same_however_many_nodes_it_has(
    service: Service, statements: Statements
) -> None:
    document = """query ($uuid: UUID!) { execution(by: {uuid: $uuid}) {
      initialParams result errorInfo { message stack } flow { name } parent { id } children { edges { node { id } } }
      nodeExecutions { nodeName inputData outputData error }
    } }"""
    costs = []
    for nodes in (1, 40):
        id_ = str(uuid7())
        events = [event for position in range(nodes) for event in (node_started(id_, position), node_finished(id_, position))]
        await accept(service, started(id_, parentExecutionId=str(uuid7())), *events, finished(id_, error="EXCEPTION"))
        costs.append(len(await statements.of(service, document, uuid=id_)))
    assert costs[0] == costs[1] == 5


async def test_a_batch_costs_the_same_number_of_statements_however_large_it_is(service: Service, statements: Statements) -> None:
    costs = []
    for executions in (2, 150):
        events = []
        for _ in range(executions):
            id_ = str(uuid7())
            events += [started(id_, tool="tool-00"), node_started(id_, 0), node_finished(id_, 0), finished(id_)]
        statements.sent.clear()
        await accept(service, *events)
        costs.append(len(statements.sent))
    assert costs[0] == costs[1] < 15
