"""GraphQL over WebSocket: the graphql-transport-ws protocol, with its close codes."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import structlog
from graphql import OperationType
from starlette.websockets import WebSocket, WebSocketDisconnect

from flowtrail import json_text
from flowtrail.errors import BadUserInput, FlowtrailError, LimitExceeded, TimedOut, Unauthenticated, Unavailable
from flowtrail.graphql import eager
from flowtrail.graphql.answers import SENT_AT_ONCE
from flowtrail.graphql.body import READERS
from flowtrail.graphql.documents import RequestRefused
from flowtrail.graphql.large_bodies import LARGE
from flowtrail.graphql.mailbox import MAX_BEHIND, TooFarBehind
from flowtrail.graphql.operations import begin
from flowtrail.graphql.requests import OperationRequest
from flowtrail.graphql.response import encode
from flowtrail.shares import DEAR, Place
from flowtrail.throttling import client_of
from flowtrail.turns import in_turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from flowtrail.graphql.context import Context
    from flowtrail.graphql.documents import Operation
    from flowtrail.graphql.endpoint import Endpoint

log = structlog.get_logger()

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 3.0
MAX_OPERATIONS = 100
"""Operations of one socket at the same time."""
MAX_MESSAGE_CHARACTERS = 1024 * 1024
_CLOSE_SECONDS = 2.0
"""How long a close frame may take to a client that does not read."""


class Closed(Exception):
    """The connection must be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


BAD_MESSAGE, UNAUTHORIZED, FORBIDDEN, NO_SUBPROTOCOL, INIT_TIMEOUT, ID_TAKEN, TOO_MANY_INITS = (
    4400,
    4401,
    4403,
    4406,
    4408,
    4409,
    4429,
)
TOO_LARGE, RESTART, TRY_AGAIN = 1009, 1012, 1013


async def serve(endpoint: Endpoint, websocket: WebSocket) -> None:
    """Speak the protocol with one client until either side closes."""
    if PROTOCOL not in websocket.scope.get("subprotocols", ()):
        await websocket.accept()
        await websocket.close(NO_SUBPROTOCOL, "Subprotocol not acceptable")
        return
    await websocket.accept(PROTOCOL)
    connection = _Connection(endpoint, websocket)
    try:
        with endpoint.streams.opened(websocket):
            await connection.run()
    except LimitExceeded as error:
        await _close(websocket, Closed(TRY_AGAIN, f"Too many streams: {error.message}"))
    except Closed as closed:
        await _close(websocket, closed)
    except WebSocketDisconnect:
        pass


async def _close(websocket: WebSocket, closed: Closed) -> None:
    try:
        async with asyncio.timeout(_CLOSE_SECONDS):
            await websocket.close(closed.code, closed.reason[:120])
    except (TimeoutError, RuntimeError, WebSocketDisconnect):
        pass  # it does not read, or has gone: the server ends the transport


