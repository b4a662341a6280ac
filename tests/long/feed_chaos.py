"""Kills everything at random while recorders write and subscribers follow: every subscriber must see every change exactly once,
in order.

    uv run python tests/long/feed_chaos.py --seconds 120 --seed 1 --subscribers 20

What happens meanwhile, seeded: API processes and PostgreSQL killed with -9, the LISTEN backends terminated, sockets cut and
stalled by a TCP proxy, transactions slow and rolled back, one held open for ten seconds in another database. Two of the recorders
write the same executions. Prints a summary line; exits with 1 when a change was lost, came twice or out of order.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import websockets

from flowtrail import database_url, embedded, migrate
from flowtrail.database import Database
from flowtrail.errors import FlowtrailError
from flowtrail.recording import _record as record_in
from flowtrail.recording.events import Event, Finished, Started, payload_of
from flowtrail.settings import Settings

TOKEN = "token-of-the-chaos-run"
RECORD = "mutation($input: RecordEventsInput!) { recordEvents(input: $input) { receipts { outcome code reason } } }"
CHANGES = """subscription($after: String) { executionChanges(after: $after) {
    __typename ... on ExecutionChange { cursor kind executionId nodeExecution { position } execution { status } }
    ... on ResyncRequired { reason } } }"""
ORDER = ["STARTED", "NODE_STARTED 0", "NODE_FINISHED 0", "NODE_STARTED 1", "NODE_FINISHED 1", "FINISHED"]

Step = tuple[str, str]
"""An execution's id, and what happened to it."""


