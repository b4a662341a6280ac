"""GraphQL over HTTP: a request is answered with one response, or with a stream of events, and with a code whatever arrives (spec
2.10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphql import OperationType
from starlette.requests import ClientDisconnect, Request

from flowtrail.errors import (
    BadUserInput,
    FlowtrailError,
    Forbidden,
    LimitExceeded,
    TimedOut,
    TooManyAttempts,
    Unauthenticated,
    Unavailable,
)
from flowtrail.graphql.answers import SENT_AT_ONCE, Answer, AnswerInPieces, AnswerToUnreadBody
from flowtrail.graphql.body import Body, HttpRefusal
from flowtrail.graphql.documents import RequestRefused
from flowtrail.graphql.errors import masked
from flowtrail.graphql.execution import while_connected
from flowtrail.graphql.media_types import preferred
from flowtrail.graphql.operations import execute
from flowtrail.graphql.requests import OperationRequest
from flowtrail.graphql.response import is_request_error, is_unavailable, pieces, refusal, response_of
from flowtrail.graphql.sse import EventStreamResponse
from flowtrail.headers import headers_of
from flowtrail.shares import DEAR, Place
from flowtrail.throttling import client_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from graphql import GraphQLError
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from flowtrail.graphql.context import Context
    from flowtrail.graphql.documents import Operation
    from flowtrail.graphql.endpoint import Endpoint

PATH = "/graphql"
JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
_SINGLE = (JSON, GRAPHQL_RESPONSE)
_ANY = (*_SINGLE, EVENT_STREAM)
_HEADERS = {
    media_type: [
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
    ]
    for media_type in _SINGLE
}
_CLIENT_GONE = 499
_BYTES_LIKE_A_ROW = 1024
"""Of a body, which take about as long as a row of an answer."""
_TRY_AGAIN = {"Retry-After": "1"}
_STATUS = {
    BadUserInput.code: 400,
    LimitExceeded.code: 413,
    Unauthenticated.code: 401,
    Forbidden.code: 403,
    Unavailable.code: 503,
    TimedOut.code: 504,
}
"""Of what is refused before it is looked at as GraphQL."""
_DOCUMENT_STATUS = _STATUS | {LimitExceeded.code: 400}
"""Of a document that is not executed, for whoever does not insist on application/json."""


async def respond(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a POST, or a GET where the settings allow one, as an ASGI application."""
    place = Place()
    try:
        response = await _answer(Request(scope, receive), place)
        if not isinstance(response, EventStreamResponse):
            place.answered()
        await response(scope, receive, send)
    finally:
        place.leave()


