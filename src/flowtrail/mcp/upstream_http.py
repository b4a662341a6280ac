"""A server behind the proxy that is reached over Streamable HTTP, in both protocol eras.

Every message of the client is a POST of its own; what the server sends comes back on the answer, as JSON or as a stream
of events, and, in the era of sessions, on a GET stream beside it.
"""

import json
import re
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.shared.inbound import (
    MCP_METHOD_HEADER,
    MCP_NAME_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    NAME_BEARING_METHODS,
    encode_header_value,
    mcp_param_headers,
    x_mcp_header_map,
)
from mcp_types import CONNECTION_CLOSED, INVALID_REQUEST, PROTOCOL_VERSION_META_KEY

from flowtrail.errors import ConfigurationError
from flowtrail.mcp.upstream import Deliver

_SESSION_HEADER = "mcp-session-id"
_CONNECT_SECONDS = 30.0
_RECONNECT_SECONDS = 1.0
_FAILURES = (httpx2.HTTPError, httpx2.StreamError, OSError)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t -~]*")


class _UnsendableError(Exception):
    """A message that has to say in a header what no header can say."""


@dataclass(eq=False, slots=True)
class _Request:
    """A request that is not finished. Closing its answer cancels it, and where that has not begun, it is closed when it does."""

    answer: httpx2.Response | None = None
    is_cancelled: bool = False


