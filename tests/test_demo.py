"""`flowtrail demo`, as a newcomer runs it: a process that records real calls, answers queries, and leaves nothing behind."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from flowtrail import demo
from flowtrail.errors import ConfigurationError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the processes are looked up in /proc")

T = TypeVar("T")

_PATIENCE = 120.0
"""Seconds after which a wait has failed; what is waited for takes a few."""

_EXECUTIONS = """
query Executions($from: DateTime, $after: String) {
  executions(first: 100, after: $after, filter: {startedAt: {from: $from}}) {
    edges { node {
      server flowToolName status isPreview startedAt initialParams
      flow { toolName } client { name } parent { flowToolName }
      errorInfo { kind nodeName }
      nodeExecutions { nodeName parentPosition }
    } }
    pageInfo { hasNextPage endCursor }
  }
}"""

Row = dict[str, Any]


class Demo:
    """A running `flowtrail demo`, and what it printed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.printed = ""
        assert process.stdout is not None
        for line in process.stdout:
            self.printed += line
            if "Ctrl-C" in line:
                break

    @property
    def folder(self) -> Path:
        return Path(self._found(r"The record is in (\S+)"))

    @property
    def command(self) -> list[str]:
        """The command that a newcomer is told to try."""
        return shlex.split(self._found(r"(curl .*)"))

    def _found(self, pattern: str) -> str:
        found = re.search(pattern, self.printed)
        assert found, self.printed
        return found[1]

    def executions(self, since: str | None = None) -> list[Row]:
        """All of them that started at `since` or later, newest first."""
        rows: list[Row] = []
        variables: Row = {"from": since}
        while True:
            answer = httpx2.post(self.command[2], json={"query": _EXECUTIONS, "variables": variables}, timeout=30).json()
            assert "errors" not in answer, answer
            page = answer["data"]["executions"]
            rows += [edge["node"] for edge in page["edges"]]
            if not page["pageInfo"]["hasNextPage"]:
                return rows
            variables["after"] = page["pageInfo"]["endCursor"]

    def processes(self) -> dict[int, str]:
        """The processes that know of the demo's folder, with their arguments; the demo itself is left out."""
        return {pid: command for pid, command in _processes_that_mention(self.folder) if pid != self.process.pid}

    def sample_servers(self) -> set[int]:
        return {pid for pid, command in self.processes().items() if "flowtrail.demo.shop" in command}


@contextmanager
def _running() -> Iterator[Demo]:
    """The demo, started by somebody whose settings are for a service of their own."""
    theirs = {"DATABASE_URL": "postgresql://127.0.0.1:1/theirs", "FLOWTRAIL_READ_TOKEN": "x", "FLOWTRAIL_RECORD_TOKEN": "y"}
    command = [sys.executable, "-c", "from flowtrail.cli import main; main()", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | theirs) as process:
        try:
            yield Demo(process)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def running_demo() -> Iterator[Demo]:
    with _running() as demo:
        yield demo


def _processes_that_mention(folder: Path) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
        if str(folder).encode() in command + environment:
            yield int(entry.name), command.decode().replace("\0", " ")


def _until(condition: Callable[[], T | None]) -> T:
    """Wait until `condition` gives something, and return it."""
    deadline = time.monotonic() + _PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return result


def _outcome(row: Row) -> tuple[str, str, str | None, str | None]:
    error = row["errorInfo"] or {"kind": None, "nodeName": None}
    return row["flowToolName"], row["status"], error["kind"], error["nodeName"]


