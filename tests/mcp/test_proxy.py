"""Before a server of any language and era the proxy changes nothing, and everything is recorded."""

import asyncio
import json
import os
import queue
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import ClientTransport, StdioTransport, StreamableHttpTransport
from mcp_types import INVALID_REQUEST, PROTOCOL_VERSION_META_KEY

from flowtrail.errors import ConfigurationError
from flowtrail.mcp.upstream_http import HttpUpstream
from history import History

SERVERS = Path(__file__).parent / "servers"
EVERYTHING = [sys.executable, str(SERVERS / "everything.py")]
PROXY = [sys.executable, str(SERVERS / "proxy.py")]
ERAS = ["legacy", "2026-07-28"]
VERSION = PROTOCOL_VERSION_META_KEY


class Seen:
    """What a client was sent beside answers."""

    def __init__(self) -> None:
        self.logs: list[Any] = []
        self.progress: list[tuple[float, float | None, str | None]] = []

    def client(self, transport: ClientTransport, era: str) -> Client[Any]:
        async def log(message: Any) -> None:
            self.logs.append((message.level, message.data))

        async def progress(done: float, total: float | None, message: str | None) -> None:
            self.progress.append((done, total, message))

        async def elicit(message: str, response_type: Any, params: Any, context: Any) -> ElicitResult[Any]:
            return ElicitResult(action="accept", content={"value": f"{message} blue"})

        async def sample(messages: Any, params: Any, context: Any) -> str:
            return f"sampled {messages[0].content.text}"

        return Client(
            transport,
            mode=era,
            log_handler=log,
            progress_handler=progress,
            elicitation_handler=elicit,
            sampling_handler=sample,
            timeout=60,
        )


CALLS: list[tuple[str, dict[str, Any]]] = [
    ("add", {"a": 1, "b": 2}),
    ("add", {"a": "one"}),
    ("picture", {}),
    ("fails", {"how": "raise"}),
    ("fails", {"how": "return"}),
    ("reports", {}),
    ("asks", {}),
    ("unheard_of", {}),
]


async def everything_a_client_sees(transport: ClientTransport, era: str) -> list[Any]:
    """Use a server in every way and return all that came back."""
    seen = Seen()
    async with seen.client(transport, era) as client:
        results: list[Any] = [client.protocol_version, client.instructions if hasattr(client, "instructions") else None]
        results.append([tool.model_dump() for tool in await client.list_tools()])
        results.append([resource.model_dump() for resource in await client.list_resources()])
        results.append([block.model_dump() for block in await client.read_resource("data://greeting")])
        results.append((await client.get_prompt("summarise", {"text": "x"})).model_dump())
        for name, arguments in CALLS:
            results.append((await client.call_tool(name, arguments, raise_on_error=False)).content)
        if era == "legacy":
            results.append((await client.call_tool_mcp("samples", {})).model_dump())
    return [*results, seen.logs, seen.progress]


def through_proxy(history: History, *arguments: str, command: list[str] = EVERYTHING, **environment: str) -> StdioTransport:
    """A client's transport to a proxy process."""
    after = ["--", *command] if command else []
    return StdioTransport(PROXY[0], [*PROXY[1:], *arguments, *after], env=history.environment() | environment, keep_alive=False)


