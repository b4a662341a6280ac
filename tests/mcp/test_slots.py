"""Each process has a file of its own in the folder, and the living take over from the dead."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flowtrail.mcp import slots
from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.spool import Spool
from flowtrail.mcp.spooled import EventKind
from flowtrail.mcp.store import Store

LIMIT = 1_000_000


@pytest.fixture
def store(configuration: Configuration) -> Iterator[Store]:
    opened = Store(configuration)
    yield opened
    opened.close()


def events(store: Store) -> list[str]:
    return [event.body for spool in store.spools() for event in spool.batch(1000, LIMIT)]


def die_with(directory: Path, *bodies: str) -> None:
    """Have another process put events in and die without a word."""
    program = (
        "import os, sys; from pathlib import Path; from flowtrail.mcp import slots\n"
        "slot = slots.claim(Path(sys.argv[1]), 1000000)\n"
        "number = slot.spool.begin('0190a000-0000-7000-8000-000000000001', 'orders', 1000000, sys.argv[2])\n"
        "[slot.spool.append(number, 1, 2500000, body) for body in sys.argv[3:]]\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(directory), *bodies], check=False)


def test_a_process_that_comes_back_finds_its_leftovers_and_closes_what_ran(configuration: Configuration, store: Store) -> None:
    die_with(configuration.spool_dir, '"start"', '"node"')
    store.open()
    assert store.slot_number == 0
    start, node, end = events(store)
    assert (start, node) == ('"start"', '"node"')
    assert '"kind":"INTERRUPTED"' in end
    assert '"endedAt":"1970-01-01T00:00:02.500000+00:00"' in end


def test_two_processes_have_two_files_and_neither_takes_the_others(configuration: Configuration, store: Store) -> None:
    store.begin("a", "orders", 1, '"a"')
    other = Store(configuration)
    other.begin("b", "orders", 1, '"b"')
    assert (store.slot_number, other.slot_number) == (0, 1)
    assert list(store.orphans()) == []
    other.close()
    [adopted] = store.orphans()
    assert adopted.spool.batch(10, LIMIT)[0].body == '"b"'
    adopted.release()
    assert events(store) == ['"a"']


def test_the_name_of_a_recorder_lasts(configuration: Configuration) -> None:
    names = []
    for _ in range(2):
        store = Store(configuration)
        store.open()
        names.append(store.instance)
        store.close()
    assert names[0] == names[1]


def test_events_for_another_service_are_not_touched(configuration: Configuration) -> None:
    other = Configuration(url="http://elsewhere/graphql", spool_root=configuration.spool_root)
    die_with(other.spool_dir, '"for elsewhere"')
    store = Store(configuration)
    store.open()
    assert events(store) == []
    assert list(store.orphans()) == []
    store.close()


def test_a_file_that_is_no_database_is_set_aside(configuration: Configuration, store: Store) -> None:
    configuration.spool_dir.mkdir(parents=True)
    (configuration.spool_dir / "0.sqlite3").write_bytes(b"not a database, just bytes" * 1000)
    store.begin("a", "orders", 1, '"a"')
    assert events(store) == ['"a"']
    assert len(list(configuration.spool_dir.glob("0.damaged-*.sqlite3"))) == 1


def test_a_file_that_breaks_under_way_is_set_aside_and_the_call_goes_on(configuration: Configuration, store: Store) -> None:
    running = store.begin("running", "orders", 1, '"starts"')
    path = configuration.spool_dir / "0.sqlite3"
    with closing(Spool(path, LIMIT)) as spool:
        spool.tidy()
    content = bytearray(path.read_bytes())
    content[:4096] = b"\xff" * 4096
    path.write_bytes(content)
    path.with_name(path.name + "-wal").write_bytes(b"")
    store.append(running, EventKind.FINISHED, 2, '"ends"')
    store.begin("later", "orders", 3, '"later"')
    assert {'"ends"', '"later"'} <= set(events(store))


def test_a_folder_that_takes_no_files_means_a_bounded_queue_in_memory(configuration: Configuration) -> None:
    configuration.spool_root.parent.mkdir(parents=True, exist_ok=True)
    configuration.spool_root.write_text("a file where the folder should be")
    store = Store(configuration)
    handle = store.begin("a", "orders", 1, '"a"')
    store.append(handle, EventKind.FINISHED, 2, '"b"')
    assert store.slot_number is None
    assert events(store) == ['"a"', '"b"']
    large = f'"{"x" * 1_000_000}"'
    for index in range(30):
        store.begin(str(index), "orders", 1, large)
    assert store.dropped()["orders"].executions >= 14
    store.close()


def test_a_disk_that_is_full_for_a_while_loses_nothing(configuration: Configuration, store: Store) -> None:
    running = store.begin("running", "orders", 1, '"starts"')
    [spool] = store.spools()
    spool._connection.execute("PRAGMA max_page_count = 1")
    large = f'"{"x" * 100_000}"'
    store.append(running, EventKind.FINISHED, 2, large)
    store.begin("another", "orders", 3, '"in memory"')
    assert events(store) == ['"starts"', large, '"in memory"']
    assert store.dropped() == {}


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    mine = slots.SlotLock(tmp_path / "0.lock")
    assert mine.acquire()
    program = (
        "import sys; from pathlib import Path; from flowtrail.mcp.slots import SlotLock\n"
        "sys.exit(SlotLock(Path(sys.argv[1])).acquire())"
    )
    asks = [sys.executable, "-c", program, str(tmp_path / "0.lock")]
    assert subprocess.run(asks, check=False).returncode == 0
    mine.release()
    assert subprocess.run(asks, check=False).returncode == 1
    assert mine.acquire()
    mine.release()
