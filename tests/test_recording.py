"""The door in: what recorders report is stored once, counted once, and never rewritten (spec 1.2 to 1.4, 1.9, 4.2)."""

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from properties import fresh_server
from reader import all_ids, count, execution
from recorder import (
    RECORD,
    Event,
    accept,
    ask,
    error_of,
    finished,
    iso,
    node_finished,
    node_started,
    now,
    register,
    send,
    started,
)
from support import Service

ERROR = {"kind": "EXCEPTION", "message": "It broke"}


def new_id() -> str:
    return str(uuid7())


def outcomes(receipts: list[dict[str, Any]]) -> list[str]:
    return [receipt["outcome"] for receipt in receipts]


def life(execution_id: str, **start: Any) -> list[Event]:
    """An execution of two nodes that ends well."""
    return [
        started(execution_id, **start),
        node_started(execution_id, 0),
        node_finished(execution_id, 0),
        node_started(execution_id, 1),
        node_finished(execution_id, 1),
        finished(execution_id, result={"shipped": True}),
    ]


async def test_each_step_is_visible_as_soon_as_it_is_recorded(service: Service) -> None:
    id_, at = new_id(), now()
    await accept(service, started(id_, at=at, params={"order": 7}), node_started(id_, 0, at=at))
    running = await execution(service, id_)
    assert (running["status"], running["endedAt"], running["durationMs"], running["errorInfo"]) == ("PENDING", None, None, None)
    assert [(node["nodeId"], node["status"]) for node in running["nodeExecutions"]] == [("node-0", "PENDING")]
    assert running["nodeCount"] == 1

    await accept(service, node_finished(id_, 0, at=at + timedelta(milliseconds=5)))
    (node,) = (await execution(service, id_))["nodeExecutions"]
    assert (node["status"], node["durationMs"]) == ("COMPLETED", 5)

    await accept(service, finished(id_, at=at + timedelta(milliseconds=7.25)))
    ended = await execution(service, id_)
    assert (ended["status"], ended["durationMs"], ended["nodeCount"]) == ("FULFILLED", 7.25, 1)
    assert (ended["flowToolName"], ended["server"], ended["isPreview"]) == ("ship", "orders", False)
    assert ended["startedAt"] == f"{at.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


async def test_a_batch_sent_three_times_is_stored_once_and_counted_once(service: Service) -> None:
    ids = [new_id() for _ in range(20)]
    batch = [event for id_ in ids for event in life(id_)]
    assert outcomes(await send(service, *batch)) == ["ACCEPTED"] * len(batch)
    before = [await execution(service, id_) for id_ in ids]
    for _ in range(2):
        assert outcomes(await send(service, *batch, sent_at=now())) == ["DUPLICATE"] * len(batch)
    assert [await execution(service, id_) for id_ in ids] == before
    assert await count(service) == await count(service, status=["FULFILLED"]) == 20
    assert sorted(await all_ids(service)) == sorted(ids)


async def test_a_batch_sent_through_two_processes_at_once_is_stored_once_and_counted_once(start_service: Any) -> None:
    services = [await start_service(), await start_service()]
    batches = [[event for _ in range(30) for event in life(new_id())] for _ in range(5)]
    for batch in batches:
        both = await asyncio.gather(*(send(service, *batch) for service in services for _ in range(2)))
        told = [sorted(outcomes(receipts)) for receipts in zip(*both, strict=True)]
        assert told == [["ACCEPTED", "DUPLICATE", "DUPLICATE", "DUPLICATE"]] * len(batch)
    assert await count(services[0]) == await count(services[1]) == 150
    assert len(await all_ids(services[0], first=100)) == 150


async def test_batches_that_hold_the_same_executions_in_other_orders_all_go_through(start_service: Any) -> None:
    services = [await start_service(), await start_service()]
    ids = [new_id() for _ in range(50)]
    starts, ends = [started(id_) for id_ in ids], [finished(id_) for id_ in ids]
    await asyncio.gather(
        send(services[0], *starts, *ends),
        send(services[1], *reversed(starts), *reversed(ends)),
        send(services[0], *starts[25:], *starts[:25], *ends),
    )
    assert await count(services[0], status=["FULFILLED"]) == await count(services[0]) == 50


