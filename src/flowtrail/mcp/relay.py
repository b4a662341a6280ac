"""The proxy's core: every message passes between our standard streams and the server just as it is, byte for byte, and is
looked at.

There is no MCP client or server in between, so nothing of the protocol can get lost: resources, prompts, progress,
notifications, elicitation, sampling, both eras, and what is not invented yet.
"""

import sys
import threading
from typing import BinaryIO

from flowtrail.mcp.recorder import close_recorders
from flowtrail.mcp.tracking import Tracker
from flowtrail.mcp.upstream import Upstream
from flowtrail.mcp.wire import WireTracking


def relay(upstream: Upstream, tracker: Tracker, source: BinaryIO | None = None, sink: BinaryIO | None = None) -> int:
    """Relay between `source` and `sink` (our standard input and output) and a server until either ends; return the exit code."""
    source, sink = source or sys.stdin.buffer, sink or sys.stdout.buffer
    tracking = WireTracking(tracker, upstream.name, upstream.send)
    writing = threading.Lock()

    def to_client(message: bytes) -> None:
        tracking.session_id = getattr(upstream, "session_id", None)
        if tracking.from_server(message):
            with writing:
                try:
                    sink.write(message + b"\n")
                    sink.flush()
                except (OSError, ValueError):
                    pass  # the client is gone, which is noticed where its messages are read

    def from_client() -> None:
        for line in source:
            if message := line.rstrip(b"\r\n"):
                tracking.from_client(message)
                upstream.send(message)
        tracking.client_left()
        upstream.close()

    upstream.deliver = to_client
    reading = threading.Thread(target=from_client, name="flowtrail-client", daemon=True)
    reading.start()
    code = upstream.run()
    tracking.server_left()
    close_recorders()
    return code
