"""`flowtrail recount`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from flowtrail.cli import needs
from flowtrail.cli.serving import DataDir

if TYPE_CHECKING:
    from uuid import UUID

    from flowtrail.counts import Finding
    from flowtrail.database import Database
    from flowtrail.settings import Settings

_PATIENCE = 3600.0
"""Seconds a statement may take: every execution is read, and nobody's request waits for it."""
_WHAT = {
    "execution_count": "executions",
    "execution_duration_count": "durations",
    "execution_error_count": "errors",
}


def recount(
    *,
    flow: Annotated[tuple[str, str] | None, Parameter(show_default=False, negative=())] = None,
    parameters: Annotated[bool, Parameter(negative=())] = False,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    data_dir: DataDir = None,
) -> int:
    """Compare the counts with the executions themselves, say what is off, and mend it.

    Nothing should ever be off; this is for after something changed the tables behind the service's back. Recording and
    reading go on meanwhile.

    Example: `flowtrail recount --flow orders ship_order --dry-run`

    Parameters
    ----------
    flow
        Only the counts of this flow, by server and tool name, deleted flows of that name included. The totals across all flows
        are then compared with those of the flows, not with every execution.
    parameters
        Also compare what executions are found by with their parameters. Reads the parameters of every execution.
    dry_run
        Mend nothing; exit with 1 if something is off.
    data_dir
        The folder of the embedded database, instead of FLOWTRAIL_DATA_DIR or this user's own.
    """
    needs.service("recount")
    from flowtrail.settings import Settings

    settings = Settings.load(data_dir=data_dir, statement_timeout=_PATIENCE)
    return asyncio.run(_recount(settings, flow, parameters=parameters, dry_run=dry_run))


async def _recount(settings: Settings, flow: tuple[str, str] | None, *, parameters: bool, dry_run: bool) -> int:
    from flowtrail import flows, storage

    async with storage.opened(settings) as database:
        chosen: list[UUID] | None = None
        if flow is not None:
            async with database.read() as read:
                chosen = await flows.flow_ids(read, *flow)
        are_right = await _recount_counts(database, chosen, dry_run=dry_run)
        if parameters:
            are_right &= await _recount_parameters(database, chosen, dry_run=dry_run)
    return 1 if dry_run and not are_right else 0


async def _recount_counts(database: Database, flow_ids: list[UUID] | None, *, dry_run: bool) -> bool:
    """Print what is off; tell whether nothing was."""
    from flowtrail import counts

    if dry_run:
        async with database.snapshot() as read:
            findings = await counts.compare(read, flow_ids)
    else:
        async with database.write() as write:
            findings = await counts.mend(write, flow_ids)
    for line in await _lines(database, findings):
        print(line)
    if not findings:
        print("All counts are right.")
        return True
    print(f"{sum(finding.wrong for finding in findings)} counts {'are wrong.' if dry_run else 'were wrong and have been mended.'}")
    return False


async def _recount_parameters(database: Database, flow_ids: list[UUID] | None, *, dry_run: bool) -> bool:
    """The same for what executions are found by."""
    from flowtrail.executions import compare_parameters, mend_parameters

    wrong = 0
    scopes: list[UUID | None] = [None] if flow_ids is None else [*flow_ids]
    for flow_id in scopes:
        after = None
        while True:
            if dry_run:
                async with database.read() as read:
                    batch = await compare_parameters(read, flow_id, after)
            else:
                async with database.write() as write:
                    batch = await mend_parameters(write, flow_id, after)
            wrong, after = wrong + batch.wrong, batch.last
            if after is None:
                break
    if not wrong:
        print("All parameters are right.")
        return True
    are_wrong = "are found by wrong parameters." if dry_run else "were found by wrong parameters, which has been mended."
    print(f"{wrong} executions {are_wrong}")
    return False


async def _lines(database: Database, findings: list[Finding]) -> list[str]:
    from flowtrail import counts, flows

    async with database.read() as read:
        tools = await flows.tools_by_id(read, {finding.flow_id for finding in findings})
    names = {flow_id: f"{tool} of {server}" for flow_id, (server, tool) in tools.items()}
    names |= {counts.ALL_FLOWS: "all flows together", counts.NO_FLOW: "unknown tools"}
    return [
        f"{names.get(finding.flow_id, f'flow {finding.flow_id}, which is not there')}: {finding.wrong} of {_WHAT[finding.table]}, "
        f"by {finding.grain}: {finding.counted} counted, {finding.recorded} recorded"
        for finding in findings
    ]
