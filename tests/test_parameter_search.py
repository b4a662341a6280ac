"""Searching by a parameter: what is found, what equals what, and where it ends (spec 2.2, 4.7).

Parameters combined with every other filter are in test_reading_filters.
"""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from hypothesis import given
from hypothesis import strategies as st

from flowtrail import tokens
from flowtrail.database import Database
from flowtrail.pagination import Position
from flowtrail.parameters import MAX_DEPTH, MAX_LENGTH, MAX_VALUES, NotSearchable, digests_of, searched_digest
from history import History
from properties import examples
from reader import PAGE, all_ids, count, ids_of, purge
from recorder import accept, ask, error_of, finished, register, started
from support import Service
from test_counts import ask_to_delete

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)
OF_FLOW = """
query OfFlow($filter: ExecutionFilter) {
  flow(by: {tool: {server: "orders", toolName: "ship"}}) {
    executions(first: 3, filter: $filter) {
      totalCount totalCountIsExact hasPendingExecutions searchIsComplete
      pageInfo { hasNextPage } edges { node { uuid } }
      pageCursors { last { page } around { page isCurrent } }
    }
  }
}"""
StartService = Callable[..., Any]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=4), inside, max_size=4), max_leaves=12
)


async def record(service: Service, *params: Any, **more: Any) -> list[str]:
    """Record one execution for each of the parameters, a second apart, and return their ids."""
    events = [started(at=BASE + timedelta(seconds=second), params=each, **more) for second, each in enumerate(params)]
    await accept(service, *events)
    return [event["started"]["executionId"] for event in events]


async def found(service: Service, *wanted: tuple[str, Any], **more: Any) -> list[str]:
    """Return what is found by any of (path, value), newest first, having compared the pages both ways and the total."""
    filter_ = {"param": [{"path": path, "value": value} for path, value in wanted], **more}
    ids = await all_ids(service, first=2, filter=filter_)
    assert ids == await all_ids(service, backward=True, last=3, filter=filter_)
    assert await count(service, **filter_) == len(ids)
    return ids


