"""What PostgreSQL writes is what would have been read of its rows: any text, time, number and payload (spec 1.6)."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail.database import Database
from flowtrail.graphql import operations
from properties import examples, fresh_server
from reader import pass_deadline
from recorder import Event, finished, node_finished, node_started, now, send, started
from support import Service

StartService = Callable[..., Any]

ROW = """
  __typename id uuid server flowName called: flowToolName status startedAt endedAt durationMs initialParamsPreview nodeCount
  isPreview traceId ...More errorInfo { __typename kind message nodeId nodeName }
  lateOutcome { status endedAt errorInfo { kind message nodeId } }"""
FRAGMENT = "fragment More on Execution { client { name version } caller { subject clientId sessionId requestId } createdAt }"
NODE = """__typename id position parentPosition nodeId nodeName nodeType status startedAt endedAt durationMs error"""
CONNECTION = f"""{{
  edges {{ __typename cursor node {{ {ROW} nodeExecutions {{ {NODE} }} }} }}
  pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} pageCursors {{ around {{ page cursor isCurrent }} }} changeCursor
}}"""
LIST = f"""
query List($server: [String!], $first: Int, $last: Int, $after: String, $before: String) {{
  executions(filter: {{server: $server}}, first: $first, last: $last, after: $after, before: $before) {CONNECTION}
  flows(filter: {{server: $server}}, first: 5) {{ edges {{ node {{ executions(first: 2) {{ edges {{ node {{ uuid }} }} }} }} }} }}
}}
{FRAGMENT}"""
WHOLE = f"""
query Whole($uuid: UUID!) {{
  execution(by: {{uuid: $uuid}}) {{
    {ROW} errorInfo {{ stack }} initialParams result nodeExecutions {{ {NODE} inputData outputData }}
    lateOutcome {{ result errorInfo {{ stack }} }}
  }}
}}
{FRAGMENT}"""

TEXTS = st.text(st.characters(codec=None, categories=None), max_size=30) | st.sampled_from(
    ['"', "\\", '\\"', "\b\f\n\r\t\x1f\x7f", "\u2028", "</script>", "null", "'", "$1", "{0}", "%s", "\U0001f600", "\ud800", "\0"]
)
NAMES = TEXTS.filter(bool)
EARLIEST = datetime(1970, 1, 2, tzinfo=UTC)
TIMES = st.integers(0, 220_000_000_000_000_000).map(lambda microseconds: EARLIEST + timedelta(microseconds=microseconds))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def executions(draw: Any) -> list[Event]:
    """The events of an execution with anything in it: its start, a few nodes, and perhaps its end."""
    id_, began = str(uuid7()), draw(TIMES)
    maybe = st.none() | TEXTS
    client = draw(st.none() | st.fixed_dictionaries({"name": NAMES, "version": maybe}))
    caller = draw(st.none() | st.fixed_dictionaries(dict.fromkeys(("subject", "clientId", "sessionId", "requestId"), maybe)))
    more = {"client": client, "caller": caller, "traceId": draw(maybe), "isPreview": draw(st.booleans())}
    params = draw(st.dictionaries(TEXTS, VALUES, max_size=2))
    events = [started(id_, tool=draw(NAMES), at=began, params=params, **more)]
    for position in range(draw(st.integers(0, 3))):
        at = began + timedelta(microseconds=draw(st.integers(0, 10**9)))
        names = {name: draw(TEXTS) for name in ("nodeId", "nodeName", "nodeType")}
        events.append(node_started(id_, position, at=at, **names, inputData=draw(VALUES)))
        if draw(st.booleans()):
            ended = at + timedelta(microseconds=draw(st.integers(0, 10**13)))
            status, error = draw(st.sampled_from([("COMPLETED", None), ("ERROR", "no")]))
            events.append(
                node_finished(id_, position, status=status, at=ended, outputData=draw(VALUES), error=error and draw(TEXTS))
            )
    if draw(st.booleans()):
        error = draw(st.none() | st.fixed_dictionaries({"kind": st.just("EXCEPTION"), "message": TEXTS, "stack": maybe}))
        ended = began + timedelta(microseconds=draw(st.integers(0, 10**15)))
        events.append(finished(id_, at=ended, error=error, result=draw(VALUES)))
    return events


@pytest.fixture
def unwritten(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents that were not answered by what is compiled of them, though they should have been."""
    found: list[str] = []
    make_executor = operations._executor

    def executor(operation: Any, *rest: Any) -> Any:
        if operation.plans is not None:
            found.append(operation.text)
        return make_executor(operation, *rest)

    monkeypatch.setattr(operations, "_executor", executor)
    return found


async def both(service: Service, plain: Service, document: str, **variables: Any) -> Any:
    """Return the answer of the first, which must be what the second says, to the last digit."""
    answers = [await each.execute(document, variables) for each in (service, plain)]
    for answer in answers:
        assert "errors" not in answer, answer
        answer["data"].get("executions", {}).pop("changeCursor", None)
    assert answers[0] == answers[1]
    return answers[0]["data"]


@pytest.fixture
async def plain(start_service: StartService) -> Service:
    """A service that leaves everything to graphql-core."""
    running: Service = await start_service(compiled=False)
    return running


