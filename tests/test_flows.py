"""Flows: registered by their servers, kept when not named, deleted by a mark that costs nothing (spec 1.10, 4.8)."""

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail.database import Database
from properties import examples, fresh_server
from reader import count, execution
from recorder import REGISTER, accept, ask, error_of, finished, register, send, started
from support import Service
from test_counts import ask_to_delete

FLOWS = """
query Flows($first: Int, $after: String, $last: Int, $before: String, $filter: FlowFilter) {
  flows(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
    totalCount edges { cursor node { server toolName } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}"""


def tools_of(found: dict[str, Any]) -> list[str]:
    return [edge["node"]["toolName"] for edge in found["edges"]]


async def all_tools(service: Service, *, backward: bool = False, **arguments: Any) -> list[str]:
    """Return the tool names of a whole connection in its order, read page by page."""
    cursor = "before" if backward else "after"
    seen: list[str] = []
    while True:
        found = (await ask(service, FLOWS, **arguments))["flows"]
        seen = tools_of(found) + seen if backward else seen + tools_of(found)
        info = found["pageInfo"]
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return seen
        arguments[cursor] = info["startCursor" if backward else "endCursor"]


async def test_a_registration_brings_flows_up_to_date_and_leaves_the_others(service: Service) -> None:
    schema = {"type": "object", "properties": {"\ud800": {"const": 10**40}}}
    first = await register(
        service,
        {"toolName": "ship", "name": "Ship", "description": "Ships\0it", "inputSchema": schema, "timeoutMs": 1000},
        {"toolName": "pack"},
    )
    assert [(flow["toolName"], flow["name"], flow["timeoutMs"]) for flow in first] == [
        ("ship", "Ship", 1000),
        ("pack", "pack", 300_000),
    ]
    document = "{ flows { edges { node { uuid toolName name description inputSchema timeoutMs } } } }"
    assert (await ask(service, document))["flows"]["edges"][1]["node"] == {
        "uuid": first[0]["uuid"],
        "toolName": "ship",
        "name": "Ship",
        "description": "Ships\u2400it",
        "inputSchema": schema,
        "timeoutMs": 1000,
    }
    (again,) = await register(service, {"toolName": "ship", "name": "Ship it"})
    assert (again["uuid"], again["name"], again["timeoutMs"]) == (first[0]["uuid"], "Ship it", 300_000)
    assert await all_tools(service) == ["pack", "ship"]
    (node,) = [edge["node"] for edge in (await ask(service, document))["flows"]["edges"] if edge["node"]["toolName"] == "ship"]
    assert (node["description"], node["inputSchema"]) == (None, None)


async def test_servers_that_register_at_once_get_the_same_flows(start_service: Any) -> None:
    services = [await start_service(), await start_service()]
    named = [{"toolName": f"tool-{number}"} for number in range(30)]
    both = await asyncio.gather(*(register(services[number % 2], *(named if number % 3 else named[::-1])) for number in range(6)))
    ids = [{flow["toolName"]: flow["uuid"] for flow in flows} for flows in both]
    assert all(each == ids[0] for each in ids)
    assert (await ask(services[0], FLOWS))["flows"]["totalCount"] == 30


async def test_a_wrong_registration_says_which_flow_and_why(service: Service) -> None:
    wrong: dict[str, list[dict[str, Any]]] = {
        "flows[1].toolName: is empty": [{"toolName": "ship"}, {"toolName": ""}],
        "flows[0].toolName: 501 characters, at most 500 are kept": [{"toolName": "x" * 501}],
        "flows[0].name: 501 characters, at most 500 are kept": [{"toolName": "ship", "name": "x" * 501}],
        "flows[0].timeoutMs: 0 is not a positive number of milliseconds": [{"toolName": "ship", "timeoutMs": 0}],
        "flows: a toolName is given twice": [{"toolName": "ship"}, {"toolName": "ship"}],
        "flows: 2001 are too many for one registration, at most 2000": [{"toolName": f"tool-{number}"} for number in range(2001)],
    }
    for message, flows in wrong.items():
        error = await error_of(service, REGISTER, token=service.record_token, input={"server": "orders", "flows": flows})
        assert (error["message"], error["extensions"]["code"]) == (message, "BAD_USER_INPUT")
    error = await error_of(service, REGISTER, token=service.record_token, input={"server": "", "flows": []})
    assert error["message"] == "server: is empty"
    assert await all_tools(service) == []


async def test_a_deleted_flow_leaves_its_executions_and_its_tool_comes_back_as_another(service: Service) -> None:
    (flow,) = await register(service, {"toolName": "ship", "name": "Ship"})
    ended, running = str(uuid7()), str(uuid7())
    await accept(service, started(ended), finished(ended), started(running))
    await ask_to_delete(service, flow["id"])

    gone = """query ($id: ID!, $uuid: UUID!) {
      node(id: $id) { id } byId: flow(by: {id: $id}) { id } byUuid: flow(by: {uuid: $uuid}) { id }
      byTool: flow(by: {tool: {server: "orders", toolName: "ship"}}) { id } flows { totalCount }
      executions(filter: {flowDeleted: true}) { totalCount edges { node { uuid flow { id } flowName server } } }
    }"""
    found = await ask(service, gone, id=flow["id"], uuid=flow["uuid"])
    node = {"flow": None, "flowName": "Ship", "server": "orders"}
    assert found.pop("executions") == {
        "totalCount": 2,
        "edges": [{"node": {"uuid": running} | node}, {"node": {"uuid": ended} | node}],
    }
    assert found == {"node": None, "byId": None, "byUuid": None, "byTool": None, "flows": {"totalCount": 0}}
    assert (await execution(service, ended))["status"] == "FULFILLED"
    assert await count(service) == await count(service, flowId=[flow["id"]]) == 2

    later = str(uuid7())
    await accept(service, finished(running), started(later))
    new = (await execution(service, later))["flow"]
    assert new["uuid"] != flow["uuid"]
    assert await count(service, status=["FULFILLED"]) == 2
    assert await count(service, flowDeleted=True) == 2
    error = await error_of(
        service,
        "mutation ($id: ID!) { deleteFlow(input: {id: $id}) { deletedId } }",
        token=service.record_token,
        id=flow["id"],
    )
    assert error["extensions"]["code"] == "NOT_FOUND"


