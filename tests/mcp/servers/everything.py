"""A server that uses what MCP has: progress, logs, images, structured output, elicitation, sampling, resources, prompts,
a growing tool list.
"""

import asyncio
import os
import sys
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.tools.base import ToolResult
from fastmcp.utilities.types import Image
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult, SamplingMessage, TextContent

mcp = FastMCP("everything", instructions="Call anything.", version="7.8.9")


@mcp.tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@mcp.tool
def picture() -> Image:
    return Image(data=b"\x89PNG\r\n\x1a\n", format="png")


@mcp.tool
def fails(how: str) -> ToolResult:
    if how == "raise":
        raise ValueError("broken")
    return ToolResult(content=[TextContent(type="text", text="refused")], is_error=True)


@mcp.tool
async def reports(ctx: Context) -> str:
    await ctx.info("half way")
    await ctx.report_progress(1, 2, "half way")
    return "done"


@mcp.tool
async def endless() -> None:
    await asyncio.sleep(3600)


@mcp.tool
async def asks(ctx: Context) -> Any:
    """Ask the client, in the way of its era."""
    if ctx.request_context is not None and ctx.request_context.protocol_version < "2026":
        answer = await ctx.elicit("Which colour?", str)
        return f"{answer.action}: {getattr(answer, 'data', None)}"
    if ctx.input_responses is None:
        schema = {"type": "object", "properties": {"value": {"type": "string"}}}
        question = ElicitRequest(params=ElicitRequestFormParams(message="Which colour?", requested_schema=schema))
        return InputRequiredResult(input_requests={"colour": question}, request_state="asked once")
    return str(ctx.input_responses["colour"].content)  # type: ignore[union-attr]


@mcp.tool
async def samples(ctx: Context) -> str:
    answer = await ctx.session.create_message(
        messages=[SamplingMessage(role="user", content=TextContent(type="text", text="hello"))], max_tokens=10
    )
    return str(answer.content.text)  # type: ignore[union-attr]


@mcp.tool
def environment(name: str) -> str | None:
    return os.environ.get(name)


@mcp.tool
async def grows(ctx: Context) -> str:
    mcp.tool(lambda: "grown", name="grown")
    await ctx.send_notification_tool_list_changed() if hasattr(ctx, "send_notification_tool_list_changed") else None
    return "ok"


@mcp.tool
def dies() -> None:
    os._exit(3)


@mcp.tool
def login(user: str, password: str) -> str:
    return f"{user} logged in with {password}"


@mcp.resource("data://greeting")
def greeting() -> str:
    return "hello"


@mcp.prompt
def summarise(text: str) -> str:
    return f"Summarise {text}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        mcp.run("http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="ERROR")
    else:
        mcp.run(show_banner=False, log_level="ERROR")
