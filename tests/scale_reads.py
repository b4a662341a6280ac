"""What is asked of flows of any size, by name: the documents of scripts that ask what size costs (scale.py has the flows).

A name that begins with "bounded" is of something that looks at a bounded number of executions or counts, and costs more until
there are so many.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from scale import QUIET_SERVER, RARE_CLIENT, RARE_NODE, ROGUE_SERVER, SERVER, SLOW_MS

LIST = """edges { cursor node { id status startedAt endedAt durationMs initialParamsPreview errorInfo { nodeName } } }
          pageInfo { hasNextPage hasPreviousPage endCursor }"""
BAR = "pageCursors { around { page cursor } last { page cursor } next { page } previous { page } }"
NUMBERS = "total errorRate byStatus { count } p50DurationMs p95DurationMs p99DurationMs"
HISTOGRAM = "histogram { from byStatus { count } }"
ERRORS = "topErrors { message count sample { uuid } }"
PARAMETERS = "$first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter"
ARGUMENTS = "first: $first, after: $after, last: $last, before: $before, filter: $filter"
LAST_WEEK = {"range": {"from": "2026-10-24T11:22:33.4Z", "to": "2026-10-31T22:11:33.4Z"}}
LAST_HOURS = {"range": {"from": "2026-10-31T16:22:33.4Z", "to": "2026-10-31T23:11:33.4Z"}}
"""A range that the smallest flow fills, too."""
Asked = tuple[str, dict[str, Any]]
Flow = dict[str, Any]
Cursor = Callable[[int, Flow | None, str], Awaitable[str]]
"""The cursor of the execution with this rank, of a flow or of all, among those that meet a condition."""


def of_all(selection: str) -> str:
    return f"query ({PARAMETERS}) {{ executions({ARGUMENTS}) {{ {selection} }} }}"


def of_flow(selection: str) -> str:
    return f"query ($id: ID!, {PARAMETERS}) {{ node(id: $id) {{ ... on Flow {{ executions({ARGUMENTS}) {{ {selection} }} }} }} }}"


def of_statistics(selection: str) -> str:
    statistics_of_range = f"statistics(timeRange: $range) {{ {selection} }}"
    return f"query ($id: ID!, $range: TimeRange) {{ node(id: $id) {{ ... on Flow {{ {statistics_of_range} }} }} }}"


def param(path: str, value: Any) -> dict[str, Any]:
    return {"param": [{"path": path, "value": value}]}


def matching(**filter_: Any) -> dict[str, Any]:
    return {"filter": filter_}


async def reads_of_flow(flow: Flow, executions: int, cursor: Cursor) -> dict[str, Asked]:
    """What to ask of a flow of so many executions."""
    deep = {"after": await cursor(executions * 3 // 10, flow, "true")}
    deep_error = {"after": await cursor(executions * 3 // 200, flow, "status = 'ERROR'")}
    errors, oslo, nobody = matching(status=["ERROR"]), param("/city", "Oslo"), param("/order", "no such order")
    trace = hashlib.md5(f"{flow['toolName']}{executions // 2}".encode(), usedforsecurity=False).hexdigest()
    asked: dict[str, Asked] = {
        "first page": (of_flow(LIST), {}),
        "deep page": (of_flow(LIST), deep),
        "deep page, backward": (of_flow(LIST), {"first": None, "last": 50, "before": deep["after"]}),
        "total, pending": (of_flow("totalCount hasPendingExecutions"), {"first": 0}),
        "total of errors": (of_flow("totalCount"), {"first": 0, **errors}),
        "page bar": (of_flow(BAR), {}),
        "page bar, deep": (of_flow(BAR), deep),
        "page bar of errors": (of_flow(BAR), {**deep_error, **errors}),
        "statistics": (of_statistics(NUMBERS), {}),
        "statistics, histogram": (of_statistics(HISTOGRAM), {}),
        "statistics, top errors": (of_statistics(ERRORS), {}),
        "hours": (of_statistics(NUMBERS), LAST_HOURS),
        "hours, histogram": (of_statistics(HISTOGRAM), LAST_HOURS),
        "hours, top errors": (of_statistics(ERRORS), LAST_HOURS),
        "bounded: week": (of_statistics(NUMBERS), LAST_WEEK),
        "bounded: week, histogram": (of_statistics(HISTOGRAM), LAST_WEEK),
        "bounded: week, top errors": (of_statistics(ERRORS), LAST_WEEK),
        "errors": (of_flow(LIST), errors),
        "errors, deep": (of_flow(LIST), deep | errors),
        "fulfilled, deep": (of_flow(LIST), deep | matching(status=["FULFILLED"])),
        "pending": (of_flow(LIST), matching(status=["PENDING"])),
        "kind, none": (of_flow(LIST), matching(errorKind=["CANCELLED"])),
        "kinds, deep": (of_flow(LIST), deep | matching(errorKind=["CANCELLED", "EXCEPTION", "TIMED_OUT"])),
        "previews": (of_flow(LIST), matching(isPreview=True)),
        "previews that failed": (of_flow(LIST), matching(isPreview=True, status=["ERROR"])),
        "trace": (of_flow(LIST), matching(traceId=trace)),
        "server": (of_flow(LIST), matching(server=[SERVER])),
        "server, none": (of_flow(LIST), matching(server=[QUIET_SERVER])),
        "deleted, none": (of_flow(LIST), matching(flowDeleted=True)),
        "client": (of_flow(LIST), matching(clientName="desk")),
        "parameter": (of_flow(LIST), matching(**oslo)),
        "parameter, deep": (of_flow(LIST), deep | matching(**oslo)),
        "parameter, none": (of_flow(f"{LIST} totalCount {BAR}"), matching(**nobody)),
        "parameter of errors": (of_flow(LIST), matching(**oslo, status=["ERROR"])),
        "text": (of_flow(LIST), matching(text="oslo")),
        "bounded: client, rare": (of_flow(LIST), matching(clientName=RARE_CLIENT)),
        "bounded: node, rare": (of_flow(LIST), matching(failedNodeId=RARE_NODE)),
        "bounded: duration, rare": (of_flow(LIST), matching(durationMsAtLeast=SLOW_MS)),
        "bounded: text, none": (of_flow(LIST), matching(text="nowhere")),
        "bounded: text, total": (of_flow("totalCount"), {"first": 0, **matching(text="oslo")}),
        "bounded: parameter, total": (of_flow("totalCount"), {"first": 0, **matching(**oslo)}),
        "bounded: parameter, page bar": (of_flow(BAR), matching(**oslo)),
        "bounded: parameter, other client": (of_flow(LIST), matching(**oslo, clientName="nobody")),
    }
    return {name: (document, {"id": flow["id"], "first": 50, **variables}) for name, (document, variables) in asked.items()}


async def reads_of_all(executions: int, cursor: Cursor) -> dict[str, Asked]:
    """What to ask across all flows, which have so many executions together."""
    deep = {"after": await cursor(executions * 3 // 10, None, "true")}
    trace = hashlib.md5(b"flow-100001", usedforsecurity=False).hexdigest()
    asked: dict[str, Asked] = {
        "first page": (of_all(LIST), {}),
        "deep page": (of_all(LIST), deep),
        "last page": (of_all(LIST), {"first": None, "last": 50}),
        "total, pending": (of_all("totalCount hasPendingExecutions"), {"first": 0}),
        "page bar, deep": (of_all(BAR), deep),
        "errors": (of_all(LIST), matching(status=["ERROR"])),
        "pending, deep": (of_all(LIST), deep | matching(status=["PENDING"])),
        "kind, none": (of_all(LIST), matching(errorKind=["CANCELLED"])),
        "previews": (of_all(LIST), matching(isPreview=True)),
        "trace": (of_all(f"{LIST} totalCount"), matching(traceId=trace)),
        "server": (of_all(LIST), matching(server=[SERVER])),
        "server, quiet": (of_all(LIST), matching(server=[QUIET_SERVER])),
        "server, rogue": (of_all(LIST), matching(server=[ROGUE_SERVER])),
        "deleted": (of_all(LIST), matching(flowDeleted=True)),
        "not deleted": (of_all(LIST), matching(flowDeleted=False)),
        "parameter": (of_all(LIST), matching(**param("/city", "Oslo"))),
        "parameter, none": (of_all(LIST), matching(**param("/order", "no such order"))),
        "text": (of_all(LIST), matching(text="oslo")),
        "bounded: client, rare": (of_all(LIST), matching(clientName=RARE_CLIENT)),
        "bounded: node, rare": (of_all(LIST), matching(failedNodeId=RARE_NODE)),
        "bounded: duration, rare": (of_all(LIST), matching(durationMsAtLeast=SLOW_MS)),
        "bounded: text, none": (of_all(LIST), matching(text="nowhere")),
    }
    return {name: (document, {"first": 50, **variables}) for name, (document, variables) in asked.items()}
