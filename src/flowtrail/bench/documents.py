"""What is asked: documents as a client would write them, and their variables for a loaded table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowtrail.bench.servers import Server
    from flowtrail.bench.table import Table

_ROW = """uuid status startedAt endedAt durationMs flowName flowToolName initialParamsPreview isPreview nodeCount
      errorInfo { kind message nodeName }"""
_PAGE = f"""edges {{ cursor node {{
      {_ROW}
    }} }}
    pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}"""

PAGE = f"""query Page($flow: UUID!) {{
  flow(by: {{uuid: $flow}}) {{ name executions(first: 50) {{
    {_PAGE}
  }} }}
}}"""
DEEP_PAGE = f"""query DeepPage($after: String!) {{
  executions(first: 50, after: $after) {{
    {_PAGE}
  }}
}}"""
DETAILS = f"""query Details($uuid: UUID!) {{
  execution(by: {{uuid: $uuid}}) {{
    {_ROW}
    initialParams result
    nodeExecutions {{ position nodeId nodeName nodeType status startedAt endedAt durationMs inputData outputData error }}
  }}
}}"""
TOTALS = """query Totals($flow: UUID!) {
  flow(by: {uuid: $flow}) { hasPendingExecutions executions(first: 0) { totalCount totalCountIsExact } }
}"""
PAGE_CURSORS = """query PageCursors($after: String!) {
  executions(first: 50, after: $after) {
    pageCursors { first { page } around { page cursor } last { page cursor } previous { page cursor } next { page cursor } }
  }
}"""
STATISTICS = """query Statistics($flow: UUID!) {
  flow(by: {uuid: $flow}) { statistics {
    total errorRate p50DurationMs p95DurationMs histogram { from byStatus { status count } } topErrors { message count }
  } }
}"""
_LAST_BEFORE = """query ($to: DateTime!) {
  executions(first: 1, filter: {startedAt: {to: $to}}) { edges { cursor } }
}"""
_PAGE_ENDS = 20


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of request, and the variables to send in turn."""

    kind: str
    document: str
    variables: Sequence[dict[str, Any]]

    def requests(self, server: Server) -> list[bytes]:
        """Return one request for each of the variables."""
        return [server.request(self.kind, self.document, variables) for variables in self.variables]


def pages(table: Table, cursors: Sequence[str]) -> list[Workload]:
    """Lists: the newest of each flow, and of all flows at `cursors`."""
    return [
        Workload("page", PAGE, [{"flow": str(id_)} for id_ in table.flow_ids]),
        Workload("deep-page", DEEP_PAGE, [{"after": cursor} for cursor in cursors]),
    ]


def details(table: Table) -> list[Workload]:
    """Single executions with their payloads and nodes."""
    return [Workload("details", DETAILS, [{"uuid": str(id_)} for id_ in table.detailed_ids])]


def counts(table: Table, cursors: Sequence[str]) -> list[Workload]:
    """What needs to know how many there are."""
    flows = [{"flow": str(id_)} for id_ in table.flow_ids]
    return [
        Workload("totals", TOTALS, flows),
        Workload("page-cursors", PAGE_CURSORS, [{"after": cursor} for cursor in cursors]),
        Workload("statistics", STATISTICS, flows),
    ]


async def deep_cursors(server: Server, table: Table) -> list[str]:
    """Return cursors of executions about 30 % down the list of all."""
    first = int(table.executions * 0.3)
    step = max(1, table.executions // 1000)
    return [await _cursor_at(server, table, first + number * step) for number in range(_PAGE_ENDS)]


async def _cursor_at(server: Server, table: Table, rank: int) -> str:
    data = await server.ask("", _LAST_BEFORE, {"to": table.start_of(rank).isoformat()})
    cursor: str = data["executions"]["edges"][0]["cursor"]
    return cursor