@asynccontextmanager
async def http_server(*command: str, environment: dict[str, str] | None = None) -> AsyncIterator[str]:
    """Run a command that listens on the port that it is told last, and give its MCP URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([part.replace("PORT", str(port)) for part in command], env=environment)
    try:
        with anyio.fail_after(60):
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    assert process.poll() is None
                    await anyio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_sees_through_the_proxy_what_it_sees_without(history: History, era: str) -> None:
    directly = await everything_a_client_sees(StdioTransport(EVERYTHING[0], EVERYTHING[1:], keep_alive=False), era)
    assert await everything_a_client_sees(through_proxy(history), era) == directly
    executions = await history.executions("client { name }")
    outcomes = [(one["flowToolName"], one["status"], one["errorInfo"] and one["errorInfo"]["kind"]) for one in executions]
    assert outcomes[: len(CALLS)] == [
        ("add", "FULFILLED", None),
        ("add", "ERROR", "PROTOCOL_ERROR"),
        ("picture", "FULFILLED", None),
        ("fails", "ERROR", "TOOL_ERROR"),
        ("fails", "ERROR", "TOOL_ERROR"),
        ("reports", "FULFILLED", None),
        ("asks", "FULFILLED", None),
        ("unheard_of", "ERROR", "PROTOCOL_ERROR"),
    ]
    assert {one["server"] for one in executions} == {"everything"}
    assert {one["client"]["name"] for one in executions} == {"mcp"}
    assert executions[0]["result"]["structuredContent"] == {"result": 3}
    kinds = [[node["nodeType"] for node in one["nodeExecutions"]] for one in executions]
    assert kinds[0] == ["mcp.tool"]
    assert kinds[6] == (["mcp.tool"] if era == "legacy" else ["mcp.tool", "mcp.input", "mcp.tool"])


@pytest.mark.parametrize("era", ERAS)
async def test_an_upstream_over_http(history: History, era: str) -> None:
    async with http_server(*EVERYTHING, "PORT") as url:
        directly = await everything_a_client_sees(StreamableHttpTransport(url), era)
        proxied = await everything_a_client_sees(through_proxy(history, "--upstream-url", url, command=[]), era)
    assert proxied == directly
    executions = await history.executions("caller { sessionId }")
    assert len(executions) == len(CALLS) + (era == "legacy")
    assert [one["caller"]["sessionId"] is not None for one in executions] == [era == "legacy"] * len(executions)


async def answer_over_http(upstream: HttpUpstream, method: str, **params: Any) -> Any:
    """Ask a server and return its answer, without the proxy's thread that waits for the end."""
    answers: queue.Queue[bytes] = queue.Queue()
    upstream.deliver = answers.put
    upstream.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
    return json.loads(await anyio.to_thread.run_sync(partial(answers.get, timeout=60)))


@asynccontextmanager
async def everything_over_http() -> AsyncIterator[HttpUpstream]:
    async with http_server(*EVERYTHING, "PORT") as url:
        upstream = HttpUpstream(url, {})
        yield upstream
        await anyio.to_thread.run_sync(upstream.close)
        assert upstream.run() == 0
        upstream._client.close()  # which the proxy's end does


async def test_a_server_that_answers_before_the_proxy_waits_for_it() -> None:
    client = {"name": "early", "version": "1"}
    async with everything_over_http() as upstream:
        answer = await answer_over_http(upstream, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
    assert answer["result"]["serverInfo"]["name"] == "everything"


@pytest.mark.parametrize(
    ("method", "name", "version", "reason"),
    [
        ("tools/call", "\ud800", "2026-07-28", "which take no text like '\\ud800'"),
        ("tools/call", "add", "2026\n", "mcp-protocol-version takes printable ASCII"),
        ("tools/call", "add", "é", "mcp-protocol-version takes printable ASCII"),
        ("中", "add", "2026-07-28", "mcp-method takes printable ASCII"),
    ],
)
async def test_what_no_header_can_say_is_answered(method: str, name: str, version: str, reason: str) -> None:
    async with everything_over_http() as upstream:
        # Nobody waits for an answer to this one; what matters is that messages go on being read.
        upstream.send(json.dumps({"jsonrpc": "2.0", "method": "é", "params": {"_meta": {VERSION: version}}}).encode())
        answer = await answer_over_http(upstream, method, name=name, arguments={}, _meta={VERSION: version})
    assert answer["error"]["code"] == INVALID_REQUEST
    assert reason in answer["error"]["message"]


async def test_a_request_cancelled_before_its_answer_began() -> None:
    asked, cancelled, hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await cancelled.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        while await reader.read(65536):
            pass
        hung_up.set()
        writer.close()

    async with await asyncio.start_server(late, "127.0.0.1", 0) as server:
        upstream = HttpUpstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
        answers: queue.Queue[bytes] = queue.Queue()
        upstream.deliver = answers.put
        call = {"name": "add", "arguments": {}, "_meta": {VERSION: "2026-07-28"}}
        upstream.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}).encode())
        await asyncio.wait_for(asked.wait(), 60)
        upstream.send(json.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}).encode())
        cancelled.set()
        await asyncio.wait_for(hung_up.wait(), 60)
        upstream._client.close()
    assert answers.empty()


