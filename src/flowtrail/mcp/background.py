"""Tools that FastMCP runs as background tasks: the call is answered at once, and is over when the task is.

A task is heard of as its client asks for it. Where it runs in this process, its nodes find their execution.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

from flowtrail.mcp import execution
from flowtrail.mcp.execution import Execution, Frame
from flowtrail.mcp.wire_calls import Call, Calls


class BackgroundTasks:
    """The executions of this process whose tasks have not ended."""

    def __init__(self) -> None:
        self._calls = Calls()

    def add(self, running: Execution, tool_name: str, created: BaseModel) -> bool:
        """Keep an execution whose call was answered with a task; False when `created` is none."""
        task_id = getattr(created, "task_id", None)
        if not isinstance(task_id, str):
            return False
        self._calls.add_task(task_id, Call(running, tool_name, {}, tool_exists=True))
        execution.find_frame_elsewhere = self._frame_of_this_task
        return True

    def hear(self, said: Any) -> None:
        """Look at the answer to a request about a task."""
        if isinstance(said, BaseModel):
            said = said.model_dump(mode="json", by_alias=True, exclude_none=True)
        if isinstance(said, Mapping):
            self._calls.hear_of_task(said)

    def _frame_of_this_task(self) -> Frame | None:
        with suppress(ImportError):
            from fastmcp_tasks.context import get_task_context  # type: ignore[import-not-found, unused-ignore]

            if (context := get_task_context()) is not None and (call := self._calls.task(context.task_id)) is not None:
                return Frame(call.execution)
        return None
