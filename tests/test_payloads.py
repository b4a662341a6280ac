"""Values come back as they went in, whatever JSON allows; what the limits do not allow is refused with a reason (spec 1.6)."""

import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from properties import examples
from recorder import RECORD, Event, accept, ask, error_of, finished, iso, node_finished, node_started, now, send, started
from support import Service

VALUES = """
query Values($uuid: UUID!) {
  execution(by: {uuid: $uuid}) {
    initialParams initialParamsInfo { ...Info } result resultInfo { ...Info }
    nodeExecutions { inputData inputInfo { ...Info } outputData outputInfo { ...Info } }
  }
}
fragment Info on PayloadInfo { sizeBytes sha256 isTruncated text }"""

HOSTILE: dict[str, Any] = {
    "40 digits": 10**39 + 7,
    "negative, 4,300 digits": -(10**4299),
    "beyond a browser": 2**53 + 1,
    "nul": "a\0b\0",
    "nul in a key": {"a\0b": 1},
    "lone surrogates": "\ud800 and \udfff and \udc00\ud800",
    "lone surrogate in a key": {"\udead": [{"\ud83d": None}]},
    "order of keys": {"z": 1, "a": 2, "": 3, "__proto__": 4},
    "fractions": [0.1, 1e-300, 1.7976931348623157e308, -0.0, 1e22, 5e-324],
    "nothing": [None, {}, [], "", 0, False],
    "text of all kinds": 'Åsa 字 👩🏽‍👩🏽‍👧🏽 \u2028\u2029 \x7f \x1b </script> \\u0000 "',
    "200 levels": json.loads("[" * 199 + "{}" + "]" * 199),
    "looks like a mark": {"$truncated": True, "isTruncated": True, "sha256": "0" * 64},
}