@examples(25)
@given(st.lists(executions(), max_size=4))
async def test_anything_recorded_is_written_as_it_would_be_read(
    service: Service, plain: Service, unwritten: list[str], batches: list[list[Event]]
) -> None:
    server = fresh_server()
    await both(service, plain, LIST, server=["nobody"])
    await both(service, plain, WHOLE, uuid=str(uuid7()))
    unwritten.clear()  # what comes for the first time is not compiled yet
    for events in batches:
        events[0]["started"]["server"] = server
        await send(service, *events)
    for place in ({}, {"first": 2}, {"last": 3}, {"first": 0}):
        page = (await both(service, plain, LIST, server=[server], **place))["executions"]
        cursors = [edge["cursor"] for edge in page["edges"]]
        ends = (cursors[0], cursors[-1]) if cursors else (None, None)
        assert (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"]) == ends
        for cursor in cursors[:2]:
            await both(service, plain, LIST, server=[server], first=1, after=cursor)
            await both(service, plain, LIST, server=[server], last=2, before=cursor)
    for events in batches:
        await both(service, plain, WHOLE, uuid=events[0]["started"]["executionId"])
    assert not {LIST, WHOLE} & set(unwritten)


async def test_an_overdue_execution_and_what_came_late_are_written_as_readers_see_them(
    start_service: StartService, plain: Service, database: Database
) -> None:
    service: Service = await start_service(sweep_interval=None)
    server, id_, at = fresh_server(), str(uuid7()), now() - timedelta(seconds=2)
    await send(
        service, started(id_, server=server, at=at), node_started(id_, 0, at=at), node_finished(id_, 0), node_started(id_, 1)
    )
    await pass_deadline(database, id_)
    for _ in range(2):
        found = (await both(service, plain, LIST, server=[server]))["executions"]["edges"][0]["node"]
        whole = (await both(service, plain, WHOLE, uuid=id_))["execution"]
        assert found["status"] == whole["status"] == "ERROR"
        assert found["errorInfo"]["nodeName"] == whole["errorInfo"]["nodeName"] == "Node 1"
        assert [node["status"] for node in found["nodeExecutions"]] == ["COMPLETED", "ERROR"]
        await send(
            service, finished(id_, at=at + timedelta(hours=1), error={"kind": "EXCEPTION", "message": "late", "stack": "at 1"})
        )
    assert whole["lateOutcome"]["errorInfo"] == {"kind": "EXCEPTION", "message": "late", "nodeId": None, "stack": "at 1"}


async def test_a_payload_keeps_every_digit(service: Service) -> None:
    id_ = str(uuid7())
    text = f'{{"big":{3**200},"small":1e-320,"nul":"\\u0000","lone":"\\ud800"}}'
    await send(service, started(id_, params=json.loads(text)), finished(id_, result=[math.pi]))
    for _ in range(2):
        response = await service.client.post("/graphql", json={"query": WHOLE, "variables": {"uuid": id_}})
        assert f'"initialParams":{text}'.encode() in response.content


async def test_so_many_fields_that_they_are_read_instead_are_answered_alike(service: Service, plain: Service) -> None:
    server, id_ = fresh_server(), str(uuid7())
    await send(service, started(id_, server=server), finished(id_))
    row = " ".join(("uuid", *(f"a{number}: startedAt" for number in range(70))))
    document = f"query ($server: [String!]) {{ executions(filter: {{server: $server}}) {{ edges {{ node {{ {row} }} }} }} }}"
    for _ in range(2):
        found = (await both(service, plain, document, server=[server]))["executions"]["edges"]
        assert [len(edge["node"]) for edge in found] == [71]


async def test_a_payload_that_is_asked_for_again_and_again_is_answered_alike(service: Service, plain: Service) -> None:
    id_ = str(uuid7())
    large = {"text": "x" * 100_000}
    await send(service, started(id_), node_started(id_, inputData=large), finished(id_, result=large))
    results = " ".join(f"a{number}: result" for number in range(20))
    nodes = " ".join(f"n{number}: nodeExecutions {{ inputData }}" for number in range(10))
    document = f"query ($uuid: UUID!) {{ execution(by: {{uuid: $uuid}}) {{ {results} {nodes} }} }}"
    for _ in range(2):
        found = (await both(service, plain, document, uuid=id_))["execution"]
        assert found["a19"] == found["n9"][0]["inputData"] == large


async def test_a_fragment_in_one_place_written_and_in_another_read_is_answered_alike(service: Service, plain: Service) -> None:
    server, id_ = fresh_server(), str(uuid7())
    await send(service, started(id_, server=server), finished(id_))
    document = """query ($server: [String!]) {
      executions(filter: {server: $server}) { ...Edges }
      flows(filter: {server: $server}) { edges { node { executions(first: 2) { ...Edges again: edges { cursor } } } } }
    }
    fragment Edges on ExecutionConnection { edges { node { uuid } } }"""
    for _ in range(2):
        found = await both(service, plain, document, server=[server])
        assert found["executions"]["edges"] == found["flows"]["edges"][0]["node"]["executions"]["edges"]