async def test_one_bad_event_does_not_sink_its_batch(service: Service) -> None:
    batch = [started(new_id()) for _ in range(999)]
    batch.insert(500, started(new_id(), server=""))
    receipts = await send(service, *batch)
    assert receipts[500] == {"outcome": "REJECTED", "code": "BAD_USER_INPUT", "reason": "server: is empty"}
    assert outcomes(receipts[:500] + receipts[501:]) == ["ACCEPTED"] * 999
    assert await count(service) == 999


async def test_a_batch_of_more_than_a_thousand_events_is_refused_whole(service: Service) -> None:
    variables = {"sentAt": iso(now()), "events": [started(new_id()) for _ in range(1001)]}
    error = await error_of(service, RECORD, token=service.record_token, input=variables)
    assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert error["message"] == "input.events: 1001 events, at most 1000 in a batch"
    assert await count(service) == 0


async def test_an_empty_batch_has_no_receipts(service: Service) -> None:
    assert await send(service) == []


AT = now()
KNOWN = new_id()
BAD_EVENTS: dict[str, tuple[Event, str, str]] = {
    "empty server": (started(server=""), "BAD_USER_INPUT", "server: is empty"),
    "empty tool": (started(tool=""), "BAD_USER_INPUT", "toolName: is empty"),
    "long tool": (started(tool="x" * 501), "BAD_USER_INPUT", "toolName: 501 characters, at most 500 are kept"),
    "long client": (started(client={"name": "x" * 501}), "BAD_USER_INPUT", "client.name: 501 characters, at most 500 are kept"),
    "time before clocks": (
        started(at=AT.replace(year=1969)),
        "BAD_USER_INPUT",
        "startedAt: lies outside the years 1970 to 8999",
    ),
    "size of no bytes": (
        started(initialParamsInfo={"sizeBytes": 0.5, "sha256": "0" * 64}),
        "BAD_USER_INPUT",
        "initialParamsInfo.sizeBytes: not a whole number of bytes",
    ),
    "hash of another kind": (
        started(initialParamsInfo={"sizeBytes": 5, "sha256": "0" * 40}),
        "BAD_USER_INPUT",
        "initialParamsInfo.sha256: not a SHA-256 in hexadecimal",
    ),
    "known id": (started(KNOWN, tool="another"), "CONFLICT", "executionId: another event was recorded here before"),
    "node of nothing": (
        node_started(uuid.UUID(int=1)),
        "UNKNOWN_EXECUTION",
        f"executionId: no execution {uuid.UUID(int=1)} has started",
    ),
    "negative position": (node_started(KNOWN, -1), "BAD_USER_INPUT", "position: -1 is negative; nodes count from 0"),
    "enclosed by itself": (
        node_started(KNOWN, 3, parentPosition=3),
        "BAD_USER_INPUT",
        "parentPosition: an enclosing node starts before the nodes inside it",
    ),
    "known position": (node_started(KNOWN, 0, at=AT), "CONFLICT", "position: another event was recorded here before"),
    "end of no node": (node_finished(KNOWN, 9), "UNKNOWN_NODE", "position: no node 9 of this execution has started"),
    "node ends as pending": (
        node_finished(KNOWN, 0, status="PENDING"),
        "BAD_USER_INPUT",
        "status: a finished node is COMPLETED or ERROR",
    ),
    "node ends before it starts": (
        node_finished(KNOWN, 0, at=AT - timedelta(hours=1)),
        "BAD_USER_INPUT",
        "endedAt: lies before the node's startedAt",
    ),
    "ends as pending": (finished(KNOWN, status="PENDING"), "BAD_USER_INPUT", "status: a finished execution is FULFILLED or ERROR"),
    "ends before it starts": (
        finished(KNOWN, at=AT - timedelta(hours=1)),
        "BAD_USER_INPUT",
        "endedAt: lies before the execution's startedAt",
    ),
    "error without errorInfo": (
        finished(KNOWN, status="ERROR"),
        "BAD_USER_INPUT",
        "errorInfo: must be given exactly when the status is ERROR",
    ),
    "long message": (
        finished(KNOWN, error={"kind": "EXCEPTION", "message": "x" * 20_001}),
        "BAD_USER_INPUT",
        "errorInfo.message: 20001 characters, at most 20000 are kept",
    ),
}


