"""Timeouts: an overdue execution is an error for every reader at once, and nothing that ended in time is one (spec 1.7, 1.8)."""

import asyncio
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from flowtrail.database import Database
from properties import fresh_server
from reader import all_ids, count, execution, pass_deadline
from recorder import Event, accept, ask, finished, node_finished, node_started, now, register, send, started
from support import Service

StartService = Callable[..., Any]
NOT_PENDING = ("FULFILLED", "ERROR")
STATE_OF_FLOW = """
query State($server: String!) {
  executions(first: 0) { hasPendingExecutions }
  flows(filter: {server: [$server], hasPendingExecutions: true}) { totalCount }
  flow(by: {tool: {server: $server, toolName: "ship"}}) {
    hasPendingExecutions
    executions(filter: {status: [PENDING]}) { totalCount hasPendingExecutions edges { node { uuid } } }
    errors: executions(filter: {status: [ERROR]}) { totalCount edges { node { uuid status errorInfo { kind nodeId } } } }
    statistics {
      total errorRate p50DurationMs byStatus { status count } histogram { byStatus { status count } }
      topErrors { kind nodeId message count sample { uuid status } }
    }
  }
}"""


@pytest.fixture(params=[None, 0.05], ids=["never-swept", "swept"])
async def service(request: pytest.FixtureRequest, start_service: StartService) -> Service:
    """The service with the sweep switched off, and with one that may come in between at any time."""
    running: Service = await start_service(sweep_interval=request.param)
    return running


async def overdue_execution(service: Service, database: Database, **start: Any) -> tuple[str, datetime]:
    """An execution with a completed node and a running one, whose deadline has passed; and when it started."""
    id_, at = str(uuid7()), now() - timedelta(seconds=2)
    await accept(
        service,
        started(id_, at=at, **start),
        node_started(id_, 0, at=at),
        node_finished(id_, 0, at=at + timedelta(seconds=1)),
        node_started(id_, 1, at=at + timedelta(seconds=1)),
    )
    assert (await execution(service, id_))["status"] == "PENDING"
    await pass_deadline(database, id_)
    return id_, at


async def test_an_overdue_execution_is_an_error_wherever_it_is_read(service: Service, database: Database) -> None:
    server = fresh_server()
    id_, at = await overdue_execution(service, database, server=server)
    for _ in range(2):
        found = await execution(service, id_)
        assert (found["status"], found["endedAt"]) == ("ERROR", zulu(at + timedelta(minutes=5)))
        assert (found["durationMs"], found["nodeCount"]) == (300_000, 2)
        assert (found["errorInfo"]["kind"], found["errorInfo"]["nodeId"], found["errorInfo"]["nodeName"]) == (
            "TIMED_OUT",
            "node-1",
            "Node 1",
        )
        done, cut = found["nodeExecutions"]
        assert (done["status"], cut["status"], cut["endedAt"]) == ("COMPLETED", "ERROR", found["endedAt"])
        assert cut["error"].startswith("TIMED_OUT")

        matching: list[dict[str, Any]] = [
            {"status": ["ERROR"]},
            {"status": ["ERROR", "PENDING"]},
            {"errorKind": ["TIMED_OUT"]},
            {"failedNodeId": "node-1"},
            {"durationMsAtLeast": 300_000.0},
            {"text": "timeout of the flow passed"},
            {"text": "node 1"},
            {"status": ["ERROR"], "errorKind": ["TIMED_OUT"], "failedNodeId": "node-1", "text": "Node 1", "isPreview": False},
        ]
        missing: list[dict[str, Any]] = [
            {"status": ["PENDING"]},
            {"status": ["PENDING", "FULFILLED"]},
            {"errorKind": ["EXCEPTION"]},
            {"failedNodeId": "node-0"},
            {"durationMsAtLeast": 300_001.0},
            {"text": "node 0"},
        ]
        assert [await all_ids(service, filter=filter_) for filter_ in matching] == [[id_]] * len(matching)
        assert [await count(service, **filter_) for filter_ in matching] == [1] * len(matching)
        assert [await all_ids(service, filter=filter_) for filter_ in missing] == [[]] * len(missing)
        assert [await count(service, **filter_) for filter_ in missing] == [0] * len(missing)

        state = await ask(service, STATE_OF_FLOW, server=server)
        flow = state["flow"]
        assert (state["executions"]["hasPendingExecutions"], state["flows"]["totalCount"]) == (False, 0)
        assert flow["hasPendingExecutions"] is False
        assert flow["executions"] == {"totalCount": 0, "hasPendingExecutions": False, "edges": []}
        assert flow["errors"]["totalCount"] == 1
        assert flow["errors"]["edges"][0]["node"]["errorInfo"] == {"kind": "TIMED_OUT", "nodeId": "node-1"}
        statistics = flow["statistics"]
        assert (statistics["total"], statistics["errorRate"]) == (1, 1)
        assert statistics["p50DurationMs"] == pytest.approx(300_000, rel=0.01)
        for by_status in (statistics["byStatus"], statistics["histogram"][0]["byStatus"]):
            assert {entry["status"]: entry["count"] for entry in by_status} == {"PENDING": 0, "FULFILLED": 0, "ERROR": 1}
        (group,) = statistics["topErrors"]
        assert (group["kind"], group["nodeId"], group["count"]) == ("TIMED_OUT", "node-1", 1)
        assert group["sample"] == {"uuid": id_, "status": "ERROR"}


