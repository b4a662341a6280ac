"""Page bars: every numbered page is the one that counting by hand gives, at any rank, while rows come, end and go (spec 2.3)."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from flowtrail import page_cursors
from flowtrail.database import Database
from reader import PAGE, ids_of, page, pages, pass_deadline
from recorder import accept, ask, finished, started
from support import Service
from test_paging import BASE, History

BAR = """
fragment Cursor on PageCursor { cursor page isCurrent }
fragment Bar on ExecutionConnection {
  edges { node { uuid } }
  pageCursors { first { ...Cursor } around { ...Cursor } last { ...Cursor } previous { ...Cursor } next { ...Cursor } }
}"""
ROOT = f"""{BAR}
query Root($first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter) {{
  executions(first: $first, after: $after, last: $last, before: $before, filter: $filter) {{ ...Bar }}
}}"""
OF_FLOW = f"""{BAR}
query OfFlow($server: String!, $first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter) {{
  flow(by: {{tool: {{server: $server, toolName: "ship"}}}}) {{
    executions(first: $first, after: $after, last: $last, before: $before, filter: $filter) {{ ...Bar }}
  }}
}}"""


async def bar(service: Service, server: str | None, **arguments: Any) -> dict[str, Any]:
    """Return a page with its bar: of one server's flow, or of all executions."""
    found: dict[str, Any]
    if server is None:
        found = (await ask(service, ROOT, **arguments))["executions"]
    else:
        found = (await ask(service, OF_FLOW, server=server, **arguments))["flow"]["executions"]
    return found


async def check_bar(service: Service, server: str | None, expected: list[str], rank: int, size: int, **arguments: Any) -> None:
    """Ask for the page that starts at `rank` and compare its whole bar with the list of all ids."""
    cursor_of: dict[str, str] = {}
    async for each in pages(service, first=100, filter=arguments.get("filter")):
        cursor_of |= {edge["node"]["uuid"]: edge["cursor"] for edge in each["edges"]}
    after = cursor_of[expected[rank - 1]] if rank else None
    found = await bar(service, server, first=size, after=after, **arguments)
    assert ids_of(found) == expected[rank : rank + size]

    async def rows_of(entry: dict[str, Any]) -> list[str]:
        return ids_of(await bar(service, server, first=size, after=entry["cursor"], **arguments))

    cursors, current, last = found["pageCursors"], rank // size + 1, -(-len(expected) // size)
    assert [entry["page"] for entry in cursors["around"]] == list(range(max(1, current - 2), min(current + 2, last) + 1))
    assert (cursors["first"]["page"], cursors["first"]["cursor"], cursors["last"]["page"]) == (1, None, last)
    for entry in (*cursors["around"], cursors["last"]):
        assert entry["isCurrent"] == (entry["page"] == current)
        assert await rows_of(entry) == expected[(entry["page"] - 1) * size : entry["page"] * size]
    if rank + size < len(expected):
        assert (cursors["next"]["page"], await rows_of(cursors["next"])) == (current + 1, expected[rank + size : rank + 2 * size])
    else:
        assert cursors["next"] is None
    if rank > 0:
        assert cursors["previous"]["page"] == max(1, current - 1)
        assert await rows_of(cursors["previous"]) == expected[max(0, rank - size) : max(0, rank - size) + size]
    else:
        assert cursors["previous"] is None


@pytest.mark.parametrize("fold_interval", [None, 0.02], ids=["unfolded", "folding"])
async def test_page_bars_agree_with_brute_force_at_random_ranks_while_rows_arrive(
    start_service: Any, database: Database, fold_interval: float | None
) -> None:
    service = await start_service(fold_interval=fold_interval, sweep_interval=None)
    rng, history = random.Random(11), History(service, database)
    spans = (1, 60, 3600, 86_400, 40 * 86_400)
    overdue: set[str] = set()
    await history.add(*[rng.choice(spans) * rng.uniform(-1, 1) for _ in range(150)])
    for _ in range(8):
        await history.add(*[rng.choice(spans) * rng.uniform(-1, 1) for _ in range(5)])
        await history.end(*rng.sample(sorted(history.pending - overdue), 4))
        await history.purge(*rng.sample(history.newest_first, 2))
        overdue |= set(rng.sample(sorted(history.pending), 1))
        await pass_deadline(database, *overdue)
        pending, late = history.pending - overdue, history.pending & overdue
        ended = set(history.newest_first) - history.pending
        status, matching = rng.choice(
            [
                (None, set(history.newest_first)),
                (["PENDING"], pending),
                (["FULFILLED"], ended),
                (["ERROR"], late),
                (["FULFILLED", "PENDING"], pending | ended),
            ]
        )
        expected = [id_ for id_ in history.newest_first if id_ in matching]
        filter_ = {"filter": {"status": status}} if status else {}
        server = rng.choice([None, history.server])
        await check_bar(service, server, expected, rng.randrange(len(expected)), rng.choice([1, 3, 7, 20]), **filter_)


