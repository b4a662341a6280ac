"""What live subscriptions cost: many subscribers of one flow, on this service and on stock Strawberry with the same schema.

    uv run benchmarks/fan_out.py                         1,000 subscribers, 100 changes
    uv run benchmarks/fan_out.py --subscribers 200 --changes 50 --only throughput

Server, subscribers and recorder are processes of their own, on an embedded PostgreSQL made for the run. On a machine that is
shared or has few cores compare the messages for each second of the server's own CPU. Linux only (/proc).
"""

import argparse
import asyncio
import re
import statistics
import time
from collections import Counter
from pathlib import Path

import asyncpg

from live_server import Server, Subscribers, database, serve

HEAVY_FEED = """subscription($flowId: ID, $after: String) { executionChanges(flowId: $flowId, after: $after) {
  ... on ExecutionChange { cursor at execution { initialParams } } } }"""
CALM_SECONDS = 0.2
"""Between two changes, where latency is measured."""
LOAD_ROUNDS, LOAD_CHANGES = 60, 50
IDLE_SECONDS = 20
_LOGGED = re.compile(r"^flowtrail\b[^|]*\|LOG: +(?:statement|execute [^:]*):\s+(\S.*)$", re.MULTILINE)


async def throughput(dsn: str, count: int, changes: int) -> None:
    """Compare both servers; the changes come in one transaction, which spares the stock server reading them one by one."""
    rates = []
    for stock in (True, False):
        async with Server.running(dsn, stock=stock) as server:
            before = server.memory()
            async with Subscribers.connected(dsn, server, count) as crowd:
                await server.record(1)
                await crowd.command("expect 1")
                each = (server.memory() - before) * 1024 / count
                cpu, start = server.cpu(), time.time()
                await server.record(changes)
                seconds = (await crowd.command(f"expect {changes}"))["at"] - start
                cpu = server.cpu() - cpu
        messages = count * changes
        rates.append((messages / seconds, messages / cpu))
        show(
            f"{'stock' if stock else 'flowtrail':9} {messages} messages in {seconds:6.2f} s: {messages / seconds:7.0f}/s, "
            f"{messages / cpu:7.0f} for each second of its CPU; {each:.0f} KiB for each subscriber"
        )
    (stock_rate, stock_cpu), (rate, cpu) = rates
    show(
        f"          {rate / stock_rate:.1f} times as many a second, {cpu / stock_cpu:.1f} times as many for each second of its CPU"
    )


async def latency(dsn: str, count: int) -> None:
    """Measure from a change's commit to its arrival at every subscriber, at a calm rate."""
    async with Server.running(dsn) as server, Subscribers.connected(dsn, server, count) as crowd:
        await crowd.latencies(5, CALM_SECONDS)
        for _ in range(5):
            found = quantiles(await crowd.latencies(20, CALM_SECONDS))
            show(f"latency   {found}; one change every {CALM_SECONDS * 1000:.0f} ms, {count} subscribers")


async def stalled(dsn: str) -> None:
    """Show what a subscriber that never reads does to the others and to the server's memory."""
    changes = LOAD_ROUNDS * (LOAD_CHANGES + 1)
    async with Server.running(dsn) as server, Subscribers.connected(dsn, server, 20) as others:
        async with Subscribers.connected(dsn, server, 1, HEAVY_FEED) as reading:
            alone = await under_load(server, others)
            await reading.command(f"expect {changes}")
        before = server.memory()
        async with Subscribers.connected(dsn, server, 1, HEAVY_FEED) as never_reading:
            await never_reading.command("stall")
            together = await under_load(server, others)
            after = server.memory()
            closed = await never_reading.command("closed")
        show(f"others    {quantiles(alone)} beside a subscriber that reads; {quantiles(together)} beside one that never does")
        show(f"          it was cut off after {closed['received'][0]} of {changes} changes of 20 kB each")
        show(f"          the server's memory: {before:.0f} MiB before, {after:.0f} MiB with it")


async def under_load(server: Server, crowd: Subscribers) -> list[float]:
    """Record bursts of changes, each with a single one after it, and return the latencies of the single ones."""
    latencies: list[float] = []
    for _ in range(LOAD_ROUNDS):
        await server.record(LOAD_CHANGES, "x" * 20_000)
        await crowd.command(f"expect {LOAD_CHANGES}")
        latencies += await crowd.latencies(1, CALM_SECONDS, "x" * 20_000)
    return latencies


async def idle(dsn: str, count: int) -> None:
    """Show the statements of the server while nothing happens: nobody subscribed, and somebody."""
    async with Server.running(dsn) as server:
        nobody = await statements(dsn)
        async with Subscribers.connected(dsn, server, count):
            somebody = await statements(dsn)
    for who, found in (("nobody", nobody), (f"{count} subscribers", somebody)):
        listed = ", ".join(f"{times} times {text!r}" for text, times in found.items())
        show(f"idle      {IDLE_SECONDS} s with {who}: {listed or 'no statement'}")


async def statements(dsn: str) -> Counter[str]:
    """Count, by their beginnings, what the server's sessions execute within IDLE_SECONDS, as PostgreSQL logs it."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER SYSTEM SET log_line_prefix = '%a|'")
    await connection.execute("ALTER SYSTEM SET log_statement = 'all'")
    await connection.execute("SELECT pg_reload_conf()")
    await asyncio.sleep(5)  # what starts with a subscription is done by then
    data = Path(await connection.fetchval("SHOW data_directory"))
    log = data.parent / "log"
    start = log.stat().st_size
    await asyncio.sleep(IDLE_SECONDS)
    logged = log.read_bytes()[start:].decode(errors="replace")
    await connection.execute("ALTER SYSTEM RESET log_statement")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    return Counter(" ".join(match[1].split()[:4]) for match in _LOGGED.finditer(logged))


def quantiles(values: list[float]) -> str:
    cuts = statistics.quantiles(values, n=100)
    return f"p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms"


def show(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--only", choices=["throughput", "latency", "stalled", "idle"])
    parser.add_argument("--serve", choices=["flowtrail", "stock"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.port, stock=options.serve == "stock")
        return
    with database() as dsn:
        if options.only in (None, "throughput"):
            asyncio.run(throughput(dsn, options.subscribers, options.changes))
        if options.only in (None, "latency"):
            asyncio.run(latency(dsn, options.subscribers))
        if options.only in (None, "stalled"):
            asyncio.run(stalled(dsn))
        if options.only in (None, "idle"):
            asyncio.run(idle(dsn, options.subscribers))


if __name__ == "__main__":
    main()
