"""`flowtrail proxy --listen`: the proxied server, offered over Streamable HTTP.

Here a real MCP server has to stand in between, for sessions over HTTP end at it: FastMCP's proxy, with ExecutionTracking in it.
"""

import signal
import sys
from collections.abc import Mapping, Sequence

from fastmcp.client.transports import ClientTransport, StdioTransport, StreamableHttpTransport
from fastmcp.server import create_proxy

from flowtrail.errors import ConfigurationError
from flowtrail.mcp.middleware import ExecutionTracking
from flowtrail.mcp.proxy import child_environment


def serve_gateway(
    command: Sequence[str], *, upstream_url: str | None, headers: Mapping[str, str], server: str | None, host: str, port: int
) -> int:
    """Serve until stopped; return the exit code. Raises ConfigurationError when there is no name to record under."""
    if server is None:
        raise ConfigurationError("--listen needs --server NAME: clients come and go before the server has said its name")
    transport: ClientTransport
    if upstream_url is not None:
        transport = StreamableHttpTransport(upstream_url, headers=dict(headers))
    else:
        transport = StdioTransport(command[0], list(command[1:]), env=child_environment(), keep_alive=True)
    proxy = create_proxy(transport, mode="auto", name=server, provider_error_strategy="raise")
    proxy.add_middleware(ExecutionTracking(server=server))
    # Uvicorn raises the signal again when it has shut down: what waits is sent then, as at any exit.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    proxy.run(transport="http", host=host, port=port, show_banner=False)
    return 0
