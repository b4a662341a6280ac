"""A filter that hardly anything matches: found at once where an index holds it, else page by page."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowtrail import tokens
from flowtrail.database import Database
from flowtrail.pagination import Position
from reader import PAGE, ids_of
from recorder import ask, finished, node_finished, node_started, register, send, started
from support import Service
from test_counts import ask_to_delete

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)
BOUND = 10
MANY = 45
MATCHING = (44, 30, 2)
"""Numbers of the executions that match, the newest first."""
ROOT = PAGE.replace("{ ...Page }", "{ ...Page totalCount totalCountIsExact searchIsComplete }")
OF_FLOW = (
    ROOT.replace("query Page(", "query Page($flow: ID!, ")
    .replace("executions(", "node(id: $flow) { ... on Flow { executions(", 1)
    .replace("searchIsComplete }", "searchIsComplete } } }")
)
Fields = dict[str, Any]


@pytest.fixture(autouse=True)
def bound(bound_scans: Callable[[int], None]) -> None:
    """Pages look at ten candidates."""
    bound_scans(BOUND)


async def record(service: Service, *fields: Fields) -> list[str]:
    """Record executions a second apart and return their ids. `error`, `node` and `ms` say how one ends, others how it starts."""
    ids = []
    for number, given in enumerate(fields):
        of_start = {name: value for name, value in given.items() if name not in ("error", "node", "ms")}
        at = BASE + timedelta(seconds=number)
        events = [started(at=at, **of_start)]
        ids.append(events[0]["started"]["executionId"])
        if "node" in given:
            events += [node_started(ids[-1], given["node"], at=at), node_finished(ids[-1], given["node"], at=at, status="ERROR")]
        events.append(finished(ids[-1], at=at + timedelta(milliseconds=given.get("ms", 1)), error=given.get("error")))
        await send(service, *events)
    return ids


async def read_all(service: Service, filter_: Fields, *, backward: bool = False, **scope: str) -> tuple[list[str], list[Fields]]:
    """Page from one end to the other; return the ids as they came, and the pages."""
    size, cursor = ("last", "before") if backward else ("first", "after")
    arguments: Fields = {size: 5, "filter": filter_, **scope}
    pages: list[Fields] = []
    while True:
        data = await ask(service, OF_FLOW if scope else ROOT, **arguments)
        pages.append((data["node"] if scope else data)["executions"])
        info = pages[-1]["pageInfo"]
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            break
        arguments[cursor] = info["startCursor" if backward else "endCursor"]
    found = [ids_of(page) for page in pages]
    return [id_ for ids in found for id_ in (ids[::-1] if backward else ids)], pages


@pytest.mark.parametrize(
    ("matching", "other", "filter_"),
    [
        ({"client": {"name": "night desk"}}, {"client": {"name": "desk"}}, {"clientName": "night desk"}),
        ({"error": "EXCEPTION", "node": 7}, {"error": "EXCEPTION", "node": 0}, {"failedNodeId": "node-7"}),
        ({"ms": 2000}, {"ms": 5}, {"durationMsAtLeast": 1000}),
        ({"params": {"city": "Oslo"}}, {"params": {"city": "Rome"}}, {"text": "oslo"}),
        ({}, {"error": "EXCEPTION"}, {"status": ["FULFILLED"]}),
        ({"isPreview": False}, {"isPreview": True}, {"isPreview": False}),
        ({"isPreview": True, "error": "EXCEPTION"}, {"isPreview": True}, {"isPreview": True, "status": ["ERROR"]}),
    ],
    ids=lambda value: ",".join(value),
)
async def test_what_no_index_holds_is_found_page_by_page(
    service: Service, matching: Fields, other: Fields, filter_: Fields
) -> None:
    ids = await record(service, *(matching if number in MATCHING else other for number in range(MANY)))
    expected = [ids[number] for number in MATCHING]
    (flow,) = await register(service, {"toolName": "ship"})
    for scope in ({}, {"flow": flow["id"]}):
        for backward in (False, True):
            seen, pages = await read_all(service, filter_, backward=backward, **scope)
            assert seen == (expected[::-1] if backward else expected)
            # The last page is one that looked at what was left.
            assert [page["searchIsComplete"] for page in pages] == [False] * (MANY // BOUND) + [True]


@pytest.mark.parametrize(
    ("matching", "other", "filter_"),
    [
        ({"server": "depot"}, {}, {"server": ["depot", "depot"]}),
        ({"server": "rogue", "tool": "gone", "toolExists": False, "error": "PROTOCOL_ERROR"}, {}, {"server": ["rogue"]}),
        ({"tool": "old"}, {}, {"flowDeleted": True}),
        ({"tool": "old", "error": "EXCEPTION"}, {"error": "EXCEPTION"}, {"flowDeleted": True, "errorKind": ["EXCEPTION"]}),
        ({"isPreview": True}, {}, {"isPreview": True}),
        ({"traceId": "trace-1"}, {"traceId": "trace-2"}, {"traceId": "trace-1"}),
        ({"traceId": "trace-1", "ms": 2000}, {"traceId": "trace-2"}, {"traceId": "trace-1", "durationMsAtLeast": 1000}),
    ],
    ids=lambda value: ",".join(value),
)
async def test_what_an_index_holds_is_found_at_once(service: Service, matching: Fields, other: Fields, filter_: Fields) -> None:
    ids = await record(service, *(matching if number in MATCHING else other for number in range(MANY)))
    if "flowDeleted" in filter_:
        (flow,) = await register(service, {"toolName": "old"})
        await ask_to_delete(service, flow["id"])
    for backward in (False, True):
        seen, (page,) = await read_all(service, filter_, backward=backward)
        assert seen == [ids[number] for number in (MATCHING[::-1] if backward else MATCHING)]
        assert (page["searchIsComplete"], page["totalCount"], page["totalCountIsExact"]) == (True, len(MATCHING), True)


async def test_a_flow_has_nothing_of_another_server_nor_is_it_deleted(service: Service) -> None:
    await record(service, *({} for _ in range(3 * BOUND)))
    (flow,) = await register(service, {"toolName": "ship"})
    (deleted,) = await register(service, {"toolName": "old"}, server="depot")
    await ask_to_delete(service, deleted["id"])
    for filter_ in ({"server": ["depot"]}, {"flowDeleted": True}, {"flowId": [deleted["id"]]}):
        seen, (page,) = await read_all(service, filter_, flow=flow["id"])
        assert (seen, page["totalCount"], page["searchIsComplete"]) == ([], 0, True)
    for filter_ in ({"server": ["depot", "orders"]}, {"flowDeleted": False}, {"flowId": [flow["id"], deleted["id"]]}):
        assert len((await read_all(service, filter_, flow=flow["id"]))[0]) == 3 * BOUND


async def test_where_a_page_stops_tells_a_reader_of_one_server_nothing_of_others(service: Service, database: Database) -> None:
    async with database.write() as write:
        token = await tokens.create(write, "desk", "read", ("orders",))
    gone = {"tool": "gone", "toolExists": False, "error": "PROTOCOL_ERROR"}
    fields: list[Fields] = []
    for number in range(60):
        of_server = {"server": "orders" if number % 4 == 0 else "depot", **(gone if number % 3 == 0 else {})}
        fields.append(of_server | {"client": {"name": "night desk" if number in (0, 12, 55) else "desk"}})
    ids = await record(service, *fields)
    ours = [id_ for id_, given in zip(ids, fields, strict=True) if given["server"] == "orders"]
    for filter_, expected in (
        ({}, ours[::-1]),
        ({"clientName": "night desk"}, [ids[12], ids[0]]),
        ({"clientName": "night desk", "server": ["depot", "orders"]}, [ids[12], ids[0]]),
        ({"clientName": "night desk", "server": ["depot"]}, []),
        ({"text": "nowhere"}, []),
        ({"durationMsAtLeast": 1e6}, []),
        ({"isPreview": True}, []),
    ):
        seen: list[str] = []
        after = None
        while True:
            response = await service.execute(ROOT, {"first": 5, "after": after, "filter": filter_}, token=token)
            found = response["data"]["executions"]
            seen, after = seen + ids_of(found), found["pageInfo"]["endCursor"]
            assert after is None or str(Position.decode(after).id) in ours
            if not found["pageInfo"]["hasNextPage"]:
                break
        assert seen == expected
