"""The wrapper: records every execution of an MCP server's tools, without changing them (docs/recording.md).

    from flowtrail.mcp import ExecutionTracking, node

    mcp = FastMCP("orders", middleware=[ExecutionTracking()])

Everything is imported when it is first used: `node` in a library costs a program without tracking next to nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowtrail.mcp.events import Caller
    from flowtrail.mcp.middleware import ExecutionTracking
    from flowtrail.mcp.nodes import flow_node, node
    from flowtrail.mcp.recorder import flush_recorders

__all__ = ["Caller", "ExecutionTracking", "flow_node", "flush_recorders", "node"]

_MODULES = {
    "Caller": "events",
    "ExecutionTracking": "middleware",
    "flow_node": "nodes",
    "flush_recorders": "recorder",
    "node": "nodes",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
