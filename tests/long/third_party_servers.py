"""MCP servers that others wrote, called directly and through the proxy: is every answer the same, byte for byte?

    uv run tests/long/third_party_servers.py --folder /tmp/servers

Installs into the folder, from PyPI and npm, mcp-server-time, mcp-server-git and mcp-server-fetch, and server-everything,
server-filesystem and server-memory of @modelcontextprotocol; then makes the same good, bad and cancelled calls of each, with
progress, structured output and images, and compares the lines that came back. Servers of PyPI are spoken to in both eras of
the protocol: with a handshake, and without. Answers that tell the time are compared with their digits taken out. Prints a
table; the exit code is 0 when all is the same and every call is in the spool.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import venv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.spool import Spool

PROXY = [sys.executable, "-c", "from flowtrail.cli import main; main()", "proxy", "--"]
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "comparison", "version": "1"}}
MODERN = "2026-07-28"
STATELESS_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": INITIALIZE["clientInfo"],
    "io.modelcontextprotocol/clientCapabilities": {},
}
SELF_WILLED = {"toggle-simulated-logging", "toggle-subscriber-updates"}
"""Tools that go on sending messages when they please."""
NPM = "@modelcontextprotocol/server-"

Calls = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Subject:
    """A server: its command, the calls to make of it, and whether without a handshake."""

    name: str
    command: list[str]
    calls: Calls
    modern: bool = False


def subjects(folder: Path) -> list[Subject]:
    """Return every server, in each era that it speaks."""
    npm, repository = folder / "node_modules" / ".bin", folder / "repository"
    git = {"repo_path": str(repository)}
    from_pypi: dict[str, Calls] = {
        "mcp-server-time": [
            ("get_current_time", {"timezone": "UTC"}),
            ("get_current_time", {"timezone": "Nowhere/Nothing"}),
            ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
            ("convert_time", {}),
        ],
        "mcp-server-git": [
            ("git_status", git),
            ("git_log", git),
            ("git_branch", git | {"branch_type": "local"}),
            ("git_status", {"repo_path": "/no"}),
            ("git_log", {}),
        ],
        "mcp-server-fetch": [("fetch", {"url": "http://127.0.0.1:9/nothing"}), ("fetch", {"url": "no url"}), ("fetch", {})],
    }
    pypi = [
        Subject(f"{name}, {era}", [str(folder / era / "bin" / name)], calls, era == "modern")
        for era in ("legacy", "modern")
        for name, calls in from_pypi.items()
    ]
    others: dict[str, tuple[list[str], Calls]] = {
        "server-everything": (
            [str(npm / "mcp-server-everything")],
            [
                ("echo", {"message": "hello 👩‍👩‍👧 \ud83d\ude00"}),
                ("echo", {}),
                ("get-sum", {"a": 1, "b": 2.5}),
                ("get-tiny-image", {}),
                ("get-structured-content", {"location": "New York"}),
                ("get-annotated-message", {"messageType": "success", "includeImage": True}),
                ("trigger-long-running-operation", {"duration": 0.2, "steps": 4}),
            ],
        ),
        "server-filesystem": (
            [str(npm / "mcp-server-filesystem"), str(repository)],
            [("list_directory", {"path": str(repository)}), ("read_file", {"path": "/etc/passwd"}), ("read_file", {})],
        ),
        "server-memory": (
            [str(npm / "mcp-server-memory")],
            [("read_graph", {}), ("search_nodes", {"query": "x"}), ("search_nodes", {})],
        ),
    }
    return [*pypi, *(Subject(name, command, calls) for name, (command, calls) in others.items())]


def install(folder: Path) -> None:
    """Install the servers, unless they are there."""
    for era, sdk in (("legacy", "mcp<2"), ("modern", "mcp>=2")):
        if not (folder / era).exists():
            venv.create(folder / era, with_pip=True)
            pip = [str(folder / era / "bin" / "python"), "-m", "pip", "install", "-q", sdk]
            subprocess.run([*pip, "mcp-server-time", "mcp-server-git", "mcp-server-fetch"], check=True)
    if not (folder / "node_modules").exists():
        npm = [
            "npm",
            "install",
            "--silent",
            "--prefix",
            str(folder),
            *(NPM + name for name in ("everything", "filesystem", "memory")),
        ]
        subprocess.run(npm, check=True)
    if not (folder / "repository").exists():
        subprocess.run(["git", "init", "-q", folder / "repository"], check=True)
        author = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(folder / "repository"), *author, "commit", "-q", "--allow-empty", "-m", "one"], check=True)


def converse(command: list[str], subject: Subject, environment: dict[str, str]) -> tuple[list[bytes], int]:
    """Talk to a server as a client that waits for each answer. Return every line that it wrote, and how many calls were made:
    those of the subject, one without arguments of each other tool, one of no tool, and one that is cancelled.
    """
    calls = subject.calls
    meta = STATELESS_META if subject.modern else {}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    killer = threading.Timer(120, process.kill)
    killer.start()
    lines: list[bytes] = []

    def send(message: dict[str, Any]) -> None:
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]

    def ask(number: int, method: str, params: dict[str, Any]) -> Any:
        with_meta = {"_meta": meta | params.pop("_meta", {})} if meta or "_meta" in params else {}
        send({"id": number, "method": method, "params": params | with_meta})
        for line in process.stdout or ():
            lines.append(line)
            if (answer := json.loads(line)).get("id") == number:
                return answer.get("result")
        return None

    if subject.modern:
        ask(0, "server/discover", {})
    else:
        ask(0, "initialize", dict(INITIALIZE))
        send({"method": "notifications/initialized"})
    listed = {tool["name"] for tool in ask(1, "tools/list", {})["tools"]}
    rest = sorted(listed - {name for name, _ in calls} - SELF_WILLED)
    for number, (name, arguments) in enumerate([*calls, *((name, {}) for name in rest)], start=2):
        ask(number, "tools/call", {"name": name, "arguments": arguments, "_meta": {"progressToken": number}})
    ask(100, "tools/call", {"name": "no such tool", "arguments": {}})
    cancelled = {"name": calls[0][0], "arguments": calls[0][1]} | ({"_meta": meta} if meta else {})
    send({"id": 101, "method": "tools/call", "params": cancelled})
    send({"method": "notifications/cancelled", "params": {"requestId": 101, "reason": "enough"}})
    ask(102, "tools/list", {})
    process.stdin.close()
    lines.extend(process.stdout)
    process.wait()
    killer.cancel()
    return lines, len(calls) + len(rest) + 2


def comparable(lines: Iterable[bytes], name: str) -> list[bytes]:
    """Return the lines, without what no two runs have in common: the time, and whether a cancelled call was answered before."""
    digits = rb"\d" if name.startswith("mcp-server-time") else rb"\d{1,2}:\d\d:\d\d [AP]M"
    return [re.sub(digits, b"0", line) for line in lines if json.loads(line).get("id") != 101]


def recorded(spool_root: Path) -> int:
    """Return how many executions a spool holds."""
    return sum(_executions(path) for path in spool_root.glob("*/*.sqlite3"))


def _executions(path: Path) -> int:
    spool = Spool(path, Configuration().spool_limit)
    try:
        return spool.state().executions
    finally:
        spool.close()


def main() -> int:
    """Read the command line, compare, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "flowtrail-third-party")
    folder: Path = parser.parse_args().folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    install(folder)
    bad = 0
    for subject in subjects(folder):
        with tempfile.TemporaryDirectory() as spool:
            environment = dict(os.environ)
            tracked = environment | {"FLOWTRAIL_SPOOL_DIR": spool, "FLOWTRAIL_URL": "http://127.0.0.1:9/graphql"}
            lines, calls = converse(subject.command, subject, environment)
            direct = comparable(lines, subject.name)
            proxied = comparable(converse([*PROXY, *subject.command], subject, tracked)[0], subject.name)
            executions = recorded(Path(spool))
        verdict = "same bytes"
        if direct != proxied and comparable(converse(subject.command, subject, environment)[0], subject.name) == proxied:
            verdict = "same bytes as one of two direct runs, which differ"
        elif direct != proxied:
            differences = [pair for pair in zip(direct, proxied, strict=False) if pair[0] != pair[1]]
            verdict = f"DIFFERS: {len(direct)} and {len(proxied)} lines, {differences[:2]}"
            bad += 1
        bad += executions != calls
        print(f"{subject.name:24} {calls} calls, {len(direct)} lines: {verdict}; {executions} executions recorded")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