def places(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Every value inside a value, with its pointer."""
    yield path, value
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inside:
        yield from places(item, f"{path}/{str(name).replace('~', '~0').replace('/', '~1')}", depth + 1)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as JSON."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(type(one) is type(other) or {type(one), type(other)} == {int, float}) and one == other


@examples(150)
@given(VALUES, VALUES)
def test_a_value_is_found_by_each_of_its_places_and_by_nothing_else(params: Any, other: Any) -> None:
    inside = list(places(params))
    kept = set(digests_of(params))
    if len(inside) > MAX_VALUES or any(path.count("/") > MAX_DEPTH for path, _ in inside):
        assert len(kept) <= MAX_VALUES
        return
    assert kept == {searched_digest(path, value) for path, value in inside}
    for path, value in inside:
        assert (searched_digest(path, other) in kept) == same(value, other)


@examples(100)
@given(VALUES, VALUES)
def test_values_have_one_digest_if_they_are_equal(one: Any, other: Any) -> None:
    assert (searched_digest("", one) == searched_digest("", other)) == same(one, other)
    assert searched_digest("", [one]) != searched_digest("", one) != searched_digest("/0", one)


async def test_numbers_strings_and_truth_are_told_apart(service: Service) -> None:
    values: list[Any] = [
        1,
        1.0,
        1e0,
        "1",
        True,
        "true",
        2**70,
        str(2**70),
        2.0**70,
        2**70 + 1,
        0,
        -0.0,
        False,
        "",
        "a\0b",
        "a\ud800",
    ]
    ids = await record(service, *({"value": value} for value in values))
    for value in values:
        expected = [id_ for id_, other in zip(ids, values, strict=True) if same(value, other)]
        assert await found(service, ("/value", value)) == expected[::-1], value
    inline = """{ executions(filter: {param: [{path: "/value", value: 1.00}]}) { totalCount } }"""
    assert await ask(service, inline) == {"executions": {"totalCount": 3}}


async def test_arrays_and_objects_are_found_whole_and_by_their_parts(service: Service) -> None:
    ids = await record(
        service,
        {"order": {"id": 7, "tags": ["a", "b"]}, "a/b": {"~": 1}},
        {"order": {"tags": ["a", "b"], "id": 7.0}},
        {"order": {"tags": ["b", "a"]}},
        ["order"],
        {},
    )
    assert await found(service, ("/order", {"tags": ["a", "b"], "id": 7})) == [ids[1], ids[0]]
    assert await found(service, ("/order/tags", ["b", "a"])) == [ids[2]]
    assert await found(service, ("/order/tags/0", "a")) == [ids[1], ids[0]]
    assert await found(service, ("/a~1b/~0", 1)) == [ids[0]]
    assert await found(service, ("/0", "order"), ("", {})) == [ids[4], ids[3]]
    assert await found(service, ("/order/tags/0", "a"), ("/order/id", 7), ("/order/tags/1", "a")) == [ids[2], ids[1], ids[0]]
    assert await found(service, ("/order/tags", "a"), ("/tags", ["a", "b"]), ("/order/tags/00", "a")) == []


async def test_a_search_reaches_every_flow_even_deleted_and_unknown_ones_or_just_those_named(service: Service) -> None:
    ship, pack, idle = await register(service, *({"toolName": name} for name in ("ship", "pack", "idle")))
    params = {"order": 17}
    ids = [(await record(service, params, tool=tool, toolExists=tool != "gone"))[0] for tool in ("ship", "pack", "gone", "ship")]
    await record(service, {"order": 18})
    newest_first = sorted(ids, reverse=True)
    assert await found(service, ("/order", 17)) == newest_first
    await ask_to_delete(service, pack["id"])
    assert await found(service, ("/order", 17)) == newest_first
    assert await found(service, ("/order", 17), flowId=[pack["id"], idle["id"]]) == [ids[1]]
    assert await found(service, ("/order", 17), flowDeleted=True) == [ids[1]]
    assert await found(service, ("/order", 17), flowId=[ship["id"]], startedAt={"to": BASE.isoformat()}) == []


async def test_a_flow_finds_its_own_and_its_page_bar_counts_what_is_found(service: Service) -> None:
    ids = await record(service, *({"order": number % 3} for number in range(24)))
    await record(service, {"order": 1}, tool="pack")
    await accept(service, *(finished(id_, at=BASE + timedelta(minutes=1)) for id_ in ids[:20]))
    matching = ids[1::3][::-1]

    async def asked(**more: Any) -> Any:
        return (await ask(service, OF_FLOW, filter={"param": [{"path": "/order", "value": 1}], **more}))["flow"]["executions"]

    page = await asked()
    assert ids_of(page) == matching[:3]
    assert (page["totalCount"], page["totalCountIsExact"], page["searchIsComplete"]) == (8, True, True)
    assert page["pageCursors"]["last"] == {"page": 3}
    assert page["hasPendingExecutions"]
    page = await asked(status=["PENDING"], text="order: 1")
    assert (ids_of(page), page["totalCount"], page["pageInfo"]["hasNextPage"]) == (matching[:1], 1, False)


async def test_what_is_purged_is_found_no_more(service: Service, database: Database) -> None:
    ids = await record(service, {"order": 1}, {"order": 1})
    await purge(database, ids[:1])
    assert await found(service, ("/order", 1)) == ids[1:]
    async with database.read() as read:
        left = {str(row["execution_id"]) for row in await read.fetch("SELECT execution_id FROM execution_parameter")}
    assert left == {ids[1]}


async def test_a_batch_sent_again_is_found_once(service: Service) -> None:
    event = started(params={"order": 1}, at=BASE)
    for _ in range(2):
        await service.execute(
            "mutation ($input: RecordEventsInput!) { recordEvents(input: $input) { serverTime } }",
            {"input": {"sentAt": BASE.isoformat(), "events": [event]}},
            token=service.record_token,
        )
    assert await found(service, ("/order", 1)) == [event["started"]["executionId"]]


async def test_what_an_execution_is_found_by_is_bounded(service: Service) -> None:
    wide = {f"name-{number}": number for number in range(2 * MAX_VALUES)}
    deep: Any = "bottom"
    for _ in range(MAX_DEPTH):
        deep = {"in": deep}
    (id_,) = await record(service, {**wide})
    assert await found(service, ("/name-0", 0)) == await found(service, (f"/name-{MAX_VALUES - 2}", MAX_VALUES - 2)) == [id_]
    assert await found(service, (f"/name-{MAX_VALUES - 1}", MAX_VALUES - 1)) == []
    long = "x" * (MAX_LENGTH - 2)
    (id_,) = await record(service, {"first": {"inside": [1]}, "deep": deep["in"], "long": long, "longer": long + "x"})
    assert await found(service, ("/deep" + "/in" * (MAX_DEPTH - 1), "bottom")) == await found(service, ("/long", long)) == [id_]
    assert len(digests_of([[[number] * 10] * 100 for number in range(1000)])) <= MAX_VALUES


async def test_what_nothing_can_be_found_by_is_refused(service: Service) -> None:
    document = "query ($param: [ParamFilter!]) { executions(filter: {param: $param}) { totalCount } }"
    for path, value, message in (
        ("city", 1, "path: not an RFC 6901 pointer, as /city or /items/0/name"),
        ("/a~2b", 1, "path: not an RFC 6901 pointer, as /city or /items/0/name"),
        ("/a" * 6, 1, "path: leads through more than 5 levels, deeper than is searched"),
        ("/a", "x" * 999, "value: its JSON text has more than 1000 characters, longer than is searched"),
        ("/a", [[1] * 600], "value: its JSON text has more than 1000 characters, longer than is searched"),
    ):
        error = await error_of(service, document, param=[{"path": "/city", "value": 1}, {"path": path, "value": value}])
        assert (error["message"], error["extensions"]["code"]) == (f"filter.param[1].{message}", "BAD_USER_INPUT")
    with pytest.raises(NotSearchable):
        searched_digest("/", "x" * math.ceil(MAX_LENGTH))


async def test_a_search_that_stops_at_its_bound_goes_on_from_there(service: Service, bound_scans: Callable[[int], None]) -> None:
    bound_scans(10)
    ids = await record(service, *({"city": "Oslo"} for _ in range(45)))
    failed = [ids[30], ids[2]]
    await accept(service, *(finished(id_, at=BASE + timedelta(minutes=1), error="EXCEPTION") for id_ in failed))
    document = f"{PAGE.replace('{ ...Page }', '{ ...Page searchIsComplete totalCountIsExact }')}"
    filter_ = {"param": [{"path": "/city", "value": "Oslo"}], "errorKind": ["EXCEPTION"]}
    seen: list[str] = []
    read, after = 0, None
    while True:
        page = (await ask(service, document, first=5, after=after, filter=filter_))["executions"]
        seen, read, after = seen + ids_of(page), read + 1, page["pageInfo"]["endCursor"]
        assert page["totalCountIsExact"] is False
        assert page["searchIsComplete"] is not page["pageInfo"]["hasNextPage"]
        if page["searchIsComplete"]:
            break
    assert (seen, read) == (failed, 5)
    del filter_["errorKind"]
    assert await all_ids(service, first=7, filter=filter_) == ids[::-1]
    assert await count(service, **filter_) == 45


async def test_a_secret_is_not_found_by_its_value(service: Service, tmp_path: Any) -> None:
    history = History(service, tmp_path / "spool")
    mcp = FastMCP("vault", middleware=[history.tracking()])

    @mcp.tool
    def open_door(password: str, door: str) -> str:
        return door

    async with Client(mcp) as client:
        await client.call_tool("open_door", {"password": "correct horse", "door": "front"})
    execution = await history.execution()
    assert await found(service, ("/door", "front")) == [execution["uuid"]]
    assert await found(service, ("/password", "correct horse")) == []
    assert await found(service, ("", {"password": "correct horse", "door": "front"})) == []


async def test_a_reader_of_one_server_finds_and_learns_nothing_of_others(
    service: Service, database: Database, bound_scans: Callable[[int], None]
) -> None:
    bound_scans(2)
    async with database.write() as write:
        token = await tokens.create(write, "desk", "read", ("orders",))
    ours = await record(service, *({"order": 1} for _ in range(5)), server="orders")
    ours += await record(service, {"order": 1}, server="orders", tool="gone", toolExists=False)
    for more in ({}, {"toolExists": False, "tool": "gone"}):
        await record(service, *({"order": 1} for _ in range(9)), server="depot", **more)
    newest_first = [ours[4], ours[3], ours[2], ours[1], max(ours[0], ours[5]), min(ours[0], ours[5])]
    document = f"{PAGE.replace('{ ...Page }', '{ ...Page totalCount searchIsComplete }')}"
    for more_filters, expected in (({}, newest_first), ({"isPreview": False}, newest_first), ({"isPreview": True}, [])):
        seen: list[str] = []
        after = None
        filter_ = {"param": [{"path": "/order", "value": 1}], **more_filters}
        while True:
            response = await service.execute(document, {"first": 4, "after": after, "filter": filter_}, token=token)
            page = response["data"]["executions"]
            seen += ids_of(page)
            after = page["pageInfo"]["endCursor"]
            if after is not None:
                assert str(Position.decode(after).id) in ours
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert seen == expected