def text_of(value: Any) -> str:
    """The compact JSON text of a value in which lone surrogates are escaped, and nothing else that need not be."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "".join(f"\\u{ord(character):04x}" if "\ud800" <= character <= "\udfff" else character for character in text)


def info_of(value: Any) -> dict[str, Any]:
    text = text_of(value)
    encoded = text.encode()
    return {"sizeBytes": len(encoded), "sha256": hashlib.sha256(encoded).hexdigest(), "isTruncated": False, "text": text}


def whole_life(id_: str, value: Any) -> list[Event]:
    return [
        started(id_, params={"value": value}),
        node_started(id_, 0, inputData=value),
        node_finished(id_, 0, outputData=value),
        finished(id_, result=value),
    ]


async def check_kept(service: Service, id_: str, value: Any) -> None:
    found = (await ask(service, VALUES, uuid=id_))["execution"]
    (node,) = found["nodeExecutions"]
    shown = [found["initialParams"]["value"], found["result"], node["inputData"], node["outputData"]]
    assert [text_of(each) for each in shown] == [text_of(value)] * 4
    assert found["initialParamsInfo"] == info_of({"value": value})
    assert [found["resultInfo"], node["inputInfo"], node["outputInfo"]] == [info_of(value)] * 3


async def test_hostile_values_come_back_unharmed(service: Service) -> None:
    for name, value in HOSTILE.items():
        id_ = str(uuid7())
        deep = name == "200 levels"
        events = whole_life(id_, value)
        if deep:
            events[0]["started"]["initialParams"] = {"value": 1}
        await accept(service, *events)
        if deep:
            found = (await ask(service, VALUES, uuid=id_))["execution"]
            assert found["result"] == value
        else:
            await check_kept(service, id_, value)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=4), inner, max_size=4),
    max_leaves=15,
)


@examples(25)
@given(JSON_VALUES)
async def test_any_json_value_comes_back_as_it_went_in(service: Service, value: Any) -> None:
    id_ = str(uuid7())
    await accept(service, *whole_life(id_, value))
    await check_kept(service, id_, value)


async def test_null_is_a_value_and_none_is_not(service: Service) -> None:
    null, none = str(uuid7()), str(uuid7())
    await accept(service, *whole_life(null, None))
    await accept(service, started(none), node_started(none, 0), node_finished(none, 0), finished(none))
    await check_kept(service, null, None)
    found = (await ask(service, VALUES, uuid=none))["execution"]
    assert (found["initialParams"], found["result"], found["resultInfo"]) == ({}, None, None)
    assert found["nodeExecutions"] == [{"inputData": None, "inputInfo": None, "outputData": None, "outputInfo": None}]


async def test_a_value_that_the_recorder_cut_says_what_it_was(service: Service) -> None:
    id_, cut = str(uuid7()), {"sizeBytes": 5_000_000_000, "sha256": "AB" * 32}
    await accept(
        service,
        started(id_, params={"a": "…"}, initialParamsInfo=cut),
        node_started(id_, 0, inputData=[1], inputInfo=cut),
        node_finished(id_, 0, outputData=[2], outputInfo=cut),
        finished(id_, result=[3], resultInfo=cut),
    )
    found = (await ask(service, VALUES, uuid=id_))["execution"]
    (node,) = found["nodeExecutions"]
    expected = {"sizeBytes": 5_000_000_000, "sha256": "ab" * 32, "isTruncated": True}
    assert found["initialParamsInfo"] == expected | {"text": '{"a":"…"}'}
    assert [node["inputInfo"], node["outputInfo"], found["resultInfo"]] == [
        expected | {"text": text} for text in ("[1]", "[2]", "[3]")
    ]


async def test_names_and_messages_show_a_mark_for_what_a_column_can_not_hold(service: Service) -> None:
    id_ = str(uuid7())
    bad = "a\0b\ud800c"
    shown = "a\u2400b\ufffdc"
    error = {"kind": "EXCEPTION", "message": bad, "nodeId": bad, "nodeName": bad, "stack": bad}
    await accept(
        service,
        started(id_, server=bad, tool=bad, traceId=bad, client={"name": bad, "version": bad}, caller={"subject": bad}),
        finished(id_, error=error),
    )
    document = """query ($uuid: UUID!, $server: String!) {
      execution(by: {uuid: $uuid}) {
        server flowName flowToolName traceId client { name version } caller { subject }
        errorInfo { message nodeId nodeName stack }
      }
      flow(by: {tool: {server: $server, toolName: $server}}) { server toolName }
    }"""
    found = await ask(service, document, uuid=id_, server=bad)
    assert found["execution"] == {
        "server": shown,
        "flowName": shown,
        "flowToolName": shown,
        "traceId": shown,
        "client": {"name": shown, "version": shown},
        "caller": {"subject": shown},
        "errorInfo": {"message": shown, "nodeId": shown, "nodeName": shown, "stack": shown},
    }
    assert found["flow"] == {"server": shown, "toolName": shown}
    assert await send(service, started(id_, server=bad, tool="other")) == [
        {"outcome": "REJECTED", "code": "CONFLICT", "reason": "executionId: another event was recorded here before"}
    ]


async def test_values_beyond_the_limits_are_refused_and_the_rest_of_the_batch_is_not(service: Service) -> None:
    good, deep = str(uuid7()), str(uuid7())
    nested = json.loads("[" * 201 + "]" * 201)
    receipts = await send(service, started(good), started(deep, params=nested), finished(good, result=nested), finished(good))
    assert [receipt["outcome"] for receipt in receipts] == ["ACCEPTED", "REJECTED", "REJECTED", "ACCEPTED"]
    assert receipts[1]["reason"] == "initialParams: nested deeper than 200 levels"
    assert receipts[2]["reason"] == "result: nested deeper than 200 levels"


async def raw(service: Service, params: str) -> Any:
    """Send a batch whose parameters are the given text, valid JSON or not."""
    event = json.dumps(started(str(uuid7()), params="HERE")).replace('"HERE"', params)
    variables = f'{{"input": {{"sentAt": "{iso(now())}", "events": [{event}]}}}}'
    response = await service.client.post(
        "/graphql",
        content=f'{{"query": {json.dumps(RECORD)}, "variables": {variables}}}',
        headers={"content-type": "application/json", "authorization": f"Bearer {service.record_token}"},
    )
    return response.json()


async def test_what_is_no_value_is_refused_with_a_reason(service: Service) -> None:
    refused = {
        "[" * 10_000 + "]" * 10_000: "nested too deeply",
        '{"a":' * 10_000 + "1" + "}" * 10_000: "nested too deeply",
        "9" * 4301: "an integer has more than 4300 digits",
        "1e400": "a number is too large for a JSON value",
        "NaN": "NaN is not a JSON value",
        "[1,": "not valid JSON",
    }
    for params, reason in refused.items():
        (error,) = (await raw(service, params))["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert reason in error["message"]
    assert (await ask(service, "{ executions { totalCount } }"))["executions"]["totalCount"] == 0


async def test_values_may_be_written_into_the_document(service: Service) -> None:
    document = """mutation {{ recordEvents(input: {{sentAt: "{at}", events: [{{started: {{
      executionId: "{id}", server: "orders", toolName: "ship", startedAt: "{at}", initialParams: {params}
    }}}}]}}) {{ receipts {{ outcome reason }} }} }}"""
    for params, outcome in (
        ('{a: 12345678901234567890123456789012345678901, b: [null, true, 1.5, "é", WORD]}', "ACCEPTED"),
        ("{a: 1e400}", "REJECTED"),
        (f"{'[' * 150}{']' * 150}", "ACCEPTED"),
    ):
        id_ = str(uuid7())
        text = document.format(at=iso(now()), id=id_, params=params)
        response = await service.execute(text, token=service.record_token)
        assert response["data"]["recordEvents"]["receipts"][0]["outcome"] == outcome, response
    for params, code, reason in (
        ("9" * 4301, "LIMIT_EXCEEDED", "more than 4300 digits"),
        ("[" * 900 + "]" * 900, "BAD_USER_INPUT", "nested too deeply"),
    ):
        error = await error_of(service, document.format(at=iso(now()), id=uuid7(), params=params), token=service.record_token)
        assert error["extensions"]["code"] == code
        assert reason in error["message"]
