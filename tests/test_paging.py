"""Keyset pages: of the rows that exist throughout, none is seen twice and none skipped, whatever happens meanwhile (spec 2.1)."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.httpx import HTTPXAsyncTransport
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail.database import Database
from properties import examples, fresh_server
from reader import all_ids, count, hold_deadlines, ids_of, page, purge
from recorder import Event, accept, ask, finished, started
from support import Service

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)
OF_FLOW = """
query OfFlow($server: String!, $first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter) {
  flow(by: {tool: {server: $server, toolName: "ship"}}) {
    executions(first: $first, after: $after, last: $last, before: $before, filter: $filter) {
      edges { cursor node { uuid status } }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""


class History:
    """The executions of one server as a test made them, so that it knows what a reader must see."""

    def __init__(self, service: Service, database: Database) -> None:
        self.server = fresh_server()
        self.started_at: dict[str, datetime] = {}
        self.pending: set[str] = set()
        self.purged: set[str] = set()
        self._service = service
        self._database = database

    async def add(self, *offsets: float) -> list[str]:
        """Start executions, so many seconds after BASE each."""
        ids = [str(uuid7()) for _ in offsets]
        self.started_at |= {id_: BASE + timedelta(seconds=offset) for id_, offset in zip(ids, offsets, strict=True)}
        self.pending |= set(ids)
        events = [started(id_, server=self.server, at=self.started_at[id_]) for id_ in ids]
        for begin in range(0, len(events), 1000):
            await accept(self._service, *events[begin : begin + 1000])
        await hold_deadlines(self._database, *ids)
        return ids

    async def end(self, *ids: str) -> None:
        events: list[Event] = [finished(id_, at=self.started_at[id_] + timedelta(seconds=1)) for id_ in ids if id_ in self.pending]
        self.pending -= set(ids)
        await accept(self._service, *events)

    async def purge(self, *ids: str) -> None:
        ids = tuple(id_ for id_ in ids if id_ not in self.purged)
        assert await purge(self._database, ids) == len(ids)
        self.purged |= set(ids)
        self.pending -= set(ids)

    @property
    def newest_first(self) -> list[str]:
        alive = [id_ for id_ in self.started_at if id_ not in self.purged]
        return sorted(alive, key=lambda id_: (self.started_at[id_], uuid.UUID(id_)), reverse=True)


@pytest.fixture
def history(service: Service, database: Database) -> History:
    return History(service, database)


async def flow_page(service: Service, server: str, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await ask(service, OF_FLOW, server=server, **arguments))["flow"]["executions"]
    return found


CHANGES = st.lists(
    st.tuples(st.sampled_from(["add", "end", "purge"]), st.integers(0, 40)),
    max_size=4,
)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@examples(25)
@given(
    offsets=st.lists(st.integers(0, 12), min_size=1, max_size=25),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6),
    between=st.lists(CHANGES, min_size=1, max_size=8),
)
async def test_pages_hold_every_row_that_stays_exactly_once(
    service: Service,
    database: Database,
    backward: bool,
    offsets: list[int],
    sizes: list[int],
    between: list[list[tuple[str, int]]],
) -> None:
    history = History(service, database)
    there_from_the_start = set(await history.add(*offsets))
    size, cursor = ("last", "before") if backward else ("first", "after")
    arguments: dict[str, Any] = {}
    seen: list[str] = []
    for number in range(1000):
        found = await flow_page(service, history.server, **arguments, **{size: sizes[number % len(sizes)]})
        ids = ids_of(found)
        seen += ids[::-1] if backward else ids
        info = found["pageInfo"]
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            break
        arguments = {cursor: info["startCursor" if backward else "endCursor"]}
        for change, which in between[number] if number < len(between) else []:
            alive = history.newest_first
            if change == "add" or not alive:
                await history.add(which / 3)
            else:
                await (history.end if change == "end" else history.purge)(alive[which % len(alive)])
    assert len(seen) == len(set(seen))
    stayed = [id_ for id_ in history.newest_first if id_ in there_from_the_start]
    expected = stayed[::-1] if backward else stayed
    assert [id_ for id_ in seen if id_ in set(stayed)] == expected


async def test_executions_of_the_same_microsecond_have_one_order(history: History, service: Service) -> None:
    await history.add(*[5.000001] * 30, *[5] * 10)
    assert await all_ids(service, first=7) == await all_ids(service, backward=True, last=9) == history.newest_first
    assert await all_ids(service, first=100) == history.newest_first


async def test_a_page_tells_what_lies_on_either_side(history: History, service: Service) -> None:
    ids = (await history.add(*range(5)))[::-1]

    async def sides(**arguments: Any) -> tuple[list[int], bool, bool]:
        found = await page(service, **arguments)
        info = found["pageInfo"]
        cursors = [edge["cursor"] for edge in found["edges"]]
        assert (info["startCursor"], info["endCursor"]) == ((cursors[0], cursors[-1]) if cursors else (None, None))
        return [ids.index(id_) for id_ in ids_of(found)], info["hasPreviousPage"], info["hasNextPage"]

    cursors = [edge["cursor"] for edge in (await page(service))["edges"]]
    assert await sides() == ([0, 1, 2, 3, 4], False, False)
    assert await sides(first=5) == ([0, 1, 2, 3, 4], False, False)
    assert await sides(first=2) == ([0, 1], False, True)
    assert await sides(first=2, after=cursors[1]) == ([2, 3], True, True)
    assert await sides(first=2, after=cursors[2]) == ([3, 4], True, False)
    assert await sides(first=2, after=cursors[4]) == ([], True, False)
    assert await sides(last=2) == ([3, 4], True, False)
    assert await sides(last=2, before=cursors[3]) == ([1, 2], True, True)
    assert await sides(last=2, before=cursors[2]) == ([0, 1], False, True)
    assert await sides(last=2, before=cursors[0]) == ([], False, True)
    assert await sides(first=2, after=cursors[0], before=cursors[4]) == ([1, 2], True, True)
    assert await sides(first=9, after=cursors[0], before=cursors[4]) == ([1, 2, 3], True, False)
    assert await sides(last=2, after=cursors[0], before=cursors[4]) == ([2, 3], True, True)
    assert await sides(first=0) == ([], False, True)
    assert await sides(last=0, before=cursors[2]) == ([], True, True)


async def test_a_page_has_20_rows_unless_asked_and_at_most_100(history: History, service: Service) -> None:
    await history.add(*range(110))
    assert ids_of(await page(service)) == history.newest_first[:20]
    assert ids_of(await page(service, first=100)) == history.newest_first[:100]
    assert ids_of(await page(service, last=100)) == history.newest_first[-100:]
    assert ids_of(await flow_page(service, history.server)) == history.newest_first[:20]


async def test_a_cursor_outlives_its_row(history: History, service: Service) -> None:
    ids = (await history.add(*range(6)))[::-1]
    cursors = [edge["cursor"] for edge in (await page(service))["edges"]]
    await history.purge(ids[0], ids[1], ids[2])
    following = await page(service, first=2, after=cursors[2])
    assert ids_of(following) == ids[3:5]
    assert following["pageInfo"]["hasPreviousPage"] is False
    assert ids_of(await page(service, last=2, before=cursors[2])) == []


async def test_a_cursor_of_one_connection_works_in_another(history: History, service: Service) -> None:
    ids = (await history.add(*range(6)))[::-1]
    cursor = (await page(service, first=2))["pageInfo"]["endCursor"]
    assert ids_of(await flow_page(service, history.server, first=2, after=cursor)) == ids[2:4]
    await history.end(ids[4])
    filtered = await page(service, after=cursor, filter={"status": ["FULFILLED"]})
    assert ids_of(filtered) == [ids[4]]


async def test_new_rows_do_not_shift_what_is_paged(history: History, service: Service) -> None:
    ids = (await history.add(*range(6)))[::-1]
    first = await page(service, first=3)
    newer = await history.add(100, 101)
    assert ids_of(await page(service, first=3, after=first["pageInfo"]["endCursor"])) == ids[3:]
    assert ids_of(await page(service, last=5, before=first["pageInfo"]["startCursor"])) == newer[::-1]


def churned(history: History, rng: random.Random) -> Iterator[tuple[str, Any]]:
    """An endless choice of what to change next."""
    while True:
        alive = history.newest_first
        kind = rng.choice(["add", "end", "purge"])
        yield kind, rng.uniform(-100, 100) if kind == "add" else rng.choice(alive)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
async def test_a_client_library_meets_each_that_stayed_while_others_come_change_and_go(
    history: History, service: Service, backward: bool
) -> None:
    there_from_the_start = set(await history.add(*[number / 20 for number in range(600)]))
    arguments: dict[str, Any] = {"server": history.server, "last" if backward else "first": 25}
    changes, seen = churned(history, random.Random(7)), []
    document = gql(OF_FLOW)
    async with Client(transport=HTTPXAsyncTransport(url=service.graphql_url), fetch_schema_from_transport=False) as client:
        while True:
            document.variable_values = arguments
            found = (await client.execute(document))["flow"]["executions"]
            seen += ids_of(found)[::-1] if backward else ids_of(found)
            info = found["pageInfo"]
            if not info["hasPreviousPage" if backward else "hasNextPage"]:
                break
            arguments["before" if backward else "after"] = info["startCursor" if backward else "endCursor"]
            for _ in range(4):
                kind, what = next(changes)
                await getattr(history, kind)(what)
    stayed = [id_ for id_ in history.newest_first if id_ in there_from_the_start]
    assert len(stayed) < 600
    assert len(seen) == len(set(seen))
    assert [id_ for id_ in seen if id_ in set(stayed)] == (stayed[::-1] if backward else stayed)
    assert await count(service, server=[history.server]) == len(history.newest_first)
