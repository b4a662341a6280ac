"""What the dearest documents within the limits cost, and what others notice of them: `python benchmarks/costly_documents.py`.

For each document: how long one answer takes, the server's CPU time for it, its size, how much memory the process has taken by then,
and the latency of a cheap query that somebody else asks meanwhile, beside what it is when nobody else asks.
"""

import asyncio
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from uuid_utils.compat import uuid7

from live_server import REGISTER, Server, database

FLOWS, EXECUTIONS, NODES = 100, 100, 5
CHEAP = "{ executions(first: 20) { edges { node { id status startedAt } } } }"
PAUSE = 0.02
"""Seconds between two cheap queries."""
ROW = "id uuid status startedAt endedAt durationMs flowName flowToolName initialParamsPreview isPreview nodeCount"
NODE_FIELDS = "nodeExecutions { id position nodeId nodeName nodeType status startedAt endedAt durationMs inputInfo { sizeBytes } }"
PAGE = f"executions(first: 100) {{ edges {{ cursor node {{ {ROW} }} }} }}"
RECORD = "mutation ($input: RecordEventsInput!) { recordEvents(input: $input) { receipts { outcome reason } } }"


def _aliased(count: int, field: str) -> str:
    return "{ " + " ".join(f"a{number}: {field}" for number in range(count)) + " }"


def large(prefix: str) -> str:
    """Return a document with nearly as many fields as are allowed, and names of its own."""
    page = f"executions(first: 1) {{ totalCount pageInfo {{ endCursor }} edges {{ cursor node {{ {ROW} {NODE_FIELDS} }} }} }}"
    return "{ " + " ".join(f"{prefix}{number}: {page}" for number in range(20)) + " }"


DOCUMENTS = {
    "99 flows of 100 executions": f"{{ flows(first: 99) {{ edges {{ node {{ name {PAGE} }} }} }} }}",
    "4 pages of 100 with their nodes": _aliased(
        4, f"executions(first: 100) {{ edges {{ node {{ {ROW} nodeExecutions {{ position nodeName status durationMs }} }} }} }}"
    ),
    "20 pages of 100 with payloads": _aliased(20, "executions(first: 100) { edges { node { initialParams result } } }"),
    "20 searches for what is not there": _aliased(20, 'executions(first: 100, filter: {text: "nowhere"}) { edges { cursor } }'),
    "20 counts of a search": _aliased(20, 'executions(first: 0, filter: {text: "nowhere"}) { totalCount }'),
    "20 page bars": _aliased(20, "executions(first: 1) { pageCursors { around { cursor page } last { page } } }"),
    "statistics of 100 flows": "{ flows(first: 100) { edges { node { statistics { errorRate p50DurationMs "
    "histogram { from byStatus { count } } topErrors { count } } } } } }",
}


async def seed(server: Server) -> None:
    """Record the executions that all documents find, over most of an hour: so a histogram has as many buckets as it may have."""
    tools = [{"toolName": f"tool-{number}"} for number in range(FLOWS)]
    await server.execute(REGISTER, {"input": {"server": "costly", "flows": tools}})
    for number in range(2 * FLOWS):
        events: list[Any] = []
        for place in range(EXECUTIONS // 2):  # a batch has 1,000 events at most
            events += _execution(f"tool-{number // 2}", timedelta(minutes=1 + place))
        data = await server.execute(RECORD, {"input": {"sentAt": datetime.now(UTC).isoformat(), "events": events}})
        rejected = [receipt for receipt in data["recordEvents"]["receipts"] if receipt["outcome"] != "ACCEPTED"]
        if rejected:
            raise RuntimeError(rejected[0])


def _execution(tool: str, age: timedelta) -> list[Any]:
    id_, began = str(uuid7()), datetime.now(UTC) - age
    ended = (began + timedelta(seconds=1)).isoformat()
    start = {"server": "costly", "toolName": tool, "startedAt": began.isoformat(), "initialParams": {"text": "x" * 200}}
    events: list[Any] = [{"started": {**start, "executionId": id_}}]
    for position in range(NODES):
        node = {
            "executionId": id_,
            "position": position,
            "nodeId": f"n{position}",
            "nodeName": f"Node {position}",
            "nodeType": "step",
        }
        events.append({"nodeStarted": {**node, "startedAt": began.isoformat()}})
        events.append({"nodeFinished": {"executionId": id_, "position": position, "endedAt": ended, "status": "COMPLETED"}})
    return [*events, {"finished": {"executionId": id_, "endedAt": ended, "status": "FULFILLED"}}]


async def latencies(server: Server, until: asyncio.Event) -> list[float]:
    """Ask the cheap query again and again; return the milliseconds each took."""
    found = []
    while not until.is_set():
        began = time.perf_counter()
        await server.execute(CHEAP, {})
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE)
    return found


async def asked(server: Server, document: str | None, seconds: float) -> tuple[list[float], list[float]]:
    """Ask a document again and again for some seconds; return its seconds, and the cheap query's milliseconds meanwhile."""
    over = asyncio.Event()
    others = asyncio.create_task(latencies(server, over))
    end, took = time.perf_counter() + seconds, []
    while time.perf_counter() < end:
        began = time.perf_counter()
        await (server.execute(document, {}) if document else asyncio.sleep(0.1))
        took.append(time.perf_counter() - began)
    over.set()
    return took, await others


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1] if len(values) > 1 else values[0]


async def main(dsn: str, seconds: float = 3.0) -> None:
    async with Server.running(dsn) as server:
        await seed(server)
        _, alone = await asked(server, None, seconds)
        print(f"cheap query alone: p50 {_percentile(alone, 50):.1f} ms, p99 {_percentile(alone, 99):.1f} ms")
        print(f"{'document':36}{'answer':>9}{'CPU':>8}{'memory':>10}   cheap query meanwhile")
        for name, document in DOCUMENTS.items():
            cpu = server.cpu()
            took, others = await asked(server, document, seconds)
            cpu = (server.cpu() - cpu) / len(took)
            figures = f"{statistics.median(took):7.2f} s{cpu:6.2f} s{server.memory():6.0f} MiB"
            print(f"{name:36}{figures}   p50 {_percentile(others, 50):.1f} ms, p99 {_percentile(others, 99):.1f} ms")


if __name__ == "__main__":
    with database() as address:
        asyncio.run(main(address))
