"""An MCP client calls tools of a tracked server, and any GraphQL client reads what happened."""

import asyncio
import threading
from datetime import datetime
from typing import Any

import anyio
import pytest
from fastmcp import Client, Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.tools.base import ToolResult
from mcp_types import TextContent

from flowtrail.mcp import flow_node, node
from history import History


def orders(history: History, **options: Any) -> FastMCP:
    """A server with the tools that these tests call."""
    mcp = FastMCP("orders", middleware=[history.tracking(**options)])

    @mcp.tool
    def add(a: int, b: int = 2) -> int:
        """Add two numbers."""
        return a + b

    @mcp.tool
    async def three_steps(fail_in: str = "") -> str:
        for step in ("Fetch", "Price", "Reserve stock"):
            async with node(step, input={"step": step}) as running:
                if step == fail_in:
                    raise ValueError(f"no {step}")
                running.output = [step]
        return "done"

    @mcp.tool
    def refuses() -> ToolResult:
        return ToolResult(content=[TextContent(type="text", text="sold out")], is_error=True)

    @mcp.tool
    def raises_tool_error() -> None:
        raise ToolError("not on Sundays")

    @mcp.tool(timeout=0.05)
    async def too_slow() -> None:
        async with node("Wait"):
            await asyncio.sleep(30)

    return mcp


