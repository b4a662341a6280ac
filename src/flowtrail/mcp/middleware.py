"""`ExecutionTracking`: FastMCP middleware that records every call of the server's tools (spec 4.3).

It goes first in `middleware=[…]`, so that it sees what the client sees. It changes nothing: answers, errors, cancellation
and progress pass as they are.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Unpack
from weakref import WeakSet

from fastmcp import FastMCP
from fastmcp.server.dependencies import get_access_token
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import InputRequiredToolResult, Tool, ToolResult
from mcp_types import CallToolRequestParams

from flowtrail.mcp import outcome
from flowtrail.mcp.background import BackgroundTasks
from flowtrail.mcp.events import Caller, Origin
from flowtrail.mcp.execution import Frame, current_frame
from flowtrail.mcp.guard import Guarded
from flowtrail.mcp.origin import caller_in, client_in, from_meta
from flowtrail.mcp.rounds import Rounds
from flowtrail.mcp.tool_lookup import ToolLookup, describe_tool
from flowtrail.mcp.tracking import TrackingOptions, make_tracker
from flowtrail.mcp.wire_calls import PROXIED_NODE_TYPE, error_text


class ExecutionTracking(Middleware):
    """Records every execution of the server's flows.

    `server` is the name to record under, the server's own unless given; the other settings are those of TrackingOptions.
    Raises ValueError for settings that make no sense; a call never fails because of it.
    """

    def __init__(self, *, server: str | None = None, **options: Unpack[TrackingOptions]) -> None:
        self._tracker = make_tracker(server, options)
        self._rounds = Rounds()
        self._tasks = BackgroundTasks()
        self._tools = ToolLookup()
        self._listing: set[asyncio.Task[None]] = set()
        self._listed: WeakSet[FastMCP[Any]] = WeakSet()

    async def on_initialize(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Register the server's flows when a client connects."""
        self._register_flows(context)
        return await call_next(context)

    async def on_discover(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Register the server's flows when a client without a handshake asks what there is."""
        self._register_flows(context)
        return await call_next(context)

    async def on_request(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        """Hear of tasks that have ended."""
        result = await call_next(context)
        if context.method is not None and context.method.startswith("tasks/"):
            with Guarded("recording the end of a task"):
                self._tasks.hear(result)
        return result

    async def on_list_tools(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Sequence[Tool]]) -> Sequence[Tool]:
        """Register the flows that a client is shown: a list that changed is listed anew."""
        tools = await call_next(context)
        with Guarded("registering flows"):
            self._tools.forget()
            if current_frame.get() is None and (server := self._server(context)) is not None:
                self._add(server, tools)
        return tools

    async def on_call_tool(
        self, context: MiddlewareContext[CallToolRequestParams], call_next: CallNext[CallToolRequestParams, ToolResult]
    ) -> ToolResult:
        """Record the call."""
        frame = None
        with Guarded("recording the start of a call"):
            frame = await self._begin(context)
        if frame is None:
            return await call_next(context)
        token = current_frame.set(frame)
        try:
            result = await call_next(context)
        except BaseException as error:
            with Guarded("recording the end of a call"):
                _fail(frame, error)
            raise
        finally:
            current_frame.reset(token)
        with Guarded("recording the end of a call"):
            self._finish(frame, context, result)
        return result

    async def _begin(self, context: MiddlewareContext[CallToolRequestParams]) -> Frame | None:
        """Return where the call's code will stand; None when it is not recorded, or is on record already."""
        called = context.message
        server = self._server(context)
        if server is None or self._tracker.options.skips(called.name):
            return None
        tool = await self._tools.find(_fastmcp(context), called.name)
        outer = current_frame.get()
        if outer is not None and outer.execution.delegates_to == called.name:
            # The same call on the wire, met again by the middleware of a mounted server.
            outer.execution.delegates_to = tool.delegates_to
            return None
        if (execution := self._rounds.resume(called)) is None:
            self._register_flows(context)
            schema = self._tracker.catalogue(server).add(tool.description) if tool.description is not None else None
            execution = self._tracker.begin(
                server,
                called.name,
                called.arguments or {},
                self._origin(context),
                schema=schema,
                tool_exists=tool.description is not None,
                parent_id=None if outer is None else outer.execution.id,
            )
        execution.delegates_to = tool.delegates_to
        position = None
        if (proxied := tool.proxied_name) is not None:
            position = execution.start_node(proxied, proxied, PROXIED_NODE_TYPE, called.arguments or {}, None)
        return Frame(execution, position)

    def _finish(self, frame: Frame, context: MiddlewareContext[CallToolRequestParams], result: Any) -> None:
        execution = frame.execution
        if isinstance(result, InputRequiredToolResult):
            if frame.position is not None:
                execution.finish_node(frame.position)
            self._rounds.suspend(execution, context.message, result.input_required)
            return
        if not isinstance(result, ToolResult) and self._tasks.add(execution, context.message.name, result):
            return
        value = outcome.result_value(result)
        message = error_text(value["content"]) if result.is_error else None
        if frame.position is not None:
            execution.finish_node(frame.position, value, message)
        if message is None:
            execution.finish(value)
        else:
            execution.finish(value, "TOOL_ERROR", message)

    def _server(self, context: MiddlewareContext[Any]) -> str | None:
        return None if self._tracker.options.configuration.disabled else self._tracker.server_name(_fastmcp(context).name)

    def _register_flows(self, context: MiddlewareContext[Any]) -> None:
        """List the server's tools once, beside the call: a proxied server may take its time."""
        with Guarded("registering flows"):
            fastmcp = _fastmcp(context)
            server = self._server(context)
            if server is None or fastmcp in self._listed:
                return
            self._listed.add(fastmcp)

            async def register() -> None:
                with Guarded("registering flows"):
                    self._add(server, await fastmcp.list_tools(run_middleware=False))

            task = asyncio.get_running_loop().create_task(register())
            self._listing.add(task)
            task.add_done_callback(self._listing.discard)

    def _add(self, server: str, tools: Iterable[Tool]) -> None:
        catalogue = self._tracker.catalogue(server)
        for tool in tools:
            if not self._tracker.options.skips(tool.name):
                catalogue.add(describe_tool(tool))

    def _origin(self, context: MiddlewareContext[CallToolRequestParams]) -> Origin:
        options = self._tracker.options
        request = None if context.fastmcp_context is None else context.fastmcp_context.request_context
        client = None
        if request is not None and (params := request.session.client_params) is not None:
            client = client_in({"name": params.client_info.name, "version": params.client_info.version})
        caller = caller_in(options.identify(context)) if options.identify is not None else _caller(context)
        return from_meta((request.meta if request else None) or {}, client=client, caller=caller, preview=options.preview)


def _fastmcp(context: MiddlewareContext[Any]) -> FastMCP[Any]:
    if context.fastmcp_context is None:
        raise RuntimeError("FastMCP calls middleware with its context")
    return context.fastmcp_context.fastmcp


def _caller(context: MiddlewareContext[Any]) -> Caller | None:
    request = None if context.fastmcp_context is None else context.fastmcp_context.request_context
    if request is None:
        return None
    token = get_access_token() if request.request is not None else None
    return Caller(
        subject=None if token is None else token.subject or (token.claims or {}).get("sub"),
        client_id=None if token is None else token.client_id,
        # Without a handshake there are no sessions, and what FastMCP calls one is another with every request.
        session_id=None if request.request is None else request.request.headers.get("mcp-session-id"),
        request_id=request.request_id,
    )


def _fail(frame: Frame, error: BaseException) -> None:
    failure = outcome.of_exception(error)
    if frame.position is not None:
        frame.execution.finish_node(frame.position, error=failure.message)
    frame.execution.finish(kind=failure.kind, message=failure.message, stack=failure.stack)