class _ToBeMade(Answer):
    """A response that is made when it is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, receive, send)


async def handle(_: Request) -> Response:
    """Answer as `respond` does, for routes that want a response to send."""
    return _ToBeMade(b"", 200, [])


async def _answer(request: Request, place: Place) -> Response:
    """Return the response to a request, which has `place` until that was sent."""
    endpoint: Endpoint = request.app.state.endpoint
    offered = _ANY if request.method == "POST" else _SINGLE
    media_type = preferred(_header(request, b"accept"), offered)
    body = Body(request)
    if media_type is None:
        return _refused(body, BadUserInput(f"Accept: only {', '.join(offered)} are on offer"), JSON, 406)
    single = JSON if media_type == EVENT_STREAM else media_type
    try:
        return await _executed(endpoint, request, body, place, media_type)
    except HttpRefusal as refused:
        return _refused(body, refused.error, single, refused.status, refused.headers)
    except RequestRefused as refused:
        return _response(_errors(refused.errors), single, _status_of(refused.errors, media_type))
    except ClientDisconnect:
        return Answer(b"", _CLIENT_GONE, [])
    except TooManyAttempts as error:
        return _refused(body, error, single, 429, {"Retry-After": str(error.retry_after)})
    except FlowtrailError as error:
        return _refused(body, error, single, _STATUS.get(error.code, 400))
    except Exception as error:
        return _response(_errors([masked(error)]), single, 500)


async def _executed(endpoint: Endpoint, request: Request, body: Body, place: Place, media_type: str) -> Response:
    if request.method != "POST":
        _require_harmless_get(endpoint, request)
    context = await endpoint.context(_header(request, b"authorization"), client_of(request.scope))
    context.place = place
    operation = await _admitted(endpoint, request, body, context, place)
    if request.method != "POST" and operation.type is not OperationType.QUERY:
        raise HttpRefusal(405, BadUserInput("query: only queries are answered by GET"), {"Allow": "POST"})
    if media_type == EVENT_STREAM:
        return await _event_stream(endpoint, request, operation, context, place)
    result = await execute(operation, context, request.receive)
    if is_unavailable(result):
        return _response(response_of(result), media_type, 503, _TRY_AGAIN)
    status = _status_of(result.errors or [], media_type) if is_request_error(result) else 200
    response = _response(response_of(result), media_type, status)
    if isinstance(response, AnswerInPieces):
        place.hold_answer(context.share, response.size)
    return response


async def _admitted(endpoint: Endpoint, request: Request, body: Body, context: Context, place: Place) -> Operation:
    """Return the operation when it is its turn among those of the same client."""
    parameters, documents = await _parameters(endpoint, request, body, context, place), endpoint.documents
    viewer, client = context.viewer, context.share.client
    if documents.waits(parameters, viewer, client):  # to watch the client costs more than to look a document up
        if documents.takes_long(parameters, viewer):
            await _begin(request, context, place)
        operation = await while_connected(request.receive, documents.prepared_aside(parameters, viewer, client))
    else:
        operation = documents.operation(parameters, viewer)
    if operation.type is OperationType.SUBSCRIPTION:
        return operation
    await _begin(request, context, place)
    weight = max(operation.weight, body.size // _BYTES_LIKE_A_ROW)
    if weight > DEAR:
        context.timeout = await while_connected(request.receive, place.wait_for_dear(context.share, weight, context.timeout))
    return operation


async def _begin(request: Request, context: Context, place: Place) -> None:
    if not place.enter(context.share):
        context.timeout = await while_connected(request.receive, place.wait(context.share, context.timeout))


def _require_harmless_get(endpoint: Endpoint, request: Request) -> None:
    """Raise unless GET is switched on, and no other site's page makes a reader's browser ask."""
    if not endpoint.settings.graphql_get:
        raise HttpRefusal(405, BadUserInput("GET: send operations by POST"), {"Allow": "POST"})
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Forbidden("GET: the request comes from another site")


def _header(request: Request, name: bytes) -> str | None:
    value = headers_of(request.scope).get(name)
    return None if value is None else value.decode("latin-1")


async def _parameters(endpoint: Endpoint, request: Request, body: Body, context: Context, place: Place) -> OperationRequest:
    if request.method != "POST":
        return OperationRequest.parse_query_string(request.url.query.encode())
    return OperationRequest.parse(await body.decoded(context, place, endpoint.settings.body_timeout, endpoint.large_bodies))


async def _event_stream(endpoint: Endpoint, request: Request, operation: Operation, context: Context, place: Place) -> Response:
    try:
        stream = await while_connected(request.receive, EventStreamResponse.begin(endpoint, request, operation, context))
    except LimitExceeded as error:
        raise HttpRefusal(429, error) from None
    if operation.type is OperationType.SUBSCRIPTION:
        place.leave()  # what it executes from now on, it does for each event
    return stream


def _status_of(errors: list[GraphQLError], media_type: str) -> int:
    """The status of an operation that was not executed: JSON's clients look into the body, and take other statuses for others'."""
    if media_type == JSON:
        return 200
    code = (errors[0].extensions or {}).get("code") if errors else None
    return _DOCUMENT_STATUS.get(str(code), 400)


def _errors(errors: list[GraphQLError]) -> dict[str, Any]:
    return {"errors": [error.formatted for error in errors]}


def _refused(body: Body, error: FlowtrailError, media_type: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
    waiting = _TRY_AGAIN if isinstance(error, Unavailable) else {}
    kind = Answer if body.is_read else AnswerToUnreadBody
    return _response(refusal(error), media_type, status, {**waiting, **(headers or {})}, kind)


def _response(
    content: dict[str, Any],
    media_type: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    kind: type[Answer] = Answer,
) -> Response:
    encoded = pieces(content)
    added = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    size = sum(map(len, encoded))
    all_headers = [*_HEADERS[media_type], (b"content-length", b"%d" % size), *added]
    return AnswerInPieces(encoded, status, all_headers) if size > SENT_AT_ONCE else kind(b"".join(encoded), status, all_headers)
