"""A tracked server, over stdio."""

import asyncio
import os
from typing import Any

from fastmcp import Context, FastMCP
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult

from flowtrail.mcp import ExecutionTracking, node

mcp = FastMCP("tracked", middleware=[ExecutionTracking()])


@mcp.tool
async def works(steps: int = 1) -> int:
    for step in range(steps):
        async with node(f"Step {step}", input=step) as running:
            running.output = step
    return steps


@mcp.tool
async def hangs() -> None:
    with node("Done"):
        pass
    async with node("Hangs"):
        await asyncio.sleep(3600)


@mcp.tool
async def asks(ctx: Context) -> Any:
    if ctx.input_responses is None:
        schema = {"type": "object", "properties": {"value": {"type": "string"}}}
        question = ElicitRequest(params=ElicitRequestFormParams(message="Which?", requested_schema=schema))
        return InputRequiredResult(input_requests={"which": question}, request_state="round 1")
    with node("Answered"):
        return str(ctx.input_responses["which"].content)  # type: ignore[union-attr]


@mcp.tool
def forks() -> int:
    """Call a tool of this server in a forked child, as a pre-forking web server would."""
    child = os.fork()
    if child == 0:
        asyncio.run(mcp.call_tool("works", {"steps": 2}))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    mcp.run(show_banner=False, log_level="ERROR")