async def test_deleting_a_flow_waits_for_nobody_and_touches_no_execution(service: Service, database: Database) -> None:
    (flow,) = await register(service, {"toolName": "ship"})
    await accept(service, *(started() for _ in range(1000)))
    async with database.write() as recorder:
        await recorder.execute("SELECT FROM execution WHERE flow_id = $1 FOR UPDATE", flow["uuid"])
        await ask_to_delete(service, flow["id"])
    assert await count(service, flowDeleted=True) == 1000


async def test_calls_that_come_while_a_flow_is_deleted_are_all_kept(start_service: Any) -> None:
    services = [await start_service(), await start_service()]
    server = fresh_server()
    sent = 0

    async def call(service: Service) -> None:
        nonlocal sent
        for _ in range(15):
            receipts = await send(service, *(started(server=server) for _ in range(3)))
            sent += [receipt["outcome"] for receipt in receipts].count("ACCEPTED")

    async def delete() -> None:
        for _ in range(10):
            (flow,) = await register(services[0], {"toolName": "ship"}, server=server)
            await ask_to_delete(services[0], flow["id"])

    await asyncio.gather(*(call(service) for service in services for _ in range(2)), delete())
    assert sent == await count(services[0]) == 180


@examples(15)
@given(
    names=st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6), max_size=12, unique=True
    ),
    size=st.integers(1, 5),
)
async def test_flows_are_paged_both_ways_in_one_order(service: Service, names: list[str], size: int) -> None:
    server = fresh_server()
    await register(service, *({"toolName": name} for name in names), server=server)
    filter_ = {"server": [server]}
    everything = await all_tools(service, first=100, filter=filter_)
    assert sorted(everything) == sorted(names)
    assert await all_tools(service, first=size, filter=filter_) == everything
    assert await all_tools(service, backward=True, last=size, filter=filter_) == everything


async def test_a_page_of_flows_tells_what_lies_on_either_side(service: Service) -> None:
    await register(service, *({"toolName": f"tool-{number}"} for number in range(5)))
    cursors = [edge["cursor"] for edge in (await ask(service, FLOWS))["flows"]["edges"]]

    async def sides(**arguments: Any) -> tuple[list[str], bool, bool]:
        found = (await ask(service, FLOWS, **arguments))["flows"]
        return [name[-1] for name in tools_of(found)], found["pageInfo"]["hasPreviousPage"], found["pageInfo"]["hasNextPage"]

    assert await sides(first=2) == (["0", "1"], False, True)
    assert await sides(first=2, after=cursors[1]) == (["2", "3"], True, True)
    assert await sides(first=5, after=cursors[4]) == ([], True, False)
    assert await sides(last=2, before=cursors[2]) == (["0", "1"], False, True)
    assert await sides(last=2, before=cursors[0]) == ([], False, True)
    assert await sides(first=2, after=cursors[0], before=cursors[4]) == (["1", "2"], True, True)
    assert await sides(last=2, after=cursors[0], before=cursors[4]) == (["2", "3"], True, True)
    assert await sides(last=9, after=cursors[0], before=cursors[4]) == (["1", "2", "3"], False, True)
    assert await sides(first=0) == ([], False, True)
    assert await sides(first=0, filter={"server": ["nowhere"]}) == ([], False, False)
    await register(service, *({"toolName": f"many-{number:03}"} for number in range(120)))
    assert len((await sides())[0]) == 20


async def test_flows_are_filtered_by_server_text_and_what_is_pending(service: Service) -> None:
    await register(service, {"toolName": "ship", "name": "Ship 100%"}, {"toolName": "pack", "description": "Packs SHIPments"})
    await register(service, {"toolName": "ship_it"}, {"toolName": "fly"}, server="depot")
    await accept(service, started(server="depot", tool="fly"))
    for filter_, expected in (
        ({"server": ["orders"]}, ["pack", "ship"]),
        ({"server": ["orders", "depot"]}, ["fly", "ship_it", "pack", "ship"]),
        ({"server": ["nowhere"]}, []),
        ({"text": "ship"}, ["ship_it", "pack", "ship"]),
        ({"text": "%"}, ["ship"]),
        ({"text": "p_i"}, ["ship_it"]),
        ({"text": ""}, ["fly", "ship_it", "pack", "ship"]),
        ({"hasPendingExecutions": True}, ["fly"]),
        ({"hasPendingExecutions": False}, ["ship_it", "pack", "ship"]),
        ({"text": "ship", "server": ["depot"], "hasPendingExecutions": False}, ["ship_it"]),
    ):
        assert await all_tools(service, first=1, filter=filter_) == expected
        assert (await ask(service, FLOWS, filter=filter_))["flows"]["totalCount"] == len(expected)
    refused: dict[str, dict[str, Any]] = {
        "filter.server: is empty; leave it out instead": {"server": []},
        "filter.text: 501 characters, at most 500": {"text": "x" * 501},
    }
    for message, wrong in refused.items():
        assert (await error_of(service, FLOWS, filter=wrong))["message"] == message
