"""What a server recorded survives its death, the service's absence and a fork; and no secret is on disk meanwhile."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketAttribute, SocketStream
from fastmcp import Client, FastMCP
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import StdioTransport
from pydantic import SecretStr

from disk import small_disk
from flowtrail.database import Database
from flowtrail.mcp import ExecutionTracking, node
from flowtrail.mcp.recorder import close_recorders, flush_recorders
from history import History

TRACKED = str(Path(__file__).parent / "servers" / "tracked.py")


def tracked(environment: dict[str, str]) -> StdioTransport:
    """A client's transport to a tracked server of its own process."""
    return StdioTransport(sys.executable, [TRACKED], env=environment, keep_alive=False)


async def until(history: History, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Wait until what is recorded fulfils a condition, and return it."""
    with anyio.fail_after(60):
        while not holds(executions := await history.executions()):
            await anyio.sleep(0.05)
    return executions


async def test_what_runs_when_a_server_is_killed_is_interrupted_and_its_nodes_are_kept(history: History) -> None:
    transport = tracked(history.environment() | {"FLOWTRAIL_TEST": "1"})
    with suppress(Exception):
        async with Client(transport) as client, anyio.create_task_group() as calls:
            await client.call_tool("works", {"steps": 2})
            calls.start_soon(client.call_tool, "hangs")
            await until(history, lambda found: any((one["flowToolName"], one["nodeCount"]) == ("hangs", 2) for one in found))
            [pid] = _children_running(TRACKED)
            os.kill(pid, signal.SIGKILL)
            calls.cancel_scope.cancel()
    async with Client(tracked(history.environment())) as client:
        await client.list_tools()
        works, hangs = await until(history, lambda found: found[-1]["status"] != "PENDING")
    assert works["status"] == "FULFILLED"
    assert hangs["errorInfo"] == {
        "kind": "INTERRUPTED",
        "message": "the MCP server's process ended before the call did",
        "nodeId": "hangs",
        "nodeName": "Hangs",
        "stack": None,
    }
    assert [one["status"] for one in hangs["nodeExecutions"]] == ["COMPLETED", "ERROR"]


def _children_running(program: str) -> list[int]:
    """Return the processes that run `program` below this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and program.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="finds the server's process in /proc")
async def test_calls_made_while_there_is_no_service_arrive_once_there_is(history: History) -> None:
    nowhere = history.environment() | {"FLOWTRAIL_EXIT_SECONDS": "0.1", "FLOWTRAIL_RECORD_TOKEN": "wrong"}
    for _ in range(2):
        async with Client(tracked(nowhere)) as client:
            for _ in range(5):
                assert (await client.call_tool("works", {"steps": 3})).data == 3
    executions = await history.executions()
    assert [(one["status"], one["nodeCount"]) for one in executions] == [("FULFILLED", 3)] * 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
async def test_a_fork_records_as_a_process_of_its_own(history: History) -> None:
    async with Client(tracked(history.environment())) as client:
        assert (await client.call_tool("forks")).data == 0
        assert (await client.call_tool("works")).data == 1
    executions = await history.executions()
    assert sorted((one["flowToolName"], one["nodeCount"], one["status"]) for one in executions) == [
        ("forks", 0, "FULFILLED"),
        ("works", 1, "FULFILLED"),
        ("works", 2, "FULFILLED"),
    ]


async def test_two_servers_share_a_folder(history: History) -> None:
    async with Client(tracked(history.environment())) as one, Client(tracked(history.environment())) as two:
        for _ in range(3):
            await one.call_tool("works")
            await two.call_tool("works")
    assert [one["status"] for one in await history.executions()] == ["FULFILLED"] * 6
    assert len(list(history.spool_root.glob("*/*.sqlite3"))) == 2


async def test_rounds_that_ask_the_client_are_one_execution(history: History) -> None:
    async def elicit(message: str, response_type: Any, params: Any, context: Any) -> ElicitResult[Any]:
        [waiting] = await until(history, bool)
        assert (waiting["status"], [one["nodeName"] for one in waiting["nodeExecutions"]]) == ("PENDING", ["Input from the client"])
        return ElicitResult(action="accept", content={"value": "this"})

    async with Client(tracked(history.environment()), mode="2026-07-28", elicitation_handler=elicit) as client:
        assert (await client.call_tool("asks")).content[0].text == "{'value': 'this'}"
    execution = await history.execution()
    assert execution["status"] == "FULFILLED"
    nodes = [(one["nodeName"], one["nodeType"], one["status"]) for one in execution["nodeExecutions"]]
    assert nodes == [("Input from the client", "mcp.input", "COMPLETED"), ("Answered", "step", "COMPLETED")]
    assert execution["nodeExecutions"][0]["outputData"]["which"]["content"] == {"value": "this"}


@asynccontextmanager
async def tapped(port: int, at: int = 0) -> AsyncIterator[tuple[int, bytearray]]:
    """A port, any or the one given, that leads to another; and every byte that was sent to it."""
    sent = bytearray()

    async def relay(stream: SocketStream) -> None:
        async with stream, await anyio.connect_tcp("127.0.0.1", port) as upstream, anyio.create_task_group() as tasks:

            async def answers() -> None:
                async for data in upstream:
                    await stream.send(data)

            tasks.start_soon(answers)
            async for data in stream:
                sent.extend(data)
                await upstream.send(data)
            tasks.cancel_scope.cancel()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=at) as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, relay)
        yield listener.extra(SocketAttribute.local_port), sent  # noqa: S610 (anyio's, not Django's)
        tasks.cancel_scope.cancel()


