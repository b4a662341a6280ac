"""Other ways in: servers of the official SDK, and tools that OpenTelemetry instruments."""

import os
import subprocess
import sys
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import SecretStr

from flowtrail.mcp import node
from flowtrail.mcp.sdk import SdkExecutionTracking
from history import History

ALONE = "FLOWTRAIL_TEST_ALONE"
"""Set where a test may change what is shared by the whole process."""


def sdk_server(history: History) -> MCPServer[Any]:
    where: Any = {"url": history.service.graphql_url, "token": history.service.record_token, "spool_dir": history.spool_root}
    server: MCPServer[Any] = MCPServer("shop", middleware=[SdkExecutionTracking("shop", **where)])

    @server.tool()
    async def buy(item: str, card: SecretStr) -> str:
        """Buy something."""
        async with node("Pay"):
            if item == "moon":
                raise ValueError("out of reach")
            if item == "stars":
                raise ToolError("not for sale")
        return f"{item} with {card.get_secret_value()}"

    return server


@pytest.mark.parametrize("era", ["legacy", "2026-07-28"])
async def test_a_server_of_the_official_sdk(history: History, era: str) -> None:
    async with Client(sdk_server(history), mode=era) as client:
        for name, arguments in [
            ("buy", {"item": "book", "card": "4111-1111"}),
            ("buy", {"item": "moon", "card": "4111-1111"}),
            ("buy", {"item": "stars", "card": "4111-1111"}),
            ("buy", {"item": "book"}),
            ("sell", {}),
        ]:
            await client.call_tool(name, arguments, raise_on_error=False)
    executions = await history.executions("flow { description } client { name }")
    kinds = [one["errorInfo"] and (one["errorInfo"]["kind"], one["errorInfo"]["nodeName"]) for one in executions]
    assert kinds == [None, ("EXCEPTION", "Pay"), ("TOOL_ERROR", "Pay"), ("PROTOCOL_ERROR", None), ("PROTOCOL_ERROR", None)]
    assert [one["flow"] for one in executions] == [{"description": "Buy something."}] * 4 + [None]
    assert executions[0]["initialParams"] == {"item": "book", "card": "[redacted: schema]"}
    assert executions[0]["result"]["content"][0]["text"] == "book with [redacted: parameter]"
    assert executions[0]["client"]["name"] == "mcp"


def test_spans_in_a_process_of_their_own() -> None:
    """A tracer provider is for the whole process and for good: other tests must not find one."""
    pytest.importorskip("opentelemetry.sdk.trace")
    test = f"{__file__}::test_spans_of_an_instrumented_tool_become_nodes"
    command = [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", test]
    done = subprocess.run(command, env={**os.environ, ALONE: "yes"}, capture_output=True, text=True, check=False)
    assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.skipif(ALONE not in os.environ, reason="run by the test above, in a process of its own")
async def test_spans_of_an_instrumented_tool_become_nodes(history: History) -> None:
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.trace import SpanKind, get_tracer, set_tracer_provider

    set_tracer_provider(trace.TracerProvider())
    mcp = FastMCP("traced", middleware=[history.tracking(spans=True)])
    tracer = get_tracer("a library")

    @mcp.tool
    async def query(fail: bool) -> str:
        with node("Query"), tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes={"db.system": "x"}) as span:
            with tracer.start_as_current_span("connect"):
                if fail:
                    raise ConnectionError("refused")
            span.set_attribute("rows", 3)
        return "ok"

    async with Client(mcp) as client:
        await client.call_tool("query", {"fail": False})
        await client.call_tool("query", {"fail": True}, raise_on_error=False)
    good, bad = await history.executions("traceId")
    shown = [(one["nodeName"], one["nodeType"], one["parentPosition"], one["outputData"]) for one in good["nodeExecutions"]]
    assert shown == [
        ("Query", "step", None, None),
        ("SELECT", "span.client", 0, {"db.system": "x", "rows": 3}),
        ("connect", "span.internal", 1, None),
    ]
    assert good["traceId"] is not None
    assert (bad["errorInfo"]["kind"], bad["errorInfo"]["nodeName"]) == ("EXCEPTION", "connect")


async def test_a_background_task_is_one_execution_with_its_nodes(history: History) -> None:
    tasks = pytest.importorskip("fastmcp_tasks")
    mcp = FastMCP("background", middleware=[history.tracking()])
    mcp.add_extension(tasks.TasksExtension())

    @mcp.tool(task=True)
    async def crunch(fail: bool) -> str:
        async with node("Crunch"):
            if fail:
                raise ValueError("too hard")
        return "crunched"

    async with Client(mcp) as client:
        for fail in (False, True):
            await client.call_tool("crunch", {"fail": fail}, raise_on_error=False)
    good, bad = await history.executions()
    assert (good["status"], good["result"]["structuredContent"]) == ("FULFILLED", {"result": "crunched"})
    assert [one["nodeName"] for one in good["nodeExecutions"]] == ["Crunch"]
    assert (bad["status"], bad["errorInfo"]["nodeName"]) == ("ERROR", "Crunch")
