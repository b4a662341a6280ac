"""Pages through 10,000 executions while others arrive, end and are purged; delivers an hour-old backlog; deletes a large flow.

    uv run python tests/long/reading_churn.py --executions 10000 --backlog 100000 --seed 1

A client library pages forward and backward at random sizes: it must meet each execution that stayed exactly once, in order.
Recorders whose clocks are ten minutes slow, right and fast deliver the backlog, starts and ends in batches of their own: nothing of
it may be TIMED_OUT, and no count be wrong. Deleting the flow of the backlog must take as long as deleting an empty one. Prints a
summary line for each; exits with 1 when something was lost, came twice, timed out or took too long.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from gql import Client, gql
from gql.transport.httpx import HTTPXAsyncTransport
from uuid_utils.compat import uuid7

sys.path.insert(0, str(Path(__file__).parents[1]))

from flowtrail import database_url, embedded, migrate
from flowtrail.database import Database
from flowtrail.settings import Settings
from reader import count, ids_of
from recorder import accept, ask, finished, now, register, started
from support import Service, running_service
from test_counts import ask_to_delete, compare
from test_paging import OF_FLOW, History

TOKEN = "token-of-the-long-run"
BATCH = 500


async def churn(history: History, rng: random.Random, paging: asyncio.Task[list[str]]) -> int:
    """Add, end and purge executions as long as somebody pages; returns how many."""
    changes = 0
    while not paging.done():
        alive = history.newest_first
        await history.add(*(rng.uniform(-100, 600) for _ in range(5)))
        await history.end(*rng.sample(alive, 5))
        await history.purge(*rng.sample(alive, 3))
        changes += 13
    return changes


async def page_through(service: Service, history: History, rng: random.Random, *, backward: bool) -> list[str]:
    """Page from one end to the other with a client library and return the ids in the order they came."""
    document, seen, arguments = gql(OF_FLOW), [], {"server": history.server}
    async with Client(transport=HTTPXAsyncTransport(url=service.graphql_url), fetch_schema_from_transport=False) as client:
        while True:
            document.variable_values = arguments | {"last" if backward else "first": rng.randrange(1, 31)}
            found = (await client.execute(document))["flow"]["executions"]
            seen += ids_of(found)[::-1] if backward else ids_of(found)
            info = found["pageInfo"]
            if not info["hasPreviousPage" if backward else "hasNextPage"]:
                return seen
            arguments["before" if backward else "after"] = info["startCursor" if backward else "endCursor"]


async def check_paging(service: Service, database: Database, executions: int, seed: int) -> bool:
    """Page both ways under churn; tell whether each that stayed was met exactly once."""
    rng, history = random.Random(seed), History(service, database)
    await history.add(*(rng.uniform(0, 500) for _ in range(executions)))
    good = True
    for direction in ("forward", "backward"):
        before, began = set(history.newest_first), time.monotonic()
        paging = asyncio.create_task(page_through(service, history, random.Random(seed), backward=direction == "backward"))
        changes, seen = await churn(history, rng, paging), await paging
        stayed = [id_ for id_ in history.newest_first if id_ in before]
        met = [id_ for id_ in seen if id_ in set(stayed)]
        twice, missed = len(seen) - len(set(seen)), len(set(stayed) - set(seen))
        in_order = met == (stayed if direction == "forward" else stayed[::-1])
        good = good and not twice and not missed and in_order
        print(
            f"paging {direction}: {len(seen)} met in {time.monotonic() - began:.0f} s under {changes} changes, "
            f"{len(stayed)} stayed: {twice} twice, {missed} missed, {'in order' if in_order else 'OUT OF ORDER'}"
        )
    return good


async def deliver(service: Service, minutes: int, executions: int) -> None:
    """Deliver what a recorder, its clock wrong by so many minutes, has kept for an hour: all starts of a part before their ends."""
    for begin in range(0, executions, BATCH):
        starts, ends = [], []
        sent_at = now() + timedelta(minutes=minutes)
        for number in range(begin, min(begin + BATCH, executions)):
            id_, at = str(uuid7()), sent_at - timedelta(minutes=60) + timedelta(seconds=number % 1800)
            starts.append(started(id_, at=at, server="backlog", tool="backlog"))
            ends.append(finished(id_, at=at + timedelta(seconds=299), error="TOOL_ERROR" if number % 10 == 0 else None))
        await accept(service, *starts, sent_at=sent_at)
        await accept(service, *ends, sent_at=sent_at + timedelta(seconds=2))


async def check_backlog(service: Service, database: Database, executions: int) -> bool:
    """Deliver an hour-old backlog; tell whether nothing of it is TIMED_OUT and every count is right."""
    began, each = time.monotonic(), executions // 3
    await asyncio.gather(*(deliver(service, minutes, each) for minutes in (-10, 0, 10)))
    spent, flow = time.monotonic() - began, await flow_id(service, "backlog")
    found = {status: await count(service, flowId=[flow], status=[status]) for status in ("PENDING", "FULFILLED", "ERROR")}
    timed_out = await count(service, flowId=[flow], errorKind=["TIMED_OUT"])
    await compare(database)
    errors = 3 * len(range(0, each, 10))
    good = not timed_out and found == {"PENDING": 0, "FULFILLED": 3 * each - errors, "ERROR": errors}
    print(
        f"backlog: {3 * each} executions an hour old in {spent:.0f} s, "
        f"{found}, {timed_out} timed out: {'right' if good else 'WRONG'}"
    )
    return good


async def flow_id(service: Service, tool: str) -> str:
    found = await ask(service, "query ($tool: String!) { flow(by: {tool: {server: $tool, toolName: $tool}}) { id } }", tool=tool)
    id_: str = found["flow"]["id"]
    return id_


async def timed(work: Awaitable[None]) -> float:
    began = time.monotonic()
    await work
    return (time.monotonic() - began) * 1000


async def check_deletion(service: Service) -> bool:
    """Delete empty flows and the large one; tell whether that took alike."""
    empty = []
    for _ in range(5):
        (flow,) = await register(service, {"toolName": "empty"}, server=f"server-{uuid.uuid4().hex}")
        empty.append(await timed(ask_to_delete(service, flow["id"])))
    large = await timed(ask_to_delete(service, await flow_id(service, "backlog")))
    good = large < max(empty) + 50
    print(
        f"deletion: empty flows {min(empty):.1f} to {max(empty):.1f} ms, the large one {large:.1f} ms: "
        f"{'alike' if good else 'SLOW'}"
    )
    return good


async def run(executions: int, backlog: int, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with embedded.start(Path(folder)) as postgres:
            await migrate.upgrade(database_url.parse(postgres.dsn))
            settings = Settings.load(database_url=postgres.dsn, data_dir=Path(folder) / "data", record_token=TOKEN)
            database = await Database.open(postgres.dsn, settings)
            async with running_service(settings) as service:
                checks: list[Callable[[], Awaitable[bool]]] = [
                    lambda: check_paging(service, database, executions, seed),
                    lambda: check_backlog(service, database, backlog),
                    lambda: check_deletion(service),
                ]
                results = [await check() for check in checks]
            await database.close()
    return all(results)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return 0 if asyncio.run(run(options.executions, options.backlog, options.seed)) else 1


if __name__ == "__main__":
    sys.exit(main())
