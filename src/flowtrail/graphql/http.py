"""GraphQL over HTTP: a POST is answered with one response, or with a stream of events, and with a code whatever arrives (spec
2.10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from flowtrail import json_text
from flowtrail.errors import BadUserInput, FlowtrailError, LimitExceeded, Unauthenticated, Unavailable
from flowtrail.graphql.documents import RequestRefused
from flowtrail.graphql.media_types import preferred
from flowtrail.graphql.operations import execute
from flowtrail.graphql.requests import OperationRequest
from flowtrail.graphql.response import encode, is_request_error, refusal, response_of
from flowtrail.graphql.sse import EventStreamResponse

if TYPE_CHECKING:
    from flowtrail.graphql.endpoint import Endpoint

MAX_BODY_BYTES = 8 * 1024 * 1024
JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
_STATUS = {BadUserInput: 400, LimitExceeded: 413, Unauthenticated: 401, Unavailable: 503}


async def answer(endpoint: Endpoint, request: Request) -> Response:
    """Return the response to one POST."""
    media_type = preferred(request.headers.get("accept"), (JSON, GRAPHQL_RESPONSE, EVENT_STREAM))
    if media_type is None:
        return _refused(BadUserInput(f"Accept: only {GRAPHQL_RESPONSE}, {JSON} and {EVENT_STREAM} are on offer"), JSON, 406)
    single = JSON if media_type == EVENT_STREAM else media_type
    if _media_type_of(request.headers.get("content-type", "")) != JSON:
        return _refused(BadUserInput(f"Content-Type: must be {JSON}"), single, 415)
    try:
        operation = OperationRequest.parse(_decoded(await _body(request)))
        authorization = request.headers.get("authorization")
        context = await endpoint.context(authorization)
        if media_type == EVENT_STREAM:
            return await EventStreamResponse.begin(endpoint, operation, context, authorization)
        result = await execute(operation, context)
    except FlowtrailError as error:
        return _refused(error, single, _STATUS.get(type(error), 400))
    except RequestRefused as refused:
        status = 200 if media_type == JSON else 400
        return _response({"errors": [error.formatted for error in refused.errors]}, single, status)
    except ClientDisconnect:
        return Response(status_code=400)
    status = 400 if media_type == GRAPHQL_RESPONSE and is_request_error(result) else 200
    return _response(response_of(result), media_type, status)


def _media_type_of(content_type: str) -> str:
    name, _, parameters = content_type.partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    return name.strip().lower() if charset in ("", "charset=utf-8") else ""


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise LimitExceeded(f"the request body is larger than {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _decoded(body: bytes) -> Any:
    try:
        return json_text.load(body)
    except json_text.JsonTextError as error:
        raise BadUserInput(f"the request body is {error}") from None


def _refused(error: FlowtrailError, media_type: str, status: int) -> Response:
    return _response(refusal(error), media_type, status)


def _response(response: dict[str, Any], media_type: str, status: int) -> Response:
    return Response(encode(response), status, media_type=f"{media_type}; charset=utf-8")
