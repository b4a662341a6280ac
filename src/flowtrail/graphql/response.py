"""The bytes of a response: payloads go in as the text that was stored, whatever else the document selected around them."""

from typing import Any

import orjson
from graphql import ExecutionResult

from flowtrail import json_text
from flowtrail.errors import FlowtrailError, Unavailable

_TIMES = orjson.OPT_UTC_Z
"""What compiled operations leave as it is: times in UTC that have microseconds (compiled/fields.py)."""


def encode(response: Any) -> bytes:
    """Return a response, or a part of one, as JSON. A lone surrogate, as in a message that quotes the document, becomes U+FFFD."""
    try:
        return orjson.dumps(response, option=_TIMES)
    except TypeError:
        return orjson.dumps(_without_surrogates(response), option=_TIMES)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return json_text.clean(value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


def response_of(result: ExecutionResult) -> dict[str, Any]:
    """Return the response map of a result; without `data` when the operation never began to execute."""
    response: dict[str, Any] = {}
    if result.errors:
        response["errors"] = [error.formatted for error in result.errors]
    if not is_request_error(result):
        response["data"] = result.data
    return response


def is_request_error(result: ExecutionResult) -> bool:
    """Tell whether the document or its variables were wrong, rather than a field."""
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def is_unavailable(result: ExecutionResult) -> bool:
    """Tell whether nothing could be answered because the database was away: trying again later may work."""
    has_data = result.data is not None and any(value is not None for value in result.data.values())
    codes = {(error.extensions or {}).get("code") for error in result.errors or ()}
    return not has_data and codes == {Unavailable.code}


def refusal(error: FlowtrailError) -> dict[str, Any]:
    """Return the response map of a request that was refused before it was looked at as GraphQL."""
    return {"errors": [{"message": error.message, "extensions": {"code": error.code}}]}
