"""For how long a recorder's largest bodies hold the event loop: `python benchmarks/holds.py [--rounds 3] [BODY…]`.

The service runs in this process, on asyncio's own loop, whose every step is timed; the bodies come from a process of their own.
Printed for each body, as medians over the rounds: the status of the answer, the processor time of the longest step and of all
steps (milliseconds), and how many steps took longer than 1 and 3 milliseconds. It is the time of the loop's own thread, so that it
does not tell of what else keeps the machine busy. `--where` names the longest step's task.
"""

import argparse
import asyncio
import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import uvicorn
from uuid_utils.compat import uuid7

from costly_documents import RECORD
from flowtrail.app import create_app, socket_options
from flowtrail.bench import client
from flowtrail.settings import Settings
from live_server import REGISTER, TOKEN, database

MIB = 1024 * 1024
ROOM = 8 * MIB - 2_000
"""Bytes of a body, but for the little around what is large in it."""
EXECUTION = str(uuid7())


def _start(value: Any, **more: Any) -> dict[str, Any]:
    start = {"executionId": str(uuid7()), "server": "holds", "toolName": "tool", "startedAt": _now()}
    return {"started": {**start, "initialParams": {"value": value}, **more}}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _batch(*events: Any) -> bytes:
    return _request(RECORD, {"input": {"sentAt": _now(), "events": events}})


def _request(document: str, variables: Any) -> bytes:
    return json.dumps({"query": document, "variables": variables}).encode()


def _around(value: bytes) -> bytes:
    """A batch of one event with a value that is text already."""
    return _batch(_start("<here>")).replace(b'"<here>"', value)


def _errors(stack: int, events: int) -> bytes:
    ids = [str(uuid7()) for _ in range(events)]
    starts = [_start(1, executionId=id_) for id_ in ids]
    error = {"kind": "EXCEPTION", "message": "é" * 100, "stack": "y" * stack}
    ends = [{"finished": {"executionId": id_, "status": "ERROR", "endedAt": _now(), "errorInfo": error}} for id_ in ids]
    return _batch(*starts, *ends)


def _schemas() -> bytes:
    schema = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(200)}}
    flows = [{"toolName": f"tool-{number}", "inputSchema": schema} for number in range(1000)]
    return _request(REGISTER, {"input": {"server": "holds", "flows": flows}})