def test_every_kind_of_call_is_on_record(running_demo: Demo) -> None:
    expected = {
        ("place_order", "FULFILLED", None, None),
        ("place_order", "ERROR", "EXCEPTION", "Charge card"),
        ("quote_shipping", "FULFILLED", None, None),
        ("quote_shipping", "ERROR", "EXCEPTION", "Find zone"),
        ("daily_report", "FULFILLED", None, None),
        ("track_parcel", "FULFILLED", None, None),
        ("track_parcel", "ERROR", "TIMED_OUT", "Ask Snail Mail"),
        ("refund", "FULFILLED", None, None),
        ("refund", "ERROR", "TOOL_ERROR", None),
        ("refund", "ERROR", "PROTOCOL_ERROR", None),
        ("refund_everything", "ERROR", "PROTOCOL_ERROR", None),
    }
    _until(lambda: expected <= {_outcome(row) for row in running_demo.executions()})
    cancelled = _until(lambda: [row for row in running_demo.executions() if _outcome(row)[2] == "CANCELLED"])
    assert {row["flowToolName"] for row in cancelled} == {"daily_report"}
    rows = running_demo.executions()
    assert {row["server"] for row in rows} == {"shop"}
    assert {row["client"]["name"] for row in rows} == {"flowtrail-demo"}
    assert {row["flowToolName"] for row in rows if row["flow"] is None} == {"refund_everything"}
    assert {row["flowToolName"] for row in rows if row["isPreview"]} == {"quote_shipping"}


def test_an_order_shows_its_nodes_and_its_child_and_no_card(running_demo: Demo) -> None:
    def ended_order() -> Row | None:
        return next((row for row in running_demo.executions() if _outcome(row)[:2] == ("place_order", "FULFILLED")), None)

    order = _until(ended_order)
    assert [node["nodeName"] for node in order["nodeExecutions"]] == ["Check stock", "Quote shipping", "Charge card", "Book parcel"]
    assert order["initialParams"]["card_number"] == "[redacted: schema]"
    children = [row for row in running_demo.executions() if row["parent"]]
    assert {(row["flowToolName"], row["parent"]["flowToolName"]) for row in children} == {("quote_shipping", "place_order")}


def test_a_report_shows_nodes_inside_a_node(running_demo: Demo) -> None:
    def ended_report() -> Row | None:
        return next((row for row in running_demo.executions() if _outcome(row)[:2] == ("daily_report", "FULFILLED")), None)

    nodes = _until(ended_report)["nodeExecutions"]
    outer = {node["nodeName"] for node in nodes if node["parentPosition"] is None}
    inner = {node["nodeName"] for node in nodes if node["parentPosition"] == 0}
    assert outer == {"Collect sales", "Render"}
    assert inner == {"Count sales in FR", "Count sales in US", "Count sales in JP"}


def test_the_printed_command_answers(running_demo: Demo) -> None:
    program, _, url, _, header, _, body = running_demo.command
    assert program == "curl"
    name, _, value = header.partition(": ")

    def answer() -> Any:
        return httpx2.post(url, content=body, headers={name: value}, timeout=30).json()["data"]["executions"]["edges"]

    assert _until(answer)[0]["node"]["flowName"]


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]])
def test_a_signal_ends_every_process_and_removes_the_record(signals: list[signal.Signals]) -> None:
    with _running() as demo:
        assert any("postgres" in command for command in demo.processes().values())
        assert demo.sample_servers()
        for number in signals:
            demo.process.send_signal(number)
        assert demo.process.wait(_PATIENCE) == 0
        assert demo.processes() == {}
        assert not demo.folder.exists()


def test_calls_go_on_when_the_mcp_server_was_killed() -> None:
    with _running() as demo:
        (killed,) = demo.sample_servers()
        os.kill(killed, signal.SIGKILL)
        newest = max(row["startedAt"] for row in _until(demo.executions))
        assert len(_until(lambda: demo.sample_servers() - {killed})) == 1
        assert _until(lambda: [row for row in demo.executions(newest) if row["startedAt"] > newest])


def test_nothing_is_left_when_the_demo_itself_was_killed() -> None:
    with _running() as demo:
        demo.process.kill()
        demo.process.wait(_PATIENCE)
        _until(lambda: not demo.processes())
        shutil.rmtree(demo.folder)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}: .*--port"):
            demo.run(port)
