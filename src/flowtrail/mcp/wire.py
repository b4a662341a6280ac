"""Executions, recorded from the JSON-RPC messages that pass between a client and a server of any language (spec 4.3).

Both protocol eras, tasks that finish later, and rounds that ask the client for input. Messages are only looked at: what
passes is the relay's affair. One `WireTracking` belongs to one connection; each side may call it from threads of its own.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flowtrail.mcp.call_span import start_call_span, trace_id_of
from flowtrail.mcp.catalogue import ToolDescription
from flowtrail.mcp.events import Caller
from flowtrail.mcp.guard import Guarded
from flowtrail.mcp.origin import client_in, from_meta
from flowtrail.mcp.tracking import Tracker
from flowtrail.mcp.wire_calls import Call, Calls, error_message, is_continuation

_OWN_ID = "flowtrail-tools-"
_SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"
_LIST_SECONDS = 3.0


class WireTracking:
    """Looks at one connection's messages. `send` gives a message to the server; `name` is used until the server says its own."""

    def __init__(self, tracker: Tracker, name: str, send: Callable[[bytes], None]) -> None:
        self._tracker = tracker
        self._name = name
        self._send = send
        self._calls = Calls()
        self._client: tuple[str, str | None] | None = None
        self._client_left = False
        self._listed = threading.Event()
        self._list_requested = False
        self._own_requests = 0
        self._own_params: dict[str, Any] = {}
        self._asked_tools: dict[str, Any] = {}
        self._tool_names: set[str] = set()
        self.session_id: str | None = None
        """The transport's session, where it has one."""

    def from_client(self, message: bytes) -> None:
        """Look at a message on its way to the server."""
        with Guarded("reading a client's message"):
            for part in _parts(message):
                self._from_client(part)

    def from_server(self, message: bytes) -> bool:
        """Look at a message on its way to the client; False when it answers our own question and must not go on."""
        passes = True
        with Guarded("reading a server's message"):
            for part in _parts(message):
                passes = self._from_server(part) and passes
        return passes

    def client_left(self) -> None:
        """Hear that the client sends no more. It may still read: calls are cancelled if the server ends without an answer."""
        self._client_left = True

    def server_left(self) -> None:
        """Hear that the server's process or connection ended."""
        with Guarded("recording the end of a call"):
            for call in self._calls.take_all():
                if self._client_left:
                    call.fail("CANCELLED", "the client cancelled the call or went away")
                else:
                    call.fail("INTERRUPTED", "the MCP server ended before the call did")

    # From the client.

    def _from_client(self, message: Mapping[str, Any]) -> None:
        params = message.get("params")
        params = params if isinstance(params, Mapping) else {}
        request_id = message.get("id")
        match message.get("method"):
            case "initialize":
                self._client = client_in(params.get("clientInfo"))
            case "tools/list" if request_id is not None:
                self._asked_tools[json.dumps(request_id)] = params.get("cursor")
            case "tools/call" if request_id is not None and isinstance(params.get("name"), str):
                self._call(request_id, params)
            case "notifications/cancelled":
                if (call := self._calls.take(params.get("requestId"))) is not None:
                    call.fail("CANCELLED", str(params.get("reason") or "the client cancelled the call"))
            case "tasks/get" | "tasks/result" | "tasks/cancel" if isinstance(params.get("taskId"), str):
                self._calls.expect_about_task(request_id, params["taskId"])

    def _call(self, request_id: Any, params: Mapping[str, Any]) -> None:
        name = params["name"]
        if self._tracker.options.skips(name):
            return
        arguments = params.get("arguments")
        arguments = arguments if isinstance(arguments, Mapping) else {}
        call = None
        if is_continuation(params):
            call = self._calls.resume(name, arguments, params.get("requestState"))
        if call is not None:
            call.receive_input(params.get("inputResponses"))
        else:
            call = self._begin(request_id, name, arguments, params)
        call.run_elsewhere()
        self._calls.add(request_id, call)

    def _begin(self, request_id: Any, name: str, arguments: Mapping[str, Any], params: Mapping[str, Any]) -> Call:
        meta = params.get("_meta")
        meta = meta if isinstance(meta, Mapping) else {}
        self._list_tools(meta)
        exists = not self._listed.is_set() or name in self._tool_names
        caller = Caller(session_id=self.session_id, request_id=str(request_id))
        span = start_call_span(name, str(request_id), self.session_id, meta)
        origin = from_meta(meta, client=self._client, caller=caller, preview=self._tracker.options.preview)
        if origin.trace_id is None:
            origin = replace(origin, trace_id=trace_id_of(span))
        server = self._server
        schema = self._tracker.catalogue(server).schema_of(name)
        execution = self._tracker.begin(server, name, arguments, origin, schema=schema, tool_exists=exists)
        return Call(execution, name, arguments, exists, span=span)

    @property
    def _server(self) -> str:
        return self._tracker.options.server or self._name

    # The server's tools: as the client is shown them, or asked for by ourselves before the first call: only a schema tells secrets.

    def _list_tools(self, meta: Mapping[str, Any]) -> None:
        if self._listed.is_set() or self._list_requested:
            return
        self._list_requested = True
        self._ask_tools({"_meta": {key: item for key, item in meta.items() if key.startswith("io.modelcontextprotocol/")}})
        self._listed.wait(_LIST_SECONDS)

    def _ask_tools(self, params: dict[str, Any]) -> None:
        self._own_requests += 1
        request_id = f"{_OWN_ID}{self._own_requests}"
        self._asked_tools[json.dumps(request_id)] = params.get("cursor")
        self._own_params = params
        params = {key: item for key, item in params.items() if item}
        self._send(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "tools/list", "params": params}).encode())

    def _add_tools(self, result: Any, cursor: Any, *, own: bool) -> None:
        if not isinstance(result, Mapping) or not isinstance(tools := result.get("tools"), list):
            self._listed.set()
            return
        catalogue = self._tracker.catalogue(self._server)
        names = self._tool_names if cursor is not None else set()
        for tool in tools:
            if isinstance(tool, Mapping) and isinstance(name := tool.get("name"), str):
                names.add(name)
                if not self._tracker.options.skips(name):
                    catalogue.add(describe_wire_tool(name, tool))
        self._tool_names = names
        if (following := result.get("nextCursor")) is None:
            self._listed.set()
        elif own:
            self._ask_tools({**self._own_params, "cursor": following})

    # From the server.

    def _from_server(self, message: Mapping[str, Any]) -> bool:
        method = message.get("method")
        if method is not None:
            self._from_server_method(method, message.get("params"))
            return True
        request_id, result = message.get("id"), message.get("result")
        key = json.dumps(request_id)
        self._learn_name(result)
        if key in self._asked_tools:
            cursor = self._asked_tools.pop(key)
            own = isinstance(request_id, str) and request_id.startswith(_OWN_ID)
            self._add_tools(result, cursor, own=own)
            return not own
        if (task_id := self._calls.take_about_task(request_id)) is not None:
            self._about_task(task_id, message)
        elif (call := self._calls.take(request_id)) is not None:
            self._answer(call, message)
        return True

    def _from_server_method(self, method: Any, params: Any) -> None:
        if method == "notifications/tools/list_changed":
            self._listed.clear()
            self._list_requested = False
        elif method == "notifications/tasks/status" and isinstance(params, Mapping):
            self._calls.hear_of_task(params)

    def _learn_name(self, result: Any) -> None:
        if isinstance(result, Mapping):
            meta = result.get("_meta")
            info = result.get("serverInfo") or (meta.get(_SERVER_INFO_KEY) if isinstance(meta, Mapping) else None)
            if (said := client_in(info)) is not None:
                self._name = said[0]

    def _answer(self, call: Call, message: Mapping[str, Any]) -> None:
        if (error := message.get("error")) is not None:
            call.fail("PROTOCOL_ERROR", error_message(error))
            return
        result = message.get("result")
        result = result if isinstance(result, Mapping) else {}
        task = (
            result.get("task")
            if isinstance(result.get("task"), Mapping)
            else result
            if result.get("resultType") == "task"
            else None
        )
        if result.get("resultType") == "input_required":
            call.wait_for_input(result.get("inputRequests"))
            self._calls.suspend(call, result.get("requestState"))
        elif isinstance(task, Mapping) and isinstance(task_id := task.get("taskId"), str) and "content" not in result:
            self._calls.add_task(task_id, call)
        else:
            call.succeed(result)

    def _about_task(self, task_id: str, message: Mapping[str, Any]) -> None:
        result = message.get("result")
        if (error := message.get("error")) is not None:
            if "code" in error and (call := self._calls.take_task(task_id)) is not None:
                call.fail("PROTOCOL_ERROR", error_message(error))
        elif isinstance(result, Mapping):
            if "content" in result:
                if (call := self._calls.take_task(task_id)) is not None:
                    call.succeed(result)
            else:
                self._calls.hear_of_task({"taskId": task_id, **result})


def _parts(message: bytes) -> list[Mapping[str, Any]]:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return []
    return [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, Mapping)]


def describe_wire_tool(name: str, tool: Mapping[str, Any]) -> ToolDescription:
    """Return what is registered of a tool as it stands in a list of tools."""
    annotations = tool.get("annotations")
    title = tool.get("title") or (annotations.get("title") if isinstance(annotations, Mapping) else None)
    description, schema = tool.get("description"), tool.get("inputSchema")
    return ToolDescription(
        name,
        title if isinstance(title, str) else None,
        description if isinstance(description, str) else None,
        schema if isinstance(schema, Mapping) else None,
    )