class _Connection:
    """One client. Whatever must close the connection is put into `_closing`, wherever it happens."""

    def __init__(self, endpoint: Endpoint, websocket: WebSocket) -> None:
        self._endpoint = endpoint
        self._websocket = websocket
        self._closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._context: Context | None = None
        self._has_begun = False
        self._authorization = websocket.headers.get("authorization")
        self._operations: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Raise Closed or WebSocketDisconnect when it is over."""
        watching = [asyncio.create_task(work) for work in (self._receive(), self._watch_access(), self._stop_with_process())]
        try:
            await asyncio.wait([*watching, self._closing], return_when=asyncio.FIRST_COMPLETED)
            task: asyncio.Future[None]
            for task in (self._closing, *watching):
                if task.done():
                    task.result()
        finally:
            self._closing.cancel()
            for task in watching:
                task.cancel()
            await self._end_operations()
            await asyncio.gather(*watching, return_exceptions=True)
            watching.clear()  # they hold how they ended, and by that whoever holds them
            self._operations.clear()
            task = self._closing  # so does this frame

    async def _end_operations(self) -> None:
        """Cancel all that is executed, with others' turns in between: a client that goes leaves thousands of subscriptions."""
        operations, turns = list(self._operations.values()), None if self._context is None else self._context.share.turns
        try:
            async for task in in_turns(operations, turns):
                task.cancel()
                await asyncio.wait([task])
        finally:
            for task in operations:
                task.cancel()
        operations.clear()

    async def _receive(self) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code") or 1005)
            await self._handle(await self._decoded(message.get("text")))

    async def _decoded(self, text: str | None) -> dict[str, Any]:
        if text is None:
            raise Closed(BAD_MESSAGE, "Invalid message: must be text")
        if len(text) > MAX_MESSAGE_CHARACTERS:
            raise Closed(TOO_LARGE, f"Message too large: at most {MAX_MESSAGE_CHARACTERS} characters")
        if (reason := READERS.broken_by(text.encode())) is not None:
            raise Closed(TOO_LARGE, f"Message too large: it {reason}")
        endpoint = self._endpoint
        try:
            is_large = len(text) > LARGE
            message = (
                await endpoint.large_bodies.message(text, endpoint.settings.body_timeout) if is_large else json_text.load(text)
            )
        except json_text.JsonTextError as error:
            raise Closed(BAD_MESSAGE, f"Invalid message: {error}") from None
        except Unavailable as error:
            raise Closed(TRY_AGAIN, error.message) from None
        if not isinstance(message, dict):
            raise Closed(BAD_MESSAGE, "Invalid message: must be a JSON object")
        return message

    async def _watch_access(self) -> None:
        await asyncio.sleep(INIT_SECONDS)
        if not self._has_begun:
            raise Closed(INIT_TIMEOUT, "Connection initialisation timeout")
        raise Closed(FORBIDDEN, f"Forbidden: {await self._endpoint.access_lost(self._authorization)}")

    async def _stop_with_process(self) -> None:
        await self._endpoint.stopping.wait()
        raise Closed(RESTART, "Service restart: connect again and subscribe after the last cursor")

    async def _handle(self, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "connection_init":
                await self._init(message.get("payload"))
            case "ping":
                await self._send({"type": "pong"})
            case "pong":
                pass
            case "subscribe":
                self._subscribe(_id_of(message), message.get("payload"))
            case "complete":
                if task := self._operations.pop(_id_of(message), None):
                    task.cancel()
            case _:
                raise Closed(BAD_MESSAGE, "Invalid message: unknown type")

    async def _init(self, payload: Any) -> None:
        if self._has_begun:
            raise Closed(TOO_MANY_INITS, "Too many initialisation requests")
        self._has_begun = True
        if not isinstance(payload, dict | None):
            raise Closed(BAD_MESSAGE, "Invalid message: payload must be an object")
        authorization = next((value for name, value in (payload or {}).items() if name.lower() == "authorization"), None)
        if not isinstance(authorization, str | None):
            raise Closed(BAD_MESSAGE, "Invalid message: payload.authorization must be a string")
        self._authorization = authorization or self._authorization
        try:
            context = await self._endpoint.context(self._authorization, client_of(self._websocket))
        except Unauthenticated as error:
            raise Closed(FORBIDDEN, f"Forbidden: {error.message}") from None
        except FlowtrailError as error:
            raise Closed(TRY_AGAIN, error.message) from None
        if not context.viewer.can_read:
            raise Closed(FORBIDDEN, "Forbidden: reading needs a token, as payload.authorization: Bearer …")
        await self._send({"type": "connection_ack"})
        self._context = context

    def _subscribe(self, operation_id: str, payload: Any) -> None:
        if self._context is None:
            raise Closed(UNAUTHORIZED, "Unauthorized")
        if operation_id in self._operations:
            raise Closed(ID_TAKEN, f"Subscriber for {operation_id} already exists")
        if len(self._operations) >= MAX_OPERATIONS:
            raise Closed(TRY_AGAIN, f"Too many operations: at most {MAX_OPERATIONS} at the same time")
        try:
            request = OperationRequest.parse(payload)
        except BadUserInput as error:
            raise Closed(BAD_MESSAGE, f"Invalid message: {error.message}") from None
        self._operations[operation_id] = asyncio.create_task(self._operate(operation_id, request, self._context.fresh()))

    async def _operate(self, operation_id: str, request: OperationRequest, context: Context) -> None:
        before = f'{{"id":{json.dumps(operation_id)},"type":"next","payload":'
        this = asyncio.current_task()

        def send(response: str) -> Awaitable[None] | None:
            if this is None or self._operations.get(operation_id) is not this:
                return None  # it has ended, or the client has completed it, and may have given its id to another
            return eager.start(self._send_text(f"{before}{response}}}"))

        try:
            await self._respond(operation_id, request, context, before, send)
        except TooFarBehind:
            self._cut_off()
        except (Unavailable, TimedOut) as error:
            self._close(Closed(TRY_AGAIN, error.message))
        except (WebSocketDisconnect, RuntimeError):
            pass  # the client has gone; `_receive` learns it too
        except Exception:
            log.exception("an operation failed", operation_id=operation_id)
            self._close(Closed(1011, "Internal error"))
        finally:
            this = None  # it holds how it ends, and by that this frame

    async def _respond(
        self,
        operation_id: str,
        request: OperationRequest,
        context: Context,
        before: str,
        send: Callable[[str], Awaitable[None] | None],
    ) -> None:
        """Send all responses, each behind `before`, and that they are complete; or why there are none."""
        place = context.place = Place()
        try:
            operation = await self._admitted(request, context, place)
            responses = await begin(operation, context, self._endpoint.broadcast, self._cut_off, send)
            async with aclosing(responses):
                async for response in responses:
                    if operation.type is not OperationType.SUBSCRIPTION:
                        self._hold_answer(response, context, place)
                    await self._send_text(f"{before}{response}}}")
        except RequestRefused as refused:
            self._operations.pop(operation_id, None)
            await self._send({"id": operation_id, "type": "error", "payload": [error.formatted for error in refused.errors]})
            return
        finally:
            place.leave()
        self._operations.pop(operation_id, None)
        await self._send({"id": operation_id, "type": "complete"})

    async def _admitted(self, request: OperationRequest, context: Context, place: Place) -> Operation:
        """Return an operation when it is its turn among those of the same client."""
        try:
            if self._endpoint.documents.takes_long(request, context.viewer):
                await self._begin(place, context)
            operation = await self._endpoint.documents.prepared_aside(request, context.viewer, context.share.client)
            if operation.type is OperationType.SUBSCRIPTION:
                place.leave()  # what it executes, it does for each event
                return operation
            await self._begin(place, context)
            if operation.weight > DEAR:
                context.timeout = await place.wait_for_dear(context.share, operation.weight, context.timeout)
        except Unavailable as error:  # of this operation only: the others of the socket go on
            raise RequestRefused.because(error) from None
        return operation

    async def _begin(self, place: Place, context: Context) -> None:
        if not place.enter(context.share):
            context.timeout = await place.wait(context.share, context.timeout)

    def _hold_answer(self, answer: str, context: Context, place: Place) -> None:
        place.answered()
        try:
            if len(answer) > SENT_AT_ONCE:
                place.hold_answer(context.share, len(answer))
        except Unavailable as error:
            raise RequestRefused.because(error) from None

    def _cut_off(self) -> None:
        if not self._closing.done():
            log.info("a subscriber that does not keep up is cut off")
        self._close(Closed(TRY_AGAIN, f"More than {MAX_BEHIND} changes behind: subscribe again after the last cursor"))

    def _close(self, closed: Closed) -> None:
        if not self._closing.done():
            self._closing.set_exception(closed)

    async def _send(self, message: dict[str, Any]) -> None:
        await self._send_text(encode(message).decode())

    async def _send_text(self, text: str) -> None:
        await self._websocket.send({"type": "websocket.send", "text": text})


def _id_of(message: dict[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise Closed(BAD_MESSAGE, "Invalid message: id must be a string")
    return operation_id
