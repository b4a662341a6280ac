"""`flowtrail proxy`: records any MCP server, unchanged, in any language (spec 4.3).

The command line calls `run_proxy(command, server=…, upstream_url=…, headers=…, listen=…) -> int` and exits with what it
returns. It raises ConfigurationError with a message for the user when the arguments make no sense or the server can't be
started. Standard output carries MCP and nothing else; what there is to say goes to standard error.
"""

import os
from collections.abc import Sequence

from flowtrail.errors import ConfigurationError
from flowtrail.mcp.tracking import Options, Tracker


def run_proxy(
    command: Sequence[str] = (),
    *,
    server: str | None = None,
    upstream_url: str | None = None,
    headers: Sequence[str] = (),
    listen: str | None = None,
) -> int:
    """Relay between an MCP client and a server, recording every tool call, until one of them ends; return the exit code.

    The server is the `command` with its arguments, or what answers at `upstream_url`, with `headers` ("Name: value") on
    every request. `server` is the name to record under, the server's own unless given. The client is at our standard
    streams, or, with `listen` ("HOST:PORT"), comes over Streamable HTTP at /mcp.
    """
    if bool(command) == (upstream_url is not None):
        raise ConfigurationError("name one server: a command after `--`, or --upstream-url")
    if headers and upstream_url is None:
        raise ConfigurationError("--header goes with --upstream-url")
    named = dict(_header(text) for text in headers)
    if listen is not None:
        from flowtrail.mcp.gateway import serve_gateway

        host, port = _address(listen)
        return serve_gateway(command, upstream_url=upstream_url, headers=named, server=server, host=host, port=port)

    from flowtrail.mcp.relay import relay
    from flowtrail.mcp.upstream import ProcessUpstream

    tracker = Tracker(Options(server=server))
    if upstream_url is not None:
        from flowtrail.mcp.upstream_http import HttpUpstream

        return relay(HttpUpstream(upstream_url, named), tracker)
    process = ProcessUpstream(command)
    process.pass_signals_on()
    return relay(process, tracker)


def child_environment() -> dict[str, str]:
    """Return what a proxied process gets of our environment: everything but FLOWTRAIL_…."""
    return {name: value for name, value in os.environ.items() if not name.startswith("FLOWTRAIL_")}


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ConfigurationError(f"--header takes NAME:VALUE, not {text!r}")
    return name.strip(), value.strip()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigurationError(f"--listen takes HOST:PORT, not {text!r}")
    return host.strip("[]"), int(port)
