"""A real HTTP server that answers as it is told: what a recorder may meet in the place of the service."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """One HTTP answer."""

    status: int = 200
    body: str = ""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a recorder sent."""

    document: str
    variables: Any
    authorization: str | None

    @property
    def events(self) -> list[Any]:
        return list(self.variables["input"]["events"]) if "events" in self.variables["input"] else []


Behaviour = Callable[[Request], Answer]


@dataclass
class Misbehaving:
    """The running server. `behaviour` may be replaced at any time; `received` has every request."""

    url: str
    behaviour: Behaviour
    received: list[Request] = field(default_factory=list)

    def events(self) -> list[Any]:
        return [event for request in self.received for event in request.events]


def accept(request: Request) -> Answer:
    """The answer of a service that accepts everything."""
    receipts = [{"outcome": "ACCEPTED", "code": None, "reason": None} for _ in request.events]
    data = {"recordEvents": {"receipts": receipts}, "registerFlows": {"flows": []}, "reportRecorder": {"recorder": {}}}
    return Answer(body=json.dumps({"data": data}))


def graphql_error(code: str, message: str = "no", status: int = 200) -> Answer:
    """An answer with one top-level error."""
    return Answer(status, json.dumps({"errors": [{"message": message, "extensions": {"code": code}}], "data": None}))


@contextmanager
def misbehaving(behaviour: Behaviour = accept) -> Iterator[Misbehaving]:
    """Run the server on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            request = Request(body["query"], body["variables"], self.headers.get("authorization"))
            answer = running.behaviour(request)
            running.received.append(request)
            content = answer.body.encode()
            self.send_response(answer.status)
            for name, value in {"content-type": answer.content_type, "content-length": str(len(content)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Misbehaving(f"http://127.0.0.1:{server.server_port}/graphql", behaviour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
