"""Fan-out: subscribers of one flow over graphql-transport-ws, and a burst of changes that each of them gets."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from flowtrail.bench.events import RECORD, Batch
from flowtrail.bench.figures import Area, Round
from flowtrail.graphql.ids import encode_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowtrail.bench.servers import Server
    from flowtrail.bench.table import Table

FEED = """subscription Feed($flow: ID!) { executionChanges(flowId: $flow) { ... on ExecutionChange {
  cursor kind at executionId
  execution { uuid status startedAt endedAt durationMs initialParamsPreview nodeCount errorInfo { message } }
} } }"""
BURST = 20
"""Executions recorded at once: 12 changes each."""
_CHANGES = BURST * 12
_TOOL = "tool-1"
_SETTLE = 0.5
"""Seconds until the subscribers certainly follow the feed."""


async def measure(area: Area, server: Server, table: Table, subscribers: int, rounds: int, advance: Callable[[], None]) -> None:
    """Add to `area` so many rounds: a burst, and the time until all subscribers have all of it."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(_subscription(server)) for _ in range(subscribers)]
        for connection in connections:
            await _subscribe(connection, str(encode_id("Flow", table.flow_ids[0])))
        await asyncio.sleep(_SETTLE)
        await _burst(server, connections)
        for _ in range(rounds):
            area.of("burst", subscribers, server.name).rounds.append(await _burst(server, connections))
            advance()


def _subscription(server: Server) -> connect:
    return connect(
        f"ws://127.0.0.1:{server.port}/graphql",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        compression=None,
        max_queue=None,
    )


async def _subscribe(connection: ClientConnection, flow: str) -> None:
    await connection.send(json.dumps({"type": "connection_init"}))
    await connection.recv()
    payload = {"query": FEED, "variables": {"flow": flow}}
    await connection.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))


async def _burst(server: Server, connections: list[ClientConnection]) -> Round:
    variables = Batch.of([_TOOL] * BURST).variables
    cpu, began = server.cpu, time.perf_counter()
    receiving = [asyncio.create_task(_receive(connection)) for connection in connections]
    await server.ask("", RECORD, variables)
    await asyncio.gather(*receiving)
    return Round(_CHANGES * len(connections), time.perf_counter() - began, server.cpu - cpu)


async def _receive(connection: ClientConnection) -> None:
    """Wait for all changes of a burst; raises RuntimeError when something else comes."""
    received = 0
    while received < _CHANGES:
        message: Any = await connection.recv(decode=False)
        if b'"next"' in message:
            received += 1
        elif b'"ping"' not in message:
            raise RuntimeError(f"a subscription failed: {message[:2000]!r}")
