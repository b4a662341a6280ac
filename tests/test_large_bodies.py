"""What is sent in a large body is answered as if the body were small, and holds up nobody else meanwhile (spec 1.6, 2.10, 4.2)."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from flowtrail import json_text
from flowtrail.graphql.large_bodies import LARGE
from flowtrail.recording.preview import preview_of
from recorder import RECORD, Event, accept, ask, finished, node_finished, node_started, send, started
from support import Service
from test_payloads import HOSTILE, check_kept, whole_life

AT = "2026-01-01T00:00:00Z"
UNKNOWN = "019f0000-0000-7000-8000-000000000000"
APART = " " * 9000
"""Between two values it makes whatever they are in larger than what is decoded in one go."""
SEND = "mutation ($sentAt: DateTime!, $events: [ExecutionEventInput!]!) { recordEvents(input: {sentAt: $sentAt, events: $events}) {"
REGISTER = "mutation ($input: RegisterFlowsInput!) { registerFlows(input: $input) { flows { toolName inputSchema } } }"
ONE = "mutation ($event: ExecutionEventInput!, $at: DateTime!) { recordEvents(input: {sentAt: $at, events: [$event]}) {"
RECEIPTS = " receipts { outcome code reason } } }"
FIND = """query ($param: [ParamFilter!]) {
  executions(filter: {param: $param}) { totalCount edges { node { initialParamsPreview } } }
}"""


async def post(service: Service, body: str | bytes, token: str | None = None) -> Any:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token or service.record_token}"}
    return await service.client.post("/graphql", content=body, headers=headers)


def life(**more: Any) -> list[Event]:
    id_ = str(uuid7())
    return [
        started(id_, params={"a": [1, {"b": None}], "c": "é\ud800"}, client={"name": "c", "version": None}, **more),
        node_started(id_, inputData=[1.0, 1e5], inputInfo={"sizeBytes": 5.0, "sha256": "ab" * 32}),
        node_finished(id_, outputData={"z": 1, "a": [[], {}]}),
        finished(id_, error={"kind": "EXCEPTION", "message": "no\0", "stack": "at\nonce"}),
    ]


def batch(*events: Any, **more: Any) -> dict[str, Any]:
    return {"query": RECORD.replace("serverTime", ""), "variables": {"input": {"sentAt": AT, "events": [*events]} | more}}


def of(request: dict[str, Any], *names: str) -> dict[str, Any]:
    """The same parameters in another order."""
    return {name: request[name] for name in names}


DEEP = json.loads("[1," * 201 + "1" + "]" * 201)
REQUESTS: dict[str, Callable[[], Any]] = {
    "a batch": lambda: batch(*life(), *life()),
    "variables first": lambda: of(batch(*life()), "variables", "query"),
    "more than is asked for": lambda: {"more": [1, [2, 3]], **batch(*life()), "extensions": {"a": [1, 2], "persistedQuery": None}},
    "a variable nobody asked for": lambda: (request := batch(*life())) | {"variables": {**request["variables"], "x": [[1, 2], 3]}},
    "events as a variable": lambda: {"query": SEND + RECEIPTS, "variables": {"sentAt": AT, "events": life()}},
    "an event as a variable": lambda: {"query": ONE + RECEIPTS, "variables": {"at": AT, "event": life()[0]}},
    "an event that is no list": lambda: batch() | {"variables": {"input": {"sentAt": AT, "events": life()[0]}}},
    "a document with a name": lambda: batch(*life()) | {"operationName": "Record"},
    "a document without that name": lambda: batch(*life()) | {"operationName": "Other"},
    "several fields": lambda: {
        "query": "mutation ($a: RecordEventsInput!, $b: RecordEventsInput!) { "
        "a: recordEvents(input: $a) { receipts { outcome } } b: recordEvents(input: $b) { receipts { outcome } } }",
        "variables": {"a": batch(*life())["variables"]["input"], "b": batch(*life())["variables"]["input"]},
    },
    "flows": lambda: {
        "query": REGISTER,
        "variables": {"input": {"server": "s", "flows": [{"toolName": "t", "inputSchema": {"type": "object", "a": [1, 2.50]}}]}},
    },
    "a filter": lambda: {"query": FIND, "variables": {"param": [{"path": "/a", "value": [1, {"b": None}]}]}},
    "no events": lambda: batch(),
    "too deep": lambda: batch(started(params=DEEP), *life()),
    "refused events": lambda: batch(started(server="", params=[1, 2]), started(tool="y" * 600, params=[1, 2]), finished(UNKNOWN)),
    "a wrong hash": lambda: batch(started(params=[1, 2], initialParamsInfo={"sizeBytes": 1, "sha256": "x"})),
    "a wrong event": lambda: batch({"started": {"executionId": "x", "more": [1, 2]}}),
    "a missing field": lambda: batch({"finished": {"status": "FULFILLED", "result": [1, 2]}}),
    "two kinds in one": lambda: batch(*life(), {**started(params=[1, 2]), **finished(UNKNOWN)}),
    "no event": lambda: batch(*life(), None),
    "a wrong time": lambda: batch(*life(), sentAt="yesterday"),
    "an unknown field": lambda: batch(*life(), more=[1, 2]),
    "a wrong variable": lambda: batch() | {"variables": {"input": [[], [1, 2], {}]}},
    "no variables": lambda: batch() | {"variables": None},
    "variables that are none": lambda: batch() | {"variables": [1, 2]},
    "no document": lambda: {"variables": batch(*life())["variables"]},
    "a document that is none": lambda: batch(*life()) | {"query": "mutation {"},
    "a document that is wrong": lambda: batch(*life()) | {"query": "mutation ($input: RecordEventsInput!) { nothing }"},
    "a document that is no text": lambda: batch(*life()) | {"query": [1, 2]},
    "a hash that is none": lambda: of(batch(*life()) | {"documentId": "x", "extensions": {"a": [1, 2]}}, "documentId", "variables"),
    "a list": lambda: [1, [2, 3]],
    "a string": lambda: "y",
    "a number too large": lambda: batch(started(params=[1, 10**4299])),
}


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("compiled", [True, False])
async def test_a_large_body_is_answered_as_a_small_one(start_service: Any, name: str, compiled: bool) -> None:
    service = await start_service(compiled=compiled)
    small = json.dumps(REQUESTS[name]())
    large = json.dumps(REQUESTS[name](), separators=("," + APART, ":")) + " " * LARGE
    assert len(small) < LARGE < len(large)
    expected = await post(service, small)
    for _ in range(2):  # what has come twice is compiled
        found = await post(service, json.dumps(REQUESTS[name](), separators=("," + APART, ":")) + " " * LARGE)
        assert (found.status_code, found.json()) == (expected.status_code, expected.json())


@pytest.mark.parametrize("order", [("query", "variables", "query"), ("variables", "query", "variables")])
async def test_of_what_is_given_twice_the_last_holds(service: Service, order: tuple[str, ...]) -> None:
    right = batch(*life())
    wrong: dict[str, Any] = {"query": "mutation ($input: Int) { __typename }", "variables": {"input": [[1, 2], 3]}}
    members = []
    for number, name in enumerate(order):
        value = (wrong if name in order[number + 1 :] else right)[name]
        members.append(f'"{name}":{json.dumps(value, separators=("," + APART, ":"))}')
    body = "{" + ",".join(members) + "}"
    answer = (await post(service, body + " " * LARGE)).json()
    assert [receipt["outcome"] for receipt in answer["data"]["recordEvents"]["receipts"]] == ["ACCEPTED"] * 4


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "200 levels"])
async def test_hostile_values_come_back_unharmed_from_a_large_body(service: Service, name: str) -> None:
    id_, value = str(uuid7()), [HOSTILE[name], *([1, "y" * 50] * 500), {"in": [HOSTILE[name]] * 3, "z": "é😀\ud800" * 4000}]
    await accept(service, *whole_life(id_, value), *life())
    await check_kept(service, id_, value)


async def test_of_names_that_come_again_the_last_value_is_kept(service: Service) -> None:
    names = [f"name {number}" for number in range(4000)]
    members = [*((name, str(number)) for number, name in enumerate(names)), (names[7], json.dumps("y" * 9000)), (names[9], "{}")]
    params = "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"
    id_ = str(uuid7())
    body = json.dumps(batch(*whole_life(id_, "HERE"))).replace('"HERE"', params)
    receipts = (await post(service, body)).json()["data"]["recordEvents"]["receipts"]
    assert {receipt["outcome"] for receipt in receipts} == {"ACCEPTED"}
    await check_kept(service, id_, json.loads(params))


async def test_executions_are_found_by_what_is_in_large_parameters(service: Service) -> None:
    params = {"city": "Łódź", "list": [[1, 2], {"a": "b"}], "crowd": [{"number": number} for number in range(5000)]}
    await accept(service, started(params=params))
    for path, value in {"/city": "Łódź", "/list": [[1, 2], {"a": "b"}], "/list/1": {"a": "b"}, "/crowd/3": {"number": 3}}.items():
        found = (await ask(service, FIND, param=[{"path": path, "value": value}]))["executions"]
        assert found["totalCount"] == 1
        assert found["edges"][0]["node"]["initialParamsPreview"] == preview_of(params)


@pytest.mark.parametrize(
    "wrong",
    ["[1,2", "[1,]", '{"a" 1}', '"\x01"', '"\\x"', '"\\ud83d\\u12"', "NaN", "1e400", "nul", "9" * 4301, "[1] 2", "\ufeff1"],
)
@pytest.mark.parametrize("space", [" ", "\n", "é"])
async def test_where_a_large_body_is_wrong_is_said_exactly(service: Service, wrong: str, space: str) -> None:
    crowd = json.dumps(["y" + space * 3000, *range(20_000)], ensure_ascii=False).replace("\\n", "\\n" + "y")
    event = json.dumps(started(params="HERE")).replace('"HERE"', f'{{"crowd":{crowd},\n"wrong":{wrong}}}')
    body = json.dumps(batch("EVENT")).replace('"EVENT"', event).encode()
    with pytest.raises(json_text.JsonTextError) as expected:
        json_text.load(body)
    answer = await post(service, body)
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error == {"message": f"the request body is {expected.value}", "extensions": {"code": "BAD_USER_INPUT"}}


async def test_who_may_not_record_learns_it_of_a_large_batch_too(service: Service, start_service: Any) -> None:
    closed = await start_service(read_token="only-reading-" + "y" * 30)
    body = json.dumps(batch(*(event for _ in range(100) for event in life())))
    (error,) = (await post(closed, body, "only-reading-" + "y" * 30)).json()["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"
    anonymous = await service.client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert anonymous.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_fullest_batch_is_recorded_once(service: Service) -> None:
    events = [started(params={"value": [{"number": number, "text": "some words"} for number in range(100)]}) for _ in range(1000)]
    assert {receipt["outcome"] for receipt in await send(service, *events)} == {"ACCEPTED"}
    assert {receipt["outcome"] for receipt in await send(service, *events)} == {"DUPLICATE"}
    ended = [finished(event["started"]["executionId"], result=event["started"]["initialParams"]) for event in events]
    assert {receipt["outcome"] for receipt in await send(service, *ended)} == {"ACCEPTED"}
    response = await service.execute(RECORD, batch(*events, *events[:1])["variables"], token=service.record_token)
    assert response["errors"][0]["message"] == "input.events: 1001 events, at most 1000 in a batch"


async def test_others_are_answered_while_a_large_body_is_decoded(service: Service) -> None:
    line = service.app.state.endpoint.large_bodies._lines[True]  # held from when the body has come until it is decoded
    recording = asyncio.create_task(post(service, json.dumps(batch(started(params=[[]] * 490_000)))))
    answered = 0
    while not recording.done():
        was_decoded = line.locked()
        await ask(service, "{ executions(first: 1) { totalCount } }")
        answered += was_decoded and line.locked()
    assert (await recording).json()["data"]["recordEvents"]["receipts"][0]["outcome"] == "ACCEPTED"
    assert answered > 1


async def test_who_waits_too_long_for_others_large_bodies_is_told_to_come_again(start_service: Any) -> None:
    service = await start_service(body_timeout=0.2)
    body = json.dumps(batch(*(event for _ in range(100) for event in life())))
    async with service.app.state.endpoint.large_bodies._lines[True]:
        refused = await post(service, body)
        assert (await service.execute("{ __typename }"))["data"] == {"__typename": "Query"}
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert (await post(service, body)).json()["data"]["recordEvents"]["receipts"][0]["outcome"] == "ACCEPTED"


async def test_many_large_bodies_at_the_same_time_are_all_recorded(service: Service) -> None:
    batches = [[event for _ in range(100) for event in life()] for _ in range(6)]
    receipts = await asyncio.gather(*(send(service, *events) for events in batches))
    assert [{receipt["outcome"] for receipt in each} for each in receipts] == [{"ACCEPTED"}] * 6


@pytest.mark.parametrize("variables", [["x" * 70_000], "x" * 70_000, 7], ids=["a list", "a string", "a number"])
async def test_variables_that_are_no_object_are_refused_however_large(service: Service, variables: Any) -> None:
    refused = await post(
        service, json.dumps({"query": "{ __typename }", "variables": variables, "extensions": {"x": "x" * 70_000}})
    )
    assert (refused.status_code, refused.json()["errors"][0]["message"]) == (400, "variables: must be an object")
