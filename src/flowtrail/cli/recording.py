"""`flowtrail proxy` and `flowtrail spool`: the wrapper's side, which needs no service installed."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

spool_app = App(name="spool", help="What this machine's recorders have not delivered yet.")


def proxy(
    *command: Annotated[str, Parameter(allow_leading_hyphen=True)],
    server: Annotated[str | None, Parameter(show_default=False)] = None,
    upstream_url: Annotated[str | None, Parameter(show_default=False)] = None,
    header: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    listen: Annotated[str | None, Parameter(show_default=False)] = None,
) -> int:
    """Record every tool call of an MCP server, which stays as it is, in any language.

    It stands between client and server: put it before the server's command in the client's mcp.json.

    Example: `flowtrail proxy --server github -- npx -y @modelcontextprotocol/server-github`

    Parameters
    ----------
    command
        The server's command and its arguments, after `--`.
    server
        The name to record under; the server's own, unless given.
    upstream_url
        The URL of a server that is reached over HTTP, instead of a command.
    header
        A header for every request to `--upstream-url`, as NAME:VALUE; may be given several times.
    listen
        HOST:PORT to offer the server on over HTTP, at /mcp, instead of standard input and output.
    """
    from flowtrail.mcp.proxy import run_proxy

    return run_proxy(command, server=server, upstream_url=upstream_url, headers=header, listen=listen)


@spool_app.command
def status() -> None:
    """Show what waits to be sent, what was dropped, and what the service refused.

    Example: `flowtrail spool status`
    """
    from flowtrail.mcp.spool_commands import spool_status, status_text

    print(status_text(spool_status()))


@spool_app.command
def retry() -> None:
    """Send what waits, and give what the service refused another chance.

    Example: `FLOWTRAIL_URL=http://127.0.0.1:8000/graphql flowtrail spool retry`
    """
    from flowtrail.mcp.spool_commands import retry_dead_letters

    print(retry_dead_letters().text)
