"""One GraphQL request over HTTP, and what its answer means for the events that were in it."""

import email.utils
import json
import time
from typing import Any

import httpx2

from flowtrail.mcp.configuration import Configuration

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_LONGEST_RETRY_AFTER = 300.0
_EVENT_CODES = frozenset({"BAD_USER_INPUT", "LIMIT_EXCEEDED"})


class DeliveryError(Exception):
    """Nothing of the request was stored. `state` names the trouble for the log, `retry_after` is what the service asked
    for, in seconds.
    """

    def __init__(self, state: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.state = state
        self.retry_after = retry_after


class Unreachable(DeliveryError):
    """The service is down, slow, or not what answers at this address: trying again later may work."""


class NotAllowed(DeliveryError):
    """The recorder token is missing, wrong or not meant for this: it may be put right while we wait."""


class BadRequest(DeliveryError):
    """Something in the request is not acceptable, whoever sends it and whenever. `code` is the service's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__("refused", message)
        self.code = code


class Transport:
    """The connection to the service: one, kept open; used by one thread."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._token = configuration.find_token()
        self._client: httpx2.Client | None = None

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def execute(self, document: str, variables: str) -> dict[str, Any]:
        """Run `document` with `variables` (JSON text) and return its data; raises DeliveryError."""
        try:
            return self._execute(document, variables)
        except NotAllowed:
            fresh = self._configuration.find_token()
            if fresh is None or fresh == self._token:
                raise
            self._token = fresh
        return self._execute(document, variables)

    def _execute(self, document: str, variables: str) -> dict[str, Any]:
        body = f'{{"query":{json.dumps(document)},"variables":{variables}}}'.encode()
        headers = {"content-type": "application/json", "accept": "application/graphql-response+json, application/json"}
        if self._token is None:
            self._token = self._configuration.find_token()
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        try:
            response = self._connected().post(self._configuration.url, content=body, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            # A connection in an unknown state is not used again.
            self.close()
            raise Unreachable("unreachable", f"{type(error).__name__}: {error}") from error
        return _data(response)

    def _connected(self) -> httpx2.Client:
        if self._client is None:
            self._client = httpx2.Client(timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS), follow_redirects=False)
        return self._client


def _data(response: httpx2.Response) -> dict[str, Any]:
    answer = _json_object(response)
    if answer is None or not ("data" in answer or "errors" in answer):
        raise _http_error(response)
    errors = answer.get("errors")
    data = answer.get("data")
    if not errors and isinstance(data, dict):
        return data
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    code = str((first.get("extensions") or {}).get("code", ""))
    message = str(first.get("message", "no reason given"))
    if code in ("UNAUTHENTICATED", "FORBIDDEN"):
        raise NotAllowed(code.lower(), message)
    if code in _EVENT_CODES or (not code and response.status_code == 400):
        raise BadRequest(code or "BAD_USER_INPUT", message)
    if not code and response.is_success:
        raise BadRequest("BAD_USER_INPUT", message)
    raise Unreachable("unavailable", f"{code or response.status_code}: {message}", _retry_after(response))


def _json_object(response: httpx2.Response) -> dict[str, Any] | None:
    try:
        answer = json.loads(response.content)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _http_error(response: httpx2.Response) -> DeliveryError:
    status = response.status_code
    if status in (401, 403):
        return NotAllowed("unauthenticated" if status == 401 else "forbidden", f"HTTP {status}")
    if status == 413:
        return BadRequest("LIMIT_EXCEEDED", "HTTP 413: the request is too large")
    kind = response.headers.get("content-type", "no content type")
    return Unreachable("no GraphQL", f"HTTP {status} with {kind} instead of a GraphQL answer", _retry_after(response))


def _retry_after(response: httpx2.Response) -> float | None:
    text = response.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER)