async def test_an_id_that_is_used_again_before_the_first_answer_ended() -> None:
    second = asyncio.Event()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = json.loads((await reader.readuntil(b"}}}")).partition(b"\r\n\r\n")[2])["params"]["name"]
        if asked == "second":
            second.set()
            await asyncio.sleep(0.3)  # time for the proxy to hear the end of the first
        answer = {"jsonrpc": "2.0", "id": 1, "result": {"asked": asked}}
        writer.write(head + f"data: {json.dumps(answer)}\n\n".encode())
        await second.wait()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        upstream = HttpUpstream(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})
        for name in ("first", "second"):
            answer = await answer_over_http(upstream, "tools/call", name=name, _meta={VERSION: "2026-07-28"})
            assert answer["result"] == {"asked": name}
        upstream._client.close()


@pytest.mark.parametrize(
    ("url", "headers", "reason"),
    [
        ("http://[::1", {}, "takes an http or https URL"),
        ("http://127.0.0.1:99999/", {}, "takes an http or https URL"),
        ("ftp://127.0.0.1/", {}, "takes an http or https URL"),
        ("http://127.0.0.1/", {"X": "é"}, "the HTTP header X takes printable ASCII characters only$"),
        ("http://127.0.0.1/", {"X Y": "b"}, "can't be the name of an HTTP header"),
    ],
)
def test_an_upstream_that_makes_no_sense(url: str, headers: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        HttpUpstream(url, headers)


@pytest.mark.parametrize("era", ERAS)
async def test_listening_over_http(history: History, era: str) -> None:
    command = [*PROXY, "--server", "gateway", "--listen", "127.0.0.1:PORT", "--", *EVERYTHING]
    async with http_server(*command, environment=history.environment()) as url:
        seen = Seen()
        async with seen.client(StreamableHttpTransport(url), era) as client:
            assert (await client.call_tool("add", {"a": 1, "b": 2})).data == 3
            assert (await client.call_tool("reports", {})).data == "done"
            assert seen.progress == [(1, 2, "half way")]
            assert (await client.call_tool("fails", {"how": "return"}, raise_on_error=False)).is_error
    executions = await history.executions()
    assert [(one["server"], one["flowToolName"], one["status"]) for one in executions] == [
        ("gateway", "add", "FULFILLED"),
        ("gateway", "reports", "FULFILLED"),
        ("gateway", "fails", "ERROR"),
    ]
    assert [node["nodeType"] for node in executions[0]["nodeExecutions"]] == ["mcp.tool"]


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_cancels(history: History, era: str) -> None:
    async with Client(through_proxy(history), mode=era) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(client.call_tool, "endless", {})
            with anyio.fail_after(60):
                while not await history.executions():
                    await anyio.sleep(0.05)
            calls.cancel_scope.cancel()
        assert (await client.call_tool("add", {"a": 1, "b": 1})).data == 2
    cancelled, added = await history.executions()
    assert (cancelled["flowToolName"], cancelled["errorInfo"]["kind"]) == ("endless", "CANCELLED")
    assert added["status"] == "FULFILLED"


async def test_a_server_that_dies(history: History) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 (what a client raises then is its own affair)
        async with Client(through_proxy(history), mode="legacy") as client:
            await client.call_tool("dies", {})
    execution = await history.execution()
    assert execution["errorInfo"]["kind"] == "INTERRUPTED"


async def test_the_child_gets_the_environment_but_not_our_settings(history: History) -> None:
    async with Client(through_proxy(history, GITHUB_TOKEN="of the client's mcp.json")) as client:
        assert (await client.call_tool("environment", {"name": "GITHUB_TOKEN"})).data == "of the client's mcp.json"
        assert (await client.call_tool("environment", {"name": "FLOWTRAIL_RECORD_TOKEN"})).data is None


async def test_secrets_that_names_tell_stay_home(history: History) -> None:
    async with Client(through_proxy(history, "--server", "named")) as client:
        answer = await client.call_tool("login", {"user": "ann", "password": "correct horse"})
        assert "correct horse" in answer.data
    execution = await history.execution()
    assert execution["server"] == "named"
    assert execution["initialParams"] == {"user": "ann", "password": "[redacted: name]"}
    assert "correct horse" not in json.dumps(execution)


RAW_SERVER = """
import sys, json
for line in sys.stdin.buffer:
    message = json.loads(line)
    message = message if isinstance(message, dict) else {}
    if message.get("method") == "tools/list":
        tools = [{"name": "task", "inputSchema": {"type": "object", "properties": {"pin_code": {"writeOnly": True}}}}]
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": tools}}), flush=True)
    elif message.get("method") == "tools/call":
        result = {"task": {"taskId": "t1", "status": "working"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    elif message.get("method") == "tasks/get":
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"taskId": "t1", "status": "completed"}}), flush=True)
    elif message.get("method") == "tasks/result":
        result = {"content": [{"type": "text", "text": "late"}]}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
    else:
        sys.stdout.buffer.write(line.upper()); sys.stdout.buffer.flush()
"""


async def talk(history: History, *lines: bytes) -> list[bytes]:
    """Give lines to a proxy, each when the one before is answered, close its input, and return what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *PROXY, "--", sys.executable, "-c", RAW_SERVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=history.environment()
    )
    assert process.stdin is not None
    assert process.stdout is not None
    answers = []
    for line in lines:
        process.stdin.write(line + b"\n")
        answers.append((await process.stdout.readline()).rstrip(b"\n"))
    rest, _ = await process.communicate(b"")
    assert (process.returncode, rest) == (0, b"")
    return answers


async def test_bytes_pass_as_they_are(history: History) -> None:
    odd = [b'{ "a" : 1.50, "b": "\\ud800", "n": 123456789012345678901234567890 }', b"[1,2]", b'"text"', b'{"\xc3\xa9": null}']
    assert await talk(history, *odd) == [line.upper() for line in odd]
    assert await history.executions() == []


async def test_a_task_that_finishes_later_is_one_execution(history: History) -> None:
    def request(number: int, method: str, **params: Any) -> bytes:
        return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()

    answers = await talk(
        history,
        request(1, "tools/call", name="task", arguments={"pin_code": "777 888"}, task={"ttl": 1000}),
        request(2, "tasks/get", taskId="t1"),
        request(3, "tasks/result", taskId="t1"),
    )
    assert [json.loads(answer)["id"] for answer in answers] == [1, 2, 3]
    execution = await history.execution()
    assert execution["status"] == "FULFILLED"
    assert execution["result"]["content"][0]["text"] == "late"
    assert execution["initialParams"] == {"pin_code": "[redacted: schema]"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--", "no-such-command-anywhere"], "there is no command 'no-such-command-anywhere'"),
        ([], "name one server"),
        (["--upstream-url", "http://x/", "--", "ls"], "name one server"),
        (["--upstream-url", "ftp://x/"], "--upstream-url takes an http or https URL"),
        (["--header", "a:b", "--", "ls"], "--header goes with --upstream-url"),
        (["--upstream-url", "http://x/", "--header", "nonsense"], "--header takes NAME:VALUE"),
        (["--server", "x", "--listen", "8000", "--", "ls"], "--listen takes HOST:PORT"),
        (["--listen", "127.0.0.1:8000", "--", "ls"], "--listen needs --server NAME"),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments: list[str], message: str) -> None:
    outcome = subprocess.run([*PROXY, *arguments], capture_output=True, text=True, check=False, env=dict(os.environ))
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(message)
    assert outcome.stdout == ""
