"""docs/quickstart.md does what it says: its blocks are run in order, in an empty home, and Chromium looks at the end.

Verbatim, but for three things: the port is a free one, what pip would install must be there already, and uvx, which would
download, finds this checkout's Flowtrail and a server of our own.
"""

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Page, expect

from browser.chromium import launched, visiting
from commands import PATIENCE_SECONDS, running

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the commands are run as on Linux")

DOCUMENT = Path(__file__).parent.parent / "docs" / "quickstart.md"
TIME_SERVER = """
from datetime import datetime
from zoneinfo import ZoneInfo
from fastmcp import FastMCP

mcp = FastMCP("time")

@mcp.tool
def get_current_time(timezone: str) -> str:
    return datetime.now(ZoneInfo(timezone)).isoformat()

mcp.run(show_banner=False)
"""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what else its first line says, and its text."""

    language: str
    info: str
    text: str


def blocks() -> list[Block]:
    """Return the fenced blocks of the document, in order."""
    return [Block(*found) for found in re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)]


@dataclass
class Newcomer:
    """Somebody with an empty home, who follows the document with the commands of this environment."""

    home: Path
    service: str = ""
    """The address of the service, without a path, once it has been started."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    until_the_end: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        python, fastmcp = sys.executable, Path(sys.executable).with_name("fastmcp")
        where = f'[ -e {self.home}/url ] && export FLOWTRAIL_URL="$(cat {self.home}/url)"'
        (self.home / "time_server.py").write_text(TIME_SERVER)
        self._command("pip", f'[ "$2" = uv ] || exec {python} -c "import importlib.metadata as m; m.version(\'$2\')"')
        self._command("uv", '[ "$1" = run ] && shift && exec "$@"')
        self._command(
            "uvx", f'[ "$1" = flowtrail ] && exec "$@"\n[ "$1" = mcp-server-time ] && exec {python} {self.home}/time_server.py'
        )
        self._command("fastmcp", f'{where}\nexec {fastmcp} "$@"')
        self._command(
            "flowtrail",
            f'{where}\ncase "$1" in serve | demo) set -- "$@" --port 0 ;; esac\n'
            f'exec {python} -c "from flowtrail.cli import main; main()" "$@"',
        )

    def _command(self, name: str, script: str) -> None:
        file = self.home / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": f"{self.home}/bin:{os.defpath}", "LANG": "C.UTF-8"}

    def follow(self, block: Block) -> None:
        """Do what a block says. A block that nobody knows how to follow is an error."""
        if block.info:
            (self.home / block.info).write_text(block.text)
        elif block.language == "graphql":
            self.answers.append(self.stream(block.text) if "subscription" in block.text else self.ask(block.text))
        elif "flowtrail serve" in block.text:
            self.serve(block.text)
        elif "flowtrail demo" in block.text:
            with running(["sh", "-euc", block.text], until="Ctrl-C", env=self.environment, cwd=self.home) as demo:
                page = httpx2.get(demo.found(r"Look +(\S+)\n"), headers={"accept": "text/html"})
                assert "<title>Flowtrail</title>" in page.text
        else:
            assert block.language == "bash", block
            self.run(block.text)

    def serve(self, text: str) -> None:
        """Start the service, to be ended with everything else."""
        command = running(["sh", "-euc", text], until="Recorders", env=self.environment, cwd=self.home)
        served = self.until_the_end.enter_context(command)
        (self.home / "url").write_text(served.found(r"GraphQL +(\S+)\n"))
        self.service = served.found(r"Page +(\S+)/\n")

    def run(self, text: str) -> str:
        """Run commands that end, and return what they print."""
        command = ["sh", "-euc", text]
        done = subprocess.run(
            command, env=self.environment, cwd=self.home, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, document: str) -> dict[str, Any]:
        """Ask the service, with the newest execution where a document wants one."""
        variables = {"uuid": self.newest()} if "$uuid" in document else {}
        body = {"query": document, "variables": variables}
        answer = httpx2.post(f"{self.service}/graphql", json=body, timeout=PATIENCE_SECONDS).json()
        assert "errors" not in answer, answer
        data: dict[str, Any] = answer["data"]
        return data

    def newest(self) -> str:
        edges = self.ask('{ executions(first: 1, filter: {server: ["orders"]}) { edges { node { uuid } } } }')["executions"][
            "edges"
        ]
        uuid: str = edges[0]["node"]["uuid"]
        return uuid

    def stream(self, document: str) -> dict[str, Any]:
        """Subscribe, call a tool, and return the first event as text."""
        headers = {"accept": "text/event-stream"}
        url, timeout = f"{self.service}/graphql", httpx2.Timeout(PATIENCE_SECONDS)
        with httpx2.stream("POST", url, json={"query": document}, headers=headers, timeout=timeout) as response:
            self.run("fastmcp call server.py ship order=A-19")
            return {
                "event": next(line for line in response.iter_lines() if line.startswith("data:") and "executionChanges" in line)
            }

    def wait_for_executions(self, server: str, count: int) -> None:
        """What a call recorded arrives a moment after the call."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        document = f'{{ executions(filter: {{server: ["{server}"], status: [FULFILLED, ERROR]}}) {{ totalCount }} }}'
        while self.ask(document)["executions"]["totalCount"] != count:
            assert time.monotonic() < deadline, self.ask(document)
            time.sleep(0.1)


@pytest.fixture
def newcomer() -> Iterator[Newcomer]:
    # Not below pytest's own folder: PostgreSQL runs as another user when we are root, and could not reach it.
    home = Path(tempfile.mkdtemp(prefix="flowtrail-quickstart-"))
    home.chmod(0o711)
    newcomer = Newcomer(home)
    with newcomer.until_the_end:
        yield newcomer
    shutil.rmtree(home)


def test_each_step_of_the_quickstart_does_what_it_says(newcomer: Newcomer) -> None:
    is_asking = False
    for block in blocks():
        if block.language == "graphql" and not is_asking:
            is_asking = True
            newcomer.wait_for_executions("orders", 3)
            newcomer.wait_for_executions("time", 1)
        newcomer.follow(block)
    pending, fares, page, whole, event = newcomer.answers
    assert pending["executions"]["edges"] == []
    statistics = fares["flow"]["statistics"]
    assert statistics["total"] == 3
    assert statistics["topErrors"] == [
        {"kind": "EXCEPTION", "nodeId": "book-parcel", "message": statistics["topErrors"][0]["message"], "count": 1}
    ]
    assert [edge["node"]["status"] for edge in page["executions"]["edges"]] == ["ERROR", "FULFILLED", "FULFILLED"]
    assert whole["execution"]["errorInfo"]["nodeName"] == "Book parcel"
    assert "STARTED" in event["event"]
    asyncio.run(look(newcomer.service))


async def look(service: str) -> None:
    """Find one's own calls on the page, as the document says one will."""
    async with launched() as browser, visiting(browser, service) as (context, watch):
        page = await context.new_page()
        await page.goto("/")
        await expect(page.get_by_role("row").filter(has_text="get_current_time")).to_contain_text("time")
        await page.get_by_role("link", name="ship").click()
        await see_what_went_in_and_out(page)
        watch.check()


async def see_what_went_in_and_out(page: Page) -> None:
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem")
    detail = page.get_by_role("region", name="Execution", exact=True)
    await rows.filter(has_text="order: A-17").last.get_by_role("link").click()
    await expect(detail.get_by_role("region", name="Result")).to_contain_text("A-17 is on its way")
    await rows.filter(has_text="order: A-18").get_by_role("link").click()
    await expect(detail.get_by_role("region", name="Error")).to_contain_text("The tool raised an exception in Book parcel")
    await expect(detail.get_by_role("region", name="Nodes")).to_contain_text("Fetch order")
