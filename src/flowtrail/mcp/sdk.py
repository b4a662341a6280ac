"""Tracking for servers of the official Python SDK: `MCPServer("orders", middleware=[SdkExecutionTracking("orders")])`.

Middleware there sees an answer after the SDK has made it, so a crash is told from a refusal by the SDK's own wording.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Unpack

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from pydantic import BaseModel

from flowtrail.mcp import outcome
from flowtrail.mcp.events import Caller, Origin
from flowtrail.mcp.execution import Frame, current_frame
from flowtrail.mcp.guard import Guarded
from flowtrail.mcp.origin import caller_in, client_in, from_meta
from flowtrail.mcp.tracking import TrackingOptions, make_tracker
from flowtrail.mcp.wire import describe_wire_tool
from flowtrail.mcp.wire_calls import Call, Calls, is_continuation

Context = ServerRequestContext[Any, Any]


class SdkExecutionTracking:
    """Middleware for `mcp.server` that records every execution of the server's flows under the name `server`."""

    def __init__(self, server: str, **options: Unpack[TrackingOptions]) -> None:
        self._server = server
        self._tracker = make_tracker(server, options)
        self._rounds = Calls()
        self._names: set[str] | None = None

    async def __call__(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Record a call of a tool; let everything else pass."""
        if ctx.method == "tools/list":
            result = await call_next(ctx)
            with Guarded("registering flows"):
                self._add_tools(_wire(result))
            return result
        call = None
        if ctx.method == "tools/call" and ctx.request_id is not None:
            with Guarded("recording the start of a call"):
                call = await self._begin(ctx, call_next)
        return await (call_next(ctx) if call is None else self._run(call, ctx, call_next))

    async def _begin(self, ctx: Context, call_next: CallNext) -> Call | None:
        params = ctx.params or {}
        name, arguments = params.get("name"), params.get("arguments")
        if not isinstance(name, str) or self._tracker.options.skips(name):
            return None
        arguments = arguments if isinstance(arguments, Mapping) else {}
        if is_continuation(params) and (waiting := self._rounds.resume(name, arguments, params.get("requestState"))) is not None:
            waiting.receive_input(params.get("inputResponses"))
            return waiting
        if self._names is None:
            # Only a schema tells secrets, so the list is needed before the first call.
            listing = {key: item for key, item in params.items() if key == "_meta"}
            self._add_tools(_wire(await call_next(replace(ctx, method="tools/list", params=listing))))
        outer = current_frame.get()
        exists = self._names is None or name in self._names
        execution = self._tracker.begin(
            self._server,
            name,
            arguments,
            self._origin(ctx, params),
            schema=self._tracker.catalogue(self._server).schema_of(name),
            tool_exists=exists,
            parent_id=None if outer is None else outer.execution.id,
        )
        return Call(execution, name, arguments, exists)

    async def _run(self, call: Call, ctx: Context, call_next: CallNext) -> HandlerResult:
        token = current_frame.set(Frame(call.execution))
        try:
            result = await call_next(ctx)
        except BaseException as error:
            with Guarded("recording the end of a call"):
                failure = outcome.of_exception(error)
                call.execution.finish(kind=failure.kind, message=failure.message, stack=failure.stack)
            raise
        finally:
            current_frame.reset(token)
        with Guarded("recording the end of a call"):
            value = _wire(result)
            if value.get("resultType") == "input_required":
                call.wait_for_input(value.get("inputRequests"))
                self._rounds.suspend(call, value.get("requestState"))
            else:
                call.succeed(value)
        return result

    def _add_tools(self, listed: Mapping[str, Any]) -> None:
        catalogue = self._tracker.catalogue(self._server)
        names = self._names or set()
        for tool in listed.get("tools") or ():
            names.add(tool["name"])
            if not self._tracker.options.skips(tool["name"]):
                catalogue.add(describe_wire_tool(tool["name"], tool))
        self._names = names

    def _origin(self, ctx: Context, params: Mapping[str, Any]) -> Origin:
        options = self._tracker.options
        meta = params.get("_meta")
        client = None if ctx.session.client_params is None else client_in(_wire(ctx.session.client_params).get("clientInfo"))
        caller = Caller(session_id=getattr(ctx.session, "session_id", None), request_id=str(ctx.request_id))
        if options.identify is not None:
            caller = caller_in(options.identify(ctx)) or caller
        return from_meta(meta if isinstance(meta, Mapping) else {}, client=client, caller=caller, preview=options.preview)


def _wire(value: Any) -> Mapping[str, Any]:
    """Return a model or mapping as it goes over the wire."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value if isinstance(value, Mapping) else {}
