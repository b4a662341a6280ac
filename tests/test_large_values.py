"""How many bytes of values one operation may read: more are refused before they are read, and each can be had (spec 2.6, 2.10)."""

import hashlib
import json
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from flowtrail.executions import MOST_BYTES
from live import change_cursor, socket
from recorder import ask, finished, node_finished, node_started, send, started
from support import Service

VALUE = "x" * 7_000_000
TWICE = 2
"""A small document is compiled when it comes again: it is answered alike."""


async def executed(service: Service, *nodes: str) -> str:
    """Record an execution whose nodes took in these values; return its uuid."""
    id_ = str(uuid7())
    await send(service, started(id_))
    for position, value in enumerate(nodes):
        await send(service, node_started(id_, position, inputData=value), node_finished(id_, position))
    await send(service, finished(id_))
    return id_


async def answers(service: Service, document: str, **variables: Any) -> list[dict[str, Any]]:
    asked = {"query": document, "variables": variables}
    return [(await service.client.post("/graphql", json=asked)).json() for _ in range(TWICE)]


def assert_too_large(answer: dict[str, Any], path: list[str | int]) -> None:
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["path"]) == ("LIMIT_EXCEEDED", path)
    assert f"more than {MOST_BYTES} bytes" in error["message"]


@pytest.mark.parametrize("selection", ["inputData", "inputInfo { text }", "id inputData outputData inputInfo { sizeBytes text }"])
async def test_nodes_whose_values_are_too_large_together(service: Service, selection: str) -> None:
    uuid = await executed(service, *[VALUE] * 5)
    document = f"query($uuid: UUID!) {{ execution(by: {{uuid: $uuid}}) {{ status nodeExecutions {{ {selection} }} }} }}"
    for answer in await answers(service, document, uuid=uuid):
        assert_too_large(answer, ["execution", "nodeExecutions"])


async def test_their_sizes_and_each_of_them_can_be_read(service: Service) -> None:
    uuid = await executed(service, *[VALUE] * 5)
    listed = (
        "query($uuid: UUID!) { execution(by: {uuid: $uuid}) { nodeExecutions { id inputInfo { sizeBytes sha256 isTruncated } } } }"
    )
    sha256 = hashlib.sha256(json.dumps(VALUE).encode()).hexdigest()
    info = {"sizeBytes": len(VALUE) + 2, "sha256": sha256, "isTruncated": False}
    for answer in await answers(service, listed, uuid=uuid):
        nodes = answer["data"]["execution"]["nodeExecutions"]
        assert [node["inputInfo"] for node in nodes] == [info] * 5
        one = await ask(service, "query($id: ID!) { node(id: $id) { ... on NodeExecution { inputData } } }", id=nodes[-1]["id"])
        assert one["node"]["inputData"] == VALUE


async def test_a_page_whose_values_are_too_large_together(service: Service) -> None:
    for _ in range(5):
        id_ = str(uuid7())
        await send(service, started(id_), finished(id_, result=VALUE))
    document = "query($first: Int) { executions(first: $first) { edges { node { result } } } }"
    for answer in await answers(service, document, first=3):
        assert [edge["node"]["result"] for edge in answer["data"]["executions"]["edges"]] == [VALUE] * 3
    for answer in await answers(service, document, first=5):
        assert_too_large(answer, ["executions"])


async def test_values_of_several_fields_count_together(service: Service) -> None:
    uuids = [await executed(service, *[VALUE] * 3) for _ in range(2)]
    fields = " ".join(
        f'e{number}: execution(by: {{uuid: "{uuid}"}}) {{ nodeExecutions {{ inputData }} }}' for number, uuid in enumerate(uuids)
    )
    for answer in await answers(service, f"{{ {fields} }}"):
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}
    for answer in await answers(service, f'{{ execution(by: {{uuid: "{uuids[0]}"}}) {{ nodeExecutions {{ inputData }} }} }}'):
        assert [node["inputData"] for node in answer["data"]["execution"]["nodeExecutions"]] == [VALUE] * 3


