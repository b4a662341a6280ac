"""MCP servers that others wrote, called directly and through the proxy: is every answer the same, byte for byte?

    uv run tests/long/third_party_servers.py --folder /tmp/servers

Installs into the folder, from PyPI and npm, mcp-server-time and mcp-server-git, and server-everything, server-filesystem
and server-memory of @modelcontextprotocol; then makes the same good, bad and cancelled calls of each, with progress,
structured output and images, and compares the lines that came back. Answers that tell the time are compared with their
digits taken out. Prints a table; the exit code is 0 when all is the same and every call is in the spool.
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
from pathlib import Path
from typing import Any

from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.spool import Spool

PROXY = [sys.executable, "-c", "from flowtrail.cli import main; main()", "proxy", "--"]
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "comparison", "version": "1"}}
NPM = "@modelcontextprotocol/server-"

Calls = list[tuple[str, dict[str, Any]]]


def subjects(folder: Path) -> dict[str, tuple[list[str], Calls]]:
    """Return each server's command and the calls to make of it."""
    bin_, npm, repository = folder / "python" / "bin", folder / "node_modules" / ".bin", folder / "repository"
    git = {"repo_path": str(repository)}
    return {
        "mcp-server-time": (
            [str(bin_ / "mcp-server-time")],
            [
                ("get_current_time", {"timezone": "UTC"}),
                ("get_current_time", {"timezone": "Nowhere/Nothing"}),
                ("convert_time", {"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}),
                ("convert_time", {}),
            ],
        ),
        "mcp-server-git": (
            [str(bin_ / "mcp-server-git")],
            [
                ("git_status", git),
                ("git_log", git),
                ("git_branch", git | {"branch_type": "local"}),
                ("git_status", {"repo_path": "/no"}),
                ("git_log", {}),
            ],
        ),
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


def install(folder: Path) -> None:
    """Install the servers, unless they are there."""
    if not (folder / "python").exists():
        venv.create(folder / "python", with_pip=True)
        pip = [
            str(folder / "python" / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "-q",
            "mcp<2",
            "mcp-server-time",
            "mcp-server-git",
        ]
        subprocess.run(pip, check=True)
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


def converse(command: list[str], calls: Calls, environment: dict[str, str]) -> list[bytes]:
    """Talk to a server as a client that waits for each answer, and return every line that it wrote."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    killer = threading.Timer(120, process.kill)
    killer.start()
    lines: list[bytes] = []

    def send(message: dict[str, Any]) -> None:
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]

    def ask(number: int, method: str, params: dict[str, Any]) -> None:
        send({"id": number, "method": method, "params": params})
        for line in process.stdout or ():
            lines.append(line)
            if json.loads(line).get("id") == number:
                return

    ask(0, "initialize", INITIALIZE)
    send({"method": "notifications/initialized"})
    ask(1, "tools/list", {})
    for number, (name, arguments) in enumerate(calls, start=2):
        ask(number, "tools/call", {"name": name, "arguments": arguments, "_meta": {"progressToken": number}})
    ask(100, "tools/call", {"name": "no such tool", "arguments": {}})
    send({"id": 101, "method": "tools/call", "params": {"name": calls[0][0], "arguments": calls[0][1]}})
    send({"method": "notifications/cancelled", "params": {"requestId": 101, "reason": "enough"}})
    ask(102, "ping", {})
    process.stdin.close()
    lines.extend(process.stdout)
    process.wait()
    killer.cancel()
    return lines


def comparable(lines: Iterable[bytes], name: str) -> list[bytes]:
    """Return the lines, without what no two runs have in common: the time, and whether a cancelled call was answered before."""
    kept = [line for line in lines if json.loads(line).get("id") != 101]
    return [re.sub(rb"\d", b"0", line) for line in kept] if name == "mcp-server-time" else kept


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
    for name, (command, calls) in subjects(folder).items():
        with tempfile.TemporaryDirectory() as spool:
            environment = dict(os.environ)
            tracked = environment | {"FLOWTRAIL_SPOOL_DIR": spool, "FLOWTRAIL_URL": "http://127.0.0.1:9/graphql"}
            direct = comparable(converse(command, calls, environment), name)
            proxied = comparable(converse([*PROXY, *command], calls, tracked), name)
            executions = recorded(Path(spool))
        is_same = direct == proxied and executions == len(calls) + 2
        bad += not is_same
        differences = [pair for pair in zip(direct, proxied, strict=False) if pair[0] != pair[1]]
        verdict = "same bytes" if direct == proxied else f"DIFFERS: {differences[:2]}"
        print(f"{name:18} {len(calls) + 2} calls, {len(direct)} lines: {verdict}; {executions} executions recorded")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
