"""`flowtrail token`: who else may read or record."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from cyclopts import App, Parameter

from flowtrail.cli import needs
from flowtrail.cli.serving import DataDir

app = App(name="token", help="Make, list and revoke the tokens of readers and recorders.")


@app.command
def create(
    name: str,
    *,
    scope: Literal["read", "record"],
    server: Annotated[tuple[str, ...], Parameter(negative=(), show_default=False)] = (),
    data_dir: DataDir = None,
) -> None:
    """Make a token and print it, this once: only its hash is kept.

    Once there is a reader's token, nobody reads without one, even when all of them are revoked.

    Example: `flowtrail token create dashboard --scope read`, or, for one that records and reads a single server,
    `flowtrail token create ci --scope record --server orders`

    Parameters
    ----------
    name
        Whose it is; `token revoke` needs it.
    scope
        What it allows: to read, or to record and read.
    server
        The MCP server it is limited to; may be given several times. All servers, unless given.
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("token")
    from flowtrail import storage, tokens
    from flowtrail.settings import Settings

    async def run() -> str:
        async with storage.opened(Settings.load(data_dir=data_dir)) as database, database.write() as write:
            return await tokens.create(write, name, scope, server)

    print(asyncio.run(run()))


@app.command(name="list")
def list_(*, data_dir: DataDir = None) -> None:
    """List all tokens that were made, the newest first: names, scopes, servers and last use, never the tokens themselves.

    Example: `flowtrail token list`

    Parameters
    ----------
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("token")
    from flowtrail import storage, tokens
    from flowtrail.settings import Settings

    async def run() -> list[tokens.ApiToken]:
        async with storage.opened(Settings.load(data_dir=data_dir)) as database, database.read() as read:
            return await tokens.all_tokens(read)

    for token in asyncio.run(run()):
        used = f"used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
        state = f"revoked {token.revoked_at:%Y-%m-%d %H:%M}" if token.revoked_at else used
        servers = ", ".join(sorted(token.servers)) if token.servers else "all servers"
        print(f"{token.name}\t{token.scope}\t{servers}\tmade {token.created_at:%Y-%m-%d %H:%M}\t{state}")


@app.command
def revoke(name: str, *, data_dir: DataDir = None) -> None:
    """Make a token worthless, within seconds; streams that it holds open end too.

    To rotate one, make another under a new name, put it where the old one is, and revoke the old one when `flowtrail token list`
    shows that it is not used any more.

    Example: `flowtrail token revoke ci`

    Parameters
    ----------
    name
        The name it was made with.
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("token")
    from flowtrail import storage, tokens
    from flowtrail.settings import Settings

    async def run() -> None:
        async with storage.opened(Settings.load(data_dir=data_dir)) as database, database.write() as write:
            await tokens.revoke(write, name)

    asyncio.run(run())
    print(f"The token {name} is revoked.")
