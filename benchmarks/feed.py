"""What a change feed of a million changes costs: an empty poll, catching up from its start, pruning.

    uv run benchmarks/feed.py                    a million changes, ten in each transaction, on an embedded PostgreSQL of its own
    uv run benchmarks/feed.py --changes 100000

Times are those of the service's own statements, on its own pools; the table is not analysed before, as on a busy first day.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import asyncpg

from flowtrail import changes, database_url, embedded, migrate
from flowtrail.changes import Position
from flowtrail.changes.feed import position_now
from flowtrail.database import Database
from flowtrail.settings import Settings

T = TypeVar("T")
IN_TRANSACTION = 10
LOAD = f"""
DO $$ BEGIN
  FOR number IN 1..%d LOOP
    INSERT INTO execution_change (execution_id, flow_id, kind, at)
    SELECT gen_random_uuid(), gen_random_uuid(), 'STARTED', now() - interval '2 days' FROM generate_series(1, {IN_TRANSACTION});
    COMMIT;
  END LOOP;
END $$"""


async def load(dsn: str, count: int) -> None:
    """Append changes as recorders do, in many transactions."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET synchronous_commit = off")
    await connection.execute(LOAD % (count // IN_TRANSACTION))
    await connection.close()


async def timed(work: Callable[[], Awaitable[T]]) -> tuple[T, float]:
    """Return what `work` returns, and its seconds."""
    start = time.perf_counter()
    return await work(), time.perf_counter() - start


async def measure(dsn: str, count: int) -> None:
    database = await Database.open(dsn, Settings(statement_timeout=120.0))
    await changes.ensure_epoch(database)

    async def position() -> Position:
        async with database.read() as read:
            return await position_now(read)

    async def poll(after: Position) -> int:
        async with database.read() as read:
            return len((await changes.read_after(read, after))[0])

    async def polls() -> str:
        now = await position()
        times = [(await timed(lambda: poll(now)))[1] * 1000 for _ in range(200)]
        return f"p50 {statistics.median(times):.2f} ms, at most {max(times):.2f} ms"

    async def caught_up(after: Position) -> int:
        return sum([len(batch.entries) async for batch, _ in changes.catch_up(database, after)])

    async def prune() -> int:
        async with database.write() as write:
            return await changes.prune(write, timedelta(days=1))

    start = await position()
    show(f"empty poll of an empty feed: {await polls()}")
    show(f"loading {count} changes: {(await timed(lambda: load(dsn, count)))[1]:.1f} s")
    show(f"empty poll: {await polls()}")
    seen, seconds = await timed(lambda: caught_up(start))
    show(f"catching up from the start: {seen} changes in {seconds:.1f} s, {seen / seconds:.0f}/s")
    times = []
    while (done := await timed(prune))[0]:
        times.append(done[1])
    each = f"p50 {statistics.median(times):.2f} s, at most {max(times):.2f} s"
    show(f"pruning everything: {sum(times):.1f} s in {len(times)} transactions, {each}")
    show(f"empty poll after it: {await polls()}")
    await database.close()


def show(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.start(Path(folder)) as postgres:
        asyncio.run(migrate.upgrade(database_url.parse(postgres.dsn)))
        asyncio.run(measure(postgres.dsn, options.changes))


if __name__ == "__main__":
    main()