async def test_a_refused_event_says_why_and_leaves_everything_as_it_was(service: Service) -> None:
    await accept(service, started(KNOWN), node_started(KNOWN, 0))
    before = await execution(service, KNOWN)
    told = {name: await send(service, event) for name, (event, _, _) in BAD_EVENTS.items()}
    assert told == {
        name: [{"outcome": "REJECTED", "code": code, "reason": reason}] for name, (_, code, reason) in BAD_EVENTS.items()
    }
    assert await execution(service, KNOWN) == before
    assert await count(service) == 1


async def test_error_info_with_another_status_than_error_is_refused(service: Service) -> None:
    id_ = new_id()
    event = finished(id_, error=ERROR)
    event["finished"]["status"] = "FULFILLED"
    (accepted, refused) = await send(service, started(id_), event)
    assert (accepted["outcome"], refused["outcome"]) == ("ACCEPTED", "REJECTED")
    assert (await execution(service, id_))["status"] == "PENDING"


async def test_a_terminal_status_never_changes(service: Service) -> None:
    for first in (None, "TOOL_ERROR", "EXCEPTION", "PROTOCOL_ERROR", "CANCELLED"):
        id_ = new_id()
        await accept(service, started(id_), node_started(id_, 0), finished(id_, error=first))
        before = await execution(service, id_)
        receipts = await send(
            service,
            finished(id_, error="EXCEPTION", at=now() + timedelta(seconds=1)),
            finished(id_, at=now() + timedelta(seconds=1)),
            node_started(id_, 1),
            node_finished(id_, 0),
        )
        assert [receipt["code"] for receipt in receipts] == ["EXECUTION_ENDED"] * 4
        assert await execution(service, id_) == before
    assert await count(service, status=["PENDING"]) == 0


async def test_what_was_left_pending_by_a_dead_process_is_interrupted_and_its_result_kept_beside_that(service: Service) -> None:
    id_ = new_id()
    await accept(service, started(id_), node_started(id_, 0), finished(id_, error="INTERRUPTED"))
    interrupted = await execution(service, id_)
    assert interrupted["errorInfo"]["kind"] == "INTERRUPTED"
    assert interrupted["errorInfo"]["nodeId"] == "node-0"
    assert interrupted["nodeExecutions"][0]["error"].startswith("INTERRUPTED")

    late = finished(id_, result="there after all", at=now() + timedelta(seconds=3))
    assert outcomes(await send(service, late, late)) == ["ACCEPTED", "DUPLICATE"]
    after = await execution(service, id_)
    assert (after["status"], after["errorInfo"], after["endedAt"]) == ("ERROR", interrupted["errorInfo"], interrupted["endedAt"])
    assert after["lateOutcome"]["status"] == "FULFILLED"
    (refused,) = await send(service, finished(id_, error="EXCEPTION"))
    assert refused["code"] == "EXECUTION_ENDED"


async def test_nodes_still_pending_when_an_execution_ends_become_errors_of_its_kind(service: Service) -> None:
    id_, at = new_id(), now()
    end = at + timedelta(seconds=1)
    await accept(
        service,
        started(id_, at=at),
        node_started(id_, 0, at=at),
        node_finished(id_, 0, at=at),
        node_started(id_, 1, at=at),
        finished(id_, at=end, error="CANCELLED"),
    )
    done, cut = (await execution(service, id_))["nodeExecutions"]
    assert (done["status"], done["error"]) == ("COMPLETED", None)
    assert (cut["status"], cut["error"]) == ("ERROR", "CANCELLED: The execution ended before this node did.")
    assert cut["durationMs"] == 1000


