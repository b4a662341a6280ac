"""The bytes of a response: payloads go in as the text that was stored, whatever else the document selected around them."""

from typing import Any

import orjson
from graphql import ExecutionResult

from flowtrail import json_text
from flowtrail.errors import FlowtrailError, Unavailable

_TIMES = orjson.OPT_UTC_Z
"""What compiled operations leave as it is: times in UTC that have microseconds (compiled/fields.py)."""


_HOLE = orjson.Fragment(b"\0")
"""Stands for a Large in what was encoded: nothing else in JSON has this byte."""


_LARGE = 32 * 1024
"""Bytes that are worth a piece of a response."""


class Large:
    """JSON text that goes out as it is, in pieces of its own: to copy it into all of a response at once would hold others up."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces


def ready(text: list[bytes]) -> orjson.Fragment | Large:
    """Return what stands in a response for JSON text, given in pieces."""
    if len(text) == 1 and len(text[0]) < _LARGE:
        return orjson.Fragment(text[0])
    return Large(text)


def encode(response: Any) -> bytes:
    """Return a response, or a part of one, as JSON. A lone surrogate, as in a message that quotes the document, becomes U+FFFD."""
    return b"".join(pieces(response))


def pieces(response: Any) -> list[bytes]:
    """Return the same in pieces: what is large in it, and what is in between."""
    large: list[Large] = []

    def put_in_later(value: Any) -> orjson.Fragment:
        if value.__class__ is not Large:
            raise TypeError
        large.append(value)
        return _HOLE

    try:
        encoded = orjson.dumps(response, put_in_later, _TIMES)
    except TypeError:
        large.clear()
        encoded = orjson.dumps(_without_surrogates(response), put_in_later, _TIMES)
    if not large:
        return [encoded]
    first, *others = encoded.split(b"\0")
    return [first, *(piece for one, after in zip(large, others, strict=True) for piece in (*one.pieces, after))]


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