async def test_what_several_statements_read_counts_together(service: Service) -> None:
    for _ in range(4):
        id_ = str(uuid7())
        await send(service, started(id_), finished(id_, result=VALUE))
    page = "{ edges { node { result } } }"
    for answer in await answers(service, f"{{ executions(first: 3) {page} }}"):
        assert "errors" not in answer
    for answer in await answers(service, f"{{ newest: executions(first: 3) {page} oldest: executions(last: 3) {page} }}"):
        assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}


EXECUTION = "execution(by: {uuid: $uuid})"


@pytest.mark.parametrize(
    ("before", "field", "after"),
    [
        (f"{EXECUTION} {{ nodeExecutions {{", "inputData", "} }"),
        (f"{EXECUTION} {{ nodeExecutions {{ inputInfo {{", "text", "} } }"),
        (f"{EXECUTION} {{", "nodeExecutions { inputData }", "}"),
        ("", f"{EXECUTION} {{ nodeExecutions {{ inputData }} }}", ""),
    ],
)
async def test_a_value_counts_as_often_as_it_is_asked_for(service: Service, before: str, field: str, after: str) -> None:
    uuid = await executed(service, VALUE)
    for times in (4, 5):
        fields = " ".join(f"f{number}: {field}" for number in range(times))
        for answer in await answers(service, f"query($uuid: UUID!) {{ {before} {fields} {after} }}", uuid=uuid):
            if times * len(VALUE) < MOST_BYTES:
                assert json.dumps(answer).count(VALUE) == times
            else:
                assert {error["extensions"]["code"] for error in answer["errors"]} == {"LIMIT_EXCEEDED"}


def changes_with(selection: str) -> str:
    return f"subscription($after: String) {{ executionChanges(after: $after) {{ ... on ExecutionChange {{ {selection} }} }} }}"


async def test_events_tell_the_sizes_of_values(service: Service) -> None:
    document = changes_with("execution { initialParamsInfo { sizeBytes } } nodeExecution { inputInfo { sizeBytes } }")
    async with socket(service) as client:
        await client.subscribe(document, after=await change_cursor(service))
        uuid = str(uuid7())
        await send(service, started(uuid, params={"a": "é"}), node_started(uuid, 0, inputData=[1, 2]))
        sizes = {"initialParamsInfo": {"sizeBytes": 10}}
        assert await client.events(2) == [
            {"execution": sizes, "nodeExecution": None},
            {"execution": sizes, "nodeExecution": {"inputInfo": {"sizeBytes": 5}}},
        ]


@pytest.mark.parametrize(("times", "answer"), [(10, "next"), (11, "error")])
async def test_a_value_of_an_event_is_not_sent_over_and_over(service: Service, times: int, answer: str) -> None:
    fields = " ".join(f"f{number}: result" for number in range(times))
    async with socket(service) as client:
        await client.subscribe(changes_with(f"execution {{ {fields} }}"), after=await change_cursor(service))
        await send(service, started())
        message = await client.receive()
        assert message["type"] == answer
        if answer == "error":
            assert message["payload"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}


async def test_of_a_value_that_was_cut_counts_what_was_kept(service: Service) -> None:
    uuid, cut = str(uuid7()), {"sizeBytes": 10**12, "sha256": "0" * 64}
    await send(service, started(uuid), *[node_started(uuid, position, inputData="cut", inputInfo=cut) for position in range(10)])
    document = "query($uuid: UUID!) { execution(by: {uuid: $uuid}) { nodeExecutions { inputData inputInfo { sizeBytes } } } }"
    for answer in await answers(service, document, uuid=uuid):
        nodes = answer["data"]["execution"]["nodeExecutions"]
        assert nodes == [{"inputData": "cut", "inputInfo": {"sizeBytes": 10**12}}] * 10
