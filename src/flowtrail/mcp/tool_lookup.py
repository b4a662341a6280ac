"""What the middleware must know of a FastMCP tool before it is called: its schema, and where its call goes on."""

import time
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from fastmcp import FastMCP
from fastmcp.tools.base import Tool

from flowtrail.mcp.catalogue import ToolDescription

_FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class FoundTool:
    """A tool, or that there is none: `description` is None then.

    `delegates_to` is the name under which a mounted server's own middleware meets the same call, `proxied_name` the name
    at the server that a proxied call goes to.
    """

    description: ToolDescription | None = None
    delegates_to: str | None = None
    proxied_name: str | None = None


class ToolLookup:
    """Finds tools as FastMCP does, which takes a quarter of a millisecond; so a tool found is believed for a second."""

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[FastMCP[Any], dict[str, tuple[float, FoundTool]]] = WeakKeyDictionary()

    async def find(self, server: FastMCP[Any], name: str) -> FoundTool:
        """Return what `server` knows of the tool `name`."""
        now = time.monotonic()
        tools = self._found.setdefault(server, {})
        if (known := tools.get(name)) is not None and now - known[0] < _FRESH_SECONDS:
            return known[1]
        tool = await server.get_tool(name)
        if tool is None:
            return FoundTool()
        provided = _provided(tool)
        delegates_to = _text(provided.get("fastmcp.delegate.original_name"))
        proxied_name = _text(provided.get("fastmcp.proxy.backend_name"))
        found = FoundTool(describe_tool(tool), delegates_to, proxied_name)
        tools[name] = (now, found)
        return found

    def forget(self) -> None:
        """Forget every tool: the list of tools was just asked for."""
        self._found.clear()


def describe_tool(tool: Tool) -> ToolDescription:
    """Return what is registered of a FastMCP tool."""
    title = tool.title or (tool.annotations.title if tool.annotations is not None else None)
    return ToolDescription(tool.name, title, tool.description, tool.parameters, tool.timeout)


def _provided(tool: Tool) -> dict[str, Any]:
    """Return what FastMCP says of where a tool comes from, beneath the transformations it went through."""
    while isinstance(parent := getattr(tool, "parent_tool", None), Tool):
        tool = parent
    return tool.get_span_attributes()


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