BODIES: dict[str, Callable[[], bytes]] = {
    "a usual batch": lambda: _batch(*(_start({"order": "A-1", "lines": [1, 2, 3]}) for _ in range(10))),
    "1,000 values of 7 KB": lambda: _batch(*(_start("y" * 7_000) for _ in range(1000))),
    "1,000 values with much in them": lambda: _batch(
        *(_start([{"number": number, "text": "some words"} for number in range(150)]) for _ in range(1000))
    ),
    "1,000 small events": lambda: _batch(*(_start(1) for _ in range(1000))),
    "40 stacks of 200,000 characters": lambda: _errors(200_000, 40),
    "500 stacks of 10,000 characters": lambda: _errors(10_000, 500),
    "a value made of brackets": lambda: _around(b"[" + b"[]," * 490_000 + b"1]"),
    "a value of nested objects": lambda: _around(b"[" + b'{"a":{"b":[1]}},' * 160_000 + b"1]"),
    "a value of numbers": lambda: _around(b"[" + b"1," * 1_900_000 + b"1]"),
    "a value of fractions": lambda: _around(b"[" + b"0.123456789012," * 550_000 + b"1]"),
    "a value of many names": lambda: _around(json.dumps({f"name {number}": number for number in range(330_000)}).encode()),
    "a long string": lambda: _around(b'"' + b"y" * ROOM + b'"'),
    "a long string of all kinds": lambda: _around('"{}"'.format("åß字👩" * (ROOM // 11)).encode()),
    "a long string of escapes": lambda: _around(b'"' + b"\\ud83d\\ude00" * (ROOM // 12) + b'"'),
    "a long number": lambda: _around(b"0." + b"123456789" * (ROOM // 9)),
    "large values, one in another": lambda: _around((b'[[%s1],{"a":' % (b"2," * 5_000)) * 90 + b"1" + b"}]" * 90),
    "nested too deeply": lambda: _around(b"[" * 490_000),
    "spaces": lambda: b" " * ROOM + _batch(_start(1)),
    "variables nobody asked for": lambda: _request(RECORD, {"x": [[]] * 490_000}),
    "a wrong variable": lambda: _request(RECORD, {"input": [[]] * 490_000}),
    "a wrong event": lambda: _batch(*(_start(1) for _ in range(900)), {"started": [[]] * 480_000}),
    "extensions": lambda: json.dumps({"query": RECORD, "extensions": {"x": [[]] * 490_000}}).encode(),
    "a flow of many schemas": _schemas,
    "broken at its end": lambda: _around(b"[" + b"[]," * 490_000 + b"x]"),
    "no UTF-8": lambda: _around(b'"' + b"y" * ROOM + b'\xff"'),
    "too many commas": lambda: _around(b"[" + b"1," * 4_000_000 + b"1]"),
}


class Steps:
    """The processor time of the loop's steps, in milliseconds, since it was asked for last."""

    def __init__(self) -> None:
        self._took: list[float] = []
        self._longest, self._where = 0.0, ""
        run = asyncio.Handle._run  # type: ignore[attr-defined]

        def timed(handle: Any) -> None:
            began = time.thread_time()
            run(handle)
            took = (time.thread_time() - began) * 1000
            self._took.append(took)
            if took > self._longest:
                self._longest, self._where = took, repr(handle)

        asyncio.Handle._run = timed  # type: ignore[attr-defined]

    def taken(self) -> tuple[list[float], str]:
        """Return what the steps took, and what the longest was."""
        taken = self._took, self._where
        self._took, self._longest, self._where = [], 0.0, ""
        return taken


async def measure(steps: Steps, port: int, rounds: int, names: list[str], *, where: bool) -> None:
    """Send each body so many times and print what the loop's steps took meanwhile."""
    print(f"{'':34} status   longest       all  > 1 ms  > 3 ms")
    for name in names:
        found: list[tuple[float, float, int, int]] = []
        status = longest_where = ""
        for number in range(rounds + 1):
            sender = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--send", name, "--port", str(port), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert sender.stdin is not None
            assert sender.stdout is not None
            await sender.stdout.readline()
            steps.taken()
            sender.stdin.write(b"\n")
            status = (await sender.stdout.readline()).decode().strip()
            await asyncio.sleep(0.2)
            took, what = steps.taken()
            longest_where = f"   {what}"
            await sender.wait()
            if number:  # documents are known after the first
                found.append((max(took), sum(took), sum(each > 1 for each in took), sum(each > 3 for each in took)))
        longest, total, over_1, over_3 = (statistics.median(each) for each in zip(*found, strict=True))
        print(f"{name:34} {status:6} {longest:9.1f} {total:9.1f} {over_1:7.0f} {over_3:7.0f}{longest_where if where else ''}")


async def send(port: int, name: str) -> None:
    """Make a body, say so, and when told send it."""
    request = client.post("/graphql", BODIES[name](), TOKEN)
    print("made", flush=True)
    sys.stdin.readline()
    status, answer = await client.fetch(port, request)
    refused = "" if b'"errors"' not in answer and b"REJECTED" not in answer else " e"
    print(f"{status}{refused}", flush=True)


async def run(dsn: str, rounds: int, names: list[str], *, where: bool) -> None:
    """Serve, and measure."""
    os.environ |= {"DATABASE_URL": dsn, "FLOWTRAIL_RECORD_TOKEN": TOKEN}
    settings = Settings.load(sweep_interval=3600.0, fold_interval=3600.0)
    options: dict[str, Any] = {**socket_options(settings)}
    server = uvicorn.Server(uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="warning", **options))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.05)
    gc.freeze()  # as `flowtrail serve` does
    gc.set_threshold(100_000, 20, 20)
    port = server.servers[0].sockets[0].getsockname()[1]
    await measure(Steps(), port, rounds, names, where=where)
    server.should_exit = True
    await serving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bodies", nargs="*", choices=[*BODIES, []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--where", action="store_true")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--send", metavar="BODY", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        asyncio.run(send(arguments.port, arguments.send))
        return
    with database() as dsn:
        asyncio.run(run(dsn, arguments.rounds, arguments.bodies or list(BODIES), where=arguments.where))


if __name__ == "__main__":
    main()
