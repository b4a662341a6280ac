"""Executions to look at, recorded through the real mutation, and where they are on the page."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from playwright.async_api import Locator, Page
from uuid_utils.compat import uuid7

from recorder import Event, accept, finished, node_finished, node_started, now, register, started
from support import Service

USAGE = "/flows/orders/ship"
STATISTICS = f"{USAGE}/statistics"


def usage(execution: str | None = None, **query: str) -> str:
    """The address of the flow's Usage tab."""
    if execution is not None:
        query["execution"] = execution
    return USAGE + ("?" + "&".join(f"{name}={quote(value)}" for name, value in query.items()) if query else "")


def rows(page: Page) -> Locator:
    """The rows of the left column."""
    return page.get_by_role("list", name="Executions").get_by_role("listitem")


def sign(page: Page) -> Locator:
    """Which of the two ways of staying up to date is on."""
    return page.get_by_role("status").filter(has_text="iv").or_(page.get_by_role("status").filter(has_text="Checking"))


def detail(page: Page) -> Locator:
    """The right column."""
    return page.get_by_role("region", name="Execution", exact=True)


async def flow(service: Service, **more: Any) -> None:
    """Register the flow all samples are of."""
    await register(service, {"toolName": "ship", "name": "Ship an order", "description": "Packs and ships.", **more})


def fulfilled(at: datetime | None = None, *, params: Any = None, result: Any = None, **more: Any) -> tuple[str, list[Event]]:
    """An execution of 1.24 s with two nodes."""
    id_, at = str(uuid7()), at or now() - timedelta(seconds=5)
    return id_, [
        started(id_, at=at, params=params if params is not None else {"order": 17}, **more),
        node_started(id_, 0, at=at + timedelta(milliseconds=10), nodeName="Fetch order", inputData={"id": 17}),
        node_finished(id_, 0, at=at + timedelta(milliseconds=400), outputData={"lines": [1, 2, 3]}),
        node_started(id_, 1, at=at + timedelta(milliseconds=400), nodeName="Book parcel", parentPosition=0),
        node_finished(id_, 1, at=at + timedelta(milliseconds=1200)),
        finished(id_, at=at + timedelta(milliseconds=1240), result={"parcel": "A1"} if result is None else result),
    ]


def failed(at: datetime | None = None) -> tuple[str, list[Event]]:
    """An execution whose second node raised."""
    id_, at = str(uuid7()), at or now() - timedelta(seconds=4)
    error = {"kind": "EXCEPTION", "message": "ValueError: no such address", "nodeId": "node-1", "nodeName": "Book parcel"}
    return id_, [
        started(id_, at=at, params={"order": 18}, client={"name": "inspector", "version": "2.1"}),
        node_started(id_, 0, at=at, nodeName="Fetch order"),
        node_finished(id_, 0, at=at + timedelta(milliseconds=300)),
        node_started(id_, 1, at=at + timedelta(milliseconds=300), nodeName="Book parcel"),
        node_finished(id_, 1, at=at + timedelta(milliseconds=350), status="ERROR", error="ValueError: no such address"),
        finished(id_, at=at + timedelta(milliseconds=360), error={**error, "stack": "Traceback (most recent call last): …"}),
    ]


def pending(at: datetime | None = None, **more: Any) -> tuple[str, list[Event]]:
    """An execution that has just begun."""
    id_ = str(uuid7())
    return id_, [started(id_, at=at or now(), params={"order": 19}, **more)]


async def record(service: Service, execution: tuple[str, list[Event]]) -> str:
    """Record an execution and return its id."""
    id_, events = execution
    await accept(service, *events)
    return id_


async def many(service: Service, count: int, *, seconds_apart: float = 1) -> list[str]:
    """Record executions that ended, the oldest first, the newest a minute ago."""
    newest = now() - timedelta(minutes=1)
    ids, events = [], []
    for index in range(count):
        id_, at = str(uuid7()), newest - timedelta(seconds=seconds_apart * (count - 1 - index))
        ids.append(id_)
        events += [started(id_, at=at, params={"number": index}), finished(id_, at=at + timedelta(milliseconds=5))]
    for first in range(0, len(events), 500):
        await accept(service, *events[first : first + 500])
    return ids