async def test_other_filters_have_page_bars_too(service: Service, database: Database) -> None:
    history = History(service, database)
    ids = await history.add(*range(40))
    await accept(service, *(finished(id_, at=history.started_at[id_], error="EXCEPTION") for id_ in ids[::2]))
    await check_bar(service, None, ids[::2][::-1], 7, 3, filter={"errorKind": ["EXCEPTION"]})
    await check_bar(service, history.server, ids[::-1], 12, 5, filter={"text": "SHIP"})


async def test_preview_executions_have_page_bars_of_their_own(service: Service) -> None:
    events = [started(at=BASE.replace(minute=number), isPreview=number % 3 == 0) for number in range(30)]
    await accept(service, *events)
    previews = [event["started"]["executionId"] for event in events if event["started"]["isPreview"]][::-1]
    await check_bar(service, "orders", previews, 4, 3, filter={"isPreview": True})


async def test_an_empty_page_still_says_how_to_go_on(service: Service, database: Database) -> None:
    history = History(service, database)
    nothing = (await bar(service, None))["pageCursors"]
    assert (nothing["previous"], nothing["next"], nothing["last"]["page"]) == (None, None, 1)
    assert [entry["page"] for entry in nothing["around"]] == [1]
    ids = (await history.add(*range(10)))[::-1]
    everything = await page(service)
    beyond = (await bar(service, None, first=4, after=everything["pageInfo"]["endCursor"]))["pageCursors"]
    assert ids_of(await bar(service, None, first=4, after=beyond["previous"]["cursor"])) == ids[6:]
    before = (await bar(service, None, last=4, before=everything["pageInfo"]["startCursor"]))["pageCursors"]
    assert before["previous"] is None
    assert (await bar(service, None, first=0))["pageCursors"] is None


async def test_beyond_the_bound_of_counting_the_cursor_carries_the_page_number(
    service: Service, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_cursors, "COUNT_BOUND", 12)
    history = History(service, database)
    ids = (await history.add(*range(30)))[::-1]
    seen, numbers, arguments = [], [], {"first": 5, "filter": {"server": [history.server]}}
    while True:
        found = await bar(service, None, **arguments)
        cursors = found["pageCursors"]
        assert cursors["last"] is None
        seen += ids_of(found)
        numbers += [entry["page"] for entry in cursors["around"] if entry["isCurrent"]]
        if cursors["next"] is None:
            break
        assert cursors["next"]["page"] == numbers[-1] + 1
        arguments["after"] = cursors["next"]["cursor"]
    assert seen == ids
    assert numbers == [1, 2, 3, 4, 5, 6]
    found_total = await ask(
        service,
        "query ($filter: ExecutionFilter) { executions(filter: $filter) { totalCount totalCountIsExact } }",
        filter={"server": [history.server]},
    )
    assert found_total["executions"] == {"totalCount": 12, "totalCountIsExact": False}


async def test_a_search_for_text_that_stops_at_its_bound_goes_on_from_there(
    service: Service, bound_scans: Callable[[int], None]
) -> None:
    bound_scans(10)
    events = [
        started(at=BASE.replace(second=number), params={"city": "Oslo" if number in (3, 40) else "Rome"}) for number in range(60)
    ]
    await accept(service, *events)
    oslo = [events[number]["started"]["executionId"] for number in (40, 3)]
    document = f"{PAGE.replace('{ ...Page }', '{ ...Page searchIsComplete totalCountIsExact }')}"
    for backward in (False, True):
        seen, pages_read, arguments = [], 0, {"filter": {"text": "oslo"}, "last" if backward else "first": 5}
        while True:
            found = (await ask(service, document, **arguments))["executions"]
            pages_read += 1
            seen += ids_of(found)
            info = found["pageInfo"]
            assert found["totalCountIsExact"] is False
            if not info["hasPreviousPage" if backward else "hasNextPage"]:
                assert found["searchIsComplete"]
                break
            assert not found["searchIsComplete"]
            arguments["before" if backward else "after"] = info["startCursor" if backward else "endCursor"]
        assert seen == (oslo[::-1] if backward else oslo)
        assert pages_read > 3
    first = (await bar(service, None, first=5, filter={"text": "oslo"}))["pageCursors"]
    assert (first["last"], first["next"]["page"], [entry["page"] for entry in first["around"]]) == (None, 2, [1])
