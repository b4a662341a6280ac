"""Reading one execution, node or flow: by every name it has, whatever became of its neighbours (spec 1.1, 1.3, 2.6, 2.7)."""

from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from flowtrail.database import Database
from reader import execution, page, purge
from recorder import accept, ask, finished, node_finished, node_started, now, register, started
from support import Service

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)


async def test_objects_are_found_again_by_every_name_they_have(service: Service) -> None:
    id_ = str(uuid7())
    (flow,) = await register(service, {"toolName": "ship"})
    await accept(service, started(id_), node_started(id_, 0), node_started(id_, 1))
    document = """query ($uuid: UUID!) { execution(by: {uuid: $uuid}) { id nodeExecutions { id position } flow { id } } }"""
    found = (await ask(service, document, uuid=id_))["execution"]
    assert found["flow"]["id"] == flow["id"]
    node = """query ($id: ID!) { node(id: $id) {
      __typename id ... on Execution { uuid } ... on Flow { toolName } ... on NodeExecution { position nodeName }
    } }"""
    ids = (found["id"], flow["id"], found["nodeExecutions"][1]["id"])
    assert [(await ask(service, node, id=global_id))["node"] for global_id in ids] == [
        {"__typename": "Execution", "id": ids[0], "uuid": id_},
        {"__typename": "Flow", "id": ids[1], "toolName": "ship"},
        {"__typename": "NodeExecution", "id": ids[2], "position": 1, "nodeName": "Node 1"},
    ]
    by_each = """query ($id: ID!, $flow: ID!, $uuid: UUID!) {
      execution(by: {id: $id}) { uuid }
      a: flow(by: {id: $flow}) { toolName } b: flow(by: {uuid: $uuid}) { toolName }
      c: flow(by: {tool: {server: "orders", toolName: "ship"}}) { toolName }
    }"""
    assert await ask(service, by_each, id=ids[0], flow=ids[1], uuid=flow["uuid"]) == {
        "execution": {"uuid": id_},
        **{name: {"toolName": "ship"} for name in "abc"},
    }
    assert len({*ids, found["nodeExecutions"][0]["id"]}) == 4


async def test_times_are_utc_with_microseconds_whatever_offset_they_came_with(service: Service) -> None:
    id_ = str(uuid7())
    start, end = started(id_), finished(id_)
    start["started"]["startedAt"] = "2026-05-17T14:00:00.1+02:00"
    end["finished"]["endedAt"] = "2026-05-17t12:00:01.100001z"
    await accept(service, start, end, sent_at=BASE)
    found = await execution(service, id_)
    assert (found["startedAt"], found["endedAt"]) == ("2026-05-17T12:00:00.100000Z", "2026-05-17T12:00:01.100001Z")
    assert found["durationMs"] == 1000.001


async def test_nodes_come_in_the_order_they_started_with_what_encloses_them(service: Service) -> None:
    id_ = str(uuid7())
    await accept(
        service,
        started(id_, at=BASE),
        node_started(id_, 0, at=BASE, nodeType="loop"),
        node_started(id_, 2, at=BASE, parentPosition=0),
        node_started(id_, 1, at=BASE + timedelta(seconds=1), parentPosition=0),
        node_finished(id_, 2, at=BASE + timedelta(seconds=2), status="ERROR", error="boom"),
        sent_at=BASE + timedelta(seconds=3),
    )
    nodes = (await execution(service, id_))["nodeExecutions"]
    shown = [
        (node["position"], node["parentPosition"], node["nodeType"], node["status"], node["error"], node["durationMs"])
        for node in nodes
    ]
    assert shown == [
        (0, None, "loop", "PENDING", None, None),
        (1, 0, "step", "PENDING", None, None),
        (2, 0, "step", "ERROR", "boom", 2000),
    ]


async def test_the_list_is_newest_first_across_flows(service: Service) -> None:
    starts = [started(tool=f"tool-{number % 3}", at=BASE + timedelta(seconds=number * 7 % 10)) for number in range(10)]
    await accept(service, *starts)
    expected = sorted((start["started"] for start in starts), key=lambda start: start["startedAt"], reverse=True)
    assert [edge["node"]["uuid"] for edge in (await page(service))["edges"]] == [start["executionId"] for start in expected]


async def test_an_execution_purged_between_two_statements_does_not_cost_the_list(service: Service, database: Database) -> None:
    """Its row was read, its payload is gone: what a purge leaves to a reader it overtakes."""
    gone, here = str(uuid7()), str(uuid7())
    await accept(service, started(here, params={"a": 1}), started(gone, params={"a": 2}))
    async with database.write() as write:
        await write.execute("DELETE FROM execution_payload WHERE execution_id = $1::text::uuid", gone)
    document = (
        "{ executions { edges { node { uuid initialParams initialParamsInfo { text isTruncated } result resultInfo { text } } } } }"
    )
    nodes = {edge["node"].pop("uuid"): edge["node"] for edge in (await ask(service, document))["executions"]["edges"]}
    nothing: dict[str, Any] = {"result": None, "resultInfo": None}
    assert nodes == {
        here: {"initialParams": {"a": 1}, "initialParamsInfo": {"text": '{"a":1}', "isTruncated": False}, **nothing},
        gone: {"initialParams": None, "initialParamsInfo": {"text": "null", "isTruncated": False}, **nothing},
    }


async def test_a_purged_execution_is_gone_with_all_it_had(service: Service, database: Database) -> None:
    id_ = str(uuid7())
    await accept(service, started(id_), node_started(id_, 0), finished(id_))
    document = "query ($uuid: UUID!) { execution(by: {uuid: $uuid}) { nodeExecutions { id } } }"
    (node,) = (await ask(service, document, uuid=id_))["execution"]["nodeExecutions"]
    assert await purge(database, [id_, id_]) == 1
    assert (await ask(service, document, uuid=id_))["execution"] is None
    assert (await ask(service, "query ($id: ID!) { node(id: $id) { id } }", id=node["id"]))["node"] is None
    async with database.read() as read:
        for table in ("execution", "execution_payload", "node_execution"):
            assert await read.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_created_and_updated_tell_when_the_service_learned_of_it(service: Service) -> None:
    id_ = str(uuid7())
    document = "query ($uuid: UUID!) { execution(by: {uuid: $uuid}) { createdAt updatedAt } }"
    await accept(service, started(id_, at=now() - timedelta(days=1)))
    first = (await ask(service, document, uuid=id_))["execution"]
    await accept(service, finished(id_))
    second = (await ask(service, document, uuid=id_))["execution"]
    assert second["createdAt"] == first["createdAt"]
    assert first["updatedAt"] < second["updatedAt"]
    assert datetime.fromisoformat(first["createdAt"]) > now() - timedelta(hours=1)
