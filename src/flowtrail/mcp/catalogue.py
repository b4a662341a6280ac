"""The tools of a server as flows: how they are registered, and what their schemas mark as secret."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowtrail.mcp import events
from flowtrail.mcp.recorder import Recorder
from flowtrail.mcp.secret_schema import SecretSchema

TIMEOUT_GRACE_SECONDS = 5.0
"""A flow's deadline is this much later than its tool's own timeout, so that the tool's answer is the outcome."""

_GENERATED_NAME = re.compile(r"(?:[A-Za-z_]\w*MCP\w*|FastMCP\w*)-(?:.*-)?[0-9a-f]{4}")


def is_generated_name(name: str) -> bool:
    """Return whether a server's name was made up, anew at each start (spec 4.8)."""
    return _GENERATED_NAME.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """What a server says of a tool. `timeout` is in seconds; None: the tool says nothing."""

    tool_name: str
    title: str | None
    description: str | None
    input_schema: Mapping[str, Any] | None
    timeout: float | None = None


class Catalogue:
    """The tools of one server that were seen so far; says so to the recorder whenever one is new or has changed."""

    def __init__(self, recorder: Recorder, server: str) -> None:
        self._recorder = recorder
        self._server = server
        self._known: dict[str, tuple[ToolDescription, SecretSchema]] = {}

    def add(self, tool: ToolDescription) -> SecretSchema:
        """Register the tool unless it is known just so, and return what its schema marks as secret."""
        known = self._known.get(tool.tool_name)
        if known is not None and known[0] == tool:
            return known[1]
        schema = SecretSchema(tool.input_schema or {})
        self._known[tool.tool_name] = (tool, schema)
        timeout_ms = None if tool.timeout is None else round((tool.timeout + TIMEOUT_GRACE_SECONDS) * 1000)
        text = events.registration(tool.tool_name, tool.title or tool.tool_name, tool.description, tool.input_schema, timeout_ms)
        self._recorder.register(self._server, tool.tool_name, text)
        return schema

    def schema_of(self, tool_name: str) -> SecretSchema | None:
        """Return what a tool's schema marks as secret; None when the tool was not seen."""
        known = self._known.get(tool_name)
        return None if known is None else known[1]