async def everything_in(database: Database) -> bytes:
    """Every row of every table, as text."""
    async with database.read() as read:
        tables = await read.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        rows = [await read.fetch(f"SELECT whole::text FROM {table} AS whole") for (table,) in tables]
    return "\n".join(row[0] for table in rows for row in table).encode()


async def test_no_planted_secret_is_on_disk_on_the_wire_or_in_the_database(history: History) -> None:
    """The bytes of the spool are searched while everything waits in it, then those that are sent, then those of the tables."""
    secrets = ["p4ssw0rd-of-ann", "nested-k3y-value", "schema-marked-word", "sk-live-0123456789abcdef0123"]
    async with tapped(int(history.service.url.rsplit(":", 1)[1])) as (port, sent):
        history = History(replace(history.service, url=f"http://127.0.0.1:{port}"), history.spool_root)
        mcp = FastMCP("vault", middleware=[history.tracking(token="not the right one yet", stacks=True)])

        @mcp.tool
        def login(password: str, deep: dict[str, Any], word: SecretStr, note: str) -> str:
            with node("Log in", input={"sent": [password, deep], "word": word.get_secret_value()}) as running:
                running.output = {"headers": {"Authorization": f"Bearer {password}"}, "text": f"{password} and {note}"}
            if deep.get("fail"):
                raise ValueError(f"can't log in with {password}, {word.get_secret_value()}, {deep} and {note}")
            return f"welcome, {password}, {deep}, {word.get_secret_value()}, {note}"

        async with Client(mcp) as client:
            for fail in (False, True):
                arguments = {
                    "password": secrets[0],
                    "deep": {"list": [{"api_key": secrets[1]}], "fail": fail},
                    "word": secrets[2],
                    "note": f"use {secrets[3]}",
                }
                result = await client.call_tool("login", arguments, raise_on_error=False)
                assert secrets[0] in result.content[0].text
        written = b"".join(path.read_bytes() for path in history.spool_root.rglob("*") if path.is_file())
        # Not on the event loop: the service answers there.
        await anyio.to_thread.run_sync(close_recorders)
        executions = await history.executions()
        stored = await everything_in(history.service.database)
    assert len(executions) == 2
    for searched in (written, bytes(sent), stored):
        assert b"vault" in searched
        for secret in secrets:
            assert secret.encode() not in searched


async def test_a_full_disk_harms_no_tool_and_what_gave_way_is_counted(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWTRAIL_SPOOL_LIMIT_MIB", "2")
    port = int(history.service.url.rsplit(":", 1)[1])
    async with tapped(port) as (unused, _):
        pass
    with small_disk(1024) as disk:
        away = History(replace(history.service, url=f"http://127.0.0.1:{unused}"), disk / "spool")
        mcp = FastMCP("hoarder", middleware=[away.tracking()])
        mcp.tool(lambda text: f"{len(text)}", name="keep")
        async with Client(mcp) as client:
            for _ in range(100):
                assert (await client.call_tool("keep", {"text": "x" * 60_000})).content[0].text == "60000"
            async with tapped(port, at=unused):
                assert (await client.call_tool("keep", {"text": "once more"})).content[0].text == "9"
                # Not on the event loop: the service answers there.
                assert await anyio.to_thread.run_sync(flush_recorders, 60.0)
                await anyio.to_thread.run_sync(close_recorders)
        answer = await history.service.execute("{ recorders { droppedExecutions } executions(first: 0) { totalCount } }")
    [recorder] = answer["data"]["recorders"]
    assert recorder["droppedExecutions"] > 0
    assert recorder["droppedExecutions"] + answer["data"]["executions"]["totalCount"] == 101


async def test_a_disk_that_takes_nothing_for_a_while_loses_nothing(history: History) -> None:
    with small_disk(1024) as disk:
        history = History(history.service, disk / "spool")
        mcp = FastMCP("patient", middleware=[history.tracking()])
        mcp.tool(lambda text: f"{len(text)}", name="keep")
        blocker = disk / "blocker"
        async with Client(mcp) as client:
            for is_full in (False, True, False):
                if is_full:
                    with suppress(OSError), blocker.open("wb", buffering=0) as file:
                        while True:
                            file.write(b"x" * 1024)
                else:
                    blocker.unlink(missing_ok=True)
                for _ in range(10):
                    assert (await client.call_tool("keep", {"text": "x" * 5000})).content[0].text == "5000"
        executions = await history.executions()
    assert [execution["status"] for execution in executions] == ["FULFILLED"] * 30


async def test_a_tool_answers_as_ever_with_a_service_that_never_does(tmp_path: Path) -> None:
    async def never(stream: SocketStream) -> None:
        async with stream:
            await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, never)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 (anyio's, not Django's)
        mcp = FastMCP("patient", middleware=[ExecutionTracking(url=f"http://127.0.0.1:{port}/", spool_dir=tmp_path)])
        mcp.tool(lambda: "ok", name="quick")
        async with Client(mcp) as client:
            for _ in range(100):
                assert (await client.call_tool("quick")).content[0].text == "ok"
        tasks.cancel_scope.cancel()
