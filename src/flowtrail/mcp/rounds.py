"""Calls that stop to ask the client for input and are continued by another request: one execution (issue: elicitation
rounds).

The protocol is stateless between the rounds. What a continuation repeats, the tool, its arguments and the state it was
given, finds the execution again. While the client is asked, a node of type `mcp.input` is running.
"""

import hashlib
import threading
from collections import OrderedDict
from typing import Any

from mcp_types import CallToolRequestParams, InputRequiredResult

from flowtrail.mcp.execution import Execution
from flowtrail.mcp.payload import encode
from flowtrail.mcp.wire_calls import INPUT_NODE_TYPE

_MOST_WAITING = 1000

_Key = bytes


class Rounds:
    """The executions of this process that wait for input. Beyond a thousand, the oldest are left to their timeout."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: OrderedDict[_Key, list[tuple[Execution, int | None]]] = OrderedDict()

    def suspend(self, execution: Execution, called: CallToolRequestParams, asked: InputRequiredResult) -> None:
        """Keep an execution whose tool asked for input."""
        requests = asked.model_dump(mode="json", by_alias=True, exclude_none=True).get("inputRequests")
        position = execution.start_node("input", "Input from the client", INPUT_NODE_TYPE, requests, None)
        with self._lock:
            self._waiting.setdefault(_key(called, asked.request_state), []).append((execution, position))
            while len(self._waiting) > _MOST_WAITING:
                self._waiting.popitem(last=False)

    def resume(self, called: CallToolRequestParams) -> Execution | None:
        """Return the execution that a request continues; None for a request that begins one."""
        if called.input_responses is None and called.request_state is None:
            return None
        key = _key(called, called.request_state)
        with self._lock:
            if not (waiting := self._waiting.get(key)):
                return None
            execution, position = waiting.pop(0)
            if not waiting:
                del self._waiting[key]
        if position is not None:
            execution.finish_node(position, _wire(called.input_responses))
        return execution


def _key(called: CallToolRequestParams, state: str | None) -> _Key:
    return hashlib.sha256(encode([called.name, called.arguments or {}, state]).encode()).digest()


def _wire(responses: Any) -> Any:
    if responses is None:
        return None
    return {
        name: answer.model_dump(mode="json", by_alias=True, exclude_none=True) if hasattr(answer, "model_dump") else answer
        for name, answer in dict(responses).items()
    }
