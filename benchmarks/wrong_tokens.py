"""What guessing tokens costs others: a reader's latency alone, and while somebody sends wrong tokens as fast as they are refused.

    uv run benchmarks/wrong_tokens.py                    10,000 wrong tokens, from one address and from a thousand
    uv run benchmarks/wrong_tokens.py --tokens 2000

Service, reader and attacker are processes of their own, on an embedded PostgreSQL made for the run. On a machine that is shared
or has few cores the three compete for it: compare with the run in which the attacker has the right token. Linux only (/proc).
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUERY = json.dumps({"query": "{ flows(first: 1) { edges { cursor } } }"}).encode()
RIGHT = "the-right-token"
CONNECTIONS = 20
READER_PAUSE = 0.01


@contextmanager
def serving() -> Iterator[tuple[int, int]]:
    """Run the service; yields its port and the id of its process."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        settings = {"FLOWTRAIL_READ_TOKEN": RIGHT, "FLOWTRAIL_TRUSTED_PROXIES": "127.0.0.1", "FLOWTRAIL_LOG_LEVEL": "error"}
        command = [str(Path(sys.executable).with_name("flowtrail")), "serve", "--port", "0", "--data-dir", f"{folder}/data"]
        with subprocess.Popen(command, env=os.environ | settings, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield int(process.stdout.readline().rpartition(":")[2].partition("/")[0]), process.pid
            finally:
                process.terminate()


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str, client: str) -> int:
    """Send one query over an open connection and return the status of its answer."""
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(QUERY)}\r\n"
        f"Authorization: Bearer {token}\r\nX-Forwarded-For: {client}\r\n\r\n"
    )
    writer.write(head.encode() + QUERY)
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(answer.split(b" ", 2)[1])


async def attack(port: int, tokens: int, addresses: int, *, is_right: bool) -> Counter[int]:
    """Send so many tokens, each another one, and count the statuses of the answers."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(tokens))

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            token = RIGHT if is_right else f"flowtrail_read_{number}"
            statuses[await ask(reader, writer, token, f"10.1.{number % addresses // 250}.{number % addresses % 250}")] += 1
        writer.close()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return statuses


async def latencies(port: int, until: asyncio.Event) -> list[float]:
    """Return the milliseconds of a reader's queries, sent one after the other with pauses, until told to stop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    while not until.is_set():
        began = time.perf_counter()
        if await ask(reader, writer, RIGHT, "10.2.0.1") != 200:
            raise RuntimeError("the reader was refused")
        found.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(READER_PAUSE)
    writer.close()
    return found


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(port: int, pid: int, name: str, *attacker: str) -> None:
    """Print what a reader and the service saw while the attacker, a process of its own, was at work."""
    over, cpu_before, began = asyncio.Event(), cpu(pid), time.perf_counter()
    reading = asyncio.create_task(latencies(port, over))
    said = b""
    if attacker:
        command = [sys.executable, __file__, "--attack", str(port), *attacker]
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        said, _ = await process.communicate()
    else:
        await asyncio.sleep(5)
    over.set()
    found = sorted(await reading)
    seconds = time.perf_counter() - began
    print(
        f"{name:34} reader p50 {statistics.median(found):6.2f} ms, p99 {found[int(len(found) * 0.99)]:6.2f} ms;"
        f" {seconds:5.1f} s, service CPU {cpu(pid) - cpu_before:5.2f} s {said.decode().strip()}",
        flush=True,
    )


async def compare(tokens: int) -> None:
    with serving() as (port, pid):
        await measured(port, pid, "alone")
        await measured(port, pid, "another reader, the right token", str(tokens), "1", "right")
        await measured(port, pid, "wrong tokens from one address", str(tokens), "1", "wrong")
        await measured(port, pid, "wrong tokens from 1,000 addresses", str(tokens), "1000", "wrong")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=10_000)
    parser.add_argument("--attack", nargs=4, metavar=("PORT", "TOKENS", "ADDRESSES", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attack:
        port, tokens, addresses, kind = arguments.attack
        print(dict(asyncio.run(attack(int(port), int(tokens), int(addresses), is_right=kind == "right"))))
    else:
        asyncio.run(compare(arguments.tokens))


main()