def zulu(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


async def test_pending_is_shown_while_it_is_so_and_not_longer(service: Service, database: Database) -> None:
    server, other, ended = fresh_server(), fresh_server(), str(uuid7())
    await accept(service, started(server=server), started(ended, server=other))

    async def pending(of: str) -> tuple[bool, bool, bool, int]:
        state = await ask(service, STATE_OF_FLOW, server=of)
        flow = state["flow"]
        return (
            state["executions"]["hasPendingExecutions"],
            flow["hasPendingExecutions"],
            flow["executions"]["hasPendingExecutions"],
            state["flows"]["totalCount"],
        )

    assert await pending(server) == await pending(other) == (True, True, True, 1)
    await accept(service, finished(ended))
    assert await pending(other) == (True, False, False, 0)
    assert await pending(server) == (True, True, True, 1)
    await pass_deadline(database, *(await all_ids(service, filter={"server": [server]})))
    assert await pending(server) == await pending(other) == (False, False, False, 0)


async def test_a_late_result_is_kept_beside_the_timeout(service: Service, database: Database) -> None:
    id_, at = await overdue_execution(service, database)
    timed_out = await execution(service, id_)
    late = finished(id_, at=at + timedelta(minutes=7), result={"shipped": "after all"})
    node = node_finished(id_, 1, at=at + timedelta(minutes=6), outputData=[1, 2])
    more = node_started(id_, 2, at=at + timedelta(minutes=6))
    assert [receipt["outcome"] for receipt in await send(service, node, more, late, late, node)] == [
        "ACCEPTED",
        "ACCEPTED",
        "ACCEPTED",
        "DUPLICATE",
        "DUPLICATE",
    ]
    found = await execution(service, id_)
    for kept in ("status", "endedAt", "durationMs", "errorInfo"):
        assert found[kept] == timed_out[kept]
    assert found["nodeCount"] == 3
    assert found["lateOutcome"] == {"status": "FULFILLED", "endedAt": zulu(at + timedelta(minutes=7)), "errorInfo": None}
    document = """query ($uuid: UUID!) { execution(by: {uuid: $uuid}) {
      result lateOutcome { result resultInfo { text } } nodeExecutions { status outputData error } } }"""
    detail = (await ask(service, document, uuid=id_))["execution"]
    assert detail["result"] is None
    assert detail["lateOutcome"] == {"result": {"shipped": "after all"}, "resultInfo": {"text": '{"shipped":"after all"}'}}
    assert [node["outputData"] for node in detail["nodeExecutions"]] == [None, [1, 2], None]
    assert [node["status"] for node in detail["nodeExecutions"]] == ["COMPLETED", "ERROR", "ERROR"]
    assert "Reported later: COMPLETED at" in detail["nodeExecutions"][1]["error"]
    assert await count(service, status=["ERROR"], errorKind=["TIMED_OUT"]) == await count(service) == 1


async def test_a_late_error_is_kept_with_its_reason(service: Service, database: Database) -> None:
    id_, at = await overdue_execution(service, database)
    error = {"kind": "EXCEPTION", "message": "It broke, late", "nodeId": "node-1", "nodeName": "Node 1", "stack": "Traceback…"}
    await accept(
        service,
        node_finished(id_, 1, status="ERROR", error="boom", at=at + timedelta(minutes=6)),
        finished(id_, error=error, at=at + timedelta(minutes=6)),
    )
    found = await execution(service, id_)
    assert found["errorInfo"]["kind"] == "TIMED_OUT"
    assert found["lateOutcome"]["errorInfo"] == {key: error[key] for key in ("kind", "message", "nodeId", "nodeName")}
    assert found["nodeExecutions"][1]["error"].startswith("TIMED_OUT")
    assert found["nodeExecutions"][1]["error"].endswith("boom")
    document = "query ($uuid: UUID!) { execution(by: {uuid: $uuid}) { errorInfo { stack } lateOutcome { errorInfo { stack } } } }"
    detail = (await ask(service, document, uuid=id_))["execution"]
    assert detail == {"errorInfo": {"stack": None}, "lateOutcome": {"errorInfo": {"stack": "Traceback…"}}}


async def test_any_report_of_an_overdue_execution_settles_it(service: Service, database: Database) -> None:
    ids = [(await overdue_execution(service, database))[0] for _ in range(3)]
    await accept(service, node_finished(ids[0], 1), node_started(ids[1], 2), finished(ids[2]))
    async with database.read() as read:
        stored = await read.fetch("SELECT status FROM execution WHERE id = ANY($1::uuid[])", [uuid.UUID(id_) for id_ in ids])
    assert [row["status"] for row in stored] == ["ERROR"] * 3
    assert await count(service, status=["ERROR"]) == 3


async def test_the_sweep_writes_down_what_readers_saw(start_service: StartService, database: Database) -> None:
    service: Service = await start_service(sweep_interval=None)
    seen = {}
    for _ in range(3):
        id_, _ = await overdue_execution(service, database)
        seen[id_] = await execution(service, id_)
    await start_service(sweep_interval=0.02)
    for _ in range(500):
        async with database.read() as read:
            if await read.fetchval("SELECT count(*) FROM execution WHERE status = 'ERROR'") == len(seen):
                break
        await asyncio.sleep(0.02)
    for id_, before in seen.items():
        assert await execution(service, id_) == before
    assert await count(service, status=["ERROR"]) == await count(service) == 3
    async with database.read() as read:
        kinds = await read.fetch(
            "SELECT kind FROM execution_change WHERE execution_id = ANY($1::uuid[])", [uuid.UUID(id_) for id_ in seen]
        )
    assert [row["kind"] for row in kinds].count("TIMED_OUT") == 3


async def deadlines(database: Database) -> dict[str, float]:
    """Seconds that each pending execution was given when the service received it, by the database's clock."""
    async with database.read() as read:
        rows = await read.fetch(
            "SELECT id, extract(epoch FROM deadline - created_at)::float8 AS left FROM execution WHERE status = 'PENDING'"
        )
    return {str(row["id"]): row["left"] for row in rows}


async def test_a_flow_that_says_nothing_has_five_minutes(start_service: StartService, database: Database) -> None:
    service: Service = await start_service()
    await register(
        service, {"toolName": "ship"}, {"toolName": "slow", "timeoutMs": 3_600_000}, {"toolName": "quick", "timeoutMs": 10}
    )
    ids = {tool: str(uuid7()) for tool in ("ship", "slow", "quick", "unknown", "never registered")}
    await accept(service, *(started(id_, tool=tool, toolExists=tool != "unknown") for tool, id_ in ids.items()))
    left = await deadlines(database)
    assert {tool: round(left[id_] / 60, 1) for tool, id_ in ids.items()} == {
        "ship": 5,
        "slow": 60,
        "quick": 0.5,  # never earlier than 30 s after the service received the start
        "unknown": 5,
        "never registered": 5,
    }


@pytest.mark.parametrize("minutes", [-10, 0, 10], ids=["slow", "right", "fast"])
async def test_a_recorder_whose_clock_is_wrong_gets_the_same_time(
    start_service: StartService, database: Database, minutes: int
) -> None:
    service: Service = await start_service()
    clock = now() + timedelta(minutes=minutes)
    ids = [str(uuid7()) for _ in range(3)]
    await accept(
        service,
        *(started(id_, at=clock - timedelta(minutes=age)) for id_, age in zip(ids, (0, 2, 30), strict=True)),
        sent_at=clock,
    )
    left = await deadlines(database)
    assert [round(left[id_] / 60, 1) for id_ in ids] == [5, 3, 0.5]
    assert await count(service, status=["PENDING"]) == 3
    await pass_deadline(database, *ids)
    ended = [(await execution(service, id_))["endedAt"] for id_ in ids]
    assert ended == [
        zulu(clock + timedelta(minutes=5)),
        zulu(clock + timedelta(minutes=3)),
        zulu(clock + timedelta(seconds=30)),
    ]


@pytest.mark.parametrize("minutes", [-10, 0, 10], ids=["slow", "right", "fast"])
async def test_of_an_hour_old_backlog_nothing_that_ended_in_time_is_timed_out(service: Service, minutes: int) -> None:
    sent_at = now() + timedelta(minutes=minutes)
    starts, ends = [], []
    for number in range(300):
        id_, at = str(uuid7()), sent_at - timedelta(hours=1) + timedelta(seconds=number)
        starts.append(started(id_, at=at))
        ends.append(finished(id_, at=at + timedelta(seconds=299), error="EXCEPTION" if number % 3 == 0 else None))
    in_one_batch: list[Event] = [event for pair in zip(starts[:100], ends[:100], strict=True) for event in pair]
    await accept(service, *in_one_batch, sent_at=sent_at)
    await accept(service, *starts[100:], sent_at=sent_at)
    assert await count(service, status=["PENDING"]) == 200
    await accept(service, *ends[100:], sent_at=sent_at + timedelta(seconds=5))
    assert await count(service, errorKind=["TIMED_OUT"]) == await count(service, status=["PENDING"]) == 0
    assert (await count(service, status=["FULFILLED"]), await count(service, status=["ERROR"])) == (200, 100)


async def test_two_readers_see_an_outcome_or_a_timeout_but_never_both(start_service: StartService, database: Database) -> None:
    services = [await start_service(sweep_interval=0.05), await start_service(sweep_interval=0.05)]
    ids = [str(uuid7()) for _ in range(60)]
    await accept(services[0], *(started(id_) for id_ in ids))

    async def expire() -> None:
        for id_ in ids[::2]:
            await pass_deadline(database, id_)

    async def end(service: Service, some: list[str]) -> None:
        for id_ in some:
            await send(service, finished(id_))

    await asyncio.gather(expire(), end(services[0], ids[::3]), end(services[1], ids[1::3]))
    by_status = {status: await count(services[0], status=[status]) for status in ("PENDING", *NOT_PENDING)}
    assert sum(by_status.values()) == await count(services[1]) == len(ids)
    for status in NOT_PENDING:
        for id_ in await all_ids(services[1], first=100, filter={"status": [status]}):
            found = await execution(services[0], id_)
            assert (found["status"], found["errorInfo"] is None) == (status, status == "FULFILLED")
            assert found["lateOutcome"] is None or status == "ERROR"
