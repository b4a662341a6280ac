"""Clocks that step (docs/operations): PostgreSQL's, the service's and a recorder's, by hours and days.

A step of PostgreSQL's clock is the same as a step, the other way, of every time that it wrote: that is how it is done here.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from flowtrail import browser_sessions
from flowtrail.database import Database
from flowtrail.recording import upkeep
from live import change_cursor, pruned, socket
from properties import fresh_server
from reader import execution
from recorder import accept, ask, finished, id_of, node_started, now, send, started
from support import Service

WRITTEN_BY_POSTGRESQL = {
    "api_token": ("created_at", "last_used_at", "revoked_at"),
    "browser_session": ("created_at", "expires_at"),
    "execution": ("created_at", "updated_at", "deadline"),
    "execution_change": ("at",),
    "flow": ("created_at", "updated_at", "deleted_at"),
    "recorder": ("last_seen_at",),
}
WRITTEN_BY_RECORDERS = {
    "execution": ("started_at", "ended_at", "timeout_at", "late_ended_at"),
    "node_execution": ("started_at", "ended_at"),
    "recorder": ("dropped_since",),
}
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
FIGURES = """query ($server: String!) { flow(by: {tool: {server: $server, toolName: "ship"}}) {
  hasPendingExecutions executions { totalCount edges { node { uuid } } }
  statistics { total byStatus { status count } histogram { byStatus { count } } } } }"""


async def step(database: Database, by: timedelta) -> None:
    """Do what a step of PostgreSQL's clock does, ahead or back."""
    async with database.write() as write:
        for table, columns in WRITTEN_BY_POSTGRESQL.items():
            await write.execute(f"UPDATE {table} SET {', '.join(f'{column} = {column} - $1::interval' for column in columns)}", by)


async def kinds_after(service: Service, cursor: str, count: int) -> list[str]:
    """What a subscription that is resumed after a cursor is told first."""
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        return [event.get("kind") or event["reason"] for event in await client.events(count)]


async def test_each_time_in_the_database_is_of_a_clock_that_is_known(database: Database) -> None:
    async with database.read() as read:
        rows = await read.fetch(
            """SELECT table_name, column_name FROM information_schema.columns
               WHERE table_schema = current_schema() AND data_type LIKE 'timestamp%' AND column_name <> 'bucket'"""
        )
    stored = {(row["table_name"], row["column_name"]) for row in rows}
    known = (WRITTEN_BY_POSTGRESQL, WRITTEN_BY_RECORDERS)
    listed = {(table, column) for columns in known for table, names in columns.items() for column in names}
    counted = {(table, column) for table, column in stored if table.startswith(("count_", "parameter_", "execution_parameter"))}
    assert stored - counted == listed


async def test_the_database_steps_ahead(service: Service, database: Database) -> None:
    begin = started()
    cursor = await change_cursor(service)
    await accept(service, begin, node_started(id_of(begin)))
    await step(database, HOUR)
    assert (await execution(service, id_of(begin)))["errorInfo"]["kind"] == "TIMED_OUT"
    assert await kinds_after(service, cursor, 3) == ["STARTED", "NODE_STARTED", "TIMED_OUT"]
    await accept(service, finished(id_of(begin)))
    found = await execution(service, id_of(begin))
    assert (found["status"], found["lateOutcome"]["status"]) == ("ERROR", "FULFILLED")
    assert await kinds_after(service, cursor, 4) == ["STARTED", "NODE_STARTED", "TIMED_OUT", "LATE_OUTCOME"]


async def test_the_database_steps_back(service: Service, database: Database) -> None:
    begin, timed_out = started(), started()
    await accept(service, timed_out)
    await step(database, HOUR)
    cursor = await change_cursor(service)
    assert await kinds_after(service, cursor, 1) == ["TIMED_OUT"]
    cursor = await change_cursor(service)
    await accept(service, begin)
    await step(database, -2 * HOUR)
    assert (await execution(service, id_of(timed_out)))["errorInfo"]["kind"] == "TIMED_OUT"
    assert (await execution(service, id_of(begin)))["status"] == "PENDING"
    await accept(service, finished(id_of(begin)))
    assert (await execution(service, id_of(begin)))["status"] == "FULFILLED"
    assert await kinds_after(service, cursor, 2) == ["STARTED", "FINISHED"]


