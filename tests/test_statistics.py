"""Statistics: equal to going through the rows by hand, percentiles within 1 % (spec 2.8)."""

import math
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from flowtrail.counts import percentile_ms
from flowtrail.counts.durations import BOUNDS, duration_bin
from flowtrail.counts.tables import DURATION_BIN
from flowtrail.database import Database
from properties import examples, fresh_server
from reader import hold_deadlines, pass_deadline
from recorder import Event, accept, ask, error_of, finished, node_finished, node_started, register, started
from support import Service

BASE = datetime(2026, 5, 17, 12, tzinfo=UTC)
STATISTICS = """
query Statistics($server: String!, $timeRange: TimeRange, $first: Int) {
  flow(by: {tool: {server: $server, toolName: "ship"}}) {
    statistics(timeRange: $timeRange) {
      total errorRate p50DurationMs p95DurationMs p99DurationMs
      byStatus { status count }
      histogram { from to byStatus { status count } }
      topErrors(first: $first) { kind nodeId message count lastSeenAt sample { uuid } }
    }
  }
}"""
StartService = Callable[..., Any]
Row = dict[str, Any]
FATES = ("PENDING", "overdue", "FULFILLED", "TOOL_ERROR", "EXCEPTION")
SECONDS = st.one_of(*(st.integers(0, longest) for longest in (90, 7200, 200_000, 10_000_000)))
"""Near one another and far apart, so that ranges begin and end inside every grain."""


@pytest.fixture(params=[None, 0.01], ids=["unfolded", "folding"])
async def service(start_service: StartService, request: pytest.FixtureRequest) -> Service:
    running: Service = await start_service(sweep_interval=None, fold_interval=request.param)
    return running


async def record(service: Service, database: Database, server: str, wanted: list[tuple[str, int, int]]) -> list[Row]:
    """Record executions of (fate, seconds after BASE, duration in ms) and return what statistics must count."""
    rows: list[Row] = []
    events: list[Event] = []
    for fate, seconds, duration in wanted:
        id_, at, end = str(uuid7()), BASE + timedelta(seconds=seconds), None
        events += [started(id_, server=server, at=at), node_started(id_, 0, at=at)]
        if seconds % 2:
            events.append(node_finished(id_, 0, at=at, status="ERROR"))
        kind = "TIMED_OUT" if fate == "overdue" else fate if fate in FATES[3:] else None
        if fate == "overdue":
            end = 300_000.0
        elif fate != "PENDING":
            end = float(duration)
            events.append(finished(id_, at=at + timedelta(milliseconds=duration), error=kind))
        rows.append({"id": id_, "at": at, "status": "ERROR" if kind else fate, "kind": kind, "duration": end})
    await accept(service, *events, sent_at=BASE)
    await hold_deadlines(database, *(row["id"] for row in rows))
    await pass_deadline(database, *(row["id"] for row in rows if row["kind"] == "TIMED_OUT"))
    return rows


