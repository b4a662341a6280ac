"""A spool keeps events in order until they are received, within its limit, and knows what was left."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowtrail.mcp.spool import IN_MEMORY, Spool
from flowtrail.mcp.spooled import Event, EventKind, Refusal
from properties import examples

LIMIT = 1_000_000


@pytest.fixture(params=["disk", "memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "0.sqlite3" if request.param == "disk" else IN_MEMORY, LIMIT)
    with closing(opened):
        yield opened


def call(spool: Spool, name: str, *, size: int = 10) -> int:
    """Put a whole call in and return its number."""
    number = spool.begin(name, "orders", 1, f'"{name} starts{"." * size}"')
    spool.append(number, EventKind.FINISHED, 2, f'"{name} ends"')
    return number


def drain(spool: Spool, *, most_events: int = 1000, most_bytes: int = LIMIT) -> list[list[Event]]:
    batches = []
    while batch := spool.batch(most_events, most_bytes):
        spool.mark_begun(batch)
        spool.settle(batch, {})
        batches.append(batch)
    return batches


def test_events_of_an_execution_stay_together_in_the_order_of_starts(spool: Spool) -> None:
    first = spool.begin("first", "orders", 1, '"a"')
    second = spool.begin("second", "orders", 2, '"b"')
    spool.append(second, EventKind.FINISHED, 3, '"c"')
    spool.append(first, EventKind.FINISHED, 4, '"d"')
    [batch] = drain(spool)
    assert [event.body for event in batch] == ['"a"', '"d"', '"b"', '"c"']
    assert spool.is_empty


def test_a_batch_ends_with_a_whole_execution(spool: Spool) -> None:
    for name in ("one", "two", "three"):
        call(spool, name)
    batches = drain(spool, most_events=3)
    assert [len(batch) for batch in batches] == [2, 2, 2]


def test_one_execution_that_is_larger_than_a_batch_is_sent_in_parts(spool: Spool) -> None:
    number = spool.begin("long", "orders", 1, '"start"')
    for position in range(7):
        spool.append(number, EventKind.NODE_STARTED, 2, f'"{position}"')
    assert [len(batch) for batch in drain(spool, most_events=3)] == [3, 3, 2]


def test_an_event_larger_than_a_batch_is_sent_alone(spool: Spool) -> None:
    call(spool, "large", size=5000)
    call(spool, "small")
    assert [len(batch) for batch in drain(spool, most_bytes=1000)] == [1, 3]


@examples(30)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 400)), max_size=60), st.integers(1, 20), st.integers(50, 2000))
def test_every_event_is_sent_once_and_in_order(steps: list[tuple[int, int]], most_events: int, most_bytes: int) -> None:
    with closing(Spool(IN_MEMORY, LIMIT)) as spool:
        numbers: dict[int, int] = {}
        expected: dict[int, list[str]] = {}
        for execution, size in steps:
            body = f'"{execution} {len(expected.get(execution, []))} {"x" * size}"'
            if execution not in numbers:
                numbers[execution] = spool.begin(str(execution), "orders", 1, body)
            else:
                spool.append(numbers[execution], EventKind.NODE_STARTED, 1, body)
            expected.setdefault(execution, []).append(body)
        sent: dict[int, list[str]] = {}
        for batch in drain(spool, most_events=most_events, most_bytes=most_bytes):
            assert len(batch) == 1 or (len(batch) <= most_events and sum(len(event.body) + 1 for event in batch) <= most_bytes + 1)
            for event in batch:
                sent.setdefault(event.execution, []).append(event.body)
        assert sent == {numbers[execution]: bodies for execution, bodies in expected.items()}


def test_the_oldest_executions_nobody_began_to_send_give_way(spool: Spool) -> None:
    call(spool, "begun", size=100_000)
    spool.mark_begun(spool.batch(1000, LIMIT))
    for index in range(30):
        call(spool, f"call {index}", size=100_000)
    bodies = [event.body for batch in drain(spool) for event in batch]
    assert bodies[0].startswith('"begun starts')
    assert bodies[-1] == '"call 29 ends"'
    [dropped] = spool.dropped()
    assert len(bodies) == 2 * (31 - dropped.executions)
    assert sum(map(len, bodies)) <= LIMIT


def test_later_events_of_an_execution_that_gave_way_are_ignored(spool: Spool) -> None:
    first = spool.begin("first", "orders", 1, '"a"')
    spool.begin("second", "orders", 1, f'"{"x" * LIMIT}"')
    assert spool.append(first, EventKind.FINISHED, 2, '"b"') is False
    assert [(dropped.server, dropped.executions) for dropped in spool.dropped()] == [("orders", 1)]


def test_refused_events_are_kept_with_their_reason_and_can_be_put_back(spool: Spool) -> None:
    call(spool, "bad")
    batch = spool.batch(10, LIMIT)
    spool.mark_begun(batch)
    spool.settle(batch, {event.sequence: Refusal("CONFLICT", "because") for event in batch})
    assert spool.is_empty
    assert [(letter.execution_id, letter.kind, letter.reason) for letter in spool.dead_letters()] == [
        ("bad", EventKind.STARTED, "because"),
        ("bad", EventKind.FINISHED, "because"),
    ]
    assert spool.resurrect() == 2
    assert [event.body for batch in drain(spool) for event in batch] == [event.body for event in batch]
    assert spool.is_empty
    assert spool.dead_letters() == []


def test_what_runs_is_known_with_its_last_sign_of_life_even_after_its_events_were_sent(spool: Spool) -> None:
    number = spool.begin("running", "orders", 100, '"start"')
    spool.append(number, EventKind.NODE_STARTED, 250, '"node"')
    assert spool.running() == [(number, "running", 250)]
    drain(spool)
    assert spool.running() == [(number, "running", 250)]
    spool.append(number, EventKind.FINISHED, 300, '"end"')
    assert spool.running() == []


def test_events_survive_a_process_that_never_closed_its_file(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite3"
    abandoned = Spool(path, LIMIT)
    call(abandoned, "kept")
    with closing(Spool(path, LIMIT)) as reopened:
        assert len(reopened.batch(10, LIMIT)) == 2
    abandoned.close()


def test_an_event_that_the_disk_changed_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite3"
    with closing(Spool(path, LIMIT)) as spool:
        call(spool, "flipped")
    path.write_bytes(path.read_bytes().replace(b"flipped starts", b"flipped stars!", 1))
    with closing(Spool(path, LIMIT)) as spool:
        assert [event.is_damaged for event in spool.batch(10, LIMIT)] == [True, False]


def test_a_damaged_file_is_salvaged_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sqlite3"
    with closing(Spool(damaged, 100_000_000)) as spool:
        for index in range(300):
            call(spool, f"call {index}", size=2000)
    content = bytearray(damaged.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\xff" * 8192
    damaged.write_bytes(content)
    with closing(Spool(tmp_path / "0.sqlite3", 100_000_000)) as spool:
        spool.salvage(damaged)
        bodies = {event.body for batch in drain(spool, most_bytes=10_000_000) for event in batch}
        assert '"call 0 ends"' in bodies
        assert '"call 299 ends"' in bodies
        assert 400 < len(bodies) < 600


def test_a_full_disk_raises_and_keeps_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "0.sqlite3"
    with closing(Spool(path, LIMIT)) as spool:
        call(spool, "kept")
        # What a full disk does: SQLite can't add a page.
        spool._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError):
            call(spool, "lost", size=100_000)
        assert [event.body for event in spool.batch(10, LIMIT)][-1] == '"kept ends"'


def test_what_a_disk_does_not_let_us_remove_is_not_sent_again_and_the_file_begins_anew(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "0.sqlite3", LIMIT)) as spool:
        spool.describe(instance="lasting")
        running = spool.begin("running", "orders", 1, '"starts"')
        for index in range(5):
            call(spool, f"call {index}", size=1000)
        before = (tmp_path / "0.sqlite3-wal").stat().st_size
        # As on a disk that is full or was mounted read-only: nothing can be written any more.
        spool._connection.execute("PRAGMA query_only = 1")
        sent = [event.body for batch in drain(spool, most_events=4) for event in batch]
        assert len(sent) == len(set(sent)) == 11
        assert (tmp_path / "0.sqlite3-wal").stat().st_size < before
        assert spool.about() == {"instance": "lasting"}
        assert [execution_id for _, execution_id, _ in spool.running()] == ["running"]
        assert spool.append(running, EventKind.FINISHED, 2, '"ends"')
        assert [event.body for batch in drain(spool) for event in batch] == ['"ends"']
        assert spool.is_empty


def test_a_disk_that_can_be_written_again_has_what_was_received_removed(tmp_path: Path) -> None:
    with closing(Spool(tmp_path / "0.sqlite3", LIMIT)) as spool:
        for index in range(6):
            call(spool, f"call {index}")
        spool._connection.execute("PRAGMA query_only = 1")
        first = spool.batch(4, LIMIT)
        spool.mark_begun(first)
        spool.settle(first, {})
        spool._connection.execute("PRAGMA query_only = 0")
        rest = [event.body for batch in drain(spool) for event in batch]
        assert len(rest) == 8
        assert not {event.body for event in first} & set(rest)
        assert spool.is_empty