def step(position: int, outcome: str | None, **more: Any) -> list[tuple[int, str, str | None, dict[str, Any]]]:
    begin = (position, "start", None, more)
    return [begin] if outcome is None else [begin, (position, "finish", outcome, {})]


FAILING_NODE: dict[str, tuple[list[Any], dict[str, Any], str | None]] = {
    "no nodes": ([], ERROR, None),
    "no nodes, and the recorder names one": ([], ERROR | {"nodeId": "fetch", "nodeName": "Fetch"}, "fetch"),
    "the second of three raises": ([*step(0, "COMPLETED"), *step(1, "ERROR")], ERROR, "node-1"),
    "the first that failed, though others ran on": ([*step(0, "ERROR"), *step(1, "COMPLETED"), *step(2, "ERROR")], ERROR, "node-0"),
    "a failed one rather than the running one": ([*step(0, "ERROR"), *step(1, None)], ERROR, "node-0"),
    "the one that was running": ([*step(0, "COMPLETED"), *step(1, None)], ERROR, "node-1"),
    "the innermost that was running": ([*step(0, None), *step(1, None, parentPosition=0)], ERROR, "node-1"),
    "none after all have completed": ([*step(0, "COMPLETED"), *step(1, "COMPLETED")], ERROR, None),
    "never the last that succeeded, even when the recorder says so": (
        [*step(0, "COMPLETED"), *step(1, "COMPLETED")],
        ERROR | {"nodeId": "node-1", "nodeName": "Node 1"},
        None,
    ),
    "the one that failed, even when the recorder names another": (
        [*step(0, "ERROR"), *step(1, "COMPLETED")],
        ERROR | {"nodeId": "node-1", "nodeName": "Node 1"},
        "node-0",
    ),
    "the innermost of those a failure passed through": (
        [(0, "start", None, {}), (1, "start", None, {"parentPosition": 0}), (1, "finish", "ERROR", {}), (0, "finish", "ERROR", {})],
        ERROR,
        "node-1",
    ),
}


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_error_info_names_the_node_that_failed(service: Service, in_one_batch: bool) -> None:
    named, at = {}, now()
    for name, (steps, error, _) in FAILING_NODE.items():
        id_ = new_id()
        events = [started(id_, at=at)]
        for number, (position, what, status, more) in enumerate(steps):
            moment = at + timedelta(milliseconds=number)
            if what == "start":
                events.append(node_started(id_, position, at=moment, **more))
            else:
                events.append(node_finished(id_, position, status=str(status), at=moment))
        events.append(finished(id_, error=error, at=at + timedelta(seconds=1)))
        for batch in [events] if in_one_batch else [[event] for event in events]:
            await accept(service, *batch)
        info = (await execution(service, id_))["errorInfo"]
        assert (info["kind"], info["message"]) == ("EXCEPTION", "It broke")
        assert (info["nodeId"] is None) == (info["nodeName"] is None)
        named[name] = info["nodeId"]
    assert named == {name: node_id for name, (_, _, node_id) in FAILING_NODE.items()}


async def test_a_failure_at_one_instant_is_laid_to_the_innermost_node(service: Service) -> None:
    id_, at = new_id(), now()
    await accept(
        service,
        started(id_, at=at),
        node_started(id_, 0, at=at),
        node_started(id_, 1, at=at, parentPosition=0),
        node_finished(id_, 1, at=at, status="ERROR"),
        node_finished(id_, 0, at=at, status="ERROR"),
        finished(id_, at=at, error=ERROR),
    )
    assert (await execution(service, id_))["errorInfo"]["nodeId"] == "node-1"


