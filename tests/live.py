"""Subscribers as tests need them: graphql-transport-ws and server-sent events, spoken by hand so that every frame is seen."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection

from flowtrail import changes
from flowtrail.database import Database
from recorder import ask
from support import Service

CHANGES = """
subscription Changes($flowId: ID, $executionId: ID, $after: String) {
  executionChanges(flowId: $flowId, executionId: $executionId, after: $after) {
    __typename
    ... on ExecutionChange { cursor kind at executionId execution { uuid status nodeCount errorInfo { kind } } nodeExecution {
    position status } } ... on ResyncRequired { reason }
  }
}"""


class Socket:
    """A graphql-transport-ws client that shows what the protocol says."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.id = ""

    async def send(self, message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def receive(self) -> Any:
        """Return the next message; raises websockets.ConnectionClosed."""
        async with asyncio.timeout(10):
            return json.loads(await self.connection.recv())

    async def init(self, token: str | None = None) -> None:
        payload = {"authorization": f"Bearer {token}"} if token else {}
        await self.send({"type": "connection_init", "payload": payload})
        assert await self.receive() == {"type": "connection_ack"}

    async def subscribe(self, document: str = CHANGES, id_: str = "1", **variables: Any) -> None:
        self.id = id_
        await self.send({"id": id_, "type": "subscribe", "payload": {"query": document, "variables": variables}})

    async def event(self) -> Any:
        """Return the next event of the latest subscription; what an earlier one had under way when it ended is passed over."""
        message = await self.receive()
        while message.get("id") != self.id:
            message = await self.receive()
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]["executionChanges"]

    async def events(self, count: int) -> list[Any]:
        return [await self.event() for _ in range(count)]

    async def close_code(self) -> int | None:
        """Wait until the server closes, and return its code."""
        async with asyncio.timeout(10):
            await self.connection.wait_closed()
        return self.connection.close_code


@asynccontextmanager
async def socket(service: Service, *, init: bool = True, token: str | None = None, **options: Any) -> AsyncIterator[Socket]:
    """A connected client, initialised unless told otherwise."""
    url = f"{service.url.replace('http', 'ws', 1)}/graphql"
    options = {"subprotocols": ["graphql-transport-ws"], "compression": None} | options
    async with websockets.connect(url, **options) as connection:
        client = Socket(connection)
        if init:
            await client.init(token)
        yield client


@asynccontextmanager
async def event_stream(
    service: Service, document: str, *, token: str | None = None, **variables: Any
) -> AsyncIterator[AsyncIterator[Any]]:
    """The responses that come as server-sent events; the iterator ends with the stream's `complete`."""
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    body = json.dumps({"query": document, "variables": variables})
    async with service.client.stream("POST", "/graphql", content=body, headers=headers) as response:
        assert response.status_code == 200, response.status_code

        async def responses() -> AsyncIterator[Any]:
            event = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("data:") and event == "next":
                    yield json.loads(line.removeprefix("data:"))
                elif line.startswith("data:") and event == "complete":
                    return

        yield responses()


async def change_cursor(service: Service) -> str:
    """Return where the change feed is now."""
    cursor: str = (await ask(service, "{ executions(first: 0) { changeCursor } }"))["executions"]["changeCursor"]
    return cursor


async def pruned(database: Database, older_than: timedelta = timedelta(0)) -> int:
    """Prune until something is gone, every change there is if nothing else is said; returns how many.

    Transactions under way anywhere in the cluster, as those of other tests, hold that back.
    """
    async with asyncio.timeout(60):
        while True:
            async with database.write() as write:
                if count := await changes.prune(write, older_than):
                    return count
            await asyncio.sleep(0.05)