async def call(mcp: FastMCP, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
    """Call a tool as a client does and return its wire result."""
    async with Client(mcp) as client:
        return await client.call_tool_mcp(name, arguments or {}, **options)


async def test_a_result_is_recorded_with_its_parameters_client_and_times(history: History) -> None:
    result = await call(orders(history), "add", {"a": 40})
    assert result.structured_content == {"result": 42}
    execution = await history.execution("client { name version } caller { requestId } flow { name description inputSchema }")
    assert (execution["server"], execution["flowToolName"], execution["status"]) == ("orders", "add", "FULFILLED")
    assert execution["initialParams"] == {"a": 40}
    assert execution["initialParamsPreview"] == "a: 40"
    assert execution["result"]["structuredContent"] == {"result": 42}
    assert execution["result"]["content"] == [{"type": "text", "text": "42"}]
    assert execution["errorInfo"] is None
    assert execution["client"]["name"] == "mcp"
    assert execution["caller"]["requestId"]
    assert execution["flow"]["description"] == "Add two numbers."
    assert execution["flow"]["inputSchema"]["required"] == ["a"]
    assert datetime.fromisoformat(execution["endedAt"]) >= datetime.fromisoformat(execution["startedAt"])


async def test_the_node_that_broke_is_named(history: History) -> None:
    result = await call(orders(history), "three_steps", {"fail_in": "Price"})
    assert result.is_error
    execution = await history.execution()
    assert execution["errorInfo"] == {
        "kind": "EXCEPTION",
        "message": "ValueError: no Price",
        "nodeId": "price",
        "nodeName": "Price",
        "stack": None,
    }
    assert [(one["nodeName"], one["status"], one["error"], one["outputData"]) for one in execution["nodeExecutions"]] == [
        ("Fetch", "COMPLETED", None, ["Fetch"]),
        ("Price", "ERROR", "ValueError: no Price", None),
    ]


@pytest.mark.parametrize(
    ("tool", "arguments", "kind", "message"),
    [
        ("refuses", {}, "TOOL_ERROR", "sold out"),
        ("raises_tool_error", {}, "TOOL_ERROR", "not on Sundays"),
        ("three_steps", {"fail_in": "Fetch"}, "EXCEPTION", "ValueError: no Fetch"),
        ("add", {"a": "many"}, "PROTOCOL_ERROR", "the arguments are not valid: a: Input should be a valid integer"),
        ("add", {}, "PROTOCOL_ERROR", "the arguments are not valid: a: Missing required argument"),
        ("unheard_of", {}, "PROTOCOL_ERROR", "Unknown tool: 'unheard_of'"),
        ("too_slow", {}, "TIMED_OUT", "Tool 'too_slow' execution timed out after 0.05s"),
    ],
)
async def test_every_kind_of_error_is_told_apart_and_reaches_the_client_as_without_tracking(
    history: History, tool: str, arguments: dict[str, Any], kind: str, message: str
) -> None:
    tracked = orders(history)
    result = await call(tracked, tool, arguments)
    tracked.middleware.clear()
    assert result == await call(tracked, tool, arguments)
    execution = await history.execution("flow { id }")
    assert execution["errorInfo"]["kind"] == kind
    assert execution["errorInfo"]["message"].startswith(message)
    assert (execution["flow"] is None) == (tool == "unheard_of")


async def test_a_client_that_cancels(history: History) -> None:
    mcp = orders(history)
    began = anyio.Event()

    @mcp.tool
    async def endless() -> None:
        async with node("Wait for ever"):
            began.set()
            await anyio.sleep_forever()

    async with Client(mcp) as client, anyio.create_task_group() as calls:
        calls.start_soon(client.call_tool_mcp, "endless", {})
        await began.wait()
        calls.cancel_scope.cancel()
    execution = await history.execution()
    assert execution["errorInfo"]["kind"] == "CANCELLED"
    assert execution["errorInfo"]["nodeName"] == "Wait for ever"


async def test_a_running_call_and_its_nodes_are_visible(history: History) -> None:
    mcp = orders(history)
    began, go_on = anyio.Event(), anyio.Event()

    @mcp.tool
    async def waits() -> str:
        with node("Done already"):
            pass
        async with node("Waiting"):
            began.set()
            await go_on.wait()
        return "ok"

    async with Client(mcp) as client, anyio.create_task_group() as calls:
        calls.start_soon(client.call_tool_mcp, "waits", {})
        await began.wait()
        execution = await history.execution()
        assert execution["status"] == "PENDING"
        assert [one["status"] for one in execution["nodeExecutions"]] == ["COMPLETED", "PENDING"]
        go_on.set()
    assert (await history.execution())["status"] == "FULFILLED"


async def test_nodes_nest_and_run_beside_each_other_in_tasks_threads_and_plain_functions(history: History) -> None:
    mcp = orders(history)

    @flow_node
    async def fetch(number: int) -> int:
        return number * 10

    @flow_node("Sum up", type="compute", id="sum")
    def sum_up(numbers: list[int]) -> int:
        return sum(numbers)

    def in_a_thread() -> int:
        with node("In a thread", input=threading.current_thread() is threading.main_thread()):
            return sum_up([1, 2])

    @mcp.tool
    async def fans_out() -> int:
        async with node("All"):
            numbers = await asyncio.gather(fetch(1), fetch(number=2))
        return sum_up(list(numbers)) + await asyncio.to_thread(in_a_thread)

    assert (await call(mcp, "fans_out")).structured_content == {"result": 33}
    nodes = (await history.execution())["nodeExecutions"]
    shown = [
        (one["nodeName"], one["nodeId"], one["nodeType"], one["parentPosition"], one["inputData"], one["outputData"])
        for one in nodes
    ]
    assert shown == [
        ("All", "all", "step", None, None, None),
        ("Fetch", "fetch", "step", 0, {"number": 1}, 10),
        ("Fetch", "fetch", "step", 0, {"number": 2}, 20),
        ("Sum up", "sum", "compute", None, {"numbers": [10, 20]}, 30),
        ("In a thread", "in-a-thread", "step", None, False, None),
        ("Sum up", "sum", "compute", 4, {"numbers": [1, 2]}, 3),
    ]


async def test_of_nodes_beside_each_other_the_one_that_failed_is_named(history: History) -> None:
    mcp = orders(history)

    async def step(name: str, fails: bool, waits: anyio.Event | None) -> None:
        async with node(name):
            if waits is not None:
                await waits.wait()
            if fails:
                raise ValueError(name)

    @mcp.tool
    async def races() -> None:
        async with anyio.create_task_group() as steps:
            steps.start_soon(step, "never ends", False, anyio.Event())
            steps.start_soon(step, "succeeds", False, None)
            steps.start_soon(step, "breaks", True, None)

    await call(mcp, "races")
    execution = await history.execution()
    assert execution["errorInfo"]["nodeName"] == "breaks"


async def test_a_flow_that_calls_another_flow_is_its_parent(history: History) -> None:
    mcp = orders(history)

    @mcp.tool
    async def calls_another(ctx: Context) -> Any:
        async with node("Add"):
            return (await ctx.fastmcp.call_tool("add", {"a": 1})).structured_content

    await call(mcp, "calls_another")
    outer, inner = await history.executions("parent { uuid } children { edges { node { uuid } } }")
    assert inner["parent"] == {"uuid": outer["uuid"]}
    assert outer["parent"] is None
    assert [edge["node"]["uuid"] for edge in outer["children"]["edges"]] == [inner["uuid"]]
    assert (outer["nodeCount"], inner["nodeCount"]) == (1, 0)


async def test_one_call_through_mounted_servers_is_one_execution(history: History) -> None:
    tracking = history.tracking()
    inner, middle, outer = (FastMCP(name, middleware=[tracking]) for name in ("inner", "middle", "outer"))

    @inner.tool
    async def work(n: int) -> int:
        with node("Work"):
            return n

    @inner.tool
    async def works_twice(ctx: Context) -> int:
        await ctx.fastmcp.call_tool("work", {"n": 1})
        await ctx.fastmcp.call_tool("work", {"n": 2})
        return 2

    middle.mount(inner, "in")
    outer.mount(middle, "mid")
    await call(outer, "mid_in_work", {"n": 7})
    execution = await history.execution()
    assert (execution["server"], execution["flowToolName"], execution["nodeCount"]) == ("outer", "mid_in_work", 1)
    await call(outer, "mid_in_works_twice")
    _, twice, *children = await history.executions("parent { uuid }")
    assert [(child["server"], child["flowToolName"], child["parent"]["uuid"]) for child in children] == [
        ("inner", "work", twice["uuid"])
    ] * 2


async def test_flows_follow_the_tool_list(history: History) -> None:
    mcp = orders(history)

    async def flows() -> dict[str, Any]:
        await history.flush()
        answer = await history.service.execute("{ flows(first: 100) { edges { node { toolName name timeoutMs } } } }")
        return {edge["node"]["toolName"]: edge["node"] for edge in answer["data"]["flows"]["edges"]}

    async with Client(mcp) as client:
        await client.list_tools()
        assert set(await flows()) == {"add", "three_steps", "refuses", "raises_tool_error", "too_slow"}
        assert (await flows())["add"]["timeoutMs"] == 300_000

        @mcp.tool(title="Brand new", timeout=600)
        def new() -> None: ...

        await client.list_tools()
        assert (await flows())["new"] == {"toolName": "new", "name": "Brand new", "timeoutMs": 605_000}


async def test_a_made_up_server_name_is_refused_with_a_message_and_the_tool_works(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    mcp = FastMCP(middleware=[history.tracking()])
    mcp.tool(lambda: 1, name="one")
    assert (await call(mcp, "one")).content[0].text == "1"
    assert mcp.name in caplog.text
    assert await history.executions() == []


async def test_settings_an_author_expects(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    await call(orders(history, skip=["add", "ref*"]), "add", {"a": 1})
    await call(orders(history, skip=["add", "ref*"]), "refuses")
    assert await history.executions() == []
    await call(
        orders(history, server="shop", preview=True, stacks=True, identify=lambda context: "ann"),
        "three_steps",
        {"fail_in": "Price"},
    )
    execution = await history.execution("caller { subject }")
    assert (execution["server"], execution["isPreview"], execution["caller"]["subject"]) == ("shop", True, "ann")
    assert "Traceback" in execution["errorInfo"]["stack"]
    assert "no Price" in execution["errorInfo"]["stack"]
    await call(orders(history), "add", {"a": 1}, meta={"flowtrail/preview": True, "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
    [_, execution] = await history.executions("traceId")
    assert (execution["isPreview"], execution["traceId"]) == (True, "ab" * 16)
    monkeypatch.setenv("FLOWTRAIL_DISABLED", "1")
    await call(orders(history), "add", {"a": 1})
    assert len(await history.executions()) == 2


async def test_an_identify_that_fails_does_not_fail_the_tool(history: History) -> None:
    def broken(context: Any) -> str:
        raise RuntimeError("who knows")

    result = await call(orders(history, identify=broken), "add", {"a": 1})
    assert result.structured_content == {"result": 3}


async def test_a_value_over_the_limit_is_cut_and_says_so(history: History) -> None:
    mcp = orders(history, payload_limit=2000)

    @mcp.tool
    def echo(text: str) -> str:
        return text

    text = "é" * 3000
    assert (await call(mcp, "echo", {"text": text})).structured_content == {"result": text}
    execution = await history.execution("initialParamsInfo { sizeBytes isTruncated } resultInfo { isTruncated }")
    assert execution["initialParamsInfo"] == {"sizeBytes": len('{"text":""}') + 6000, "isTruncated": True}
    assert execution["resultInfo"]["isTruncated"]
    assert execution["initialParams"]["text"].startswith("ééé")


async def test_an_exact_value_arrives(history: History) -> None:
    mcp = orders(history)

    @mcp.tool
    def take(value: Any) -> None:
        with node("Values", input={"nan": float("nan"), "value": value}):
            pass

    value = {"z": 10**40, "a": ["\0", 0.1, -0.0, True, None, "👩‍👩‍👧"], "": {}}
    await call(mcp, "take", {"value": value})
    execution = await history.execution("initialParamsInfo { text }")
    assert execution["initialParams"] == {"value": value}
    assert list(execution["initialParams"]["value"]) == ["z", "a", ""]
    assert execution["nodeExecutions"][0]["inputData"] == {"nan": "NaN", "value": value}


async def test_a_node_outside_a_call_does_nothing() -> None:
    async with node("Nowhere") as nowhere:
        nowhere.output = 1
    with node("Nowhere"):
        pass


async def test_what_outlives_its_call_is_not_recorded(history: History) -> None:
    mcp = orders(history)
    ended, finished = anyio.Event(), anyio.Event()

    async def later() -> None:
        async with node("Begun in time"):
            await ended.wait()
        async with node("Too late"):
            pass
        finished.set()

    background: list[asyncio.Task[None]] = []

    @mcp.tool
    async def leaves_work_behind() -> str:
        background.append(asyncio.create_task(later()))
        await asyncio.sleep(0)
        return "ok"

    await call(mcp, "leaves_work_behind")
    ended.set()
    await finished.wait()
    execution = await history.execution()
    assert execution["status"] == "FULFILLED"
    assert [one["nodeName"] for one in execution["nodeExecutions"]] == ["Begun in time"]
