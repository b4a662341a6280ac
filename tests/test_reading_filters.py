"""Every filter, alone and combined, gives what going through all rows by hand gives, on every page and in totalCount (spec 2.2)."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail.database import Database
from properties import examples
from reader import all_ids, count, hold_deadlines, pass_deadline
from recorder import Event, accept, error_of, finished, node_finished, node_started, register, send, started
from support import Service
from test_counts import ask_to_delete

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)
CITIES = ("Oslo", "Århus", "100%_sure\\", "nil\0nil")
ORDERS = (1, "1", 2**70, {"of": [1, "a"]}, True)
KINDS = ("TOOL_ERROR", "EXCEPTION", "CANCELLED")
TIMED_OUT_MESSAGE = "The timeout of the flow passed before the execution ended."
StartService = Callable[..., Any]


@dataclass
class Row:
    """An execution as this test recorded it, with what a reader must see of it now."""

    id: str
    server: str
    tool: str
    flow_name: str
    flow_id: str | None
    is_deleted: bool
    started_at: datetime
    is_preview: bool
    client: str | None
    trace: str | None
    preview: str
    params: dict[str, Any]
    status: str = "PENDING"
    duration_ms: float | None = None
    kind: str | None = None
    message: str | None = None
    node: str | None = None
    is_overdue: bool = False

    @property
    def texts(self) -> list[str]:
        node_name = self.node and self.node.replace("node-", "Node ")
        return [text.lower() for text in (self.preview, self.message, self.flow_name, node_name) if text]


@dataclass(repr=False)
class Collection:
    """What there is to read. Says little of itself: hypothesis prints it with what failed."""

    service: Service
    rows: list[Row]
    flow_ids: list[str]

    def __repr__(self) -> str:
        return f"{len(self.rows)} executions"

    def matching(self, filter_: dict[str, Any]) -> list[str]:
        """Go through all rows by hand, newest first."""
        return [row.id for row in self.rows if matches(row, filter_)]


def matches(row: Row, wanted: dict[str, Any]) -> bool:
    within = wanted.get("startedAt", {})
    return all(
        (
            "status" not in wanted or row.status in wanted["status"],
            "from" not in within or row.started_at >= datetime.fromisoformat(within["from"]),
            "to" not in within or row.started_at < datetime.fromisoformat(within["to"]),
            "isPreview" not in wanted or row.is_preview == wanted["isPreview"],
            "errorKind" not in wanted or row.kind in wanted["errorKind"],
            "failedNodeId" not in wanted or row.node == wanted["failedNodeId"],
            "flowId" not in wanted or row.flow_id in wanted["flowId"],
            "flowDeleted" not in wanted or row.is_deleted == wanted["flowDeleted"],
            "server" not in wanted or row.server in wanted["server"],
            "clientName" not in wanted or row.client == wanted["clientName"],
            "traceId" not in wanted or row.trace == wanted["traceId"],
            "durationMsAtLeast" not in wanted or (row.duration_ms is not None and row.duration_ms >= wanted["durationMsAtLeast"]),
            "param" not in wanted or any(repr(has(row.params, one["path"])) == repr(one["value"]) for one in wanted["param"]),
            "text" not in wanted or any(wanted["text"].lower().replace("\0", "\u2400") in text for text in row.texts),
        )
    )


def has(params: Any, path: str) -> Any:
    """Return what is at a pointer, None for nothing."""
    for token in path.split("/")[1:]:
        try:
            params = params[int(token) if isinstance(params, list) else token]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return params


@pytest.fixture
async def collection(start_service: StartService, database: Database) -> Collection:
    """120 executions of three servers, every kind of end among them, some overdue and never swept, one flow deleted."""
    service = await start_service(sweep_interval=None)
    flow_ids: dict[tuple[str, str], str] = {}
    for server in ("orders", "depot"):
        registered = await register(service, {"toolName": "ship", "name": f"Ship {server}"}, {"toolName": "pack"}, server=server)
        flow_ids |= {(server, flow["toolName"]): flow["id"] for flow in registered}
    rng, rows, events = random.Random(5), [], []
    for _ in range(120):
        server, tool = rng.choice(("orders", "orders", "depot", "rogue")), rng.choice(("ship", "pack"))
        params = {"city": (city := rng.choice(CITIES)), "order": rng.choice(ORDERS)}
        row = Row(
            id=str(uuid7()),
            server=server,
            tool=tool,
            flow_name=f"Ship {server}" if (server, tool) in flow_ids and tool == "ship" else tool,
            flow_id=flow_ids.get((server, tool)),
            is_deleted=(server, tool) == ("depot", "pack"),
            started_at=BASE + timedelta(minutes=rng.randrange(60)),
            is_preview=rng.random() < 0.3,
            client=rng.choice((None, "inspector", "desk")),
            trace=rng.choice((None, "trace-1", "trace-2")),
            preview=f"city: {city}".replace("\0", "\u2400"),
            params=params,
        )
        events += life(row, rng)
        rows.append(row)
    await accept(service, *events, sent_at=BASE)
    await hold_deadlines(database, *(row.id for row in rows))
    await pass_deadline(database, *(row.id for row in rows if row.is_overdue))
    await ask_to_delete(service, flow_ids["depot", "pack"])
    rows.sort(key=lambda row: (row.started_at, row.id), reverse=True)
    return Collection(service, rows, list(flow_ids.values()))


def life(row: Row, rng: random.Random) -> list[Event]:
    """The events of one execution; what they make of it is written into the row."""
    client = {"client": {"name": row.client}} if row.client else {}
    start = started(
        row.id, server=row.server, tool=row.tool, at=row.started_at, params=row.params, isPreview=row.is_preview,
        traceId=row.trace, toolExists=row.flow_id is not None, **client,
    )  # fmt: skip
    events, node = [start], rng.randrange(3)
    failing = rng.random() < 0.5
    for position in range(node + 1):
        events.append(node_started(row.id, position, at=row.started_at))
        status = "ERROR" if failing and position == node else "COMPLETED"
        if position < node or failing:
            events.append(node_finished(row.id, position, at=row.started_at, status=status))
    fate, span = rng.choice(("PENDING", "overdue", "FULFILLED", "ERROR")), rng.choice((0, 1, 1500, 90_000))
    if fate == "overdue":
        row.is_overdue = True
        row.status, row.kind, row.message, row.duration_ms = "ERROR", "TIMED_OUT", TIMED_OUT_MESSAGE, 300_000
    elif fate != "PENDING":
        row.status, row.duration_ms = fate, span
        row.kind = rng.choice(KINDS) if fate == "ERROR" else None
        row.message = f"It was {row.kind}" if row.kind else None
        events.append(finished(row.id, at=row.started_at + timedelta(milliseconds=span), error=row.kind))
    if row.status == "ERROR":
        row.node = f"node-{node}"
    return events


def subset(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3)


def times() -> st.SearchStrategy[str]:
    return st.integers(-5, 65).map(lambda minute: (BASE + timedelta(minutes=minute)).isoformat())


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "status": subset("PENDING", "FULFILLED", "ERROR"),
    "startedAt": st.fixed_dictionaries({}, optional={"from": times(), "to": times()}),
    "isPreview": st.booleans(),
    "errorKind": subset(*KINDS, "TIMED_OUT", "INTERRUPTED"),
    "failedNodeId": st.sampled_from(["node-0", "node-1", "node-2", "node-9", ""]),
    "flowId": st.lists(st.integers(0, 3), min_size=1, max_size=3),
    "flowDeleted": st.booleans(),
    "server": subset("orders", "depot", "rogue", "nowhere"),
    "clientName": st.sampled_from(["inspector", "desk", "Desk"]),
    "traceId": st.sampled_from(["trace-1", "trace-2", "trace-3"]),
    "durationMsAtLeast": st.sampled_from([0, 0.5, 1, 1499.999, 1500, 1500.001, 90_000, 1e9]),
    "param": st.lists(
        st.fixed_dictionaries({"path": st.just("/city"), "value": st.sampled_from(CITIES)})
        | st.fixed_dictionaries({"path": st.just("/order"), "value": st.sampled_from(ORDERS)})
        | st.fixed_dictionaries(
            {"path": st.sampled_from(["/order/of/0", "/city", "/order/1"]), "value": st.sampled_from([1, "1"])}
        ),
        min_size=1,
        max_size=3,
    ),
    "text": st.sampled_from(
        ["OSLO", "ship", "Ship orders", "%", "_", "\\", "%_", "L\0N", "it was e", "node 1", "timeout OF", "city: ", "zzz"]
    ),
}


EACH: dict[str, list[Any]] = {
    "status": [["PENDING"], ["FULFILLED"], ["ERROR"], ["PENDING", "ERROR"], ["PENDING", "FULFILLED", "ERROR"]],
    "startedAt": [{}, {"from": BASE.isoformat()}, {"to": (BASE + timedelta(minutes=30)).isoformat()}],
    "isPreview": [True, False],
    "errorKind": [["TIMED_OUT"], ["EXCEPTION", "TIMED_OUT"], ["INTERRUPTED"], list(KINDS)],
    "failedNodeId": ["node-0", "node-2", "node-9"],
    "flowId": [[0], [1, 2], [3, 3]],
    "flowDeleted": [True, False],
    "server": [["orders"], ["rogue", "depot"], ["nowhere"]],
    "clientName": ["inspector", "nobody"],
    "traceId": ["trace-1", "nothing"],
    "durationMsAtLeast": [0, 1500, 1500.001, 90_000, 300_000],
    "param": [
        [{"path": "/city", "value": "Oslo"}],
        [{"path": "/order", "value": 1}],
        [{"path": "/order", "value": "1"}, {"path": "/order/of/1", "value": "a"}],
        [{"path": "/order", "value": 2**70}, {"path": "/city", "value": "nil\0nil"}],
        [{"path": "/order", "value": {"of": [1, "a"]}}],
        [{"path": "/city", "value": "oslo"}],
    ],
    "text": ["OSLO", "ship orders", "100%_", "%", "L\0N", "it was except", "node 2", "passed before"],
}


async def check(collection: Collection, filter_: dict[str, Any], size: int) -> None:
    """Compare one filter, on pages both ways and in the total, with what every row says."""
    if "flowId" in filter_:
        filter_ = filter_ | {"flowId": [collection.flow_ids[number] for number in filter_["flowId"]]}
    expected = collection.matching(filter_)
    assert await all_ids(collection.service, first=size, filter=filter_) == expected
    assert await all_ids(collection.service, backward=True, last=size, filter=filter_) == expected
    assert await count(collection.service, **filter_) == len(expected)


async def test_each_filter_alone_equals_brute_force(collection: Collection) -> None:
    assert len({(row.status, row.kind, row.node) for row in collection.rows}) > 10
    for name, values in EACH.items():
        for value in values:
            await check(collection, {name: value}, 50)


@examples(40)
@given(filter_=st.fixed_dictionaries({}, optional=FIELDS), size=st.integers(5, 40))
async def test_filters_combined_equal_brute_force(collection: Collection, filter_: dict[str, Any], size: int) -> None:
    await check(collection, filter_, size)


async def test_a_filter_that_can_match_nothing_sensible_is_refused(service: Service) -> None:
    document = "query ($filter: ExecutionFilter) { executions(filter: $filter) { totalCount } }"
    of_execution = "RXhlY3V0aW9uOjAxOTQ3YjBlLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMA"
    refused = {
        "filter.status: is empty; leave it out instead": {"status": []},
        "filter.errorKind: is empty; leave it out instead": {"errorKind": []},
        "filter.flowId: is empty; leave it out instead": {"flowId": []},
        "filter.server: is empty; leave it out instead": {"server": []},
        "filter.param: is empty; leave it out instead": {"param": []},
        "filter.server: has 101 values, at most 100": {"server": ["x"] * 101},
        "filter.text: 501 characters, at most 500": {"text": "x" * 501},
        "filter.traceId: 501 characters, at most 500": {"traceId": "x" * 501},
        "filter.durationMsAtLeast: must lie between 0 and 100000000000000": {"durationMsAtLeast": -1},
        "filter.flowId: not an id of this service": {"flowId": ["nonsense"]},
        "filter.flowId: the id is one of Execution, where one of Flow is needed": {"flowId": [of_execution]},
    }
    told = {(await error_of(service, document, filter=filter_))["message"]: filter_ for filter_ in refused.values()}
    assert told == refused
    for filter_ in refused.values():
        assert (await error_of(service, document, filter=filter_))["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_filter_never_reaches_beyond_the_flow_it_is_asked_of(service: Service) -> None:
    ours, theirs = str(uuid7()), str(uuid7())
    await send(service, started(ours, tool="ship"), started(theirs, tool="pack"))
    flow = (await register(service, {"toolName": "pack"}))[0]
    document = """query ($filter: ExecutionFilter) {
      flow(by: {tool: {server: "orders", toolName: "ship"}}) { executions(filter: $filter) { totalCount edges { node { uuid } } } }
    }"""
    for filter_, expected in (({"flowId": [flow["id"]]}, []), ({"server": ["orders"]}, [ours]), ({"status": ["PENDING"]}, [ours])):
        response = await service.execute(document, {"filter": filter_})
        connection = response["data"]["flow"]["executions"]
        assert [edge["node"]["uuid"] for edge in connection["edges"]] == expected
        assert connection["totalCount"] == len(expected)
