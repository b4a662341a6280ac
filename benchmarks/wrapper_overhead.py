"""What tracking costs a tool: paired runs of the same server with and without ExecutionTracking.

    uv run benchmarks/wrapper_overhead.py                                  an unreachable service, stdio and HTTP
    uv run benchmarks/wrapper_overhead.py --url http://127.0.0.1:8000/graphql --calls 2000
    uv run benchmarks/wrapper_overhead.py --slow 30                        a service that takes 30 s for each answer
    uv run benchmarks/wrapper_overhead.py --memory 100000                  the memory of a server after so many calls

Calls alternate between the two servers, so that whatever else the machine does meets both alike. Latencies are the
client's, in milliseconds; CPU is the server process's, for each call. `waiting` and `computing` take 10 ms in three nodes:
what the first adds is dearer, because a process that slept comes back to cold caches.
"""

import argparse
import asyncio
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from fastmcp import Client, FastMCP
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from flowtrail.mcp import ExecutionTracking, node

WARM_UP = 30
TOOLS = ("empty", "waiting", "computing")
NODE_SECONDS = 0.01 / 3


def serve(transport: str, port: int, *, tracked: bool) -> None:
    """Run the server under test."""
    mcp = FastMCP("benchmark", middleware=[ExecutionTracking()] if tracked else [])

    @mcp.tool
    async def empty() -> str:
        return "ok"

    @mcp.tool
    async def waiting() -> str:
        for name in ("One", "Two", "Three"):
            async with node(name, input={"name": name}) as running:
                await asyncio.sleep(NODE_SECONDS)
                running.output = {"name": name}
        return "ok"

    @mcp.tool
    async def computing() -> str:
        for name in ("One", "Two", "Three"):
            async with node(name, input={"name": name}) as running:
                until = time.perf_counter() + NODE_SECONDS
                while time.perf_counter() < until:
                    pass
                running.output = {"name": name}
        return "ok"

    @mcp.tool
    def used() -> list[float]:
        return [time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]

    if transport == "stdio":
        mcp.run(show_banner=False, log_level="ERROR")
    else:
        mcp.run("http", host="127.0.0.1", port=port, show_banner=False, log_level="ERROR")


@asynccontextmanager
async def connected(transport: str, environment: dict[str, str], *, tracked: bool) -> AsyncIterator[Client[Any]]:
    """Start a server of its own process and connect to it."""
    command = [__file__, "--serve", "tracked" if tracked else "untracked", "--transport", transport]
    if transport == "stdio":
        async with Client(StdioTransport(sys.executable, command, env=environment)) as client:
            yield client
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, *command, "--port", str(port)], env=environment)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        async with Client(StreamableHttpTransport(f"http://127.0.0.1:{port}/mcp")) as client:
            yield client
    finally:
        process.terminate()
        process.wait()


async def used(client: Client[Any]) -> tuple[float, float]:
    """Return the CPU seconds and the highest MiB of memory of a server so far."""
    cpu, memory = (await client.call_tool("used")).data
    return cpu, memory


async def compare(transport: str, environment: dict[str, str], calls: int) -> None:
    """Print latency and CPU of both servers, for each tool."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(transport, environment, tracked=tracked)) for tracked in (False, True)]
        for tool in TOOLS:
            latencies: tuple[list[float], list[float]] = ([], [])
            for client in clients:
                for _ in range(WARM_UP):
                    await client.call_tool(tool)
            before = [await used(client) for client in clients]
            for index in range(calls):
                for which in (0, 1) if index % 2 else (1, 0):
                    start = time.perf_counter()
                    await clients[which].call_tool(tool)
                    latencies[which].append((time.perf_counter() - start) * 1000)
            after = [await used(client) for client in clients]
            cpu = [(now[0] - then[0]) / calls * 1000 for now, then in zip(after, before, strict=True)]
            show(transport, tool, latencies, cpu)


def show(transport: str, tool: str, latencies: tuple[list[float], list[float]], cpu: list[float]) -> None:
    """Print one line for a tool."""
    without, tracked = ([statistics.quantiles(values, n=100)[at] for at in (49, 98)] for values in latencies)
    added = tracked[0] - without[0]
    print(
        f"{transport:5} {tool:11} p50 {without[0]:6.2f} -> {tracked[0]:6.2f} ms ({added:+.2f} ms, {added / without[0]:+.1%})   "
        f"p99 {without[1]:6.2f} -> {tracked[1]:6.2f} ms   CPU {cpu[0]:.2f} -> {cpu[1]:.2f} ms"
    )


async def memory(environment: dict[str, str], calls: int) -> None:
    """Print the memory of both servers after many calls."""
    for tracked in (False, True):
        async with connected("stdio", environment, tracked=tracked) as client:
            for done in range(0, calls, 50):
                await asyncio.gather(*(client.call_tool("empty") for _ in range(50)))
                if done in (0, calls // 2 // 50 * 50):
                    print(f"{'tracked' if tracked else 'untracked'}: {(await used(client))[1]:.0f} MiB after {done + 50} calls")
            print(f"{'tracked' if tracked else 'untracked'}: {(await used(client))[1]:.0f} MiB after {calls} calls")


def slow_service(seconds: float) -> str:
    """Run something that answers every request after `seconds`, and return its URL."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)

    def answer(connection: socket.socket) -> None:
        with connection:
            connection.recv(65536)
            time.sleep(seconds)
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    def accept() -> None:
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/graphql"


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--url", default="http://127.0.0.1:9/graphql")
    parser.add_argument("--slow", type=float, metavar="SECONDS")
    parser.add_argument("--memory", type=int, metavar="CALLS")
    parser.add_argument("--transport", choices=("stdio", "http"), action="append")
    parser.add_argument("--serve", choices=("tracked", "untracked"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    transports = arguments.transport or ["stdio", "http"]
    if arguments.serve:
        serve(transports[0], arguments.port, tracked=arguments.serve == "tracked")
        return
    with tempfile.TemporaryDirectory() as spool:
        url = slow_service(arguments.slow) if arguments.slow else arguments.url
        environment = os.environ | {"FLOWTRAIL_URL": url, "FLOWTRAIL_SPOOL_DIR": spool}
        if arguments.memory:
            asyncio.run(memory(environment, arguments.memory))
            return
        for transport in transports:
            asyncio.run(compare(transport, environment, arguments.calls))


if __name__ == "__main__":
    main()
