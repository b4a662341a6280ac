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


@pytest.fixture
async def service(start_service: StartService) -> Service:
    running: Service = await start_service(sweep_interval=None)
    return running


async def record(service: Service, database: Database, server: str, wanted: list[tuple[str, int, int]]) -> list[Row]:
    """Record executions of (fate, minutes after BASE, duration in ms) and return what statistics must count."""
    rows: list[Row] = []
    events: list[Event] = []
    for fate, minutes, duration in wanted:
        id_, at, end = str(uuid7()), BASE + timedelta(minutes=minutes), None
        events += [started(id_, server=server, at=at), node_started(id_, 0, at=at)]
        if minutes % 2:
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
    wanted=st.lists(st.tuples(st.sampled_from(FATES), st.integers(0, 5000), st.integers(0, 100_000)), max_size=30),
    begin=st.none() | st.integers(-10, 5000),
    length=st.none() | st.integers(1, 6000),
)
async def test_statistics_equal_brute_force(
    service: Service, database: Database, wanted: list[tuple[str, int, int]], begin: int | None, length: int | None
) -> None:
    server = fresh_server()
    await register(service, {"toolName": "ship"}, server=server)
    rows = await record(service, database, server, wanted)
    start = None if begin is None else BASE + timedelta(minutes=begin)
    end = None if length is None else BASE + timedelta(minutes=(begin or 0) + length)
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
