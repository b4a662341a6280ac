"""`flowtrail migrate` and `flowtrail purge`."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from flowtrail.cli import needs
from flowtrail.cli.serving import DataDir
from flowtrail.errors import BadUserInput

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import timedelta

    from flowtrail.database import Database, Write
    from flowtrail.settings import Settings

_PATIENCE = 600.0
"""Seconds a statement of a command may take; nobody's request waits for it."""


def migrate(*, check: bool = False, sql: bool = False, data_dir: DataDir = None) -> int:
    """Bring the database to this release's schema.

    Processes that migrate at once take turns. All of it happens, or nothing. A service may keep running meanwhile.

    Example: `DATABASE_URL=postgresql://flowtrail@db/flowtrail flowtrail migrate --check`

    Parameters
    ----------
    check
        Change nothing; exit with 1 if there is something to migrate.
    sql
        Change nothing; print the SQL that would be run.
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("migrate")
    from flowtrail.settings import Settings

    if check and sql:
        raise BadUserInput("--check and --sql exclude each other")
    return asyncio.run(_migrate(Settings.load(data_dir=data_dir), check=check, sql=sql))


async def _migrate(settings: Settings, *, check: bool, sql: bool) -> int:
    from flowtrail import migrate as migrations
    from flowtrail import storage
    from flowtrail.revisions import SchemaState

    with storage.located(settings) as url:
        state, revision = await migrations.inspect(url)
        if sql:
            print(migrations.sql(revision), end="")
            return 0
        if check:
            print(f"The database is {state.value} of this release's schema." if revision else "The database is empty.")
            return 1 if state is SchemaState.BEHIND else 0
        await migrations.upgrade(url)
        print("The database is at this release's schema.")
        return 0


def purge(
    *,
    older_than: Annotated[str | None, Parameter(show_default=False)] = None,
    flow: Annotated[tuple[str, str] | None, Parameter(show_default=False, negative=())] = None,
    execution: Annotated[UUID | None, Parameter(show_default=False)] = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    batch: PositiveInt = 1000,
    data_dir: DataDir = None,
) -> None:
    """Delete executions for good, with all they hold. Nothing else deletes one, unless FLOWTRAIL_RETENTION is set.

    Executions must match all that is given. Those still pending stay, unless named by `--execution`. It works in
    batches, each of which is final: stopped half-way, it goes on when it is run again.

    Example: `flowtrail purge --older-than 90d --flow orders ship_order --dry-run`

    Parameters
    ----------
    older_than
        Only what started longer ago than this: a number and m, h, d or w, as in 90d.
    flow
        Only executions of this flow, by server and tool name, deleted flows of that name included.
    execution
        Only this execution, by its UUID.
    dry_run
        Delete nothing; print how many executions match.
    batch
        How many executions to delete in one transaction.
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("purge")
    from flowtrail.settings import Settings

    if older_than is None and flow is None and execution is None:
        raise BadUserInput("say what to purge: --older-than, --flow or --execution")
    age = None if older_than is None else _parsed(older_than)
    settings = Settings.load(data_dir=data_dir, statement_timeout=_PATIENCE)
    asyncio.run(_purge(settings, age, flow, execution, None if dry_run else batch))


async def _purge(
    settings: Settings, age: timedelta | None, flow: tuple[str, str] | None, execution: UUID | None, batch: int | None
) -> None:
    from flowtrail import flows, storage
    from flowtrail.recording.upkeep import ago, count_purgeable, purge_batch

    async with storage.opened(settings) as database:
        async with database.read() as read:
            flow_ids = [None] if flow is None else [*await flows.flow_ids(read, *flow)]
        matching = 0
        async with database.write() as write:
            before = None if age is None else await ago(write, age)
            choices: list[dict[str, Any]] = [
                {"before": before, "flow_id": flow_id, "execution_id": execution} for flow_id in flow_ids
            ]
            for choice in choices:
                matching += await count_purgeable(write, **choice)
        if batch is None:
            print(f"{matching} executions would be deleted.")
            return
        deleted = 0
        with _progress(matching) as advance:
            for choice in choices:
                deleted += await _delete(database, partial(purge_batch, **choice, limit=batch), batch, advance)
        print(f"{deleted} executions deleted.")


async def _delete(
    database: Database, purge_batch: Callable[[Write], Awaitable[int]], batch: int, advance: Callable[[int], None]
) -> int:
    deleted = 0
    count = batch
    while count:  # a batch passes over what others hold at the moment, so a small one need not be the last
        async with database.write() as write:
            count = await purge_batch(write)
        deleted += count
        advance(count)
    return deleted


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar, when somebody is watching; yields what moves it on."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("Purging", total=total)
        yield lambda count: progress.advance(bar, count)


def _parsed(older_than: str) -> timedelta:
    from flowtrail.settings import parse_age

    try:
        return parse_age(older_than)
    except ValueError as error:
        raise BadUserInput(f"--older-than: {error}") from None