async def test_stacks_are_kept_only_when_sent(service: Service) -> None:
    with_stack, without = new_id(), new_id()
    await accept(
        service,
        started(with_stack),
        finished(with_stack, error=ERROR | {"stack": "Traceback…"}),
        started(without),
        finished(without, error=ERROR),
    )
    assert (await execution(service, with_stack))["errorInfo"]["stack"] == "Traceback…"
    assert (await execution(service, without))["errorInfo"]["stack"] is None


async def test_a_call_before_the_registration_makes_the_flow_and_the_registration_completes_it(service: Service) -> None:
    server, id_ = fresh_server(), new_id()
    await accept(service, started(id_, server=server, tool="ship"))
    flow = (await execution(service, id_))["flow"]
    (registered,) = await register(service, {"toolName": "ship", "name": "Ship an order"}, server=server)
    assert registered["uuid"] == flow["uuid"]
    assert (await execution(service, id_))["flowName"] == "ship"
    later = new_id()
    await accept(service, started(later, server=server, tool="ship"))
    assert (await execution(service, later))["flowName"] == "Ship an order"


async def test_an_unknown_tool_is_recorded_without_a_flow_and_makes_none(service: Service) -> None:
    id_ = new_id()
    await accept(service, started(id_, tool="no-such-tool", toolExists=False), finished(id_, error="PROTOCOL_ERROR"))
    found = await execution(service, id_)
    assert (found["flow"], found["flowToolName"], found["flowName"]) == (None, "no-such-tool", "no-such-tool")
    assert (await ask(service, "{ flows { totalCount } }"))["flows"]["totalCount"] == 0
    assert await count(service) == await count(service, errorKind=["PROTOCOL_ERROR"]) == 1


async def test_a_flow_that_calls_another_is_its_parent_whichever_is_recorded_first(service: Service) -> None:
    parent, child, second = new_id(), new_id(), new_id()
    at = now()
    await accept(service, started(child, tool="inner", at=at, parentExecutionId=parent))
    document = """query ($uuid: UUID!) { execution(by: {uuid: $uuid}) {
      parent { uuid } children { totalCount hasPendingExecutions edges { node { uuid } } } } }"""
    assert (await ask(service, document, uuid=child))["execution"]["parent"] is None
    await accept(
        service,
        started(parent, tool="outer", at=at - timedelta(seconds=1)),
        started(second, tool="inner", at=at + timedelta(seconds=1), parentExecutionId=parent),
    )
    assert (await ask(service, document, uuid=child))["execution"]["parent"] == {"uuid": parent}
    assert (await ask(service, document, uuid=parent))["execution"] == {
        "parent": None,
        "children": {
            "totalCount": 2,
            "hasPendingExecutions": True,
            "edges": [{"node": {"uuid": second}}, {"node": {"uuid": child}}],
        },
    }


async def test_who_called_is_kept(service: Service) -> None:
    id_, bare = new_id(), new_id()
    caller = {"subject": "ada", "clientId": "desk", "sessionId": "s-1", "requestId": "17"}
    await accept(
        service,
        started(id_, client={"name": "inspector", "version": "1.2"}, caller=caller, traceId="4bf9", isPreview=True),
        started(bare, caller={}),
    )
    document = """query ($uuid: UUID!) { execution(by: {uuid: $uuid}) {
      isPreview traceId client { name version } caller { subject clientId sessionId requestId } } }"""
    assert (await ask(service, document, uuid=id_))["execution"] == {
        "isPreview": True,
        "traceId": "4bf9",
        "client": {"name": "inspector", "version": "1.2"},
        "caller": caller,
    }
    assert (await ask(service, document, uuid=bare))["execution"] == {
        "isPreview": False,
        "traceId": None,
        "client": None,
        "caller": None,
    }


async def test_the_answer_tells_the_time_of_the_service(service: Service) -> None:
    variables = {"input": {"sentAt": iso(now()), "events": []}}
    answers = [(await service.execute(RECORD, variables, token=service.record_token))["data"]["recordEvents"] for _ in range(2)]
    assert answers[0]["serverTime"] < answers[1]["serverTime"]
