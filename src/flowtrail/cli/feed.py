"""`flowtrail feed reset`."""

from __future__ import annotations

import asyncio

from cyclopts import App

from flowtrail.cli import needs
from flowtrail.cli.serving import DataDir

app = App(name="feed", help="The change feed that subscriptions read.")


@app.command
def reset(*, data_dir: DataDir = None) -> int:
    """Start the change feed anew, so that every subscriber queries again.

    For after a rollback that nothing in the database can tell: of the disk below PostgreSQL to a snapshot, or of the tables by
    restoring a dump in place. Cursors of the time that was undone would count changes as seen that came after it. A failover, a
    recovery to a point in time and another database are noticed without it.

    Example: `flowtrail feed reset`

    Parameters
    ----------
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("feed reset")
    return asyncio.run(_reset(data_dir))


async def _reset(data_dir: DataDir) -> int:
    from flowtrail import changes, storage
    from flowtrail.settings import Settings

    async with storage.opened(Settings.load(data_dir=data_dir)) as database:
        await changes.reset(database)
    print("The change feed starts anew: subscribers are told to query again.")
    return 0
