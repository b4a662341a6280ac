"""A reader as tests need it: pages, details and counts through the real API; and what only an operator does."""

import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

from flowtrail.database import Database
from flowtrail.recording import upkeep
from recorder import ask
from support import Service

PAGE = """
fragment Page on ExecutionConnection {
  edges { cursor node { uuid status startedAt } }
  pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
}
query Page($first: Int, $after: String, $last: Int, $before: String, $filter: ExecutionFilter) {
  executions(first: $first, after: $after, last: $last, before: $before, filter: $filter) { ...Page }
}"""
COUNT = """
query Count($filter: ExecutionFilter) { executions(first: 0, filter: $filter) { totalCount totalCountIsExact } }"""
EXECUTION = """
query Execution($uuid: UUID!) {
  execution(by: {uuid: $uuid}) {
    id uuid server flowName flowToolName status startedAt endedAt durationMs nodeCount isPreview initialParamsPreview
    flow { uuid }
    errorInfo { kind message nodeId nodeName stack }
    lateOutcome { status endedAt errorInfo { kind message nodeId nodeName } }
    nodeExecutions { position parentPosition nodeId nodeName nodeType status startedAt endedAt durationMs error }
  }
}"""

_ATTEMPTS = 20
"""A count gives up after two seconds, which a machine that is busy with other tests may need."""

Page = dict[str, Any]


async def page(service: Service, **arguments: Any) -> Page:
    """Return one page of the root connection."""
    found: Page = (await ask(service, PAGE, **arguments))["executions"]
    return found


async def pages(service: Service, *, backward: bool = False, **arguments: Any) -> AsyncIterator[Page]:
    """Page through the root connection from one end to the other, one page at a time."""
    size, cursor = ("last", "before") if backward else ("first", "after")
    arguments = {size: 20, **arguments}
    while True:
        found = await page(service, **arguments)
        yield found
        info = found["pageInfo"]
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return
        arguments[cursor] = info["startCursor" if backward else "endCursor"]


def ids_of(found: Page) -> list[str]:
    return [edge["node"]["uuid"] for edge in found["edges"]]


async def all_ids(service: Service, *, backward: bool = False, **arguments: Any) -> list[str]:
    """Return the ids of a whole connection, newest first, read page by page."""
    found = [ids_of(each) async for each in pages(service, backward=backward, **arguments)]
    return [id_ for ids in (reversed(found) if backward else found) for id_ in ids]


async def count(service: Service, **filter_: Any) -> int:
    """Return the total of the root connection, which must be exact."""
    for _ in range(_ATTEMPTS):
        found = (await ask(service, COUNT, filter=filter_ or None))["executions"]
        if found["totalCount"] is not None:
            break
    assert found["totalCountIsExact"], found
    total: int = found["totalCount"]
    return total


async def execution(service: Service, execution_id: uuid.UUID | str) -> dict[str, Any]:
    """Return an execution that must exist."""
    found: dict[str, Any] | None = (await ask(service, EXECUTION, uuid=str(execution_id)))["execution"]
    assert found is not None
    return found


async def pass_deadline(database: Database, *execution_ids: uuid.UUID | str) -> None:
    """Let the deadlines of pending executions lie in the past, by the database's clock."""
    await _set_deadlines(database, execution_ids, "-1 second")


async def hold_deadlines(database: Database, *execution_ids: uuid.UUID | str) -> None:
    """Let pending executions stay so for as long as the test runs."""
    await _set_deadlines(database, execution_ids, "1 day")


async def _set_deadlines(database: Database, execution_ids: Iterable[uuid.UUID | str], distance: str) -> None:
    async with database.write() as write:
        await write.execute(
            """UPDATE execution SET deadline = clock_timestamp() + $2::text::interval
               WHERE id = ANY($1::uuid[]) AND status = 'PENDING'""",
            [uuid.UUID(str(id_)) for id_ in execution_ids],
            distance,
        )


async def purge(database: Database, execution_ids: Iterable[uuid.UUID | str]) -> int:
    """Delete executions, pending ones too, as `flowtrail purge` does; returns how many."""
    deleted = 0
    for id_ in execution_ids:
        async with database.write() as write:
            deleted += await upkeep.purge_batch(write, execution_id=uuid.UUID(str(id_)))
    return deleted