def percentile(values: list[float], share: float) -> float:
    place = share * (len(values) - 1)
    below, above = values[math.floor(place)], values[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def check_numbers(found: dict[str, Any], rows: list[Row]) -> None:
    """Compare everything but the order of error groups with the rows."""
    by_status = Counter(row["status"] for row in rows)
    assert found["total"] == len(rows)
    assert {entry["status"]: entry["count"] for entry in found["byStatus"]} == {
        status: by_status[status] for status in ("PENDING", "FULFILLED", "ERROR")
    }
    durations = sorted(row["duration"] for row in rows if row["duration"] is not None)
    assert found["errorRate"] == (pytest.approx(by_status["ERROR"] / len(durations)) if durations else None)
    for share, name in ((0.5, "p50DurationMs"), (0.95, "p95DurationMs"), (0.99, "p99DurationMs")):
        assert found[name] == (pytest.approx(percentile(durations, share), rel=0.01) if durations else None)


def check_histogram(buckets: list[dict[str, Any]], rows: list[Row]) -> None:
    """The spans follow one another without a gap, and each holds what started in it."""
    assert len(buckets) <= 60
    spans = [(datetime.fromisoformat(bucket["from"]), datetime.fromisoformat(bucket["to"])) for bucket in buckets]
    assert all(begin < end for begin, end in spans)
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    for (begin, end), bucket in zip(spans, buckets, strict=True):
        inside = Counter(row["status"] for row in rows if begin <= row["at"] < end)
        assert {entry["status"]: entry["count"] for entry in bucket["byStatus"] if entry["count"]} == inside
    assert sum(entry["count"] for bucket in buckets for entry in bucket["byStatus"]) == len(rows)


def check_errors(groups: list[dict[str, Any]], rows: list[Row]) -> None:
    """Each group of kind, node and message has its count, its newest, and its place."""
    expected: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"]:
            expected.setdefault(row["kind"], []).append(row)
    assert {group["kind"]: group["count"] for group in groups} == {kind: len(some) for kind, some in expected.items()}
    for group in groups:
        newest = max(expected[group["kind"]], key=lambda row: (row["at"], row["id"]))
        assert group["nodeId"] == "node-0"
        assert (datetime.fromisoformat(group["lastSeenAt"]), group["sample"]["uuid"]) == (newest["at"], newest["id"])
    order = [(-group["count"], group["lastSeenAt"]) for group in groups]
    assert [count for count, _ in order] == sorted(count for count, _ in order)


@examples(25)
@given(
    wanted=st.lists(st.tuples(st.sampled_from(FATES), SECONDS, st.integers(0, 100_000)), max_size=30),
    begin=st.none() | SECONDS,
    length=st.none() | SECONDS.filter(lambda seconds: seconds > 0),
)
async def test_statistics_equal_brute_force(
    service: Service, database: Database, wanted: list[tuple[str, int, int]], begin: int | None, length: int | None
) -> None:
    server = fresh_server()
    await register(service, {"toolName": "ship"}, server=server)
    rows = await record(service, database, server, wanted)
    start = None if begin is None else BASE + timedelta(seconds=begin)
    end = None if length is None else BASE + timedelta(seconds=(begin or 0) + length)
    time_range = {name: time.isoformat() for name, time in (("from", start), ("to", end)) if time}
    inside = [row for row in rows if (start is None or row["at"] >= start) and (end is None or row["at"] < end)]
    found = (await ask(service, STATISTICS, server=server, timeRange=time_range or None))["flow"]["statistics"]
    check_numbers(found, inside)
    check_histogram(found["histogram"], inside)
    check_errors(found["topErrors"], inside)


async def test_a_larger_sample_has_the_right_percentiles(service: Service, database: Database) -> None:
    rng, server = random.Random(2), fresh_server()
    wanted = [(rng.choice(FATES[2:]), rng.randrange(2000), int(rng.lognormvariate(5, 2))) for _ in range(280)]
    rows = await record(service, database, server, wanted)
    found = (await ask(service, STATISTICS, server=server))["flow"]["statistics"]
    check_numbers(found, rows)
    check_histogram(found["histogram"], rows)


async def test_a_flow_without_executions_has_empty_statistics(service: Service) -> None:
    server = fresh_server()
    await register(service, {"toolName": "ship"}, server=server)
    assert (await ask(service, STATISTICS, server=server))["flow"]["statistics"] == {
        "total": 0,
        "errorRate": None,
        "p50DurationMs": None,
        "p95DurationMs": None,
        "p99DurationMs": None,
        "byStatus": [{"status": status, "count": 0} for status in ("PENDING", "FULFILLED", "ERROR")],
        "histogram": [],
        "topErrors": [],
    }


async def test_ranges_of_any_length_have_a_histogram(service: Service, database: Database) -> None:
    server = fresh_server()
    rows = await record(service, database, server, [("FULFILLED", 0, 5)])
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"
    ranges: list[dict[str, str]] = [
        {"from": first},
        {"to": last},
        {"from": first, "to": last},
        {"from": "1969-12-31T23:59:59.999999Z", "to": "2026-05-17T12:00:00.000001Z"},
        {"from": "2026-05-17T12:00:00Z", "to": "2026-05-17T12:00:00.000001Z"},
        {"from": "2026-05-17T12:00:00Z"},
    ]
    for time_range in ranges:
        found = (await ask(service, STATISTICS, server=server, timeRange=time_range))["flow"]["statistics"]
        check_histogram(found["histogram"], rows)
        for name, bucket in (("from", found["histogram"][0]), ("to", found["histogram"][-1])):
            if name in time_range:
                assert datetime.fromisoformat(bucket[name]) == datetime.fromisoformat(time_range[name])


async def test_the_most_frequent_errors_come_first_and_are_limited(service: Service, database: Database) -> None:
    server = fresh_server()
    wanted = [("EXCEPTION", 0, 1)] * 3 + [("TOOL_ERROR", 2, 1)] * 5 + [("overdue", 4, 1)]
    await record(service, database, server, wanted)
    groups = (await ask(service, STATISTICS, server=server, first=2))["flow"]["statistics"]["topErrors"]
    assert [(group["kind"], group["count"]) for group in groups] == [("TOOL_ERROR", 5), ("EXCEPTION", 3)]
    assert (await ask(service, STATISTICS, server=server, first=0))["flow"]["statistics"]["topErrors"] == []
    for first in (-1, 101):
        error = await error_of(service, STATISTICS, server=server, first=first)
        assert (error["message"], error["extensions"]["code"]) == (f"first: {first} is outside 0 to 100", "BAD_USER_INPUT")


async def test_a_range_that_ends_before_it_begins_is_refused(service: Service) -> None:
    server = fresh_server()
    await register(service, {"toolName": "ship"}, server=server)
    time_range = {"from": BASE.isoformat(), "to": BASE.isoformat()}
    error = await error_of(service, STATISTICS, server=server, timeRange=time_range)
    assert (error["message"], error["extensions"]["code"]) == ("timeRange: from must lie before to", "BAD_USER_INPUT")


MESSAGES = """
query Messages($timeRange: TimeRange) {
  flow(by: {tool: {server: "orders", toolName: "ship"}}) {
    statistics(timeRange: $timeRange) { topErrors { kind nodeId message count sample { errorInfo { message } } } }
  }
}"""


async def test_errors_are_grouped_by_kind_node_and_message_but_for_numbers_and_ids(service: Service) -> None:
    messages = [
        ("EXCEPTION", "order 17 is not there"),
        ("EXCEPTION", "order 4711 is not there"),
        ("TOOL_ERROR", "order 18 is not there"),
        ("EXCEPTION", "order eighteen is not there"),
        ("EXCEPTION", "3f2504e0-4f89-11d3-9a0c-0305e82c3301: deadbeef01 took 1.5 s at 0x7FFF12"),
        ("EXCEPTION", "d3b07384-d113-4ec4-9c5e-5c6b7d8e9f00: cafe1234beef took 12 s at 0x01"),
        ("EXCEPTION", "y" * 400),
        ("EXCEPTION", "y" * 401),
        ("EXCEPTION", ""),
    ]
    for second, (kind, message) in enumerate(messages):
        start = started(at=BASE + timedelta(seconds=second))
        end = finished(start["started"]["executionId"], at=BASE + timedelta(minutes=1), error=kind)
        end["finished"]["errorInfo"]["message"] = message
        await accept(service, start, end, sent_at=BASE)
    groups = (await ask(service, MESSAGES))["flow"]["statistics"]["topErrors"]
    assert [(group["kind"], group["message"], group["count"]) for group in groups] == [
        ("EXCEPTION", "y" * 300, 2),
        ("EXCEPTION", "…: … took … s at …", 2),
        ("EXCEPTION", "order … is not there", 2),
        ("EXCEPTION", "", 1),
        ("EXCEPTION", "order eighteen is not there", 1),
        ("TOOL_ERROR", "order … is not there", 1),
    ]
    assert groups[2]["sample"]["errorInfo"]["message"] == "order 4711 is not there"
    first_second = {"to": (BASE + timedelta(seconds=1)).isoformat()}
    groups = (await ask(service, MESSAGES, timeRange=first_second))["flow"]["statistics"]["topErrors"]
    assert [(group["count"], group["sample"]["errorInfo"]["message"]) for group in groups] == [(1, "order 17 is not there")]


@examples(200)
@given(st.integers(0, 10**17), st.integers(0, 10**17))
def test_a_bin_holds_what_differs_by_less_than_two_percent(one: int, other: int) -> None:
    bins = [duration_bin(BASE, BASE + timedelta(microseconds=length)) for length in sorted((one, other))]
    assert bins == sorted(bins)
    for length in (one, other):
        middle = percentile_ms([duration_bin(BASE, BASE + timedelta(microseconds=length))], [1], 0.5)
        assert middle == pytest.approx(length / 1000, rel=0.01)


async def test_postgresql_finds_the_same_bins(database: Database) -> None:
    lengths = [length for bound in BOUNDS[:-400] for length in (bound, bound + 1, max(bound - 1, 0))]
    binned = DURATION_BIN.format(started_at="moment", ended_at="moment + length * interval '1 microsecond'")
    async with database.read() as read:
        found = await read.fetch(
            f"SELECT {binned} AS bin FROM unnest($1::bigint[]) WITH ORDINALITY AS each(length, number), "
            "(SELECT timestamptz '2026-05-17 12:00Z') AS start(moment) ORDER BY number",
            lengths,
        )
    start = datetime(2026, 5, 17, 12, tzinfo=UTC)
    representable = [length for length in lengths if length < 10**17]
    expected = [duration_bin(start, start + timedelta(microseconds=length)) for length in representable]
    assert [row["bin"] for row, length in zip(found, lengths, strict=True) if length < 10**17] == expected