class HttpUpstream:
    """A server at a URL. Requests run beside each other; a modern request is cancelled by closing its stream."""

    deliver: Deliver

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Raises ConfigurationError for a URL that is none, and for headers that can't be sent."""
        self.name = _host(url)
        self._url = url
        # Answers may take as long as they like: a tool may, too.
        timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)
        try:
            _sendable(dict(headers))
        except _UnsendableError as error:
            raise ConfigurationError(f"--header: {error}") from error
        self._client = httpx2.Client(headers=dict(headers), timeout=timeout, follow_redirects=False)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._version: str | None = None
        self._requests: dict[str, _Request] = {}
        self._header_maps: dict[str, dict[tuple[str, ...], str]] = {}
        self._initialize_id: str | None = None
        self.session_id: str | None = None
        """What the server calls our session, in the era of sessions."""

    def run(self) -> int:
        """Wait for `close`, for every answer is delivered by the thread that asked; always 0."""
        self._closed.wait()
        return 0

    def close(self) -> None:
        """End the session and every stream."""
        if self.session_id is not None:
            with suppress(_UnsendableError, *_FAILURES):
                self._client.delete(self._url, headers=self._headers({}), timeout=2.0)
        self._closed.set()

    def send(self, message: bytes) -> None:
        """Give the server a message. Returns at once for a request, whose answers come when they come."""
        try:
            content = json.loads(message)
        except (ValueError, RecursionError):
            content = {}
        content = content if isinstance(content, dict) else {}
        if self._is_modern_cancellation(content):
            return
        if content.get("method") == "initialize":
            self._initialize_id, self._version, self.session_id = json.dumps(content.get("id")), None, None
        if "id" in content and "method" in content:
            request = _Request()
            with self._lock:
                self._requests[json.dumps(content["id"])] = request
            threading.Thread(target=self._post_request, args=(message, content, request), daemon=True).start()
        else:
            with (
                suppress(_UnsendableError, httpx2.HTTPError, httpx2.StreamError, OSError),
                self._posted(message, content) as response,
            ):
                self._read(response, None)
            if content.get("method") == "notifications/initialized" and self.session_id is not None:
                threading.Thread(target=self._listen, daemon=True).start()

    def _is_modern_cancellation(self, content: Mapping[str, Any]) -> bool:
        # Without sessions there are no notifications to a server: closing the answer's stream is the signal.
        if content.get("method") != "notifications/cancelled" or self.session_id is not None or self._initialize_id is not None:
            return False
        params = content.get("params")
        with self._lock:
            request = self._requests.get(json.dumps(params.get("requestId") if isinstance(params, dict) else None))
            if request is not None:
                request.is_cancelled = True
        if request is not None and request.answer is not None:
            _shut(request.answer)
        return True

    def _headers(self, content: Mapping[str, Any], last_event: str = "") -> dict[str, str]:
        """Return what a message has to say in headers; raises _UnsendableError for what can't be said there."""
        headers = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
        if self.session_id is not None:
            headers[_SESSION_HEADER] = self.session_id
        if last_event:
            headers["last-event-id"] = last_event
        params = content.get("params")
        params = params if isinstance(params, dict) else {}
        meta = params.get("_meta")
        modern = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
        if isinstance(modern, str):
            headers |= self._modern_headers(modern, str(content.get("method")), params)
        elif self._version is not None:
            headers[MCP_PROTOCOL_VERSION_HEADER] = self._version
        return _sendable(headers)

    def _modern_headers(self, version: str, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        headers = {MCP_PROTOCOL_VERSION_HEADER: version, MCP_METHOD_HEADER: method}
        name = params.get(NAME_BEARING_METHODS.get(method, ""))
        try:
            if isinstance(name, str):
                headers[MCP_NAME_HEADER] = encode_header_value(name)
                if method == "tools/call" and isinstance(arguments := params.get("arguments"), dict):
                    headers |= mcp_param_headers(self._header_maps.get(name, {}), arguments)
        except UnicodeEncodeError as error:
            raise _UnsendableError(f"the message needs HTTP headers, which take no text like {name!r}: {error.reason}") from error
        return headers

    def _posted(self, message: bytes, content: dict[str, Any]) -> AbstractContextManager[httpx2.Response]:
        return self._client.stream("POST", self._url, content=message, headers=self._headers(content))

    def _post_request(self, message: bytes, content: dict[str, Any], request: _Request) -> None:
        key = json.dumps(content["id"])
        answered = False
        code, reason = CONNECTION_CLOSED, "the server's answer ended early"
        try:
            with self._posted(message, content) as response:
                if key == self._initialize_id:
                    self.session_id = response.headers.get(_SESSION_HEADER)
                with self._lock:
                    request.answer = response
                if not request.is_cancelled:
                    answered = self._read(response, key)
                if not answered and response.status_code >= 400:
                    reason = f"the server answered HTTP {response.status_code}"
        except _UnsendableError as error:
            code, reason = INVALID_REQUEST, str(error)
        except _FAILURES as error:
            reason = f"the server can't be reached: {error}"
        with self._lock:
            # A client that has its answer may use the id again before the answer's stream has ended.
            if self._requests.get(key) is request:
                del self._requests[key]
        if not answered and not request.is_cancelled:
            failure = {"code": code, "message": reason}
            self.deliver(json.dumps({"jsonrpc": "2.0", "id": content["id"], "error": failure}).encode())

    def _read(self, response: httpx2.Response, key: str | None) -> bool:
        """Deliver what an answer holds; return whether the response to the request `key` was among it."""
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "text/event-stream":
            answered = False
            for event in httpx2.EventSource(response, max_event_size=None):
                answered = bool(event.data and self._handle(event.data.encode(), key)) or answered
            return answered
        if kind == "application/json":
            body = response.read()
            return bool(body) and self._handle(body, key)
        return False

    def _handle(self, message: bytes, key: str | None) -> bool:
        try:
            content = json.loads(message)
        except (ValueError, RecursionError):
            return False
        if isinstance(content, dict) and isinstance(result := content.get("result"), dict):
            self._learn(json.dumps(content.get("id")), result)
        self.deliver(b" ".join(message.splitlines()))
        return isinstance(content, dict) and "method" not in content and json.dumps(content.get("id")) == key

    def _learn(self, request: str, result: Mapping[str, Any]) -> None:
        if request == self._initialize_id and isinstance(version := result.get("protocolVersion"), str):
            self._version = version
        for tool in result.get("tools") or () if isinstance(result.get("tools"), list) else ():
            if isinstance(tool, dict) and isinstance(name := tool.get("name"), str):
                self._header_maps[name] = x_mcp_header_map(tool.get("inputSchema") or {})

    def _listen(self) -> None:
        """Read what the server sends on its own, as long as the session lasts."""
        session, last_event = self.session_id, ""
        while not self._closed.is_set() and self.session_id == session:
            try:
                with self._client.stream("GET", self._url, headers=self._headers({}, last_event)) as response:
                    if response.status_code >= 400:
                        return
                    for event in httpx2.EventSource(response, max_event_size=None):
                        last_event = event.id or last_event
                        if event.data:
                            self._handle(event.data.encode(), None)
            except _UnsendableError:
                return
            except _FAILURES:
                pass
            time.sleep(_RECONNECT_SECONDS)


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts.hostname
    except ValueError:
        pass
    raise ConfigurationError(f"--upstream-url takes an http or https URL, not {url!r}")


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    """Return headers that can be sent; otherwise raise _UnsendableError, which doesn't tell a value: it may be a secret."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise _UnsendableError(f"{name!r} can't be the name of an HTTP header")
        if not _HEADER_VALUE.fullmatch(value):
            raise _UnsendableError(f"the HTTP header {name} takes printable ASCII characters only")
    return headers


def _shut(response: httpx2.Response) -> None:
    with suppress(httpx2.HTTPError, OSError, RuntimeError):
        response.close()