async def test_a_feed_that_is_too_old_by_a_step_is_never_silent(service: Service, database: Database) -> None:
    cursor = await change_cursor(service)
    await accept(service, started())
    await step(database, 2 * DAY)
    assert await pruned(database, DAY)
    assert await kinds_after(service, cursor, 1) == ["TOO_OLD"]


async def test_changes_from_far_ahead_do_not_hold_up_the_others(service: Service, database: Database) -> None:
    await accept(service, started())
    await step(database, -2 * DAY)
    begin = started()
    await accept(service, begin, finished(id_of(begin)))
    await step(database, -HOUR)
    assert await pruned(database, DAY) == 1
    async with database.read() as read:
        kept = await read.fetch("SELECT execution_id::text AS id, kind FROM execution_change ORDER BY seq")
    assert [(row["id"], row["kind"]) for row in kept] == [(id_of(begin), "STARTED"), (id_of(begin), "FINISHED")]


async def test_a_session_ends_by_the_clock_of_the_database(start_service: Any, database: Database) -> None:
    async with database.write() as write:
        token = await browser_sessions.begin(write, "ada", None, 12 * HOUR)
    for by, is_let_in in ((11 * HOUR, True), (2 * HOUR, False), (-3 * HOUR, True)):
        await step(database, by)
        service = await start_service(read_token="a-token-for-all-readers")  # it remembers none
        answer = await service.execute("{ __typename }", token=token)
        assert ("data" in answer) == is_let_in


@pytest.mark.parametrize("ahead", [timedelta(days=-365), timedelta(days=365)])
async def test_one_clock_that_runs_ahead_purges_nothing(database: Database, ahead: timedelta) -> None:
    here = datetime.now(UTC) + ahead
    async with database.write() as write:
        at = await upkeep.ago(write, 90 * DAY, here)
    assert at <= min(here, datetime.now(UTC)) - 90 * DAY
    assert at >= min(here, datetime.now(UTC)) - 90 * DAY - HOUR


@pytest.mark.parametrize("off", [-7 * DAY, -3 * HOUR, 3 * HOUR, 7 * DAY], ids=str)
async def test_the_clock_of_a_recorder_is_wrong(service: Service, off: timedelta) -> None:
    server, right, wrong = fresh_server(), str(uuid7()), str(uuid7())
    await accept(service, started(right, server=server))
    await accept(service, started(wrong, server=server, at=now() + off), sent_at=now() + off)
    flow = (await ask(service, FIGURES, server=server))["flow"]
    newest_first = [wrong, right] if off > timedelta(0) else [right, wrong]
    assert [edge["node"]["uuid"] for edge in flow["executions"]["edges"]] == newest_first
    await accept(service, finished(wrong, at=now() + off), sent_at=now() + off)
    assert (await execution(service, wrong))["status"] == "FULFILLED"
    flow = (await ask(service, FIGURES, server=server))["flow"]
    assert (flow["hasPendingExecutions"], flow["executions"]["totalCount"], flow["statistics"]["total"]) == (True, 2, 2)
    assert sum(entry["count"] for bucket in flow["statistics"]["histogram"] for entry in bucket["byStatus"]) == 2


@pytest.mark.parametrize("by", [-3 * HOUR, 3 * HOUR], ids=str)
async def test_the_clock_of_a_recorder_steps_between_a_start_and_its_sending(service: Service, by: timedelta) -> None:
    begin = started()
    await accept(service, begin, sent_at=now() + by)
    assert (await execution(service, id_of(begin)))["status"] == "PENDING"
    assert [receipt["outcome"] for receipt in await send(service, finished(id_of(begin)), sent_at=now() + by)] == ["ACCEPTED"]
    assert (await execution(service, id_of(begin)))["status"] == "FULFILLED"
