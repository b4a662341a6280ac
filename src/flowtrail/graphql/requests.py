"""What a client asks for, whichever way it came: the parameters of a GraphQL request, checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from flowtrail import json_text
from flowtrail.errors import BadUserInput

_DOCUMENT_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_PARAMETERS: dict[str, tuple[type, str]] = {
    "query": (str, "a string with a GraphQL document"),
    "documentId": (str, "a string"),
    "operationName": (str, "a string"),
    "variables": (dict, "an object"),
    "extensions": (dict, "an object"),
}
NAMING = ("query", "documentId", "operationName", "extensions")
"""The parameters that name an operation."""


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """A document, or the hash of a trusted one; the operation to execute of it, and its variables."""

    query: str | None
    sha256: str | None
    """Of the document, in lower-case hexadecimal digits. At least one of the two is there."""
    operation_name: str | None
    variables: dict[str, Any] | None

    @classmethod
    def parse(cls, parameters: Any) -> OperationRequest:
        """Check decoded JSON; raises BadUserInput naming the parameter that is wrong."""
        if not isinstance(parameters, dict):
            raise BadUserInput("the request must be a JSON object; batches are not supported")
        for name, (kind, wanted) in _PARAMETERS.items():
            value = parameters.get(name)
            if value is not None and not isinstance(value, kind):
                raise BadUserInput(f"{name}: must be {wanted}")
        query, sha256 = parameters.get("query"), _sha256_of(parameters)
        if sha256 is None and not (query or "").strip():
            raise BadUserInput("query: must be a string with a GraphQL document")
        return cls(query, sha256, parameters.get("operationName"), parameters.get("variables"))

    @classmethod
    def parse_query_string(cls, query_string: bytes) -> OperationRequest:
        """Check the parameters of a GET; raises BadUserInput."""
        try:
            pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
        except (UnicodeDecodeError, ValueError):
            raise BadUserInput("the query string is no list of parameters in UTF-8") from None
        given: dict[str, Any] = {}
        for name, text in pairs:
            if name not in _PARAMETERS:
                continue
            if name in given:
                raise BadUserInput(f"{name}: must be given once")
            given[name] = _decoded(name, text) if name in ("variables", "extensions") else text or None
        return cls.parse(given)


def _decoded(name: str, text: str) -> Any:
    try:
        return json_text.load(text) if text else None
    except json_text.JsonTextError as error:
        raise BadUserInput(f"{name}: {error}") from None


def _sha256_of(parameters: dict[str, Any]) -> str | None:
    """The hash that stands for a document: as `documentId`, or as clients of automatic persisted queries send it."""
    document_id = parameters.get("documentId")
    if document_id is not None:
        return _hash("documentId", document_id)
    persisted = (parameters.get("extensions") or {}).get("persistedQuery")
    if persisted is None:
        return None
    if not isinstance(persisted, dict) or persisted.get("version") != 1:
        raise BadUserInput("extensions.persistedQuery: must be an object with version 1")
    return _hash("extensions.persistedQuery.sha256Hash", persisted.get("sha256Hash"))


def _hash(name: str, value: Any) -> str:
    found = _DOCUMENT_ID.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadUserInput(f"{name}: must be the SHA-256 of a document in hexadecimal digits")
    return found[1].lower()
