"""Tool calls while everything around them fails, at seeded random: is every call in the history, exactly once?

    uv run tests/long/wrapper_chaos.py --rounds 20 --seconds 120 --seed 1

A tracked MCP server's tools write a log of their own when they begin and end. Meanwhile the service is killed and
restarted, cut off, made slow and mute, its PostgreSQL killed, and the server itself killed with -9. Then everything is
healed, and the history is held against the log: each call whose tool began is there once; it has the outcome that the tool
had, or INTERRUPTED when the server died in it. The last line sums up; the exit code is 0 when nothing was lost and nothing
is there twice.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StdioTransport

from flowtrail.embedded.cluster import Cluster
from flowtrail.mcp import ExecutionTracking, node

CALLERS = 6
LOG = "FLOWTRAIL_CHAOS_LOG"


def serve_tools() -> None:
    """The server under test: every tool writes to the log as it begins and ends."""
    mcp = FastMCP("chaos", middleware=[ExecutionTracking()])
    log = os.open(os.environ[LOG], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(word: str, call: str) -> None:
        os.write(log, f"{word} {call}\n".encode())

    @mcp.tool
    async def quick(call: str) -> str:
        note("begin", call)
        note("end", call)
        return call

    @mcp.tool
    async def steps(call: str, pauses: list[float]) -> str:
        note("begin", call)
        for number, pause in enumerate(pauses):
            async with node(f"Step {number}", input={"call": call, "pause": pause}) as running:
                await asyncio.sleep(pause)
                running.output = "x" * 1000
        note("end", call)
        return call

    @mcp.tool
    async def fails(call: str) -> str:
        note("begin", call)
        async with node("Breaks"):
            note("fail", call)
            raise ValueError(call)

    mcp.run(show_banner=False, log_level="CRITICAL")


class Wire:
    """A TCP relay between the wrapper and the service that can be told to misbehave."""

    MOODS = ("pass", "refuse", "mute", "slow", "cut")

    def __init__(self, service_port: int, seed: random.Random) -> None:
        self.mood = "pass"
        self._service_port = service_port
        self._seed = seed
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def set_mood(self, mood: str) -> None:
        """Change behaviour; what is connected now is cut."""
        self.mood = mood
        for writer in list(self._writers):
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.mood == "refuse":
                return
            if self.mood == "mute":
                await asyncio.sleep(3600)
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._service_port)
            self._writers.add(upstream_writer)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, upstream_writer))
                    both.create_task(self._pump(upstream_reader, writer, answers=True))
            finally:
                self._writers.discard(upstream_writer)
                upstream_writer.transport.abort()
        except* (OSError, asyncio.IncompleteReadError):
            pass
        except* asyncio.CancelledError:
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while data := await reader.read(65536):
            if self.mood == "slow":
                await asyncio.sleep(self._seed.uniform(0.2, 2.0))
            if self.mood == "cut" and answers:
                # The service has stored the batch, and the recorder never hears of it.
                raise OSError("cut")
            writer.write(data)
            await writer.drain()
        raise OSError("closed")


@dataclass
class Round:
    """One run of chaos, in a folder of its own."""

    seed: random.Random
    folder: Path
    seconds: float
    calls: int = 0
    harm: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.service_port = probe.getsockname()[1]
        self.log = self.folder / "tools.log"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWTRAIL_")} | {
            "FLOWTRAIL_DATA_DIR": str(self.folder / "data"),
            LOG: str(self.log),
        }
        self.service: subprocess.Popen[bytes] | None = None
        self.server_pid: int | None = None
        self.server_died = asyncio.Event()

    def start_service(self) -> None:
        """Run the real service with its embedded PostgreSQL."""
        command = [sys.executable, "-c", "from flowtrail.cli import main; main()", "serve", "--port", str(self.service_port)]
        self.service = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=(self.folder / "service.log").open("ab")
        )

    async def service_is_ready(self) -> None:
        """Wait until the service answers; start it again if it gave up."""
        async with httpx2.AsyncClient(timeout=5) as http:
            while True:
                with suppress(httpx2.HTTPError):
                    if (await http.get(f"http://127.0.0.1:{self.service_port}/readyz")).status_code == 200:
                        return
                if self.service is None or self.service.poll() is not None:
                    self.start_service()
                await asyncio.sleep(0.2)

    def kill(self, what: str) -> None:
        """Kill one of the processes with -9."""
        pids: list[int] = []
        if what == "service" and self.service is not None and self.service.poll() is None:
            pids = [self.service.pid]
        elif what == "postgres":
            with suppress(OSError, ValueError, IndexError):
                pids = [int((Cluster.of(self.folder / "data").data / "postmaster.pid").read_text().split()[0])]
        elif what == "server":
            pids = [self.server_pid] if self.server_pid else []
            self.server_pid = None
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.harm[f"kill {what}"] += 1
        if what == "server" and pids:
            self.server_died.set()

    async def call_tools(self, until: float) -> None:
        """Call tools of the server, starting it again whenever it has died."""
        while time.monotonic() < until:
            transport = StdioTransport(sys.executable, [__file__, "--serve-tools"], env=self.environment, keep_alive=False)
            with suppress(Exception):
                async with Client(transport, timeout=20) as client, asyncio.TaskGroup() as callers:
                    self.server_pid = _child_of_ours("--serve-tools")
                    self.server_died.clear()
                    callers.create_task(self._notice_death(until))
                    for _ in range(CALLERS):
                        callers.create_task(self._caller(client, until))

    async def _notice_death(self, until: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.server_died.wait(), until - time.monotonic())
            raise ConnectionError("the server was killed")

    async def _caller(self, client: Client[Any], until: float) -> None:
        while time.monotonic() < until:
            self.calls += 1
            call = f"{self.calls}"
            tool = self.seed.choice(("quick", "quick", "steps", "steps", "fails"))
            arguments: dict[str, Any] = {"call": call}
            if tool == "steps":
                arguments["pauses"] = [self.seed.expovariate(20) for _ in range(self.seed.randint(1, 5))]
            await client.call_tool(tool, arguments, raise_on_error=False)
            await asyncio.sleep(self.seed.expovariate(100))

    async def do_harm(self, wire: Wire, until: float) -> None:
        """Do something bad at random moments."""
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self.seed.uniform(0.5, 4.0)))
            harm = self.seed.choice(("service", "postgres", "server", "server", "mood", "mood", "heal"))
            if harm == "heal":
                wire.set_mood("pass")
            elif harm == "mood":
                wire.set_mood(self.seed.choice(Wire.MOODS[1:]))
                self.harm[wire.mood] += 1
            else:
                self.kill(harm)
            if harm == "service":
                self.start_service()

    async def run(self) -> Counter[str]:
        """Run the round and return what was found."""
        self.start_service()
        wire = Wire(self.service_port, self.seed)
        self.environment["FLOWTRAIL_URL"] = f"http://127.0.0.1:{await wire.start()}/graphql"
        await self.service_is_ready()
        try:
            until = time.monotonic() + self.seconds
            await asyncio.gather(self.call_tools(until), self.do_harm(wire, until))
            wire.set_mood("pass")
            await self.service_is_ready()
            await self.deliver_the_rest()
            return await self.compare()
        finally:
            if self.service is not None:
                self.service.terminate()
                self.service.wait()

    async def deliver_the_rest(self) -> None:
        """Let the server come back once more, and wait until nothing waits."""
        transport = StdioTransport(sys.executable, [__file__, "--serve-tools"], env=self.environment, keep_alive=False)
        async with Client(transport) as client:
            await client.list_tools()
            deadline = time.monotonic() + 120
            while (waiting := self.waiting())[0] and time.monotonic() < deadline:
                await self.service_is_ready()
                await asyncio.sleep(0.3)
        if waiting[0] or waiting[1]:
            print(f"still waiting: {waiting[0]} events, {waiting[1]} dead letters {waiting[2]}")

    def waiting(self) -> tuple[int, int, list[str]]:
        """Return how many events and dead letters there are, and some of the latter."""
        from flowtrail.mcp.configuration import Configuration
        from flowtrail.mcp.spool_commands import spool_status

        statuses = spool_status(Configuration.from_environment(environment=self.environment))
        letters = [f"{letter.code}: {letter.reason} {letter.body[:200]}" for status in statuses for letter in status.dead_letters]
        return sum(status.state.events for status in statuses), len(letters), letters[:3]

    async def compare(self) -> Counter[str]:
        """Hold the history against the tools' log."""
        history = await self.read_history()
        noted: dict[str, str] = {}
        for line in self.log.read_text().splitlines():
            word, call = line.split()
            noted[call] = word
        found = Counter(calls=len(noted), executions=len(history))
        recorded: dict[str, list[dict[str, Any]]] = {}
        for execution in history:
            recorded.setdefault(execution["initialParams"]["call"], []).append(execution)
        for call, word in noted.items():
            executions = recorded.get(call, [])
            found["lost" if not executions else "twice" if len(executions) > 1 else "once"] += 1
            for execution in executions:
                found[self.judge(word, execution)] += 1
        return found

    @staticmethod
    def judge(word: str, execution: dict[str, Any]) -> str:
        """Say whether an execution's outcome is one that its call may have had."""
        kind = (execution["errorInfo"] or {}).get("kind")
        if execution["status"] == "PENDING":
            return "still pending"
        if kind == "INTERRUPTED":
            return "interrupted"
        expected = {"end": (None, "CANCELLED"), "fail": ("EXCEPTION", "CANCELLED"), "begin": ("CANCELLED",)}[word]
        return "right" if kind in expected else f"wrong: {word} but {kind}"

    async def read_history(self) -> list[dict[str, Any]]:
        """Return every execution."""
        document = """query ($after: String) { executions(first: 100, after: $after) {
          edges { node { uuid status initialParams errorInfo { kind } } } pageInfo { hasNextPage endCursor } } }"""
        history: list[dict[str, Any]] = []
        after = None
        async with httpx2.AsyncClient(timeout=30) as http:
            while True:
                body = json.dumps({"query": document, "variables": {"after": after}})
                response = await http.post(
                    f"http://127.0.0.1:{self.service_port}/graphql", content=body, headers={"content-type": "application/json"}
                )
                page = response.json()["data"]["executions"]
                history += [edge["node"] for edge in page["edges"]]
                if not page["pageInfo"]["hasNextPage"]:
                    return history
                after = page["pageInfo"]["endCursor"]


def _child_of_ours(mark: str) -> int | None:
    newest = None
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == os.getpid() and fields[0] != "Z" and mark.encode() in (folder / "cmdline").read_bytes():
                newest = max(newest or 0, int(folder.name))
    return newest


async def main() -> int:
    """Read the command line, run the rounds and sum up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    for number in range(arguments.rounds):
        folder = Path(tempfile.mkdtemp(prefix="flowtrail-chaos-"))
        folder.chmod(0o711)
        chaos = Round(random.Random(arguments.seed * 1000 + number), folder, arguments.seconds)
        found = await chaos.run()
        print(f"round {number}: {dict(found)} after {dict(chaos.harm)}", flush=True)
        total += found
        if found["lost"] or found["twice"]:
            print(f"kept for looking at: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    bad = total["lost"] + total["twice"] + total["still pending"] + sum(n for word, n in total.items() if word.startswith("wrong"))
    print(f"seed {arguments.seed}, {arguments.rounds} x {arguments.seconds:g} s: {dict(total)} {'FAILED' if bad else 'passed'}")
    return 1 if bad else 0


if __name__ == "__main__":
    if "--serve-tools" in sys.argv:
        serve_tools()
    else:
        sys.exit(asyncio.run(main()))
