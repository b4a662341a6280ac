"""The headers of a connection, looked through once, however many ask for one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from typing import Any

_KEY = "flowtrail.headers"


def headers_of(scope: MutableMapping[str, Any]) -> Mapping[bytes, bytes]:
    """Return the headers of an ASGI scope by their names, in lower case; of a header that came several times the first."""
    headers: Mapping[bytes, bytes] | None = scope.get(_KEY)
    if headers is None:
        headers = scope[_KEY] = dict(reversed(scope["headers"]))
    return headers


def with_header(scope: MutableMapping[str, Any], name: bytes, value: bytes) -> dict[str, Any]:
    """Return a scope that is like `scope`, and has one header more."""
    return {**scope, "headers": [*scope["headers"], (name, value)], _KEY: {name: value, **headers_of(scope)}}
