"""How a call ended, told apart: a result, isError, an exception, bad arguments, an unknown tool, a timeout, cancellation
(spec 1.4).
"""

import asyncio
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastmcp.exceptions import DisabledError, NotFoundError, ToolError, ValidationError
from pydantic import ValidationError as PydanticValidationError

from flowtrail.mcp.events import ErrorKind
from flowtrail.mcp.nodes import describe
from mcp import MCPError

if TYPE_CHECKING:
    from fastmcp.tools.base import ToolResult

_TOOL_TIMED_OUT = -32000
"""The code with which FastMCP reports that a tool's own `timeout=` passed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call failed; `stack` is a Python traceback."""

    kind: ErrorKind
    message: str
    stack: str | None = None


def of_exception(error: BaseException) -> Failure:
    """Return what an exception that left the call says about its end."""
    match error:
        case asyncio.CancelledError() | GeneratorExit():
            return Failure("CANCELLED", "the client cancelled the call or went away")
        case KeyboardInterrupt() | SystemExit():
            return Failure("INTERRUPTED", "the MCP server was stopped")
        case NotFoundError() | DisabledError():
            return Failure("PROTOCOL_ERROR", str(error))
        case ValidationError() if isinstance(error.__cause__, PydanticValidationError):
            return Failure("PROTOCOL_ERROR", f"the arguments are not valid: {_reasons(error.__cause__)}")
        case ValidationError() | PydanticValidationError():
            return Failure("PROTOCOL_ERROR", str(error))
        case ToolError() if error.__cause__ is None:
            return Failure("TOOL_ERROR", str(error))
        case ToolError() if error.__cause__ is not None:
            return _of_cause(error.__cause__)
        case _:
            return _of_cause(error)


def _of_cause(cause: BaseException) -> Failure:
    if isinstance(cause, MCPError):
        if cause.error.code == _TOOL_TIMED_OUT and "timed out" in cause.error.message:
            return Failure("TIMED_OUT", cause.error.message)
        return Failure("PROTOCOL_ERROR", f"{cause.error.message} ({cause.error.code})")
    return Failure("EXCEPTION", describe(cause), "".join(traceback.format_exception(cause)))


def _reasons(error: PydanticValidationError) -> str:
    # The input is left out: it may be the very thing that is secret.
    return "; ".join(
        f"{'.'.join(map(str, found['loc'])) or 'arguments'}: {found['msg']}" for found in error.errors(include_input=False)
    )


def result_value(result: "ToolResult") -> dict[str, Any]:
    """Return a tool's answer as it goes over the wire: CallToolResult, without what is not set."""
    value: dict[str, Any] = {
        "content": [block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in result.content]
    }
    if result.structured_content is not None:
        value["structuredContent"] = result.structured_content
    if result.is_error:
        value["isError"] = True
    if result.meta is not None:
        value["_meta"] = result.meta
    return value