@dataclass
class Api:
    """One API process, started again whenever it was killed, and a proxy before it that cuts and stalls."""

    dsn: str
    folder: Path
    port: int
    proxy_port: int
    process: asyncio.subprocess.Process | None = None
    stalled: bool = False
    pairs: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        environment = {**os.environ, "DATABASE_URL": self.dsn, "FLOWTRAIL_RECORD_TOKEN": TOKEN}
        with (self.folder / f"api-{self.port}.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from flowtrail.cli import main; main()"),
                *("serve", "--port", str(self.port), "--data-dir", str(self.folder / "data")),
                env=environment,
                stdout=log,
                stderr=log,
            )

    async def keep_running(self) -> None:
        while True:
            if self.process is None or self.process.returncode is not None:
                await self.start()
            await asyncio.sleep(0.1)

    def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()

    async def proxy(self) -> None:
        server = await asyncio.start_server(self._relay, "127.0.0.1", self.proxy_port)
        async with server:
            await server.serve_forever()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.close()
            return
        self.pairs |= {writer, upstream_writer}
        await asyncio.gather(self._pump(reader, upstream_writer), self._pump(upstream_reader, writer), return_exceptions=True)
        self.pairs -= {writer, upstream_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                while self.stalled:
                    await asyncio.sleep(0.05)
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in list(self.pairs):
            writer.transport.abort()

    async def stall(self, seconds: float) -> None:
        self.stalled = True
        await asyncio.sleep(seconds)
        self.stalled = False


@dataclass
class Subscriber:
    """Follows the feed through one proxy or another, from its last cursor on, and notes what it sees."""

    apis: list[Api]
    choose: random.Random
    cursor: str
    seen: list[Step] = field(default_factory=list)
    connections: int = 0
    resyncs: int = 0

    async def follow(self) -> None:
        while True:
            with suppress(OSError, websockets.WebSocketException, TimeoutError):
                await self._connect()
            await asyncio.sleep(0.1)

    async def _connect(self) -> None:
        url = f"ws://127.0.0.1:{self.choose.choice(self.apis).proxy_port}/graphql"
        protocol: Any = ["graphql-transport-ws"]
        async with websockets.connect(url, subprotocols=protocol, open_timeout=3, ping_interval=2, ping_timeout=2) as ws:
            await ws.send('{"type": "connection_init"}')
            await asyncio.wait_for(ws.recv(), 3)
            payload = {"query": CHANGES, "variables": {"after": self.cursor}}
            await ws.send(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            self.connections += 1
            async for frame in ws:
                message = json.loads(frame)
                if message["type"] != "next" or message["payload"].get("errors"):
                    return
                self._note(message["payload"]["data"]["executionChanges"])

    def _note(self, event: dict[str, Any]) -> None:
        if event["__typename"] == "ResyncRequired":
            self.resyncs += 1
            return
        node = event["nodeExecution"]
        self.seen.append((event["executionId"], f"{event['kind']} {node['position']}" if node else event["kind"]))
        self.cursor = event["cursor"]


def events_of(execution_id: str, at: datetime) -> list[tuple[Step, dict[str, Any]]]:
    """The life of one execution, the same however often it is made."""

    def time_after(milliseconds: int) -> str:
        return (at + timedelta(milliseconds=milliseconds)).isoformat()

    start = {"executionId": execution_id, "server": "chaos", "toolName": "flow", "startedAt": at.isoformat(), "initialParams": {}}
    events: list[dict[str, Any]] = [{"started": start}]
    for position in (0, 1):
        node = {"executionId": execution_id, "position": position}
        named = {"nodeId": f"n{position}", "nodeName": f"Node {position}", "nodeType": "step"}
        events.append({"nodeStarted": {**node, **named, "startedAt": time_after(1 + position)}})
        events.append({"nodeFinished": {**node, "status": "COMPLETED", "endedAt": time_after(2 + position)}})
    events.append({"finished": {"executionId": execution_id, "status": "FULFILLED", "endedAt": time_after(5)}})
    return [((execution_id, kind), event) for kind, event in zip(ORDER, events, strict=True)]


async def recorder(apis: list[Api], seed: int, acknowledged: set[Step], until: float, pause: float) -> None:
    """Record executions one after the other, each in batches of any size, and each batch until it is acknowledged."""
    choose = random.Random(seed)
    pick_api = random.Random()
    async with httpx2.AsyncClient(timeout=5) as client:
        while time.monotonic() < until:
            at = datetime.fromtimestamp(1_900_000_000 + choose.randrange(10**6), UTC)
            rest = events_of(str(uuid.UUID(int=choose.getrandbits(128), version=4)), at)
            while rest:
                batch, rest = rest[: (size := choose.randint(1, 6))], rest[size:]
                await _send(client, apis, pick_api, [event for _, event in batch])
                acknowledged.update(step for step, _ in batch)
            await asyncio.sleep(choose.random() * pause)


async def _send(client: httpx2.AsyncClient, apis: list[Api], choose: random.Random, events: list[dict[str, Any]]) -> None:
    body = {"query": RECORD, "variables": {"input": {"sentAt": datetime.now(UTC).isoformat(), "events": events}}}
    while True:
        with suppress(httpx2.HTTPError, ValueError):
            url = f"http://127.0.0.1:{choose.choice(apis).port}/graphql"
            response = await client.post(url, json=body, headers={"authorization": f"Bearer {TOKEN}"})
            answer = response.json()
            if "errors" not in answer:
                receipts = answer["data"]["recordEvents"]["receipts"]
                assert all(receipt["outcome"] in ("ACCEPTED", "DUPLICATE") for receipt in receipts), receipts
                return
        await asyncio.sleep(0.05)


async def slow_recorder(dsn: str, seed: int, acknowledged: set[Step], until: float) -> None:
    """Record by transactions that take their time before they commit, or roll back."""
    choose = random.Random(seed)
    while time.monotonic() < until:
        with suppress(FlowtrailError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            database = await Database.open(dsn, Settings(database_url=dsn, pool_size=2))  # type: ignore[arg-type]
            try:
                while time.monotonic() < until:
                    await _one_slow(database, choose, acknowledged)
            finally:
                await database.close()
        await asyncio.sleep(0.2)


async def _one_slow(database: Database, choose: random.Random, acknowledged: set[Step]) -> None:
    execution_id, at = uuid.UUID(int=choose.getrandbits(128), version=4), datetime.now(UTC)
    nothing: list[Any] = [None] * 8
    params = payload_of("initialParams", {}, None)
    start = Started(execution_id, "chaos", "slow", at, params, "", True, False, *nothing)
    events: list[Event] = [start, Finished(execution_id, "FULFILLED", at + timedelta(seconds=1), None, None)]
    with suppress(ZeroDivisionError):
        async with database.write() as write:
            await record_in(write, events, at, None)
            await asyncio.sleep(choose.random() * 1.5)
            if choose.random() < 0.4:
                raise ZeroDivisionError
        # A commit whose answer got lost is not acknowledged; it may or may not be there.
        acknowledged.update({(str(execution_id), "STARTED"), (str(execution_id), "FINISHED")})


async def hold_open_elsewhere(dsn: str, seconds: float) -> None:
    """Keep a transaction with a number open in another database of the cluster."""
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection = await asyncpg.connect(dsn, database="template1")
        with suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            async with connection.transaction():
                await connection.fetchval("SELECT pg_current_xact_id()")
                await asyncio.sleep(seconds)
        await connection.close()


async def terminate_listeners(dsn: str) -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        connection = await asyncpg.connect(dsn)
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
        await connection.close()


async def break_things(
    apis: list[Api], dsn: str, postmaster: Path, choose: random.Random, until: float, done: Counter[str]
) -> None:
    """Do one bad thing after another."""

    async def kill_api() -> None:
        choose.choice(apis).kill()

    async def kill_postgres() -> None:
        with suppress(OSError, ValueError, IndexError):
            os.kill(int(postmaster.read_text().splitlines()[0]), signal.SIGKILL)

    async def cut_sockets() -> None:
        choose.choice(apis).cut()

    async def stall_sockets() -> None:
        await choose.choice(apis).stall(choose.uniform(0.5, 4))

    deeds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
        (3, kill_api),
        (1, kill_postgres),
        (2, lambda: terminate_listeners(dsn)),
        (3, cut_sockets),
        (3, stall_sockets),
    ]
    names = ["api killed", "postgres killed", "listeners terminated", "sockets cut", "sockets stalled"]
    while time.monotonic() < until:
        await asyncio.sleep(choose.uniform(0.3, 2.5))
        (number,) = choose.choices(range(len(deeds)), weights=[weight for weight, _ in deeds])
        done[names[number]] += 1
        await deeds[number][1]()


def problems_of(subscriber: Subscriber, acknowledged: set[Step]) -> Counter[str]:
    """Count what is lost, doubled or out of order for one subscriber."""
    found: Counter[str] = Counter()
    times = Counter(subscriber.seen)
    found["lost"] = sum(step not in times for step in acknowledged)
    found["twice"] = sum(count - 1 for count in times.values())
    found["resyncs"] = subscriber.resyncs
    position: dict[str, int] = {}
    for execution_id, kind in subscriber.seen:
        rank = ORDER.index(kind)
        found["out of order"] += rank < position.get(execution_id, -1)
        position[execution_id] = rank
    return +found


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


async def chaos(dsn: str, postmaster: Path, folder: Path, *, seconds: float, seed: int, subscribers: int) -> tuple[str, bool]:
    """Run it against a migrated database; returns a summary, and whether every subscriber saw everything once."""
    choose = random.Random(seed)
    ports = free_ports(4)
    apis = [Api(dsn, folder, ports[0], ports[1]), Api(dsn, folder, ports[2], ports[3])]
    acknowledged: set[Step] = set()
    done: Counter[str] = Counter()
    background = [asyncio.create_task(work) for api in apis for work in (api.keep_running(), api.proxy())]
    try:
        cursor = await _first_cursor(apis[0])
        following = [Subscriber(apis, random.Random(seed + number), cursor) for number in range(subscribers)]
        background += [asyncio.create_task(subscriber.follow()) for subscriber in following]
        until = time.monotonic() + seconds
        writing = [
            *(asyncio.create_task(recorder(apis, of, acknowledged, until, 0.1)) for of in (seed, seed, seed + 1, seed + 2)),
            asyncio.create_task(slow_recorder(dsn, seed + 3, acknowledged, until)),
            asyncio.create_task(break_things(apis, dsn, postmaster, choose, until, done)),
            asyncio.create_task(_later(seconds / 3, hold_open_elsewhere(dsn, min(10, seconds / 2)))),
        ]
        await asyncio.gather(*writing)
        last = (await _last_word(apis, acknowledged), "FINISHED")
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                while not all(last in subscriber.seen[-50:] for subscriber in following):
                    await asyncio.sleep(0.2)
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for api in apis:
            api.kill()
    problems = sum((problems_of(subscriber, acknowledged) for subscriber in following), Counter())
    deeds = ", ".join(f"{count}x {name}" for name, count in sorted(done.items()))
    summary = (
        f"seed {seed}: {len(acknowledged)} changes acknowledged, {subscribers} subscribers, "
        f"{sum(subscriber.connections for subscriber in following)} connections; {deeds}; "
        f"lost {problems['lost']}, twice {problems['twice']}, out of order {problems['out of order']}, "
        f"resyncs {problems['resyncs']}"
    )
    return summary, not problems


async def _later(seconds: float, work: Awaitable[None]) -> None:
    await asyncio.sleep(seconds)
    await work


async def _first_cursor(api: Api) -> str:
    async with httpx2.AsyncClient(timeout=5) as client:
        while True:
            with suppress(httpx2.HTTPError):
                query = {"query": "{ executions(first: 0) { changeCursor } }"}
                answer = await client.post(f"http://127.0.0.1:{api.port}/graphql", json=query)
                cursor: str = answer.json()["data"]["executions"]["changeCursor"]
                return cursor
            await asyncio.sleep(0.1)


async def _last_word(apis: list[Api], acknowledged: set[Step]) -> str:
    """Record one more execution: who has seen it has seen everything before it."""
    execution_id = str(uuid.uuid4())
    async with httpx2.AsyncClient(timeout=5) as client:
        for step, event in events_of(execution_id, datetime.now(UTC)):
            await _send(client, apis, random.Random(), [event])
            acknowledged.add(step)
    return execution_id


async def main(seconds: float, seed: int, subscribers: int) -> int:
    with tempfile.TemporaryDirectory(prefix="flowtrail-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL runs as another user when we are root
        with embedded.start(folder) as postgres:
            await migrate.upgrade(database_url.parse(postgres.dsn))
            (postmaster,) = folder.rglob("postmaster.pid")
            summary, is_well = await chaos(postgres.dsn, postmaster, folder, seconds=seconds, seed=seed, subscribers=subscribers)
    print(summary)
    return 0 if is_well else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subscribers", type=int, default=20)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.seconds, arguments.seed, arguments.subscribers)))
